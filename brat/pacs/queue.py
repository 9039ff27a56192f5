"""The queue of a router, on disk: series as they arrive, and what became of each. A crash loses and repeats
nothing.

A folder for each series holds

- `slices/`: its instances, each whole, as what is being written lies in `incoming/` until it is on the disk;
- `results/`: the objects that were made of it, all of them or none, as they are made in a folder beside it;
- `sent/`: the results that the archive has taken, each moved here once it has;
- `gone/`: for a moment, the instances of a series that was done with long ago, until they are deleted;
- `state.json`: what is known of the series, replaced as a whole.

An object that the archive took just before a crash is sent once more, under its own UID, so the archive keeps
one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from brat.pacs.archive import is_uid

WAITING, LEFT_OUT, READ, SENT, FAILED = "waiting", "left out", "read", "sent", "failed"
STATES = (WAITING, LEFT_OUT, READ, SENT, FAILED)
"""Of a series: arriving or to be read; not one that is read; read, to be sent, as often as it takes; sent;
cannot be read."""


_WORK = ("slices", "results")
"""Folders without which there is nothing to do for a series."""

_HELD = ("gone", "results", "sent")
"""Folders that are deleted in time, once `slices` has become `gone`."""


@dataclass(frozen=True)
class State:
    """What became of a series.

    Attributes:
        study, series: its UIDs.
        state: one of `STATES`.
        why: the choice, or what went wrong.
        attempts: how often sending has failed, and `retry`: when it is tried next, seconds since 1970.
        instances: how many were read.
        reports: of each report that was sent, series, instance and SOP class UID.
    """

    study: str
    series: str
    state: str = WAITING
    why: str = ""
    attempts: int = 0
    retry: float = 0.0
    instances: int = 0
    reports: list[list[str]] = field(default_factory=list)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else opens the queue in a folder meanwhile: it would delete what is just arriving, and read all
    of it a second time. Not every system can say so.

    Raises:
        ValueError: another process works at it.
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as held:
        if os.name == "posix":
            import fcntl

            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ValueError(
                    f"Another router works at the queue in {folder}. End it, or name another folder with "
                    "--queue."
                ) from error
        yield


class Queue:
    """See the module. Several threads may put; one process works at it, see `alone`."""

    def __init__(self, folder: str | Path):
        """Open a queue.

        Args:
            folder: made where there is none.

        Raises:
            OSError: it cannot be written.
        """
        self.folder = Path(folder)
        # What arrives is not to be taken for what is old.
        self._filing = threading.Lock()
        self._incoming = self.folder / "incoming"
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._incoming.mkdir(parents=True)
        for place in self._folders():
            # Of a crash while results were made.
            shutil.rmtree(place / "making", ignore_errors=True)

    def put(self, study: str, series: str, instance: str, content: bytes) -> None:
        """Take an instance. When this returns, it is on the disk.

        Raises:
            ValueError: a UID is none.
            OSError: the disk is full or not there.
        """
        if not all(map(is_uid, (study, series, instance))):
            raise ValueError("An instance without valid UIDs of study, series and instance cannot be filed.")
        # A number of its own: a sender may send one instance twice at a time.
        arriving = self._incoming / f"{instance}-{secrets.token_hex(4)}"
        with arriving.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        place = self.folder / hashlib.sha256(f"{study} {series}".encode()).hexdigest()[:24]
        slices = place / "slices"
        with self._filing:
            slices.mkdir(parents=True, exist_ok=True)
            if not (place / "state.json").exists():
                self._write(place, State(study, series))
            arriving.replace(slices / f"{instance}.dcm")
            _sync(slices)

    def states(self) -> list[State]:
        """Of every series."""
        return [state for _, state in self._entries()]

    def now(self, state: State) -> State:
        """What is known now of a series."""
        return self._read(self._place(state))

    def due(self, settle: float, now: float | None = None) -> list[State]:
        """Series with something to do.

        Args:
            settle: seconds without a new instance after which a series is taken to be whole.
            now: seconds since 1970.
        """
        now = time.time() if now is None else now
        due = []
        for place, state in self._entries(_WORK):
            files = self._slices(place)
            if state.state == READ:
                if now >= state.retry:
                    due.append(state)
            # Of a series that was done instances have come late: all of it is read again.
            elif files and (state.state == WAITING or len(files) > state.instances):
                newest = max(file.stat().st_mtime for file in files)
                if now - newest >= settle:
                    due.append(state)
        return due

    def slices(self, state: State) -> list[Path]:
        """The files of a series."""
        return self._slices(self._place(state))

    def finish(self, state: State, kind: str, why: str, instances: int) -> None:
        """A series is not read, or cannot be."""
        self._write(self._place(state), replace(state, state=kind, why=why, instances=instances))

    def made(self, state: State, results: dict[str, bytes], instances: int) -> None:
        """What was made of a series: from now on it is to be sent, and never made again."""
        place = self._place(state)
        making = place / "making"
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir()
        for name, content in results.items():
            with (making / f"{name}.dcm").open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        _sync(making)
        shutil.rmtree(place / "results", ignore_errors=True)
        shutil.rmtree(place / "sent", ignore_errors=True)
        making.replace(place / "results")
        _sync(place)
        self._write(place, replace(state, state=READ, why="", attempts=0, retry=0.0, instances=instances))

    def results(self, state: State) -> list[Path]:
        """The results of a series that are not sent yet, the report last: it refers to the others."""
        return sorted((self._place(state) / "results").glob("*.dcm"))

    def report(self, state: State) -> Path:
        """The report, once it is sent."""
        return self._place(state) / "sent" / "sr.dcm"

    def sent(self, state: State, file: Path) -> None:
        """The archive has one of the results."""
        target = self._place(state) / "sent"
        target.mkdir(exist_ok=True)
        file.replace(target / file.name)
        _sync(target)

    def done(self, state: State, report: list[str]) -> None:
        """All results are sent."""
        reports = [*state.reports, report]
        self._write(self._place(state), replace(state, state=SENT, why="", reports=reports))

    def again(self, state: State, why: str, now: float | None = None) -> State:
        """Sending failed: it is tried again after a minute, then two, then four, up to an hour."""
        now = time.time() if now is None else now
        wait = min(60 * 2 ** min(state.attempts, 6), 3600)
        later = replace(state, why=why, attempts=state.attempts + 1, retry=now + wait)
        self._write(self._place(state), later)
        return later

    def prune(self, keep: float, now: float | None = None) -> None:
        """Delete instances and results of series that were done with so many seconds ago; the states stay.

        Those of a series that could not be read stay seven times as long, for somebody to look at. What has
        come since a series was done with is new, and stays.
        """
        now = time.time() if now is None else now
        for place, state in self._entries(("slices", *_HELD)):
            if state.state not in (SENT, LEFT_OUT, FAILED):
                continue
            stays = 7 * keep if state.state == FAILED else keep
            if now - (place / "state.json").stat().st_mtime <= stays:
                continue
            with self._filing:
                if len(self._slices(place)) > state.instances:
                    continue
                if (place / "slices").exists():
                    shutil.rmtree(place / "gone", ignore_errors=True)
                    (place / "slices").replace(place / "gone")
                if state.instances:
                    self._write(place, replace(state, instances=0), keep_time=True)
            for name in _HELD:
                shutil.rmtree(place / name, ignore_errors=True)

    def _place(self, state: State) -> Path:
        return self.folder / hashlib.sha256(f"{state.study} {state.series}".encode()).hexdigest()[:24]

    def _folders(self) -> list[Path]:
        return [
            place for place in sorted(self.folder.iterdir()) if place != self._incoming and place.is_dir()
        ]

    def _entries(self, holding: Collection[str] = ()) -> Iterator[tuple[Path, State]]:
        """Args: holding: only series with one of these folders: the others are looked at every second."""
        for place in self._folders():
            if holding and not any((place / name).exists() for name in holding):
                continue
            # A crash between making the folder and writing this leaves a folder without an instance.
            with contextlib.suppress(FileNotFoundError):
                yield place, self._read(place)

    @staticmethod
    def _read(place: Path) -> State:
        return State(**json.loads((place / "state.json").read_text(encoding="utf-8")))

    @staticmethod
    def _slices(place: Path) -> list[Path]:
        return sorted((place / "slices").glob("*.dcm"))

    @staticmethod
    def _write(place: Path, state: State, keep_time: bool = False) -> None:
        target = place / "state.json"
        before = target.stat() if keep_time else None
        arriving = place / f"state-{secrets.token_hex(4)}"
        with arriving.open("w", encoding="utf-8") as stream:
            json.dump(asdict(state), stream)
            stream.flush()
            os.fsync(stream.fileno())
        arriving.replace(target)
        if before:
            os.utime(target, (before.st_atime, before.st_mtime))
        _sync(place)


def _sync(folder: Path) -> None:
    """Let what was renamed in a folder outlast a loss of power; not every system can."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
