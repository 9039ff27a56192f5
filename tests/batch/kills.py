"""A batch whose processes are killed in the middle, beside one process that nobody kills.

`python -m tests.batch.kills --files 20000`; the suite does the same with a few hundred.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.slices import as_file
from tests.factories.paths import ROOT

DISTINCT = 300
"""Pictures and slices that differ; the other files have their pixels again."""

SERIES = 20
"""Slices of a DICOM series."""

_UID = "1.2.826.0.1.3680043.8.498.1{:09}.1{:05}"


def fill(folder: Path, count: int) -> None:
    """A new folder: of `count` files one half is PNG, and one half DICOM in series of `SERIES` slices."""
    pictures, slices = (folder / name for name in ("pictures", "series"))
    pictures.mkdir(parents=True)
    distinct = min(DISTINCT, count) // 2
    for number in range(count // 2):
        file = pictures / f"{number:06}.png"
        if number < distinct:
            file.write_bytes(as_file(number, "PNG"))
        else:
            os.link(pictures / f"{number % distinct:06}.png", file)
    made = [_slice(number) for number in range(distinct)]
    for number in range(count - count // 2):
        series, place = divmod(number, SERIES)
        at = slices / f"{series:06}"
        at.mkdir(parents=True, exist_ok=True)
        data = made[number % distinct]
        # UIDs and place are as long as those that they take the place of.
        for old, new in {
            _UID.format(0, 0): _UID.format(series + 1, 0),
            _UID.format(0, 1): _UID.format(series + 1, place + 1),
            f"{900:06}": f"{place:06}",
        }.items():
            data = data.replace(old.encode(), new.encode(), 1)
        (at / f"{place:03}.dcm").write_bytes(data)


def _slice(number: int) -> bytes:
    from pydicom import dcmread
    from pydicom.filebase import DicomBytesIO

    dataset = dcmread(DicomBytesIO(as_file(number, "DICOM")))
    dataset.SeriesInstanceUID, dataset.SOPInstanceUID = _UID.format(0, 0), _UID.format(0, 1)
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = ["0", "0", f"{900:06}"]
    stream = DicomBytesIO()
    dataset.save_as(stream)
    return stream.getvalue()


def brat(*arguments: object) -> list[str]:
    """A command that works in a checkout, too."""
    return [
        sys.executable,
        "-c",
        "import sys; from brat.cli import main; sys.exit(main())",
        *map(str, arguments),
    ]


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def readers_of(pid: int) -> list[int]:
    """The reading processes of a driver."""
    return [child for child in children(pid) if b"brat.batch.process" in command_of(child)]


def done(batch: Path) -> dict[str, int]:
    """The shards that are done -> when their file was written."""
    return {file.name: file.stat().st_mtime_ns for file in (batch / "shards").glob("[0-9]*.parquet")}


def wait_for(what: Callable[[], bool], driver: subprocess.Popen[bytes] | None = None, limit: float = 1800):
    until = time.monotonic() + limit
    while not what():
        if time.monotonic() > until:
            raise TimeoutError
        if driver and driver.poll() is not None:
            raise RuntimeError(f"The driver has ended: {driver.communicate()}")
        time.sleep(0.02)


class Outcome(NamedTuple):
    """What came of it.

    Attributes:
        is_equal: the merged results are those of the one process, row for row and in the same order.
        rows, errors: of the results.
        shards: of the batch; kept: done when the driver was killed; kept_as_they_were: of these, not written
            again; read_after: that the second driver says it read.
        half_written: files that the killed processes left, after the merge.
        one, two: seconds of one process, and of two with the kills.
    """

    is_equal: bool
    rows: int
    errors: int
    shards: int
    kept: int
    kept_as_they_were: int
    read_after: int
    half_written: int
    one: float
    two: float


def try_it(top: Path, count: int, shard_size: int) -> Outcome:
    """Read `count` files with one process, and with two of which one and then the driver is killed."""
    fill(top / "in", count)
    one, two = top / "one", top / "two"
    _call("plan", one, top / "in", "--all", "--shard-size", shard_size)
    shutil.copytree(one, two)
    shards = int(_call("status", one).split()[2].replace(",", ""))

    begun = time.monotonic()
    _call("run", one, "--processes", 1)
    seconds_one = time.monotonic() - begun
    _call("merge", one, "--out", top / "one.parquet")

    begun = time.monotonic()
    # The worker at a quarter, the driver at a half.
    driver = subprocess.Popen(
        brat("batch", "run", two, "--processes", 2), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    wait_for(lambda: len(done(two)) >= shards // 4, driver)
    readers = readers_of(driver.pid)
    os.kill(readers[0], signal.SIGKILL)
    wait_for(lambda: len(done(two)) >= shards // 2, driver)
    readers += readers_of(driver.pid)
    driver.kill()
    driver.communicate()
    # What the driver left behind ends by itself.
    wait_for(lambda: not any(b"brat.batch.process" in command_of(pid) for pid in readers))
    kept = done(two)
    early = subprocess.run(
        brat("batch", "merge", two, "--out", top / "two.parquet"), cwd=ROOT, capture_output=True, text=True
    )
    if early.returncode != 2 or "shards are not done" not in early.stderr:
        raise RuntimeError(f"A half is merged as if it were the whole: {early}")
    said = _call("run", two, "--processes", 2)
    seconds_two = time.monotonic() - begun
    _call("merge", two, "--out", top / "two.parquet")

    now = done(two)
    expected, merged = (pq.read_table(top / f"{name}.parquet") for name in ("one", "two"))
    return Outcome(
        merged.equals(expected),
        merged.num_rows,
        pc.sum(pc.not_equal(merged["error"], "")).as_py(),
        shards,
        len(kept),
        sum(now[name] == at for name, at in kept.items()),
        int(said.split()[1].replace(",", "")),
        len(list((two / "shards").glob(".*"))),
        seconds_one,
        seconds_two,
    )


def _call(*arguments: object) -> str:
    run = subprocess.run(brat("batch", *arguments), cwd=ROOT, capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(run.stderr)
    return run.stdout


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.batch.kills", description=__doc__)
    parser.add_argument("--files", type=int, default=20_000, metavar="N")
    parser.add_argument("--shard-size", type=int, default=200, metavar="N", help="slices; default: 200")
    parser.add_argument("--in", type=Path, dest="top", metavar="DIR", help="with room for 0.4 MB a file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.top) as top:
        outcome = try_it(Path(top), options.files, options.shard_size)
    for name, value in outcome._asdict().items():
        print(f"{name}: {value:,.0f}" if isinstance(value, float) else f"{name}: {value}")
    return int(not outcome.is_equal or bool(outcome.errors))


if __name__ == "__main__":
    sys.exit(main())
