"""A damaged, exchanged or missing file of a model is never read on."""

import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from brat.environment import WEIGHTS
from brat.io.read import read_scan
from brat.model.calibration import Calibration
from brat.model.classifier import Classifier
from brat.model.explain import reference_cam
from brat.model.files import (
    CALIBRATION,
    DETECTOR,
    KERAS,
    MANIFEST,
    MODEL,
    TRAINED_ON,
    ModelError,
    ModelFolder,
    adopt,
    update_manifest,
    write_manifest,
)
from brat.model.out_of_distribution import OodDetector
from brat.model.reader import Reader
from tests.factories.samples import KNOWN
from tests.factories.weights import READ_WITH, model_folder

EVERY = (*READ_WITH, MANIFEST)


@pytest.fixture
def whole(tmp_path):
    return model_folder(tmp_path / "whole", READ_WITH)


@pytest.fixture
def other(tmp_path):
    """A sound model, each part of which is another one."""
    folder = model_folder(tmp_path / "other", READ_WITH)
    model = bytearray((folder / MODEL).read_bytes())
    model[-1] ^= 1
    (folder / MODEL).write_bytes(model)
    fields = json.loads((folder / CALIBRATION).read_text())
    (folder / CALIBRATION).write_text(json.dumps(fields | {"temperature": 2.0}))
    shutil.copy(folder / DETECTOR, folder / "copy")
    detector = OodDetector.load(folder / DETECTOR)
    replace(detector, limit=detector.limit + 1).save(folder / DETECTOR)
    write_manifest(folder, READ_WITH)
    return folder


def test_the_model_that_ships_is_whole():
    folder = ModelFolder(WEIGHTS)
    assert set(folder.records) == {MODEL, KERAS, CALIBRATION, DETECTOR, TRAINED_ON}
    for name in folder.records:
        assert folder.read(name) == (WEIGHTS / name).read_bytes()


def test_what_is_checked_is_what_is_read(whole):
    reader = Reader(whole)
    assert reader.classifier.digest == ModelFolder(whole).records[MODEL].sha256
    assert reader.read(read_scan(KNOWN.file).gray).is_calibrated


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("place", [0.0, 0.1, 0.35, 0.5, 0.8, 0.999])
def test_one_flipped_bit_is_noticed(whole, name, place):
    content = bytearray((whole / name).read_bytes())
    for bit in (0, 3, 6):
        content[int(place * len(content))] ^= 1 << bit
        (whole / name).write_bytes(content)
        with pytest.raises(ModelError, match=r"damaged|not in its manifest|missing"):
            Reader(whole)
        content[int(place * len(content))] ^= 1 << bit


def test_no_flipped_bit_of_the_manifest_that_ships_is_read_on(tmp_path):
    """Nor of what it says of files that a reading does not need."""
    content = bytearray((WEIGHTS / MANIFEST).read_bytes())
    for place in range(8 * len(content)):
        content[place // 8] ^= 1 << place % 8
        (tmp_path / MANIFEST).write_bytes(content)
        with pytest.raises(
            ModelError, match=r"manifest\.json in .* is damaged\. Copy the whole folder again"
        ):
            ModelFolder(tmp_path)
        content[place // 8] ^= 1 << place % 8


@pytest.mark.parametrize("name", [*ModelFolder(WEIGHTS).records])
def test_no_flipped_bit_of_a_file_that_ships_is_read_on(tmp_path, name):
    (tmp_path / MANIFEST).write_bytes((WEIGHTS / MANIFEST).read_bytes())
    content = bytearray((WEIGHTS / name).read_bytes())
    for place in np.random.default_rng(14).integers(8 * len(content), size=24):
        content[place // 8] ^= 1 << place % 8
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError, match=rf"{name} in .* is damaged, or belongs to another model"):
            ModelFolder(tmp_path).read(name)
        content[place // 8] ^= 1 << place % 8
    (tmp_path / name).write_bytes(content)
    assert ModelFolder(tmp_path).read(name) == (WEIGHTS / name).read_bytes()


def test_a_manifest_of_before_checksums_is_read(whole):
    records = ModelFolder(whole).records
    manifest = json.loads((whole / MANIFEST).read_text())
    (whole / MANIFEST).write_text(json.dumps({"files": manifest["files"]}))
    assert ModelFolder(whole).records == records


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("kept", [0, 1, 100, -3])
def test_a_file_that_breaks_off_is_noticed(whole, name, kept):
    (whole / name).write_bytes((whole / name).read_bytes()[:kept])
    with pytest.raises(ModelError, match=r"damaged"):
        Reader(whole)


@pytest.mark.parametrize("name", EVERY)
def test_a_missing_file_is_noticed(whole, name):
    (whole / name).unlink()
    with pytest.raises(ModelError, match=rf"{name} .*in|no {name} in"):
        Reader(whole)


@pytest.mark.parametrize("name", EVERY)
def test_a_file_of_another_model_is_noticed(whole, other, name):
    Reader(other)
    shutil.copy(other / name, whole)
    with pytest.raises(ModelError, match="another model"):
        Reader(whole)


@pytest.mark.parametrize("name", [CALIBRATION, DETECTOR])
def test_a_part_that_the_manifest_does_not_list_is_not_used(whole, name):
    write_manifest(whole, [listed for listed in READ_WITH if listed != name])
    with pytest.raises(ModelError, match="does not belong to this model"):
        Reader(whole)


def test_a_fresh_model_says_that_it_has_no_calibration(tmp_path):
    reader = Reader(model_folder(tmp_path))
    assert (reader.calibration, reader.detector) == (None, None)
    assert not reader.read(read_scan(KNOWN.file).gray).is_calibrated


def test_a_file_that_is_no_model_is_an_error_with_a_sentence(tmp_path):
    (tmp_path / MODEL).write_bytes(b"no model")
    write_manifest(tmp_path, [MODEL])
    with pytest.raises(ModelError, match="no LiteRT model"):
        Classifier(tmp_path)


def test_the_keras_model_is_checked_when_a_map_is_asked_for(tmp_path):
    pytest.importorskip("tf_keras_vis")
    folder = model_folder(tmp_path, (MODEL, KERAS))
    content = bytearray((folder / KERAS).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / KERAS).write_bytes(content)
    # A reading does not need it.
    Reader(folder)
    with pytest.raises(ModelError, match=r"model\.keras .* damaged"):
        reference_cam("Grad-CAM++", np.zeros((224, 224, 1), np.float32), "glioma", folder)


SOUND = json.loads((WEIGHTS / CALIBRATION).read_text())


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.0},
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"temperature": None},
        {"thresholds": {}},
        {"thresholds": {"0.9": [0.1] * 4}},
        {"thresholds": {"0.95": [0.1] * 3}},
        {"thresholds": {"0.95": [0.1, 0.1, 0.1, 1.1]}},
        {"thresholds": {"0.95": [0.1, 0.1, 0.1, float("nan")]}},
        {"thresholds": {"0.95": [-0.1, 0.1, 0.1, 0.1]}},
        {"thresholds": {"0.95": [0.1] * 4, "1.5": [0.1] * 4}},
        {"thresholds": [0.1] * 4},
        {"more": 1},
    ],
)
def test_a_calibration_out_of_range_is_refused(change):
    assert Calibration.from_bytes(json.dumps(SOUND).encode()).temperature > 0
    with pytest.raises(ModelError, match="calibration of the model is damaged"):
        Calibration.from_bytes(json.dumps(SOUND | change).encode())


with np.load(WEIGHTS / DETECTOR) as _stored:
    ARRAYS = dict(_stored)


def _with_nan(array):
    array = array.copy()
    array.flat[0] = np.nan
    return array


@pytest.mark.parametrize(
    ("name", "change"),
    [
        *((name, _with_nan) for name in ("mean", "scale", "supports", "weights", "limit")),
        *((name, lambda array: array[:-1]) for name in ("mean", "scale", "supports", "weights", "kinds")),
        ("supports", lambda array: array[:, :-1]),
        ("supports", lambda array: array.ravel()),
        ("scale", lambda array: array * 0),
        ("weights", lambda array: -array),
        ("weights", lambda array: array * 0),
        ("gamma", lambda gamma: -gamma),
        ("limit", lambda limit: limit + np.inf),
        ("mean", lambda array: array.astype(object)),
        ("mean", lambda array: array.astype(complex)),
        ("kinds", lambda array: array.astype(object)),
        ("mean", lambda _: None),
    ],
)
def test_a_detector_out_of_shape_or_range_is_refused(name, change):
    def saved(arrays):
        content = io.BytesIO()
        np.savez(content, **arrays)
        return content.getvalue()

    assert len(OodDetector.from_bytes(saved(ARRAYS)).weights) > 0
    changed = {**ARRAYS, name: change(ARRAYS[name])}
    if changed[name] is None:
        del changed[name]
    with pytest.raises(ModelError, match="detector of the model is damaged"):
        OodDetector.from_bytes(saved(changed))


def test_what_was_not_written_again_is_not_listed_as_whole(whole):
    folder = ModelFolder(whole)
    (whole / MODEL).write_bytes(b"damaged")
    update_manifest(folder, [CALIBRATION])
    with pytest.raises(ModelError, match=r"model\.tflite"):
        Reader(whole)


def test_a_folder_from_before_is_adopted_once_and_only_as_its_card_says(tmp_path):
    shutil.copy(WEIGHTS / MODEL, tmp_path)
    with pytest.raises(ModelError, match="brat manifest"):
        Reader(tmp_path)
    card = {MODEL: {"sha256": "0" * 64}}
    (tmp_path / "model_card.json").write_text(json.dumps(card))
    with pytest.raises(ModelError, match="not the file that model_card"):
        adopt(tmp_path)
    shutil.copy(WEIGHTS / "model_card.json", tmp_path)
    assert adopt(tmp_path) == [MODEL]
    Reader(tmp_path)
    with pytest.raises(ModelError, match="already"):
        adopt(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest | {"more": 1},
        lambda manifest: {"files": manifest["files"] | {"other.bin": manifest["files"][MODEL]}},
        lambda manifest: {"files": manifest["files"] | {CALIBRATION: {"sha256": "A" * 64, "bytes": 1}}},
        lambda manifest: {"files": manifest["files"] | {CALIBRATION: {"sha256": "a" * 64}}},
        lambda manifest: {"files": manifest["files"] | {CALIBRATION: {"sha256": "a" * 64, "bytes": "1"}}},
        lambda manifest: {"files": [manifest["files"]]},
        lambda manifest: [manifest],
    ],
)
def test_a_manifest_says_what_it_may_and_nothing_else(whole, change):
    manifest = json.loads((whole / MANIFEST).read_text())
    (whole / MANIFEST).write_text(json.dumps(change(manifest)))
    with pytest.raises(ModelError, match=r"manifest\.json in .* is damaged"):
        ModelFolder(whole)
