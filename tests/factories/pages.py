"""Pages as a film printer, a screenshot or a browser makes them: several slices on one picture."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence

import numpy as np
from PIL import Image
from streamlit.testing.v1 import AppTest


def page_of(
    slices: Sequence[np.ndarray], columns: int, gutter: int = 0, shade: int = 0, margin: int = 0
) -> np.ndarray:
    """Slices of one size in a grid, row by row, uint8; all between and around them is of one shade."""
    height, width = slices[0].shape
    rows = -(-len(slices) // columns)
    page = np.full(
        (rows * (height + gutter) - gutter + 2 * margin, columns * (width + gutter) - gutter + 2 * margin),
        shade,
        np.uint8,
    )
    for number, gray in enumerate(slices):
        row, column = divmod(number, columns)
        top, left = margin + row * (height + gutter), margin + column * (width + gutter)
        page[top : top + height, left : left + width] = gray
    return page


def png(gray: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(gray).save(buffer, "PNG")
    return buffer.getvalue()


def sent_to_viewer(page: AppTest) -> list[dict]:
    """What each viewer on a page of Streamlit's harness was sent."""
    # Some components are sent nothing.
    sent = [json.loads(one.proto.json) for one in page.get("bidi_component") if one.proto.json]
    return [one[0] for one in sent if isinstance(one[0], dict)]
