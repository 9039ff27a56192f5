"""Scan -> model input: the one way that training, evaluation, the command line and the app all go.

The head is found and cropped, squared with black, resized to 224 x 224 and scaled from the scan's dark level
to the head's own 99.5th percentile. The geometry is kept, so that a map made on the input can be drawn back
onto the scan.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

SIZE = 224
"""Pixels a side of the model's input."""

BRIGHT_PERCENTILE = 99.5
"""Of the head's pixels; it becomes the input's full scale, so that a scan's own gain does not matter."""

DARK_PERCENTILE = 1
"""Of the scan's pixels; it becomes the input's black, so that a raised background does not matter either."""

_MARGIN = 0.02
_HEAD = 0.12
"""Share of the way from the scan's dark to its bright level above which a pixel may belong to the head."""


@dataclass(frozen=True)
class Geometry:
    """Where the model's square input lies on the scan.

    Attributes:
        x, y: the square's left top corner in scan pixels; negative where black was added.
        side: the square's side in scan pixels.
        width, height: the scan's size in pixels.
    """

    x: int
    y: int
    side: int
    width: int
    height: int

    def crop(self, image: np.ndarray) -> np.ndarray:
        """Cut the square, (side, side), out of a scan-sized (height, width) array; black outside it."""
        left, top = max(self.x, 0), max(self.y, 0)
        right, bottom = min(self.x + self.side, self.width), min(self.y + self.side, self.height)
        inner = image[top:bottom, left:right]
        if inner.shape == (self.side, self.side):
            return inner
        square = np.zeros((self.side, self.side), image.dtype)
        square[top - self.y : bottom - self.y, left - self.x : right - self.x] = inner
        return square

    def to_scan(self, values: np.ndarray) -> np.ndarray:
        """Draw a square array made on the input, of any resolution, back onto the scan.

        Args:
            values: float32 (n, n), covering the input edge to edge.

        Returns:
            float32 (height, width); 0 where the input did not reach.
        """
        square = cv2.resize(
            np.asarray(values, np.float32), (self.side, self.side), interpolation=cv2.INTER_LINEAR
        )
        scan = np.zeros((self.height, self.width), np.float32)
        left, top = max(self.x, 0), max(self.y, 0)
        right, bottom = min(self.x + self.side, self.width), min(self.y + self.side, self.height)
        scan[top:bottom, left:right] = square[top - self.y : bottom - self.y, left - self.x : right - self.x]
        return scan

    def box_to_input(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """Turn `x_center, y_center, width, height` in fractions of the scan into input pixels."""
        scale = SIZE / self.side
        x, y, width, height = box
        return (
            (x * self.width - self.x) * scale,
            (y * self.height - self.y) * scale,
            width * self.width * scale,
            height * self.height * scale,
        )


def find_head(gray: np.ndarray) -> tuple[int, int, int, int]:
    """Bounding box (left, top, right, bottom; right and bottom exclusive) of the head in scan pixels.

    The largest bright piece, after thin lines, up to 3 pixels in 512 (frames, rulers, letters), are
    opened away. The whole scan where nothing of at least a twentieth of it stands out.

    Args:
        gray: uint8 (height, width).
    """
    return _locate(gray)[0]


def _locate(gray: np.ndarray) -> tuple[tuple[int, int, int, int], int]:
    """The head's box, see `find_head`, and the scan's dark level."""
    height, width = gray.shape
    # The box needs no more than a few pixels' accuracy; at 160 pixels this is ten times as fast.
    shrink = max(1.0, max(height, width) / 160)
    small = cv2.resize(
        gray, (max(1, round(width / shrink)), max(1, round(height / shrink))), interpolation=cv2.INTER_AREA
    )
    dark, bright = _percentiles(_histogram(small), DARK_PERCENTILE, 99)
    mask = cv2.threshold(small, dark + _HEAD * (bright - dark), 1, cv2.THRESH_BINARY)[1]
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=cv2.CV_16U)
    whole = (0, 0, width, height)
    if count < 2:
        return whole, dark
    largest = stats[1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])]
    if largest[cv2.CC_STAT_AREA] < 0.05 * mask.size:
        return whole, dark
    scale_x, scale_y = width / small.shape[1], height / small.shape[0]
    left, top = largest[cv2.CC_STAT_LEFT], largest[cv2.CC_STAT_TOP]
    right, bottom = left + largest[cv2.CC_STAT_WIDTH], top + largest[cv2.CC_STAT_HEIGHT]
    box = (
        int(left * scale_x),
        int(top * scale_y),
        min(width, int(np.ceil(right * scale_x))),
        min(height, int(np.ceil(bottom * scale_y))),
    )
    return box, dark


def frame(gray: np.ndarray, size: int = SIZE) -> tuple[np.ndarray, Geometry]:
    """Crop, square, resize and level a scan.

    Args:
        gray: uint8 (height, width).
        size: pixels a side of the result.

    Returns:
        The framed head, uint8 (size, size), from the scan's dark level at 0 to the head's 99.5th percentile
        at 255; and where it lies on the scan.
    """
    height, width = gray.shape
    (left, top, right, bottom), dark = _locate(gray)
    side = round(max(right - left, bottom - top) * (1 + 2 * _MARGIN))
    x, y = (left + right - side) // 2, (top + bottom - side) // 2
    geometry = Geometry(x, y, side, width, height)
    square = geometry.crop(gray)
    interpolation = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    framed = cv2.resize(square, (size, size), interpolation=interpolation)
    counts = _histogram(framed)
    # Black is background; counting it would make the level depend on how much of it there is.
    brightest = int(np.flatnonzero(counts)[-1])
    counts[: max(1, dark + int(_HEAD * (brightest - dark)))] = 0
    level = _percentiles(counts, BRIGHT_PERCENTILE)[0] if counts.any() else 255
    values = (np.arange(256) - dark) * (255 / max(level - dark, 1))
    return cv2.LUT(framed, np.clip(np.round(values), 0, 255).astype(np.uint8)), geometry


def _histogram(gray: np.ndarray) -> np.ndarray:
    """uint8 (height, width) -> counts of the 256 values, float32 (256,)."""
    return cv2.calcHist([gray], [0], None, [256], [0, 256]).ravel()


def _percentiles(counts: np.ndarray, *percents: float) -> list[int]:
    """The lowest values that so many per cent of the pixels do not exceed."""
    cumulated = np.cumsum(counts)
    return [int(np.searchsorted(cumulated, percent / 100 * cumulated[-1])) for percent in percents]


def to_input(framed: np.ndarray) -> np.ndarray:
    """uint8 (..., 224, 224) -> the model's float32 (..., 224, 224, 1) in [-1, 1]."""
    return (framed.astype(np.float32) * (2 / 255) - 1)[..., np.newaxis]


def prepare(gray: np.ndarray) -> tuple[np.ndarray, Geometry]:
    """uint8 (height, width) -> model input, float32 (224, 224, 1) in [-1, 1], and its geometry."""
    framed, geometry = frame(gray)
    return to_input(framed), geometry
