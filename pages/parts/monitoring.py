"""Whether the app can read, for the monitor of a server."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import threading
import time
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
    while True:
        time.sleep(SWEEP)
        # The server has ended, and this process has not.
        if not runtime.exists():
            return
        try:
            free_ended_sessions(runtime.get_instance()._session_mgr)
        # Another Streamlit keeps them elsewhere, and frees them when the next session ends.
        except AttributeError as error:
            log.event("sessions_not_swept", reason=str(error))
            return


def free_ended_sessions(manager: Any) -> None:
    """Forget the sessions whose time to come back is over, with the scans that are open in them.

    Streamlit itself does so once another session ends. It has no public way to ask for it.

    Args:
        manager: Streamlit's, of sessions.

    Raises:
        AttributeError: it is built in another way than that of Streamlit 1.67.
    """
    with manager._storage_lock:
        over = manager._session_storage._cache.expire()
    for _, ended in over:
        ended.session.shutdown()
    if over:
        del over, ended
        _free_memory()


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
