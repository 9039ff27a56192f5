"""Hostile files of further kinds end in a sentence, and what they may cost is counted."""

from __future__ import annotations

import contextvars
import gzip
import io
import struct
import tracemalloc
import zlib
from collections import Counter

import pytest

from brat.io import archives, dicom_header, door, intake, workers
from brat.io.door import group_into_series, load
from brat.io.files import File
from brat.io.scan import NO_PICTURE, UnreadableScan
from brat.io.series import Series
from brat.io.workers import Account, Pool, Stopped, Worker
from tests.factories.files import slice_of, zipped
from tests.factories.hostile import FURTHER, before_the_dataset, slow_series
from tests.io.test_hostile import outcome


@pytest.mark.parametrize("kind", FURTHER)
def test_it_ends_in_a_sentence(kind, tmp_path, monkeypatch):
    # Less than there is, so that none takes long here.
    monkeypatch.setattr(workers, "SECONDS", 1.0)
    monkeypatch.setattr(workers, "IN_VAIN", 0.2)
    monkeypatch.setattr(workers, "OF_DROP", 5.0)
    said = outcome(FURTHER[kind](tmp_path))
    assert said
    assert all(text.endswith((".", "slices", "read")) for text in said)
    assert workers.DIED not in said


class _Counted(io.BytesIO):
    """A stream that counts how often it is read."""

    reads = 0

    def read(self, size: int | None = -1) -> bytes:
        self.reads += 1
        return super().read(size)


@pytest.mark.parametrize("group", [0, 2])
def test_what_comes_before_a_dataset_is_bounded(group):
    stream = _Counted(before_the_dataset(group, 100_000))
    with pytest.raises(ValueError, match="far more elements"):
        dicom_header.transfer_syntax(stream)
    assert stream.reads < 2 * dicom_header._MAX_ELEMENTS
    (item,) = intake.group_into_series([File("a.dcm", stream.getvalue())])
    with pytest.raises(UnreadableScan, match="damaged"):
        intake.load(item)


def test_a_dataset_of_far_more_elements_than_a_header_is_not_read_to_its_end():
    element = struct.pack("<HH2sH", 9, 0x1010, b"LO", 0)
    begin = slice_of(1)[: 144 + 200]
    with pytest.raises(ValueError, match="far more elements"):
        dicom_header.read_whole(begin[:132] + element * 30_000)


def test_what_gzip_packs_is_not_there_twice():
    """Of zeros a piece unpacks to 1,000 times as much."""
    packed = gzip.compress(bytes(50_000_000), 1) + gzip.compress(b"the end")
    tracemalloc.start()
    content = archives.gunzipped(packed, 60_000_000)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert content == bytes(50_000_000) + b"the end"
    assert most < 1.3 * len(content)
    assert archives.gunzipped(packed, 50_000_000) is None
    assert archives.gunzipped(packed, 50_000_007) == content
    for size in (archives._CHUNK - 1, archives._CHUNK, archives._CHUNK + 1):
        assert archives.gunzipped(gzip.compress(bytes(size)), size) == bytes(size)
    with pytest.raises((EOFError, zlib.error)):
        archives.gunzipped(packed[:2000], 60_000_000)


def _asked(monkeypatch) -> Counter[str]:
    asked: Counter[str] = Counter()
    ask = door.pool.ask

    def counting(fields, *rest):
        asked[fields["do"]] += 1
        return ask(fields, *rest)

    monkeypatch.setattr(door.pool, "ask", counting)
    return asked


def test_dicom_files_without_a_picture_are_told_of_where_they_are_listed(monkeypatch):
    """None of them is asked for by itself, and a series that stands behind them is read."""
    asked = _asked(monkeypatch)
    junk = {f"{n}.dcm": bytes(128) + b"DICM" + b"%d" % n for n in range(3000)}
    honest = {f"z/{n}.dcm": slice_of(n) for n in range(3)}
    *others, series = group_into_series([File("a.zip", zipped(junk | honest))])
    assert asked == {"examine": 1}
    assert {item.problem for item in others} == {NO_PICTURE}
    for item in others[:3]:
        with pytest.raises(UnreadableScan) as here:
            intake.load(intake.Item(item.name, (File(item.name, junk["1.dcm"]),)))
        assert str(here.value) == item.problem
    opened = load(series)
    assert isinstance(opened, Series)
    assert len(opened.stack()) == 3
    # What lies in memory is hashed where it lies.
    assert "digest" not in asked


def test_a_file_that_lacks_rows_and_has_a_picture_is_not_said_to_have_none():
    (item,) = intake.group_into_series([File("a.zip", zipped({"a.dcm": slice_of(1, Rows=None)}))])
    assert item.problem == ""
    with pytest.raises(UnreadableScan, match="lacks Rows"):
        intake.load(item)


def _opening(monkeypatch, seconds: float) -> list[str]:
    """The names of what is opened, each of which uses as much time, and cannot be read where it says so."""
    opened = []

    def open_item(item, account):
        opened.append(item.name)
        account.spend(seconds, seconds)
        if item.name.startswith("damaged"):
            raise UnreadableScan("It is damaged.")
        return item

    monkeypatch.setattr(door, "_open_item", open_item)
    monkeypatch.setattr(door.intake, "with_copies", lambda opened, copies: opened)
    return opened


def test_files_in_vain_count_though_they_use_no_time_and_do_not_leave_out_a_series(monkeypatch):
    opened, drop = _opening(monkeypatch, 0), Account()
    for number in range(5000):
        with pytest.raises(UnreadableScan):
            load(intake.Item(f"damaged {number}", (File("a", b""),), drop=drop))
    most = workers.IN_VAIN / workers.LEAST_IN_VAIN
    assert most <= len(opened) <= most + 2
    with pytest.raises(Stopped, match="left out"):
        load(intake.Item("honest picture", (File("a", b""),), drop=drop))
    load(intake.Item("honest series", (File("a", b""),), is_series=True, drop=drop))
    assert opened[-1] == "honest series"
    # Nor are series without end tried.
    for number in range(5000):
        with pytest.raises(UnreadableScan):
            load(intake.Item(f"damaged series {number}", (File("a", b""),), is_series=True, drop=drop))
    assert len(opened) < 2 * most + 5


def test_slow_series_of_a_drop_are_bounded_together():
    """Each may take seconds beyond what it pays for, and all of them no more than one drop may."""
    drop, used, told = Account(), 0.0, set()
    for _ in range(200):
        account = drop.of_file(workers.OPENING, is_series=True)
        account.settle()
        for _ in range(20):
            try:
                used += min(0.3, account.left)
                account.spend(0.3, 0.3)
                account.earn(door._of_slice(5000), 5000)
            except Stopped as error:
                told.add(str(error))
    assert workers.DROP_TOO_LONG in told
    assert used < workers.OF_DROP + 5
    # By itself the same series is read.
    assert Account().of_file(workers.OPENING).left > 1


@pytest.mark.parametrize("count", [160, 1000])
def test_an_honest_series_of_jpeg_2000_does_not_come_near_the_budget_of_its_drop(count):
    """Of 264 kB a slice, which takes 0.04 to 0.08 s; beside others it waits."""
    drop = Account()
    account = drop.of_file(workers.OPENING, is_series=True)
    account.settle()
    for _ in range(count):
        assert account.left > 5
        account.spend(0.3, 0.08)
        account.earn(door._of_slice(264_000), 264_000)
    assert drop._left_of_drop > 0.9 * workers.OF_DROP


def test_small_honest_pictures_do_not_use_up_the_budget_of_their_drop_on_a_slow_server():
    """Ten thousand JPEG files of 3.5 kB, which take half as long again as they did where it was measured."""
    drop = Account()
    for _ in range(10_000):
        account = drop.of_file(workers.OPENING)
        account.spend(0.04, 0.009)
        account.earn(0, 3500)
        account.settle()
    assert drop._left_of_drop > 0.9 * workers.OF_DROP


def test_slow_series_are_left_out_and_say_so(monkeypatch):
    monkeypatch.setattr(workers, "OF_DROP", 5.0)
    spend = Account.spend
    # However fast the machine is.
    monkeypatch.setattr(Account, "spend", lambda account, *_: spend(account, 0.3, 0.3))
    items = group_into_series([File("a.zip", slow_series(12, 6))])
    said, slices = Counter(), 0
    for item in items:
        try:
            opened = load(item)
            assert isinstance(opened, Series)
            for scan in opened.stack():
                slices += scan.gray.size > 0
        except UnreadableScan as error:
            said[str(error)] += 1
    assert said[workers.DROP_TOO_LONG] > 1
    assert slices < 12 * 6


def _busy(pool: Pool, who: str, is_slow: bool) -> Worker:
    worker = object.__new__(Worker)
    worker.owner, worker.holds, worker.gives_way = who, {}, is_slow
    pool._busy.append(worker)
    return worker


def test_where_slow_files_have_all_places_who_has_none_gets_one_more():
    pool = Pool(3)
    for who in ("a", "a", "b"):
        _busy(pool, who, True)
    pool._waiting = {0: ("a", "", False), 1: ("b", "", False), 2: ("c", "", False)}
    assert pool._next() == 2
    # One, and no more.
    last = _busy(pool, "c", False)
    pool._waiting = {3: ("d", "", False)}
    assert pool._next() is None
    last.gives_way = True
    assert pool._next() is None
    # Others, which are read at once, are waited for.
    pool._busy.remove(last)
    pool._busy[0].gives_way = False
    assert pool._next() is None


@pytest.mark.parametrize(
    ("owner", "is_slow", "said"),
    [
        ("greedy", True, workers.BUSY_WITH_YOURS),
        ("greedy", False, workers.TOO_BUSY),
        ("another", True, workers.TOO_BUSY),
    ],
)
def test_who_is_kept_waiting_by_files_of_their_own_is_told_so(monkeypatch, owner, is_slow, said):
    pool = Pool(3)
    worker = Worker(("sleep", "60"))

    def ask(*_, **__):
        raise Stopped(workers.TOO_BUSY)
        yield

    monkeypatch.setattr(worker, "start", lambda: None)
    monkeypatch.setattr(worker, "ask", ask)
    pool._idle.append(worker)
    _busy(pool, owner, is_slow)

    def asking() -> None:
        workers.owner.set("greedy")
        list(pool.ask({}, (), Account()))

    with pytest.raises(Stopped) as refused:
        # In a context of its own: otherwise all tests after it would ask in this name.
        contextvars.copy_context().run(asking)
    assert str(refused.value) == said
    assert "server" not in said.lower()
    pool._busy.clear()
    pool.close()
