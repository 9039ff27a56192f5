"""The shipped model: Keras and LiteRT agree, the map is Grad-CAM, samples and held-out slices as pinned."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from brat.classes import CLASSES
from brat.environment import WEIGHTS
from brat.io.read import read_scan
from brat.io.samples import load_samples
from brat.model.classifier import Classifier
from brat.model.explain import finer, grad_cam, reference_cam
from brat.model.preprocess import prepare
from brat.model.reader import Reader

PINNED = Path(__file__).parents[1] / "pinned_readings.json"


@pytest.fixture(scope="module")
def classifier():
    return Classifier()


@pytest.fixture(scope="module")
def inputs():
    return {s.name: prepare(read_scan(s.file).gray)[0] for s in load_samples()}


def test_litert_equals_keras(classifier, inputs):
    keras = pytest.importorskip("keras", reason="needs the full installation")
    batch = np.stack(list(inputs.values()))
    outputs = keras.models.load_model(WEIGHTS / "model.keras").predict(batch, verbose=0)
    for row, model_input in enumerate(batch):
        prediction = classifier.predict(model_input)
        for name in ("probabilities", "maps", "features", "appearance"):
            served = getattr(prediction, name)
            np.testing.assert_allclose(served, outputs[name][row], rtol=1e-4, atol=1e-4, err_msg=name)


def test_probabilities_follow_from_the_maps(classifier, inputs):
    for model_input in inputs.values():
        prediction = classifier.predict(model_input)
        logits = prediction.maps.mean(axis=(0, 1))
        expected = np.exp(logits - logits.max())
        np.testing.assert_allclose(prediction.probabilities, expected / expected.sum(), atol=1e-5)
        assert prediction.probabilities.sum() == pytest.approx(1, abs=1e-5)
        assert prediction.confidence == prediction.by_class()[prediction.label]


def test_the_map_is_grad_cam(classifier, inputs):
    pytest.importorskip("tf_keras_vis", reason="needs the full installation")
    compared = 0
    for model_input in inputs.values():
        prediction = classifier.predict(model_input)
        for label in CLASSES:
            free = grad_cam(prediction, label)
            if not free.any():
                continue
            reference = reference_cam("Grad-CAM", model_input, label)
            # The library clips before it can be smoothed.
            free = finer(np.maximum(prediction.maps[..., CLASSES.index(label)], 0))
            assert np.corrcoef(free.ravel(), reference.ravel())[0, 1] > 0.999
            compared += 1
    assert compared >= len(inputs)


@pytest.mark.parametrize("method", ["Grad-CAM++", "Score-CAM"])
def test_reference_methods_give_maps(inputs, method):
    pytest.importorskip("tf_keras_vis", reason="needs the full installation")
    cam = reference_cam(method, next(iter(inputs.values())), "no_tumor")
    assert cam.shape == (28, 28)
    assert cam.min() >= 0
    assert cam.max() == pytest.approx(1)


def test_samples_read_as_pinned(classifier, inputs):
    """Catches a change of preprocessing or weights; running this file writes the pins anew."""
    pinned = json.loads(PINNED.read_text())
    assert pinned["model_sha256"] == classifier.digest
    assert set(pinned["probabilities"]) == set(inputs)
    for name, model_input in inputs.items():
        np.testing.assert_allclose(
            classifier.predict(model_input).probabilities,
            pinned["probabilities"][name],
            atol=1e-3,
            err_msg=name,
        )


def test_shipped_files_belong_together():
    import hashlib

    card = json.loads((WEIGHTS / "model_card.json").read_text())
    metrics = json.loads((WEIGHTS / "metrics.json").read_text())
    for name in ("model.keras", "model.tflite"):
        assert hashlib.sha256((WEIGHTS / name).read_bytes()).hexdigest() == card[name]["sha256"]
    assert metrics["model_sha256"] == card["model.tflite"]["sha256"]
    assert metrics["data_fingerprint"] == card["data_fingerprint"]
    assert card["model.tflite"]["bytes"] <= 12e6
    for name, digest in metrics["files"].items():
        assert hashlib.sha256((WEIGHTS / name).read_bytes()).hexdigest() == digest


def kept_readings():
    """What was read of each slice out of fold: file -> row of the table that ships."""
    with (WEIGHTS / "out_of_fold.csv").open(newline="") as handle:
        return {row["path"]: row for row in csv.DictReader(handle)}


def read_fold(data_index, classifier, fold):
    """The slices that the kept readings name as a fold, their labels there, and what a model says of them."""
    from brat.data.index import read_index
    from brat.evaluation.readings import read_slices
    from brat.model.calibration import softmax

    rows = {file: row for file, row in kept_readings().items() if row["fold"] == str(fold) and row["label"]}
    slices = [s for s in read_index(data_index) if s.file in rows]
    assert len(slices) == len(rows)
    labels = np.array([CLASSES.index(rows[s.file]["label"]) for s in slices])
    return slices, labels, softmax(read_slices(classifier, slices).logits)


def test_patients_that_were_held_out_read_well(data_index, classifier):
    """The shipped model has not seen them; one of them was chosen for being read wrong."""
    from brat.data.index import read_index
    from brat.evaluation.readings import read_slices

    card = json.loads((WEIGHTS / "model_card.json").read_text())
    slices = [s for s in read_index(data_index) if s.group in card["held_out"] and s.label]
    labels = np.array([CLASSES.index(s.label) for s in slices])
    right = read_slices(classifier, slices).logits.argmax(axis=1) == labels
    assert len({s.group for s in slices}) == len(card["held_out"])
    assert right.mean() >= 0.87


def test_shipped_weights_read_what_they_were_trained_on(data_index, classifier):
    """They must do better there than cross-validation promises elsewhere."""
    card = json.loads((WEIGHTS / "model_card.json").read_text())
    metrics = json.loads((WEIGHTS / "metrics.json").read_text())
    seen = next(fold for fold in metrics["folds"] if fold != card["test_fold"])
    _, labels, probabilities = read_fold(data_index, classifier, seen)
    right = (probabilities.argmax(axis=1) == labels).mean()
    assert right >= metrics["protocols"]["four_classes"]["metrics"]["accuracy"]["value"]


def test_reported_accuracy_is_that_of_the_kept_readings():
    """The page's figure follows from the out-of-fold readings that ship beside it."""
    metrics = json.loads((WEIGHTS / "metrics.json").read_text())
    known = [row for row in kept_readings().values() if row["label"]]
    right = [max(CLASSES, key=lambda name: float(row[name])) == row["label"] for row in known]
    assert sorted({int(row["fold"]) for row in known}) == metrics["folds"]
    four = metrics["protocols"]["four_classes"]
    assert four["slices"] == len(known)
    assert four["metrics"]["accuracy"]["value"] == pytest.approx(np.mean(right), abs=1e-6)


def test_the_int8_version_reads_the_samples_alike_with_thresholds_of_its_own(classifier, inputs):
    folder = WEIGHTS / "int8"
    metrics = json.loads((folder / "metrics.json").read_text())
    reader = Reader(folder)
    assert reader.classifier.digest == metrics["model_sha256"] != classifier.digest
    assert (
        metrics["data_fingerprint"] == json.loads((WEIGHTS / "metrics.json").read_text())["data_fingerprint"]
    )
    assert reader.calibration is not None
    assert reader.detector is not None
    for model_input in inputs.values():
        ours, theirs = classifier.predict(model_input), reader.classifier.predict(model_input)
        assert ours.label == theirs.label
        np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=0.15)


if __name__ == "__main__":
    served = Classifier()
    pins = {
        s.name: [round(float(p), 5) for p in served.predict(prepare(read_scan(s.file).gray)[0]).probabilities]
        for s in load_samples()
    }
    PINNED.write_text(json.dumps({"model_sha256": served.digest, "probabilities": pins}, indent=1) + "\n")
