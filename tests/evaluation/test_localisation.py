from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brat.classes import CLASSES
from brat.data.index import IndexedSlice
from brat.environment import WEIGHTS
from brat.evaluation.localisation import (
    _EARLIER,
    _at_larger_input,
    _at_layer,
    fill_boxes,
    localisation,
    point,
)
from brat.evaluation.readings import Readings
from brat.io.read import read_scan
from brat.model.classifier import Classifier
from brat.model.preprocess import SIZE, prepare
from tests.factories.samples import KNOWN

# The second of fourteen columns and the third row of cells, whose middle is at (24, 40).
BOX = np.array([[24.0, 40.0, 20.0, 20.0]], np.float32)


def cam_with(*cells):
    cam = np.full((14, 14), -1.0, np.float32)
    for row, column in cells:
        cam[row, column] = 1
    return cam


def test_peak_inside_the_box():
    hit, energy = point(cam_with((2, 1)), BOX)
    assert hit
    assert energy > 0.6


def test_peak_elsewhere():
    assert point(cam_with((10, 10)), BOX) == (False, 0.0)


def test_energy_is_shared():
    alone = point(cam_with((2, 1)), BOX)[1]
    shared = point(cam_with((2, 1), (10, 10)), BOX)[1]
    assert shared == pytest.approx(alone / 2, rel=1e-3)


def test_nothing_above_zero_points_at_nothing():
    assert point(np.full((14, 14), -1.0, np.float32), np.array([[112, 112, 300, 300]], np.float32)) == (
        False,
        0.0,
    )


def test_boxes_are_filled_and_clipped():
    assert fill_boxes(BOX).sum() == 20 * 20
    assert fill_boxes(np.array([[0, 0, 20, 20]])).sum() == 10 * 10
    assert fill_boxes(np.array([[300, 300, 20, 20]])).sum() == 0
    assert fill_boxes(np.empty((0, 4))).sum() == 0


def test_boxes_are_filled_each_in_its_place():
    filled = fill_boxes(np.array([[24, 40, 20, 10], [29, 40, 20, 10], [100, 150, 6, 8]]))
    expected = np.zeros((SIZE, SIZE), bool)
    expected[35:45, 14:39] = True
    expected[146:154, 97:103] = True
    np.testing.assert_array_equal(filled, expected)
    # A pixel whose centre lies on the edge is outside.
    assert fill_boxes(np.array([[10, 10, 3, 3]])).sum() == 2 * 2


MAP_CELLS = 14 * 14


def readings_peaking_at(labels, kinds):
    """Readings in which the class `kinds` peaks in the box and no other does."""
    maps = np.full((len(labels), 14, 14, 4), -1.0, np.float32)
    for row, kind in enumerate(kinds):
        maps[row, 2, 1, CLASSES.index(kind)] = 3
    slices = [
        IndexedSlice(Path("x"), str(k), "source", label, True, "g", "c", 0) for k, label in enumerate(labels)
    ]
    count = len(labels)
    return Readings(slices, maps, np.full(count, 0.5, np.float32), [BOX] * count)


def test_the_map_is_that_of_the_slices_class():
    measured = localisation(
        readings_peaking_at(["glioma", "glioma", ""], ["glioma", "pituitary", "meningioma"])
    )
    assert measured["pointing"].tolist() == [True, False, True]
    assert measured["chance"] == pytest.approx(20 * 20 / SIZE**2 / 0.5)


def test_maps_are_judged_as_they_are_drawn():
    """A tumour of four cells in the box, and one stronger cell elsewhere, which smoothing takes down."""
    readings = readings_peaking_at(["glioma"], ["glioma"])
    readings.maps[0, 2:4, 1:3, 0] = 1
    readings.maps[0, 12, 10, 0] = 1.9
    readings.maps[0][readings.maps[0] < 0] = 0
    box = [np.array([[32, 48, 32, 32]], np.float32)]
    assert localisation(replace(readings, boxes=box))["pointing"].tolist() == [True]
    assert not point(readings.maps[0, ..., 0], box[0])[0]


def test_readings_survive_saving(tmp_path):
    readings = readings_peaking_at(["glioma", ""], ["glioma", "meningioma"])
    readings.save(tmp_path / "readings.npz")
    loaded = Readings.load(tmp_path / "readings.npz", readings.slices)
    np.testing.assert_array_equal(loaded.maps, readings.maps)
    np.testing.assert_array_equal(loaded.boxes[1], BOX)
    assert [s.file for s in loaded.slices] == ["0", "1"]
    twice = Readings.concatenate([loaded, readings.take([1])])
    assert twice.logits.shape == (3, 4)
    assert len(twice.boxes) == 3


def test_other_ways_to_make_a_map_agree_where_they_must(monkeypatch):
    """Taken at the last layer, or at the usual size, they are the map that the model gives out itself."""
    pytest.importorskip("tf_keras_vis", reason="needs the full installation")
    monkeypatch.setattr("brat.evaluation.localisation.LARGER", SIZE)
    gray = read_scan(KNOWN.file).gray
    free = Classifier().predict(prepare(gray)[0]).maps
    same = _at_larger_input(WEIGHTS)
    at_last, earlier = _at_layer(WEIGHTS, "out_relu"), _at_layer(WEIGHTS, _EARLIER)
    for kind in range(len(CLASSES)):
        np.testing.assert_allclose(same(gray, kind), free[..., kind], atol=1e-3)
        np.testing.assert_allclose(at_last(gray, kind) * MAP_CELLS, free[..., kind], atol=1e-3)
        assert earlier(gray, kind).shape == (14, 14)
        assert np.corrcoef(earlier(gray, kind).ravel(), free[..., kind].ravel())[0, 1] < 0.99
