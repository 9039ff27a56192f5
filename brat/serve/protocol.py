"""HTTP by uvicorn, with bounds that it does not set: who connects must ask for something, and soon."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS = 400
"""At a time; a system often gives a program 1,024 open files."""

ASKING = 20.0
"""Seconds in which the headers of a request must have come."""


class Protocol(H11Protocol):
    """Closes connections that are too many, and those that ask for nothing."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._late: asyncio.TimerHandle | None = None
        if len(self.connections) > CONNECTIONS:
            transport.abort()
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._late:
            self._late.cancel()

    def _watch(self) -> None:
        # Between two requests uvicorn itself does not wait long, unless something comes.
        is_asked = self.conn.their_state is not h11.IDLE
        if is_asked and self._late:
            self._late.cancel()
            self._late = None
        elif not is_asked and not self._late:
            self._late = self.loop.call_later(ASKING, self.transport.abort)
