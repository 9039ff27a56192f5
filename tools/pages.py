"""How surely several slices on one picture are noticed: on pages made of real slices, and on single ones.

The figures stand in docs/formats.md: `python -m tools.pages --data /data/index.csv`.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from brat.data.index import IndexedSlice, read_index
from brat.io.panels import Page, find_panels
from brat.io.read import read_scan
from brat.io.wrapped import is_wrapped

Draw = Callable[[], np.ndarray]
"""Gives another slice each time, uint8 (height, width)."""

_SHADES = (0, 0, 128, 255)
_GUTTERS = (0, 2, 6, 16)


def _fitted(gray: np.ndarray, side: int) -> np.ndarray:
    """The slice in the middle of a black square."""
    scale = side / max(gray.shape)
    height, width = (max(1, int(length * scale)) for length in gray.shape)
    square = np.zeros((side, side), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    small = cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA)
    square[top : top + height, left : left + width] = small
    return square


def _grid(draw: Draw, random: np.random.Generator, rows: int, columns: int, side: int) -> np.ndarray:
    """Slices in rows and columns, with gutters and a shade drawn at random."""
    gutter, shade = int(random.choice(_GUTTERS)), int(random.choice(_SHADES))
    cell = side + gutter
    page = np.full((rows * cell - gutter, columns * cell - gutter), shade, np.uint8)
    for row in range(rows):
        for column in range(columns):
            place = np.s_[row * cell : row * cell + side, column * cell : column * cell + side]
            page[place] = _fitted(draw(), side)
    return page


def _three_planes(draw: Draw, random: np.random.Generator) -> np.ndarray:
    page = np.zeros((512, 512), np.uint8)
    for top, left in ((0, 0), (0, 256), (256, 0)):
        page[top : top + 256, left : left + 256] = _fitted(draw(), 256)
    if random.random() < 0.5:
        for line in range(6):
            at = (270, 300 + 30 * line)
            cv2.putText(page, f"Series {line} TR 450", at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1)
    return page


def _mosaic(draw: Draw, random: np.random.Generator) -> np.ndarray:
    return np.block([[_fitted(draw(), 64) for _ in range(6)] for _ in range(6)])


def _inset(draw: Draw, random: np.random.Generator) -> np.ndarray:
    page, side = _fitted(draw(), 512), int(random.integers(150, 230))
    top, left = (int(random.choice((0, 512 - side))) for _ in range(2))
    page[top : top + side, left : left + side] = _fitted(draw(), side)
    return page


KINDS: dict[str, tuple[int, Callable[[Draw, np.random.Generator], np.ndarray]]] = {
    "2 x 2": (4, lambda draw, random: _grid(draw, random, 2, 2, 256)),
    "side by side": (2, lambda draw, random: _grid(draw, random, 1, 2, 384)),
    "one above the other": (2, lambda draw, random: _grid(draw, random, 2, 1, 384)),
    "film sheet, 3 x 3": (9, lambda draw, random: _grid(draw, random, 3, 3, 256)),
    "film sheet, 4 x 5": (20, lambda draw, random: _grid(draw, random, 4, 5, 200)),
    "three planes": (3, _three_planes),
    "mosaic, 6 x 6 of 64 pixels": (36, _mosaic),
    "a slice with an inset": (2, _inset),
}
"""Kind of page -> how many slices are on it, and what draws it."""


def verdict(page: Page, slices: int) -> str:
    """What happens to a page on which there are so many slices."""
    if page.is_mixed or page.has_inset:
        return "refused"
    if not page.panels:
        return "taken for one"
    return "all listed" if len(page.panels) == slices else "another number"


def measure_pages(slices: Sequence[IndexedSlice], count: int) -> dict[str, Counter[str]]:
    """Of each kind of page, how many of `count` had which `verdict`; every other page goes through JPEG."""
    verdicts = {}
    for seed, (kind, (on_page, make)) in enumerate(KINDS.items()):
        random = np.random.default_rng(seed)

        def draw(random: np.random.Generator = random) -> np.ndarray:
            return read_scan(slices[int(random.integers(len(slices)))].path).gray

        verdicts[kind] = Counter[str]()
        for number in range(count):
            page = make(draw, random)
            if number % 2:
                written = cv2.imencode(".jpg", page, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
                page = np.asarray(cv2.imdecode(written, cv2.IMREAD_GRAYSCALE), np.uint8)
            verdicts[kind][verdict(find_panels(page), on_page)] += 1
    return verdicts


def false_alarms(slices: Sequence[IndexedSlice]) -> tuple[list[str], list[str]]:
    """Paths of single slices that are taken for a page, and of those that seem to have run over."""
    pages, wrapped = [], []
    for s in slices:
        gray = read_scan(s.path).gray
        page = find_panels(gray)
        if not page.is_slice:
            pages.append(str(s.path))
        if is_wrapped(gray):
            wrapped.append(str(s.path))
    return pages, wrapped


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.pages", description=__doc__)
    parser.add_argument("--data", required=True, help="the index of real slices")
    parser.add_argument("--count", type=int, default=100, help="pages of each kind")
    options = parser.parse_args(arguments)
    slices = read_index(options.data)
    columns = ("all listed", "another number", "refused", "taken for one")
    print(f"| Page | {' | '.join(columns)} |\n| --- |{' ---: |' * len(columns)}")
    for kind, verdicts in measure_pages(slices, options.count).items():
        print(f"| {kind} | {' | '.join(str(verdicts[column]) for column in columns)} |")
    pages, wrapped = false_alarms(slices)
    print(f"\nOf {len(slices):,} single slices {len(pages)} are taken for a page {pages},")
    print(f"and {len(wrapped)} for one whose values ran over {wrapped}.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
