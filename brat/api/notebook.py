"""How a reading shows itself in a notebook: HTML, and PNG where HTML is not shown.

As on the Review page, an answer is not shown at once where the slice is unlike those that the model learned
from. Colours follow the notebook's theme; whatever comes from a file is escaped.
"""

from __future__ import annotations

import base64
import io
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from brat.classes import CLASS_COLOURS, CLASS_NAMES, CLASSES
from brat.model.calibration import DEFAULT_LEVEL
from brat.model.reader import is_alone_and_unsure
from brat.wording import UNSURE_ALONE, percent

if TYPE_CHECKING:
    from brat.api.readings import Reading, SeriesReading

UNLIKE = "Not a slice like those that the model learned from."
CAVEAT = "Not a medical device, not for diagnosis."

_SIDE = 288
"""Pixels of a picture's longer side."""

_THUMBNAILS = 8
"""Slices of a series that are shown, at most."""


def in_words(reading: Reading) -> str:
    """The answer in one line."""
    if reading.in_distribution is False:
        return f"{UNLIKE} {reading.reason}"
    return f"{CLASS_NAMES[reading.label]}, {percent(reading.probabilities[reading.label], 1)}"


def reading_as_html(reading: Reading) -> str:
    scan = reading.scan
    about = escape(f"{scan.name}, {scan.width} x {scan.height}, {scan.format}")
    picture = _image(_smaller(scan.gray), f"The slice {scan.name}")
    if reading.in_distribution is False:
        body = (
            f"{picture}<p><strong>{escape(UNLIKE)}</strong> {escape(reading.reason)}</p>"
            f"<details><summary>Show the reading all the same</summary>{_answer(reading)}</details>"
        )
    else:
        overlay = f"The slice with the map of where {CLASS_NAMES[reading.label]} comes from"
        marked = f" {_image(_smaller(reading.overlay()), overlay)}" if reading.is_marked else ""
        body = f"{picture}{marked}{_answer(reading)}"
    return f'<div style="max-width:40em"><p>{about}</p>{body}<p><small>{CAVEAT}</small></p></div>'


def series_as_html(series: SeriesReading) -> str:
    statements = "".join(f"<li>{escape(statement)}</li>" for statement in series.statements)
    figures = []
    for number in _of_interest(series):
        reading = series.slices[number]
        if reading is None:
            continue
        words = f"Slice {number + 1}: {in_words(reading)}"
        figures.append(
            '<figure style="display:inline-block;width:10em;margin:0 .5em .5em 0;vertical-align:top">'
            f"{_image(_smaller(reading.overlay(), _SIDE // 2), words)}"
            f"<figcaption><small>{escape(words)}</small></figcaption></figure>"
        )
    about = escape(f"{series.name}, {series.format}, {series.plane}")
    return (
        f'<div style="max-width:48em"><p>{about}</p><ul>{statements}</ul>{"".join(figures)}'
        f"<p><small>{CAVEAT}</small></p></div>"
    )


def reading_as_png(reading: Reading) -> bytes:
    """The slice, its map where that is shown, and a bar a class on white; no bars where it is unlike."""
    font = ImageFont.load_default(14)
    known = reading.in_distribution is not False
    pictures = [_smaller(reading.scan.gray), *([_smaller(reading.overlay())] if reading.is_marked else [])]
    row, height = 22, max(len(picture) for picture in pictures)
    canvas = Image.new(
        "RGB", (2 * _SIDE + 24, height + 24 + row * (len(CLASSES) + 1 if known else 2)), "white"
    )
    for number, picture in enumerate(pictures):
        canvas.paste(Image.fromarray(picture).convert("RGB"), (8 + number * (_SIDE + 8), 8))
    draw = ImageDraw.Draw(canvas)
    below = height + 16
    if not known:
        draw.text((8, below), UNLIKE, "black", font)
        draw.text((8, below + row), reading.reason, "black", font)
    else:
        for number, (label, probability) in enumerate(reading.probabilities.items()):
            top = below + number * row
            draw.text((8, top), CLASS_NAMES[label], "black", font)
            draw.rectangle(
                (150, top + 2, 152 + round(probability * 340), top + 15), fill=CLASS_COLOURS[label]
            )
            draw.text((520, top), percent(probability, 1), "black", font)
        draw.text((8, below + len(CLASSES) * row), CAVEAT, "black", font)
    return _png(canvas)


def _answer(reading: Reading) -> str:
    """The answer, its set and a bar a class."""
    rows = "".join(
        '<tr><th scope="row" style="text-align:left;font-weight:400;white-space:nowrap">'
        f"{CLASS_NAMES[label]}</th>"
        f'<td style="width:100%;text-align:left"><div style="background:{CLASS_COLOURS[label]};height:1em;'
        f'min-width:2px;width:{probability:.1%}"></div></td><td>{escape(percent(probability, 1))}</td></tr>'
        for label, probability in reading.probabilities.items()
    )
    sets = ""
    if DEFAULT_LEVEL in reading.levels:
        classes = reading.prediction_set(DEFAULT_LEVEL)
        names = " or ".join(CLASS_NAMES[label] for label in classes) or "no class"
        unsure = is_alone_and_unsure(classes, reading.probabilities[reading.label])
        sets = f"<br>{percent(DEFAULT_LEVEL)} set: {names}{f', {UNSURE_ALONE}' if unsure else ''}"
    label = reading.label
    answer = escape(f"{CLASS_NAMES[label]}, {percent(reading.probabilities[label], 1)}")
    return (
        f"<p><strong>{answer}</strong>{sets}</p>"
        f'<table aria-label="Probability of each class" style="width:100%">{rows}</table>'
    )


def _of_interest(series: SeriesReading) -> list[int]:
    """The most suspicious slice, and others spread evenly over the stack."""
    read = [number for number, reading in enumerate(series.slices) if reading is not None]
    if not read:
        return []
    spread = np.linspace(0, len(read) - 1, min(len(read), _THUMBNAILS - 1)).round().astype(int)
    return sorted({series.most_suspicious, *(read[place] for place in spread)})


def _smaller(picture: np.ndarray, side: int = _SIDE) -> np.ndarray:
    """uint8 (height, width) or (height, width, 3), scaled so that its longer side is `side` pixels."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.array(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR, reducing_gap=3))


def _image(picture: np.ndarray, alt: str) -> str:
    content = base64.b64encode(_png(Image.fromarray(picture))).decode()
    return f'<img src="data:image/png;base64,{content}" alt="{escape(alt)}" style="display:inline">'


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
