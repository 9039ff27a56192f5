"""Slices that touch each other on one picture, as those that are cropped to the head and set edge to edge.

No line of one shade lies between them, and their heads are one bright piece. But this piece has a waist where
two of them touch, and what lies on both sides of it is as round as a head and of one size. The thresholds
were set on pages of cropped slices and on single slices, see `tools.pages`.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

_WAIST = 0.62
"""Bright pixels across a waist, as a share of those across the wider places on both sides, at most."""

_AMID = 0.2
"""How far a waist lies from the ends, at least, as a share of the length."""

_FLAT = 0.02
"""Waists that differ by less are one."""

_ROUND = 0.7
"""What a head and the ellipse in its box have in common, as a share of what is in either."""

_ALIKE = 0.8
"""Width and height of each head, as shares of the largest ones."""

_SLIMMEST = 0.6
"""Shorter side of a head, as a share of the longer one: the halves of a brain are slimmer."""

_SMALLEST = 16
"""Pixels a side of a head, at least."""

_DEEPEST = 6
"""Cuts within cuts: of 36 slices the last ones need as many."""

Box = tuple[int, int, int, int]
"""Left, top, right and bottom; right and bottom exclusive."""


class _Head(NamedTuple):
    """Attributes: cell: of the picture, what was cut out for it; width, height: its own."""

    roundness: float
    cell: Box
    width: int
    height: int


def cut_apart(mask: np.ndarray) -> list[Box]:
    """The cells in which the heads of a picture lie; empty where it holds one.

    Args:
        mask: uint8 (height, width), 1 where it is bright.
    """
    left, top, width, height = cv2.boundingRect(mask)
    cell = left, top, left + width, top + height
    # Most pictures of one head have no waist.
    if min(width, height) < _SMALLEST or not _halves(mask, cell):
        return []
    heads = _heads(mask, cell, _ROUND, _DEEPEST)
    if len(heads) < 2:
        return []
    for sides in ([head.width for head in heads], [head.height for head in heads]):
        if min(sides) < _ALIKE * max(sides):
            return []
    return [head.cell for head in heads]


def _heads(mask: np.ndarray, cell: Box, least: float, cuts: int) -> list[_Head]:
    """What a cell holds, by those cuts of it after which the least round part is the roundest.

    Args:
        least: how round all parts must be.
        cuts: within cuts, at most.

    Returns:
        An empty list where not all can be as round.
    """
    left, top, right, bottom = cell
    if min(right - left, bottom - top) < _SMALLEST:
        return []
    whole = _head(mask, cell)
    best = [whole] if whole.roundness >= least else []
    least = max(least, whole.roundness)
    for halves in _halves(mask, cell) if cuts else ():
        heads: list[_Head] = []
        for half in halves:
            found = _heads(mask, half, least, cuts - 1)
            if not found:
                break
            heads += found
        else:
            if not best or min(h.roundness for h in heads) > min(h.roundness for h in best):
                best = heads
    return best


def _halves(mask: np.ndarray, cell: Box) -> list[tuple[Box, Box]]:
    """What is to the left and right of a cell's waist, and what is above and below one."""
    left, top, right, bottom = cell
    part = mask[top:bottom, left:right]
    halves: list[tuple[Box, Box]] = []
    at = _waist(cv2.reduce(part, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[0])
    if at is not None:
        halves.append(((left, top, left + at, bottom), (left + at, top, right, bottom)))
    at = _waist(cv2.reduce(part, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[:, 0])
    if at is not None:
        halves.append(((left, top, right, top + at), (left, top + at, right, bottom)))
    return halves


def _waist(across: np.ndarray) -> int | None:
    """Where a piece is narrowest between two wider places.

    Args:
        across: its bright pixels at each place, int (n,).
    """
    first, last = int(_AMID * len(across)), int((1 - _AMID) * len(across))
    if len(across) < 2 * _SMALLEST:
        return None
    before, after = np.maximum.accumulate(across), np.maximum.accumulate(across[::-1])[::-1]
    narrow = (across / np.maximum(np.minimum(before, after), 1))[first:last]
    if narrow.min() > _WAIST:
        return None
    lowest = np.flatnonzero(narrow < narrow.min() + _FLAT)
    middle = (lowest[(len(lowest) - 1) // 2] + lowest[len(lowest) // 2]) / 2
    return first + int(lowest[np.argmin(np.abs(lowest - middle))])


def _head(mask: np.ndarray, cell: Box) -> _Head:
    left, top, right, bottom = cell
    outlines, _ = cv2.findContours(mask[top:bottom, left:right], cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return _Head(0, cell, 0, 0)
    outline = max(outlines, key=cv2.contourArea)
    width, height = cv2.boundingRect(outline)[2:]
    if min(width, height) < max(_SMALLEST, _SLIMMEST * max(width, height)):
        return _Head(0, cell, width, height)
    return _Head(roundness(outline), cell, width, height)


def roundness(outline: np.ndarray) -> float:
    """What an outline of OpenCV and the ellipse in its box share, as a part of what is in either: 0 to 1."""
    x, y, width, height = cv2.boundingRect(outline)
    inside = np.zeros((height, width), np.uint8)
    cv2.drawContours(inside, [outline], -1, 1, cv2.FILLED, offset=(-x, -y))
    rows, columns = (np.arange(side) * 2 + 1 - side for side in (height, width))
    ellipse = (rows[:, np.newaxis] / height) ** 2 + (columns / width) ** 2 <= 1
    return float(np.count_nonzero(inside & ellipse) / np.count_nonzero(inside | ellipse))
