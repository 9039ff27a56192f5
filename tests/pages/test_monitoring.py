"""What the app's server does beside its pages."""

from __future__ import annotations

import gc
import weakref

from streamlit.runtime.memory_session_storage import MemorySessionStorage
from streamlit.runtime.session_manager import SessionInfo
from streamlit.runtime.websocket_session_manager import WebsocketSessionManager

from pages.parts import monitoring, visits
from pages.parts.login import ANYBODY
from pages.parts.monitoring import free_ended_sessions


class Session:
    """A session that refers to itself, as Streamlit's do."""

    def __init__(self, name: str, over: list[str]) -> None:
        self.id, self._over, self.itself = name, over, self

    def shutdown(self) -> None:
        self._over.append(self.id)


def test_a_session_that_ended_is_freed_though_no_other_one_ends():
    now, over = 0.0, []
    storage = MemorySessionStorage(ttl_seconds=90)
    storage._cache._timer = lambda: now
    manager = WebsocketSessionManager(storage, None, None, None)
    sessions = {}
    for name in ("first", "second"):
        session = Session(name, over)
        storage.save(SessionInfo(client=None, session=session, script_run_count=1))
        sessions[name] = weakref.ref(session)
        now += 60
    del session
    gc.disable()
    # As the first page of a server leaves them, which is drawn before what is loaded for good is set aside.
    gc.freeze()
    free_ended_sessions(manager)
    gc.unfreeze()
    gc.enable()
    assert over == ["first"]
    assert sessions["first"]() is None
    assert sessions["second"]() is not None
    assert [info.session.id for info in storage.list()] == ["second"]


def test_what_a_visit_kept_goes_with_its_session_and_no_sooner(monkeypatch):
    """Streamlit itself may have dropped the session, without a word."""
    now = 0.0
    storage = MemorySessionStorage(ttl_seconds=90)
    storage._cache._timer = lambda: now
    manager = WebsocketSessionManager(storage, None, None, None)
    kept = {name: visits._Left(name, ANYBODY, {}) for name in ("reading", "away", "gone")}
    monkeypatch.setattr(visits, "_left", dict(kept))
    manager._active_session_info_by_id["reading"] = None
    storage.save(SessionInfo(client=None, session=Session("gone", []), script_run_count=1))
    now += 60
    storage.save(SessionInfo(client=None, session=Session("away", []), script_run_count=1))
    there = free_ended_sessions(manager)
    assert there == {"reading", "away", "gone"}
    assert [*visits._left] == ["reading", "away", "gone"]
    now += 40
    storage._cache.expire()
    assert free_ended_sessions(manager, there) == {"reading", "away"}
    assert [*visits._left] == ["reading", "away"]


def test_the_sweep_ends_with_the_server(monkeypatch):
    monkeypatch.setattr(monitoring, "SWEEP", 0.0)
    assert not monitoring.runtime.exists()
    monitoring._sweep()
