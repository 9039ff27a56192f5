"""A small slice in a corner or at an edge of another one, as workstations put there to show where it lies.

It is noticed by a compact piece of its own in a corner, by a piece as round as a head at an edge, or by the
edges of its square, which cut the other slice straight. Thumbnails below or beside a slice are such pieces.
The thresholds were set on slices with drawn insets and on single slices, see `tools.pages`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from brat.io.display import percentiles
from brat.io.touching import roundness

_SIDE = 512
"""Pixels of the longer side of the copy in which edges are looked for."""

_COARSE = 160
"""The same in which pieces are."""

_BRIGHT = (0.12, 0.3)
"""Shares of the way from dark to bright above which a pixel belongs to a piece: of a dim inset, and of one
that lies close to the other slice."""

_PIECE = 0.03
"""Area of an inset's piece, as a share of the largest one's."""

_SIDES = (0.14, 0.48)
"""Shortest and longest side of an inset, as shares of the picture's."""

_IN_CORNER = 0.24
"""How far the middle of a piece may lie from a corner, as a share of a side."""

_SOLID = 0.87
"""Area of a piece, as a share of that of its convex hull."""

_CUT = 0.1
"""Share of a piece's outline along an edge of the picture from which it was cut off there, as a tongue is."""

_BAND = 5
"""Pixels from an edge that count as along it: many slices have a dark rim."""

_FINE = 256
"""Pixels of the longer side of the copy in which heads are looked for."""

_HEAD = (0.07, 0.5)
"""Shortest and longest side of a head, as shares of the picture's shorter and longer one."""

_ROUND = 0.82
"""What a head and the ellipse in its box have in common, as a share of what is in either."""

_SLIMMEST = 0.6
"""Shorter side of a head, as a share of the longer one."""

_AT_EDGE = 0.08
"""How far a head may lie from an edge of the picture, as a share of the copy's longer side."""

_VARIED = 0.04
"""Deviation inside a head, as a share of the way from dark to bright: a disc of one shade is none."""

_STEP = 16
"""Grey levels of an edge."""

_STRAIGHT = 0.36
"""Share of the two inner sides of a square that must be edges, more than along lines beside them."""

_BOXED = 0.44
"""The same of each side of a box at an edge."""

_DEEP = 0.18
"""How far such a box reaches from the edge, at least, as a share of the picture's side."""

_THROUGH = 0.6
"""Share of the picture's side from which a line bounds the slice, as that of padding does, and no box."""

_RATIO = 0.45
"""Shorter side of a square or box, as a share of the longer one."""

_BESIDE = 4
"""Pixels from a line to those beside it."""

_ROWS = 16
"""Rows of a block in which edges are counted at once."""


def has_inset(gray: np.ndarray) -> bool:
    """Whether a smaller picture lies in a corner or at an edge of a slice.

    Args:
        gray: uint8 (height, width).
    """
    gray = _shrunk(gray, _SIDE)
    fine = _shrunk(gray, _FINE)
    dark, bright = percentiles(fine, (1, 99))
    levels = [dark + share * (bright - dark) for share in _BRIGHT]
    if _has_piece(_shrunk(fine, _COARSE), levels) or _has_head(fine, levels, _VARIED * (bright - dark)):
        return True
    return _has_outline(gray)


def brighter(gray: np.ndarray, level: float) -> np.ndarray:
    """Where a picture is brighter than a level, without specks: uint8 (height, width), 0 or 1."""
    mask = cv2.threshold(gray, level, 1, cv2.THRESH_BINARY)[1]
    return cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))


def _shrunk(gray: np.ndarray, side: int) -> np.ndarray:
    height, width = gray.shape
    shrink = max(height, width) / side
    if shrink <= 1:
        return gray
    size = max(1, round(width / shrink)), max(1, round(height / shrink))
    return cv2.resize(gray, size, interpolation=cv2.INTER_AREA)


def _has_piece(gray: np.ndarray, levels: Sequence[float]) -> bool:
    """Whether a compact piece lies by itself in a corner, brighter than one of the levels."""
    for level in levels:
        mask = brighter(gray, level)
        outlines = _outlines(mask, cv2.RETR_LIST, _SIDES[0] * min(gray.shape))
        if not any(_is_in_corner(cv2.boundingRect(outline), gray.shape) for outline in outlines):
            continue
        _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=cv2.CV_32S)
        areas = stats[1:, cv2.CC_STAT_AREA]
        for number, (left, top, across, down, area) in enumerate(stats[1:], 1):
            if area == areas.max() or not _is_in_corner((left, top, across, down), gray.shape):
                continue
            piece = (labels == number).astype(np.uint8)
            if _is_compact(piece, down * across) and _outlined(piece) >= _PIECE * areas.max():
                return True
    return False


def _outlines(mask: np.ndarray, which: int, shortest: float) -> list[np.ndarray]:
    """The outlines, of all their points, of what may be as large, both across and down.

    Args:
        mask: uint8 (height, width), 0 or 1.
        which: how OpenCV retrieves them.
    """
    outlines, _ = cv2.findContours(mask, which, cv2.CHAIN_APPROX_NONE)
    # An outline has as many points at least, also where it runs aslant.
    return [outline for outline in outlines if len(outline) >= 2 * (shortest - 1)]


def _is_in_corner(box: Sequence[int], shape: tuple[int, ...]) -> bool:
    """Whether a box lies in a corner of a picture and has the size of an inset.

    Args:
        box: left, top, width and height.
        shape: height and width of the picture.
    """
    left, top, across, down = box
    height, width = shape
    shortest, longest = _SIDES
    if not (shortest * width <= across <= longest * width and shortest * height <= down <= longest * height):
        return False
    if min(across, down) < 0.5 * max(across, down):
        return False
    middle_x, middle_y = left + across / 2, top + down / 2
    return bool(
        min(middle_x, width - middle_x) <= _IN_CORNER * width
        and min(middle_y, height - middle_y) <= _IN_CORNER * height
    )


def _has_head(gray: np.ndarray, levels: Sequence[float], varied: float) -> bool:
    """Whether a piece as round as a head lies by itself at an edge, brighter than one of the levels.

    Args:
        varied: deviation inside it, at least.
    """
    for level in levels:
        mask = brighter(gray, level)
        outlines = _outlines(mask, cv2.RETR_EXTERNAL, _HEAD[0] * min(gray.shape))
        may_be = [outline for outline in outlines if _is_at_edge(cv2.boundingRect(outline), gray.shape)]
        if not may_be:
            continue
        largest = max(outlines, key=cv2.contourArea)
        may_be = [outline for outline in may_be if outline is not largest and roundness(outline) >= _ROUND]
        if not may_be or _deviation(gray, largest) < varied:
            # The largest one is padding beside the slice.
            continue
        hull = cv2.convexHull(largest)
        for outline in may_be:
            left, top, width, height = cv2.boundingRect(outline)
            # What the other slice surrounds is a part of it, such as an ear.
            if cv2.pointPolygonTest(hull, (left + width / 2, top + height / 2), False) > 0:
                continue
            if _deviation(gray, outline) >= varied:
                return True
    return False


def _is_at_edge(box: Sequence[int], shape: tuple[int, ...]) -> bool:
    """Whether a box lies at an edge of a picture and has the size of a head.

    Args:
        box: left, top, width and height.
        shape: height and width of the picture.
    """
    left, top, width, height = box
    shorter, longer = min(width, height), max(width, height)
    if shorter < _HEAD[0] * min(shape) or longer > _HEAD[1] * max(shape) or shorter < _SLIMMEST * longer:
        return False
    return min(left, top, shape[1] - left - width, shape[0] - top - height) <= _AT_EDGE * max(shape)


def _deviation(gray: np.ndarray, outline: np.ndarray) -> float:
    """Of the grey levels inside an outline, without a tenth of its width all round."""
    left, top, width, height = cv2.boundingRect(outline)
    inside = np.zeros((height, width), np.uint8)
    cv2.drawContours(inside, [outline], -1, 1, cv2.FILLED, offset=(-left, -top))
    core = cv2.erode(inside, np.ones((3, 3), np.uint8), iterations=max(1, min(width, height) // 10))
    values = gray[top : top + height, left : left + width][core > 0]
    return float(values.std()) if values.size else 0.0


def _is_compact(piece: np.ndarray, box: int) -> bool:
    """Args: piece: uint8 (height, width), 0 or 1; box: the area of its bounding box."""
    outline = _outline(piece)
    area, hull = cv2.contourArea(outline), cv2.contourArea(cv2.convexHull(outline))
    bands = (piece[:_BAND], piece[-_BAND:], piece[:, :_BAND].T, piece[:, -_BAND:].T)
    at_edge = max(np.count_nonzero(band.any(axis=0)) for band in bands)
    return bool(area >= _SOLID * hull and area >= 0.55 * box and at_edge <= _CUT * len(outline))


def _outlined(piece: np.ndarray) -> float:
    """The area of a piece with its holes."""
    return float(cv2.contourArea(_outline(piece)))


def _outline(piece: np.ndarray) -> np.ndarray:
    outlines, _ = cv2.findContours(piece, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(max(outlines, key=cv2.contourArea))


class _Lines(NamedTuple):
    """Straight lines that begin at one edge of a picture.

    Attributes:
        edges: of `_edges`, along such lines; row 0 is the edge of the picture: uint8 (height, width).
        crossing: the other ones, turned alike.
        columns: where lines may be, int (n,).
        more: edges along each of these columns down to a row, less those beside it: int16 (rows, n).
    """

    edges: np.ndarray
    crossing: np.ndarray
    columns: np.ndarray
    more: np.ndarray

    def straight(self, share: float) -> np.ndarray:
        """Down to which rows so large a share of them are edges: bool (rows, n)."""
        sizes = np.arange(1, len(self.more) + 1)
        # The least count whose share is as large.
        least = np.floor(share * sizes)
        least += least / sizes < share
        return np.asarray(self.more >= least.astype(np.int16)[:, np.newaxis])


def _has_outline(gray: np.ndarray) -> bool:
    """Whether straight edges cut a square off one of the corners, or a box off one of the edges."""
    down, across = _edges(gray)
    upright = _lines(down, across), _lines(down[::-1], across[::-1])
    down, across = cv2.transpose(across), cv2.transpose(down)
    lying = _lines(down, across), _lines(down[::-1], across[::-1])
    corners = itertools.product((False, True), repeat=2)
    return any(_has_square(upright[last], lying[right], last, right) for last, right in corners) or any(
        map(_has_box, (*upright, *lying))
    )


def _edges(gray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the pixels to the left and right differ, and those above and below.

    Returns:
        Twice uint8 (height, width), 0 or 1; 0 at both ends.
    """
    down, across = np.zeros(gray.shape, np.uint8), np.zeros(gray.shape, np.uint8)
    for edges, before, after in (
        (down[:, 1:-1], gray[:, :-2], gray[:, 2:]),
        (across[1:-1], gray[:-2], gray[2:]),
    ):
        if edges.size:
            edges[:] = cv2.threshold(cv2.absdiff(before, after), _STEP - 1, 1, cv2.THRESH_BINARY)[1]
    return down, across


def _lines(edges: np.ndarray, crossing: np.ndarray) -> _Lines:
    """Args: see `_Lines`."""
    height, width = edges.shape
    part = edges[: min(height, int(_SIDES[1] * height) + 3 * _BESIDE)]
    none = _Lines(edges, crossing, np.empty(0, int), np.empty((len(part), 0), np.int16))
    if width <= 2 * _BESIDE:
        return none
    # Of most columns the counts at the ends of blocks of rows tell that there is no line.
    blocks = cv2.copyMakeBorder(part, 0, -len(part) % _ROWS, 0, 0, cv2.BORDER_CONSTANT)
    ends = np.cumsum(blocks.reshape(-1, _ROWS, width).sum(axis=1, dtype=np.uint8), axis=0, dtype=np.int16)
    before = np.concatenate([np.zeros((1, width), np.int16), ends[:-1]])
    most = ends[:, _BESIDE:-_BESIDE] - np.maximum(before[:, 2 * _BESIDE :], before[:, : -2 * _BESIDE])
    first = np.maximum(np.arange(len(ends)) * _ROWS + 1, _SIDES[0] * height)
    least = np.ceil(_STRAIGHT * first).astype(np.int16)
    columns = _BESIDE + np.flatnonzero((most - least[:, np.newaxis]).max(axis=0) >= 0)
    if not len(columns):
        return none
    at, left, right = (
        np.cumsum(part[:, columns + aside], axis=0, dtype=np.int16) for aside in (0, -_BESIDE, _BESIDE)
    )
    return _Lines(edges, crossing, columns, at - np.maximum(left, right))


def _has_square(upright: _Lines, lying: _Lines, is_last: bool, is_right: bool) -> bool:
    """Whether straight edges cut a square off a corner.

    Args:
        upright: from the upper edge, or from the lower one.
        lying: from the left edge, or from the right one.
        is_last: whether the corner is a lower one.
        is_right: whether it is one to the right.
    """
    if not len(upright.columns) or not len(lying.columns):
        return False
    height, width = upright.edges.shape
    rows = height - 1 - lying.columns if is_last else lying.columns
    columns = width - 1 - upright.columns if is_right else upright.columns
    is_near = rows < len(upright.more), columns < len(lying.more)
    rows, columns = rows[is_near[0]], columns[is_near[1]]
    is_straight = upright.straight(_STRAIGHT)[:, is_near[1]][rows]
    is_straight &= lying.straight(_STRAIGHT)[:, is_near[0]][columns].T
    down, across = rows[:, np.newaxis] + 1, columns + 1
    is_straight &= (down >= _SIDES[0] * height) & (across >= _SIDES[0] * width)
    return bool(np.any(is_straight & (down > _RATIO * across) & (across > _RATIO * down)))


def _has_box(lines: _Lines) -> bool:
    """Whether three straight edges cut a box off the edge at which lines begin."""
    if len(lines.columns) < 2:
        return False
    height = len(lines.edges)
    sides = lines.straight(_BOXED)[: int(_SIDES[1] * height)]
    sides[: max(_BESIDE, int(_DEEP * height))] = False
    sides[:, np.count_nonzero(lines.edges[:, lines.columns], axis=0) >= _THROUGH * height] = False
    is_pair = np.count_nonzero(sides, axis=1) > 1
    # Of most rows all their edges together are too few for the narrowest box.
    edges = np.count_nonzero(lines.crossing[: len(sides)], axis=1)
    for row in np.flatnonzero(is_pair & (edges >= _BOXED * (_RATIO * np.arange(1, len(sides) + 1)))):
        if row + _BESIDE >= height:
            break
        columns = lines.columns[sides[row]]
        lefts, rights = np.meshgrid(columns, columns, indexing="ij")
        across, down = rights - lefts, row + 1
        fits = (across > _RATIO * down) & (down > _RATIO * across)
        lefts, rights, across = lefts[fits], rights[fits], across[fits]
        counts = np.cumsum(lines.crossing[[row, row - _BESIDE, row + _BESIDE]], axis=1, dtype=np.int32)
        at, above, below = counts[:, rights] - counts[:, lefts]
        if np.any(at - np.maximum(above, below) >= _BOXED * across):
            return True
    return False
