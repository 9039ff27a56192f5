"""Who sends more than is taken, or nothing at all, gets a word and keeps nobody else out."""

import gc
import io
import logging
import socket
import struct
import threading

import pydicom
import pytest

pytest.importorskip("pynetdicom", reason="pynetdicom is not installed")

from pydicom.uid import MRImageStorage
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_ECHO
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import Verification

from brat.pacs import listening
from brat.pacs.archive import PacsError, Server
from brat.pacs.connect import connect
from brat.pacs.dimse import listening_context
from brat.pacs.queue import Queue
from brat.pacs.router import Listener
from tests.factories.certificates import certificate
from tests.factories.samples import known_series


@pytest.fixture
def slices() -> list[bytes]:
    return known_series()


@pytest.fixture
def listener(tmp_path):
    with Listener(Queue(tmp_path / "queue"), 0, "BRATUM", address="127.0.0.1") as listening_one:
        yield listening_one


def sender(listener: Listener):
    return connect(Server("us", host="127.0.0.1", port=listener.port, title="BRATUM"))


def larger(content: bytes, size: int) -> bytes:
    """An instance with so many bytes more."""
    dataset = pydicom.dcmread(io.BytesIO(content))
    dataset.add_new(0x00091010, "OB", bytes(size))
    dataset.add_new(0x00090010, "LO", "filling")
    written = io.BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return written.getvalue()


def test_an_instance_that_is_too_large_is_refused_and_held_nowhere(listener, slices, monkeypatch, caplog):
    monkeypatch.setattr(listening, "LARGEST", 1_000_000)
    held = []
    take = listening.Room.take

    def counted(room, address, size):
        taken = take(room, address, size)
        held.append(room._held.total())
        return taken

    monkeypatch.setattr(listening.Room, "take", counted)
    with caplog.at_level(logging.INFO, "brat"), pytest.raises(PacsError, match="0xa700"):
        sender(listener).store([larger(slices[0], 1_500_000)])
    assert max(held) <= 1_000_000
    assert "instance refused" in caplog.messages
    # The next one finds the room free.
    monkeypatch.setattr(listening, "ROOM", 2 * len(slices[0]))
    sender(listener).store(slices[:1])
    assert len(listener._queue.states()) == 1


def test_what_comes_without_end_is_cut_off(listener, slices, monkeypatch):
    monkeypatch.setattr(listening, "LARGEST", 1_000_000)
    with pytest.raises(PacsError, match="ended the connection"):
        sender(listener).store([larger(slices[0], 20_000_000)])
    sender(listener).store(slices[:1])


def test_half_of_the_room_is_left_to_others(monkeypatch):
    monkeypatch.setattr(listening, "ROOM", 100)
    room = listening.Room()
    assert room.take("one", 50)
    assert not room.take("one", 1)
    assert room.take("another", 50)
    assert not room.take("third", 1)
    room.give_back("one", 50)
    assert room.take("third", 50)


def command(field: int = 1) -> bytes:
    """Of C-STORE, or of what else the field says; a dataset follows."""
    dataset = pydicom.Dataset()
    dataset.CommandGroupLength = 0
    dataset.AffectedSOPClassUID, dataset.CommandField, dataset.MessageID = MRImageStorage, field, 1
    dataset.Priority, dataset.CommandDataSetType, dataset.AffectedSOPInstanceUID = 0, 1, "1.2.3"
    return encode(dataset, True, True)


def send(association, parts: list[bytes]) -> None:
    (context,) = association.accepted_contexts
    for part in parts:
        value = struct.pack(">LB", len(part) + 1, context.context_id) + part
        association.dul.socket.socket.sendall(struct.pack(">BBL", 4, 0, len(value)) + value)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("end", [b"", b"\x03" + command(0x7777), b"\x03" + b"\xff" * 30])
def test_who_sends_what_cannot_be_decoded_leaves_its_room(listener, end):
    """pynetdicom's thread dies of it."""
    ae = AE("SCANNER")
    ae.add_requested_context(MRImageStorage)
    association = ae.associate("127.0.0.1", listener.port, ae_title="BRATUM")
    (server,) = listener._server.active_associations
    held = listener._server.room._held
    send(association, [b"\x00" + bytes(16_000)] * 6 + [end])
    server.dul.join(30)
    assert not server.dul.is_alive()
    assert held.total() == 0
    association.join(30)
    assert not association.is_established


def test_commands_without_a_dataset_are_not_remembered(listener):
    ae = AE("SCANNER")
    ae.add_requested_context(Verification)
    association = ae.associate("127.0.0.1", listener.port, ae_title="BRATUM")
    for _ in range(20):
        association.send_c_echo()
    # What earlier connections left, in circles, is not remembered by this one.
    gc.collect()
    kept = [each for each in gc.get_objects() if isinstance(each, listening._Arriving)]
    association.release()
    assert len(kept) < 10


def test_who_goes_amid_an_instance_leaves_its_room(listener, slices, monkeypatch):
    size = len(slices[0])
    monkeypatch.setattr(listening, "ROOM", 2 * size + 200_000)
    ae = AE("SCANNER")
    ae.add_requested_context(MRImageStorage)
    association = ae.associate("127.0.0.1", listener.port, ae_title="BRATUM")
    # A command that announces a dataset, and a piece of one.
    parts = [b"\x03" + command(), *[b"\x00" + bytes(16_000)] * (size // 16_000 + 6)]
    gone = threading.Event()
    release = listening._Arriving.release

    def released(data):
        release(data)
        gone.set()

    monkeypatch.setattr(listening._Arriving, "release", released)
    send(association, parts)
    association.abort()
    assert gone.wait(30)
    sender(listener).store(slices[:1])


def test_one_that_is_refused_for_want_of_room_is_taken_when_it_is_sent_again(
    listener, slices, monkeypatch, caplog
):
    """Two that are on their way fill what one address may hold."""
    size = len(slices[0])
    pieces = size // 2 // 16_000 + 1
    monkeypatch.setattr(listening, "ROOM", 2 * (2 * pieces * 16_000 + size // 2))
    room = listener._server.room
    filled, gone = threading.Event(), threading.Event()
    take, give_back = listening.Room.take, listening.Room.give_back

    def taking(self, address, wanted):
        is_taken = take(self, address, wanted)
        if self is room and room._held.total() >= 2 * pieces * 16_000:
            filled.set()
        return is_taken

    def giving_back(self, address, given):
        give_back(self, address, given)
        if self is room and not room._held.total():
            gone.set()

    monkeypatch.setattr(listening.Room, "take", taking)
    monkeypatch.setattr(listening.Room, "give_back", giving_back)
    senders = []
    for _ in range(2):
        ae = AE("SCANNER")
        ae.add_requested_context(MRImageStorage)
        senders.append(ae.associate("127.0.0.1", listener.port, ae_title="BRATUM"))
        send(senders[-1], [b"\x03" + command(), *[b"\x00" + bytes(16_000)] * pieces])
    assert filled.wait(30)
    with caplog.at_level(logging.INFO, "brat"), pytest.raises(PacsError, match="0xa700"):
        sender(listener).store(slices[:1])
    (said,) = [record for record in caplog.records if record.message == "instance refused"]
    assert "no memory left" in str(vars(said))
    gone.clear()
    for association in senders:
        association.abort()
    assert gone.wait(30)
    sender(listener).store(slices[:1])
    assert len(listener._queue.states()) == 1


def test_a_message_of_the_network_of_any_length_is_not_waited_for(listener):
    with socket.create_connection(("127.0.0.1", listener.port)) as stranger:
        stranger.settimeout(30)
        # Of an association, of 4 GB.
        stranger.sendall(struct.pack(">BBL", 1, 0, 0xFFFFFFFF) + bytes(10))
        # Before its time is over.
        assert listening.PATIENCE > 30
        assert stranger.recv(1) == b""


@pytest.mark.parametrize("drips", [False, True])
def test_who_begins_and_does_not_go_on_is_cut_off(listener, monkeypatch, drips):
    monkeypatch.setattr(listening, "PATIENCE", 0.5)
    is_over = False
    with socket.create_connection(("127.0.0.1", listener.port)) as stranger:
        stranger.settimeout(0.05)
        stranger.sendall(struct.pack(">BBL", 1, 0, 100_000))
        # For an association that has not come there are 30 seconds.
        for _ in range(300):
            try:
                if drips:
                    stranger.sendall(b"0")
                is_over = stranger.recv(1) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                is_over = True
            break
    assert is_over


def test_who_holds_all_connections_keeps_no_other_address_out(listener, slices, monkeypatch):
    monkeypatch.setattr(listening, "CONNECTIONS", 4)
    held = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(2)]
    with socket.create_connection(("127.0.0.1", listener.port)) as third:
        third.settimeout(30)
        assert third.recv(1) == b""
    ae = AE("SCANNER")
    ae.add_requested_context(Verification)
    association = ae.associate("127.0.0.1", listener.port, ae_title="BRATUM", bind_address=("127.0.0.2", 0))
    assert association.is_established
    assert association.send_c_echo().Status == 0
    association.release()
    for each in held:
        each.close()


def test_commands_without_end_are_cut_off(listener, monkeypatch):
    monkeypatch.setattr(listening, "_UNANSWERED", 3)
    ae = AE("SCANNER")
    ae.add_requested_context(Verification)
    association = ae.associate("127.0.0.1", listener.port, ae_title="BRATUM")
    (context,) = association.accepted_contexts
    asking = C_ECHO()
    asking.MessageID, asking.AffectedSOPClassUID = 1, Verification
    server = listener._server.active_associations[0]
    # As if it were busy with the first one.
    server._reactor_checkpoint.clear()
    for _ in range(6):
        association.dimse.send_msg(asking, context.context_id)
    association.join(30)
    assert association.is_aborted
    server._reactor_checkpoint.set()


def test_who_is_silent_where_tls_is_to_begin_keeps_nobody_waiting(tmp_path, slices):
    file, key = certificate(tmp_path)
    tls = listening_context(str(file), str(key))
    with (
        Listener(Queue(tmp_path / "queue"), 0, "BRATUM", address="127.0.0.1", tls=tls) as listener,
        socket.create_connection(("127.0.0.1", listener.port)),
    ):
        ours = Server("us", host="localhost", port=listener.port, title="BRATUM", tls=True, ca=str(file))
        sending = threading.Thread(target=lambda: connect(ours).store(slices[:1]), daemon=True)
        sending.start()
        sending.join(listening.PATIENCE / 2)
        assert len(listener._queue.states()) == 1
