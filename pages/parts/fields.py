"""What is typed and set reaches the server before the page is left; Enter presses the button beside a field.

In a form of Streamlit's Enter does so, too, but until it is sent the browser keeps it to itself: what is
typed in it is lost with the page.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_mount = st.components.v2.component(
    "brat_fields", js=(Path(__file__).parent / "fields.js").read_text(encoding="utf-8")
)


def look_after_fields() -> None:
    """Once in each page. Enter presses the button of the container whose key begins with "entering-"."""
    _mount(key="fields-script")
