"""Uploads read in a process that can be killed: beside our own process, and beside a hostile file."""

from __future__ import annotations

import contextlib
import io
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from benchmarks.measure import Measured, Row
from benchmarks.slices import make_slice
from brat.io import door, intake
from brat.io.files import File
from brat.io.samples import load_samples
from brat.io.scan import UnreadableScan
from brat.io.workers import owner, pool
from brat.model.reader import Reader


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
    alone, beside = _beside_a_hostile_file(reader, files["PNG"], 2 if short else 5)
    yield Row(
        "First answer of a PNG slice while another session reads a file that never ends",
        Measured(beside, "ms"),
        "while nobody does",
        Measured(alone, "ms"),
        {"times": 2},
    )


def _beside_a_hostile_file(
    reader: Reader, file: File, times: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Milliseconds alone and beside it, in turn."""
    alone, beside = [], []
    hostile = intake.Item("endless.jpg", (File("endless.jpg", _endless_jpeg()),))

    def read() -> None:
        owner.set("another session")
        with contextlib.suppress(UnreadableScan):
            door.load(hostile)

    for _ in range(times):
        alone += [1000 * _seconds(reader, door.group_into_series, door.load, file) for _ in range(10)]
        thread = threading.Thread(target=read)
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
