"""Files that ask for much work or memory end in a reading or in a sentence, in time and within memory."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.soak import descendants, megabytes
from brat.io import door, workers
from brat.io.archives import MAX_ENTRY
from brat.io.door import group_into_series, load
from brat.io.files import File, Unpacked
from brat.io.scan import UnreadableScan
from brat.io.series import Series
from brat.io.workers import Account
from tests.factories.files import zipped
from tests.factories.hostile import KINDS

BUDGET = 1_000
"""Megabytes that reading may take beyond what there was before, in all processes."""

PATIENCE = workers.WAITING * workers.SECONDS + 2
"""Seconds, where other tests and their servers want the processors, too. `workers.SECONDS` is the limit."""

linux = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is measured on Linux")


@contextmanager
def memory() -> Iterator[list[float]]:
    """Megabytes that this process and those that it started have taken at most since."""
    before, over = megabytes(_family()), threading.Event()
    most = [0.0]

    def watch() -> None:
        while not over.wait(0.05):
            most[0] = max(most[0], megabytes(_family()) - before)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield most
    over.set()
    thread.join()


def _family() -> set[int]:
    """This process and those that it started.

    One that is being started has this one's memory until its own program begins, and its name.
    """
    own = os.getpid()
    return {one for one in descendants(own) if one == own or _command(one) != _command(own)}


def _command(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    # It has ended.
    except OSError:
        return b""


def outcome(paths: list[Path]) -> list[str]:
    """What is said of each file: why it is not read, or how many of its slices are, up to a dozen."""
    # Only a file that lies in a folder can be a hole, or larger than an upload.
    files = [
        File(path.name, path if path.stat().st_size > 200_000_000 else path.read_bytes()) for path in paths
    ]
    said = []
    for item in group_into_series(files):
        try:
            opened = load(item)
        except UnreadableScan as error:
            said.append(str(error))
            continue
        if not isinstance(opened, Series):
            said.append("read")
            continue
        stack = opened.stack()
        read = 0
        for number in range(min(len(stack), 12)):
            try:
                stack[number]
                read += 1
            except UnreadableScan as error:
                said.append(str(error))
                break
        said.append(f"{read} slices")
    return said


@linux
@pytest.mark.parametrize("kind", KINDS)
def test_it_ends_in_time_and_within_memory(kind, tmp_path):
    paths = KINDS[kind](tmp_path)
    begun = time.monotonic()
    with memory() as most:
        said = outcome(paths)
    seconds = time.monotonic() - begun
    assert said
    assert all(text.endswith((".", "slices", "read")) for text in said)
    assert workers.DIED not in said
    assert seconds < PATIENCE
    assert most[0] < BUDGET


def test_files_that_ask_for_too_much_cost_a_drop_no_more_than_one_of_them(monkeypatch):
    """All of a drop, listed and opened: each has what it pays for, and they share the rest."""
    allowed = []

    def ask(fields, blobs, account, *_):
        allowed.append(account.left)
        account.spend(account.left)
        raise workers.Stopped(account.late)
        yield

    monkeypatch.setattr(door.pool, "ask", ask)
    items = group_into_series([File(f"{number}.jpg", bytes(1000)) for number in range(6)])
    assert allowed[0] == pytest.approx(workers.SECONDS)
    assert allowed[1:] == pytest.approx([workers.LISTING + 1000 * workers.PER_GIVEN] * 5)
    assert items[0].problem == workers.TOO_LONG
    assert {item.problem for item in items[1:]} == {workers.TOGETHER_TOO_LONG}


def test_what_listing_took_is_not_there_for_opening(monkeypatch):
    drop = Account()
    drop.of_file(0).spend(workers.SECONDS - 1)
    given = []
    monkeypatch.setattr(door, "_open_item", lambda item, account: given.append(account.left))
    load(door.Item("a.png", (File("a.png", b""),), drop=drop))
    assert given == pytest.approx([1 + workers.OPENING])


def test_a_hole_pays_for_nothing(tmp_path):
    path = tmp_path / "a.dcm"
    with path.open("wb") as file:
        file.truncate(400_000_000)
    assert door.size_of(File("a.dcm", path)) < 1_000_000
    path.write_bytes(bytes(5000))
    assert door.size_of(File("a.dcm", path)) == 5000


def test_one_file_of_an_archive_may_not_take_all_memory(monkeypatch):
    import gzip

    monkeypatch.setattr("brat.io.archives.MAX_ENTRY", 100_000)
    from brat.io import intake

    data = bytes(128) + b"DICM" + bytes(150_000)
    for name, packed in (("a.zip", zipped({"a.dcm": data})), ("a.dcm.gz", gzip.compress(data))):
        (item,) = intake.group_into_series([File(name, packed)])
        assert "Unpack it" in item.problem
    assert MAX_ENTRY == 200_000_000


def test_content_of_a_file_is_not_copied_on_its_way(monkeypatch):
    import io

    import numpy as np

    from brat.io import wire

    stream = io.BytesIO()
    wire.send_reply(stream, {}, [np.arange(200, dtype=np.uint8)])
    stream.seek(0)
    _, (array,) = wire.receive_reply(stream, 1000)
    content = wire.content_of(array)
    assert content == bytes(range(200))
    assert np.shares_memory(np.frombuffer(content, np.uint8), array)


def test_what_lies_unpacked_is_taken_off_the_memory_of_a_process(monkeypatch):
    sent = []
    monkeypatch.setattr(workers.wire, "send", lambda stream, fields, blobs: sent.append(fields["memory"]))
    before = Unpacked.total
    held = Unpacked(bytes(1_000_000))
    worker = workers.Worker()
    with pytest.raises(UnreadableScan):
        # Nothing is sent, so that nothing comes.
        list(worker.ask({"do": "list"}, [], 0.2))
    assert sent == [workers.MEMORY - before - len(held)]


@linux
def test_a_process_refuses_what_its_memory_does_not_hold(monkeypatch):
    monkeypatch.setattr(workers, "MEMORY", 1)
    from tests.factories.hostile import volume

    (item,) = group_into_series([File("a.nii.gz", volume((300, 300, 300), "f8"))])
    with pytest.raises(UnreadableScan, match="more memory"):
        load(item)
