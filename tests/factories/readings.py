"""Scans, and readings that no model made: of one slice, and of the slices of a series."""

from __future__ import annotations

import numpy as np

from brat.classes import CLASSES
from brat.io.scan import Scan
from brat.model.classifier import Prediction
from brat.model.out_of_distribution import OodResult
from brat.model.preprocess import frame, prepare, to_input
from brat.model.reader import Reading
from brat.model.series_reading import SliceReading

MODEL, NEXT_MODEL = "a" * 64, "b" * 64
"""Digests of two models."""


def prediction_of(label: str, share: float) -> Prediction:
    """A prediction of `label` with probability `share`; the other classes have equal parts of the rest."""
    probabilities = np.full(4, (1 - share) / 3, np.float32)
    probabilities[CLASSES.index(label)] = share
    return Prediction(
        probabilities,
        np.zeros((14, 14, 4), np.float32),
        np.zeros(1280, np.float32),
        np.zeros(192, np.float32),
    )


def scan_of(number: int = 0, gray: np.ndarray | None = None) -> Scan:
    """A scan of one shade, or of `gray`, whose digest is `number`."""
    gray = np.full((80, 64), 7, np.uint8) if gray is None else gray
    return Scan(gray, gray, "JANE_DOE.png", "PNG, 8-bit gray", "", f"{number:064x}")


def reading_of(label: str = "glioma", known: bool = True) -> Reading:
    """The reading of `scan_of()` as `label`, with 70 %; in distribution where it is `known`."""
    framed, geometry = frame(scan_of().gray)
    ood = OodResult(0.5 if known else 1.5, known, "" if known else "Unlike.")
    return Reading(prediction_of(label, 0.7), {0.95: (label,)}, ood, to_input(framed), geometry)


def reading_with_a_spot(scan: Scan, prediction_set: tuple[str, ...]) -> Reading:
    """The reading of `scan` as meningioma with 91 %, for which four cells of the map speak."""
    model_input, geometry = prepare(scan.gray)
    maps = np.zeros((14, 14, 4), np.float32)
    maps[4:6, 4:6, 1] = 1
    probabilities = np.array([0.05, 0.91, 0.03, 0.01], np.float32)
    prediction = Prediction(probabilities, maps, np.zeros(1280, np.float32), np.zeros(192, np.float32))
    return Reading(prediction, {0.95: prediction_set}, OodResult(0.63, True, ""), model_input, geometry)


def slice_reading(label: str, share: float = 0.9, known: bool = True) -> SliceReading:
    """What one slice of a series was read as."""
    return SliceReading(prediction_of(label, share), {}, OodResult(0.5 if known else 2, known, ""))


READING = reading_of()
UNREAD = SliceReading(problem="damaged")
NONE, GLIOMA, MENINGIOMA = (
    slice_reading("no_tumor"),
    slice_reading("glioma"),
    slice_reading("meningioma", 0.8),
)
REFUSED = slice_reading("glioma", 0.99, known=False)
