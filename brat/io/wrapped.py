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

_TILE = 24
"""Pixels a side of a tile, a multiple of `_PERIOD`."""

_TILES = 24
"""How many tiles are looked at: those with most soft jumps."""

_WEAK = 0.01
"""Share of the largest singular value below which what lies beside a tile is not guessed at."""

_KNOWN = slice(2, -2)
"""What of a tile, along a side, does not hang on what lies beside it."""

_NEARLY_EXPLAINED = 5
"""The same as `_EXPLAINED` of a tile, where jumps are dense."""

_IN_TILES = 3
"""Jumps that ran over in such tiles, from which the whole picture is looked at."""


def is_wrapped(gray: np.ndarray) -> bool:
    """Whether values of a picture ran over 255 and went on from 0, as no scanner shows them.

    Where it was enlarged since, the jumps are smooth; so it is looked at as it was before, too.

    Args:
        gray: uint8 (height, width).
    """
    return _ran_over(gray) or (_has_jumps(gray, _SOFT) and any(map(_ran_over, _before_enlarged(gray))))


def _has_jumps(gray: np.ndarray, apart: int) -> bool:
    """Whether there are as many jumps as where values ran over. Args: apart: see `_jumps`."""
    if min(gray.shape) <= apart:
        return False
    head = cv2.countNonZero(cv2.threshold(gray, _BLACK, 1, cv2.THRESH_BINARY)[1])
    return sum(map(cv2.countNonZero, _jumps(gray, apart))) > _OF_HEAD * head


def _jumps(gray: np.ndarray, apart: int) -> list[np.ndarray]:
    """Where values so many pixels apart, down and across, differ by a jump: uint8, 0 or 1."""
    pairs = (gray[apart:], gray[:-apart]), (gray[:, apart:], gray[:, :-apart])
    return [cv2.threshold(cv2.absdiff(*pair), _JUMP - 1, 1, cv2.THRESH_BINARY)[1] for pair in pairs]


def _before_enlarged(gray: np.ndarray) -> Iterator[np.ndarray]:
    """The middle of a picture, uint8, as it was before it was enlarged, for each way that explains it.

    Of most pictures no way explains the places with most jumps so that some ran over there. As this takes far
    less time, it is tried first.
    """
    middle = []
    for length in gray.shape:
        begin = max(0, (length - _LOOKED_AT) // 2) // _PERIOD * _PERIOD
        middle.append(slice(begin, begin + min(length - begin, _LOOKED_AT) // _PERIOD * _PERIOD))
    gray = gray[tuple(middle)]
    tiles = _tiles(gray)
    for factor in _FACTORS if len(tiles) else ():
        for interpolation in (cv2.INTER_LINEAR, cv2.INTER_CUBIC):
            if _jumps_of_tiles(tiles, factor, interpolation) < _IN_TILES:
                continue
            values = gray.astype(np.float32)
            (down, up_again), (across, back) = (_resizing(n, factor, interpolation) for n in values.shape)
            before = np.clip(np.round(down @ values @ across.T), 0, 255)
            again = np.clip(up_again @ before @ back.T, 0, 255)
            if np.sqrt(np.mean((again - values) ** 2)) <= _EXPLAINED:
                yield before.astype(np.uint8)


def _tiles(gray: np.ndarray) -> np.ndarray:
    """The tiles with most soft jumps: float32 (n, _TILE, _TILE)."""
    rows, columns = (length // _TILE for length in gray.shape)
    if not rows or not columns:
        return np.empty((0, _TILE, _TILE), np.float32)
    down, across = _jumps(gray, _SOFT)
    jumps = np.zeros(gray.shape, np.uint8)
    jumps[: len(down)] = down
    jumps[:, : across.shape[1]] += across
    whole = np.s_[: rows * _TILE, : columns * _TILE]
    counts = jumps[whole].reshape(rows, _TILE, -1).sum(axis=1, dtype=np.uint16)
    counts = counts.reshape(-1, _TILE).sum(axis=1)
    most = np.argsort(counts)[::-1][:_TILES]
    row, column = np.divmod(most[counts[most] > 0], columns)
    return gray[whole].reshape(rows, _TILE, columns, _TILE)[row, :, column].astype(np.float32)


def _jumps_of_tiles(tiles: np.ndarray, factor: float, interpolation: int) -> int:
    """How many jumps ran over in those tiles which an enlargement explains, as they were before it.

    Args:
        tiles: of `_tiles`.
        interpolation: of OpenCV.
    """
    smaller, enlarging = _resizing_amid(factor, interpolation)
    before = np.clip(np.rint(smaller @ tiles @ smaller.T), 0, 255)
    again = np.clip(enlarging[_KNOWN] @ before @ enlarging[_KNOWN].T, 0, 255)
    differ = (again - tiles[:, _KNOWN, _KNOWN]).reshape(len(tiles), -1)
    differ = np.square(differ).mean(axis=1)
    explained = before[differ <= _NEARLY_EXPLAINED**2].astype(np.int16)
    if not len(explained):
        return 0
    # Across a jump, the outermost line is a guess.
    return _count_run_over(np.concatenate([explained, explained.swapaxes(1, 2)])[:, :, 1:-1])[0]


@lru_cache(maxsize=12)
def _resizing(length: int, factor: float, interpolation: int) -> tuple[np.ndarray, np.ndarray]:
    """What makes a line shorter, float32 (length / factor, length), and what enlarges it to its length again.

    Args:
        length: pixels, a multiple of `_PERIOD`.
        interpolation: of OpenCV.
    """
    few = round(length / factor)
    enlarging = cv2.resize(np.eye(few), (few, length), interpolation=interpolation)
    # The pseudo-inverse, whose singular values take several times as long: they are all far from 0.
    smaller = np.linalg.solve(enlarging.T @ enlarging, enlarging.T)
    return smaller.astype(np.float32), enlarging.astype(np.float32)


@lru_cache
def _resizing_amid(factor: float, interpolation: int) -> tuple[np.ndarray, np.ndarray]:
    """The same of `_TILE` pixels amid a line: what they were made of lies partly beside them."""
    few = round(3 * _TILE / factor)
    enlarging = cv2.resize(np.eye(few), (few, 3 * _TILE), interpolation=interpolation)[_TILE : 2 * _TILE]
    enlarging = enlarging[:, enlarging.any(axis=0)]
    return np.linalg.pinv(enlarging, rcond=_WEAK).astype(np.float32), enlarging.astype(np.float32)


def _ran_over(gray: np.ndarray) -> bool:
    """Whether there are sharp jumps of values that ran over, compared with the other strong edges.

    Args:
        gray: uint8 (height, width).
    """
    rim = max(2, round(min(gray.shape) * _RIM))
    inner = gray[rim:-rim, rim:-rim]
    if not _has_jumps(inner, 1):
        return False
    counts = [_count_run_over(np.ascontiguousarray(values).astype(np.int16)) for values in (inner, inner.T)]
    run_over, edges = (sum(found) for found in zip(*counts, strict=True))
    head = int(np.count_nonzero(inner > _BLACK))
    return run_over > _OF_HEAD * head and run_over > _OF_EDGES * edges


def _count_run_over(values: np.ndarray) -> tuple[int, int]:
    """How many jumps along the last axis but one ran over, and how many are other strong edges.

    Where values run over they rise, jump down by nearly 255, and rise on. At an edge of the picture itself
    the steps around a jump go the same way as the jump, or are as large. So the steps around one that ran
    over go the other way.

    Args:
        values: int16 (..., height, width), 0 to 255.
    """
    steps = np.diff(values, axis=-2)
    before, jump, after = steps[..., :-2, :], steps[..., 1:-1, :], steps[..., 2:, :]
    size = np.abs(jump)
    places = np.nonzero(size >= _EDGE)
    ends = values[..., 1:-2, :][places], values[..., 2:-1, :][places]
    inside = (np.minimum(*ends) > _ENDS) & (np.maximum(*ends) < 255 - _ENDS)
    direction = np.sign(jump[places])
    before, after = before[places] * direction, after[places] * direction
    rises_on = (before > -_STEP) & (before < 0) & (after > -_STEP) & (after < 0)
    ran_over = rises_on & (size[places] >= _JUMP)
    return int(np.count_nonzero(inside & ran_over)), int(np.count_nonzero(inside & ~ran_over))
