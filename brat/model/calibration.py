"""Logits -> calibrated probabilities, and prediction sets that hold the true class as often as promised.

Temperature scaling (Guo et al. 2017, arXiv 1706.04599, section 4.2) gives the probabilities. Split conformal
prediction with the least ambiguous sets (LAC; Sadinle, Lei and Wasserman 2019, arXiv 1609.00451) gives the
sets, with one threshold a class. `brat.evaluation.fit_calibration` fits both to slices that the model was not
trained on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from brat.classes import CLASSES

LEVELS = (0.9, 0.95, 0.99)
"""The shares of slices, in each class, whose prediction set is to hold the true class."""

DEFAULT_LEVEL = 0.95
"""The level of `LEVELS` that is shown where nobody has chosen one."""


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """float (..., 4) logits -> probabilities; a temperature above 1 makes them less sure."""
    scaled = logits / temperature
    scaled = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return scaled / scaled.sum(axis=-1, keepdims=True)


@dataclass(frozen=True)
class Calibration:
    """What turns a model's logits into the probabilities and sets that are shown.

    Attributes:
        temperature: what the logits are divided by.
        thresholds: for each level the least probability, 0 to 1, with which each class enters the set, in
            the order of `brat.CLASSES`.
        slices: how many it was fitted to.
        source: what it was fitted to, such as the data's fingerprint.
        fitted: when, ISO 8601.
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
        """The classes that one slice may be, the likeliest first; none where none is convincing.

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
        """
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        levels = {float(level): tuple(least) for level, least in content["thresholds"].items()}
        return cls(**{**content, "thresholds": levels})


def membership(probabilities: np.ndarray, least: Sequence[float]) -> np.ndarray:
    """Which classes are in the prediction set, bool (..., 4): none where no class reaches its threshold.

    What is likelier than a class in the set is in it too, although thresholds differ from class to class: a
    reader could not follow a set that skips a class.
    """
    reached = np.where(probabilities >= np.array(least), probabilities, np.inf)
    return probabilities >= reached.min(axis=-1, keepdims=True)
