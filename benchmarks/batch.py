"""`brat batch` on one core and on two, beside the network alone on as many.

Each process decodes and reads on one core, and sends the driver nothing but numbers. The start of the
processes does not count: the clock runs from the first shard that is done to the last.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Measured, Row, stopwatch
from benchmarks.reading import bare_invoke
from benchmarks.slices import KINDS, as_file
from brat.batch.local import run
from brat.batch.manifest import plan, planned_files, rows_of, shards_of
from brat.batch.shard import ReadingProcess, read_shard
from brat.environment import CORES

SHARES = {"PNG": 0.62, "DICOM": 0.75}
"""Of cores x bare invoke, at least."""

_SHARD = 20


def rows(short: bool) -> Iterator[Row]:
    count, rounds = (200, 2) if short else (1_000, 5)
    invoke = stopwatch(bare_invoke(threads=1))
    with tempfile.TemporaryDirectory() as top:
        for kind, share in SHARES.items():
            folder = fill(Path(top) / kind, kind, count)
            rates: dict[int, list[float]] = {1: [], 2: []}
            floor = []
            for number in range(rounds):
                for processes in rates if CORES > 1 else (1,):
                    floor += [1000 / invoke() for _ in range(50)]
                    rates[processes].append(rate(folder, Path(top) / f"{kind}{number}{processes}", processes))
            bare = Measured(tuple(floor), "slices/s")
            one, two = (Measured(tuple(values), "slices/s") for values in rates.values())
            title = f"brat batch, {count:,} {kind} files of 512 x 512"
            yield Row(f"{title}, one process", one, "bare invoke, threads: 1", bare, {"share": share})
            if CORES > 1:
                twice = Measured(tuple(2 * value for value in floor), "slices/s")
                beside = "2 x bare invoke, threads: 1"
                yield Row(f"{title}, two processes", two, beside, twice, {"share": share})
                yield Row("The same, beside one process", two, "one process", one, {"share": 1.9})
        early, late = memory(folder, Path(top) / "memory")
        ours, theirs = Measured((late,), "MB"), Measured((early,), "MB")
        yield Row(
            f"Memory of a process after {count:,} files", ours, f"{_SHARD} files", theirs, {"times": 1.1}
        )


def fill(folder: Path, kind: str, count: int) -> Path:
    """A new folder with `count` files: 24 that differ, and hard links to them."""
    folder.mkdir()
    files = [folder / f"{number:05}{KINDS[kind]}" for number in range(count)]
    for number, file in enumerate(files):
        if number < 24:
            file.write_bytes(as_file(number, kind))
        else:
            os.link(files[number % 24], file)
    return folder


def rate(folder: Path, batch: Path, processes: int) -> float:
    """Slices per second of all processes together."""
    # The header of a sample says that it is derived.
    plan(batch, planned_files([str(folder)], every=True), every=True, shard_size=_SHARD)
    moments = []
    done = 0
    for _, count in run(batch, processes=processes):
        done += count
        moments.append(time.perf_counter())
    return (done - _SHARD) / (moments[-1] - moments[0])


def memory(folder: Path, batch: Path) -> tuple[float, float]:
    """Most memory resident of a reading process after its first shard and after all of them, MB."""
    plan(batch, planned_files([str(folder)], every=True), every=True, shard_size=_SHARD)
    with ReadingProcess() as process:
        peaks = []
        for shard in range(shards_of(batch)):
            read_shard(rows_of(batch, shard), process)
            peaks.append(_peak())
    return peaks[0], peaks[-1]


def _peak() -> float:
    tasks = Path("/proc/self/task").glob("*/children")
    children = [child for task in tasks for child in task.read_text().split()]
    (status,) = (
        Path(f"/proc/{child}/status").read_text()
        for child in children
        if b"brat.batch.process" in Path(f"/proc/{child}/cmdline").read_bytes()
    )
    return int(status.partition("VmHWM:")[2].split()[0]) / 2**10
