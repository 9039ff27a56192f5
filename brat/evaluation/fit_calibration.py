"""Fit a `brat.model.calibration.Calibration`: a temperature, and a threshold for each class and level.

Both are fitted to logits of slices that the model was not trained on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from brat.classes import CLASSES
from brat.evaluation.metrics import CONFIDENT
from brat.model.calibration import LEVELS, Calibration, softmax


def fit_calibration(
    logits: np.ndarray, labels: np.ndarray, source: str, groups: Sequence[str] | None = None
) -> Calibration:
    """Fit temperature and thresholds to the same slices; a single number hardly overfits.

    Args:
        logits, labels: as for `fit_temperature`.
        source: the data that it is fitted to, such as their fingerprint.
        groups: as for `fit_cautious_temperature` and `fit_conformal`.

    Raises:
        ValueError: as `fit_temperature`.
    """
    fitted = datetime.now(UTC).isoformat(timespec="seconds")
    temperature = fit_cautious_temperature(logits, labels, groups)
    scaled = Calibration(temperature, {}, len(labels), source, fitted)
    return replace(scaled, thresholds=fit_conformal(scaled.apply(logits), labels, groups))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature with the lowest negative log likelihood, 0.05 (all slices read correctly) to 20.

    All slices count alike, whatever their class: calibration is measured on the slices as they come, and
    nobody knows the mix of classes in later use.

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
    # The likelihood is concave in 1 / temperature: halve the range by the sign of its slope.
    return _bisect(lambda middle: (softmax(gaps, middle) * gaps).sum() > 0)


ENOUGH = 100
"""Slices that a group needs to have a temperature of its own."""

RISK = 0.02
"""Share of the answers in each group, at most, that may be wrong above `CONFIDENT`."""


def fit_cautious_temperature(
    logits: np.ndarray, labels: np.ndarray, groups: Sequence[str] | None = None
) -> float:
    """The highest of the temperatures of all slices and of each group; of several groups 1 at least.

    A hospital that was not trained on is read worse than those that were, and nobody tells the model where a
    slice comes from. So no group's probabilities are to be too sure, and none is made surer than the network
    is: what all known groups could bear, an unknown one may not. Nor is any of several groups to be
    confidently wrong too often, see `fit_to_risk`. In most groups more answers are right than they say.

    Args:
        logits, labels: as for `fit_temperature`.
        groups: n names, such as source and sequence; by default all slices are of one place, such as a site
            that fits its own. A group of fewer than `ENOUGH` slices has no say.

    Raises:
        ValueError: as `fit_temperature`.
    """
    logits, labels = np.asarray(logits, float), np.asarray(labels)
    pooled = fit_temperature(logits, labels)
    if groups is None:
        return pooled
    of_group = np.array(groups)
    parts = [rows for group in set(groups) if (rows := of_group == group).sum() >= ENOUGH]
    own = (fit(logits[rows], labels[rows]) for rows in parts for fit in (fit_temperature, fit_to_risk))
    return max(pooled, *own, 1.0)


def fit_to_risk(logits: np.ndarray, labels: np.ndarray) -> float:
    """The least temperature at which `RISK` of the answers, at most, are wrong above `CONFIDENT`.

    The next slice counts as one of them, so that the share is expected to hold there (conformal risk control:
    Angelopoulos et al. 2022, arXiv 2208.02814).

    Args:
        logits, labels: as for `fit_temperature`, of `ENOUGH` slices or more.

    Returns:
        0.05 to 20.
    """
    wrong = logits[logits.argmax(axis=1) != labels]
    may_be = RISK * (len(labels) + 1) - 1
    return _bisect(lambda middle: (softmax(wrong, middle).max(axis=1) > CONFIDENT).sum() > may_be)


def _bisect(is_too_low: Callable[[float], bool]) -> float:
    """The temperature, 0.05 to 20, above which another is no longer too low."""
    low, high = 0.05, 20.0
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if is_too_low(middle) else (low, middle)
    return math.sqrt(low * high)


def fit_conformal(
    probabilities: np.ndarray,
    labels: np.ndarray,
    groups: Sequence[str] | None = None,
    levels: Sequence[float] = LEVELS,
) -> dict[float, tuple[float, ...]]:
    """For each level the least probability at which each class enters the prediction set.

    Each class has its own threshold (label-conditional: Vovk 2012, arXiv 1209.2673), so that the level holds
    for each class by itself and does not depend on the mix of classes. Adaptive sets (APS, RAPS) were as
    large or larger on held-out slices and covered no better.

    Nobody tells the model where a slice comes from. So the level is to hold in the group that needs the
    lowest threshold, and elsewhere the sets hold the truth more often, and are larger, than the level asks.

    Args:
        probabilities, labels: float (n, 4), from `Calibration.apply`; int (n,), positions in `brat.CLASSES`.
        groups: n names, such as source and sequence; by default all slices are one group. A group with too
            few slices of a class to say anything at a level has no say there.
        levels: between 0 and 1.

    Returns:
        Four thresholds for each level. A class with too few slices in all gets 0, which always lets it in.
    """
    of_group = np.array([""] * len(labels) if groups is None else groups)
    by_class = [
        [
            probabilities[labels == k, k],
            *(probabilities[(labels == k) & (of_group == g), k] for g in set(of_group)),
        ]
        for k in range(len(CLASSES))
    ]
    return {level: tuple(_threshold(of_class, level) for of_class in by_class) for level in levels}


def _threshold(samples: Sequence[np.ndarray], level: float) -> float:
    """The least threshold that a sample needs: the first, of all slices, or one that is large enough."""
    every, *others = samples
    return min(_quantile(sample, level) for sample in (every, *(s for s in others if _may_miss(s, level))))


def _quantile(probabilities: np.ndarray, level: float) -> float:
    # The next slice counts as one more; its probability is unknown and taken as 0.
    return float(np.sort(np.append(probabilities, 0.0))[_may_miss(probabilities, level)])


def _may_miss(probabilities: np.ndarray, level: float) -> int:
    """The number of slices that the level may miss, rounded down; 1e-9 guards against rounding."""
    return math.floor((len(probabilities) + 1) * (1 - level) + 1e-9)
