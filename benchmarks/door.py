"""Uploads read in a process that can be killed, beside the same in the program's own."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from benchmarks.measure import Measured, Row
from benchmarks.slices import make_slice
from brat.io import door, intake
from brat.io.files import File
from brat.io.samples import load_samples
from brat.io.workers import pool
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


def _seconds(reader: Reader, group: Callable, load: Callable, file: File) -> float:
    begun = time.perf_counter()
    (item,) = group([file])
    reader.read(np.asarray(load(item).gray))
    return time.perf_counter() - begun
