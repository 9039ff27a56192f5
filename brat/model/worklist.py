"""Read many scans and series in the background into rows of a list, the most suspicious first.

The items hold uploaded files as they came until the list is emptied; files on disk are read from there.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from brat import log
from brat.environment import CORES
from brat.io.door import load
from brat.io.intake import Item, SeveralPanels
from brat.io.scan import UnreadableScan
from brat.io.series import Series
from brat.io.workers import owner
from brat.model.files import ModelError
from brat.model.pool import Readers
from brat.model.series_reading import SeriesReading, read_slice, said_of_slices
from brat.model.worklist_rows import Row, with_reading

PATIENCE = 120
"""Seconds that a list is kept for somebody who has left."""

_END = object()


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


@dataclass
class _Queue:
    """What a list has a pool do.

    Attributes:
        jobs: each does a little at every `next`, so that lists take turns, and stopping does not wait long.
        steps: of jobs, that the pool has now.
    """

    jobs: deque[Iterator[None]] = field(default_factory=deque)
    steps: int = 0


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

    def __init__(self, readers: Readers, pool: Executor, workers: int = CORES, asking: object = None):
        """Args:
        workers: how many items are read at a time.
        asking: whose the list is, see `brat.io.workers.owner`; nobody's but its own by default.
        """
        self._readers, self._pool, self._workers = readers, pool, workers
        self._asking = id(self) if asking is None else asking
        self._changed = threading.Condition()
        self._leaving: threading.Timer | None = None
        self._here = 0
        self._clear()

    def _clear(self) -> None:
        # Who waits for an archive keeps no reading waiting.
        self._queues = {self._pool: _Queue()}
        self._sorting = self._total = 0
        self._rows: dict[int, Row] = {}
        self._begun: dict[int, float] = {}
        self._problems: list[str] = []
        self._stopped = False
        # A step that began before the list was emptied sees another object here.
        self._age = object()

    def add(self, source: Callable[[], Iterable[Item]], pool: Executor | None = None) -> None:
        """Add items, to be read after those that are there.

        Args:
            source: called in the background; where it raises `UnreadableScan`, `problems` holds its sentence.
            pool: that it is called in, where it may wait long for others; that of the list by default.
        """
        with self._changed:
            self._sorting += 1
            # Ahead of the items that wait, so that the total is known soon.
            queue = self._queues.setdefault(pool or self._pool, _Queue())
            queue.jobs.appendleft(self._group(source, self._age))
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
        """Do nothing until `come_back`; where that is not called in time, `close`.

        Who came back before, and has not left since, has it still: of a tab that is loaded again the server
        may learn late that its first connection ended, and a copy of a tab has the list of the tab.
        """
        with self._changed:
            self._here = max(self._here - 1, 0)
            if self._leaving is None and not self._here:
                # Where nobody has the list any more, this does not keep it.
                self._leaving = threading.Timer(seconds, _close, (weakref.ref(self),))
                self._leaving.daemon = True
                self._leaving.start()
            self._changed.notify_all()

    def come_back(self) -> None:
        """Go on as before `leave`."""
        with self._changed:
            self._here += 1
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
        queues = self._queues.values()
        return any(queue.steps or (queue.jobs and not self._is_halted()) for queue in queues)

    def _is_halted(self) -> bool:
        return self._stopped or self._leaving is not None

    def _schedule(self) -> None:
        for pool, queue in self._queues.items():
            while queue.jobs and not self._is_halted() and queue.steps < self._workers:
                pool.submit(self._step, queue, queue.jobs.popleft(), self._age)
                queue.steps += 1

    def _step(self, queue: _Queue, job: Iterator[None], age: object) -> None:
        if age is not self._age:
            return
        is_over = False
        # Of the threads of the pool, each works for one list and then for another.
        owner.set(self._asking)
        try:
            is_over = not self._is_halted() and next(job, _END) is _END
        finally:
            with self._changed:
                if age is self._age:
                    queue.steps -= 1
                    if not is_over:
                        queue.jobs.appendleft(job)
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
                    self._queues[self._pool].jobs.append(self._read(number, item, age))
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
                row = with_reading(row, opened, reading.prediction, reading.sets, reading.ood)
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
        slices, said = [], []
        for number in range(len(stack)):
            scan, of_slice = read_slice(stack, number, self._readers)
            slices.append(of_slice)
            said.append(scan.remarks if scan else ())
            with self._changed:
                begun[row.number] = len(slices) / len(stack)
            yield
        shown = SeriesReading(tuple(slices)).most_suspicious
        remarks = series.said + said_of_slices(said, series.remarks)
        row = replace(row, slice=shown + 1, slices=len(stack), remarks=remarks)
        reading = slices[shown]
        if reading.prediction is None:
            return replace(row, problem=reading.problem)
        row = with_reading(row, stack[shown], reading.prediction, reading.sets, reading.ood)
        # Those of the slice are among them, with its number.
        return replace(row, remarks=remarks)


def _close(reference: Callable[[], Worklist | None]) -> None:
    if work := reference():
        work.close()


def _unforeseen(error: Exception) -> str:
    # The error's own message is left out: it may repeat patient data of the header.
    error_id = log.failure("unforeseen", error)
    return (
        f"Reading this failed for a reason that was not foreseen ({type(error).__name__}, error {error_id})."
    )
