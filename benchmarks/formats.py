"""The model in formats with fewer bits per number: its speed, its size, its answers and its maps.

The slices are unseen by the model that reads them. The benchmark needs a collection and its cross-validation.

The model ships as float32. Its answers are those of the Keras model, and calibration, prediction sets and
the out-of-distribution check are fitted to them. float16 is smaller and as fast, but a few megabytes do not
matter beside the rest of the installation. Dynamic range is slower. int8 takes about half the time of
float32. Its accuracy is the same, as far as so few slices can tell, but it changes some answers, and every
map a little. In the app an answer is painted after more than a hundred milliseconds, so nobody would notice
the one or two that int8 saves. On a weak machine with large folders int8 may be worth it. Calibration,
prediction sets and the out-of-distribution check must then be fitted again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks import ROOT
from benchmarks.measure import Measured, Row, installed, interleaved, stopwatch
from brat.classes import CLASSES
from brat.data.index import FOLDS, IndexedSlice, read_index, split, without_near_duplicates
from brat.io.read import read_scan
from brat.model.classifier import Classifier, Prediction
from brat.model.explain import grad_cam
from brat.model.files import write_manifest
from brat.model.preprocess import prepare

INDEX = Path(os.environ.get("BRAT_DATA", ROOT.parent / "shared" / "data" / "index.csv"))
"""The index of the collection."""

RUNS = Path(os.environ.get("BRAT_RUNS", ROOT / "runs" / "cv"))
"""The folder that `brat crossval` wrote: `fold-K/` with `model.keras` and `model.tflite`."""

SHIPPED = "float32"
OTHERS = ("float16", "dynamic range", "int8")


def rows(short: bool) -> Iterator[Row]:
    folds = range(1 if short else FOLDS)
    if missing := _missing(folds):
        yield Row("Model formats", None, missing=missing)
        return
    slices = read_index(INDEX)
    truth, predictions = [], {name: [] for name in (SHIPPED, *OTHERS)}
    for fold in folds:
        folders = write_formats(RUNS / f"fold-{fold}", slices, fold)
        unseen = draw([s for s in slices if s.fold == fold and s.label], 20 if short else 100)
        truth += [CLASSES.index(s.label) for s in unseen]
        inputs = [model_input(s) for s in unseen]
        classifiers = {name: Classifier(folder) for name, folder in folders.items()}
        for name, classifier in classifiers.items():
            predictions[name] += [classifier.predict(image) for image in inputs]
    functions = {name: stopwatch(classifier.predict, inputs[0]) for name, classifier in classifiers.items()}
    speed = interleaved(20 if short else 200, "ms", functions, warm_up=5)
    sizes = {
        name: Measured(((folder / "model.tflite").stat().st_size / 1e6,), "MB")
        for name, folder in folders.items()
    }
    quality = {
        name: rates(answers, np.array(truth), predictions[SHIPPED]) for name, answers in predictions.items()
    }
    for name in OTHERS:
        title = f"Model in {name}"
        yield Row(f"{title}: one prediction", speed[name], SHIPPED, speed[SHIPPED])
        yield Row(f"{title}: size", sizes[name], SHIPPED, sizes[SHIPPED])
        for metric, measured in quality[name].items():
            # The other metrics compare with float32 already.
            beside = (SHIPPED, quality[SHIPPED][metric]) if metric.endswith("accuracy") else ()
            yield Row(f"{title}: {metric}, {len(truth):,} unseen slices", measured, *beside)


def _missing(folds: Sequence[int]) -> str:
    """Why nothing can be measured; empty where it can."""
    if not installed("tensorflow", "sklearn"):
        return "needs tensorflow and scikit-learn"
    if not INDEX.is_file():
        return "needs a collection (BRAT_DATA)"
    if not all((RUNS / f"fold-{fold}" / "model.tflite").exists() for fold in folds):
        return "needs the models of its cross-validation (BRAT_RUNS)"
    return ""


def write_formats(run: Path, slices: Sequence[IndexedSlice], fold: int) -> dict[str, Path]:
    """Convert a fold's model -> format to the folder of its `model.tflite`.

    float32 lies in `run` itself, the other formats below `run/formats/`. A file that is newer than the model
    is not converted again.

    Args:
        run: the fold's folder.
        slices: of the collection. int8 learns its ranges from the training slices among them.
        fold: the fold that the model has not seen.
    """
    folders = {SHIPPED: run, **{name: run / "formats" / name.replace(" ", "_") for name in OTHERS}}
    source, model = run / "model.keras", None
    for name in OTHERS:
        file = folders[name] / "model.tflite"
        if file.exists() and file.stat().st_mtime_ns > source.stat().st_mtime_ns:
            continue
        import keras

        model = model or keras.models.load_model(source)
        content = convert(model, name, slices, fold)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        write_manifest(file.parent, (file.name,))
    return folders


def convert(model, name: str, slices: Sequence[IndexedSlice], fold: int) -> bytes:
    """A Keras model as a LiteRT flatbuffer in one of `OTHERS`; `slices` and `fold` as in `write_formats`."""
    import tensorflow as tf

    from brat.training.quantize import choose_examples, to_int8

    if name == "int8":
        learned = without_near_duplicates(split(slices, fold, None)).train
        return to_int8(model, np.stack([model_input(s) for s in choose_examples(learned)]))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if name == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


def draw(slices: Sequence[IndexedSlice], count: int) -> list[IndexedSlice]:
    """`count` random slices, or all if there are fewer; the same ones every time."""
    rows = np.random.default_rng(0).permutation(len(slices))[:count]
    return [slices[row] for row in rows]


def model_input(s: IndexedSlice) -> np.ndarray:
    return prepare(read_scan(s.path).gray)[0]


def rates(
    predictions: Sequence[Prediction], truth: np.ndarray, shipped: Sequence[Prediction]
) -> dict[str, Measured]:
    """Accuracy of a format, and how far its answers and maps differ from those of the shipped format.

    Args:
        predictions: of n slices.
        truth: int (n,), positions in `brat.CLASSES`.
        shipped: of the same slices, by float32.
    """
    from brat.evaluation.metrics import classification

    probabilities = np.array([prediction.probabilities for prediction in predictions])
    scores = classification(truth, probabilities, np.ones(len(truth)))
    pairs = list(zip(predictions, shipped, strict=True))
    same = np.mean([prediction.label == reference.label for prediction, reference in pairs])
    # Both maps are of float32's answer, so that a changed answer does not count twice.
    differences = [
        np.abs(grad_cam(prediction, reference.label) - grad_cam(reference, reference.label)).mean()
        for prediction, reference in pairs
    ]
    return {
        "accuracy": Measured((100 * scores["accuracy"],), "%"),
        "balanced accuracy": Measured((100 * scores["balanced_accuracy"],), "%"),
        "same answer as float32": Measured((100 * same,), "%"),
        "map's mean difference from float32's, of its peak": Measured(
            (100 * float(np.mean(differences)),), "%"
        ),
    }
