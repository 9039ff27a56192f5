"""Ports that DICOM objects are sent to (C-STORE), with the bounds that pynetdicom does not set.

Who reaches a port need not be known to it. So there are bounds of what one instance, one address and all of
them take of memory, of connections, and of the time in which what was begun must have come.
"""

from __future__ import annotations

import io
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

from brat import log

LARGEST = 250_000_000
"""Bytes of an instance that is taken."""

ROOM = 500_000_000
"""Bytes of instances that are held at a time, until they are on the disk; half of it those of one address."""

CONNECTIONS = 20
"""At a time, half of them of one address."""

PATIENCE = 60.0
"""Seconds in which a message of the network, once begun, must have come, and in which TLS must have begun."""

_LONGEST = 1_000_000
"""Bytes of a message of the network; of data it has 16 kB, as we ask for."""

_COMMAND = 100_000
"""Bytes of the command before an instance."""

_UNANSWERED = 100
"""Commands that wait for their answer. Without a word on it only one may (PS3.7 D.3.3.3)."""

_OUT_OF_RESOURCES = 0xA700

Take = Callable[[evt.Event], int]
"""What is done with an instance; returns the status that its sender gets."""


class Room:
    """What all instances that are arriving may hold together."""

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take(self, address: str, size: int) -> bool:
        """Whether there are so many bytes left for an address, which are taken then."""
        with self._lock:
            if self._held.total() + size > ROOM or self._held[address] + size > ROOM // 2:
                return False
            self._held[address] += size
            return True

    def give_back(self, address: str, size: int) -> None:
        with self._lock:
            self._held[address] -= size
            self._held += Counter()


class _Arriving(io.BytesIO):
    """A dataset as it comes. Where there is no room for it, it is thrown away to its end."""

    def __init__(self, room: Room, address: str) -> None:
        super().__init__()
        self._room, self._address = room, address
        self.held = self.came = 0
        self.is_refused = False
        self._lock = threading.Lock()

    def write(self, data: Any) -> int:
        size = len(data)
        self.came += size
        with self._lock:
            if self.closed or self.is_refused:
                return size
            if self.came <= LARGEST and self._room.take(self._address, size):
                self.held += size
                return super().write(data)
        self.is_refused = True
        self.release()
        return size

    def release(self) -> None:
        """Give the memory back, at once."""
        with self._lock:
            self.close()
            self._room.give_back(self._address, self.held)
            self.held = 0


def bound(association: Association, room: Room, address: str) -> None:
    """Hold what an association receives to the bounds, ours to an archive too. To be called before it has
    received anything.

    Args:
        address: whose memory it is.
    """
    dimse = association.dimse
    pass_on = dimse.receive_primitive
    arriving: list[_Arriving] = []

    def receive(primitive: Any) -> None:
        if dimse.message is None:
            # What is done with, or held nothing, as most commands do, need not be given back.
            arriving[:] = [data for data in arriving if data.held]
            arriving.append(_Arriving(room, address))
            dimse.message = DIMSEMessage()
            dimse.message.data_set = arriving[-1]
        message = dimse.message
        pass_on(primitive)
        if (
            arriving[-1].came > 2 * LARGEST
            or message.encoded_command_set.tell() > _COMMAND
            or dimse.msg_queue.qsize() > _UNANSWERED
        ):
            log.event("association ended", reason="more is sent than is taken")
            # As for a message that makes no sense: the association is aborted.
            dimse.dul.event_queue.put("Evt19")

    def over(_: evt.Event | None = None) -> None:
        for data in arriving:
            data.release()

    def run() -> None:
        try:
            receive_all()
        finally:
            over()

    association.dul.socket.__class__ = _Socket
    dimse.receive_primitive = receive  # type: ignore[method-assign]
    association.bind(evt.EVT_CONN_CLOSE, over)
    # Of a message that it cannot decode pynetdicom's thread dies, and closes nothing.
    receive_all = association.dul.run
    association.dul.run = run  # type: ignore[method-assign]


def bounded(take: Take) -> Take:
    """What answers C-STORE, of an association that is bound."""

    def answer(event: evt.Event) -> int:
        data: Any = event.request.DataSet  # type: ignore[union-attr]
        try:
            if data.is_refused:
                log.event("instance refused", reason="no memory left for it", bytes=data.came)
                return _OUT_OF_RESOURCES
            return take(event)
        finally:
            data.release()

    return answer


def listen(ae: AE, address: tuple[str, int], take: Take, tls: ssl.SSLContext | None = None) -> Any:
    """Take instances at a port, in threads of their own.

    Args:
        ae: what it supports.
        take: called with each instance that there is memory for.
        tls: without it instances come as they are.

    Returns:
        pynetdicom's server; `shutdown` ends it.

    Raises:
        OSError: the port is in use, or not ours to use.
    """
    # Connections are counted here.
    ae.maximum_associations = CONNECTIONS
    server = ae.make_server(
        address,
        server_class=_Server,
        request_handler=_Handler,
        ssl_context=tls,
        evt_handlers=[(evt.EVT_C_STORE, bounded(take))],
    )
    ae._servers.append(server)
    threading.Thread(target=server.serve_forever, name="listen", daemon=True).start()
    return server


class _Server(ThreadedAssociationServer):
    def __init__(self, *args: Any, **options: Any) -> None:
        self.room = Room()
        self._greeted: Counter[str] = Counter()
        super().__init__(*args, **options)

    def get_request(self) -> tuple[Any, Any]:
        assert self.socket is not None
        connection, address = self.socket.accept()
        connection.settimeout(PATIENCE)
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        known = (each.requestor.address_info for each in self.active_associations)
        addresses = Counter(info.address for info in known if info)
        addresses += self._greeted
        address = client_address[0]
        if addresses.total() >= CONNECTIONS or addresses[address] >= CONNECTIONS // 2:
            log.event("connection refused", reason="too many at a time")
            return False
        self._greeted[address] += 1
        return True

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            if self.ssl_context:
                # Here, where it keeps nobody else waiting.
                request = self.ssl_context.wrap_socket(request, server_side=True)
            super().process_request_thread(request, client_address)
        except OSError as error:
            log.refusal(error)
            self.shutdown_request(request)
        finally:
            self._greeted[client_address[0]] -= 1


class _Handler(RequestHandler):
    def _create_association(self) -> Association:
        association = super()._create_association()
        bound(association, self.server.room, self.client_address[0])  # type: ignore[attr-defined]
        return association


class _Socket(AssociationSocket):
    def recv(self, nr_bytes: int) -> bytearray:
        if nr_bytes > _LONGEST:
            raise ConnectionError("A message of the network is longer than is taken.")
        assert self.socket is not None
        received, until = bytearray(), time.monotonic() + PATIENCE
        while len(received) < nr_bytes:
            self.socket.settimeout(max(until - time.monotonic(), 0.001))
            part = self.socket.recv(min(nr_bytes - len(received), 1 << 16))
            if not part:
                break
            received += part
        self.socket.settimeout(PATIENCE)
        return received
