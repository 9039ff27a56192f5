"""Which slices a model was trained on, by its card, and their hashes beside it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from brat.data.index import fingerprint, read_index, write_index
from brat.data.near_duplicates import hashes, thumbnails
from brat.data.trained_on import card_for, read_hashes, trained_on, write_hashes
from brat.model.files import TRAINED_ON, ModelError, ModelFolder, write_manifest
from tests.factories.indexes import index_of_blobs
from tests.factories.weights import READ_WITH, model_folder

CARD = {"test_fold": 0, "validation_fold": 1, "held_out": ["glioma-2.png"]}


@pytest.fixture
def index(tmp_path, monkeypatch):
    """Blobs, of which one shows a mass, and one is a copy of a slice of the test fold."""
    path = index_of_blobs(tmp_path)
    shutil.copy(tmp_path / "pituitary-0.png", tmp_path / "meningioma-3.png")
    monkeypatch.setattr("brat.data.index.shows_mass", "no_tumor-3.png".__eq__)
    return path


@pytest.fixture
def weights(index, tmp_path):
    folder = model_folder(tmp_path / "weights", READ_WITH)
    write_card(folder, CARD | {"data_fingerprint": fingerprint(read_index(index))})
    return folder


def write_card(folder, card):
    (folder / "model_card.json").write_text(json.dumps(card))


def learned(index):
    """Two folds but the patient who is held out, the mass, and the copy."""
    left_out = {"glioma-2.png", "no_tumor-3.png", "meningioma-3.png"}
    return [s for s in read_index(index) if s.fold in (2, 3) and s.file not in left_out]


def test_what_a_model_was_trained_on_is_neither_held_out_nor_near_it_nor_a_mass(index, weights):
    assert trained_on(weights, read_index(index)) == learned(index)


def test_the_hashes_are_of_what_was_trained_on_and_of_what_chose_the_epoch(index, weights):
    met = learned(index) + [s for s in read_index(index) if s.fold == 1]
    assert write_hashes(index, weights) == len(met)
    folder = ModelFolder(weights)
    np.testing.assert_array_equal(read_hashes(folder), hashes(thumbnails([s.path for s in met])))
    assert folder.records.keys() == {*READ_WITH, TRAINED_ON}


def test_a_model_without_a_source_was_trained_on_the_others(index, weights):
    slices = [replace(s, source="there") if s.fold == 3 else s for s in read_index(index)]
    write_index(slices, index)
    slices = read_index(index)
    card = {"data_fingerprint": fingerprint(slices), "held_out_source": "there"}
    write_card(weights, card)
    assert trained_on(weights, slices) == [
        s for s in slices if s.source == "made" and s.file != "pituitary-0.png"
    ]
    assert write_hashes(index, weights) == 14


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"data_fingerprint": "0" * 64}, "was trained on other data than"),
        ({"start_from": {"name": "before"}}, "went on from before and has learned from its slices, too"),
    ],
)
def test_no_list_is_written_that_would_not_be_whole(index, weights, other, said):
    card = card_for(weights, index, fingerprint(read_index(index)))
    write_card(weights, card | other)
    with pytest.raises(ValueError, match=said):
        write_hashes(index, weights)
    assert not (weights / TRAINED_ON).exists()
    assert read_hashes(ModelFolder(weights)) is None


@pytest.mark.parametrize(
    "damaged",
    [np.zeros((3, 64), np.int8), np.zeros(64, np.uint8), np.zeros((3, 32), np.uint8), b"no array", b""],
    ids=["no bytes", "one row", "half as long", "no array", "empty"],
)
def test_a_list_that_is_none_is_damaged(tmp_path, damaged):
    folder = model_folder(tmp_path / "weights")
    if isinstance(damaged, bytes):
        (folder / TRAINED_ON).write_bytes(damaged)
    else:
        np.save(folder / TRAINED_ON, damaged)
    write_manifest(folder, ["model.tflite", TRAINED_ON])
    with pytest.raises(ModelError, match="is damaged: it must hold a hash of 512 bits"):
        read_hashes(ModelFolder(folder))
