"""Removing the skull: of heads drawn with a bright scalp, dark bone and a brain."""

import numpy as np
import pytest

from brat.perturb.skull import without_skull
from tests.factories.heads import head_with_bone, synthetic_head


@pytest.mark.parametrize("shape", [(256, 256), (512, 512), (160, 200)])
@pytest.mark.parametrize("seed", [0, 1])
def test_keeps_the_brain_and_nothing_else(shape, seed):
    gray, brain = head_with_bone(*shape, seed=seed)
    bare = without_skull(gray)
    assert bare is not None
    assert bare.dtype == np.uint8
    kept = bare > 0
    assert np.array_equal(bare[kept], gray[kept])
    assert np.sum(kept & brain) / np.sum(kept | brain) > 0.96
    # What the erosion took off is grown again.
    assert np.sum(kept & brain) / np.sum(brain) > 0.99


def test_a_brain_that_hangs_together_with_the_scalp_is_parted_from_it():
    gray, brain = head_with_bone(256, 256)
    bridge = np.zeros_like(brain)
    bridge[125:131] = gray[125:131] == 12
    bare = without_skull(np.where(bridge, 150, gray).astype(np.uint8))
    assert bare is not None
    kept = bare > 0
    assert np.sum(kept & brain) / np.sum(kept | brain) > 0.96


def discs(*rims: tuple[float, int]) -> np.ndarray:
    """Discs of one shade each, the first the largest; a radius is a share of the side."""
    gray = np.zeros((256, 256), np.uint8)
    for radius, shade in rims:
        gray[radius > AWAY] = shade
    return gray


ROWS, COLUMNS = (np.mgrid[:256, :256] - 127.5) / 256
AWAY = np.hypot(ROWS, COLUMNS)


@pytest.mark.parametrize(("radius", "is_brain"), [(0.225, False), (0.25, True), (0.34, True), (0.375, False)])
def test_a_brain_takes_its_share_of_the_head(radius, is_brain):
    """In a head of radius 0.4 these are 32 %, 39 %, 72 % and 88 %."""
    assert (without_skull(discs((0.4, 30), (radius, 110))) is not None) == is_brain


def test_a_ring_of_dots_is_no_bone():
    gray = discs((0.4, 110))
    for angle in np.linspace(0, 2 * np.pi, 37)[1:]:
        gray[np.hypot(ROWS - 0.33 * np.sin(angle), COLUMNS - 0.33 * np.cos(angle)) < 0.009] = 0
    assert without_skull(gray) is None


def test_where_there_is_no_bone_the_skin_goes():
    """On the right of this head the brain reaches the skin."""
    gray = discs((0.4, 230), (0.37, 12), (0.33, 110))
    gray[(COLUMNS > 0) & (AWAY < 0.4)] = 110
    bare = without_skull(gray)
    assert bare is not None
    assert np.mean(bare[(COLUMNS > 0) & (AWAY < 0.37)] > 0) > 0.95
    assert np.mean(bare[(COLUMNS > 0) & (AWAY > 0.385)] > 0) < 0.01


def test_what_holds_skin_is_no_brain():
    """A dent goes from the skin deep into this one, so narrow that it counts as filled."""
    gray = discs((0.4, 30), (0.35, 110))
    assert without_skull(gray) is not None
    gray[(np.abs(ROWS) < 3 / 256) & (COLUMNS > 0.2)] = 0
    assert without_skull(gray) is None


def test_of_all_pieces_of_tissue_the_largest_is_the_brain():
    gray = discs((0.4, 230), (0.37, 12), (0.25, 110))
    island = np.hypot(ROWS + 0.31, COLUMNS) < 0.05
    gray[island] = 110
    bare = without_skull(gray)
    assert np.mean(bare[AWAY < 0.24] > 0) > 0.99
    assert not bare[island].any()


def test_a_bright_letter_beside_a_dim_head_is_neither_head_nor_its_brightness():
    gray, brain = head_with_bone(256, 256)
    gray //= 8
    gray[-18:-10, 8:16] = 255
    kept = without_skull(gray) > 0
    assert np.sum(kept & brain) / np.sum(kept | brain) > 0.95


def test_what_is_around_a_head_need_not_be_black():
    gray, brain = head_with_bone(256, 256)
    kept = without_skull((30 + 0.88 * gray).astype(np.uint8)) > 0
    assert np.sum(kept & brain) / np.sum(kept | brain) > 0.95


@pytest.mark.parametrize(("width", "is_kept"), [(0.36, False), (0.48, True)])
def test_what_stands_out_from_a_brain_is_kept_where_it_leaves_a_rounder_one(width, is_kept):
    """Half as bright as the brain, on four sides of it: narrow as bridges to the bone, or most of a rim."""
    gray = discs((0.4, 230), (0.375, 12), (0.355, 55), (0.29, 110))
    rim = (AWAY >= 0.29) & (AWAY < 0.355)
    stands_out = rim & (np.abs(np.sin(2 * np.arctan2(ROWS, COLUMNS))) < width)
    gray[rim & ~stands_out] = 12
    assert (np.mean(without_skull(gray)[stands_out] > 0) > 0.5) == is_kept


def test_what_is_not_nearly_convex_is_no_brain():
    gray, brain = head_with_bone(256, 256)
    cleft = np.zeros_like(brain)
    cleft[128:, 108:148] = True
    assert without_skull(np.where(cleft & brain, 12, gray).astype(np.uint8)) is None


@pytest.mark.parametrize(
    "gray",
    [
        np.zeros((64, 64), np.uint8),
        np.full((64, 64), 200, np.uint8),
        np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8),
        synthetic_head(),
    ],
    ids=["black", "white", "noise", "a head without bone"],
)
def test_says_where_no_brain_can_be_told_from_the_rest(gray):
    assert without_skull(gray) is None


def test_what_has_no_skull_has_none_to_remove():
    gray, brain = head_with_bone(256, 256)
    assert without_skull(gray * brain) is None
