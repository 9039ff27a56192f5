"""Archives that hang: they take the connection and say nothing, or a byte now and then."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hung(beginning: bytes = b"", every: float | None = None) -> Iterator[int]:
    """Yields its port.

    Args:
        beginning: what it says first, once something has come.
        every: seconds between two further bytes of zero; none come by default.
    """
    over = threading.Event()
    connections = []

    def answer(connection: socket.socket) -> None:
        try:
            connection.recv(1 << 16)
            for number in itertools.count():
                if every is None or over.wait(every):
                    return
                connection.sendall(beginning[number : number + 1] or b"0")
        # The other side has had enough.
        except OSError:
            pass

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            connections.append(connection)
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        try:
            yield server.getsockname()[1]
        finally:
            over.set()
            # A blocked `accept` does not see that its socket is closed.
            server.shutdown(socket.SHUT_RDWR)
            for connection in connections:
                connection.close()
