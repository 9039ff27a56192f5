"""A scan's pixels -> `Reading`: the model's answer, how far it can be trusted, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from brat.environment import WEIGHTS
from brat.model.calibration import Calibration
from brat.model.classifier import Classifier, Prediction
from brat.model.out_of_distribution import OodDetector, OodResult
from brat.model.preprocess import Geometry, frame, to_input

REFER_FROM = 3
"""A prediction set of this many classes says too little; the reading is referred to a person."""


@dataclass(frozen=True, eq=False)
class Reading:
    """What is known of one scan after it was read.

    Attributes:
        prediction: the model's answer, its probabilities calibrated.
        sets: level -> the classes that the scan may be, the likeliest first (see `brat.model.calibration`);
            empty where the model has no calibration.
        ood: whether the scan is one that the model may be asked about; None where it has no
        gate. model_input: float32 (224, 224, 1) in [-1, 1].
        geometry: where the input lies on the scan.
    """

    prediction: Prediction
    sets: dict[float, tuple[str, ...]]
    ood: OodResult | None
    model_input: np.ndarray
    geometry: Geometry


class Reader:
    """A model with its calibration and its gate, if it has them; may be shared between threads.

    Example:
        >>> reading = Reader().read(read_scan("slice.png").gray)
        >>> reading.prediction.label, reading.sets[DEFAULT_LEVEL], reading.ood.in_distribution
        ('no_tumor', ('no_tumor',), True)
    """

    def __init__(self, weights: str | Path = WEIGHTS, threads: int | None = None):
        """Load a model from a folder.

        Args:
            weights: the folder.
            threads: of one prediction, see `brat.model.classifier.Classifier`.

        Raises:
            FileNotFoundError: there is no model in the folder.
        """
        weights = Path(weights)
        self.classifier = Classifier(weights, threads)
        # A model fresh from training has neither: both are fitted to slices that it has not seen.
        calibration, detector = weights / "calibration.json", weights / "out_of_distribution.npz"
        self.calibration = Calibration.load(calibration) if calibration.exists() else None
        self.detector = OodDetector.load(detector) if detector.exists() else None

    def read(self, gray: np.ndarray) -> Reading:
        """Read one scan, uint8 (height, width)."""
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
        ood = self.detector.judge(prediction.features, framed) if self.detector else None
        return Reading(prediction, sets, ood, model_input, geometry)
