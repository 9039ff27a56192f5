"""The parts that need no model; those that do are in `test_model.py`."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from brat.classes import CLASSES
from brat.model.classifier import Prediction
from brat.model.explain import COLOUR_MAPS, as_png, blend, colourise, finer, grad_cam, onto_scan
from brat.model.preprocess import Geometry, frame


def colour_bar(colour_map: str) -> np.ndarray:
    """The colours of 0 to 1, uint8 (1, 256, 3)."""
    return colourise(np.linspace(0, 1, 256)[np.newaxis], colour_map)


def lightness(colours: np.ndarray) -> np.ndarray:
    """CIE L*, 0 to 100, of RGB."""
    return cv2.cvtColor((colours / 255).astype(np.float32), cv2.COLOR_RGB2LAB)[..., 0]


@pytest.fixture(scope="module")
def gray(make_head):
    return make_head(120, 90)


class TestBlend:
    @pytest.mark.parametrize("colour_map", COLOUR_MAPS)
    def test_opacity_of_nought_is_the_scan(self, gray, colour_map):
        cam = np.random.default_rng(0).random(gray.shape, np.float32)
        blended = blend(gray, cam, 0, colour_map)
        assert blended.dtype == np.uint8
        np.testing.assert_array_equal(blended, np.dstack([gray] * 3))

    @pytest.mark.parametrize("colour_map", COLOUR_MAPS)
    def test_peak_at_full_opacity_is_the_colour(self, gray, colour_map):
        cam = np.zeros(gray.shape, np.float32)
        cam[40:60, 30:50] = 1
        blended = blend(gray, cam, 1, colour_map)
        np.testing.assert_array_equal(
            blended[40:60, 30:50], np.broadcast_to(colour_bar(colour_map)[0, -1], (20, 20, 3))
        )

    def test_scan_stays_where_the_map_is_silent(self, gray):
        cam = np.zeros(gray.shape, np.float32)
        cam[40:60, 30:50] = 0.7
        blended = blend(gray, cam, 0.8)
        silent = cam == 0
        np.testing.assert_array_equal(blended[silent], np.dstack([gray] * 3)[silent])
        assert (blended[~silent] != np.dstack([gray] * 3)[~silent]).any()

    @pytest.mark.parametrize("opacity", [0.25, 0.6, 1.0])
    @pytest.mark.parametrize("colour_map", COLOUR_MAPS)
    def test_share_of_colour_is_opacity_times_the_map(self, gray, opacity, colour_map):
        cam = np.random.default_rng(1).random(gray.shape, np.float32)
        share = (opacity * cam.astype(float))[..., np.newaxis]
        for scan in (gray, np.zeros_like(gray), np.full_like(gray, 255)):
            expected = np.round(scan[..., np.newaxis] * (1 - share) + colourise(cam, colour_map) * share)
            assert np.abs(blend(scan, cam, opacity, colour_map) - expected).max() <= 1

    def test_inputs_are_left_as_they_were(self, gray):
        cam = np.random.default_rng(2).random(gray.shape, np.float32)
        before = gray.copy(), cam.copy()
        blend(gray, cam, 0.5)
        np.testing.assert_array_equal(gray, before[0])
        np.testing.assert_array_equal(cam, before[1])


class TestColours:
    @pytest.mark.parametrize("colour_map", ["Inferno", "Viridis", "Cividis"])
    def test_more_is_lighter(self, colour_map):
        steps = np.diff(lightness(colour_bar(colour_map))[0])
        # Eight bits a channel leave a little unevenness.
        assert steps.min() > -0.2
        assert steps.sum() > 60

    def test_jet_is_not_uniform(self):
        assert np.diff(lightness(colour_bar("Jet"))[0]).min() < -0.2

    def test_colours_are_rgb(self):
        # Inferno ends in a pale yellow: red above green above blue.
        red, green, blue = colour_bar("Inferno")[0, -1].astype(int)
        assert red > 240 > blue
        assert green > 240 > blue
        # Viridis begins in a dark purple, Jet in blue.
        assert tuple(colour_bar("Jet")[0, 0]) == (0, 0, 128)

    @pytest.mark.parametrize("colour_map", COLOUR_MAPS)
    def test_colours_are_those_of_the_nearest_level(self, colour_map):
        values = np.random.default_rng(0).random((40, 50), np.float32)
        level = np.round(values * 255).astype(np.uint8)
        expected = cv2.cvtColor(cv2.applyColorMap(level, COLOUR_MAPS[colour_map]), cv2.COLOR_BGR2RGB)
        np.testing.assert_array_equal(colourise(values, colour_map), expected)

    def test_values_beyond_the_ends_take_the_ends_colours(self):
        colours = colourise(np.array([[-0.5, 0, 1, 1.5]], np.float32))
        np.testing.assert_array_equal(colours[0, 0], colours[0, 1])
        np.testing.assert_array_equal(colours[0, 2], colours[0, 3])


class TestOntoScan:
    def test_nothing_outside_what_the_model_saw(self):
        geometry = Geometry(x=30, y=-10, side=50, width=100, height=60)
        on_scan = onto_scan(np.ones((14, 14), np.float32), geometry)
        assert on_scan.shape == (60, 100)
        assert on_scan.dtype == np.float32
        assert (on_scan[:40, 30:80] == 1).all()
        on_scan[:40, 30:80] = 0
        assert not on_scan.any()

    def test_peak_lies_over_its_cell(self, make_head):
        scan = make_head(400, 500, (300, 180), (120, 150))
        _, geometry = frame(scan)
        cells = np.zeros((14, 14), np.float32)
        cells[3, 10] = 1
        row, column = np.unravel_index(onto_scan(cells, geometry).argmax(), scan.shape)
        cell = geometry.side / 14
        assert geometry.x + 10 * cell <= column <= geometry.x + 11 * cell
        assert geometry.y + 3 * cell <= row <= geometry.y + 4 * cell


class TestGradCam:
    @pytest.fixture
    def prediction(self):
        maps = np.random.default_rng(0).normal(size=(14, 14, 4)).astype(np.float32) * [3, 1, 0.1, 1]
        maps[..., 3] = -1
        return Prediction(
            np.full(4, 0.25, np.float32),
            maps.astype(np.float32),
            np.zeros(1280, np.float32),
            np.zeros(192, np.float32),
        )

    @pytest.mark.parametrize("label", CLASSES[:3])
    def test_is_the_class_map_smoothed_clipped_and_scaled(self, prediction, label):
        cam = grad_cam(prediction, label)
        values = finer(prediction.maps[..., CLASSES.index(label)])
        assert cam.shape == (28, 28)
        assert cam.dtype == np.float32
        assert cam.min() == 0
        assert cam.max() == 1
        np.testing.assert_allclose(cam, np.clip(values, 0, None) / values.max(), rtol=1e-6)

    def test_is_empty_where_nothing_speaks_for_the_class(self, prediction):
        assert not grad_cam(prediction, "no_tumor").any()

    def test_leaves_the_prediction_as_it_was(self, prediction):
        before = prediction.maps.copy()
        grad_cam(prediction, "glioma")
        np.testing.assert_array_equal(prediction.maps, before)


def test_a_finer_map_covers_the_same_square_and_keeps_what_is_even():
    np.testing.assert_allclose(finer(np.full((14, 14), 0.3, np.float32)), 0.3, rtol=1e-6)
    ramp = finer(np.tile(np.arange(14, dtype=np.float32), (14, 1)))
    # Cubic convolution, as OpenCV has it, keeps a slope but for a twentieth of a cell.
    np.testing.assert_allclose(ramp[10, 4:-4], (np.arange(28) / 2 - 0.25)[4:-4], atol=0.06)
    np.testing.assert_allclose(finer(ramp.T.copy()), finer(ramp).T, atol=1e-4)


def test_the_peak_of_a_finer_map_lies_between_cells_that_are_alike_and_noise_is_no_peak():
    cells = np.zeros((14, 14), np.float32)
    cells[5:7, 8:10] = 1
    cells[12, 1] = 1.9
    row, column = np.unravel_index(finer(cells).argmax(), (28, 28))
    assert (row, column) in {(r, c) for r in (11, 12) for c in (17, 18)}


def test_png_holds_the_picture_and_is_no_larger_than_asked():
    gray = np.random.default_rng(0).integers(0, 256, (60, 90), np.uint8)
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(as_png(gray)))), gray)
