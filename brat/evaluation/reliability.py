"""How well probabilities and prediction sets keep their promise on slices that they were not fitted to.

Conformal prediction promises its coverage for exchangeable slices, and slices of one patient are not
exchangeable. The coverage that was reached is therefore measured on held-out folds, with intervals over
clusters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from brat.classes import CLASSES
from brat.evaluation.fit_calibration import fit_calibration, fit_temperature
from brat.evaluation.metrics import mean, with_intervals
from brat.model.calibration import LEVELS, membership, softmax


def cross_fitted(logits: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Probabilities, float32 (n, 4), each fold's by a temperature fitted to the other folds.

    Args:
        logits, labels: as for `fit_temperature`.
        folds: int (n,), two folds or more; slices of one patient share one.

    Raises:
        ValueError: as `fit_temperature`; nothing is left to fit to where there is one fold.
    """
    return _cross_fitted(logits, labels, folds)[0]


def reliability(
    labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None, bins: int = 15
) -> dict[str, np.ndarray]:
    """A reliability diagram: the likeliest class in bins of equal width over the probabilities 0 to 1.

    Args:
        labels, probabilities: int (n,), float (n, 4).
        weights: float (n,), how often each slice counts; once by default.

    Returns:
        `count`, mean `confidence` and `accuracy`, each float (bins,); NaN for what an empty bin lacks.
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

    After Naeini, Cooper and Hauskrecht 2015 (AAAI, Bayesian binning). Chance alone opens gaps in sparse
    bins, so it is above 0 even for perfect probabilities, and a resample's is above the sample's. NaN where
    no weight is left.
    """
    bars = reliability(labels, probabilities, weights, bins)
    return mean(np.nan_to_num(np.abs(bars["confidence"] - bars["accuracy"])), bars["count"])


def measure_calibration(
    logits: np.ndarray, labels: np.ndarray, folds: np.ndarray, clusters: Sequence[str]
) -> dict:
    """Measure what calibration does to slices that it was not fitted to, as plain data for `metrics.json`.

    Args:
        logits, labels, folds: as for `cross_fitted`.
        clusters: n names, to resample.

    Returns:
        `slices`, `clusters`, `temperature` (of all); `before` and `after`, each with `ece`, `nll` (negative
        log likelihood) and `bins`, see `reliability`; `sets`, by level: `coverage`, `coverage/CLASS`, `size`,
        `share/N` of sets of N classes. Intervals are from `with_intervals`.

    Raises:
        ValueError: as `cross_fitted`.
    """
    after, sets = _cross_fitted(logits, labels, folds)
    own = np.arange(len(labels)), labels
    result = {"slices": len(labels), "clusters": len(set(clusters)), "sets": {}}
    result["temperature"] = fit_temperature(logits, labels)
    for name, p in (("before", softmax(np.asarray(logits, float))), ("after", after)):
        # A probability that float32 rounded to 0 must not make the mean infinite.
        surprise = -np.log(np.maximum(p[own], 1e-12))

        def quality(weights, p=p, surprise=surprise):
            return {"ece": expected_calibration_error(labels, p, weights), "nll": mean(surprise, weights)}

        bars = reliability(labels, p).items()
        bins = {key: [float(v) if np.isfinite(v) else None for v in values] for key, values in bars}
        result[name] = {**with_intervals(quality, clusters), "bins": bins}
    for level, inside in sets.items():
        covered, sizes, every = inside[own], inside.sum(axis=1), np.ones(len(labels))
        counted = {"coverage": (covered, every), "size": (sizes, every)}
        for size in range(len(CLASSES) + 1):
            counted[f"share/{size}"] = sizes == size, every
        for k, name in enumerate(CLASSES):
            counted[f"coverage/{name}"] = covered, labels == k

        def metric(weights, counted=counted):
            return {name: mean(values, weights * rows) for name, (values, rows) in counted.items()}

        result["sets"][str(level)] = with_intervals(metric, clusters)
    return result


def _cross_fitted(logits, labels, folds) -> tuple[np.ndarray, dict[float, np.ndarray]]:
    """Each fold's probabilities, and for each level its sets, bool (n, 4), fitted to the other folds."""
    folds = np.asarray(folds)
    probabilities = np.empty(logits.shape, np.float32)
    sets = {level: np.empty(logits.shape, bool) for level in LEVELS}
    for fold in np.unique(folds):
        rows = folds == fold
        calibration = fit_calibration(logits[~rows], labels[~rows], f"all folds but {fold}")
        probabilities[rows] = calibration.apply(logits[rows])
        for level, least in calibration.thresholds.items():
            sets[level][rows] = membership(probabilities[rows], least)
    return probabilities, sets
