"""The rows of a worklist, and their order.

A row keeps a thumbnail and the numbers, not the pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np

from brat.classes import CLASSES
from brat.io.intake import Item
from brat.io.scan import Scan
from brat.model.classifier import Prediction
from brat.model.out_of_distribution import OodResult

THUMBNAIL = 72
"""Pixels of a thumbnail's longer side: 2 kB as JPEG."""


@dataclass(frozen=True, eq=False)
class Row:
    """One item of the list and its reading.

    Attributes:
        number: its place among the items that were given, from 1.
        item: where it came from, and how it is opened.
        problem: why it was not read; then all that follows but `format` and `digest` is empty.
        format: `Scan.format` or `Series.format`.
        digest: `Scan.digest` or `Series.digest`.
        slice, slices: of a series, the number of the slice that the row shows, from 1, and how many it has.
        slice_digest: `Scan.slice_digest` of the scan, or of that slice.
        label: the answer, one of `brat.CLASSES`.
        probabilities: calibrated, 0 to 1, in the order of `brat.CLASSES`.
        sets: level -> the classes of the prediction set.
        in_distribution, ood_score, reason: from the out-of-distribution check, see
            `brat.model.out_of_distribution.OodResult`; None and empty where the model has no detector.
        thumbnail: a JPEG file.
        sequence: `Scan.sequence`.
        remarks: of the scan and of its series, `Scan.remarks`; also which volume was read.
    """

    number: int
    item: Item
    problem: str = ""
    format: str = ""
    digest: str = ""
    slice: int | None = None
    slices: int | None = None
    slice_digest: str = ""
    label: str = ""
    probabilities: tuple[float, ...] = ()
    sets: Mapping[float, tuple[str, ...]] | None = None
    in_distribution: bool | None = None
    ood_score: float | None = None
    reason: str = ""
    thumbnail: bytes = b""
    sequence: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def tumour(self) -> float:
        """Probability of any tumour, 0 to 1; 0 where it was not read."""
        return 1 - self.probabilities[CLASSES.index("no_tumor")] if self.probabilities else 0.0

    @property
    def state(self) -> str:
        """ "known"; "refused", which is out of distribution; or "unread"."""
        if self.problem:
            return "unread"
        return "refused" if self.in_distribution is False else "known"


STATES = ("known", "refused", "unread")


def suspicion(row: Row) -> tuple[int, float, int]:
    """Sorting key: the most suspicious row first.

    First come rows in distribution, by the probability of any tumour. Then come rows out of distribution, and
    then those that could not be read, each in their order: about these the model says nothing.
    """
    return STATES.index(row.state), -row.tumour if row.state == "known" else 0, row.number


def with_reading(
    row: Row,
    scan: Scan,
    prediction: Prediction,
    sets: Mapping[float, tuple[str, ...]] | None,
    ood: OodResult | None,
) -> Row:
    """The row with the reading of a scan, and the scan's thumbnail."""
    return replace(
        row,
        slice_digest=scan.slice_digest,
        sequence=scan.sequence,
        remarks=tuple(dict.fromkeys(row.remarks + scan.remarks)),
        label=prediction.label,
        probabilities=tuple(map(float, prediction.probabilities)),
        sets=sets or {},
        in_distribution=ood.in_distribution if ood else None,
        ood_score=ood.score if ood else None,
        reason=ood.reason if ood and not ood.in_distribution else "",
        thumbnail=_thumbnail(scan.gray),
    )


def _thumbnail(gray: np.ndarray) -> bytes:
    scale = THUMBNAIL / max(gray.shape)
    height, width = (max(1, round(side * scale)) for side in gray.shape)
    small = cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
