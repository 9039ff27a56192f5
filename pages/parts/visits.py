"""A visit that goes on after a reload: what was open, the list, and what was typed and set.

The browser's tab keeps the name of its visit (see `pages.arrivals`), and the server what was open in it. To
Streamlit a page that is loaded again is a new visitor.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages import arrivals
from pages.parts import open_scan
from pages.parts.login import person
from pages.parts.widget_memory import MEMORY, memory

_KEPT = (*open_scan.STATE, "worklist", "walk", "worklist_opened", MEMORY)
"""In `st.session_state`."""


_HOUR = 3600.0
"""Seconds that a visit is kept; said in words, Streamlit would load pandas for them."""


# Few, because a scan takes up to 125 MB.
@st.cache_resource(max_entries=8, ttl=_HOUR, show_spinner=False)
def _left(visit: str) -> dict[str, Any]:
    return {}


def go_on() -> None:
    """Go on with the visit that this tab had before a reload; where that is forgotten, the page says so.

    To be called by each page that takes files, before it looks at what is open.
    """
    state = st.session_state
    visit = state.pop(arrivals.RETURNED, None)
    if visit is None:
        return
    kept = dict(_left(visit))
    _left.clear(visit)
    # What somebody else had open is not for whoever logs in after them.
    if kept and kept.pop("person") == person():
        state.update(kept)
    else:
        state.forgotten = True


def watch() -> None:
    """Keep what is open for a reload, and look out for what does not arrive. Once in each such page."""
    state = st.session_state
    # There from now on, so that what a part of the page that is drawn alone remembers later is kept, too.
    memory()
    is_open = any(state.get(name) is not None for name in ("scan", "series"))
    if is_open or ("worklist" in state and state.worklist.progress().total):
        _left(arrivals.visit()).update(
            {name: state[name] for name in _KEPT if name in state}, person=person()
        )
        is_open = True
    arrivals.watch(is_open)
