"""How well probabilities and prediction sets keep their promise on slices that they were not fitted to.

Conformal prediction promises its coverage for exchangeable slices, and slices of one patient are not
exchangeable. The coverage that was reached is therefore measured on held-out folds, with intervals over
clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from brat.classes import CLASSES
from brat.evaluation.fit_calibration import fit_calibration, fit_cautious_temperature
from brat.evaluation.metrics import mean, with_intervals
from brat.model.calibration import LEVELS, membership, softmax


def reliability(
    labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None, bins: int = 15
) -> dict[str, np.ndarray]:
    """Bins of a reliability diagram, of equal width over the probability of the likeliest class.

    Args:
        labels, probabilities: int (n,), float (n, 4).
        weights: float (n,), how often each slice counts; by default once.

    Returns:
        `count`, mean `confidence` and `accuracy`, each float (bins,); NaN in an empty bin.
    """
    confidence = probabilities.max(axis=1)
    weights = np.ones(len(labels)) if weights is None else weights
    # A bin holds its upper edge and not its lower one.
    number = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(number, weights, bins)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(number, weights * confidence, bins) / count
        accuracy = np.bincount(number, weights * (probabilities.argmax(axis=1) == labels), bins) / count
    return {"count": count, "confidence": confidence, "accuracy": accuracy}


def expected_calibration_error(
    labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None, bins: int = 15
) -> float:
    """The mean gap, 0 to 1, between confidence and accuracy over the bins of `reliability`.

    From Naeini, Cooper and Hauskrecht 2015 (AAAI, Bayesian binning). Chance alone opens gaps in sparse bins.
    So the error is above 0 even for perfect probabilities, and higher for a resample than for the sample. NaN
    where all weights are 0.
    """
    bars = reliability(labels, probabilities, weights, bins)
    return mean(np.nan_to_num(np.abs(bars["confidence"] - bars["accuracy"])), bars["count"])


def measure_calibration(
    logits: np.ndarray,
    labels: np.ndarray,
    folds: np.ndarray,
    clusters: Sequence[str],
    groups: Sequence[str] | None = None,
) -> dict:
    """Measure what calibration does to slices that it was not fitted to, as plain data for `metrics.json`.

    Args:
        logits, labels, folds: as for `cross_fitted_sets`.
        clusters: n names; slices that share one are resampled together.
        groups: as for `brat.evaluation.fit_calibration.fit_calibration`.

    Returns:
        `slices`, `clusters`, `temperature` (of all); `before` and `after`, each with `ece`, `nll` (negative
        log likelihood) and `bins`, see `reliability`; `sets`, by level: `coverage`, `coverage/CLASS`, `size`,
        `share/N` of sets of N classes; `sets_by_group`, by level and group, the same. Intervals are from
        `with_intervals`.

    Raises:
        ValueError: as `cross_fitted_sets`.
    """
    after, sets = cross_fitted_sets(logits, labels, folds, groups)
    rows_of: dict[str, list[int]] = {}
    for row, group in enumerate(groups or ()):
        rows_of.setdefault(group, []).append(row)
    return {
        "slices": len(labels),
        "clusters": len(set(clusters)),
        "temperature": fit_cautious_temperature(logits, labels, groups),
        "before": measure_probabilities(softmax(np.asarray(logits, float)), labels, clusters),
        "after": measure_probabilities(after, labels, clusters),
        "sets": {str(level): measure_sets(inside, labels, clusters) for level, inside in sets.items()},
        "sets_by_group": {
            str(level): {
                group: {
                    "slices": len(rows),
                    **measure_sets(inside[rows], labels[rows], [clusters[row] for row in rows]),
                }
                for group, rows in sorted(rows_of.items())
            }
            for level, inside in sets.items()
        },
    }


def measure_probabilities(
    probabilities: np.ndarray, labels: np.ndarray, clusters: Sequence[str]
) -> dict[str, Any]:
    """`ece`, `nll` and `bins` as of `measure_calibration`, of float (n, 4) probabilities."""
    surprise = surprises(probabilities, labels)

    def metric(weights: np.ndarray) -> dict[str, float]:
        error = expected_calibration_error(labels, probabilities, weights)
        return {"ece": error, "nll": mean(surprise, weights)}

    bars = reliability(labels, probabilities).items()
    bins = {key: [float(v) if np.isfinite(v) else None for v in values] for key, values in bars}
    return {**with_intervals(metric, clusters), "bins": bins}


def surprises(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The negative log likelihood of each slice, float (n,)."""
    # A probability that rounds to 0 in float32 must not make the mean infinite.
    return -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12))


def measure_sets(inside: np.ndarray, labels: np.ndarray, clusters: Sequence[str]) -> dict[str, Any]:
    """Coverage and size of sets as of `measure_calibration`.

    Args:
        inside: bool (n, 4), the classes that are in the set of each slice.
    """
    covered, sizes, every = inside[np.arange(len(labels)), labels], inside.sum(axis=1), np.ones(len(labels))
    counted = {"coverage": (covered, every), "size": (sizes, every)}
    counted |= {f"share/{size}": (sizes == size, every) for size in range(len(CLASSES) + 1)}
    counted |= {f"coverage/{name}": (covered, labels == k) for k, name in enumerate(CLASSES)}

    def metric(weights: np.ndarray) -> dict[str, float]:
        return {name: mean(values, weights * rows) for name, (values, rows) in counted.items()}

    return with_intervals(metric, clusters)


def cross_fitted_sets(
    logits: np.ndarray, labels: np.ndarray, folds: np.ndarray, groups: Sequence[str] | None = None
) -> tuple[np.ndarray, dict[float, np.ndarray]]:
    """Probabilities, float32 (n, 4), and for each level sets, bool (n, 4): each fold's fitted to the others.

    Args:
        logits, labels: as for `brat.evaluation.fit_calibration.fit_temperature`.
        folds: int (n,), two folds or more; slices of one patient share one.
        groups: as for `brat.evaluation.fit_calibration.fit_calibration`.

    Raises:
        ValueError: as `fit_temperature`; nothing is left to fit to where there is one fold.
    """
    folds = np.asarray(folds)
    of_group = np.array([""] * len(labels) if groups is None else groups)
    probabilities = np.empty(logits.shape, np.float32)
    sets = {level: np.empty(logits.shape, bool) for level in LEVELS}
    for fold in np.unique(folds):
        rows = folds == fold
        others = f"all folds but {fold}"
        calibration = fit_calibration(logits[~rows], labels[~rows], others, of_group[~rows])
        probabilities[rows] = calibration.apply(logits[rows])
        for level, least in calibration.thresholds.items():
            sets[level][rows] = membership(probabilities[rows], least)
    return probabilities, sets
