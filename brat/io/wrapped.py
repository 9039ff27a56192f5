"""Pictures whose values ran over: an export to 8 bits that kept the low byte only, values modulo 256."""

from __future__ import annotations

import numpy as np

_JUMP = 176
"""Grey levels between two neighbours from which a value may have run over."""

_STEP = 110
"""Grey levels below which the steps before and after a jump are."""

_EDGE = 96
"""Grey levels between two neighbours from which they count as a strong edge."""

_BLACK = 8
"""Grey level up to which a pixel is background."""

_ENDS = 3
"""Grey levels at both ends that are left out: black and white are where values were clipped."""

_OF_HEAD = 0.0005
"""Jumps that ran over, for each pixel that is not black, from which a picture did."""

_OF_EDGES = 0.05
"""Jumps that ran over, for each other strong edge, from which a picture did."""

_RIM = 0.03
"""Of the shorter side: what is left out all round, as there may be lines."""


def is_wrapped(gray: np.ndarray) -> bool:
    """Whether values of a picture ran over 255 and went on from 0, as no scanner shows them.

    Where values run over they rise, jump down by nearly 255, and rise on. At an edge of the picture itself
    the steps around a jump go the same way as the jump, or are as large. So jumps between steps the other way
    are counted along rows and columns, and compared with the other strong edges.

    Args:
        gray: uint8 (height, width).
    """
    rim = max(2, round(min(gray.shape) * _RIM))
    inner = gray[rim:-rim, rim:-rim]
    run_over = edges = 0.0
    for values in (inner, inner.T):
        values = np.ascontiguousarray(values).astype(np.int16)
        steps = np.diff(values, axis=0)
        before, jump, after = steps[:-2], steps[1:-1], steps[2:]
        size = np.abs(jump)
        places = np.nonzero(size >= _EDGE)
        low = np.minimum(values[1:-2][places], values[2:-1][places])
        high = np.maximum(values[1:-2][places], values[2:-1][places])
        inside = (low > _ENDS) & (high < 255 - _ENDS)
        direction = np.sign(jump[places])
        before, after = before[places] * direction, after[places] * direction
        rises_on = (before > -_STEP) & (before < 0) & (after > -_STEP) & (after < 0)
        ran_over = rises_on & (size[places] >= _JUMP)
        run_over += int(np.count_nonzero(inside & ran_over))
        edges += int(np.count_nonzero(inside & ~ran_over))
    head = int(np.count_nonzero(inner > _BLACK))
    return run_over > _OF_HEAD * head and run_over > _OF_EDGES * edges
