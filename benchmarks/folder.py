"""`brat predict` over a folder, beside the network alone on every core.

The difference is mostly work, not waiting: the core that reads a slice also decodes it, frames it and runs
the out-of-distribution check, see the first table. Threads hold Python's lock for little of that. Separate
processes were only a few per cent faster on two cores. The network reads slices in a batch no faster than one
after another.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from benchmarks.measure import Measured, Row, fresh_process, stopwatch
from benchmarks.reading import bare_invoke
from benchmarks.slices import fill
from brat.environment import CORES

_PROGRAM = """
import sys
from brat.cli import main
if main(["predict", sys.argv[1], "--json"]): sys.exit("a scan was not read")
"""
PARTS = 10
LONGEST = 200
"""Seconds for the large folder. On a slow machine it holds only as many files as can be read in that time."""


def rows(short: bool) -> Iterator[Row]:
    few, many = (100, 400) if short else (1_000, 20_000)
    invoke = stopwatch(bare_invoke(threads=1))
    with tempfile.TemporaryDirectory() as folder:
        floor = [CORES * 1000 / invoke() for _ in range(200)]
        rates, small = predict(Path(folder) / "small", few)
        many = max(few, min(many, round(LONGEST * sum(rates) / PARTS)))
        rates, large = predict(Path(folder) / "large", many)
        floor += [CORES * 1000 / invoke() for _ in range(200)]
    title = f"brat predict, a folder of {many:,} PNG, JPEG and DICOM files"
    ours, theirs = Measured(tuple(rates), "slices/s"), Measured(tuple(floor), "slices/s")
    yield Row(title, ours, f"{CORES} cores x bare invoke, threads: 1", theirs, {"share": 0.8})
    ours, theirs = Measured((large,), "MB"), Measured((small,), "MB")
    yield Row("The same: most memory resident", ours, f"{few:,} files", theirs, {"times": 1.1})


def predict(folder: Path, count: int) -> tuple[list[float], float]:
    """Slices per second in each tenth of a run without its start, and its peak memory in MB."""
    fill(folder, count)
    moments, lines, peak = fresh_process(_PROGRAM, folder)
    if len(lines) != count:
        raise RuntimeError(f"{len(lines)} readings of {count} scans")
    cuts = [round(part * (count - 1) / PARTS) for part in range(PARTS + 1)]
    return [(end - begin) / (moments[end] - moments[begin]) for begin, end in pairwise(cuts)], peak
