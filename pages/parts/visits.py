"""A visit that goes on after a reload: what was open, the list, and what was typed and set.

The browser's tab keeps the name of its visit (see `pages.arrivals`), and the server what was open in it. To
Streamlit a page that is loaded again is a new visitor.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import streamlit as st

from pages import arrivals
from pages.parts import open_scan
from pages.parts.fields import look_after_fields
from pages.parts.login import Person, person
from pages.parts.widget_memory import MEMORY, memory

_KEPT = (
    *open_scan.STATE,
    *("worklist", "walk", "worklist_opened"),
    *("archive_found", "archive_series", "archive_ticks", "archive_linked"),
    *("archive_origins", "archive_sent"),
    "validation",
    MEMORY,
)
"""In `st.session_state`."""


class _Left(NamedTuple):
    """What a visit had, the session that it was in, and whose it was."""

    session: str | None
    person: Person | None
    state: dict[str, Any]


_left: dict[str, _Left] = {}
"""Of each visit. It holds no more than the session does, and is dropped when that is, see `forget`."""


def go_on() -> None:
    """Go on with the visit that this tab had before a reload; where that is forgotten, the page says so.

    To be called by each page before it looks at what is open, and before its widgets are made.
    """
    state = st.session_state
    visit = state.pop(arrivals.RETURNED, None)
    if visit is None:
        return
    left = _left.pop(visit, None)
    # What somebody else had open is not for whoever logs in after them.
    if left and left.person == person():
        # What a widget that is on the page already shows is how it begins, not what was chosen.
        for key in left.state[MEMORY]:
            state.pop(key, None)
        state.update(left.state)
    else:
        state.forgotten = True


def watch(*, takes_files: bool = True) -> None:
    """Keep what is open and set for a reload, and look out for what does not arrive. Once in each page.

    Args:
        takes_files: whether the page opens files, or lists them.
    """
    state = st.session_state
    # There from now on, so that what a part of the page that is drawn alone remembers later is kept, too.
    memory()
    is_open = any(state.get(name) is not None for name in ("scan", "series", "validation"))
    is_listed = "worklist" in state and state.worklist.progress().total > 0
    is_worth_keeping = is_open or is_listed or bool(memory())
    if is_worth_keeping:
        kept = {name: state[name] for name in _KEPT if name in state}
        _left[arrivals.visit()] = _Left(open_scan.session_id(), person(), kept)
    else:
        _left.pop(arrivals.visit(), None)
    with st.container(key="visit"):
        arrivals.watch(is_worth_keeping, takes_files=takes_files)
        look_after_fields()


def stay() -> None:
    """All of it, for a page that neither takes files nor makes anything that a reload would lose."""
    go_on()
    watch(takes_files=False)
    arrivals.show_forgotten()


def sessions() -> set[str]:
    """The sessions of the visits that are kept."""
    return {left.session for left in list(_left.values()) if left.session}


def forget(ended: Collection[str]) -> None:
    """Drop what was open in sessions that nobody can come back to any more."""
    for visit, left in list(_left.items()):
        if left.session in ended:
            _left.pop(visit, None)
