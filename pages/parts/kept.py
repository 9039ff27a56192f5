"""What a reader chose stays chosen while the widget is off the page: Streamlit forgets it then."""

from __future__ import annotations

from typing import Any

import streamlit as st


def start_at(key: str, initial: Any) -> None:
    """Set a widget, before it is made, to what was kept of it, or to where it starts."""
    st.session_state.setdefault(key, st.session_state.get(f"kept-{key}", initial))


def keep(key: str) -> Any:
    """The choice in a widget, after it was made, kept for the next time."""
    st.session_state[f"kept-{key}"] = st.session_state[key]
    return st.session_state[key]
