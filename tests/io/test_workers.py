"""Files that ask for too much end soon, keep nobody else waiting, and what a process says is not believed."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import os
import pickle
import signal
import struct
import sys
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brat.io import door, intake, wire, workers
from brat.io.door import group_into_series, load
from brat.io.files import File, Unpacked
from brat.io.intake import Item, SeveralPanels
from brat.io.samples import load_samples
from brat.io.scan import MAX_SIDE, Scan, UnreadableScan
from brat.io.series import Series
from brat.io.workers import Account, Pool, Stopped, Worker, owner
from tests.factories.files import slice_of, zipped
from tests.factories.heads import synthetic_head
from tests.factories.pages import page_of, png

SAMPLE = load_samples()[0].file


def opened(name: str, data: bytes) -> Scan | Series:
    (item,) = group_into_series([File(name, data)])
    return load(item)


def endless_jpeg(scans: int = 1500) -> bytes:
    """A progressive JPEG file that repeats its last scan, over all of 4,000 x 4,000 pixels."""
    buffer = io.BytesIO()
    Image.new("L", (4000, 4000), 90).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * scans + b"\xff\xd9"


def endless_tiff(pages: int = 50_000) -> bytes:
    """Directories of one entry each, one after another."""
    one = b"".join(struct.pack("<HHHIII", 1, 256, 3, 1, 64, 8 + 18 * (number + 1)) for number in range(pages))
    return b"II*\0" + struct.pack("<I", 8) + one


def nested_dicom(items: int = 1_000_000) -> bytes:
    """An empty item for each of a million frames that are not there."""
    data = bytearray(slice_of(1, Rows=64, Columns=64))
    sequence = struct.pack("<HH2sHI", 0x5200, 0x9230, b"SQ", 0, 8 * items)
    at = data.rindex(struct.pack("<HH2s", 0x7FE0, 0x0010, b"OW"))
    data[at:at] = sequence + struct.pack("<HHI", 0xFFFE, 0xE000, 0) * items
    return bytes(data)


def many_planes(count: int = 3000) -> bytes:
    """A series, each slice of which lies in another direction."""
    angles = np.linspace(0, 2 * np.pi, count)
    return zipped(
        {
            f"{n}.dcm": slice_of(
                n,
                Rows=64,
                Columns=64,
                ImageOrientationPatient=[np.cos(a).round(8), np.sin(a).round(8), 0, 0, 0, 1],
            )
            for n, a in enumerate(angles)
        }
    )


GREEDY = {
    "a.jpg": endless_jpeg,
    "a.tif": endless_tiff,
    "a.dcm": nested_dicom,
    "a.zip": many_planes,
}


@pytest.mark.parametrize("name", GREEDY)
def test_a_file_that_asks_for_much_work_is_refused_in_time(name):
    begun = time.monotonic()
    data = GREEDY[name]()
    made = time.monotonic() - begun
    items = group_into_series([File(name, data)])
    # On a slow machine the first files of an archive are listed before time is up.
    if len(items) == 1:
        with pytest.raises(UnreadableScan):
            load(items[0])
    else:
        assert items[-1].problem
    # Where others want the processors an archive, which gets on, may wait.
    times = workers.WAITING if name.endswith(".zip") else 2
    assert time.monotonic() - begun - made < times * workers.SECONDS + 2


def test_directions_without_end_are_one_refusal_and_not_thousands():
    planes = [(np.cos(a), np.sin(a), 0, 0, 0, 1) for a in np.linspace(0, 6.28, 2000)]
    from brat.io.dicom_header import Header

    entries = [
        intake.Entry(File(f"{n}", b""), header=Header(("1.2", 64, 64), plane, 0.0, None, n, 1, f"1.{n}"))
        for n, plane in enumerate(planes)
    ]
    (item,) = intake.group(entries)
    assert "more directions" in item.problem


def test_an_archive_is_read_no_further_than_its_directions_make_sense():
    count = intake._MAX_PLANES + 200
    honest = {f"honest/{n}.dcm": slice_of(n, series="1.2.3", Rows=64, Columns=64) for n in range(3)}
    planes = zipfile.ZipFile(io.BytesIO(many_planes(count)))
    hostile = {name: planes.read(name) for name in planes.namelist()}
    entries = [*intake.examine(File("a.zip", zipped(honest | hostile)), 500_000_000)]
    assert len(entries) < 3 + count
    assert entries[-1].problem == intake._BEYOND
    first, series, rest = intake.group(entries)
    assert (first.problem, len(first.files)) == ("", 3)
    assert (series.problem, rest.problem) == (intake._TOO_MANY_PLANES, intake._BEYOND)


def test_a_slice_finds_its_stack_though_its_direction_rounds_otherwise():
    from brat.io.dicom_header import Header

    planes = [(1.0, 0.0, 0.0, 0.0, cosine, 0.0) for cosine in (0.9949, 0.9951, 0.9999, 1.0)]
    entries = [
        intake.Entry(File(f"{n}", b""), header=Header(("1.2", 64, 64), plane, float(n), None, n, 1, f"1.{n}"))
        for n, plane in enumerate(planes)
    ]
    (item,) = intake.group(entries)
    assert len(item.files) == 4


def test_what_a_process_reads_is_what_is_read_here():
    for sample in load_samples():
        data = sample.file.read_bytes()
        (here,) = intake.group_into_series([File(sample.file.name, data)])
        near, far = intake.load(here), opened(sample.file.name, data)
        assert isinstance(near, Scan)
        for field in ("name", "format", "modality", "digest", "spacing", "window", "presets", "inverted"):
            assert getattr(far, field) == getattr(near, field)
        np.testing.assert_array_equal(far.gray, near.gray)
        np.testing.assert_array_equal(far.pixels, near.pixels)
        assert far.pixels.dtype == near.pixels.dtype


def test_a_series_from_an_archive_is_read_slice_by_slice():
    data = zipped({f"{n}.dcm": slice_of(n) for n in range(5)})
    series = opened("a.zip", data)
    assert [int(scan.pixels[0, 0]) for scan in series.stack()] == list(range(5))
    assert series.stack().positions == (0, 2.5, 5, 7.5, 10)
    (here,) = intake.group_into_series([File("a.zip", data)])
    assert series.digest == intake.load(here).digest


@pytest.fixture
def pool(monkeypatch):
    """A pool of its own with two places, one of which is kept ready."""
    monkeypatch.setattr(workers, "READY", 1)
    pool = Pool(2)
    monkeypatch.setattr(workers, "pool", pool)
    monkeypatch.setattr(door, "pool", pool)
    yield pool
    pool.close()


def test_a_series_whose_process_died_is_opened_again(pool, tmp_path):
    frames = [Image.fromarray(np.full((64, 64), n, np.uint8)) for n in range(3)]
    for frame in frames:
        frame.putpixel((1, 1), 255)
    buffer = io.BytesIO()
    frames[0].save(buffer, "TIFF", save_all=True, append_images=frames[1:])
    series = opened("a.tif", buffer.getvalue())
    stack = series.stack()
    assert int(stack[1].gray[0, 0]) == 1
    (holding,) = [worker for worker in pool._idle if worker.holds]
    holding._process.kill()
    holding._process.wait()
    assert int(stack[2].gray[0, 0]) == 2


def test_what_nobody_looks_at_any_more_is_freed(pool, monkeypatch):
    monkeypatch.setattr(workers, "RETURNED", 10_000)
    frames = [Image.linear_gradient("L"), Image.linear_gradient("L")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "TIFF", save_all=True, append_images=frames[1:])
    series = opened("a.tif", buffer.getvalue())
    (holding,) = [worker for worker in pool._idle if worker.holds]
    del series
    opened(SAMPLE.name, SAMPLE.read_bytes())
    assert not holding.is_alive


@pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="the system does not say what a process uses"
)
def test_a_process_that_gets_no_time_is_given_up_and_replaced_and_the_file_is_not_blamed(pool, monkeypatch):
    pool.warm()
    worker = pool._idle[0]
    worker.start()
    os.kill(worker._process.pid, signal.SIGSTOP)
    monkeypatch.setattr(workers, "SECONDS", 0.3)
    (item,) = group_into_series([File(SAMPLE.name, SAMPLE.read_bytes())])
    assert item.problem == workers.TOO_BUSY
    assert not worker.is_alive
    monkeypatch.undo()
    assert isinstance(opened(SAMPLE.name, SAMPLE.read_bytes()), Scan)


def test_another_process_is_ready_while_one_is_busy_and_after_it_was_killed(pool, monkeypatch):
    monkeypatch.setattr(workers, "READY", 2)
    pool.warm()
    others = [*pool._idle]
    busy = pool._take("a", "", False)
    (ready,) = pool._idle
    assert ready in others
    busy.close()
    pool._put_back(busy)
    assert len(pool._idle) == 2
    assert ready in pool._idle


@pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="the system does not say what a process uses"
)
def test_a_file_that_takes_long_gives_way_to_others(pool, monkeypatch):
    """Its process is not asked again, and the next one is as quick as before."""
    monkeypatch.setattr(workers, "SLOW", 0.1)
    pool.warm()
    (busy,) = pool._idle
    nice = []
    thread = threading.Thread(target=lambda: nice.append(_nicest(busy._process.pid)))
    thread.start()
    with pytest.raises(Stopped):
        load(intake.Item("a.jpg", (File("a.jpg", endless_jpeg()),)))
    thread.join()
    assert nice == [19]
    opened(SAMPLE.name, SAMPLE.read_bytes())
    (next_one,) = pool._idle
    assert next_one is not busy
    assert os.getpriority(os.PRIO_PROCESS, next_one._process.pid) == os.getpriority(os.PRIO_PROCESS, 0)


def _nicest(process: int) -> int:
    """The lowest priority that a process has until it ends."""
    nice = os.getpriority(os.PRIO_PROCESS, process)
    with contextlib.suppress(ProcessLookupError):
        while True:
            nice = max(nice, os.getpriority(os.PRIO_PROCESS, process))
            time.sleep(0.01)
    return nice


def test_a_start_that_takes_long_is_not_the_fault_of_the_file(pool, tmp_path, monkeypatch):
    slow = tmp_path / "worker.py"
    slow.write_text("import time; time.sleep(1)\nfrom brat.io import worker; worker.serve(worker._Reading)\n")
    monkeypatch.setattr(workers, "_COMMAND", (sys.executable, str(slow)))
    account = Account()
    monkeypatch.setattr(door, "Account", lambda *seconds: account)
    (item,) = group_into_series([File(SAMPLE.name, SAMPLE.read_bytes())])
    assert not item.problem
    assert account.left > workers.SECONDS - 0.9


def test_a_process_that_answered_in_time_is_not_killed_afterwards(tmp_path, monkeypatch):
    """Even where time is up just as the answer comes: it would die over the file of somebody else."""
    slow = tmp_path / "worker.py"
    slow.write_text(
        "import sys, time\n"
        "from brat.io import wire\n"
        "wire.send_reply(sys.stdout.buffer, {'ready': True})\n"
        "wire.receive(sys.stdin.buffer)\n"
        "time.sleep(0.6)\n"
        "wire.send_reply(sys.stdout.buffer, {'end': True})\n"
        "time.sleep(60)\n"
    )
    worker = Worker((sys.executable, str(slow)))
    worker.start()

    def slowly(self) -> float:
        if threading.current_thread().name == "watch":
            time.sleep(1)
        return 0.0

    monkeypatch.setattr(Worker, "processor_time", slowly)
    assert [*worker.ask({}, (), 0.3)]
    time.sleep(1.5)
    assert worker.is_alive
    worker.close()


def _answering(tmp_path: Path, answers: str) -> Worker:
    """A process that answers its first request every 0.1 s and does next to nothing."""
    program = tmp_path / "worker.py"
    program.write_text(
        "import itertools, sys, time\n"
        "from brat.io import wire\n"
        "wire.send_reply(sys.stdout.buffer, {'ready': True})\n"
        "wire.receive(sys.stdin.buffer)\n"
        f"for _ in {answers}:\n"
        "    time.sleep(0.1)\n"
        "    wire.send_reply(sys.stdout.buffer, {})\n"
        "wire.send_reply(sys.stdout.buffer, {'end': True})\n"
        "time.sleep(60)\n"
    )
    worker = Worker((sys.executable, str(program)))
    worker.start()
    return worker


processor_time_is_known = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="the system does not say what a process uses"
)


@processor_time_is_known
def test_what_gets_on_does_not_pay_for_what_it_waits_for(tmp_path):
    worker = _answering(tmp_path, "range(15)")
    assert len([*worker.ask({}, (), 1)]) == 16
    worker.close()


@processor_time_is_known
def test_what_gets_on_without_end_is_stopped_all_the_same(tmp_path):
    worker = _answering(tmp_path, "itertools.count()")
    begun, answers = time.monotonic(), []
    with pytest.raises(Stopped):
        answers.extend(worker.ask({}, (), 0.5))
    assert len(answers) > 5
    assert time.monotonic() - begun < 2 * workers.WAITING * 0.5
    assert not worker.is_alive


@processor_time_is_known
def test_an_honest_archive_is_read_as_a_whole_on_a_busy_server(pool, monkeypatch):
    """Its process gets a third of the time."""
    slices = {f"{n}.dcm": slice_of(n, Rows=16, Columns=16, PixelData=bytes(512)) for n in range(700)}
    archive = File("honest.zip", zipped(slices))
    pool.warm()
    (worker,) = pool._idle
    worker.start()
    before = worker.processor_time()
    group_into_series([archive])
    monkeypatch.setattr(workers, "SECONDS", 2 * (worker.processor_time() - before))
    # The machine that runs the tests may be busy, too.
    monkeypatch.setattr(workers, "WAITING", 100)
    over = threading.Event()

    def slow_down() -> None:
        while not over.wait(0.05) and worker.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker._process.pid, signal.SIGSTOP)
                over.wait(0.1)
                os.kill(worker._process.pid, signal.SIGCONT)

    thread = threading.Thread(target=slow_down)
    thread.start()
    begun = time.monotonic()
    (item,) = group_into_series([archive])
    seconds = time.monotonic() - begun
    over.set()
    thread.join()
    # Longer than a file that does not get on may take, with what this one pays for.
    assert seconds > workers.SECONDS
    assert (item.problem, len(item.files)) == ("", len(slices))


def test_an_archive_that_was_stopped_is_not_taken_for_all_of_it(pool, monkeypatch):
    """Neither where it took too long, nor where it unpacks to too much."""
    whole = zipped({f"{n}.dcm": slice_of(n) for n in range(6)}, zipfile.ZIP_STORED)
    monkeypatch.setattr("brat.io.files.MAX_UNPACKED", 4 * len(slice_of(1)) + 1)
    for group in (group_into_series, intake.group_into_series):
        series, archive = group([File("a.zip", whole)])
        assert len(series.files) == 4
        assert "unpacks to over" in archive.problem
        assert archive.problem.endswith(
            "Only its first 4 files can be opened: a series among them may lack slices."
        )
    monkeypatch.undo()
    real = door.pool.ask

    def ask(*args):
        for count, reply in enumerate(real(*args)):
            if count == 2:
                raise Stopped(workers.TOO_LONG)
            yield reply

    monkeypatch.setattr(door.pool, "ask", ask)
    series, archive = group_into_series([File("a.zip", whole)])
    assert len(series.files) == 2
    assert archive.problem.startswith(workers.TOO_LONG)
    assert "Only its first 2 files can be opened" in archive.problem


def test_a_process_that_does_not_start_is_said_to_be_the_servers_fault(pool, tmp_path, monkeypatch):
    endless = tmp_path / "worker.py"
    endless.write_text("import time; time.sleep(60)\n")
    monkeypatch.setattr(workers, "_COMMAND", (sys.executable, str(endless)))
    monkeypatch.setattr(workers, "STARTING", 0.3)
    (item,) = group_into_series([File(SAMPLE.name, SAMPLE.read_bytes())])
    assert item.problem == workers.TOO_BUSY


def test_a_file_that_is_refused_does_not_end_the_process(pool):
    pool.warm()
    (worker,) = pool._idle
    for number in range(3):
        with pytest.raises(UnreadableScan, match="damaged"):
            load(Item("a.png", (File("a.png", SAMPLE.read_bytes()[: 500 + number]),)))
    assert pool._idle == [worker]
    assert worker.is_alive


def test_what_is_no_scan_by_its_first_bytes_is_not_asked_for_again(pool, monkeypatch):
    """An archive may hold thousands of them."""
    asked, ask = [], pool.ask
    monkeypatch.setattr(pool, "ask", lambda fields, *rest: asked.append(fields["do"]) or ask(fields, *rest))
    kinds = {"notes.txt": b"Notes", "a.pdf": b"%PDF-1.4", "a.png": b"<html>", "a.nrrd": b"NRRD0004"}
    items = group_into_series([File("a.zip", zipped(kinds))])
    for item, data in zip(items, kinds.values(), strict=True):
        with pytest.raises(UnreadableScan) as refused:
            load(item)
        with pytest.raises(UnreadableScan) as here:
            intake.load(Item(item.name, (File(item.name, data),)))
        assert str(refused.value) == str(here.value)
    assert asked == ["examine"]


def test_files_that_cannot_be_read_leave_out_the_rest_and_honest_ones_do_not(monkeypatch):
    asked = []

    def open_item(item, account):
        asked.append(item.name)
        account.spend(0.02, 0.02)
        if item.name.startswith("damaged"):
            raise UnreadableScan("It is damaged.")
        return item

    monkeypatch.setattr(door, "_open_item", open_item)
    monkeypatch.setattr(door.intake, "with_copies", lambda opened, copies: opened)

    def said(names: list[str]) -> list[str]:
        asked.clear()
        drop, outcomes = Account(), []
        for name in names:
            try:
                load(Item(name, (File(name, b""),), drop=drop))
                outcomes.append("read")
            except UnreadableScan as error:
                outcomes.append(str(error))
        return outcomes

    damaged = [f"damaged {number}" for number in range(1000)]
    most = int(workers.IN_VAIN / 0.02)
    told = said([*damaged, "honest"])
    assert most <= len(asked) <= most + 2
    assert told[len(asked) :] == [workers.LEFT_OUT] * (1001 - len(asked))
    honest = [f"honest {number}" for number in range(1000)]
    assert said(honest) == ["read"] * 1000
    # Some that are empty lie between many others.
    mixed = [damaged[n] if n % 4 == 0 else honest[n] for n in range(1000)]
    assert workers.LEFT_OUT not in said(mixed)
    # What a greedy one takes beyond what it pays for is another matter: all of the drop share that.
    drop = Account()
    drop.of_file(0.3).spend(7)
    assert drop.of_file(0.3).left == pytest.approx(0.3)


def test_a_process_that_died_while_idle_is_not_missed(pool):
    pool.warm()
    pool._idle[0]._process.kill()
    pool._idle[0]._process.wait()
    assert isinstance(opened(SAMPLE.name, SAMPLE.read_bytes()), Scan)


def test_nobody_takes_the_last_place_from_others(pool, monkeypatch):
    """One owner with three files that never end, and another whose file is answered meanwhile."""
    # However busy the machine is, none of the three is given up while the other file is read.
    monkeypatch.setattr(workers, "SECONDS", 600.0)
    item = intake.Item("a.jpg", (File("a.jpg", endless_jpeg()),))
    ended = []

    def take() -> None:
        owner.set("greedy")
        with pytest.raises(Stopped):
            load(item)
        ended.append(item)

    threads = [threading.Thread(target=take, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + workers.STARTING
    while len(pool._waiting) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert isinstance(opened(SAMPLE.name, SAMPLE.read_bytes()), Scan)
    assert not ended
    assert [worker.owner for worker in pool._busy] == ["greedy"]
    # What waits is let through, and ends with its process.
    deadline = time.monotonic() + workers.STARTING
    while any(thread.is_alive() for thread in threads) and time.monotonic() < deadline:
        for worker in [*pool._busy]:
            worker._process.kill()
        time.sleep(0.05)
    assert len(ended) == 3


def test_who_ended_a_process_waits_for_the_start_of_the_next_one(pool, monkeypatch):
    """And nobody else does."""
    monkeypatch.setattr(workers, "READY", 2)
    pool.warm()
    for worker in pool._idle:
        worker.start()
    ended = pool._take("greedy", "", False)
    (warm,) = pool._idle
    ended.close()
    pool._put_back(ended)
    (replacement,) = [worker for worker in pool._idle if worker is not warm]
    assert not replacement.has_started
    assert pool._take("greedy", "", False) is replacement
    assert pool._take("another", "", False) is warm
    for worker in (replacement, warm):
        pool._put_back(worker)
    assert pool._take("another", "", False) is warm


def test_who_has_fewest_places_is_next():
    pool = Pool(3)
    for who in ("a", "a"):
        worker = object.__new__(Worker)
        worker.owner, worker.holds = who, {}
        pool._busy.append(worker)
    pool._waiting = {0: ("a", "", False), 1: ("b", "", False)}
    assert pool._next() == 1
    # All places but one are taken by one owner, who gets no more.
    pool._waiting = {0: ("a", "", False)}
    assert pool._next() is None


def test_a_series_pays_for_its_slices_and_ends_where_it_asks_for_far_more():
    account = Account()
    for _ in range(1000):
        account.spend(0.1)
        account.earn(door._of_slice(150_000))
    assert account.left == workers.SECONDS
    slices = 0
    with contextlib.suppress(Stopped):
        while slices < 10:
            account.spend(account.left / 2 + 1)
            account.earn(door._of_slice(150_000))
            slices += 1
    assert 1 <= slices < 5


def test_what_a_slice_waits_for_is_not_counted_in_full_and_not_forgiven():
    account = Account()
    account.spend(2, 0.5)
    assert account.left == workers.SECONDS - 0.5
    account.spend(4, 0)
    assert account.left == workers.SECONDS - 1.5


def test_files_of_a_drop_share_what_they_take_and_each_has_what_it_pays_for():
    drop = Account()
    greedy = drop.of_file(0.3)
    assert greedy.left == workers.SECONDS
    greedy.spend(20)
    for _ in range(3):
        one = drop.of_file(0.3)
        assert one.left == pytest.approx(0.3)
        assert one.late == workers.TOGETHER_TOO_LONG
        one.spend(0.3)
    honest = drop.of_file(0.3)
    honest.spend(0.1)
    honest.settle()
    honest.spend(0.2)
    # On a busy server a file waits, and the others of its drop do not pay for that.
    waiting = drop.of_file(0)
    waiting.spend(0.4, 0.01)
    drop.earn(0.1)
    assert drop.of_file(0.3).left == pytest.approx(0.5)


def test_all_archives_of_a_drop_share_one_budget(monkeypatch):
    monkeypatch.setattr("brat.io.files.MAX_UNPACKED", 300_000)
    one = zipped({"a.png": b"\x89PNG" + bytes(200_000)})
    for group in (group_into_series, intake.group_into_series):
        first, second = group([File("1.zip", one), File("2.zip", one)])
        assert not first.problem
        assert "unpacks to over" in second.problem


def test_the_drops_of_a_server_share_one_budget(monkeypatch):
    monkeypatch.setattr(door, "MAX_ON_SERVER", Unpacked.total + 300_000)
    one = zipped({"a.png": b"\x89PNG" + bytes(200_000)})
    (kept,) = group_into_series([File("1.zip", one)])
    (refused,) = group_into_series([File("2.zip", one)])
    assert not kept.problem
    assert "unpacks to over" in refused.problem
    del kept
    (again,) = group_into_series([File("3.zip", one)])
    assert not again.problem


def test_a_sparse_file_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "a.dcm"
    with path.open("wb") as file:
        file.write(bytes(128) + b"DICM")
        file.truncate(20_000_000_000)
    begun = time.monotonic()
    (item,) = group_into_series([File("a.dcm", path)])
    with pytest.raises(UnreadableScan, match="over 500 MB"):
        load(item)
    assert time.monotonic() - begun < 5


def test_a_process_finds_no_secrets_in_its_environment(monkeypatch):
    monkeypatch.setenv("DATABASE_PASSWORD", "secret")
    worker = Worker()
    environment = Path(f"/proc/{worker._process.pid}/environ")
    if not environment.exists():
        pytest.skip("the system does not show it")
    assert b"secret" not in environment.read_bytes()
    worker.close()


def test_a_worker_loads_neither_tensorflow_nor_streamlit():
    import subprocess

    heavy = ("tensorflow", "streamlit", "nibabel")
    code = f"import sys, brat.io.worker; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def head(code=2, ndim=2, sizes=(4, 5, 0), length=40, text=b"{}", count=1) -> bytes:
    return wire._HEAD.pack(len(text), count) + text + wire._ARRAY.pack(code, ndim, *sizes, length)


HOSTILE = {
    "words": b"Segmentation fault (core dumped). Never mind, here are some more words." * 3,
    "a pickle": pickle.dumps((np.zeros((4, 5), np.uint16), ""), protocol=5) * 3,
    "no JSON": head(text=b"{'a': 1}"),
    "nested JSON": head(text=b"[" * 100_000),
    "a list": head(text=b"[]"),
    "endless JSON": wire._HEAD.pack(2**32 - 1, 1),
    "many arrays": head(count=200),
    "an unknown type": head(code=200),
    "a huge shape": head(sizes=(2**31, 2**31, 0), length=2**63),
    "a side too long": head(sizes=(MAX_SIDE + 1, 1, 0), length=2 * (MAX_SIDE + 1)),
    "too many pixels": head(sizes=(MAX_SIDE, MAX_SIDE, 0), length=2 * MAX_SIDE**2),
    "no pixels": head(sizes=(0, 5, 0), length=0),
    "content without end": head(code=0, ndim=1, sizes=(2**31, 0, 0), length=2**31),
    "nine dimensions": head(ndim=9),
    "a size too many": head(sizes=(4, 5, 1)),
    "four channels": head(ndim=3, sizes=(4, 5, 4), length=160),
    "more bytes than its shape": head(length=41),
}


@pytest.mark.parametrize("reply", HOSTILE.values(), ids=list(HOSTILE))
def test_a_process_that_was_taken_over_is_refused_and_replaced(reply, tmp_path, monkeypatch, pool):
    """Its reply is not believed, no memory is taken for it, and nothing of it is run."""
    script = tmp_path / "worker.py"
    script.write_text(
        "import sys, time\n"
        f"sys.stdout.buffer.write({reply!r} + bytes(100))\n"
        "sys.stdout.flush()\n"
        "time.sleep(60)\n"
    )
    with monkeypatch.context() as patch:
        patch.setattr(workers, "_COMMAND", (sys.executable, str(script)))
        pool.warm()
    (taken_over,) = pool._idle
    with monkeypatch.context() as patch:
        patch.setattr(wire.np, "empty", lambda *_: pytest.fail("memory was taken"))
        with pytest.raises(UnreadableScan, match="broke down"):
            load(intake.Item("a.png", (File("a.png", SAMPLE.read_bytes()),)))
    assert not taken_over.is_alive
    assert isinstance(opened(SAMPLE.name, SAMPLE.read_bytes()), Scan)


FALSE = {
    "no scan": ({}, 1),
    "a name that is a list": ({"name": [], "format": "", "modality": "", "digest": ""}, 1),
    "a window of words": (
        {"name": "", "format": "", "modality": "", "digest": "", "window": {"center": "x", "width": 1}},
        1,
    ),
    "spacing that is no number": (
        {"name": "", "format": "", "modality": "", "digest": "", "spacing": [float("nan"), 1]},
        1,
    ),
    "three arrays": ({"name": "", "format": "", "modality": "", "digest": ""}, 0),
}


@pytest.mark.parametrize(("fields", "arrays"), FALSE.values(), ids=list(FALSE))
def test_fields_that_cannot_be_a_scan_are_refused(fields, arrays):
    with pytest.raises((Stopped, TypeError)):
        door._scan(fields, [np.zeros((64, 64), np.uint8)] * arrays)


@pytest.mark.parametrize("dtype", wire.DTYPES, ids=str)
def test_what_a_process_sends_arrives(dtype):
    stream = io.BytesIO()
    sent = np.arange(20).astype(dtype).reshape(4, 5)
    wire.send_reply(stream, {"name": "Ä"}, [sent, sent.T])
    stream.seek(0)
    fields, (first, second) = wire.receive_reply(stream, 0)
    assert fields == {"name": "Ä"}
    assert first.dtype == dtype
    np.testing.assert_array_equal(first, sent)
    np.testing.assert_array_equal(second, sent.T)


def test_a_link_in_place_of_a_listed_file_is_not_followed(tmp_path):
    from brat.io.folders import scans_in

    (tmp_path / "in").mkdir()
    secret = tmp_path / "secret.png"
    secret.write_bytes(SAMPLE.read_bytes())
    path = tmp_path / "in" / "a.png"
    path.write_bytes(SAMPLE.read_bytes())
    (file,) = scans_in(tmp_path / "in")
    path.unlink()
    path.symlink_to(secret)
    for group in (group_into_series, intake.group_into_series):
        (item,) = group([file])
        assert "Another file lies at this place" in item.problem
    path.unlink()
    os.rename(tmp_path / "in", tmp_path / "out")
    os.mkdir(tmp_path / "other")
    (tmp_path / "other" / "a.png").write_bytes(SAMPLE.read_bytes())
    (tmp_path / "in").symlink_to(tmp_path / "other")
    assert "Another file lies" in group_into_series([file])[0].problem


def test_a_process_cannot_give_the_digest_of_another_file(monkeypatch):
    truth = door._scan

    def lying(fields, arrays):
        return truth({**fields, "digest": "a" * 64}, arrays)

    monkeypatch.setattr(door, "_scan", lying)
    data = SAMPLE.read_bytes()
    assert opened(SAMPLE.name, data).digest == hashlib.sha256(data).hexdigest()
    stack = opened("a.zip", zipped({f"{n}.dcm": slice_of(n) for n in range(2)})).stack()
    assert stack[0].digest != "a" * 64


def tagged(number: int, **changes) -> bytes:
    """A slice whose header says something for each field of a scan."""
    said = {
        "SeriesDescription": "T1 post Gd",
        "Manufacturer": "SIEMENS",
        "MagneticFieldStrength": 3,
        "ImageType": ["DERIVED", "SECONDARY"],
        "PhotometricInterpretation": "MONOCHROME1",
        "ImagePositionPatient": [0, 0, 3 * number],
        "WindowCenter": 300,
        "WindowWidth": 500,
        "PixelSpacing": [0.5, 0.5],
        "SOPInstanceUID": f"1.2.{number + 1}",
    }
    return slice_of(number, **(said | changes))


def page() -> bytes:
    """Three slices of a 2 x 2 film sheet, and a small one in the place of the fourth."""
    small = np.zeros((250, 250), np.uint8)
    small[80:112, 80:112] = np.asarray(Image.fromarray(synthetic_head(200, 200)).resize((32, 32)))
    return png(page_of([*(synthetic_head(250, 250, seed=seed) for seed in range(3)), small], 2, gutter=8))


def volume_without_place() -> bytes:
    import nibabel

    values = np.random.default_rng(0).integers(0, 900, (70, 72, 74)).astype(np.int16)
    image = nibabel.Nifti1Image(values, None)
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    return image.to_bytes()


GIVEN = {
    "slice": lambda: [File("a.dcm", tagged(1))],
    "sample": lambda: [File(SAMPLE.name, SAMPLE.read_bytes())],
    "series": lambda: [File(f"{n}.dcm", tagged(n)) for n in range(4)],
    "copies by number": lambda: [File(f"{n}.dcm", tagged(n % 3)) for n in range(4)],
    "copies by pixels": lambda: [
        File(f"{n}.dcm", tagged(n % 3, SOPInstanceUID=f"1.3.{n + 1}")) for n in range(4)
    ],
    "volume": lambda: [File("a.nii", volume_without_place())],
    "page": lambda: [File("a.png", page())],
}
CARRIED = ("sequence", "scanner", "edges", "remarks", "presets", "window", "spacing", "inverted", "left_out")


def assert_same(one: Scan | Series, other: Scan | Series) -> set[str]:
    """Every field but the slices of a series, which are compared; the names of those that say something."""
    assert type(one) is type(other)
    said = set()
    for field in dataclasses.fields(one):
        if field.name == "cut":
            continue
        first, second = getattr(one, field.name), getattr(other, field.name)
        if isinstance(first, np.ndarray):
            np.testing.assert_array_equal(first, second)
        else:
            assert first == second, field.name
        if field.name in CARRIED and first:
            said.add(field.name)
    return said


def test_everything_that_is_said_of_a_scan_comes_through_the_door():
    said: set[str] = set()
    copies, left_out = 0, 0
    for files in (make() for make in GIVEN.values()):
        for item, trusted in zip(group_into_series(files), intake.group_into_series(files), strict=True):
            assert_same_items(item, trusted)
            copies += len(item.copies)
            try:
                one = load(item)
            except SeveralPanels as several:
                with pytest.raises(SeveralPanels) as of_trusted:
                    intake.load(trusted)
                pairs = [*zip(several.items, of_trusted.value.items, strict=True)]
                for part, trusted_part in pairs:
                    assert_same_items(part, trusted_part)
                    said |= assert_same(load(part), intake.load(trusted_part))
                    left_out += part.part.left_out
                continue
            other = intake.load(trusted)
            said |= assert_same(one, other)
            if isinstance(one, Series):
                assert_same(one.stack()[0], other.stack()[0])
                assert one.stack().positions == other.stack().positions
    assert said == set(CARRIED)
    assert copies
    assert left_out


def assert_same_items(one: Item, other: Item) -> None:
    for field in dataclasses.fields(one):
        # What a drop may still take is no part of what was given.
        if field.compare:
            assert getattr(one, field.name) == getattr(other, field.name), field.name


@pytest.mark.parametrize(
    "lie",
    [
        {"sequence": "PLANTED^NAME"},
        {"scanner": "Siemens PLANTED^NAME 3 T"},
        {"scanner": None},
        {"edges": ["R", "A", "L", "X"]},
        {"edges": ["R", "A"]},
        {"remarks": "a"},
        {"remarks": ["a"] * 1000},
        {"remarks": ["a" * 5000]},
    ],
)
def test_what_a_process_says_of_a_scan_is_checked(monkeypatch, lie):
    truth = door._scan
    monkeypatch.setattr(door, "_scan", lambda fields, arrays: truth({**fields, **lie}, arrays))
    with pytest.raises((Stopped, ValueError, TypeError)):
        opened("a.dcm", tagged(1))


def test_a_dropped_dicomdir_is_listed_in_another_process():
    from brat.io.folders import scans_among

    assert scans_among([File("disc/DICOMDIR", b"no index" * 50)], door.listed)[1]
    from pydicom.data import get_testdata_file

    data = Path(get_testdata_file("DICOMDIR")).read_bytes()
    from brat.io.dicomdir import listed

    index = File("disc/DICOMDIR", data)
    assert door.listed(index) == listed(index) != []
