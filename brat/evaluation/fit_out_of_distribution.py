"""Fit a `brat.model.out_of_distribution.OodDetector` to the slices that a model learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from tqdm import tqdm

from brat.data.index import IndexedSlice
from brat.io.read import read_scan
from brat.model.classifier import Classifier
from brat.model.out_of_distribution import OodDetector, image_facts, split_parts
from brat.model.preprocess import frame, to_input
from brat.perturb.changes import CHANGES

REFUSED = 0.02
"""Share of real slices that may be refused."""

_COMPONENTS = (17, 24, 48)
"""Principal components that are kept of the facts, of the edges and of the features."""

_WEIGHTS = (4.0, 1.0, 0.5)
"""Weights of the parts. They and the components were chosen by how many of `brat.evaluation.other_images` are
refused."""

_REFERENCES = 1000
"""Slices that are remembered, at most."""


def fit_detector(features: np.ndarray, facts: np.ndarray, limit: float) -> OodDetector:
    """Remember the slices that a model learned from.

    Add the slices of `describe_copies` to them: then slices in other light, at other angles or cut closer are
    refused less often.

    Args:
        features: float32 (n, 1280), the model's pooled features of the slices.
        facts: float32 (n, 145), their `brat.model.out_of_distribution.image_facts`.
        limit: from `choose_limit`.

    Raises:
        ValueError: the arrays do not describe the same slices, or fewer than two.
    """
    if features.ndim != 2 or facts.ndim != 2 or len(features) != len(facts) or len(features) < 2:
        raise ValueError(
            "An out-of-distribution detector needs the features and the facts of the same slices, two or "
            f"more, not arrays of shape {features.shape} and {facts.shape}."
        )
    parts = split_parts(features, facts)
    means = tuple(part.mean(axis=0) for part in parts)
    # Pooled features share one scale; most of them are nearly always 0, and must not be blown up.
    scales = (*(np.maximum(part.std(axis=0), 1e-6) for part in parts[:2]), np.ones_like(means[2]))
    bases = tuple(
        _whitening((part - mean) / scale, components) * np.float32(weight**0.5)
        for part, mean, scale, components, weight in zip(
            parts, means, scales, _COMPONENTS, _WEIGHTS, strict=True
        )
    )
    detector = OodDetector(means, scales, bases, np.empty((0, 0), np.float32), float(limit))
    coordinates = np.hstack(detector.coordinates(features, facts))
    return replace(detector, references=coordinates[_spread_out(coordinates, _REFERENCES)])


def out_of_fold_distances(
    fit_features: np.ndarray, fit_facts: np.ndarray, test_features: np.ndarray, test_facts: np.ndarray
) -> np.ndarray:
    """Distances, float32 (n,), of slices that a model has not seen, in that model's own space.

    Each fold's model has features of its own. The distances of a fold are therefore taken by a detector that
    is fitted to what the fold's model learned from. Whitening gives every such space the same scale, so the
    distances of all folds may be pooled, and a limit chosen from them holds for the model that ships.

    Args:
        fit_features, fit_facts: as for `fit_detector`, of what the fold's model learned from.
        test_features, test_facts: of the fold, by the same model.
    """
    return fit_detector(fit_features, fit_facts, limit=np.inf).distances(test_features, test_facts)


def choose_limit(distances: np.ndarray, refused: float = REFUSED) -> float:
    """The smallest of the distances that at most the share `refused` of them exceeds."""
    return float(np.quantile(distances, 1 - refused, method="higher"))


def describe_copies(classifier: Classifier, slices: Sequence[IndexedSlice]) -> tuple[np.ndarray, np.ndarray]:
    """Describe a copy of each slice, changed as another scanner or export might have changed it.

    Each copy has one change: in light, sharpness, compression, pose or framing, as in `brat.perturb.changes`,
    without the strongest levels.

    Returns:
        What `fit_detector` takes: features, float32 (n, 1280), and facts, float32 (n, 145).
    """
    features, facts = [], []
    for number, s in enumerate(tqdm(slices, desc="changing slices", unit="slice", disable=None)):
        framed, _ = frame(_changed(read_scan(s.path).gray, number))
        features.append(classifier.predict(to_input(framed)).features)
        facts.append(image_facts(framed))
    return np.stack(features), np.stack(facts)


def _changed(gray: np.ndarray, number: int) -> np.ndarray:
    change = list(CHANGES.values())[number % len(CHANGES)]
    low, high = sorted((change.levels[1], change.levels[-2]))
    return change.apply(gray, np.random.default_rng(number).uniform(low, high))


def _whitening(centred: np.ndarray, components: int) -> np.ndarray:
    """(k, p): maps rows of zero mean onto their principal components, each of the same variance 1 / p."""
    variances, axes = np.linalg.eigh(np.cov(centred, rowvar=False, dtype=np.float64))
    retained = np.flatnonzero(variances > 1e-6 * variances[-1])[::-1][:components]
    return (axes[:, retained] / np.sqrt(variances[retained] * len(retained))).astype(np.float32)


def _spread_out(places: np.ndarray, count: int) -> np.ndarray:
    """Rows that cover all places evenly: the most typical, then always the one farthest from those chosen.

    Gonzalez 1985, "Clustering to minimize the maximum intercluster distance". Rare slices are kept;
    neighbours in a series, which say the same, are not.
    """
    chosen = [int((places**2).sum(axis=1).argmin())]
    gaps = ((places - places[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < count and gaps.max() > 0:
        chosen.append(int(gaps.argmax()))
        gaps = np.minimum(gaps, ((places - places[chosen[-1]]) ** 2).sum(axis=1))
    return np.array(chosen)
