"""Remembers the choice in a widget while the widget is off the page: Streamlit itself forgets it then.

Give `remember` to the widget as `on_change` too: a callback runs even where the run after it goes to another
page.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

MEMORY = "memory"
"""Where the memory is in `st.session_state`."""


def memory() -> dict[str, Any]:
    """What is remembered of this visit, by key; the same object as long as it lasts."""
    return st.session_state.setdefault(MEMORY, {})


def restore(key: str, initial: Any) -> None:
    """Set a widget to its remembered choice, or else to `initial`.

    Call this just before the widget is made: what is set in a run without the widget outlives it, and would
    be taken for a choice.
    """
    st.session_state.setdefault(key, memory().get(key, initial))


def remember(key: str) -> Any:
    """Remember the choice in a widget, and return it. Call this after the widget is made."""
    memory()[key] = st.session_state[key]
    return st.session_state[key]
