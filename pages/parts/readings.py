"""Part of Review: readings, and changed scans, computed once and then taken from a cache by all visitors."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import streamlit as st

from brat.io.scan import Scan, Window
from brat.model.files import ModelError
from brat.model.reader import Reader, Reading
from brat.perturb.enhance import brightness, clahe
from pages.parts.failures import tell


class Enhancement(NamedTuple):
    """How a scan is changed before it is shown or read.

    Attributes:
        clip_limit: of CLAHE; None where it is off.
        change: of brightness, a part of full scale, -0.5 to 0.5; None where it is off.
    """

    clip_limit: float | None = None
    change: float | None = None


PLAIN = Enhancement()


@st.cache_resource(show_spinner=False)
def reader() -> Reader:
    """The model with its calibration and out-of-distribution check."""
    return Reader()


def check_model(weights: Path | None = None) -> bool:
    """Whether the model can be used; where it cannot, the page says why.

    Args:
        weights: its folder; by default the model that is loaded, which is whole whatever became of its files.
    """
    try:
        Reader(weights) if weights else reader()
    except (ModelError, FileNotFoundError) as error:
        tell("model", error)
        return False
    return True


# Few of either, because a scan takes up to 125 MB and an enhanced one 25.
@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs={Scan: lambda scan: scan.digest})
def windowed(scan: Scan, window: Window) -> Scan:
    """The scan under another window."""
    return scan.windowed(window)


def enhanced(scan: Scan, enhancement: Enhancement) -> np.ndarray:
    """The scan as it is shown and read, uint8 (height, width)."""
    return _enhanced(scan.digest, scan.gray, *enhancement)


def read(scan: Scan, enhancement: Enhancement = PLAIN) -> Reading:
    """The reading of a scan."""
    return _read(scan.digest, scan.gray, *enhancement)


# The digest stands for the pixels: Streamlit does not hash arguments with an underscore.
@st.cache_resource(max_entries=8, show_spinner=False)
def _enhanced(digest: str, _gray: np.ndarray, clip_limit: float | None, change: float | None) -> np.ndarray:
    gray = _gray if clip_limit is None else clahe(_gray, clip_limit)
    return gray if change is None else brightness(gray, change)


@st.cache_resource(max_entries=256, show_spinner=False)
def _read(digest: str, _gray: np.ndarray, clip_limit: float | None, change: float | None) -> Reading:
    return reader().read(_enhanced(digest, _gray, clip_limit, change))
