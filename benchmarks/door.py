"""Uploads read in a process that can be killed: beside our own process, and beside a hostile file."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import ROOT
from benchmarks.measure import Measured, Row
from benchmarks.slices import make_slice
from brat.environment import CORES
from brat.io import door, intake
from brat.io.files import File
from brat.io.samples import load_samples
from brat.io.scan import UnreadableScan
from brat.io.workers import owner, pool
from brat.model.pool import Readers
from brat.model.reader import Reader
from brat.model.worklist import Worklist
from brat.serve.readings import read_file


def rows(short: bool) -> Iterator[Row]:
    buffer = io.BytesIO()
    Image.fromarray(make_slice(0)).save(buffer, "PNG")
    dicom = next(sample.file for sample in load_samples() if sample.file.suffix == ".dcm")
    files = {"PNG": File("slice.png", buffer.getvalue()), "DICOM": File(dicom.name, dicom.read_bytes())}
    reader = Reader()
    pool.warm()
    for format, file in files.items():
        ours, theirs = [], []
        # In turn, so that what else the machine does meets both.
        for turn in range(12 if short else 60):
            taken = [
                _seconds(reader, module.group_into_series, module.load, file) for module in (door, intake)
            ]
            # The first of each finds cold caches.
            if turn > 1:
                ours.append(1000 * taken[0])
                theirs.append(1000 * taken[1])
        yield Row(
            f"First answer of a {format} slice, warm: listed, decoded and read by the model",
            Measured(tuple(ours), "ms"),
            "in the program's own process",
            Measured(tuple(theirs), "ms"),
            {"times": 1.2},
        )
    for door_name, take in DOORS.items():
        alone, beside = _beside_a_hostile_file(take, reader, files["PNG"], 2 if short else 5)
        yield Row(
            f"First answer of a PNG slice while {door_name} reads a file that never ends",
            Measured(beside, "ms"),
            "while nobody does",
            Measured(alone, "ms"),
            {"times": 2},
        )


def _in_review(file: File) -> None:
    owner.set("another session")
    for item in door.group_into_series([file]):
        with contextlib.suppress(UnreadableScan):
            door.load(item)


def _in_the_worklist(file: File) -> None:
    with ThreadPoolExecutor(2 * CORES) as threads:
        work = Worklist(Readers(), threads)
        work.add(lambda: door.group_into_series([file]))
        work.wait()
        work.close()


def _in_the_api(file: File) -> None:
    owner.set("another key")
    assert isinstance(file.source, bytes)
    with contextlib.suppress(UnreadableScan):
        read_file(file.name, file.source, Readers(), overlays=False, report=False)


def _in_predict(file: File) -> None:
    assert isinstance(file.source, bytes)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file.name
        path.write_bytes(file.source)
        command = [sys.executable, "-c", "import sys; from brat.cli import main; sys.exit(main())"]
        subprocess.run([*command, "predict", str(path)], cwd=ROOT, capture_output=True, check=False)


DOORS = {
    "Review": _in_review,
    "the Worklist": _in_the_worklist,
    "the API": _in_the_api,
    "brat predict": _in_predict,
}
"""What reads a file, and refuses it."""


def _beside_a_hostile_file(
    take: Callable[[File], None], reader: Reader, file: File, times: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Milliseconds alone and beside it, in turn."""
    alone, beside = [], []
    hostile = File("endless.jpg", _endless_jpeg())
    for _ in range(times):
        alone += [1000 * _seconds(reader, door.group_into_series, door.load, file) for _ in range(10)]
        thread = threading.Thread(target=take, args=(hostile,))
        thread.start()
        while thread.is_alive():
            beside.append(1000 * _seconds(reader, door.group_into_series, door.load, file))
        # The process that was killed is replaced.
        time.sleep(5)
    return tuple(alone), tuple(beside)


def _endless_jpeg() -> bytes:
    """A progressive JPEG file that repeats its last scan, over all of 4,000 x 4,000 pixels."""
    buffer = io.BytesIO()
    Image.new("L", (4000, 4000), 90).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * 2000 + b"\xff\xd9"


def _seconds(reader: Reader, group: Callable, load: Callable, file: File) -> float:
    begun = time.perf_counter()
    (item,) = group([file])
    reader.read(np.asarray(load(item).gray))
    return time.perf_counter() - begun
