"""A scan's pixels -> `Reading`: the model's answer, how far to trust it, and where it comes from."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from brat import log
from brat.environment import WEIGHTS
from brat.model.calibration import Calibration
from brat.model.classifier import Classifier, Prediction
from brat.model.files import CALIBRATION, DETECTOR, ModelFolder
from brat.model.out_of_distribution import OodDetector, OodResult
from brat.model.preprocess import Geometry, frame, to_input
from brat.model.site import SiteCalibration

REFER_FROM = 3
"""A prediction set of this many classes says too little; the reading is referred to a person."""

UNSURE = 0.7
"""Below this probability a reading is called unsure."""


def is_alone_and_unsure(classes: Sequence[str], confidence: float) -> bool:
    """Whether a prediction set names one class whose probability is low all the same.

    Args:
        classes: of the set.
        confidence: probability of the likeliest class, 0 to 1; in a set of one it is that class.
    """
    return len(classes) == 1 and confidence < UNSURE


@dataclass(frozen=True, eq=False)
class Reading:
    """The reading of one scan.

    Attributes:
        prediction: the model's answer, with calibrated probabilities.
        sets: level -> the classes that the scan may be, the likeliest first (see `brat.model.calibration`);
            empty where the model has no calibration.
        ood: result of the out-of-distribution check; None where the model has no detector.
        model_input: float32 (224, 224, 1) in [-1, 1].
        geometry: where the model input lies on the scan.
        site: the site's recalibration that was used; None where there is none.
    """

    prediction: Prediction
    sets: dict[float, tuple[str, ...]]
    ood: OodResult | None
    model_input: np.ndarray
    geometry: Geometry
    site: SiteCalibration | None = None

    @property
    def is_calibrated(self) -> bool:
        """Whether the model has a calibration; without one it has no prediction sets either."""
        return bool(self.sets)


class Reader:
    """A model with its calibration and its out-of-distribution detector, if it has them.

    Threads may share it.

    Attributes:
        site: the recalibration for a site that lies beside the model and is used; None where there is none.

    Example:
        >>> reading = Reader().read(read_scan("slice.png").gray)
        >>> reading.prediction.label, reading.sets[DEFAULT_LEVEL], reading.ood.in_distribution
        ('no_tumor', ('no_tumor',), True)
    """

    def __init__(self, weights: str | Path = WEIGHTS, threads: int | None = None, as_shipped: bool = False):
        """Load a model from a folder.

        Args:
            weights: the folder.
            threads: number of threads for one prediction, see `brat.model.classifier.Classifier`.
            as_shipped: leave out a site's recalibration.

        Raises:
            FileNotFoundError: there is no model in the folder.
            ModelError: a file is damaged, or is not the one of the folder's manifest; or the recalibration
                is damaged, or of another model.
        """
        folder = ModelFolder(weights)
        self.classifier = Classifier(folder, threads)
        # A freshly trained model has neither: both are fitted to slices that the model has not seen.
        calibration, detector = folder.read_optional(CALIBRATION), folder.read_optional(DETECTOR)
        self.calibration = None if calibration is None else Calibration.from_bytes(calibration)
        self.detector = None if detector is None else OodDetector.from_bytes(detector)
        self.site = None if as_shipped else SiteCalibration.beside(folder)
        if self.site and self.site.calibration:
            self.calibration = self.site.calibration
        if self.site and self.site.limit is not None and self.detector:
            self.detector = replace(self.detector, limit=self.site.limit)
        log.event(
            "model",
            sha256=self.classifier.digest,
            calibrated=self.calibration is not None,
            checks_distribution=self.detector is not None,
            recalibrated=self.site is not None,
        )

    def again(self, threads: int | None = None) -> Reader:
        """The same model and all that belongs to it once more, as it was loaded, for another thread."""
        another = copy.copy(self)
        another.classifier = self.classifier.again(threads)
        return another

    def read(self, gray: np.ndarray) -> Reading:
        """Read one scan, uint8 (height, width)."""
        begun = time.perf_counter()
        framed, geometry = frame(gray)
        model_input = to_input(framed)
        prediction = self.classifier.predict(model_input)
        sets = {}
        if self.calibration:
            probabilities = self.calibration.apply(prediction.maps.mean(axis=(0, 1)))
            prediction = replace(prediction, probabilities=probabilities)
            sets = {
                level: self.calibration.prediction_set(probabilities, level)
                for level in self.calibration.thresholds
            }
        ood = self.detector.judge(prediction.appearance) if self.detector else None
        log.event(
            "reading",
            model=self.classifier.digest[:12],
            seconds=round(time.perf_counter() - begun, 4),
            outcome="refused" if ood and not ood.in_distribution else prediction.label,
        )
        return Reading(prediction, sets, ood, model_input, geometry, self.site)
