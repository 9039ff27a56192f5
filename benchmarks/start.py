"""A fresh process, from nothing to the first reading, beside one that reads with TensorFlow."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.machine import ROOT
from benchmarks.measure import Aim, Measured, Row, interleaved
from benchmarks.slices import as_png, make_slice

# The answer, and when it has been taken in here the most memory that was held.
_OURS = """
import sys
from brat.classifier import Classifier
from brat.preprocess import prepare
from brat.scans import read_scan
print(Classifier().predict(prepare(read_scan(sys.argv[1]).gray)[0]).label, flush=True)
from benchmarks.measure import peak_memory
print(peak_memory())
"""
_THEIRS = """
import sys
import keras
from brat import CLASSES, WEIGHTS
from brat.preprocess import prepare
from brat.scans import read_scan
model = keras.models.load_model(WEIGHTS / "model.keras")
model_input = prepare(read_scan(sys.argv[1]).gray)[0][None]
print(CLASSES[model.predict(model_input, verbose=0)["probabilities"].argmax()], flush=True)
from benchmarks.measure import peak_memory
print(peak_memory())
"""
SECONDS = "A fresh process: import to first reading"
MEMORY = "The same: most memory resident"


def rows(short: bool) -> Iterator[Row]:
    beside = "the same with TensorFlow"
    programs = {"ours": _OURS}
    if importlib.util.find_spec("tensorflow"):
        programs["theirs"] = _THEIRS
    missing = "" if "theirs" in programs else "not installed"
    memory = {name: [] for name in programs}
    answers = set()
    with tempfile.TemporaryDirectory() as folder:
        scan = Path(folder) / "scan.png"
        scan.write_bytes(as_png(make_slice(0)))

        def run(name: str) -> float:
            seconds, answer, peak = _first_reading(programs[name], scan)
            answers.add(answer)
            memory[name].append(peak)
            return seconds

        functions = {name: lambda name=name: run(name) for name in programs}
        seconds = interleaved(3 if short else 7, "s", functions)
    if len(answers) > 1:
        raise RuntimeError(f"the two do not read the scan alike: {answers}")
    peaks = {name: Measured(tuple(of), "MB") for name, of in memory.items()}
    # The ratios are those of the two limits to what TensorFlow takes at best, 5 s and 730 MB.
    aims = Aim("value", 0.8), Aim("ratio", 0.16)
    yield Row(SECONDS, seconds["ours"], beside, seconds.get("theirs"), aims, missing)
    aims = Aim("value", 150), Aim("ratio", 0.2)
    yield Row(MEMORY, peaks["ours"], beside, peaks.get("theirs"), aims, missing)


def _first_reading(program: str, scan: Path) -> tuple[float, str, float]:
    """Seconds to the answer, the answer, and MB."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(scan)],
        cwd=ROOT,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    answer = process.stdout.readline().strip()
    seconds = time.perf_counter() - begun
    rest, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(errors)
    return seconds, answer, float(rest)
