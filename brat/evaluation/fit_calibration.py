"""Fit a `brat.model.calibration.Calibration`: a temperature, and a threshold for each class and level.

Both are fitted to logits of slices that the model was not trained on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from brat.classes import CLASSES
from brat.model.calibration import LEVELS, Calibration, softmax


def fit_calibration(logits: np.ndarray, labels: np.ndarray, source: str) -> Calibration:
    """Fit both to the same slices, which one number hardly overfits; otherwise as `fit_temperature`."""
    fitted = datetime.now(UTC).isoformat(timespec="seconds")
    scaled = Calibration(fit_temperature(logits, labels), {}, len(labels), source, fitted)
    return replace(scaled, thresholds=fit_conformal(scaled.apply(logits), labels))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature of least negative log likelihood, from 0.05 (where every slice is read rightly) to 20.

    Every slice counts alike, whatever its class: calibration is measured on the slices as they come, and
    nobody knows the mix that a reader will bring.

    Args:
        logits: float (n, 4).
        labels: int (n,), positions in `brat.CLASSES`.

    Raises:
        ValueError: there are no slices, a logit is not finite, or a label is not a class.
    """
    logits, known = np.asarray(logits, float), np.isin(labels, range(len(CLASSES)))
    if not len(labels) or not known.all() or not np.isfinite(logits).all():
        raise ValueError("A temperature is fitted to one or more slices of known class with finite logits.")
    gaps = logits - logits[np.arange(len(labels)), labels][:, np.newaxis]
    low, high = 0.05, 20.0
    # The likelihood is concave in 1 / temperature: halve the range by the sign of its slope.
    for _ in range(60):
        middle = math.sqrt(low * high)
        too_sure = (softmax(gaps, middle) * gaps).sum() > 0
        low, high = (middle, high) if too_sure else (low, middle)
    return math.sqrt(low * high)


def fit_conformal(
    probabilities: np.ndarray, labels: np.ndarray, levels: Sequence[float] = LEVELS
) -> dict[float, tuple[float, ...]]:
    """For each level the least probability with which each class enters the prediction set.

    Each class has its own threshold (Vovk 2012, arXiv 1209.2673: label-conditional), so that the level is
    meant for each class by itself and does not hang on the mix of classes. Adaptive sets (APS, RAPS) were
    as large or larger on held-out slices and covered no better.

    Args:
        probabilities, labels: float (n, 4), from `Calibration.apply`; int (n,), positions in `brat.CLASSES`.
        levels: between 0 and 1.

    Returns:
        Four thresholds a level; 0, which always lets a class in, where it has too few slices to tell.
    """
    # The slice that is yet to come counts as one more, of probability 0 until it is known.
    by_class = [np.sort(np.append(probabilities[labels == k, k], 0.0)) for k in range(len(CLASSES))]
    return {
        # As many as the level lets go, rounded down; the small number is against errors of floats.
        level: tuple(float(true[math.floor(len(true) * (1 - level) + 1e-9)]) for true in by_class)
        for level in levels
    }
