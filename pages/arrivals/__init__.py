"""What the browser or the server lost is told: files that did not arrive, and a visit that is forgotten.

A Streamlit component (API v2) without a look of its own: a failed upload is known to the browser alone.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import streamlit as st

from pages.words import arrivals as words

_mount = st.components.v2.component(
    "brat_arrivals", js=(Path(__file__).parent / "arrivals.js").read_text(encoding="utf-8")
)

_KEY = "arrivals"

RETURNED = "returned"
"""In `st.session_state` after a reload: the visit that this tab had before, if something was open in it."""


def visit() -> str:
    """The name of this visit: nobody can guess it, and so nobody else can go on with it."""
    return st.session_state.setdefault("visit", secrets.token_hex(16))


def watch(is_open: bool, *, takes_files: bool = True) -> None:
    """Look out for what does not arrive.

    Args:
        is_open: whether there is something that a reload would lose.
        takes_files: whether the page opens files, or lists them; else a drop waits for one that does.
    """
    # In a list, see `pages.viewer`.
    _mount(
        key=_KEY,
        data=[
            visit(),
            is_open,
            takes_files,
            words.OFFLINE,
            _drops(),
            st.session_state.get("drops_asked", ""),
        ],
        on_failed_change=_keep_failed,
        on_asked_change=_keep_asked,
        on_forgotten_change=_keep_forgotten,
        on_returned_change=_keep_returned,
        # Enough that the page runs.
        on_back_change=lambda: None,
    )


def show(still: str = "") -> None:
    """Say what did not arrive, or was forgotten, since files were last taken.

    Args:
        still: a sentence on what is on the page all the same.
    """
    failed = st.session_state.get("not_arrived", (0, []))[1]
    if failed:
        st.error("\n\n".join(words.not_arrived(name, why) for name, why in failed) + still)
    show_forgotten()


def show_forgotten() -> None:
    """Say that the server has forgotten the visit, where it has, since files were last taken."""
    if st.session_state.get("forgotten"):
        st.error(words.FORGOTTEN)


def taken() -> None:
    """To be called when files are taken, before drops are counted: what failed earlier is past."""
    if st.session_state.get("not_arrived", (_drops(),))[0] != _drops():
        st.session_state.not_arrived = (_drops(), [])
    st.session_state.forgotten = False


def _drops() -> int:
    return st.session_state.get("uploads", 0) + st.session_state.get("worklist_drops", 0)


def _keep_failed() -> None:
    told = st.session_state[_KEY].get("failed") or []
    drops, failed = st.session_state.get("not_arrived", (_drops(), []))
    new = [(str(name), str(why)) for name, why in told]
    st.session_state.not_arrived = (_drops(), [*(failed if drops == _drops() else []), *new])


def _keep_asked() -> None:
    """The browser wants to know how many drops there were: what it sent before this has come by now.

    On a busy computer the question itself may be overtaken by what comes after it, as any other here.
    """
    if asked := st.session_state[_KEY].get("asked"):
        st.session_state.drops_asked = str(asked)


def _keep_forgotten() -> None:
    st.session_state.forgotten = True


def _keep_returned() -> None:
    if returned := st.session_state[_KEY].get("returned"):
        st.session_state[RETURNED] = str(returned)
