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
