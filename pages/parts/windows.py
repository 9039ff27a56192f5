"""Part of Review: which of a scan's values are shown, from the file's presets or by hand."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from brat.io.scan import Window
from pages.parts.widget_memory import remembered
from pages.words import windows as words

_OWN = -1


def choose_window(shown: Window, presets: tuple[Window, ...], key: str) -> Window:
    """Ask for a window, and say where it is not the scan's own.

    Args:
        shown: what is shown where the visitor chooses nothing.
        presets: what else the file suggests.
        key: of the scan; its choice is kept with it.
    """
    with st.popover("Window", help=words.HELP, key="window"):
        chosen = _ask(shown, presets, key)
    # What the file asks for or, where it asks for nothing, what it was opened with, is the scan as it came.
    if chosen != (presets[0] if presets else shown):
        st.caption(words.other(chosen.center, chosen.width))
    return chosen


def _ask(shown: Window, presets: tuple[Window, ...], key: str) -> Window:
    offered = presets if shown in presets else (shown, *presets)
    preset, center, width = f"preset-{key}", f"center-{key}", f"width-{key}"
    number = st.radio(
        "Presets",
        [*range(len(offered)), _OWN],
        format_func=lambda number: _name(number, offered, presets),
        **remembered(preset, offered.index(shown)),
    )
    if number != _OWN:
        return offered[number]
    step = max(round(shown.width / 100, 2), 0.01)
    level = st.number_input("Level", step=step, **remembered(center, shown.center))
    span = st.number_input("Width", min_value=step, step=step, **remembered(width, shown.width))
    return replace(shown, center=level, width=span, name="")


def _name(number: int, offered: tuple[Window, ...], presets: tuple[Window, ...]) -> str:
    if number == _OWN:
        return "My own"
    window = offered[number]
    if window not in presets:
        return "As it was opened"
    place = presets.index(window)
    named = window.name.capitalize() or f"Window {place + 1}"
    return named if place else f"As the file says: {named}"
