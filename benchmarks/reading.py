"""From a file's bytes to the picture with its map, beside the network's arithmetic alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.machine import CORES
from benchmarks.measure import Aim, Row, interleaved, stopwatch
from benchmarks.slices import WRITERS, make_slice
from brat import CLASSES, WEIGHTS
from brat.classifier import Classifier
from brat.explain import blend, grad_cam, onto_scan
from brat.preprocess import prepare
from brat.scans import read_scan

AIMS = {"PNG": 2.0, "JPEG": 2.5, "DICOM": 2.5}


def rows(short: bool) -> Iterator[Row]:
    threads = min(4, CORES)
    answer = answerer(Classifier(threads=threads))
    functions = {"floor": stopwatch(bare_invoke(threads))}
    for kind, write in WRITERS.items():
        functions[kind] = stopwatch(lambda data=write(make_slice(0)): answer(data))
    measured = interleaved(30 if short else 200, "ms", functions, warm_up=5)
    for kind, limit in AIMS.items():
        yield Row(
            f"512 x 512 {kind}: bytes to reading, four class maps and overlay",
            measured[kind],
            f"bare LiteRT invoke, {threads} threads",
            measured["floor"],
            (Aim("ratio", limit),),
        )


def answerer(classifier: Classifier) -> Callable[[bytes], np.ndarray]:
    """All that the Review page shows of a scan, by the library alone: a file's bytes -> the overlay."""

    def answer(data: bytes) -> np.ndarray:
        scan = read_scan(data)
        model_input, geometry = prepare(scan.gray)
        prediction = classifier.predict(model_input)
        maps = {label: grad_cam(prediction, label) for label in CLASSES}
        return blend(scan.gray, onto_scan(maps[prediction.label], geometry), 0.6)

    return answer


def bare_invoke(threads: int) -> Callable[[], None]:
    """The shipped model's `invoke` on an input that is already in place."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(WEIGHTS / "model.tflite"), num_threads=threads)
    interpreter.allocate_tensors()
    model_input, _ = prepare(make_slice(0))
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], model_input[np.newaxis])
    # Not the method itself: LiteRT refuses to run while anything else holds its interpreter.
    return lambda: interpreter.invoke()
