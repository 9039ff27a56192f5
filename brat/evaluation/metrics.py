"""Metrics of a set of readings, with 95 % intervals.

Each metric is computed on a thousand resamples: here, because scikit-learn checks its input anew each time
and takes sixty times as long; a test compares the two. Intervals come from resampling the index's clusters
with replacement (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13), because slices of
one patient are not independent of one another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from brat.classes import CLASSES
from brat.data.index import IndexedSlice

RESAMPLES = 1000

NO_TUMOR = CLASSES.index("no_tumor")

CONFIDENT = 0.9
"""A wrong answer above this probability is confidently wrong."""


def classification(
    labels: np.ndarray,
    probabilities: np.ndarray,
    weights: np.ndarray,
    classes: Sequence[str] = CLASSES,
) -> dict[str, float]:
    """All metrics of the reading of the classes.

    Args:
        labels: int (n,), positions in `classes`.
        probabilities: float (n, k), in the order of `classes`.
        weights: float (n,), how often each slice counts.
        classes: names of the k classes.

    Returns:
        `accuracy`, `balanced_accuracy`, `macro_f1`; `precision/CLASS`, `recall/CLASS`, `f1/CLASS`,
        `auc/CLASS` (one against the rest), `confusion/TRUE/READ` (counts). NaN where a class is missing.
    """
    read, count = probabilities.argmax(axis=1), len(classes)
    matrix = np.bincount(labels * count + read, weights, count**2).reshape(count, count)
    true, of_class, as_class = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    present = of_class > 0
    with np.errstate(invalid="ignore"):
        precision, recall, f1 = true / as_class, true / of_class, 2 * true / (of_class + as_class)
        accuracy = true.sum() / matrix.sum()
    result = {
        "accuracy": float(accuracy),
        "balanced_accuracy": float(np.mean(recall[present])),
        "macro_f1": float(np.mean(np.nan_to_num(f1[present]))),
    }
    for k, name in enumerate(classes):
        both = present[k] and present.sum() > 1
        result[f"precision/{name}"] = precision[k]
        result[f"recall/{name}"] = recall[k] if present[k] else np.nan
        result[f"f1/{name}"] = f1[k] if present[k] else np.nan
        result[f"auc/{name}"] = area_under_roc(labels == k, probabilities[:, k], weights) if both else np.nan
        for other, column in zip(classes, matrix[k], strict=True):
            result[f"confusion/{name}/{other}"] = column
    return result


def detection(tumor: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    """Tumour against none, where a slice counts as read with tumour if `no_tumor` is not its likeliest class.

    Args:
        tumor: bool (n,).
        probabilities: float (n, 4).
        weights: float (n,).

    Returns:
        `sensitivity`, `specificity`; `auc`, of one minus the probability of no tumour; and
        `confusion/TRUE/READ` (counts) of `tumor` and `no_tumor`.
    """
    both = weights[tumor].sum() > 0, weights[~tumor].sum() > 0
    read_as_tumor = probabilities.argmax(axis=1) != NO_TUMOR
    score = 1 - probabilities[:, NO_TUMOR]
    return {
        "sensitivity": mean(read_as_tumor[tumor], weights[tumor]),
        "specificity": mean(~read_as_tumor[~tumor], weights[~tumor]),
        "auc": area_under_roc(tumor, score, weights) if all(both) else float("nan"),
        **{
            f"confusion/{true}/{read}": weights[rows & as_read].sum()
            for true, rows in (("tumor", tumor), ("no_tumor", ~tumor))
            for read, as_read in (("tumor", read_as_tumor), ("no_tumor", ~read_as_tumor))
        },
    }


def area_under_roc(truth: np.ndarray, score: np.ndarray, weights: np.ndarray) -> float:
    """The share of pairs, one true and one not, in which the true one has the higher score; ties count half.

    Args:
        truth: bool (n,), with weight on both sides.
        score, weights: float (n,).
    """
    values, place = np.unique(score, return_inverse=True)
    true, false = (np.bincount(place, weights * side, len(values)) for side in (truth, ~truth))
    below = np.cumsum(false) - false / 2
    return float((true * below).sum() / (true.sum() * false.sum()))


def with_intervals(
    metric: Callable[[np.ndarray], dict[str, float]], clusters: Sequence[str], seed: int = 0
) -> dict[str, dict[str, float | None]]:
    """A metric and the 95 % interval of each of its numbers, from resampling clusters.

    Args:
        metric: weights, float (n,) -> numbers by name.
        clusters: n names; slices that share one are drawn together.

    Returns:
        `{name: {"value": ..., "low": ..., "high": ...}}`; None for what cannot be computed.
    """
    _, members = np.unique(np.asarray(clusters), return_inverse=True)
    count = members.max() + 1
    draw = np.random.default_rng(seed)
    value = metric(np.ones(len(members)))
    drawn: dict[str, list[float]] = {name: [] for name in value}
    for _ in range(RESAMPLES):
        times = np.bincount(draw.integers(count, size=count), minlength=count)
        for name, number in metric(times[members].astype(float)).items():
            drawn[name].append(number)
    result = {}
    for name, number in value.items():
        known = np.array(drawn[name], float)
        known = known[np.isfinite(known)]
        low, high = np.percentile(known, [2.5, 97.5]) if len(known) else (np.nan, np.nan)
        result[name] = {
            key: float(v) if np.isfinite(v) else None
            for key, v in (("value", number), ("low", low), ("high", high))
        }
    return result


def entry(slices: Sequence[IndexedSlice], metric: Callable[[np.ndarray], dict[str, float]]) -> dict:
    """How many slices and clusters were measured, and the metrics with their intervals."""
    clusters = [s.cluster for s in slices]
    return {
        "slices": len(slices),
        "clusters": len(set(clusters)),
        "metrics": with_intervals(metric, clusters),
    }


def means(values: Mapping[str, np.ndarray]) -> Callable[[np.ndarray], dict[str, float]]:
    """A metric for `with_intervals`: the weighted mean of each of several (n,) arrays."""
    return lambda weights: {name: mean(numbers, weights) for name, numbers in values.items()}


def mean(values: np.ndarray, weights: np.ndarray) -> float:
    """The weighted mean of (n,) numbers; NaN where no weight is left."""
    return float(np.average(values, weights=weights)) if weights.any() else float("nan")
