"""A small pool of processes that read files which are not trusted, and that can be killed.

A decoder may crash, never end, or take all memory over a damaged or hostile file: files damaged at random
crashed GDCM within seconds, and 200 KB of JPEG kept Pillow busy for half a minute. Every request has a
limit of wall time, which the app enforces by killing the process, and of processor time and memory, which the
system does. A process that dies is replaced, and its file is refused with a sentence.

Places are shared between owners, the sessions of visitors: nobody takes the last one from others, and who has
the fewest is served first. What a process answers is not believed, see `brat.io.wire`.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any

import numpy as np

from brat.environment import CORES
from brat.io import wire
from brat.io.files import MAX_UNPACKED, Unpacked
from brat.io.scan import UnreadableScan

SECONDS = 7.0
"""Wall time of a request, and of all files of a drop together until their first answers, beyond what each of
them pays for. A process may use as much processor time."""

MEMORY = 900_000_000
"""Bytes that a process may take, beyond what it has when it starts; enforced on Linux. What lies unpacked in
the program itself counts too."""

LEAST_MEMORY = 200_000_000
"""Bytes that a request may take in any case: a slice needs less."""

PLACES = min(CORES, 3) + 1
"""Processes at most, but for one more where slow files have all of these."""

READY = 2
"""Processes that are kept running, of 90 MB each, so that nobody waits for the start of one while another is
busy with a file that never ends."""

STARTING = 60.0
"""Seconds that a process may take to start. They count for no file: on a busy machine it takes several."""

WAITING = 4
"""How many times as long as it works a file may take in all, where it gets on and waits for others."""

SLOW = 1.0
"""Seconds of processor time after which the process of a request lets all others go first."""

IDLE = 60.0
"""Seconds after which a process that nobody needs is ended, beyond those that are kept ready."""

HELD = 250_000_000
"""Bytes of series that a process keeps for the next slice; one series of any size is kept."""

RETURNED = 50_000_000
"""Bytes of a forgotten series from which its process ends, so that the memory is given back for certain."""

LISTING, PER_GIVEN = 0.05, 1e-7
"""Seconds that a file pays for being listed: by itself, and for each of its bytes as it was given."""

OPENING, PER_UNPACKED = 0.3, 5e-9
"""Seconds that it pays for its first answer: by itself, and for each of its bytes."""

PER_SLICE, PER_STORED = 0.05, 1e-6
"""Seconds that each further slice pays for, once it is answered: by itself, and for each byte that it has in
its file. JPEG 2000 takes a fifth of that. What a slice has in pixels says nothing: a thousand bytes may be 25
million of them."""

IN_VAIN = 2.0
"""Seconds that the files of a drop which cannot be read may take of what they pay for, all together. The rest
of the drop is left out then."""

LEAST_IN_VAIN = 0.002
"""Seconds that such a file takes of these at least: asking for it takes as long, though it may use none."""

FORGIVEN = 0.005
"""Of these, those that every file which is read gives back: between slices some are empty or damaged."""

OF_DROP, PER_PICTURE, PER_READ = 60.0, 0.01, 5e-7
"""Seconds that all files of a drop may take together, whatever each of them may, and those that it gets back
for each picture that was read and for each of its bytes: once where it is opened, and once as a slice. A
small JPEG takes 0.006 s, JPEG 2000 less than half of what its bytes give back. Slow files are small."""

owner: ContextVar[object] = ContextVar("owner", default=None)
"""Who asks: a visitor's session. The thread where nobody is named."""

_COMMAND = (sys.executable, "-m", "brat.io.worker")

_PASSED_ON = (
    "PATH",
    "LD_LIBRARY_PATH",
    "SYSTEMROOT",
    "TEMP",
    "TMP",
    "LANG",
    "LC_ALL",
    "COVERAGE_PROCESS_START",
)
"""Of the environment: a process that was taken over must find no secrets there."""

TOO_LONG = (
    "Reading this file was stopped: it asks for far more work than a scan of its size does. Export the scan "
    "again, or a part of it, and upload the new file."
)
TOO_MUCH_MEMORY = (
    "Reading this file was stopped: it asks for more memory than there is for one. Export it at a lower "
    "resolution, or a part of it."
)
TOO_LONG_WHILE_BUSY = (
    "Reading this file was stopped: it asks for much work, and the server has that of others to do. Export a "
    "part of it and upload that, or try again when less is going on."
)
TOGETHER_TOO_LONG = (
    "Reading this file was stopped: it, or what was given with it, asks for far more work than scans do. "
    "Give it by itself, or export it again."
)
LEFT_OUT = (
    "So much of what was given with this file cannot be read that the rest was left out. Give it without "
    "those files."
)
DROP_TOO_LONG = (
    "This was left out: what was given together has taken as much time as can be spent on it. Give this by "
    "itself."
)
TOO_BUSY = "Beside all that is being done here now this file got no turn in time. Try again in a moment."
BUSY_WITH_YOURS = (
    "Others that you gave ask for so much work that this file got no turn in time. Wait until they are done, "
    "then give it by itself."
)
DIED = (
    "Reading this file was stopped: its decoder broke down over it. The file is damaged, or made to do harm. "
    "Export the scan again and upload the new file."
)


class Stopped(UnreadableScan):
    """A request that took too much, or over which the process died."""


class Account:
    """What the reading of a file, or of all files of a drop, may still take, in seconds.

    Threads may share it.
    """

    def __init__(self, seconds: float | None = None, drop: Account | None = None, paid: float = 0.0) -> None:
        """Args:
        seconds: at first, and at most; `SECONDS` by default.
        drop: pays too, until `settle`.
        paid: how many of the seconds the drop has for this file alone.
        """
        self.owner = owner.get() or threading.get_ident()
        self._left = self._most = SECONDS if seconds is None else seconds
        self._drop, self._paid = drop, paid
        self._whole = drop
        self._used = self._in_vain = 0.0
        self._left_of_drop = OF_DROP
        self._lock = threading.Lock()

    def of_file(self, seconds: float, is_series: bool = False) -> Account:
        """What one file of the drop may take.

        Args:
            seconds: that it pays for, and has whatever the others took.
            is_series: it is a series, which single pictures that cannot be read do not leave out.

        Raises:
            Stopped: too much of the drop cannot be read.
        """
        with self._lock:
            if self._in_vain > (2 * IN_VAIN if is_series else IN_VAIN):
                raise Stopped(LEFT_OUT)
            self._left = min(self._most, max(self._left, 0) + seconds)
            return Account(self._left, self, seconds)

    @property
    def left(self) -> float:
        """Raises: Stopped: nothing is left."""
        left = min(self._left, self._whole._left_of_drop) if self._whole else self._left
        if left < _LEAST:
            raise Stopped(self.late)
        return left

    @property
    def late(self) -> str:
        """What is said once nothing is left."""
        if self._whole and self._whole._left_of_drop < self._left:
            return DROP_TOO_LONG
        return TOGETHER_TOO_LONG if self._most < SECONDS / 2 else TOO_LONG

    def spend(self, wall: float, processor: float | None = None) -> None:
        """Args:
        wall: seconds of wall time.
        processor: seconds of processor time, where it is known. A file is not to blame for what it waited
            for, but does not wait without end.
        """
        counted = wall if processor is None else max(processor, wall / WAITING)
        with self._lock:
            self._left -= counted
            self._used += counted
        if self._whole:
            with self._whole._lock:
                self._whole._left_of_drop -= counted
        if self._drop:
            self._drop.spend(wall, processor)

    def earn(self, seconds: float, size: float = 0.0) -> None:
        """A slice was answered, that paid for so many.

        Args:
            size: bytes that it has in its file.
        """
        with self._lock:
            self._left = min(self._most, self._left + seconds)
        if self._whole:
            with self._whole._lock:
                left = self._whole._left_of_drop + (PER_PICTURE if size else 0) + PER_READ * size
                self._whole._left_of_drop = min(OF_DROP, left)

    def settle(self, in_vain: bool = False) -> None:
        """Its first answer is there: what it takes from here on is its own affair.

        Args:
            in_vain: the answer is that it cannot be read.
        """
        if self._drop:
            with self._drop._lock:
                counted = min(max(self._used, LEAST_IN_VAIN), self._paid) if in_vain else -FORGIVEN
                self._drop._in_vain = max(self._drop._in_vain + counted, 0)
        self._drop = None


_LEAST = 0.05
"""Seconds, with less of which nothing is begun."""

_LOOKING = 0.1
"""Seconds from one look at what a process has used to the next."""


class Worker:
    """A process that answers one request after another, until it dies of one."""

    def __init__(self, command: Sequence[str] | None = None) -> None:
        """Args: command: starts another program that answers as `brat.io.worker.serve` does."""
        root = str(Path(__file__).resolve().parents[2])
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        # One thread each: there are several processes, and each thread takes memory.
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            command or _COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**environment, **threads, "PYTHONPATH": path},
            # A slice goes through at once, where the system's 64 KB would take many turns.
            pipesize=_PIPE,
        )
        self.holds: dict[str, int] = {}
        self.owner: object = None
        self.instead_for: object = None
        self.idle_since = time.monotonic()
        self.has_started = False
        self.gives_way = False

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def start(self) -> None:
        """Wait until it can be asked.

        Raises:
            Stopped: it does not start. It is dead afterwards.
        """
        if not self.has_started:
            with self._within(STARTING, TOO_BUSY) as (stream, _):
                wire.receive_reply(stream, 0)
            self.has_started = True

    def ask(
        self,
        fields: dict[str, Any],
        blobs: Sequence[bytes],
        seconds: float,
        processor: float | None = None,
        late: str = TOO_LONG,
    ) -> Iterator[tuple[dict[str, Any], list[np.ndarray]]]:
        """The answers to one request; the last one has `"end": true`.

        Args:
            seconds: of wall time that it may take. With every answer what it waited for is forgiven, up to
                `WAITING` times as long: on a busy server an archive of many files is none that never ends.
            processor: seconds of processor time that it may take; as many by default, but `SECONDS` at most.
            late: what is said where it takes longer.

        Raises:
            Stopped: it took longer, or the process died. It is dead afterwards.
        """
        self.start()
        with self._within(seconds, late) as (stream, gets_on):
            assert self._process.stdin
            limits = {
                "seconds": processor or min(seconds, SECONDS),
                "memory": max(MEMORY - Unpacked.total, 0),
                "holds": [*self.holds],
            }
            wire.send(self._process.stdin, fields | limits, blobs)
            while not (reply := wire.receive_reply(stream, MAX_UNPACKED))[0].get("end"):
                gets_on()
                yield reply
        # Out here: it often is a refusal, over which nothing is wrong with the process.
        yield reply

    @contextlib.contextmanager
    def _within(self, seconds: float, late: str) -> Iterator[tuple[IO[bytes], Callable[[], None]]]:
        """What it sends, and what to call with each answer. It is killed where that is not over in time, or
        not read to its end.

        Args:
            seconds: of wall time; see `ask` for what is forgiven.
            late: what is said then.

        Raises:
            Stopped: it was killed, or died.
        """
        over, is_late = threading.Event(), threading.Event()
        # Whichever comes first: what was answered in time is not killed while it answers the next one.
        ending = threading.Lock()
        spent = 0.0
        begun, used = time.monotonic(), self.processor_time()
        end, looked = begun + seconds, begun

        def gets_on() -> None:
            nonlocal end, looked
            now = time.monotonic()
            # Asking the system takes a moment.
            if now - looked > _LOOKING:
                looked, taken = now, self.processor_time()
                waited = now - begun - (taken - used) if taken else 0
                end = begun + min(seconds + waited, WAITING * seconds)

        def watch() -> None:
            nonlocal spent
            while not over.wait(min(SLOW, max(end - time.monotonic(), 0))):
                if time.monotonic() >= end:
                    spent = self.processor_time() - used
                    with ending:
                        if not over.is_set():
                            is_late.set()
                            self._process.kill()
                    return
                if not self.gives_way and self.processor_time() - used > SLOW:
                    self._give_way()

        threading.Thread(target=watch, name="watch", daemon=True).start()
        is_read = False
        try:
            assert self._process.stdout
            yield self._process.stdout, gets_on
            is_read = True
        except (OSError, EOFError) as error:
            self.close()
            if is_late.is_set():
                # A file is not to blame for what it waited for.
                if late == TOO_LONG and used + spent > 0 and spent < seconds / 2:
                    late = TOO_LONG_WHILE_BUSY if spent > SLOW else TOO_BUSY
                raise Stopped(late) from error
            raise Stopped(late if self._process.returncode in _OF_TIME else DIED) from error
        except wire.BadReplyError as error:
            raise Stopped(DIED) from error
        finally:
            with ending:
                over.set()
            # Who does not want the rest of the answers leaves a stream that is of no use.
            if not is_read or is_late.is_set():
                self.close()

    def processor_time(self) -> float:
        """Seconds that it has used since it started; 0 where the system does not say so."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _give_way(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            os.setpriority(os.PRIO_PROCESS, self._process.pid, 19)
            self.gives_way = True

    def hold(self, key: str, size: int) -> None:
        """It keeps what it read, of so many bytes; what it kept before goes where that is too much."""
        self.holds[key] = size
        while len(self.holds) > 1 and sum(self.holds.values()) > HELD:
            del self.holds[next(iter(self.holds))]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if stream:
                    stream.close()


_PIPE = 1_000_000
"""Bytes that a pipe holds, where the system lets us say so."""

_OF_TIME = tuple(-getattr(signal, name) for name in ("SIGXCPU", "SIGPROF") if hasattr(signal, name))


class Pool:
    """The processes of this program; threads may share it."""

    def __init__(self, places: int = PLACES):
        self._places = places
        self._changed = threading.Condition()
        self._idle: list[Worker] = []
        self._busy: list[Worker] = []
        self._waiting: dict[int, tuple[object, str, bool]] = {}
        self._numbers = itertools.count()
        # Appended to by finalizers, which may run anywhere, in the middle of anything here too.
        self._forgotten: list[str] = []
        self._reaper: threading.Thread | None = None

    def warm(self) -> None:
        """Have processes ready, so that the first file need not wait for the start of one."""
        with self._changed:
            self._refill()
            self._watch()

    def _refill(self, ended_by: object = None) -> None:
        """Args: ended_by: whose process is replaced."""
        running = len(self._idle) + len(self._busy)
        wanted = READY if any(not worker.holds for worker in self._idle) else max(READY, running + 1)
        for _ in range(min(wanted, self._places) - running):
            worker = Worker()
            worker.instead_for = ended_by
            self._idle.append(worker)

    def ask(
        self,
        fields: dict[str, Any],
        blobs: Sequence[bytes],
        account: Account,
        key: str = "",
        held: bool = False,
    ) -> Iterator[tuple[dict[str, Any], list[np.ndarray]]]:
        """Have a process answer; waits for a place, which does not count as time of the file.

        Args:
            key: of what the process keeps, where it does; a process that has it is asked first.
            held: ask only a process that has it.

        Raises:
            Stopped: see `Worker.ask`; or the account is empty.
            KeyError: `held`, and no process has it.
        """
        seconds = account.left
        worker = self._take(account.owner, key, held)
        begun, used = None, 0.0
        try:
            worker.start()
            begun, used = time.monotonic(), worker.processor_time()
            for reply in worker.ask(fields, blobs, seconds, late=account.late):
                yield reply
                if key and not held and isinstance(size := reply[0].get("size"), int):
                    worker.hold(key, size)
        except Stopped as error:
            if str(error) == TOO_BUSY and self._is_kept_waiting_by(account.owner, worker):
                raise Stopped(BUSY_WITH_YOURS) from error
            raise
        finally:
            if begun is not None:
                wall, now = time.monotonic() - begun, worker.processor_time()
                # Of a process that was killed the system says nothing any more.
                account.spend(wall, now - used if now else None)
            self._put_back(worker)

    def _is_kept_waiting_by(self, who: object, worker: Worker) -> bool:
        """Whether another file of the same owner asks for much work at this time."""
        with self._changed:
            others = [one for one in self._busy if one is not worker and one.owner == who]
        return any(one.gives_way for one in others)

    def forget(self, key: str) -> None:
        """Nobody will ask for it any more."""
        self._forgotten.append(key)

    def close(self) -> None:
        """End all processes; the next request starts another one."""
        with self._changed:
            for worker in (*self._idle, *self._busy):
                worker.close()
            self._idle.clear()

    def _take(self, asking: object, key: str, held: bool) -> Worker:
        with self._changed:
            number = next(self._numbers)
            self._waiting[number] = asking, key, held
            try:
                while True:
                    self._tidy()
                    if held and not any(key in worker.holds for worker in (*self._idle, *self._busy)):
                        raise KeyError(key)
                    if self._next() == number:
                        worker = self._free(key, held, asking)
                        worker.owner = asking
                        self._busy.append(worker)
                        return worker
                    # Now and then too: a process that died while it was idle changes nothing here.
                    self._changed.wait(1)
            finally:
                del self._waiting[number]
                self._changed.notify_all()

    def _next(self) -> int | None:
        """The request that is to have a place now: of those for which there is one, that of the owner who has
        the fewest; nobody has all of them."""
        has = Counter(worker.owner for worker in self._busy)
        most = max(self._places - 1, 1)
        ready = [
            number
            for number, (who, key, held) in self._waiting.items()
            if has[who] < most and self._is_free(who, key, held, has[who] == 0)
        ]
        return min(ready, key=lambda number: (has[self._waiting[number][0]], number), default=None)

    def _is_free(self, who: object, key: str, held: bool, is_first: bool) -> bool:
        """Args: is_first: its owner has no place; where slow files have all of them there is one more."""
        if key and any(key in worker.holds for worker in self._idle):
            return True
        # Its own request to the same series is over soon, and opening it again is not.
        if held or (key and any(key in worker.holds and worker.owner == who for worker in self._busy)):
            return False
        if len(self._busy) < self._places:
            return True
        is_one_more = len(self._busy) == self._places
        return is_first and is_one_more and all(worker.gives_way for worker in self._busy)

    def _free(self, key: str, held: bool, asking: object) -> Worker:
        """An idle process that has it, or one that has nothing, or a new one, or at last any."""
        for worker in self._idle:
            if key and key in worker.holds:
                break
        else:
            empty = [worker for worker in self._idle if not worker.holds]
            if not empty and (not self._idle or len(self._busy) + len(self._idle) < self._places):
                return Worker()

            # The one that was used last: the others may end, or are still starting. Whose file ended a
            # process waits for the start of the next one: otherwise somebody else would.
            def rank(idle: Worker) -> tuple[bool, bool, float]:
                is_replacement = idle.instead_for is not None and idle.instead_for == asking
                return is_replacement and not idle.has_started, idle.has_started, idle.idle_since

            worker = max(empty or self._idle, key=rank)
        self._idle.remove(worker)
        return worker

    def _put_back(self, worker: Worker) -> None:
        with self._changed:
            self._busy.remove(worker)
            asked, worker.owner, worker.idle_since = worker.owner, None, time.monotonic()
            # One that gives way to others would keep the next file waiting.
            if worker.gives_way and not worker.holds:
                worker.close()
            if worker.is_alive:
                self._idle.append(worker)
                asked = None
            self._refill(asked)
            self._watch()
            self._changed.notify_all()

    def _tidy(self) -> None:
        later = []
        while self._forgotten:
            key = self._forgotten.pop()
            if any(key in worker.holds for worker in self._busy):
                later.append(key)
            for worker in [idle for idle in self._idle if key in idle.holds]:
                size = worker.holds.pop(key)
                # A small one goes with the next request.
                if not worker.holds and size >= RETURNED:
                    self._idle.remove(worker)
                    worker.close()
                    self._refill()
        self._forgotten += later
        for worker in [idle for idle in self._idle if not idle.is_alive]:
            self._idle.remove(worker)
            worker.close()

    def _watch(self) -> None:
        if self._reaper is None or not self._reaper.is_alive():
            self._reaper = threading.Thread(target=self._reap, name="reap", daemon=True)
            self._reaper.start()

    def _reap(self) -> None:
        while True:
            time.sleep(min(IDLE / 4, 15))
            with self._changed:
                self._tidy()
                late = time.monotonic() - IDLE
                for worker in sorted(self._idle, key=lambda idle: idle.idle_since):
                    if (
                        worker.idle_since < late
                        and len(self._idle) + len(self._busy) > READY
                        and not worker.holds
                    ):
                        self._idle.remove(worker)
                        worker.close()
                self._refill()


pool = Pool()


@atexit.register
def _close() -> None:
    pool.close()
