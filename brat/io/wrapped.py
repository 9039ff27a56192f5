"""Pictures whose values ran over: an export to 8 bits that kept the low byte only, values modulo 256."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import cv2
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


_FACTORS = (1.5, 2, 3)
"""How many times larger a picture may have been made after its values ran over."""

_PERIOD = 6
"""Pixels after which all of these factors are at the same place between two pixels of before."""

_LOOKED_AT = 516
"""Pixels a side of the middle of an enlarged picture, which is enough to judge by."""

_EXPLAINED = 2.2
"""Grey levels, root mean square, by which a picture may differ from what it was before, enlarged again."""

_SOFT = 4
"""Pixels over which an enlarged jump is spread, at most."""


def is_wrapped(gray: np.ndarray) -> bool:
    """Whether values of a picture ran over 255 and went on from 0, as no scanner shows them.

    Where it was enlarged since, the jumps are smooth; so it is looked at as it was before, too.

    Args:
        gray: uint8 (height, width).
    """
    return _ran_over(gray) or (_has_soft_jumps(gray) and any(map(_ran_over, _before_enlarged(gray))))


def _has_soft_jumps(gray: np.ndarray) -> bool:
    """Whether values differ by a jump within a few pixels often enough: of most slices they do not."""
    jumps = sum(
        int(np.count_nonzero(cv2.absdiff(values[_SOFT:], values[:-_SOFT]) >= _JUMP))
        for values in (gray, np.ascontiguousarray(gray.T))
        if len(values) > _SOFT
    )
    return jumps > _OF_HEAD * int(np.count_nonzero(gray > _BLACK))


def _before_enlarged(gray: np.ndarray) -> Iterator[np.ndarray]:
    """The middle of a picture, uint8, as it was before it was enlarged, for each way that explains it."""
    middle = []
    for length in gray.shape:
        begin = max(0, (length - _LOOKED_AT) // 2) // _PERIOD * _PERIOD
        middle.append(slice(begin, begin + min(length - begin, _LOOKED_AT) // _PERIOD * _PERIOD))
    values = gray[tuple(middle)].astype(np.float32)
    for factor in _FACTORS if values.size else ():
        for interpolation in (cv2.INTER_LINEAR, cv2.INTER_CUBIC):
            (down, up_again), (across, back) = (_resizing(n, factor, interpolation) for n in values.shape)
            before = np.clip(np.round(down @ values @ across.T), 0, 255)
            again = np.clip(up_again @ before @ back.T, 0, 255)
            if np.sqrt(np.mean((again - values) ** 2)) <= _EXPLAINED:
                yield before.astype(np.uint8)


@lru_cache(maxsize=64)
def _resizing(length: int, factor: float, interpolation: int) -> tuple[np.ndarray, np.ndarray]:
    """What makes a line shorter, float32 (length / factor, length), and what enlarges it to its length again.

    Args:
        length: pixels, a multiple of `_PERIOD`.
        interpolation: of OpenCV.
    """
    few = round(length / factor)
    enlarging = cv2.resize(np.eye(few), (few, length), interpolation=interpolation)
    return np.linalg.pinv(enlarging).astype(np.float32), enlarging.astype(np.float32)


def _ran_over(gray: np.ndarray) -> bool:
    """Whether there are sharp jumps of values that ran over.

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
