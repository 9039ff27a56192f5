"""`brat predict` over a folder, beside what the network alone would read with every core at it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.machine import CORES, ROOT
from benchmarks.measure import Aim, Measured, Row, figure
from benchmarks.reading import bare_invoke
from benchmarks.slices import fill

_PROGRAM = """
import sys
from benchmarks.measure import peak_memory
from brat.cli import main
status = main(["predict", sys.argv[1], "--json"])
print(peak_memory())
sys.exit(status)
"""
PARTS = 10
LONGEST = 200
"""Seconds for the large folder: on a slow machine it holds as many files as are read in that time."""


def rows(short: bool) -> Iterator[Row]:
    few, many = (100, 400) if short else (1_000, 20_000)
    invoke = bare_invoke(threads=1)
    with tempfile.TemporaryDirectory() as folder:
        floor = [_rate(invoke) for _ in range(PARTS)]
        small, small_peak = _predict(Path(folder) / "small", few)
        floor += [_rate(invoke) for _ in range(PARTS)]
        many = max(few, min(many, round(LONGEST * sum(small) / PARTS)))
        large, large_peak = _predict(Path(folder) / "large", many)
        floor += [_rate(invoke) for _ in range(PARTS)]
    yield Row(
        f"brat predict, a folder of {many:,} PNG, JPEG and DICOM files",
        Measured(tuple(large), "slices/s"),
        f"{CORES} cores x bare invoke, one thread",
        Measured(tuple(CORES * rate for rate in floor), "slices/s"),
        (Aim("ratio", 0.8, least=True),),
    )
    yield Row(
        f"The same: most memory resident, {many:,} files",
        Measured((large_peak,), "MB"),
        f"{figure(few)} files",
        Measured((small_peak,), "MB"),
        (Aim("ratio", 1.1),),
    )


def _rate(invoke: Callable[[], None], count: int = 50) -> float:
    begun = time.perf_counter()
    for _ in range(count):
        invoke()
    return count / (time.perf_counter() - begun)


def _predict(folder: Path, count: int) -> tuple[list[float], float]:
    """Slices a second in each tenth of a run, its start left out, and the most memory it held in MB."""
    fill(folder, count)
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    moments = []
    for line in process.stdout:
        if not line.startswith("{"):
            peak = float(line)
            break
        moments.append(time.perf_counter())
        if "error" in (record := json.loads(line)):
            raise RuntimeError(record["error"])
    if process.wait() or len(moments) != count:
        raise RuntimeError(f"brat predict ended with {process.returncode} after {len(moments)} of {count} scans")
    cuts = [round(part * (count - 1) / PARTS) for part in range(PARTS + 1)]
    pairs = zip(cuts, cuts[1:], strict=False)
    return [(end - begin) / (moments[end] - moments[begin]) for begin, end in pairs], peak
