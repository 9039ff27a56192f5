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


def _thumbnails(draw: Draw, random: np.random.Generator) -> np.ndarray:
    """A large slice with a row of small ones below it, or to its right."""
    count, gutter, shade = (
        int(random.integers(3, 7)),
        int(random.choice(_GUTTERS)),
        int(random.choice(_SHADES)),
    )
    side = (512 - (count - 1) * gutter) // count
    page = np.full((512 + gutter + side, 512), shade, np.uint8)
    page[:512] = _fitted(draw(), 512)
    for number in range(count):
        left = number * (side + gutter)
        page[512 + gutter :, left : left + side] = _fitted(draw(), side)
    return np.ascontiguousarray(page.T[:, ::-1]) if random.random() < 0.5 else page


def _small_inset(draw: Draw, random: np.random.Generator) -> np.ndarray:
    """In a corner, 12 to 22 % as wide as the slice."""
    page, side = _fitted(draw(), 512), int(random.integers(62, 113))
    top, left = (int(random.choice((4, 508 - side))) for _ in range(2))
    page[top : top + side, left : left + side] = _fitted(draw(), side)
    return page


def _inset_at_edge(draw: Draw, random: np.random.Generator) -> np.ndarray:
    """Amid an edge, which it touches."""
    page, side = _fitted(draw(), 512), int(random.integers(100, 200))
    along = int(random.integers(512 // 8, 512 * 7 // 8 - side))
    page[-side:, along : along + side] = _fitted(draw(), side)
    return np.ascontiguousarray(np.rot90(page, int(random.integers(4))))


def _framed_inset(draw: Draw, random: np.random.Generator) -> np.ndarray:
    """In a box with a frame, or with a background of another shade, anywhere along an edge."""
    page, side = _fitted(draw(), 512), int(random.integers(80, 200))
    box = _fitted(draw(), side)
    if random.random() < 0.5:
        box = np.maximum(box, int(random.integers(40, 130)))
    else:
        box = cv2.rectangle(box, (0, 0), (side - 1, side - 1), int(random.integers(120, 256)), 1)
    away, along = int(random.integers(0, 12)), int(random.integers(0, 512 - side))
    page[512 - away - side : 512 - away, along : along + side] = box
    return np.ascontiguousarray(np.rot90(page, int(random.integers(4))))


def _cropped(gray: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The head alone, cropped up to its skin, (width, height)."""
    dark, bright = np.percentile(gray, (1, 99))
    mask = (gray > dark + 0.15 * (bright - dark)).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    stats = cv2.connectedComponentsWithStats(mask)[2]
    left, top, width, height, _ = (
        stats[1:][np.argmax(stats[1:, cv2.CC_STAT_AREA])]
        if len(stats) > 1
        else (0, 0, gray.shape[1], gray.shape[0], 0)
    )
    head = gray[top : top + height, left : left + width]
    return cv2.resize(head, size, interpolation=cv2.INTER_AREA)


def _touching(draw: Draw, random: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Slices that are cropped to the head, edge to edge."""
    size = int(random.integers(200, 280)), int(random.integers(220, 320))
    return np.block([[_cropped(draw(), size) for _ in range(columns)] for _ in range(rows)])


KINDS: dict[str, tuple[int, Callable[[Draw, np.random.Generator], np.ndarray]]] = {
    "2 x 2": (4, lambda draw, random: _grid(draw, random, 2, 2, 256)),
    "side by side": (2, lambda draw, random: _grid(draw, random, 1, 2, 384)),
    "one above the other": (2, lambda draw, random: _grid(draw, random, 2, 1, 384)),
    "film sheet, 3 x 3": (9, lambda draw, random: _grid(draw, random, 3, 3, 256)),
    "film sheet, 4 x 5": (20, lambda draw, random: _grid(draw, random, 4, 5, 200)),
    "three planes": (3, _three_planes),
    "mosaic, 6 x 6 of 64 pixels": (36, _mosaic),
    "2 x 2, cropped to the heads": (4, lambda draw, random: _touching(draw, random, 2, 2)),
    "side by side, cropped to the heads": (2, lambda draw, random: _touching(draw, random, 1, 2)),
    "one above the other, cropped to the heads": (2, lambda draw, random: _touching(draw, random, 2, 1)),
    "3 x 3, cropped to the heads": (9, lambda draw, random: _touching(draw, random, 3, 3)),
    "a slice with a row of thumbnails": (2, _thumbnails),
    "a slice with an inset": (2, _inset),
    "a slice with an inset of 12 to 22 %": (2, _small_inset),
    "a slice with an inset amid an edge": (2, _inset_at_edge),
    "a slice with an inset in a box": (2, _framed_inset),
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


ENLARGED: dict[str, tuple[float, int]] = {
    "not enlarged": (1, cv2.INTER_LINEAR),
    "enlarged 1.5 times, linear": (1.5, cv2.INTER_LINEAR),
    "enlarged 1.5 times, cubic": (1.5, cv2.INTER_CUBIC),
    "enlarged 2 times, linear": (2, cv2.INTER_LINEAR),
    "enlarged 2 times, cubic": (2, cv2.INTER_CUBIC),
    "enlarged 3 times, linear": (3, cv2.INTER_LINEAR),
    "enlarged 3 times, cubic": (3, cv2.INTER_CUBIC),
    "enlarged 2.3 times, linear": (2.3, cv2.INTER_LINEAR),
}
"""What is done to a slice after its values ran over -> factor, interpolation of OpenCV."""


def measure_wrapped(slices: Sequence[IndexedSlice], count: int) -> dict[str, int]:
    """How many of `count` slices whose values ran over are noticed, after each of `ENLARGED`."""
    random = np.random.default_rng(0)
    noticed = Counter[str]()
    for number in random.choice(len(slices), count, replace=False):
        smooth = cv2.GaussianBlur(read_scan(slices[int(number)].path).gray.astype(np.float32), (0, 0), 1)
        wrapped = ((smooth * 3).astype(np.int64) % 256).astype(np.uint8)
        for name, (factor, interpolation) in ENLARGED.items():
            enlarged = cv2.resize(wrapped, None, fx=factor, fy=factor, interpolation=interpolation)
            noticed[name] += is_wrapped(np.asarray(enlarged, np.uint8))
    return noticed


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
    print(f"\n| Values modulo 256 | noticed of {options.count} |\n| --- | ---: |")
    for name, noticed in measure_wrapped(slices, options.count).items():
        print(f"| {name} | {noticed} |")
    pages, wrapped = false_alarms(slices)
    print(f"\nOf {len(slices):,} single slices {len(pages)} are taken for a page {pages},")
    print(f"and {len(wrapped)} for one whose values ran over {wrapped}.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
