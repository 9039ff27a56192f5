"""Remembers the choice in a widget while the widget is off the page: Streamlit itself forgets it then.

Give `remember` to the widget as `on_change` too: a callback runs even where the run after it goes to another
page.
"""

from __future__ import annotations

from typing import Any

import streamlit as st


def restore(key: str, initial: Any) -> None:
    """Set a widget to its remembered choice, or else to `initial`. Call this before the widget is made."""
    st.session_state.setdefault(key, st.session_state.get(f"remembered-{key}", initial))


def remember(key: str) -> Any:
    """Remember the choice in a widget, and return it. Call this after the widget is made."""
    st.session_state[f"remembered-{key}"] = st.session_state[key]
    return st.session_state[key]


def forget(key: str) -> None:
    """The widget starts from its beginning again."""
    for name in (key, f"remembered-{key}"):
        st.session_state.pop(name, None)
