"""A fresh process from its start to its first reading, beside a process that reads with TensorFlow."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import Measured, Row, fresh_process, installed, interleaved
from benchmarks.slices import as_file

_SCAN = """
import sys
from brat.io.read import read_scan
gray = read_scan(sys.argv[1]).gray
"""
_OURS = """
from brat.model.reader import Reader
print(Reader().read(gray).prediction.label, flush=True)
"""
_THEIRS = """
import keras
from brat.classes import CLASSES
from brat.environment import WEIGHTS
from brat.model.preprocess import prepare
model_input, _ = prepare(gray)
answer = keras.models.load_model(WEIGHTS / "model.keras").predict(model_input[None], verbose=0)
print(CLASSES[answer["probabilities"].argmax()], flush=True)
"""


def rows(short: bool) -> Iterator[Row]:
    programs = {"ours": _SCAN + _OURS}
    if installed("tensorflow"):
        programs["theirs"] = _SCAN + _THEIRS
    memory = {name: [] for name in programs}
    answers = set()
    with tempfile.TemporaryDirectory() as folder:
        scan = Path(folder) / "scan.png"
        scan.write_bytes(as_file(0, "PNG"))

        def first_reading(name: str) -> float:
            (seconds,), lines, peak = fresh_process(programs[name], scan)
            answers.update(lines)
            memory[name].append(peak)
            return seconds

        functions = {name: lambda name=name: first_reading(name) for name in programs}
        seconds = interleaved(3 if short else 5, "s", functions)
    if len(answers) > 1:
        raise RuntimeError(f"the two read the same scan as {' and '.join(answers)}")
    peaks = {name: Measured(tuple(values[1:]), "MB") for name, values in memory.items()}
    missing = "" if "theirs" in programs else "not installed"
    # Each ratio's limit is the value's limit divided by TensorFlow's best value: 5 s and 730 MB.
    for title, measured, aims in (
        ("A fresh process: import to first reading", seconds, {"value": 0.8, "times": 0.16}),
        ("The same: most memory resident", peaks, {"value": 150, "times": 0.2}),
    ):
        yield Row(title, measured["ours"], "with TensorFlow", measured.get("theirs"), aims, missing)
