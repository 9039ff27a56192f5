import subprocess
import sys

import cv2
import numpy as np
import pytest

from brat.io.read import read_scan
from brat.io.samples import load_samples
from brat.model.preprocess import SIZE, frame
from brat.perturb.enhance import CLAHE_TILES, brightness, clahe


@pytest.fixture(scope="module")
def framed(make_head):
    return frame(make_head(300, 280))[0]


def local_contrast(gray: np.ndarray) -> float:
    """Mean standard deviation of the tiles that the head covers."""
    side = SIZE // CLAHE_TILES
    tiles = [
        gray[row : row + side, column : column + side]
        for row in range(2 * side, 6 * side, side)
        for column in range(2 * side, 6 * side, side)
    ]
    return float(np.mean([tile.std() for tile in tiles]))


@pytest.fixture(scope="module")
def images(make_head):
    draw = np.random.default_rng(0)
    ramp = np.arange(256, dtype=np.uint8).repeat(256).reshape(256, 256)
    samples = [read_scan(sample.file).gray for sample in load_samples()]
    noise = [draw.integers(0, 256, shape, np.uint8) for shape in ((64, 64), (131, 257))]
    return [ramp, make_head(301, 257), *samples, *noise]


def test_importing_does_not_load_albumentations():
    code = "import sys, brat.perturb.enhance; sys.exit('albumentations' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


class TestAgainstAlbumentations:
    """Previews change a scan exactly as training's library does."""

    @pytest.mark.parametrize("clip_limit", [1.0, 1.7, 2.0, 3.14159, 4.0, 8.0])
    def test_clahe(self, images, clip_limit):
        albumentations = pytest.importorskip("albumentations", reason="needs the full installation")
        theirs = albumentations.CLAHE(clip_limit=(clip_limit, clip_limit), tile_grid_size=(8, 8), p=1)
        for gray in images:
            np.testing.assert_array_equal(clahe(gray, clip_limit), theirs(image=gray)["image"])

    @pytest.mark.parametrize(
        "change", [-1.0, -0.3, -0.2, -0.1, -0.05, 0.0, 0.003, 0.1, 0.15, 1 / 3, 0.9, 1.0]
    )
    def test_brightness(self, images, change):
        albumentations = pytest.importorskip("albumentations", reason="needs the full installation")
        theirs = albumentations.RandomBrightnessContrast(
            brightness_limit=(change, change), contrast_limit=(0, 0), brightness_by_max=True, p=1
        )
        for gray in images:
            np.testing.assert_array_equal(brightness(gray, change), theirs(image=gray)["image"])


class TestClahe:
    def test_is_opencvs_on_eight_by_eight_tiles(self, make_head):
        gray = make_head(300, 280)
        for clip_limit in (1.0, 2.0, 4.0):
            reference = cv2.createCLAHE(clipLimit=clip_limit, tileGridSize=(8, 8)).apply(gray)
            np.testing.assert_array_equal(clahe(gray, clip_limit), reference)

    def test_raises_local_contrast_the_more_the_higher_the_limit(self, framed):
        dull = (framed // 3 + 60).astype(np.uint8)
        contrasts = [local_contrast(dull)] + [local_contrast(clahe(dull, limit)) for limit in (2.0, 4.0, 8.0)]
        assert contrasts == sorted(contrasts)
        assert contrasts[1] > 1.2 * contrasts[0]

    @pytest.mark.parametrize("shape", [(64, 64), (301, 257), (512, 640)])
    def test_keeps_shape_type_and_source(self, make_head, shape):
        gray = make_head(*shape)
        before = gray.copy()
        changed = clahe(gray)
        assert changed.shape == shape
        assert changed.dtype == np.uint8
        np.testing.assert_array_equal(gray, before)

    def test_same_scan_same_picture(self, framed):
        np.testing.assert_array_equal(clahe(framed, 3.0), clahe(framed, 3.0))


class TestBrightness:
    @pytest.mark.parametrize("change", [-1.0, -0.4, -0.1, 0.0, 0.25, 0.7, 1.0])
    def test_adds_its_share_of_full_scale(self, framed, change):
        expected = np.clip(framed + change * 255, 0, 255)
        changed = brightness(framed, change)
        assert changed.dtype == np.uint8
        assert changed.shape == framed.shape
        assert np.abs(changed - expected).max() <= 1

    def test_ends_are_black_and_white(self, framed):
        assert brightness(framed, -1).max() == 0
        assert brightness(framed, 1).min() == 255

    def test_none_changes_nothing(self, framed):
        before = framed.copy()
        np.testing.assert_array_equal(brightness(framed, 0), before)
        brightness(framed, 0.5)
        np.testing.assert_array_equal(framed, before)
