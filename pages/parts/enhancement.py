"""Part of Review: with which enhancement the scan is read. It is set, and previewed, in the viewer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from brat.io.scan import Scan
from brat.model.explain import as_png
from pages.parts.readings import PLAIN, Enhancement, enhanced
from pages.parts.widget_memory import memory
from pages.viewer import asked
from pages.words import review as words

CLIP_LIMITS = (1.0, 8.0)
CHANGES = (-50.0, 50.0)
"""From the least to the most that the viewer's sliders offer; brightness in per cent of full scale."""

_KEY = "enhancement"


def chosen_to_read() -> Enhancement:
    """With which enhancement the scan is to be read."""
    return memory().get(_KEY, PLAIN)


def take(key: str) -> None:
    """Read with what the visitor of a viewer asks for. It is kept for the session, as no widget is.

    Args:
        key: of the viewer.
    """
    wish = asked(key)
    memory()[_KEY] = from_viewer(wish) if wish["isRead"] else PLAIN


def from_viewer(wish: Mapping[str, Any]) -> Enhancement:
    """What comes from a browser is brought into the range of the sliders."""
    limit, change = wish["clipLimit"], wish["change"]
    return Enhancement(
        clip_limit=None if limit is None else _within(limit, CLIP_LIMITS),
        change=None if change is None else _within(change, CHANGES) / 100,
    )


def for_viewer(enhancement: Enhancement) -> dict[str, Any]:
    """An enhancement that is read, as the viewer takes it."""
    change = enhancement.change
    return {
        "clipLimit": enhancement.clip_limit,
        "change": None if change is None else round(100 * change),
        "isRead": enhancement != PLAIN,
    }


def _within(value: Any, ends: tuple[float, float]) -> float:
    return min(max(float(value), ends[0]), ends[1])


def show_preview(scan: Scan, enhancement: Enhancement) -> None:
    """The scan as a picture, where there is no model whose viewer could show it."""
    alt = words.preview(scan.name, *enhancement)
    st.image(as_png(enhanced(scan, enhancement)), width="stretch", alt=alt)
