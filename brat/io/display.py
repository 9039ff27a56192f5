"""Values of any range as 8-bit gray."""

from __future__ import annotations

import numpy as np


def finite(pixels: np.ndarray) -> np.ndarray:
    """The values with the lowest in place of each NaN and -inf, and the highest in place of each +inf."""
    if pixels.dtype.kind in "iub":
        return pixels
    known = np.isfinite(pixels)
    if known.all():
        return pixels
    low, high = (pixels[known].min(), pixels[known].max()) if known.any() else (0, 0)
    return np.nan_to_num(pixels, nan=low, posinf=high, neginf=low)


def to_display(pixels: np.ndarray) -> np.ndarray:
    """Map full-range values to uint8: the lowest to 0, the 99.9th percentile and above to 255."""
    return stretch(pixels, *display_range(pixels))


def display_range(pixels: np.ndarray) -> tuple[float, float]:
    """The values to show black and white where the file names no window: the lowest, the 99.9th percentile.

    The percentile keeps a few hot pixels from turning the rest of the slice black.
    """
    low, high = float(pixels.min()), float(np.percentile(pixels, 99.9))
    return low, high if high > low else float(pixels.max())


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
