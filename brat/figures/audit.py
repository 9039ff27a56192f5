"""The picture of an audit: why the threshold is where it is, and what lies above it."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from brat.classes import OTHER_COLOURS
from brat.io.scan import read_scan
from brat.model.preprocess import frame

_HEAD = 140
_TILE = (2 * _HEAD + 20, _HEAD + 66)
_COLUMNS = 4
_INK, _PAPER, _QUIET, _MARK = "#1a1a1a", "#ffffff", "#767676", OTHER_COLOURS[1]


def draw_audit(report: dict, paths: dict[str, Path]) -> Image.Image:
    """Draw the threshold, twins across splits, and twins whose labels disagree.

    A histogram of every image's similarity to its nearest neighbour, then pairs of framed heads with
    their correlation. It shows images of the collections, whose licences go with the picture.

    Args:
        report, paths: of a `brat.data.audit.Audit`.

    Returns:
        RGB, 1240 pixels wide.
    """
    threshold, examples = report["threshold"], report["examples"]
    sections = [
        (f"Near-duplicates: above {threshold}", [e for e in examples["threshold"] if e["twins"]]),
        (f"Not near-duplicates: {threshold} and below", [e for e in examples["threshold"] if not e["twins"]]),
        ("Twins in two splits of one collection", examples["across_splits"]),
        ("Twins whose labels disagree", examples["labels"]),
    ]
    width = _COLUMNS * (_TILE[0] + 10)
    parts = [_draw_histogram(report["nearest"], width)]
    parts += [_draw_pairs(title, pairs, paths, width) for title, pairs in sections if pairs]
    picture = Image.new("RGB", (width, sum(part.height for part in parts)), _PAPER)
    top = 0
    for part in parts:
        picture.paste(part, (0, top))
        top += part.height
    return picture


def _draw_histogram(nearest: dict, width: int) -> Image.Image:
    edges, counts, threshold = nearest["edges"], nearest["counts"], nearest["threshold"]
    picture = Image.new("RGB", (width, 300), _PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((10, 10), "How like its nearest neighbour each image is (correlation)", _INK, _font(18))
    # Everything rare lies to the left; half a scale of empty bars would squeeze what matters.
    first = next(i for i, edge in enumerate(edges) if counts[i] or edge >= 0.8)
    step, bottom, tall = (width - 20) / (len(counts) - first), 260, 200
    for i in range(first, len(counts)):
        x, height = 10 + (i - first) * step, tall * counts[i] / max(1, *counts)
        draw.rectangle((x, bottom - height, x + step - 2, bottom), _MARK if edges[i] >= threshold else _QUIET)
        if i % 5 == 0:
            draw.text((x, bottom + 6), f"{edges[i]:.2f}", _INK, _font(14))
    above = sum(count for edge, count in zip(edges[:-1], counts, strict=True) if edge >= threshold)
    x = 9 + (threshold * len(counts) - first) * step
    draw.line((x, 40, x, bottom), _INK, 2)
    draw.text((x - 8, 40), f"{above:,} of {sum(counts):,} images above {threshold}", _INK, _font(14), "ra")
    return picture


def _draw_pairs(title: str, pairs: list[dict], paths: dict[str, Path], width: int) -> Image.Image:
    rows = -(-len(pairs) // _COLUMNS)
    picture = Image.new("RGB", (width, 50 + rows * _TILE[1]), _PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((10, 16), title, _INK, _font(18))
    for number, pair in enumerate(pairs):
        x = 10 + number % _COLUMNS * (_TILE[0] + 10)
        y = 50 + number // _COLUMNS * _TILE[1]
        for column, side in enumerate(("left", "right")):
            head, _ = frame(read_scan(paths[pair[side]]).gray)
            head = Image.fromarray(head).resize((_HEAD, _HEAD), Image.Resampling.BOX)
            picture.paste(head, (x + column * (_HEAD + 4), y))
        draw.text((x, y + _HEAD + 4), f"{pair['similarity']:.4f}", _INK, _font(16))
        for line, side in enumerate(("left", "right")):
            draw.text((x, y + _HEAD + 24 + 15 * line), _shorten(pair[side]), _QUIET, _font(12))
    return picture


def _shorten(name: str) -> str:
    return name if len(name) <= 48 else f"{name[:16]} ... {name[-27:]}"


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
