"""The picture of the Review page: a scan with its map, and everything a reader does with the two.

A Streamlit component (API v2). The scan, the small maps and the colour tables go to the browser once a scan;
class, opacity, threshold, colours, zoom and wipe then need no trip to the server.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import streamlit as st

from brat import CLASS_NAMES, CLASSES
from brat.explain import COLOUR_MAPS, METHODS, as_png, colourise
from brat.preprocess import Geometry

_HERE = Path(__file__).parent

_mount = st.components.v2.component(
    "brat_viewer",
    html=(_HERE / "viewer.html").read_text(encoding="utf-8"),
    css=(_HERE / "viewer.css").read_text(encoding="utf-8"),
    js=(_HERE / "viewer.js").read_text(encoding="utf-8"),
)


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
        method: one of `brat.explain.METHODS`, how the maps were made.
        key: of the widget; one viewer a page can keep the same key for every scan.

    Raises:
        ValueError: there is no map, or the geometry is another scan's.
    """
    if not maps:
        raise ValueError("There is no map to show.")
    if gray.shape != (geometry.height, geometry.width):
        raise ValueError(f"The scan is {gray.shape}, its geometry {(geometry.height, geometry.width)}.")
    data = {
        "scan": "data:image/png;base64," + _base64(as_png(gray)),
        "maps": {
            known: _base64(np.ascontiguousarray(maps[known], "<f4").tobytes())
            for known in CLASSES
            if known in maps
        },
        "geometry": vars(geometry),
        "label": label,
        "names": CLASS_NAMES,
        "colours": _colour_tables(),
        "name": name,
        "method": method,
    }
    # In a list, because Streamlit looks for tables in a dictionary, and loads pandas to know one.
    _mount(key=key, data=[data])


@lru_cache(maxsize=1)
def _colour_tables() -> dict[str, str]:
    """Colour map -> base64 of uint8 (256, 3), RGB."""
    levels = np.arange(256)[np.newaxis] / 255
    return {name: _base64(colourise(levels, name).tobytes()) for name in COLOUR_MAPS}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
