"""Many scans and series read in the background, and the rows that come of them, the most suspicious first.

A row keeps a small picture and the numbers, not the pixels. The files themselves are held by the items, as
they came, until the list is emptied; what lies on disk is read from there.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from brat.classes import CLASSES
from brat.environment import CORES
from brat.io.intake import MAX_FILES, OPENED, File, Item, load
from brat.io.scan import Scan, UnreadableScan, is_dicom
from brat.io.series import Series
from brat.model.pool import Readers
from brat.model.series_reading import SeriesReading, SliceReading, read_slice

PATIENCE = 120
"""Seconds that a list is kept for somebody who has left."""

THUMBNAIL = 72
"""Pixels of a thumbnail's longer side: 2 kB as JPEG."""

_END = object()
_NO_FOLDER = "There is no such folder among those that may be read here. Check the spelling."


@dataclass(frozen=True, eq=False)
class Row:
    """What is known of one item of the list.

    Attributes:
        number: its place among those that were given, from 1.
        item: where it came from, and how it is opened.
        problem: why it was not read; the rest but `digest` is empty then.
        kind: `Scan.kind` or `Series.kind`.
        digest: `Scan.digest` or `Series.digest`.
        slice, slices: of a series, the slice that is spoken of, from 1, and how many it has.
        slice_digest: `Scan.digest` of what the reading is of: the scan, or that slice.
        label: the answer, one of `brat.CLASSES`.
        shares: calibrated probabilities, 0 to 1, in the order of `brat.CLASSES`.
        sets: level -> the classes of the prediction set.
        known, score, reason: the gate's verdict; `known` is None where the model has no gate.
        thumbnail: a JPEG file.
    """

    number: int
    item: Item
    problem: str = ""
    kind: str = ""
    digest: str = ""
    slice: int | None = None
    slices: int | None = None
    slice_digest: str = ""
    label: str = ""
    shares: tuple[float, ...] = ()
    sets: Mapping[float, tuple[str, ...]] | None = None
    known: bool | None = None
    score: float | None = None
    reason: str = ""
    thumbnail: bytes = b""

    @property
    def tumour(self) -> float:
        """Probability of any tumour, 0 to 1; 0 where it was not read."""
        return 1 - self.shares[CLASSES.index("no_tumor")] if self.shares else 0.0

    @property
    def state(self) -> str:
        """ "known", "refused" by the gate, or "unread"."""
        if self.problem:
            return "unread"
        return "refused" if self.known is False else "known"


STATES = ("known", "refused", "unread")


def suspicion(row: Row) -> tuple:
    """By which rows are sorted, the most suspicious first.

    First what the gate lets through, by the probability of any tumour; then what it refuses and then what
    could not be read, as they came: of these the model says nothing.
    """
    return STATES.index(row.state), -row.tumour if row.state == "known" else 0, row.number


class Progress(NamedTuple):
    """How far a list is.

    Attributes:
        done, total: items.
        share: of the work, 0 to 1; of a series that is being read its slices count.
        sorting: whether files are still being looked through, so that `total` will grow.
        running: whether anything is being done; not where all is done, nor after `stop`.
        stopped: whether it was stopped, and will go on when asked to.
    """

    done: int
    total: int
    share: float
    sorting: bool
    running: bool
    stopped: bool


class Worklist:
    """Items that are read in the background, a few at a time, in turn with the other lists of the same pool.

    Threads may share it. Nothing of it runs once it is done, stopped or closed.

    Example:
        >>> work = Worklist(Readers(), ThreadPoolExecutor(CORES))
        >>> work.add(lambda: group_into_series(files))
        >>> work.wait()
        >>> sorted(work.rows(), key=suspicion)[0].label
        'glioma'
    """

    def __init__(self, readers: Readers, pool: Executor, workers: int = CORES):
        """Args: workers: how many items are read at a time."""
        self._readers, self._pool, self._workers = readers, pool, workers
        self._changed = threading.Condition()
        self._leaving: threading.Timer | None = None
        self._clear()

    def _clear(self) -> None:
        # Each job does a little at every `next`, so that lists take turns, and stopping does not wait long.
        self._jobs: deque[Iterator[None]] = deque()
        self._steps = 0  # of jobs, that are with the pool
        self._sorting = self._total = 0
        self._rows: dict[int, Row] = {}
        self._begun: dict[int, float] = {}
        self._problems: list[str] = []
        self._stopped = False
        # Steps of before the list was emptied find another one here.
        self._age = object()

    def add(self, source: Callable[[], Iterable[Item]]) -> None:
        """Have more items read, after those that are there.

        Args:
            source: called in the background; where it raises `UnreadableScan`, `problems` holds its sentence.
        """
        with self._changed:
            self._sorting += 1
            # Before what waits to be read, so that it is known soon how much there is.
            self._jobs.appendleft(self._sort_out(source, self._age))
            self._schedule()

    def stop(self) -> None:
        """Begin nothing more; what is begun ends within a moment. All that was read stays."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def go_on(self) -> None:
        with self._changed:
            self._stopped = False
            self._schedule()

    def close(self) -> None:
        """Stop and forget everything: items, rows and what was left to do."""
        with self._changed:
            self._clear()
            self._changed.notify_all()

    def leave(self, seconds: float = PATIENCE) -> None:
        """Do nothing until `come_back`; where that is not called in time, `close`."""
        with self._changed:
            if self._leaving is None:
                self._leaving = threading.Timer(seconds, self.close)
                self._leaving.daemon = True
                self._leaving.start()
            self._changed.notify_all()

    def come_back(self) -> None:
        """Go on as before `leave`."""
        with self._changed:
            if self._leaving is not None:
                self._leaving.cancel()
                self._leaving = None
            self._schedule()

    def row(self, number: int) -> Row | None:
        """What was read of one item; None where there is no such item, or not yet."""
        with self._changed:
            return self._rows.get(number)

    def rows(self) -> list[Row]:
        """What was read so far, as it was given."""
        with self._changed:
            return [self._rows[number] for number in sorted(self._rows)]

    def problems(self) -> list[str]:
        """Why a source gave nothing, a sentence each."""
        with self._changed:
            return list(self._problems)

    def progress(self) -> Progress:
        with self._changed:
            return Progress(
                done=len(self._rows),
                total=self._total,
                share=(len(self._rows) + sum(self._begun.values())) / self._total if self._total else 0.0,
                sorting=self._sorting > 0,
                running=self._is_running(),
                stopped=self._stopped,
            )

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing runs; False where that took longer than `timeout`, in seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._is_running(), timeout)

    def _is_running(self) -> bool:
        return self._steps > 0 or bool(self._jobs and not self._is_halted())

    def _is_halted(self) -> bool:
        return self._stopped or self._leaving is not None

    def _schedule(self) -> None:
        while self._jobs and not self._is_halted() and self._steps < self._workers:
            self._pool.submit(self._step, self._jobs.popleft(), self._age)
            self._steps += 1

    def _step(self, job: Iterator[None], age: object) -> None:
        if age is not self._age:
            return
        is_over = False
        try:
            is_over = not self._is_halted() and next(job, _END) is _END
        finally:
            with self._changed:
                if age is self._age:
                    self._steps -= 1
                    if not is_over:
                        self._jobs.appendleft(job)
                    self._schedule()
                    self._changed.notify_all()

    def _sort_out(self, source: Callable[[], Iterable[Item]], age: object) -> Iterator[None]:
        items, problem = [], ""
        try:
            items = list(source())
        except UnreadableScan as error:
            problem = str(error)
        # In a thread of the pool nobody would see it, and the list would wait for these files without end.
        except Exception as error:
            problem = _unforeseen(error)
        with self._changed:
            if age is not self._age:
                return
            self._sorting -= 1
            if problem:
                self._problems.append(problem)
            for number, item in enumerate(items, self._total + 1):
                self._jobs.append(self._read(number, item, age))
            self._total += len(items)
        # What makes this a job; there is nothing left to do after it.
        yield

    def _read(self, number: int, item: Item, age: object) -> Iterator[None]:
        row = Row(number, item)
        try:
            opened = load(item)
            row = replace(row, kind=opened.kind, digest=opened.digest)
            if isinstance(opened, Series):
                row = yield from self._read_series(row, opened)
            else:
                row = _with_reading(row, opened, SliceReading.of(self._readers().read(opened.gray)))
        except UnreadableScan as error:
            row = replace(row, problem=str(error))
        # Whatever a file does, it must not end the list.
        except Exception as error:
            row = replace(row, problem=_unforeseen(error))
        with self._changed:
            if age is self._age:
                self._begun.pop(number, None)
                self._rows[number] = row

    def _read_series(self, row: Row, series: Series) -> Iterator[None]:
        """Read every slice, one at each step; the row speaks of the most suspicious one."""
        begun = self._begun
        stack = series.stack()
        slices = []
        for number in range(len(stack)):
            slices.append(read_slice(stack, number, self._readers)[1])
            with self._changed:
                begun[row.number] = len(slices) / len(stack)
            yield
        most = SeriesReading(tuple(slices)).most_suspicious
        row = replace(row, slice=most + 1, slices=len(stack))
        if slices[most].problem:
            return replace(row, problem=slices[most].problem)
        return _with_reading(row, stack[most], slices[most])


def _with_reading(row: Row, scan: Scan, reading: SliceReading) -> Row:
    prediction, ood = reading.prediction, reading.ood
    return replace(
        row,
        slice_digest=scan.digest,
        label=prediction.label,
        shares=tuple(map(float, prediction.probabilities)),
        sets=reading.sets or {},
        known=ood and bool(ood.in_distribution),
        score=ood and float(ood.score),
        reason=ood.reason if ood and not ood.in_distribution else "",
        thumbnail=_thumbnail(scan.gray),
    )


def _unforeseen(error: Exception) -> str:
    # Its own words are left out: they may repeat what the header says of the patient.
    return f"Reading this failed for a reason that was not foreseen ({type(error).__name__})."


def _thumbnail(gray: np.ndarray) -> bytes:
    scale = THUMBNAIL / max(gray.shape)
    height, width = (max(1, round(side * scale)) for side in gray.shape)
    small = cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


def files_in(folder: str, root: str | Path) -> list[File]:
    """The scans in a folder and below it, in order of their names, which begin with the folder's.

    Args:
        folder: a path as typed, absolute or from the root.
        root: nothing outside it is read, nor said to exist.

    Raises:
        UnreadableScan: there is no such folder within the root, or too much in it, or nothing.
    """
    try:
        within = Path(root).expanduser().resolve()
        top = (within / Path(folder.strip()).expanduser()).resolve()
        if not (top.is_relative_to(within) and top.is_dir()):
            raise UnreadableScan(_NO_FOLDER)
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, UnreadableScan):
            raise
        raise UnreadableScan(_NO_FOLDER) from error
    found = []
    for path in _below(top):
        if not path.resolve().is_relative_to(within) or not _is_scan(path):
            continue
        found.append(File(str(path.relative_to(top.parent).as_posix()), path))
        if len(found) > MAX_FILES:
            raise UnreadableScan(f"The folder holds more than {MAX_FILES:,} scans. Choose a part of it.")
    if not found:
        raise UnreadableScan("There is no scan in this folder, nor below it.")
    return found


def _below(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def _is_scan(path: Path) -> bool:
    """By its name, or, as DICOM often has a name without an ending, by its first bytes."""
    try:
        # A pipe would be waited for without end.
        if not path.is_file():
            return False
        if path.suffix.lower() in OPENED:
            return True
        with path.open("rb") as opened:
            return is_dicom(opened.read(140))
    except OSError:
        return False


def records(
    rows: Sequence[Row], model: str, opinions: Mapping[str, Any] | None = None, names: bool = False
) -> list[dict[str, Any]]:
    """Rows as they are exported: one flat record each, without anything that says who the patient is.

    Args:
        model: `Classifier.digest` of the model that read them.
        opinions: `Row.slice_digest` -> the case that was kept of it, with `verdict` and `seen`; None where
            there is no store.
        names: with the names of the files, which may be those of patients.
    """
    levels = sorted({level for row in rows for level in row.sets or ()})
    made = []
    for row in rows:
        record = {"number": row.number}
        if names:
            record["file"] = row.item.name
        shares = row.shares or (None,) * len(CLASSES)
        record |= {
            "scan": row.digest,
            "kind": row.kind,
            "slice": row.slice,
            "slices": row.slices,
            "read": row.label,
            **{name: share and round(share, 6) for name, share in zip(CLASSES, shares, strict=True)},
            **{f"set_{level:g}": " ".join((row.sets or {}).get(level, ())) for level in levels},
            "gate_known": row.known,
            "gate_score": row.score and round(row.score, 6),
            "problem": row.problem or row.reason,
        }
        if opinions is not None:
            case = opinions.get(row.slice_digest)
            record |= {"verdict": case.verdict if case else "", "seen": (case.seen or "") if case else ""}
        made.append(record | {"model": model})
    return made
