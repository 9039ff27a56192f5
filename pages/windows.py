"""Part of Review: which of a scan's values are shown, from the file's presets or by hand."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from brat.scans import Window
from pages.kept import keep, start_at
from pages.words import windows as words

_OWN = -1


def choose_window(shown: Window, presets: tuple[Window, ...], key: str) -> Window:
    """Ask for a window.

    Args:
        shown: what is shown where the reader chooses nothing.
        presets: what else the file suggests.
        key: of the scan; its choice is kept with it.
    """
    offered = presets or (shown,)
    preset, center, width = f"preset-{key}", f"center-{key}", f"width-{key}"
    with st.popover(words.TITLE, help=words.HELP):
        start_at(preset, 0)
        st.radio(
            words.PRESET, [*range(len(offered)), _OWN], format_func=lambda n: _name(n, presets), key=preset
        )
        number = keep(preset)
        if number != _OWN:
            return offered[number]
        step = max(round(shown.width / 100, 2), 0.01)
        start_at(center, shown.center)
        start_at(width, shown.width)
        st.number_input(words.CENTER, step=step, key=center)
        st.number_input(words.WIDTH, min_value=step, step=step, key=width)
        return replace(shown, center=keep(center), width=keep(width), name="")


def _name(number: int, presets: tuple[Window, ...]) -> str:
    if number == _OWN:
        return words.OWN
    if not presets:
        return words.AUTOMATIC
    named = presets[number].name.capitalize() or words.UNNAMED.format(number=number + 1)
    return named if number else f"{words.FILE}: {named}"
