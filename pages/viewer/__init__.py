"""The picture of the Review page: a scan, or a stack of slices, with its map, and its controls.

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
from typing import Any

import numpy as np
import streamlit as st

from brat.classes import CLASS_COLOURS, CLASS_NAMES, CLASSES
from brat.io.scan import Scan
from brat.model.explain import COLOUR_MAPS, METHODS, as_png, colourise
from brat.model.preprocess import Geometry
from pages.words import viewer as words

_HERE = Path(__file__).parent

_mount = st.components.v2.component(
    "brat_viewer",
    html=Template((_HERE / "viewer.html").read_text(encoding="utf-8")).substitute(vars(words)),
    css=(_HERE / "viewer.css").read_text(encoding="utf-8"),
    # One script to the browser: it could not find a second one.
    js="\n".join(
        (_HERE / f"{part}.js").read_text(encoding="utf-8") for part in ("pixels", "marks", "viewer")
    ),
)

_mount_values = st.components.v2.component(
    "brat_values", html="<span></span>", js=(_HERE / "values.js").read_text(encoding="utf-8")
)

MOST_VALUES = 2**21
"""Pixels of a scan whose values go to the browser; of a larger one its 8 bits do."""


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
        probabilities: of each class, 0 to 1; None where it was not read.
        mark: "known", "refused" or "unread".
        first: the class whose map is shown first; empty for that of `label`.
        is_marked: whether a map is shown before it is asked for.
        spacing: as `Scan.spacing`, for ruler and scale bar.
        edges: as `Scan.edges`, letters of the patient's sides.
        values: for the window by drag, of `window_values` or, in a stack, of `window_shown`; None where the
            picture's 8 bits are all there is.
        withheld: of a slice out of distribution, what the visitor may ask for all the same; its label is the
            answer, and its maps stand in for `maps`.
    """

    picture: bytes
    geometry: Geometry
    maps: Mapping[str, np.ndarray]
    label: str
    name: str
    answer: str = ""
    doubt: str = ""
    probabilities: Sequence[float] | np.ndarray | None = None
    mark: str = "known"
    first: str = ""
    is_marked: bool = True
    spacing: tuple[float, float] | None = None
    edges: tuple[str, str, str, str] | None = None
    values: Mapping[str, Any] | None = None
    withheld: Withheld | None = None


@dataclass(frozen=True, eq=False)
class Withheld:
    """What is said of a slice only where it is asked for; each as in `ViewerSlice`."""

    maps: Mapping[str, np.ndarray]
    label: str
    answer: str
    first: str


def window_shown(scan: Scan) -> dict[str, Any] | None:
    """The window that a scan of more than 8 bits is shown with, for the browser.

    Returns:
        None where the scan has no window, 8 bits only, or more than `MOST_VALUES` pixels.
    """
    pixels, window = scan.pixels, scan.window
    if window is None or pixels.dtype == np.uint8 or pixels.size > MOST_VALUES:
        return None
    return {
        "center": window.center,
        "width": window.width,
        "kind": window.function,
        "inverted": scan.inverted,
    }


def window_values(scan: Scan) -> dict[str, Any] | None:
    """The values behind a scan of more than 8 bits and the window that it is shown with, for the browser.

    They are sent as 16 bits: whole numbers of files as they are, others rounded to a 65535th of their range.

    Returns:
        None where `window_shown` has none.
    """
    shown, pixels = window_shown(scan), scan.pixels
    if shown is None:
        return None
    lowest, highest = float(pixels.min()), float(pixels.max())
    is_whole = bool((pixels == np.round(pixels)).all()) and highest - lowest < 2**16
    # Of one value throughout there is no range.
    step = 1.0 if is_whole or highest == lowest else (highest - lowest) / (2**16 - 1)
    stored = np.round((pixels.astype(np.float64) - lowest) / step).astype("<u2")
    return {
        "data": _base64(np.ascontiguousarray(stored).tobytes()),
        "lowest": lowest,
        "step": step,
        **shown,
    }


def viewer(
    gray: np.ndarray,
    maps: Mapping[str, np.ndarray],
    geometry: Geometry,
    label: str,
    *,
    name: str,
    of: str = "",
    method: str = METHODS[0],
    first: str = "",
    is_marked: bool = True,
    spacing: tuple[float, float] | None = None,
    edges: tuple[str, str, str, str] | None = None,
    values: Mapping[str, Any] | None = None,
    enhancement: Mapping[str, Any] | None = None,
    on_enhance: Callable[[], None] | None = None,
    key: str,
) -> None:
    """Show a scan with its map.

    What the visitor chose stays when the script runs again with the same key. A new scan starts at its own
    label, unzoomed and with the map as `is_marked` says; opacity, colours and enhancement are kept from the
    scan before. A scan that comes back stands as it was left, after a reload too. Enhancing happens in the
    browser.

    Args:
        gray: uint8 (height, width), the scan as uploaded.
        maps: some of `brat.CLASSES` -> float32 (n, n) in [0, 1], made on the model's square input; empty
            where there is none to show.
        geometry: where that square lies on the scan.
        label: the answer. Its map is shown first, or the first of `maps` where that has none of it.
        name: the scan's file name; a saved picture is named after it.
        of: names the scan and its window; without it nothing is remembered of it.
        method: one of `brat.model.explain.METHODS`, how the maps were made.
        first, is_marked, spacing, edges, values: as in `ViewerSlice`.
        enhancement: with what the scan is read: `clipLimit` and `change`, each None where it is off, and
            `isRead`. Without it nothing offers to read the enhanced scan.
        on_enhance: called when the visitor wants another enhancement to be read; `asked` then has it.
        key: of the widget; one viewer a page can keep the same key for every scan.

    Raises:
        ValueError: the geometry is another scan's.
    """
    if gray.shape != (geometry.height, geometry.width):
        raise ValueError(f"The scan is {gray.shape}, its geometry {(geometry.height, geometry.width)}.")
    slice_ = ViewerSlice(
        as_png(gray),
        geometry,
        maps,
        label,
        name,
        first=first,
        is_marked=is_marked,
        spacing=spacing,
        edges=edges,
        values=values,
    )
    more = {"isStack": False, "enhancement": dict(enhancement) if enhancement else None}
    _show([slice_], 0, of, method, key, more, on_enhancement_change=on_enhance or (lambda: None))


def asked(key: str) -> Mapping[str, Any]:
    """The enhancement that the visitor of a viewer wants to be read, as `enhancement` of `viewer`."""
    return st.session_state[key]["enhancement"]


def stack_viewer(
    slices: Sequence[ViewerSlice],
    start: int,
    *,
    of: str,
    strip: str,
    aim: int,
    aim_name: str,
    values_of: Callable[[int], Mapping[str, Any] | None],
    on_open: Callable[[int], None],
    key: str,
) -> None:
    """Show a stack of slices with their maps, and a strip of their probabilities along it.

    Args:
        slices: in order.
        start: the number of the one to begin at.
        of: names the stack; with another name it starts afresh, or as that was left.
        strip: what the strip shows, in words.
        aim: the number of the slice to which a button leads, and which the strip marks.
        aim_name: what the button says; without it there is neither.
        values_of: gives `window_values` of a slice by its number. Of all slices they would be too much: they
            are sent of the one on display, where a window is wanted of it.
        on_open: called with the number of a slice that the visitor wants to see by itself.
    """

    def opened() -> None:
        on_open(int(st.session_state[key]["open"]))

    more = {"isStack": True, "strip": strip, "aim": aim, "aimName": aim_name}
    _show(slices, start, of, METHODS[0], key, more, on_open_change=opened)
    _send_values(of, values_of, f"{key}-values")


@st.fragment
def _send_values(of: str, values_of: Callable[[int], Mapping[str, Any] | None], key: str) -> None:
    """Send the values of a slice that the viewer asked for, without the rest of the page."""
    wanted = f"{key}-wanted"

    def want() -> None:
        st.session_state[wanted] = int(st.session_state[key]["wanted"])

    number = st.session_state.pop(wanted, None)
    values = None if number is None else values_of(number)
    with st.container(key="values"):
        # In a list, see `_show`.
        _mount_values(key=key, data=[of, number, values], on_wanted_change=want)


def _show(
    slices: Sequence[ViewerSlice],
    start: int,
    of: str,
    method: str,
    key: str,
    more: Mapping[str, Any] | None = None,
    **callbacks: Any,
) -> None:
    data = {
        "slices": [_as_data(slice_) for slice_ in slices],
        "start": start,
        "of": of,
        "names": CLASS_NAMES,
        "classes": [{"name": CLASS_NAMES[name], "colour": CLASS_COLOURS[name]} for name in CLASSES],
        "colours": _colour_tables(),
        "method": method,
        "words": words.IN_SCRIPT,
        **(more or {}),
    }
    # In a list, because Streamlit looks for tables in a dictionary, and loads pandas to know slice_.
    _mount(key=key, data=[data], **callbacks)


def _as_data(slice_: ViewerSlice) -> dict[str, Any]:
    withheld = slice_.withheld
    return {
        "scan": "data:image/png;base64," + _base64(slice_.picture),
        "maps": _maps_as_data(slice_.maps),
        "geometry": vars(slice_.geometry),
        "label": slice_.label,
        "first": slice_.first or slice_.label,
        "isMarked": slice_.is_marked,
        "spacing": slice_.spacing,
        "edges": slice_.edges,
        "values": slice_.values,
        "name": slice_.name,
        "answer": slice_.answer,
        "doubt": slice_.doubt,
        "colour": CLASS_COLOURS.get(slice_.label),
        "probabilities": None
        if slice_.probabilities is None
        else [round(float(probability), 4) for probability in slice_.probabilities],
        "mark": slice_.mark,
        "withheld": withheld
        and {
            "maps": _maps_as_data(withheld.maps),
            "label": withheld.label,
            "first": withheld.first,
            "isMarked": False,
            "answer": withheld.answer,
            "colour": CLASS_COLOURS[withheld.label],
        },
    }


def _maps_as_data(maps: Mapping[str, np.ndarray]) -> dict[str, str]:
    # A pixel has one of 256 levels, and as many say enough of a cell: a long series has thousands of maps.
    return {
        name: _base64(np.round(255 * maps[name]).astype(np.uint8).tobytes())
        for name in CLASSES
        if name in maps
    }


@lru_cache(maxsize=1)
def _colour_tables() -> dict[str, str]:
    """Colour map -> base64 of uint8 (256, 3), RGB."""
    levels = np.arange(256)[np.newaxis] / 255
    return {name: _base64(colourise(levels, name).tobytes()) for name in COLOUR_MAPS}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
