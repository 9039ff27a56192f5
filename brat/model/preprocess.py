"""Scan -> model input, in the same way for training, evaluation, the command line and the app.

Flat bright borders are cut off. The head is located and cropped, padded to a square with black, resized to
224 x 224 and scaled: from the scan's dark level to the head's 99.5th percentile. The geometry is kept to draw
maps of the input back onto the scan.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

SIZE = 224
"""Pixels a side of the model's input."""

BRIGHT_PERCENTILE = 99.5
"""Of the head's pixels; it becomes the input's full scale, so that the gain of a scan does not matter."""

DARK_PERCENTILE = 1
"""Of the scan's pixels; it becomes the input's black, so that a raised background does not matter."""

WIDEST_BORDER = 1 / 3
"""Of a side: a flat bright border that is wider is no border, and stays."""

_THINNEST_BORDER = 1 / 150
"""Of a side: thinner lines are left to the opening of `find_head`, so that nothing moves that need not."""

_MARGIN = 0.02
_HEAD = 0.12
"""Share of the way from the scan's dark to its bright level above which a pixel may belong to the head."""

_FLAT = 12
"""Grey levels by which a pixel of a border may differ from the level of its line: compression blurs edges."""

_OF_A_LINE = 0.5
"""Share of the pixels of a border's line that must have its level; the rest may be letters."""


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
        """Draw a square array that covers the model input back onto the scan.

        Args:
            values: float32 (n, n), of any resolution, covering the input edge to edge.

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

    It is the largest bright piece within the borders, see `find_inside`, after a morphological opening, which
    removes lines up to 3 pixels in 512 thick (frames, rulers, letters). Where no bright piece covers a
    twentieth of that part, the box is the whole of it.

    Args:
        gray: uint8 (height, width).
    """
    return _locate(gray).head


def find_inside(gray: np.ndarray) -> tuple[int, int, int, int]:
    """The box, as in `find_head`, of what is left of a scan without its flat bright borders and bars.

    A line of pixels along an edge belongs to a border if it may belong to the head by its level, and has this
    level at both ends and in half of its pixels. Each edge loses the lines up to the first that does not. It
    loses none where they are more than `WIDEST_BORDER` of the side, or too thin to do harm.

    Args:
        gray: uint8 (height, width).
    """
    return _locate(gray).inside


@dataclass(frozen=True)
class _Place:
    """Where the head is: its box and that of the scan without its borders, and the dark level there."""

    head: tuple[int, int, int, int]
    inside: tuple[int, int, int, int]
    dark: int


def _locate(gray: np.ndarray) -> _Place:
    small = _shrunk(gray)
    dark, bright = _percentiles(_histogram(small), DARK_PERCENTILE, 99)
    left, top, right, bottom = inside = _without_borders(gray, dark + _HEAD * (bright - dark))
    if inside != (0, 0, gray.shape[1], gray.shape[0]):
        gray = gray[top:bottom, left:right]
        small = _shrunk(gray)
        dark, bright = _percentiles(_histogram(small), DARK_PERCENTILE, 99)
    box = _largest_piece(small, dark + _HEAD * (bright - dark))
    if box is None:
        return _Place(inside, inside, dark)
    scale_x, scale_y = gray.shape[1] / small.shape[1], gray.shape[0] / small.shape[0]
    head = (
        left + int(box[0] * scale_x),
        top + int(box[1] * scale_y),
        min(right, left + int(np.ceil(box[2] * scale_x))),
        min(bottom, top + int(np.ceil(box[3] * scale_y))),
    )
    return _Place(head, inside, dark)


def _shrunk(gray: np.ndarray) -> np.ndarray:
    # The box must be right to a few pixels only; at 160 pixels this is ten times as fast.
    height, width = gray.shape
    shrink = max(1.0, max(height, width) / 160)
    size = max(1, round(width / shrink)), max(1, round(height / shrink))
    return cv2.resize(gray, size, interpolation=cv2.INTER_AREA)


def _without_borders(gray: np.ndarray, bright: float) -> tuple[int, int, int, int]:
    """The box of `find_inside`; `bright` is the level above which a pixel may belong to the head."""
    height, width = gray.shape
    left, top, right, bottom = 0, 0, width, height
    # A bar at the top may hide that a border runs down the side: each edge is tried again after a cut.
    while True:
        inner = gray[top:bottom, left:right]
        # Views whose first row is the edge, the side across it, and how much of that is cut already.
        above = _border(inner, height, top, bright)
        below = _border(inner[::-1], height, height - bottom, bright)
        before = _border(inner.T, width, left, bright)
        after = _border(inner.T[::-1], width, width - right, bright)
        if not (above or below or before or after):
            return left, top, right, bottom
        left, top, right, bottom = left + before, top + above, right - after, bottom - below


def _border(image: np.ndarray, side: int, cut: int, bright: float) -> int:
    """How many of the first rows are a border; 0 where that is too much or too little."""
    # Nearly every scan has a dark corner, and is left here.
    if min(image[0, 0], image[0, -1]) <= bright:
        return 0
    most = int(side * WIDEST_BORDER) - cut
    rows = np.ascontiguousarray(image[: most + 1])
    first = rows[:, :1]
    level = np.broadcast_to(first, rows.shape)
    has_level = np.count_nonzero(cv2.absdiff(rows, np.ascontiguousarray(level)) <= _FLAT, axis=1)
    ends = cv2.absdiff(first, np.ascontiguousarray(rows[:, -1:])).ravel() <= _FLAT
    is_border = (first.ravel() > bright) & ends & (has_level >= _OF_A_LINE * rows.shape[1])
    width = len(rows) if is_border.all() else int(is_border.argmin())
    return width if side * _THINNEST_BORDER <= width <= most else 0


def _largest_piece(small: np.ndarray, bright: float) -> tuple[int, int, int, int] | None:
    """The box of the largest piece above a level; None where it covers less than a twentieth."""
    mask = cv2.threshold(small, bright, 1, cv2.THRESH_BINARY)[1]
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=cv2.CV_16U)
    if count < 2:
        return None
    largest = stats[1 + np.argmax(stats[1:, cv2.CC_STAT_AREA])]
    if largest[cv2.CC_STAT_AREA] < 0.05 * mask.size:
        return None
    left, top, width, height, _ = (int(value) for value in largest)
    return left, top, left + width, top + height


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
    place = _locate(gray)
    dark, (left, top, right, bottom) = place.dark, place.head
    side = round(max(right - left, bottom - top) * (1 + 2 * _MARGIN))
    x, y = (left + right - side) // 2, (top + bottom - side) // 2
    geometry = Geometry(x, y, side, width, height)
    square = geometry.crop(_blackened(gray, place.inside))
    interpolation = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    framed = cv2.resize(square, (size, size), interpolation=interpolation)
    counts = _histogram(framed)
    # Black is background; counting it would make the level depend on how much of it there is.
    brightest = int(np.flatnonzero(counts)[-1])
    counts[: max(1, dark + int(_HEAD * (brightest - dark)))] = 0
    level = _percentiles(counts, BRIGHT_PERCENTILE)[0] if counts.any() else 255
    values = (np.arange(256) - dark) * (255 / max(level - dark, 1))
    return cv2.LUT(framed, np.clip(np.round(values), 0, 255).astype(np.uint8)), geometry


def _blackened(gray: np.ndarray, inside: tuple[int, int, int, int]) -> np.ndarray:
    """The scan, black outside of a box; the scan itself where that is all of it."""
    left, top, right, bottom = inside
    if inside == (0, 0, gray.shape[1], gray.shape[0]):
        return gray
    blackened = np.zeros_like(gray)
    blackened[top:bottom, left:right] = gray[top:bottom, left:right]
    return blackened


def _histogram(gray: np.ndarray) -> np.ndarray:
    """uint8 (height, width) -> counts of the 256 values, float32 (256,)."""
    return cv2.calcHist([gray], [0], None, [256], [0, 256]).ravel()


def _percentiles(counts: np.ndarray, *percents: float) -> list[int]:
    """For each percentage the lowest value that it of the pixels does not exceed."""
    cumulated = np.cumsum(counts)
    return [int(np.searchsorted(cumulated, percent / 100 * cumulated[-1])) for percent in percents]


def to_input(framed: np.ndarray) -> np.ndarray:
    """uint8 (..., 224, 224) -> the model's float32 (..., 224, 224, 1) in [-1, 1]."""
    return (framed.astype(np.float32) * (2 / 255) - 1)[..., np.newaxis]


def prepare(gray: np.ndarray) -> tuple[np.ndarray, Geometry]:
    """uint8 (height, width) -> model input, float32 (224, 224, 1) in [-1, 1], and its geometry."""
    framed, geometry = frame(gray)
    return to_input(framed), geometry
