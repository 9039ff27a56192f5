"""Part of Review: what concerns the whole page and not one control of it, in the browser.

What is opened is shown from its top, files can be dropped anywhere, A, D and U give the verdict, the
browser's Back leads from a slice to its series, and the browser asks before a verdict that was not kept is
lost.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from pages.parts.open_scan import BACK

_mount = st.components.v2.component(
    "brat_whole_page",
    html="<span></span>",
    js=(Path(__file__).parents[1] / "viewer" / "whole_page.js").read_text(encoding="utf-8"),
)


def whole_page(of: str, *, is_alone: bool) -> None:
    """Look after the whole page.

    Args:
        of: what is open, and what could not be opened: with another one the page goes to its top.
        is_alone: whether a slice is shown by itself, with its series behind it.
    """
    # In a list, see `pages.viewer`.
    _mount(key="whole-page-script", data=[of, is_alone, BACK])
