"""A fresh process, from nothing to the first reading, beside one that reads with TensorFlow."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import ROOT
from benchmarks.explanation import installed
from benchmarks.measure import Measured, Row, interleaved
from benchmarks.slices import as_file, make_slice

_PROGRAM = """
import sys
{imports}
from brat.preprocess import prepare
from brat.scans import read_scan
model_input, _ = prepare(read_scan(sys.argv[1]).gray)
print({answer}, flush=True)
from benchmarks.measure import peak_memory
print(peak_memory())
"""
PROGRAMS = {
    "ours": _PROGRAM.format(
        imports="from brat.classifier import Classifier", answer="Classifier().predict(model_input).label"
    ),
    "theirs": _PROGRAM.format(
        imports="import keras\nfrom brat import CLASSES, WEIGHTS\n"
        "predict = keras.models.load_model(WEIGHTS / 'model.keras').predict",
        answer="CLASSES[predict(model_input[None], verbose=0)['probabilities'].argmax()]",
    ),
}


def rows(short: bool) -> Iterator[Row]:
    programs = PROGRAMS if installed("tensorflow") else {"ours": PROGRAMS["ours"]}
    memory = {name: [] for name in programs}
    answers = set()
    with tempfile.TemporaryDirectory() as folder:
        scan = Path(folder) / "scan.png"
        scan.write_bytes(as_file(make_slice(0), "PNG"))

        def run(name: str) -> float:
            seconds, answer, peak = first_reading(programs[name], scan)
            answers.add(answer)
            memory[name].append(peak)
            return seconds

        functions = {name: lambda name=name: run(name) for name in programs}
        seconds = interleaved(3 if short else 7, "s", functions)
    if len(answers) > 1:
        raise RuntimeError(f"the two read the same scan as {' and '.join(answers)}")
    peaks = {name: Measured(tuple(of), "MB") for name, of in memory.items()}
    # The limit of each ratio is that of the value to TensorFlow's at its best, 5 s and 730 MB.
    for what, measured, aims in (
        ("A fresh process: import to first reading", seconds, {"value": 0.8, "times": 0.16}),
        ("The same: most memory resident", peaks, {"value": 150, "times": 0.2}),
    ):
        missing = "" if "theirs" in programs else "not installed"
        yield Row(what, measured["ours"], "with TensorFlow", measured.get("theirs"), aims, missing)


def first_reading(program: str, scan: Path) -> tuple[float, str, float]:
    """Seconds until a program's first line, that line, and the MB on its second."""
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", program, scan],
        cwd=ROOT,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        answer = process.stdout.readline().strip()
        seconds = time.perf_counter() - begun
        rest, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(errors)
    return seconds, answer, float(rest)
