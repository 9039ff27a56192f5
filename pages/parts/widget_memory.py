"""Remembers the choice in a widget while the widget is off the page: Streamlit itself forgets it then.

`remembered` does all of it. The callback that it gives runs even where the run after it goes to another page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

MEMORY = "memory"
"""Where the memory is in `st.session_state`."""


def memory() -> dict[str, Any]:
    """What is remembered of this visit, by key; the same object as long as it lasts."""
    return st.session_state.setdefault(MEMORY, {})


def remembered(key: str, initial: Any) -> dict[str, Any]:
    """Key and callback of a widget, which is set to its remembered choice, or else to `initial`.

    Call this just before the widget is made, see `restore`.
    """
    restore(key, initial)
    return {"key": key, "on_change": remember, "args": (key,)}


def restore(key: str, initial: Any) -> None:
    """Set a widget to its remembered choice, or else to `initial`.

    Call this just before the widget is made: what is set in a run without the widget outlives it, and would
    be taken for a choice.
    """
    st.session_state.setdefault(key, memory().get(key, initial))


def unfolds(name: str, keys: Sequence[str]) -> bool:
    """Whether what hides widgets is to be open: something was set in one when the visitor came to the page.

    Call this before they are made. What the visitor sets in them from then on does not move it.

    Args:
        name: of the answer in the session.
        keys: of the widgets.
    """
    if any(key not in st.session_state for key in keys):
        st.session_state[name] = any(memory().get(key) for key in keys)
    return st.session_state[name]


def remember(key: str) -> Any:
    """Remember the choice in a widget, and return it. Call this after the widget is made."""
    memory()[key] = st.session_state[key]
    return st.session_state[key]
