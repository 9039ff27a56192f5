"""The rule by which slices of a series are to be looked at first."""

from __future__ import annotations

import numpy as np

LENGTH, LEAST = 2, 0.55
"""Slices in a row, at least, and the least probability of any tumour, averaged with the slices beside
each, that make a run to look at.

Chosen among those of `brat.evaluation.stacks.by_run`; what they find and miss is in `weights/metrics.json`.
"""

_WINDOW = np.ones(3)
"""A slice, the one before it and the one after it."""


def suspicious_runs(tumor: np.ndarray, length: int = LENGTH, least: float = LEAST) -> list[range]:
    """Runs of slices in which, together with those beside them, a tumour is likely.

    A tumour goes through neighbouring slices, and a single slice at the base of the skull is often called
    one. So the probability in each slice is averaged with those of the slices beside it, before those are
    counted that are likely enough and in a row.

    Args:
        tumor: how likely any tumour is in each slice of a stack, in its order, float (n,), 0 to 1. A slice
            that is not to count is NaN: it ends a run, and is left out of the averages beside it.
        length: slices in a row, at least.
        least: their average, at least.

    Returns:
        The numbers of their slices, from 0, in the order of the stack.
    """
    counts = np.isfinite(tumor)
    # The full convolution is longer by one at each end.
    sums = np.convolve(np.where(counts, tumor, 0), _WINDOW)[1:-1]
    inside = counts & (sums >= least * np.convolve(counts, _WINDOW)[1:-1])
    first, end = np.flatnonzero(np.diff(inside, prepend=False, append=False)).reshape(-1, 2).T
    return [range(a, b) for a, b in zip(first.tolist(), end.tolist(), strict=True) if b - a >= length]
