"""Logits -> calibrated probabilities, and prediction sets that hold the true class as often as promised.

Temperature scaling (Guo et al. 2017, arXiv 1706.04599, section 4.2) gives the probabilities. Split conformal
prediction with the least ambiguous sets (LAC; Sadinle, Lei and Wasserman 2019, arXiv 1609.00451) gives the
sets, with one threshold a class. `brat.evaluation.fit_calibration` fits both to slices that the model was not
trained on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from brat.classes import CLASSES
from brat.model.files import ModelError

LEVELS = (0.9, 0.95, 0.99)
"""The shares of slices, in each class, whose prediction set is to hold the true class."""

_DAMAGED = (
    "The calibration of the model is damaged: its temperature must be above 0, and its thresholds four for "
    "each level, from 0 to 1. Copy the model's folder again, or fit it again with `brat results`."
)

DEFAULT_LEVEL = 0.95
"""The level of `LEVELS` that is shown where nobody has chosen one."""


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """float (..., 4) logits -> probabilities; a temperature above 1 makes them less sure."""
    scaled = logits / temperature
    scaled = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return scaled / scaled.sum(axis=-1, keepdims=True)


@dataclass(frozen=True)
class Calibration:
    """Turns a model's logits into the probabilities and prediction sets that are shown.

    Attributes:
        temperature: divides the logits.
        thresholds: for each level the least probability, 0 to 1, at which each class enters the set, in the
            order of `brat.CLASSES`.
        slices: number of slices that it was fitted to.
        source: the data that it was fitted to, such as their fingerprint.
        fitted: time of fitting, ISO 8601.
    """

    temperature: float
    thresholds: Mapping[float, tuple[float, ...]]
    slices: int
    source: str
    fitted: str

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """float (..., 4) logits -> float32 probabilities of the same shape."""
        return softmax(np.asarray(logits, float), self.temperature).astype(np.float32)

    def prediction_set(self, probabilities: np.ndarray, level: float = DEFAULT_LEVEL) -> tuple[str, ...]:
        """The classes that a slice may be, the likeliest first; empty where no class reaches its threshold.

        Args:
            probabilities: float (4,), from `apply`.
            level: see `LEVELS`.

        Raises:
            KeyError: no thresholds were fitted for this level.
        """
        inside = membership(probabilities, self.thresholds[level])
        return tuple(CLASSES[k] for k in np.argsort(-probabilities, kind="stable") if inside[k])

    def save(self, path: str | Path) -> None:
        """Write it as JSON."""
        Path(path).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Calibration:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ModelError: as `from_bytes`.
        """
        return cls.from_bytes(Path(path).read_bytes())

    @classmethod
    def from_bytes(cls, content: bytes) -> Calibration:
        """Read the content of a file that `save` wrote.

        Raises:
            ModelError: it is no such content, or a number is out of range.
        """
        try:
            fields = json.loads(content)
            levels = {float(level): tuple(map(float, least)) for level, least in fields["thresholds"].items()}
            calibration = cls(**{**fields, "temperature": float(fields["temperature"]), "thresholds": levels})
            is_sound = (
                0 < calibration.temperature < math.inf
                and DEFAULT_LEVEL in levels
                and all(0 < level < 1 for level in levels)
                and all(len(least) == len(CLASSES) for least in levels.values())
                and all(0 <= value <= 1 for least in levels.values() for value in least)
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelError(_DAMAGED) from error
        if not is_sound:
            raise ModelError(_DAMAGED)
        return calibration


def membership(probabilities: np.ndarray, least: Sequence[float]) -> np.ndarray:
    """Which classes are in the prediction set, bool (..., 4): none where no class reaches its threshold.

    Thresholds differ from class to class. Still, a class that is likelier than a member of the set is in the
    set too: a clinician could not follow a set that skips a class.
    """
    reached = np.where(probabilities >= np.array(least), probabilities, np.inf)
    return probabilities >= reached.min(axis=-1, keepdims=True)
