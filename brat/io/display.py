"""Values of any range as 8-bit gray."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

_APART = 4
"""How many times as far from the lowest value a bright block lies as all other values."""

_BLOCK = 97
"""Percentile above which such a block is: where it is larger, it may be what the picture shows."""

_SHADES = 16
"""Values below such a block; where there are fewer the picture is a mask."""

_MANY = 256
"""Values a side."""

_AMID = 0.02
"""Share of the measured values that must lie below a background for it to lie amid them."""


def percentiles(gray: np.ndarray, wanted: Sequence[float]) -> list[float]:
    """`numpy.percentile` of a uint8 image, to the last bit, from its histogram: in a tenth of the time.

    Args:
        wanted: 0 to 100.
    """
    up_to = np.cumsum(cv2.calcHist([gray], [0], None, [256], [0, 256]).ravel().astype(np.int64))
    found = []
    for share in wanted:
        place = (share / 100) * (gray.size - 1)
        below = math.floor(place)
        first, second = (int(np.searchsorted(up_to, rank, side="right")) for rank in (below, below + 1))
        second, part = min(second, 255), place - below
        # As NumPy does it, which is exact at both ends.
        step = second - first
        found.append(float(second - step * (1 - part) if part >= 0.5 else first + step * part))
    return found


def finite(pixels: np.ndarray) -> np.ndarray:
    """The values with the lowest in place of each NaN and -inf, and the highest in place of each +inf."""
    if pixels.dtype.kind in "iub":
        return pixels
    known = np.isfinite(pixels)
    if known.all():
        return pixels
    low, high = (pixels[known].min(), pixels[known].max()) if known.any() else (0, 0)
    return np.nan_to_num(pixels, nan=low, posinf=high, neginf=low)


def is_out_of_range(values: np.ndarray) -> bool:
    """Whether values are beyond what their type holds: some infinite, or all of them one value."""
    if not values.size:
        return False
    low, high = values.min(), values.max()
    return bool(np.isinf(low) or np.isinf(high) or low == high)


def to_display(pixels: np.ndarray) -> np.ndarray:
    """Map full-range values to uint8: the lowest to 0, the 99.9th percentile and above to 255."""
    return stretch(pixels, *display_range(pixels))


def display_range(pixels: np.ndarray) -> tuple[float, float]:
    """The values to show black and white where the file names no window: the lowest, the 99.9th percentile.

    The percentile keeps a few hot pixels from turning the rest of the slice black. Where a few cold ones lie
    farther below the others than these are wide, the 0.1th percentile is the lowest. A block of an artefact
    or a clip, far above all other values and with none in between, is left out.
    """
    low = float(pixels.min())
    floor, most, high = (float(value) for value in np.percentile(pixels, (0.1, _BLOCK, 99.9)))
    if high - low > _APART * (most - low):
        high = _below_block(pixels, low, most, high)
    if floor - low > high - floor > 0:
        low = floor
    return low, high if high > low else float(pixels.max())


def _below_block(pixels: np.ndarray, low: float, most: float, high: float) -> float:
    """The 99.9th percentile of what lies below a bright block, or `high` where there is none.

    Args:
        low: the lowest value.
        most: above it is the block, if any.
        high: the 99.9th percentile of all values.
    """
    above = np.unique(np.append(pixels[pixels > most], most).astype(np.float64))
    apart = np.flatnonzero(above[1:] - low > _APART * (above[:-1] - low))
    # A step up from the lowest value itself is no block, but all that is shown.
    apart = apart[above[apart] > low]
    if not len(apart):
        return high
    others = pixels[pixels <= above[apart[0]]]
    return float(np.percentile(others, 99.9)) if len(np.unique(others)) > _SHADES else high


def without_background(values: np.ndarray, inverted: bool = False) -> np.ndarray:
    """Values in which what lies outside of the measured ones, such as -32768, has the darkest of them.

    A background is one value in a corner and in a twentieth of all places. It lies outside where it is
    farther from the others than these are wide; or, where it is in every corner, amid them, as 0 does in a
    brain of mean 0.

    Args:
        values: 2 or 3 dimensions, finite; of 8 bits they stay as they are.
        inverted: whether the highest value is the darkest.
    """
    if values.dtype.itemsize == 1 or not values.size:
        return values
    levels = np.unique(values[np.ix_(*[[0, -1]] * values.ndim)])
    # Of every other one each way, or every fourth where there are many, which are enough to judge by.
    some = values[(slice(None, None, 4 if min(values.shape) >= _MANY else 2),) * values.ndim]
    # A level that lies outside is the lowest of all corners, or the highest.
    for level in levels[[0, -1]]:
        rest = some[some != level]
        if not rest.size or rest.size > 0.95 * some.size:
            continue
        low, high = (float(value) for value in np.percentile(rest, (0.1, 99.9)))
        is_amid = len(levels) == 1 and np.count_nonzero(rest < level) > _AMID * rest.size and level < high
        # Of a mask the others are one value, and as far away as its background.
        is_outside = max(low - float(level), float(level) - high) > high - low > 0
        if is_amid or is_outside:
            is_background = values == level
            measured = values[~is_background]
            cleaned = values.copy()
            cleaned[is_background] = measured.max() if inverted else measured.min()
            return cleaned
    return values


def stretch(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    """Map values linearly to uint8, `low` to 0 and `high` to 255, and clip the rest; all 0 if low >= high."""
    if high <= low:
        return np.zeros(pixels.shape, np.uint8)
    scaled = pixels.astype(np.float32)
    # In place: at the largest size that is read, each copy costs 100 MB.
    scaled -= low
    scaled *= 255 / (high - low)
    np.clip(np.round(scaled, out=scaled), 0, 255, out=scaled)
    return scaled.astype(np.uint8)
