"""Logits -> probabilities that mean what they say, and sets of classes that hold the truth that often.

Temperature scaling (Guo et al. 2017, arXiv 1706.04599, section 4.2) and split conformal prediction with
the least ambiguous sets (LAC; Sadinle, Lei and Wasserman 2019, arXiv 1609.00451), one threshold a class, both
fitted to logits of slices that the model was not trained on.

Conformal prediction promises its coverage for exchangeable slices, which those of one patient are not:
`report` measures what coverage was reached on held-out folds, with intervals over clusters.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from brat.classes import CLASSES
from brat.evaluation.metrics import mean, softmax, with_intervals

LEVELS = (0.9, 0.95, 0.99)
"""The shares of slices, in each class, whose prediction set is to hold the true class."""


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

    def prediction_set(self, probabilities: np.ndarray, level: float = 0.95) -> tuple[str, ...]:
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


def fit(logits: np.ndarray, labels: np.ndarray, source: str) -> Calibration:
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


def membership(probabilities: np.ndarray, least: Sequence[float]) -> np.ndarray:
    """Which classes are in the prediction set, bool (..., 4): none where no class reaches its threshold.

    What is likelier than a class in the set is in it too, although thresholds differ from class to class: a
    reader could not follow a set that skips a class.
    """
    reached = np.where(probabilities >= np.array(least), probabilities, np.inf)
    return probabilities >= reached.min(axis=-1, keepdims=True)


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


def report(logits: np.ndarray, labels: np.ndarray, folds: np.ndarray, clusters: Sequence[str]) -> dict:
    """What calibration does to slices that it was not fitted to, as plain data for `metrics.json`.

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
        calibration = fit(logits[~rows], labels[~rows], f"all folds but {fold}")
        probabilities[rows] = calibration.apply(logits[rows])
        for level, least in calibration.thresholds.items():
            sets[level][rows] = membership(probabilities[rows], least)
    return probabilities, sets
