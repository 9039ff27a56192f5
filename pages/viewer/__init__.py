"""The picture of the Review page: a scan, or a stack of slices, with its map, and what a reader does with it.

A Streamlit component (API v2). The scans, the small maps and the colour tables go to the browser once; slice,
class, opacity, threshold, colours, zoom and wipe then need no trip to the server.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from string import Template

import numpy as np
import streamlit as st

from brat.classes import CLASS_COLOURS, CLASS_NAMES, CLASSES
from brat.model.explain import COLOUR_MAPS, METHODS, as_png, colourise
from brat.model.preprocess import Geometry
from pages.words import viewer as words

_HERE = Path(__file__).parent

_mount = st.components.v2.component(
    "brat_viewer",
    html=Template((_HERE / "viewer.html").read_text(encoding="utf-8")).substitute(vars(words)),
    css=(_HERE / "viewer.css").read_text(encoding="utf-8"),
    js=(_HERE / "viewer.js").read_text(encoding="utf-8"),
)


@dataclass(frozen=True, eq=False)
class ViewerSlice:
    """One slice as the viewer shows it.

    Attributes:
        picture: a PNG file, of as many pixels as `geometry` says.
        geometry: where the model's square lies on it.
        maps: class -> float32 (n, n) in [0, 1], made on that square; empty where there is none to show.
        label: the answer, whose map is shown first; empty where there is none.
        name: of the slice; a saved picture is named after it.
        answer, doubt: what is said of it above the picture, in a stack.
        shares: the probability of each class; None where it was not read.
        mark: "known", "refused" or "unread".
    """

    picture: bytes
    geometry: Geometry
    maps: Mapping[str, np.ndarray]
    label: str
    name: str
    answer: str = ""
    doubt: str = ""
    shares: Sequence[float] | None = None
    mark: str = "known"


def viewer(
    gray: np.ndarray,
    maps: Mapping[str, np.ndarray],
    geometry: Geometry,
    label: str,
    *,
    name: str,
    method: str = METHODS[0],
    key: str,
) -> None:
    """Show a scan with its map.

    What the reader chose stays when the script runs again with the same key. A new scan starts at its own
    label, unzoomed and with the map on; only opacity and colours are kept from the scan before.

    Args:
        gray: uint8 (height, width), the scan.
        maps: at least one of `brat.CLASSES` -> float32 (n, n) in [0, 1], made on the model's square input.
        geometry: where that square lies on the scan.
        label: the answer. Its map is shown first, or the first of `maps` where that has none of it.
        name: the scan's file name; a saved picture is named after it.
        method: one of `brat.model.explain.METHODS`, how the maps were made.
        key: of the widget; one viewer a page can keep the same key for every scan.

    Raises:
        ValueError: there is no map, or the geometry is another scan's.
    """
    if not maps:
        raise ValueError("There is no map to show.")
    if gray.shape != (geometry.height, geometry.width):
        raise ValueError(f"The scan is {gray.shape}, its geometry {(geometry.height, geometry.width)}.")
    _show([ViewerSlice(as_png(gray), geometry, maps, label, name)], 0, "", method, key)


def stack_viewer(
    slices: Sequence[ViewerSlice],
    start: int,
    *,
    of: str,
    strip: str,
    aim: int,
    aim_name: str,
    on_open: Callable[[int], None],
    key: str,
) -> None:
    """Show a stack of slices with their maps, and a strip of their probabilities along it.

    Args:
        slices: in order.
        start: the number of the one to begin at.
        of: names the stack; with another name it starts afresh.
        strip: what the strip shows, in words.
        aim: the number of the slice to which a button leads, and which the strip marks.
        aim_name: what the button says; without it there is neither.
        on_open: called with the number of a slice that the reader wants to see by itself.
    """

    def opened() -> None:
        on_open(int(st.session_state[key]["open"]))

    more = {"strip": strip, "aim": aim, "aimName": aim_name}
    _show(slices, start, of, METHODS[0], key, more, on_open_change=opened)


def _show(slices, start: int, of: str, method: str, key: str, more=(), **callbacks) -> None:
    data = {
        "slices": [_as_data(one) for one in slices],
        "start": start,
        "of": of,
        "names": CLASS_NAMES,
        "classes": [{"name": CLASS_NAMES[name], "colour": CLASS_COLOURS[name]} for name in CLASSES],
        "colours": _colour_tables(),
        "method": method,
        "words": words.IN_SCRIPT,
        **dict(more),
    }
    # In a list, because Streamlit looks for tables in a dictionary, and loads pandas to know one.
    _mount(key=key, data=[data], **callbacks)


def _as_data(one: ViewerSlice) -> dict:
    return {
        "scan": "data:image/png;base64," + _base64(one.picture),
        "maps": {
            known: _base64(np.ascontiguousarray(one.maps[known], "<f4").tobytes())
            for known in CLASSES
            if known in one.maps
        },
        "geometry": vars(one.geometry),
        "label": one.label,
        "name": one.name,
        "answer": one.answer,
        "doubt": one.doubt,
        "colour": CLASS_COLOURS.get(one.label),
        "shares": None if one.shares is None else [round(float(share), 4) for share in one.shares],
        "mark": one.mark,
    }


@lru_cache(maxsize=1)
def _colour_tables() -> dict[str, str]:
    """Colour map -> base64 of uint8 (256, 3), RGB."""
    levels = np.arange(256)[np.newaxis] / 255
    return {name: _base64(colourise(levels, name).tobytes()) for name in COLOUR_MAPS}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
