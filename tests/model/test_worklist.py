"""The worklist: rows come in the background, stop and go on, and no file stops the others."""

import gc
import io
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cv2
import numpy as np
import pytest
from PIL import Image

from brat.classes import CLASSES
from brat.io.files import File
from brat.io.intake import Item, group_into_series
from brat.io.read import read_scan
from brat.io.samples import load_samples
from brat.io.scan import UnreadableScan
from brat.model.pool import Readers
from brat.model.worklist import Worklist
from brat.model.worklist_rows import THUMBNAIL, Row, suspicion
from brat.reports.worklist import records
from tests.factories.files import slice_of, zipped
from tests.factories.heads import synthetic_head
from tests.factories.pages import page_of, png
from tests.factories.readings import reading_of

SAMPLES = load_samples()
MODEL = "m" * 64


def picture(shade: int = 100, size: tuple[int, int] = (80, 100)) -> bytes:
    pixels = np.full(size, shade, np.uint8)
    pixels[20:60, 20:60] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def pictures(count: int) -> list[File]:
    return [File(f"{number}.png", picture(number)) for number in range(count)]


class Stub:
    """Readers whose every reading waits for `go`, if it is to; the answer by the scan's first pixel."""

    def __init__(self, answers=(), is_held: bool = False):
        self.answers = answers
        self.go = threading.Semaphore(0) if is_held else None
        self.asked = 0
        self.threads = set()

    def __call__(self):
        return self

    def read(self, gray: np.ndarray):
        if self.go:
            assert self.go.acquire(timeout=20)
        self.asked += 1
        self.threads.add(threading.get_ident())
        answer = self.answers[int(gray[0, 0])] if self.answers else ("glioma", True)
        if isinstance(answer, Exception):
            raise answer
        return reading_of(*answer)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(2) as opened:
        yield opened


def listed(files: list[File], readers, pool) -> Worklist:
    work = Worklist(readers, pool)
    work.add(lambda: group_into_series(files))
    assert work.wait(60)
    return work


def until(condition) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("this did not happen within 10 s")


def settled(pool) -> None:
    """Wait until each of the pool's two threads is free."""
    meet = threading.Barrier(2)
    for waiting in [pool.submit(meet.wait, 20) for _ in range(2)]:
        waiting.result()


def test_every_slice_of_a_page_is_a_row(pool):
    page = png(page_of([synthetic_head(200, 200, seed=seed) for seed in range(4)], 2))
    files = [File("page.png", page), *pictures(2)]
    work = listed(files, Stub(), pool)
    assert sorted(row.item.name for row in work.rows()) == [
        "0.png",
        "1.png",
        *(f"page.png, panel {number} of 4" for number in (1, 2, 3, 4)),
    ]
    assert not any(row.problem for row in work.rows())
    assert len({row.digest for row in work.rows()}) == 6
    assert work.progress()[:3] == (6, 6, 1)


def test_rows_hold_what_the_reader_says_and_a_small_picture(pool):
    readers = Readers()
    work = listed([File(s.file.name, s.file.read_bytes()) for s in SAMPLES], readers, pool)
    rows = work.rows()
    assert [row.item.name for row in rows] == [s.file.name for s in SAMPLES]
    assert [row.number for row in rows] == list(range(1, len(SAMPLES) + 1))
    for row, sample in zip(rows, SAMPLES, strict=True):
        scan = read_scan(sample.file)
        reading = readers().read(scan.gray)
        assert not row.problem
        assert (row.digest, row.slice_digest, row.format) == (scan.digest, scan.digest, scan.format)
        assert row.label == reading.prediction.label
        np.testing.assert_allclose(row.probabilities, reading.prediction.probabilities)
        assert row.sets == reading.sets
        assert (row.in_distribution, row.ood_score) == (
            reading.ood.in_distribution,
            pytest.approx(reading.ood.score),
        )
        assert row.tumour == pytest.approx(1 - reading.prediction.by_class()["no_tumor"])
        small = cv2.imdecode(np.frombuffer(row.thumbnail, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert max(small.shape) == THUMBNAIL
        assert len(row.thumbnail) < 4000
    assert work.progress() == (len(rows), len(rows), 1.0, False, False, False)


def test_a_bad_file_is_a_row_with_its_sentence_and_stops_nothing(pool):
    answers = {100: ("glioma", True), 50: ValueError("PatientName: Doe^Jane")}
    files = [
        File("notes.png", b"these are notes"),
        File("a.png", picture(100)),
        File("odd.png", picture(50)),
        File("empty.dcm", b""),
        File("b.png", picture(100)),
    ]
    rows = listed(files, Stub(answers), pool).rows()
    assert [row.state for row in rows] == ["unread", "known", "unread", "unread", "known"]
    assert "not an image" in rows[0].problem
    # A failure of ours is a sentence too, and does not repeat what it may have found in a header.
    assert "ValueError" in rows[2].problem
    assert "Jane" not in rows[2].problem
    assert "empty" in rows[3].problem


def test_order_of_suspicion(pool):
    answers = {
        1: ("no_tumor", True),
        2: ("glioma", False),
        3: ("meningioma", True),
        4: ("no_tumor", False),
        5: ("pituitary", True),
    }
    files = [File(f"{shade}.png", picture(shade)) for shade in answers] + [File("bad.png", b"?")]
    rows = sorted(listed([files[-1], *files[:-1]], Stub(answers), pool).rows(), key=suspicion)
    assert [row.item.name for row in rows] == ["3.png", "5.png", "1.png", "2.png", "4.png", "bad.png"]
    assert [row.state for row in rows] == ["known"] * 3 + ["refused"] * 2 + ["unread"]


def test_stop_and_go_on(pool):
    readers = Stub(is_held=True)
    work = Worklist(readers, pool, workers=2)
    work.add(lambda: group_into_series(pictures(12)))
    readers.go.release(3)
    until(lambda: work.progress().done == 3)
    work.stop()
    # What is begun comes to its end; nothing more is begun.
    readers.go.release(12)
    assert work.wait(20)
    now = work.progress()
    assert now.stopped
    assert not now.running
    assert now.done == readers.asked <= 5
    assert now.total == 12
    time.sleep(0.1)
    assert work.progress().done == now.done
    work.go_on()
    assert work.wait(20)
    assert [row.number for row in work.rows()] == list(range(1, 13))
    assert readers.asked == 12
    assert work.progress() == (12, 12, 1.0, False, False, False)


def test_stopped_before_its_turn_comes_it_begins_nothing(pool):
    readers = Stub()
    work = listed([], readers, pool)
    others = threading.Event()
    busy = [pool.submit(others.wait, 20) for _ in range(2)]
    items = group_into_series(pictures(4))
    work.add(lambda: items)
    work.stop()
    others.set()
    assert all(future.result() for future in busy)
    assert work.wait(20)
    assert work.progress() == (0, 0, 0.0, True, False, True)
    work.go_on()
    assert work.wait(20)
    assert readers.asked == 4


def test_stopped_while_it_is_stopped_nothing_added_is_read(pool):
    work = listed(pictures(2), Stub(), pool)
    work.stop()
    work.add(lambda: group_into_series(pictures(3)))
    assert work.wait(5)
    assert work.progress().done == 2
    work.go_on()
    assert work.wait(20)
    assert [row.number for row in work.rows()] == [1, 2, 3, 4, 5]


def test_closed_it_forgets_everything_and_nothing_runs_on(pool):
    readers = Stub(is_held=True)
    work = Worklist(readers, pool, workers=2)
    items = group_into_series(pictures(20))
    held = weakref.ref(items[10])
    work.add(partial(iter, items))
    readers.go.release(2)
    until(lambda: work.progress().done == 2)
    work.close()
    readers.go.release(20)
    assert work.progress() == (0, 0, 0.0, False, False, False)
    # What was begun comes to nothing, and the pool is free.
    settled(pool)
    asked = readers.asked
    assert asked <= 4
    assert work.rows() == []
    del items
    gc.collect()
    assert held() is None
    # And it can be filled anew.
    work.add(lambda: group_into_series(pictures(2)))
    assert work.wait(20)
    assert [row.number for row in work.rows()] == [1, 2]
    assert readers.asked == asked + 2


def test_closed_before_its_turn_comes_it_begins_nothing(pool):
    asked, others = [], threading.Event()
    busy = [pool.submit(others.wait, 20) for _ in range(2)]
    work = Worklist(Stub(), pool)
    work.add(lambda: asked.append(1) or [])
    work.close()
    others.set()
    assert all(future.result() for future in busy)
    settled(pool)
    assert not asked


def test_left_it_waits_and_is_forgotten_unless_one_comes_back(pool):
    readers = Stub(is_held=True)
    work = Worklist(readers, pool)
    work.add(lambda: group_into_series(pictures(8)))
    readers.go.release(2)
    until(lambda: work.progress().done == 2)
    work.leave(60)
    readers.go.release(8)
    assert work.wait(20)
    done = work.progress().done
    assert done < 8
    assert not work.progress().stopped
    # Nothing brings it to life but that one comes back.
    work.go_on()
    assert not work.progress().running
    work.come_back()
    assert work.wait(20)
    assert work.row(8).number == 8

    work.stop()
    work.leave(60)
    work.come_back()
    assert work.progress().stopped

    work.leave(0.05)
    until(lambda: not work.rows())
    assert work.progress().total == 0
    assert work.row(8) is None
    work.come_back()
    work.add(lambda: group_into_series(pictures(1)))
    assert work.wait(20)
    assert len(work.rows()) == 1


def test_of_two_who_have_it_the_last_one_leaves_it(pool):
    """A tab that is loaded again, whose first connection is found dead late; or a copy of a tab."""
    work = Worklist(Stub(), pool)
    work.come_back()
    work.come_back()
    work.leave(60)
    work.add(lambda: group_into_series(pictures(1)))
    assert work.wait(20)
    assert len(work.rows()) == 1
    work.leave(0.05)
    until(lambda: not work.rows())


def test_a_source_that_waits_for_others_keeps_no_reading_waiting(pool):
    """An archive that hangs, of the list itself and of another one."""
    answers = threading.Event()

    def hang() -> list[Item]:
        assert answers.wait(60)
        return group_into_series(pictures(1))

    with ThreadPoolExecutor(2) as others:
        work, another = Worklist(Stub(), pool), Worklist(Stub(), pool)
        try:
            for _ in range(3):
                work.add(hang, others)
                another.add(hang, others)
            for each in (work, another):
                each.add(lambda: group_into_series(pictures(2)))
                until(lambda each=each: each.progress().done == 2)
                assert each.progress().sorting
        finally:
            answers.set()
        assert work.wait(20)
        assert another.wait(20)
    assert work.progress().done == another.progress().done == 5


def test_left_it_is_kept_by_nothing_but_whose_it_is(pool):
    work = Worklist(Stub(), pool)
    work.add(lambda: group_into_series(pictures(1)))
    assert work.wait(20)
    settled(pool)
    held = weakref.ref(work)
    work.leave(60)
    del work
    gc.collect()
    assert held() is None


def test_lists_of_the_same_pool_take_turns(pool):
    readers = Stub()
    long, short = Worklist(readers, pool), Worklist(readers, pool)
    long.add(lambda: group_into_series(pictures(200)))
    until(lambda: long.progress().done)
    short.add(lambda: group_into_series(pictures(2)))
    assert short.wait(20)
    assert long.progress().done < 200
    assert long.wait(60)
    assert len(readers.threads) <= 2


def test_a_source_that_fails_says_why_and_the_rest_goes_on(pool):
    def fails():
        raise UnreadableScan("There is no such folder.")

    work = Worklist(Stub(), pool)
    work.add(fails)
    work.add(lambda: group_into_series(pictures(1)))
    assert work.wait(20)
    assert work.problems() == ["There is no such folder."]
    assert len(work.rows()) == 1


def test_a_series_is_one_row_at_its_most_suspicious_slice(pool):
    # By its first pixel, the number of the slice.
    answers = {n: ("glioma" if n in (3, 4, 5) else "no_tumor", n != 6) for n in range(256)}
    files = {f"series/{n}.dcm": slice_of(n, WindowCenter=128, WindowWidth=256) for n in range(8)}
    rows = listed([File("s.zip", zipped(files)), File("a.png", picture(200))], Stub(answers), pool).rows()
    assert [row.slices for row in rows] == [8, None]
    assert rows[0].slice == 4
    assert rows[0].label == "glioma"
    assert "8 slices" in rows[0].format
    assert rows[0].digest != rows[0].slice_digest


def test_what_is_said_of_one_slice_of_a_series_stands_in_its_row(pool):
    """The first slice speaks for the series, and the most suspicious one is shown: neither is this one."""
    changes = [{"BodyPartExamined": "KNEE"} for _ in range(8)]
    changes[5] |= {"BurnedInAnnotation": "YES"}
    answers = {n: ("glioma" if n == 2 else "no_tumor", True) for n in range(256)}
    files = {
        f"series/{n}.dcm": slice_of(n, WindowCenter=128, WindowWidth=256, **changes[n]) for n in range(8)
    }
    (row,) = listed([File("s.zip", zipped(files))], Stub(answers), pool).rows()
    assert row.slice == 3
    assert row.remarks == (
        "By its header this shows a knee. The model knows the head only.",
        "Slice 6: By its header text is burned into this picture; it may name the patient.",
    )


def test_a_long_series_stops_between_two_slices_and_goes_on_there(pool):
    readers = Stub(is_held=True)
    files = [File(f"{n}.dcm", slice_of(n)) for n in range(10)]
    work = Worklist(readers, pool)
    work.add(lambda: group_into_series(files))
    readers.go.release(4)
    until(lambda: work.progress().share == 0.4)
    work.stop()
    readers.go.release(1)
    assert work.wait(20)
    assert work.progress().done == 0
    work.go_on()
    readers.go.release(10)
    assert work.wait(20)
    assert readers.asked == 10
    assert work.rows()[0].slices == 10


class _Case:
    verdict, seen = "disagree", "meningioma"


def test_export_names_nobody_unless_it_is_asked_to(pool):
    answers = {100: ("glioma", True), 50: ("no_tumor", False)}
    files = [
        File("DOE_JANE_19700101.png", picture(100)),
        File("DOE_JOHN.png", picture(50)),
        File("DOE_X.png", b"?"),
    ]
    rows = listed(files, Stub(answers), pool).rows()
    table = records(rows, MODEL)
    assert "DOE" not in repr(table)
    first, second, bad = table
    assert first == {
        "number": 1,
        "scan": rows[0].digest,
        "format": "PNG, 8-bit gray",
        "slice": None,
        "slices": None,
        "read": "glioma",
        **{name: 0.7 if name == "glioma" else 0.1 for name in CLASSES},
        "set_0.95": "glioma",
        "in_distribution": True,
        "ood_score": 0.5,
        "problem": "",
        "sequence": "",
        "remarks": "",
        "model": MODEL,
    }
    assert second["in_distribution"] is False
    assert second["problem"] == "Unlike."
    assert bad["glioma"] is None
    assert "not an image" in bad["problem"]
    assert [row["file"] for row in records(rows, MODEL, names=True)] == [file.name for file in files]
    told = records(rows, MODEL, {rows[1].digest: _Case()})
    assert [(row["verdict"], row["seen"]) for row in told] == [("", ""), ("disagree", "meningioma"), ("", "")]


def test_a_row_of_what_cannot_be_opened_is_not_tried(pool):
    work = Worklist(Stub(), pool)
    work.add(lambda: [Item("x", (), problem="It is locked.")])
    assert work.wait(20)
    row = work.rows()[0]
    assert isinstance(row, Row)
    assert row.problem == "It is locked."
