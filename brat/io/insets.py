"""A small slice in a corner or at an edge of another one, as workstations put there to show where it lies.

It is noticed by a compact piece of its own in a corner, by a piece as round as a head at an edge, or by the
edges of its square, which cut the other slice straight. Thumbnails below or beside a slice are such pieces.
The thresholds were set on slices with drawn insets and on single slices, see `tools.pages`.
"""

from __future__ import annotations

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

_BESIDE = 4
"""Pixels from a line to those beside it."""


def has_inset(gray: np.ndarray) -> bool:
    """Whether a smaller picture lies in a corner or at an edge of a slice.

    Args:
        gray: uint8 (height, width).
    """
    if _has_piece(_shrunk(gray, _COARSE)) or _has_head(_shrunk(gray, _FINE)):
        return True
    smaller = _shrunk(gray, _SIDE)
    return _has_square(smaller) or any(_has_box(np.rot90(smaller, turn)) for turn in range(4))


def _shrunk(gray: np.ndarray, side: int) -> np.ndarray:
    height, width = gray.shape
    shrink = max(height, width) / side
    if shrink <= 1:
        return gray
    size = max(1, round(width / shrink)), max(1, round(height / shrink))
    return cv2.resize(gray, size, interpolation=cv2.INTER_AREA)


def _has_piece(gray: np.ndarray) -> bool:
    """Whether a compact piece lies by itself in a corner."""
    height, width = gray.shape
    dark, bright = percentiles(gray, (1, 99))
    shortest, longest = _SIDES
    for share in _BRIGHT:
        mask = cv2.threshold(gray, float(dark + share * (bright - dark)), 1, cv2.THRESH_BINARY)[1]
        mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=cv2.CV_32S)
        if count < 3:
            continue
        largest = stats[1:, cv2.CC_STAT_AREA].max()
        for number, (left, top, across, down, area) in enumerate(stats[1:], 1):
            if area == largest or not shortest <= across / width <= longest:
                continue
            if not shortest <= down / height <= longest or min(across, down) < 0.5 * max(across, down):
                continue
            middle_x, middle_y = left + across / 2, top + down / 2
            if min(middle_x, width - middle_x) > _IN_CORNER * width:
                continue
            if min(middle_y, height - middle_y) > _IN_CORNER * height:
                continue
            piece = (labels == number).astype(np.uint8)
            if _is_compact(piece, down * across) and _outlined(piece) >= _PIECE * largest:
                return True
    return False


def _has_head(gray: np.ndarray) -> bool:
    """Whether a piece as round as a head lies by itself at an edge."""
    dark, bright = percentiles(gray, (1, 99))
    shortest, longest = _HEAD[0] * min(gray.shape), _HEAD[1] * max(gray.shape)
    for share in _BRIGHT:
        mask = cv2.threshold(gray, float(dark + share * (bright - dark)), 1, cv2.THRESH_BINARY)[1]
        mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        if len(outlines) < 2:
            continue
        largest = max(outlines, key=cv2.contourArea)
        if _deviation(gray, largest) < _VARIED * (bright - dark):
            # Padding beside the slice.
            continue
        hull = cv2.convexHull(largest)
        for outline in outlines:
            left, top, width, height = cv2.boundingRect(outline)
            if outline is largest or min(width, height) < shortest or max(width, height) > longest:
                continue
            if min(width, height) < _SLIMMEST * max(width, height):
                continue
            from_edge = min(left, top, gray.shape[1] - left - width, gray.shape[0] - top - height)
            if from_edge > _AT_EDGE * max(gray.shape) or roundness(outline) < _ROUND:
                continue
            # What the other slice surrounds is a part of it, such as an ear.
            if cv2.pointPolygonTest(hull, (left + width / 2, top + height / 2), False) > 0:
                continue
            if _deviation(gray, outline) >= _VARIED * (bright - dark):
                return True
    return False


def _deviation(gray: np.ndarray, outline: np.ndarray) -> float:
    """Of the grey levels inside an outline, without a tenth of its width all round."""
    left, top, width, height = cv2.boundingRect(outline)
    inside = np.zeros((height, width), np.uint8)
    cv2.drawContours(inside, [outline], -1, 1, cv2.FILLED, offset=(-left, -top))
    core = cv2.erode(inside, np.ones((3, 3), np.uint8), iterations=max(1, min(width, height) // 10))
    values = gray[top : top + height, left : left + width][core > 0]
    return float(values.std()) if values.size else 0.0


def _has_box(gray: np.ndarray) -> bool:
    """Whether three straight edges cut a box off the lower edge."""
    height = gray.shape[0]
    rows = np.arange(1, int(_SIDES[1] * height) + 1)
    upright = np.ascontiguousarray(gray[::-1])
    edges = _edges(upright)
    sides = _straight(edges[: len(rows)], rows, _BOXED)
    sides[: int(_DEEP * height)] = False
    sides[:, np.count_nonzero(edges, axis=0) >= _THROUGH * height] = False
    some = np.flatnonzero(np.count_nonzero(sides, axis=1) > 1)
    if not len(some):
        return False
    counts = np.cumsum(_edges(upright[: len(rows) + 2 * _BESIDE].T).T, axis=1, dtype=np.int32)
    for row in some:
        if not _BESIDE <= row < len(counts) - _BESIDE:
            continue
        columns = np.flatnonzero(sides[row])
        lefts, rights = np.meshgrid(columns, columns, indexing="ij")
        ratio = (rights - lefts) / (row + 1)
        fits = (ratio > 0.45) & (ratio < 2.2)
        lefts, rights = lefts[fits], rights[fits]
        at, above, below = (
            counts[line, rights] - counts[line, lefts] for line in (row, row - _BESIDE, row + _BESIDE)
        )
        if np.any(at - np.maximum(above, below) >= _BOXED * (rights - lefts)):
            return True
    return False


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


def _has_square(gray: np.ndarray) -> bool:
    """Whether straight edges cut a square off one of the corners."""
    shortest, longest = _SIDES
    height, width = gray.shape
    down, across = _edges(gray), _edges(gray.T).T
    size = int(longest * height) + 3 * _BESIDE, int(longest * width) + 3 * _BESIDE
    rows, columns = (np.arange(1, min(side, most) + 1) for side, most in zip(size, gray.shape, strict=True))
    first = int(np.argmax(rows >= shortest * height)), int(np.argmax(columns >= shortest * width))
    ratio = rows[:, np.newaxis] / columns
    is_size = ((ratio > 0.45) & (ratio < 2.2))[first[0] :, first[1] :]
    for turn in (slice(None), slice(None, None, -1)):
        for mirror in (slice(None), slice(None, None, -1)):
            part = (slice(len(rows)), slice(len(columns)))
            is_straight = is_size & _straight(down[turn, mirror][part], rows)[first[0] :, first[1] :]
            # Of most slices there is none already.
            if not is_straight.any():
                continue
            is_straight &= _straight(across[turn, mirror][part].T, columns).T[first[0] :, first[1] :]
            if is_straight.any():
                return True
    return False


def _edges(gray: np.ndarray) -> np.ndarray:
    """Where the pixels to the left and right differ: uint8 (height, width), 0 or 1; 0 at both ends."""
    gray = np.ascontiguousarray(gray)
    edges = np.zeros(gray.shape, np.uint8)
    if gray.shape[1] < 3:
        return edges
    difference = cv2.absdiff(gray[:, 2:], gray[:, :-2])
    edges[:, 1:-1] = cv2.threshold(difference, _STEP - 1, 1, cv2.THRESH_BINARY)[1]
    return edges


def _straight(edges: np.ndarray, sizes: np.ndarray, share: float = _STRAIGHT) -> np.ndarray:
    """Whether enough of a column down to a place are edges, more than of the columns beside it.

    Args:
        edges: of `_edges`, (n, m).
        sizes: 1 to n.
        share: of the places down to there.

    Returns:
        bool (n, m).
    """
    edges = edges.T.copy()
    edges[-1] = 0
    counts = np.cumsum(edges, axis=1, dtype=np.int16)
    # The least count whose share is as large.
    least = np.floor(share * sizes)
    least = (least + (least / sizes < share)).astype(np.int16)
    more = np.zeros(counts.shape, np.int16)
    beside = np.maximum(counts[2 * _BESIDE :], counts[: -2 * _BESIDE])
    more[_BESIDE:-_BESIDE] = counts[_BESIDE:-_BESIDE] - beside
    return (more >= least).T
