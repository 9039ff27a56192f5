"""From the bytes of a file to the slice with its map, beside the network's arithmetic alone.

Each step is also measured by itself. Decoding a PNG takes about half of the time outside the network: PNG
stores each row as differences from its neighbours, which are added up pixel by pixel. No decoder that was
tried is faster by a quarter. Every other step is a few passes over the pixels, and no step stands out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from benchmarks.measure import Row, interleaved, stopwatch
from benchmarks.slices import as_file, make_slice
from brat.classes import CLASSES
from brat.environment import CORES, WEIGHTS
from brat.io.read import read_scan
from brat.model.explain import blend, grad_cam, onto_scan
from brat.model.preprocess import frame, prepare, to_input
from brat.model.reader import Reader

THREADS = min(4, CORES)
"""The number that `brat.model.classifier.Classifier` uses by default."""

LIMITS = {"PNG": 2.0, "JPEG": 2.5, "DICOM": 2.5}


def rows(short: bool) -> Iterator[Row]:
    reader = Reader()
    functions = {kind: stopwatch(overlay, as_file(0, kind), reader) for kind in LIMITS}
    functions["floor"] = stopwatch(bare_invoke(THREADS))
    functions |= {name: stopwatch(step) for name, step in steps(reader).items()}
    measured = interleaved(30 if short else 200, "ms", functions, warm_up=5)
    for kind, limit in LIMITS.items():
        check = " out-of-distribution check," if reader.detector else ""
        title = f"512 x 512 {kind}: bytes to reading,{check} four class maps, overlay"
        beside = f"bare LiteRT invoke, threads: {THREADS}"
        yield Row(title, measured[kind], beside, measured["floor"], {"times": limit})
    for name in list(measured)[len(LIMITS) + 1 :]:
        yield Row(f"Of which {name}", measured[name], beside, measured["floor"])


def steps(reader: Reader) -> dict[str, Callable[[], object]]:
    """The steps of `overlay` other than the prediction, by name."""
    framed, geometry = frame(make_slice(0))
    prediction = reader.classifier.predict(to_input(framed))
    functions = {f"{kind} to pixels": partial(read_scan, as_file(0, kind)) for kind in LIMITS}
    functions["head located, cropped and levelled"] = partial(frame, make_slice(0))
    if reader.detector:
        functions["out-of-distribution check"] = partial(reader.detector.judge, prediction.appearance)
    cam = grad_cam(prediction, prediction.label)
    functions["map laid over the scan"] = lambda: blend(make_slice(0), onto_scan(cam, geometry), opacity=0.6)
    return functions


def overlay(data: bytes, reader: Reader) -> np.ndarray:
    """All that the library does for a scan on the Review page: a file's bytes -> the map on the scan."""
    scan = read_scan(data)
    reading = reader.read(scan.gray)
    maps = {label: grad_cam(reading.prediction, label) for label in CLASSES}
    return blend(scan.gray, onto_scan(maps[reading.prediction.label], reading.geometry), opacity=0.6)


def bare_invoke(threads: int) -> Callable[[], None]:
    """The shipped model's `invoke`, on an input that is already in place."""
    interpreter = Interpreter(str(WEIGHTS / "model.tflite"), num_threads=threads)
    interpreter.allocate_tensors()
    model_input, _ = prepare(make_slice(0))
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], model_input[np.newaxis])
    return interpreter.invoke
