"""How a picture lies in the patient: turned upright, its pixels made square, its edges named."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from brat.io.scan import MAX_PIXELS, MAX_SIDE

Edges = tuple[str, str, str, str]
"""What lies at the left, the top, the right and the bottom of a picture: R, L, A, P, H or F (right, left,
front, back, head, foot)."""

_TOWARDS, _AWAY = "LPH", "RAF"
"""Along x, y and z of DICOM, and against them."""

_UPRIGHT = {0: (1, 2, False), 1: (0, 2, False), 2: (0, 1, True)}
"""Axis across a slice -> the axes along its rows and its columns as radiologists look at it, and whether the
latter runs with the axis: the front is at the left of a sagittal slice, the head at the top of it and of a
coronal one, the patient's right at the left of a coronal and of an axial one, whose top is the front."""

SQUARE = 0.01
"""Share by which a pixel may be longer than it is wide and still counts as square."""


class Turn(NamedTuple):
    """What turns a stored picture upright: rows and columns may change places, then each may be reversed.

    Attributes:
        edges: of the picture once it is turned.
    """

    transpose: bool
    flip_rows: bool
    flip_columns: bool
    edges: Edges

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """(height, width) -> upright, contiguous."""
        pixels = pixels.T if self.transpose else pixels
        pixels = pixels[::-1] if self.flip_rows else pixels
        pixels = pixels[:, ::-1] if self.flip_columns else pixels
        return np.ascontiguousarray(pixels)


def turn(cosines: Sequence[float]) -> Turn | None:
    """How a picture is turned upright; None where its cosines are none.

    Args:
        cosines: Image Orientation (Patient), PS3.3 C.7.6.2.1.1: where stored rows run to, then columns.
    """
    if len(cosines) != 6 or not all(map(math.isfinite, cosines)):
        return None
    along_row, along_column = np.array(cosines[:3]), np.array(cosines[3:])
    normal = np.cross(along_row, along_column)
    # Unit vectors at right angles, or the header does not mean what it says.
    if np.linalg.norm(normal) < 0.9:
        return None
    across = int(np.abs(normal).argmax())
    row_axis, column_axis, is_with = _UPRIGHT[across]
    transpose = abs(along_row[row_axis]) < abs(along_column[row_axis])
    if transpose:
        along_row, along_column = along_column, along_row
    flip_columns = bool(along_row[row_axis] < 0)
    flip_rows = bool((along_column[column_axis] > 0) != is_with)
    top, bottom = _AWAY[column_axis], _TOWARDS[column_axis]
    if not is_with:
        top, bottom = bottom, top
    return Turn(transpose, flip_rows, flip_columns, (_AWAY[row_axis], top, _TOWARDS[row_axis], bottom))


def cosines_of(letters: Sequence[str]) -> list[float]:
    """Patient Orientation, PS3.3 C.7.6.1.1.1 ("L", "P"), as cosines; empty where it is none."""
    cosines: list[float] = []
    for letter in letters:
        direction = [0.0, 0.0, 0.0]
        first = str(letter)[:1].upper()
        if first and first in _TOWARDS:
            direction[_TOWARDS.index(first)] = 1.0
        elif first and first in _AWAY:
            direction[_AWAY.index(first)] = -1.0
        cosines += direction
    return cosines if len(cosines) == 6 and any(cosines[:3]) and any(cosines[3:]) else []


def is_square(down: float, across: float) -> bool:
    """Args: down, across: lengths of a pixel."""
    return abs(down - across) <= SQUARE * max(down, across)


def squared(pixels: np.ndarray, down: float, across: float) -> tuple[np.ndarray, float]:
    """A picture with as many pixels to a millimetre down as across, and the new length of a pixel.

    Args:
        pixels: (height, width).
        down, across: from one pixel to the next, both in one unit.
    """
    if is_square(down, across):
        return pixels, min(down, across)
    side = min(down, across)
    height, width = pixels.shape[0] * down / side, pixels.shape[1] * across / side
    shrink = max(height / MAX_SIDE, width / MAX_SIDE, math.sqrt(height * width / MAX_PIXELS), 1)
    size = max(round(width / shrink), 1), max(round(height / shrink), 1)
    if pixels.dtype not in (np.uint8, np.uint16, np.int16, np.float32):
        pixels = pixels.astype(np.float32)
    return cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR), side * shrink
