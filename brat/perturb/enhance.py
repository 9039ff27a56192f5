"""CLAHE and brightness for previews, pixel for pixel as training's albumentations changes a slice."""

from __future__ import annotations

import cv2
import numpy as np

CLAHE_TILES = 8
"""CLAHE divides the scan into this many by this many tiles."""


def clahe(gray: np.ndarray, clip_limit: float = 2.0) -> np.ndarray:
    """Contrast-limited adaptive histogram equalisation (Zuiderveld, Graphics Gems IV, 1994).

    Args:
        gray: uint8 (height, width).
        clip_limit: 1 or more; how far a tile's contrast may be raised over the flat histogram.

    Returns:
        uint8 (height, width).
    """
    return cv2.createCLAHE(clipLimit=clip_limit, tileGridSize=(CLAHE_TILES, CLAHE_TILES)).apply(gray)


def brightness(gray: np.ndarray, change: float) -> np.ndarray:
    """Add a share of full scale to every pixel, and clip.

    Args:
        gray: uint8 (height, width).
        change: -1 (all black) to 1 (all white).

    Returns:
        uint8 (height, width); fractions of a grey level are cut off.
    """
    levels = np.arange(256, dtype=np.float32) + np.float32(change * 255)
    return cv2.LUT(gray, np.clip(levels, 0, 255).astype(np.uint8))
