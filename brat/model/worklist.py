"""Read many scans and series in the background into rows of a list, the most suspicious first.

A row keeps a thumbnail and the numbers, not the pixels. The items hold uploaded files as they came until the
list is emptied; files on disk are read from there.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from brat import log
from brat.classes import CLASSES
from brat.environment import CORES
from brat.io.archives import MAX_FILES
from brat.io.files import File
from brat.io.folders import Skipped, scans_in
from brat.io.intake import Item, SeveralPanels, load
from brat.io.scan import Scan, UnreadableScan
from brat.io.series import Series
from brat.model.classifier import Prediction
from brat.model.files import ModelError
from brat.model.out_of_distribution import OodResult
from brat.model.pool import Readers
from brat.model.series_reading import SeriesReading, read_slice

PATIENCE = 120
"""Seconds that a list is kept for somebody who has left."""

THUMBNAIL = 72
"""Pixels of a thumbnail's longer side: 2 kB as JPEG."""

_END = object()
_NO_FOLDER = "There is no such folder among those that may be read here. Check the spelling."


@dataclass(frozen=True, eq=False)
class Row:
    """One item of the list and its reading.

    Attributes:
        number: its place among the items that were given, from 1.
        item: where it came from, and how it is opened.
        problem: why it was not read; then all that follows but `format` and `digest` is empty.
        format: `Scan.format` or `Series.format`.
        digest: `Scan.digest` or `Series.digest`.
        slice, slices: of a series, the number of the slice that the row shows, from 1, and how many it has.
        slice_digest: `Scan.digest` of the scan, or of that slice.
        label: the answer, one of `brat.CLASSES`.
        probabilities: calibrated, 0 to 1, in the order of `brat.CLASSES`.
        sets: level -> the classes of the prediction set.
        in_distribution, ood_score, reason: from the out-of-distribution check, see
            `brat.model.out_of_distribution.OodResult`; None and empty where the model has no detector.
        thumbnail: a JPEG file.
    """

    number: int
    item: Item
    problem: str = ""
    format: str = ""
    digest: str = ""
    slice: int | None = None
    slices: int | None = None
    slice_digest: str = ""
    label: str = ""
    probabilities: tuple[float, ...] = ()
    sets: Mapping[float, tuple[str, ...]] | None = None
    in_distribution: bool | None = None
    ood_score: float | None = None
    reason: str = ""
    thumbnail: bytes = b""

    @property
    def tumour(self) -> float:
        """Probability of any tumour, 0 to 1; 0 where it was not read."""
        return 1 - self.probabilities[CLASSES.index("no_tumor")] if self.probabilities else 0.0

    @property
    def state(self) -> str:
        """ "known"; "refused", which is out of distribution; or "unread"."""
        if self.problem:
            return "unread"
        return "refused" if self.in_distribution is False else "known"


STATES = ("known", "refused", "unread")


def suspicion(row: Row) -> tuple[int, float, int]:
    """Sorting key: the most suspicious row first.

    First come rows in distribution, by the probability of any tumour. Then come rows out of distribution, and
    then those that could not be read, each in their order: about these the model says nothing.
    """
    return STATES.index(row.state), -row.tumour if row.state == "known" else 0, row.number


class Progress(NamedTuple):
    """How far a list is.

    Attributes:
        done, total: items.
        share: share of the work that is done, 0 to 1; the slices of a series that is being read count.
        sorting: whether files are still being grouped into items, so that `total` will grow.
        running: whether work goes on; false when all is done, and after `stop`.
        stopped: whether it was stopped; `go_on` resumes it.
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
        # A job does a little at every `next`, so that lists take turns, and stopping does not wait long.
        self._jobs: deque[Iterator[None]] = deque()
        self._steps = 0  # steps of jobs that the pool has now
        self._sorting = self._total = 0
        self._rows: dict[int, Row] = {}
        self._begun: dict[int, float] = {}
        self._problems: list[str] = []
        self._stopped = False
        # A step that began before the list was emptied sees another object here.
        self._age = object()

    def add(self, source: Callable[[], Iterable[Item]]) -> None:
        """Add items, to be read after those that are there.

        Args:
            source: called in the background; where it raises `UnreadableScan`, `problems` holds its sentence.
        """
        with self._changed:
            self._sorting += 1
            # Ahead of the items that wait, so that the total is known soon.
            self._jobs.appendleft(self._group(source, self._age))
            self._schedule()

    def stop(self) -> None:
        """Start nothing more; what has started ends within a moment. All rows stay."""
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
        """The row of one item; None where there is no such item, or where it is not read yet."""
        with self._changed:
            return self._rows.get(number)

    def rows(self) -> list[Row]:
        """The rows so far, in the order in which the items were given."""
        with self._changed:
            return [self._rows[number] for number in sorted(self._rows)]

    def problems(self) -> list[str]:
        """For each source that gave nothing, a sentence that says why."""
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

    def _group(self, source: Callable[[], Iterable[Item]], age: object) -> Iterator[None]:
        items, problem = [], ""
        try:
            items = list(source())
        except UnreadableScan as error:
            log.refusal(error)
            problem = str(error)
        # Nobody would see it in a thread of the pool, and the list would wait for these files forever.
        except Exception as error:
            problem = _unforeseen(error)
        with self._changed:
            if age is not self._age:
                return
            self._sorting -= 1
            if problem:
                self._problems.append(problem)
        self._add_items(items, age)
        # A job is an iterator; nothing is left to do after this step.
        yield

    def _add_items(self, items: Sequence[Item], age: object) -> None:
        with self._changed:
            if age is self._age:
                for number, item in enumerate(items, self._total + 1):
                    self._jobs.append(self._read(number, item, age))
                self._total += len(items)

    def _read(self, number: int, item: Item, age: object) -> Iterator[None]:
        row = Row(number, item)
        try:
            opened = load(item)
            row = replace(row, format=opened.format, digest=opened.digest)
            if isinstance(opened, Series):
                row = yield from self._read_series(row, opened)
            else:
                reading = self._readers().read(opened.gray)
                row = _with_reading(row, opened, reading.prediction, reading.sets, reading.ood)
        except SeveralPanels as page:
            # The page becomes its first panel; the others follow behind the items that are there.
            first, *others = page.items
            self._add_items(others, age)
            yield from self._read(number, first, age)
            return
        except UnreadableScan as error:
            log.refusal(error)
            row = replace(row, problem=str(error))
        except (ModelError, FileNotFoundError) as error:
            log.failure("model", error)
            row = replace(row, problem=str(error))
        # No file may end the list.
        except Exception as error:
            row = replace(row, problem=_unforeseen(error))
        with self._changed:
            if age is self._age:
                self._begun.pop(number, None)
                self._rows[number] = row

    def _read_series(self, row: Row, series: Series) -> Generator[None, None, Row]:
        """Read the slices, one at each step; the row shows the most suspicious one."""
        begun = self._begun
        stack = series.stack()
        slices = []
        for number in range(len(stack)):
            slices.append(read_slice(stack, number, self._readers)[1])
            with self._changed:
                begun[row.number] = len(slices) / len(stack)
            yield
        shown = SeriesReading(tuple(slices)).most_suspicious
        row = replace(row, slice=shown + 1, slices=len(stack))
        reading = slices[shown]
        if reading.prediction is None:
            return replace(row, problem=reading.problem)
        return _with_reading(row, stack[shown], reading.prediction, reading.sets, reading.ood)


def _with_reading(
    row: Row,
    scan: Scan,
    prediction: Prediction,
    sets: Mapping[float, tuple[str, ...]] | None,
    ood: OodResult | None,
) -> Row:
    return replace(
        row,
        slice_digest=scan.digest,
        label=prediction.label,
        probabilities=tuple(map(float, prediction.probabilities)),
        sets=sets or {},
        in_distribution=ood.in_distribution if ood else None,
        ood_score=ood.score if ood else None,
        reason=ood.reason if ood and not ood.in_distribution else "",
        thumbnail=_thumbnail(scan.gray),
    )


def _unforeseen(error: Exception) -> str:
    # The error's own message is left out: it may repeat patient data of the header.
    error_id = log.failure("unforeseen", error)
    return (
        f"Reading this failed for a reason that was not foreseen ({type(error).__name__}, error {error_id})."
    )


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
    files: list[File] = []
    for entry in scans_in(top, within):
        if isinstance(entry, Skipped):
            continue
        if len(files) == MAX_FILES:
            raise UnreadableScan(f"The folder holds more than {MAX_FILES:,} scans. Choose a part of it.")
        assert isinstance(entry.source, Path)
        files.append(File(entry.source.relative_to(top.parent).as_posix(), entry.source))
    if not files:
        raise UnreadableScan("There is no scan in this folder, nor below it.")
    return files


def records(
    rows: Sequence[Row], model: str, opinions: Mapping[str, Any] | None = None, names: bool = False
) -> list[dict[str, Any]]:
    """Rows for export: one flat record each, without anything that identifies the patient.

    Args:
        model: `Classifier.digest` of the model that read them.
        opinions: `Row.slice_digest` -> the stored case, with `verdict` and `seen`; None where there is no
            store.
        names: whether to add the names of the files, which may hold names of patients.
    """
    levels = sorted({level for row in rows for level in row.sets or ()})
    exported = []
    for row in rows:
        record: dict[str, Any] = {"number": row.number}
        if names:
            record["file"] = row.item.name
        probabilities = row.probabilities or (None,) * len(CLASSES)
        record |= {
            "scan": row.digest,
            "format": row.format,
            "slice": row.slice,
            "slices": row.slices,
            "read": row.label,
            **{name: p and round(p, 6) for name, p in zip(CLASSES, probabilities, strict=True)},
            **{f"set_{level:g}": " ".join((row.sets or {}).get(level, ())) for level in levels},
            "in_distribution": row.in_distribution,
            "ood_score": row.ood_score and round(row.ood_score, 6),
            "problem": row.problem or row.reason,
        }
        if opinions is not None:
            case = opinions.get(row.slice_digest)
            record |= {"verdict": case.verdict if case else "", "seen": (case.seen or "") if case else ""}
        exported.append(record | {"model": model})
    return exported
