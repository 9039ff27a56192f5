"""The theme that a visitor meets first: dark, as a reading room is."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_mount = st.components.v2.component(
    "brat_dark_room", js=(Path(__file__).parent / "dark_room.js").read_text(encoding="utf-8")
)


def darken() -> None:
    """Show the dark theme until the visitor chooses another one. Once in each run of the app."""
    # What has no look takes no room. In a caption, which is paler than other text, a name of another colour
    # is too pale.
    st.html(
        "<style>:is(.st-key-dark-room, [data-testid=stLayoutWrapper]:has(> .st-key-visit))"
        " {position: absolute; width: 0; overflow: hidden}"
        " [data-testid=stCaptionContainer] code {color: inherit}</style>"
    )
    with st.container(key="dark-room"):
        _mount(key="dark-room-script")
