from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest

from brat.model.preprocess import SIZE, frame

pytest.importorskip("albumentations", reason="needs the full installation")

from brat.training.augmentation import augmentation, augmentation_sheet


@pytest.fixture(scope="module")
def framed(make_head):
    return frame(make_head(300, 280))[0]


def test_importing_asks_no_network():
    """albumentations would look for a newer version of itself."""
    code = (
        "import os, socket\n"
        "os.environ.pop('NO_ALBUMENTATIONS_UPDATE', None)\n"
        "def refuse(*_, **__): raise SystemExit('asked the network')\n"
        "socket.getaddrinfo = refuse\n"
        "import brat.training.augmentation\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


class TestAugmentation:
    def test_keeps_shapes_and_types(self, framed):
        transform = augmentation(0)
        for _ in range(30):
            changed = transform(image=framed, mask=np.zeros_like(framed))
            assert changed["image"].shape == changed["mask"].shape == (SIZE, SIZE)
            assert changed["image"].dtype == changed["mask"].dtype == np.uint8
            assert changed["mask"].max() == 0

    def test_same_seed_same_pictures(self, framed):
        first, second, other = augmentation(7), augmentation(7), augmentation(8)
        pictures = [[t(image=framed, mask=framed) for _ in range(5)] for t in (first, second, other)]
        for first_time, again in zip(pictures[0], pictures[1], strict=True):
            np.testing.assert_array_equal(first_time["image"], again["image"])
            np.testing.assert_array_equal(first_time["mask"], again["mask"])
        assert any(
            (picture["image"] != another["image"]).any()
            for picture, another in zip(pictures[0], pictures[2], strict=True)
        )

    def test_seed_may_be_set_again(self, framed):
        transform = augmentation(0)
        transform.set_random_seed(3)
        first = transform(image=framed, mask=framed)
        transform(image=framed, mask=framed)
        transform.set_random_seed(3)
        np.testing.assert_array_equal(transform(image=framed, mask=framed)["image"], first["image"])

    def test_changes_nearly_every_picture(self, framed):
        transform = augmentation(0)
        changed = [(transform(image=framed, mask=framed)["image"] != framed).mean() > 0.01 for _ in range(30)]
        assert sum(changed) >= 28

    def test_mask_goes_where_the_image_goes(self):
        image, mask = np.zeros((2, SIZE, SIZE), np.uint8)
        cv2.circle(image, (112, 112), 90, 60, -1)
        cv2.circle(image, (140, 80), 12, 250, -1)
        cv2.circle(mask, (140, 80), 12, 255, -1)
        transform = augmentation(0)
        places = []
        for _ in range(60):
            changed = transform(image=image, mask=mask)
            # The blob is the brightest thing, whatever gain, gamma, blur and noise did.
            calm = cv2.GaussianBlur(changed["image"].astype(np.float32), (0, 0), 4)
            *_, bright = cv2.minMaxLoc(calm)
            moments = cv2.moments(changed["mask"])
            center = moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]
            assert bright == pytest.approx(center, abs=5)
            places.append(center)
        # It goes somewhere: mirrored to either side, and to and fro by turning and shifting.
        places = np.array(places)
        assert (places[:, 0] > 112).any()
        assert (places[:, 0] < 112).any()
        assert places.std(axis=0).min() > 8

    def test_mask_keeps_soft_edges_within_its_range(self, framed):
        mask = np.zeros_like(framed)
        cv2.circle(mask, (112, 112), 30, 255, -1)
        transform = augmentation(1)
        areas = [transform(image=framed, mask=mask)["mask"].sum() / mask.sum() for _ in range(30)]
        # A scale of 0.8 to 1.2 each way; nothing else may change a tumour's area.
        assert 0.6 < min(areas) < max(areas) < 1.5


def test_sheet_of_examples(framed):
    sheet = augmentation_sheet(framed, rows=2, columns=3, seed=1)
    assert sheet.shape == (2 * SIZE, 3 * SIZE)
    assert sheet.dtype == np.uint8
    np.testing.assert_array_equal(sheet[:SIZE, :SIZE], framed)
    np.testing.assert_array_equal(sheet, augmentation_sheet(framed, rows=2, columns=3, seed=1))
    assert (sheet[SIZE:, :SIZE] != framed).any()
