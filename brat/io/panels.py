"""Several slices on one picture, as on a film sheet or a screenshot: where each of them is.

A page is split along lines of one shade, such as the background between two heads, then where heads touch,
and then between large bright pieces that a straight cut parts. A part that is far larger than the others is
looked at once more by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from brat.io.display import percentiles
from brat.io.insets import brighter, has_inset
from brat.io.scan import UnreadableScan
from brat.io.touching import Box, cut_apart

SECOND = 0.3
"""Bright area of a second piece, as a share of the largest one's, from which it is a picture of its own."""

_BESIDE = 0.12
"""The same where a line of one shade lies between both."""

_LISTED = 0.02
"""Bright area, as above, of a further picture of a page that is known to hold several."""

_SIDES = 0.3
"""Width and height of a second picture, as shares of the largest ones: a line of text is less high."""

_LISTED_SIDES = 0.15
"""The same of a further picture."""

_SIDE = 512
"""Pixels of the longer side of the smaller copy that is searched."""

_BRIGHT = 0.12
"""Share of the way from dark to bright above which a pixel may belong to a head."""

_BRIGHTER = 0.2
"""The same where heads touch, whose skin is dim at its end."""

_FLAT = 16
"""Grey levels by which a pixel may differ from the shade of its line, at most."""

_OF_A_LINE = 0.985
"""Share of a line's pixels that must have its shade for the line to separate pictures."""

_THIN = 1 / 150
"""Of the height: a line that is drawn over a picture, such as a crosshair, is no thicker."""

_ALIKE = 0.75
"""Correlation of the rows on both sides of a line from which one picture goes on behind it."""

_NOISE = 24
"""Grey levels above the dark level that count as background, at most."""

_LARGE = 1.6
"""Width or height of a panel, as a share of the median one's, from which it may hold two slices."""

_BLOCK = 8
"""Pixels a side of the parts of a picture that are averaged to tell noise."""

_COMMON = 0.25
"""Deviation of these averages, as a share of that of the pixels, below which all is noise."""

_FULL = 0.25
"""Area left once the lines are out, as a share of the picture's, from which slices may touch there."""

_SLIMMEST = 1 / 3
"""Shorter side of a picture, as a share of the longer one."""

_SMALLEST = 24
"""Pixels a side of the smaller copy: no picture is smaller there."""


class Panel(NamedTuple):
    """A part of a picture, in pixels; right and bottom exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    def cut(self, image: np.ndarray) -> np.ndarray:
        """The part of an array (height, width)."""
        return image[self.top : self.bottom, self.left : self.right]

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top


class Page(NamedTuple):
    """What is on a picture.

    Attributes:
        panels: row by row, where it holds several slices that can be told apart; empty otherwise.
        is_mixed: whether it holds several that cannot be told apart.
        has_inset: whether a smaller picture lies in a corner or at an edge of one slice.
        left_out: how many further parts there are that are too faint or small to be taken for slices.
    """

    panels: tuple[Panel, ...] = ()
    is_mixed: bool = False
    has_inset: bool = False
    left_out: int = 0

    @property
    def is_slice(self) -> bool:
        """Whether it is one slice, as far as can be seen."""
        return not (self.panels or self.is_mixed or self.has_inset)


def find_panels(gray: np.ndarray) -> Page:
    """Find the slices on a picture.

    Args:
        gray: uint8 (height, width).
    """
    page = _find(gray)
    if page.is_slice or _is_noise(gray):
        return Page()
    panels: list[Panel] = []
    for panel in page.panels:
        parts = _find(panel.cut(gray)).panels if _is_large(panel, page.panels) else ()
        panels += [_moved(part, panel) for part in parts] or [panel]
    return page._replace(panels=tuple(panels))


def _is_noise(gray: np.ndarray) -> bool:
    """Whether nothing is on a picture: of neighbours with nothing in common their average leaves little."""
    height, width = gray.shape
    size = max(1, width // _BLOCK), max(1, height // _BLOCK)
    blocks = cv2.resize(gray.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return bool(blocks.std() < _COMMON * gray.std())


def _is_large(panel: Panel, panels: Sequence[Panel]) -> bool:
    """Whether a panel is so much larger than others that it may hold two."""
    width, height = np.median([(other.width, other.height) for other in panels], axis=0)
    return bool(panel.width >= _LARGE * width or panel.height >= _LARGE * height)


def _find(gray: np.ndarray) -> Page:
    height, width = gray.shape
    gray = _without_lines(np.ascontiguousarray(gray))
    turned = cv2.transpose(gray)
    without = _without_lines(turned)
    if without is not turned:
        gray = cv2.transpose(without)
    shrink = max(1.0, max(height, width) / _SIDE)
    size = max(1, round(width / shrink)), max(1, round(height / shrink))
    small = cv2.resize(gray, size, interpolation=cv2.INTER_AREA) if shrink > 1 else gray
    dark, bright = percentiles(small, (1, 99))
    # Of a dim picture, whose head would be background otherwise.
    faint = _BRIGHT * (bright - dark)
    parts = _split(small, Panel(0, 0, *size), min(_FLAT, faint), dark + min(_NOISE, faint))
    pieces: list[tuple[int, Panel]] = []
    # Of the top of a head that lies alone the halves of the brain are two round pieces.
    is_full = sum(part.width * part.height for part in parts) >= _FULL * size[0] * size[1]
    for part in parts:
        apart = _pieces(part.cut(small), dark, is_full)
        if apart is None:
            return Page(is_mixed=True)
        pieces += [(area, _moved(box, part)) for area, box in apart]
    if len(_of_size(pieces, _BESIDE, _SIDES)) < 2:
        return Page(has_inset=has_inset(small))
    listed = _of_size(pieces, _LISTED, _LISTED_SIDES)
    scale_x, scale_y = width / size[0], height / size[1]
    return Page(
        tuple(
            Panel(
                int(left * scale_x),
                int(top * scale_y),
                min(width, int(np.ceil(right * scale_x))),
                min(height, int(np.ceil(bottom * scale_y))),
            )
            for left, top, right, bottom in _in_reading_order(listed)
        ),
        left_out=sum(not _is_strip(panel) for _, panel in pieces) - len(listed),
    )


def refuse_page(gray: np.ndarray, page: Page | None = None) -> None:
    """To be called with a picture that must be one slice, as in a series.

    Args:
        gray: uint8 (height, width).
        page: of `find_panels`, where it was called already.

    Raises:
        UnreadableScan: it holds several.
    """
    page = find_panels(gray) if page is None else page
    if page.has_inset:
        raise UnreadableScan(
            "A smaller picture lies in a corner or at an edge of this one, and both would be read as one "
            "slice. Crop it away, or export the slice without it."
        )
    if page.is_mixed:
        raise UnreadableScan(
            "This picture seems to hold several slices that cannot be told apart. Export each as a picture "
            "of its own."
        )
    if page.panels:
        raise UnreadableScan(
            f"This picture holds {len(page.panels)} slices beside each other, as a mosaic does, and would be "
            "read as one. Give it by itself as a picture, which lists them, or export each as a picture of "
            "its own."
        )


def _without_lines(gray: np.ndarray) -> np.ndarray:
    """The picture without thin bright lines that cross all of it from left to right, such as of a crosshair.

    A picture goes on behind such a line, unlike behind one that parts two pictures: there its rows on both
    sides are alike.
    """
    height, width = gray.shape
    rows = _may_be_lines(gray)
    if not len(rows):
        return gray
    level = np.partition(gray[rows], width // 2, axis=1)[:, width // 2]
    is_line = np.zeros(height, bool)
    is_line[rows] = (level > _NOISE) & (_near(cv2.transpose(gray[rows]), level, _FLAT) >= _OF_A_LINE * width)
    cleaned = gray
    for first, last in _runs(is_line):
        if last - first > max(3, height * _THIN) or first == 0 or last == height:
            continue
        before, after = gray[first - 1].astype(np.float32), gray[last].astype(np.float32)
        if _alike(before, after):
            cleaned = cleaned.copy() if cleaned is gray else cleaned
            cleaned[first:last] = np.round((before + after) / 2)
    return cleaned


def _may_be_lines(gray: np.ndarray) -> np.ndarray:
    """The numbers of the rows that may be bright and of one shade: few, and the median of each takes long.

    The pixels of such a row are no darker than its shade by more than `_FLAT`. Through a head most rows begin
    and end in the dark.
    """
    dark = cv2.threshold(gray, _NOISE - _FLAT, 1, cv2.THRESH_BINARY_INV)[1]
    dark = cv2.reduce(dark, 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[:, 0]
    return np.flatnonzero(gray.shape[1] - dark >= _OF_A_LINE * gray.shape[1])


def _near(image: np.ndarray, shade: np.ndarray, most: float) -> np.ndarray:
    """How many pixels of each column differ from its shade by `most` grey levels at most: int (width,)."""
    shades = np.empty_like(image)
    shades[:] = shade
    return _count(cv2.absdiff(image, shades), most)


def _count(image: np.ndarray, most: float) -> np.ndarray:
    """How many pixels of each column are `most` at most: int (width,)."""
    mask = cv2.threshold(image, most, 1, cv2.THRESH_BINARY_INV)[1]
    return cv2.reduce(mask, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S)[0]


def _alike(before: np.ndarray, after: np.ndarray) -> bool:
    before, after = before - before.mean(), after - after.mean()
    size = float(np.linalg.norm(before) * np.linalg.norm(after))
    return size > 0 and float(before @ after) >= _ALIKE * size


def _of_size(pieces: list[tuple[int, Panel]], area: float, sides: float) -> list[Panel]:
    """The pieces that have these shares of the largest bright area, width and height, but for strips."""
    pieces = [(size, panel) for size, panel in pieces if not _is_strip(panel)]
    large = [(size, panel) for size, panel in pieces if size >= SECOND * max(size for size, _ in pieces)]
    if not large:
        return []
    areas, panels = zip(*large, strict=True)
    width, height = max(panel.width for panel in panels), max(panel.height for panel in panels)
    return [
        panel
        for size, panel in pieces
        if size >= area * max(areas) and panel.width >= sides * width and panel.height >= sides * height
    ]


def _is_strip(panel: Panel) -> bool:
    shorter, longer = sorted((panel.width, panel.height))
    return shorter < _SLIMMEST * longer


def _moved(box: Panel, by: Panel) -> Panel:
    return Panel(box.left + by.left, box.top + by.top, box.right + by.left, box.bottom + by.top)


def _split(image: np.ndarray, region: Panel, flat: float, background: float) -> list[Panel]:
    """What is left of a region once the lines of one shade that cross it are taken out, again and again."""
    if min(region.width, region.height) < _SMALLEST:
        return [region]
    part = region.cut(image)
    rows, columns = (_runs(~_separates(values, flat, background)) for values in (cv2.transpose(part), part))
    if not rows or not columns:
        return []
    if rows == [(0, part.shape[0])] and columns == [(0, part.shape[1])]:
        return [region]
    left, top = region.left, region.top
    return [
        leaf
        for first, last in rows
        for start, stop in columns
        for leaf in _split(image, Panel(left + start, top + first, left + stop, top + last), flat, background)
    ]


def _separates(image: np.ndarray, flat: float, background: float) -> np.ndarray:
    """Which columns are of one shade, or no brighter than the background: bool (width,)."""
    has_shade, is_dark = _near(image, image[0], flat), _count(image, background)
    return np.maximum(has_shade, is_dark) >= _OF_A_LINE * len(image)


def _runs(marked: np.ndarray) -> list[tuple[int, int]]:
    """Begin and end, exclusive, of each run of true values."""
    changes = (np.flatnonzero(marked[1:] != marked[:-1]) + 1).tolist()
    bounds = [0] * bool(marked[0]) + changes + [len(marked)] * bool(marked[-1])
    return list(zip(bounds[::2], bounds[1::2], strict=True))


def _pieces(image: np.ndarray, dark: float, may_touch: bool) -> list[tuple[int, Panel]] | None:
    """The slices on a part that no line of one shade crosses, each with its bright area and its box in it.

    Args:
        image: uint8 (height, width), the part.
        dark: the dark level of the whole picture.
        may_touch: whether one piece may be several heads that touch.

    Returns:
        An empty list where there is nothing bright; None where there are several that no straight cut parts.
    """
    height, width = image.shape
    if min(height, width) < _SMALLEST:
        return []
    # As coarsely as `brat.model.preprocess` looks for a head: letters vanish, gaps in a skull close.
    shrink = max(1.0, max(height, width) / 160)
    size = max(1, round(width / shrink)), max(1, round(height / shrink))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    (bright,) = percentiles(small, (99,))
    if bright - dark < _FLAT:
        return []
    mask = brighter(small, dark + _BRIGHT * (bright - dark))
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=cv2.CV_16U)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if not len(areas):
        return []
    large = [
        Panel(int(x), int(y), int(x + w), int(y + h))
        for x, y, w, h, _ in stats[1:][areas >= SECOND * areas.max()]
    ]
    cells: list[Box] = []
    if may_touch:
        cells = cut_apart(mask) or cut_apart(brighter(small, dark + _BRIGHTER * (bright - dark)))
    parts = [Panel(*cell) for cell in cells] or _between(_joined(large), Panel(0, 0, *size))
    if not parts:
        return None
    scale_x, scale_y = width / size[0], height / size[1]
    return [
        (
            int(np.count_nonzero(part.cut(mask)) * scale_x * scale_y),
            Panel(*(round(side * scale) for side, scale in zip(part, (scale_x, scale_y) * 2, strict=True))),
        )
        for part in parts
    ]


def _joined(boxes: list[Panel]) -> list[Panel]:
    """The boxes, with one in place of those that overlap: the parts of a head lie around each other."""
    joined: list[Panel] = []
    for box in boxes:
        while overlapping := [other for other in joined if _overlap(box, other)]:
            joined = [other for other in joined if other not in overlapping]
            lefts, tops, rights, bottoms = zip(box, *overlapping, strict=True)
            box = Panel(min(lefts), min(tops), max(rights), max(bottoms))
        joined.append(box)
    return joined


def _overlap(first: Panel, second: Panel) -> bool:
    across = min(first.right, second.right) > max(first.left, second.left)
    return across and min(first.bottom, second.bottom) > max(first.top, second.top)


def _between(boxes: list[Panel], region: Panel) -> list[Panel]:
    """A region cut between boxes, so that each part holds one; empty where no straight cut does it."""
    if len(boxes) == 1:
        return [region]
    for axis in (1, 0):
        boxes = sorted(boxes, key=lambda box: box[axis])
        for count in range(1, len(boxes)):
            end, begin = max(box[axis + 2] for box in boxes[:count]), boxes[count][axis]
            if end <= begin:
                at = (end + begin) // 2
                before = _between(boxes[:count], Panel(*_with(region, axis + 2, at)))
                after = _between(boxes[count:], Panel(*_with(region, axis, at)))
                return [*before, *after] if before and after else []
    return []


def _with(region: Panel, index: int, value: int) -> list[int]:
    changed = list(region)
    changed[index] = value
    return changed


def _in_reading_order(panels: list[Panel]) -> list[Panel]:
    """Row by row from the top, each from the left."""
    left = sorted(panels, key=lambda panel: panel.top)
    ordered: list[Panel] = []
    while left:
        middle = (left[0].top + left[0].bottom) / 2
        row = [panel for panel in left if panel.top < middle]
        ordered += sorted(row, key=lambda panel: panel.left)
        left = [panel for panel in left if panel.top >= middle]
    return ordered
