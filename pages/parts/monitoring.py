"""Whether the app can read, for the monitor of a server."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import threading
import time
from collections.abc import Collection
from typing import Any

import streamlit as st
from streamlit import runtime

from brat import log, metrics

SWEEP = 20.0
"""Seconds after which sessions that ended are looked for again. With `server.disconnectedSessionTTL` in
`.streamlit/config.toml` it makes less than two minutes."""


@st.cache_resource(show_spinner=False)
def start_monitoring() -> None:
    """Once in a server."""
    _free_memory()
    if runtime.exists():
        threading.Thread(target=_sweep, name="sweep", daemon=True).start()
    log.start("app")
    metrics.start(metrics.read_a_sample)


def _sweep() -> None:
    there: set[str] = set()
    while True:
        time.sleep(SWEEP)
        # The server has ended, and this process has not.
        if not runtime.exists():
            return
        try:
            there = free_ended_sessions(runtime.get_instance()._session_mgr, there)
        # Another Streamlit keeps them elsewhere, and frees them when the next session ends.
        except AttributeError as error:
            log.event("sessions_not_swept", reason=str(error))
            return


def free_ended_sessions(manager: Any, before: Collection[str] = ()) -> set[str]:
    """Forget the sessions whose time to come back is over, with the scans that are open in them and with what
    was kept of them for a reload.

    Streamlit itself does so once another session ends. It has no public way to ask for it.

    Args:
        manager: Streamlit's, of sessions.
        before: the sessions that were there when it was called last.

    Returns:
        Those that are there, or may come back.

    Raises:
        AttributeError: it is built in another way than that of Streamlit 1.67.
    """
    # When a page is drawn it is there; the app's first page need not wait for what others need.
    from pages.parts import visits

    before = {*before, *visits.sessions()}
    with manager._storage_lock:
        over = list(manager._session_storage._cache.expire())
        stored = (info.session.id for info in manager._session_storage.list())
        there = {*stored, *manager._active_session_info_by_id}
    gone = {*before, *(name for name, _ in over)} - there
    # None is left in a variable.
    while over:
        over.pop()[1].session.shutdown()
    visits.forget(gone)
    if gone:
        _free_memory()
    return there


def _free_memory() -> None:
    """Free what lies in cycles, and leave what is in use now out of later searches for cycles.

    What runs of a page leave in cycles holds scans. Python looks through everything only once a quarter of it
    is new: beside all that is loaded for good, that would be after hundreds of runs.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    # glibc keeps what was freed between other things; no other C library has this.
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
