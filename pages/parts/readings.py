"""Part of Review: readings, and changed scans, computed once and then taken from a cache by all visitors."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import streamlit as st

from brat.environment import MODELS, WEIGHTS
from brat.io.scan import Scan, Window
from brat.model.files import ModelError
from brat.model.reader import Reader, Reading
from brat.perturb.enhance import brightness, clahe
from pages.parts.failures import tell
from pages.parts.widget_memory import memory, remembered


class Enhancement(NamedTuple):
    """How a scan is changed before it is shown or read.

    Attributes:
        clip_limit: of CLAHE; None where it is off.
        change: of brightness, a part of full scale, -0.5 to 0.5; None where it is off.
    """

    clip_limit: float | None = None
    change: float | None = None


PLAIN = Enhancement()

_CHOSEN = "chosen-model"


def chosen() -> Path:
    """The folder of the model that Review reads with: the visitor's choice, or the first of `MODELS`."""
    # Of the widget, or from when it was last on a page.
    return st.session_state.get(_CHOSEN, memory().get(_CHOSEN, WEIGHTS))


def choose_model() -> None:
    """Let the visitor choose the model, where there are several."""
    if len(MODELS) == 1:
        return
    st.selectbox(
        "Model",
        MODELS,
        format_func=_named,
        width=220,
        **remembered(_CHOSEN, WEIGHTS),
    )


def _named(folder: Path) -> str:
    """A folder's name and the beginning of its model's hash, by which History knows it."""
    try:
        return f"{folder.name} ({reader(folder).classifier.digest[:8]})"
    except (ModelError, FileNotFoundError):
        return folder.name


def reader(weights: Path | None = None) -> Reader:
    """A model with its calibration and out-of-distribution check.

    Args:
        weights: its folder; by default the chosen one.
    """
    return _loaded(weights or chosen())


@st.cache_resource(show_spinner=False)
def _loaded(weights: Path) -> Reader:
    return Reader(weights)


def check_model(weights: Path | None = None, *, anew: bool = False) -> bool:
    """Whether the model can be used; where it cannot, the page says why.

    Args:
        weights: its folder; by default the chosen one.
        anew: by its files as they are now. A model that is loaded is whole whatever became of them.
    """
    try:
        Reader(weights or chosen()) if anew else reader(weights)
    except (ModelError, FileNotFoundError) as error:
        tell("model", error)
        return False
    return True


# Few of either, because a scan takes up to 125 MB and an enhanced one 25; both go with their visitor.
@st.cache_resource(
    max_entries=1, show_spinner=False, scope="session", hash_funcs={Scan: lambda scan: scan.digest}
)
def windowed(scan: Scan, window: Window) -> Scan:
    """The scan under another window."""
    return scan.windowed(window)


def enhanced(scan: Scan, enhancement: Enhancement) -> np.ndarray:
    """The scan as it is shown and read, uint8 (height, width)."""
    return _enhanced(scan.digest, scan.gray, *enhancement)


def read(scan: Scan, enhancement: Enhancement = PLAIN) -> Reading:
    """The reading of a scan."""
    return _read(chosen(), scan.digest, scan.gray, *enhancement)


# The digest stands for the pixels: Streamlit does not hash arguments with an underscore.
@st.cache_resource(max_entries=2, show_spinner=False, scope="session")
def _enhanced(digest: str, _gray: np.ndarray, clip_limit: float | None, change: float | None) -> np.ndarray:
    gray = _gray if clip_limit is None else clahe(_gray, clip_limit)
    return gray if change is None else brightness(gray, change)


@st.cache_resource(max_entries=256, show_spinner=False)
def _read(
    weights: Path, digest: str, _gray: np.ndarray, clip_limit: float | None, change: float | None
) -> Reading:
    return reader(weights).read(_enhanced(digest, _gray, clip_limit, change))
