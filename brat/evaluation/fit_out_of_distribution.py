"""Fit a `brat.model.out_of_distribution.OodDetector` to slices of heads and to pictures that are none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from brat.data.index import IndexedSlice
from brat.model.classifier import Classifier
from brat.model.out_of_distribution import OodDetector
from brat.model.preprocess import frame, to_input
from brat.perturb.changes import CHANGES

REFUSED = 0.02
"""Share of real slices that may be refused in the source and sequence where most are."""

ENOUGH = 100
"""Slices that a source and sequence needs to set the limit."""

A_SOURCE = 250
"""Slices of each source and sequence that a detector is fitted to, at most."""

_COPIES = 2
"""Changed copies of each picture to refuse that a detector is fitted to."""

_COST = 1.0
"""What a slice on the wrong side costs the support vector machine."""

_WIDTH = 1.0
"""Of its kernel: gamma times the number of values of an appearance."""


def fit_detector(
    slices: np.ndarray,
    others: np.ndarray,
    kinds: Sequence[str],
    limit: float = 0.0,
    weights: np.ndarray | None = None,
) -> OodDetector:
    """Tell slices of heads from other pictures.

    Args:
        slices: float32 (n, k), `Prediction.appearance` of slices of heads.
        others: float32 (m, k), of pictures that are none.
        kinds: m names of what each of these is.
        limit: from `choose_limit`.
        weights: float (n,), how much each slice counts; all alike by default.

    Raises:
        ValueError: there are no slices or no other pictures, or a picture has no kind.
    """
    from sklearn.svm import SVC

    if not len(slices) or not len(others) or len(others) != len(kinds) or not all(kinds):
        raise ValueError(
            "An out-of-distribution detector needs slices, and other pictures with a kind each, not "
            f"{len(slices)} slices, {len(others)} pictures and {len(kinds)} kinds."
        )
    appearances = np.concatenate([slices, others]).astype(np.float32)
    mean, scale = appearances.mean(axis=0), np.maximum(appearances.std(axis=0), 1e-6)
    gamma = _WIDTH / appearances.shape[1]
    machine = SVC(C=_COST, gamma=gamma, class_weight="balanced")
    machine.fit(
        (appearances - mean) / scale,
        np.repeat([0, 1], [len(slices), len(others)]),
        np.concatenate([np.ones(len(slices)) if weights is None else weights, np.ones(len(others))]),
    )
    names = np.array([*[""] * len(slices), *kinds])
    return OodDetector(
        mean,
        scale,
        machine.support_vectors_.astype(np.float32),
        machine.dual_coef_[0].astype(np.float32),
        names[machine.support_],
        gamma,
        float(machine.intercept_[0]),
        limit,
    )


def with_limit(detector: OodDetector, limit: float) -> OodDetector:
    """The same detector with another limit."""
    return replace(detector, limit=limit)


def choose_limit(decisions: np.ndarray, groups: Sequence[str], refused: float = REFUSED) -> float:
    """The smallest limit at which no group of slices is refused more often than `refused`.

    Groups of fewer than `ENOUGH` slices count only where all are as small.

    Args:
        decisions: float (n,), of slices that the detector was not fitted to.
        groups: n names, such as source and sequence.
    """
    counts = Counter(groups)
    # Of fewer, one patient sets the limit for all.
    judged = [group for group, count in counts.items() if count >= ENOUGH] or list(counts)
    of_group = np.array(groups)
    return max(
        float(np.quantile(decisions[of_group == group], 1 - refused, method="higher")) for group in judged
    )


def choose_slices(slices: Sequence[IndexedSlice], seed: int = 0) -> list[IndexedSlice]:
    """At most `A_SOURCE` slices of each source and sequence, so that none outweighs the others."""
    draw = np.random.default_rng(seed)
    members: dict[tuple[str, str], list[IndexedSlice]] = {}
    for s in slices:
        members.setdefault((s.source, s.sequence), []).append(s)
    chosen = []
    for _, of_kind in sorted(members.items()):
        rows = draw.choice(len(of_kind), size=min(A_SOURCE, len(of_kind)), replace=False)
        chosen += [of_kind[row] for row in sorted(rows)]
    return chosen


def appearances_of(classifier: Classifier, pictures: Iterable[np.ndarray]) -> np.ndarray:
    """`Prediction.appearance` of pictures, uint8 (height, width) each: float32 (n, k)."""
    return np.stack([classifier.predict(to_input(frame(gray)[0])).appearance for gray in pictures])


def with_copies(gray: np.ndarray, number: int) -> list[np.ndarray]:
    """A picture to refuse and changed copies of it, so that it is refused in another light, too."""
    return [gray, *(changed(gray, number * _COPIES + copy) for copy in range(_COPIES))]


def changed(gray: np.ndarray, number: int) -> np.ndarray:
    """A copy with one of `brat.perturb.changes`, not at its strongest; the number settles which."""
    change = list(CHANGES.values())[number % len(CHANGES)]
    low, high = sorted((change.levels[1], change.levels[-2]))
    return change.apply(gray, np.random.default_rng(number).uniform(low, high))
