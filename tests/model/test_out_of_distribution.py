"""The out-of-distribution check on made-up features, and the shipped detector on other images."""

from functools import cache

import cv2
import numpy as np
import pytest

from brat.environment import WEIGHTS
from brat.evaluation.fit_out_of_distribution import choose_limit, fit_detector, out_of_fold_distances
from brat.io.samples import load_samples
from brat.io.scan import read_scan
from brat.model.classifier import Classifier
from brat.model.out_of_distribution import OodDetector, image_facts
from brat.model.preprocess import frame, to_input


@pytest.fixture
def slices(make_head):
    """Features and facts of forty heads that differ a little."""
    draw = np.random.default_rng(0)
    framed = [frame(make_head(radii=(95 + k, 80 + k), seed=k))[0] for k in range(40)]
    features = draw.normal(0, 1, (40, 1280)).astype(np.float32)
    return features, np.stack([image_facts(f) for f in framed]), framed


def test_known_slices_pass_and_strange_features_do_not(slices):
    features, facts, framed = slices
    detector = fit_detector(features, facts, limit=1.0)
    assert detector.judge(features[3], framed[3]).in_distribution
    assert detector.judge(features[3], framed[3]).score == pytest.approx(0, abs=1e-2)
    strange = detector.judge(features[3] + 30, framed[3])
    assert not strange.in_distribution
    assert strange.score > 1
    assert "unlike every slice" in strange.reason


def test_a_strange_picture_is_told_by_its_facts(slices):
    features, facts, _ = slices
    detector = fit_detector(features, facts, limit=1.0)
    noise = np.random.default_rng(1).integers(0, 256, (224, 224), dtype=np.uint8)
    result = detector.judge(features[3], noise)
    assert not result.in_distribution
    assert result.reason
    assert "unlike every slice" not in result.reason


def test_one_is_the_limit(slices):
    features, facts, framed = slices
    far = fit_detector(features, facts, limit=1.0).judge(features[0] + 5, framed[0]).score
    assert fit_detector(features, facts, limit=far * 1.01).judge(features[0] + 5, framed[0]).in_distribution
    assert (
        not fit_detector(features, facts, limit=far * 0.99).judge(features[0] + 5, framed[0]).in_distribution
    )


def test_limit_refuses_the_share_that_was_asked_for():
    distances = np.arange(1000, dtype=float)
    limit = choose_limit(distances, refused=0.02)
    assert (distances > limit).mean() <= 0.02
    assert (distances > limit).mean() >= 0.018


def test_out_of_fold_distances_are_larger_for_what_was_not_fitted(slices):
    features, facts, _ = slices
    own = out_of_fold_distances(features, facts, features, facts)
    other = out_of_fold_distances(features[:30], facts[:30], features[30:], facts[30:])
    assert own.max() < other.min()


def test_survives_saving(slices, tmp_path):
    features, facts, framed = slices
    detector = fit_detector(features, facts, limit=1.5)
    detector.save(tmp_path / "out_of_distribution.npz")
    loaded = OodDetector.load(tmp_path / "out_of_distribution.npz")
    assert loaded.judge(features[1] + 1, framed[2]) == detector.judge(features[1] + 1, framed[2])


def test_refuses_what_does_not_belong_together(slices):
    features, facts, _ = slices
    with pytest.raises(ValueError, match="same slices"):
        fit_detector(features[:5], facts, limit=1.0)
    with pytest.raises(ValueError, match="features"):
        fit_detector(features, facts, limit=1.0).distances(features[:, :100], facts)


@pytest.mark.parametrize("picture", ["head", "noise", "pieces", "black"])
def test_facts_are_what_they_are_called(picture, make_head):
    """By plainer and slower ways to the same numbers, not one bit apart."""
    framed = {
        "head": frame(make_head(300, 260, (120, 170), (80, 110)))[0],
        "noise": np.random.default_rng(1).integers(0, 256, (224, 224), dtype=np.uint8),
        "pieces": cv2.resize(np.eye(7, dtype=np.uint8) * 200, (224, 224), interpolation=cv2.INTER_NEAREST),
        "black": np.zeros((224, 224), np.uint8),
    }[picture]

    def log_odds(share):
        return np.float32(np.log((share + 1e-3) / (1 - share + 1e-3)))

    half = cv2.resize(framed, (112, 112), interpolation=cv2.INTER_AREA)
    bright = half >= 31
    if picture == "black":
        bright[56, 56] = True
    hull = cv2.convexHull(np.argwhere(bright)[:, ::-1].astype(np.int32))
    area = max(cv2.contourArea(hull), 1.0)
    rows, columns = np.nonzero(bright)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    facts = image_facts(framed)
    assert facts[0] == log_odds(area / 112**2)
    assert facts[1] == log_odds(min(bright.sum() / area, 1))
    assert facts[2] == np.float32(area / (width * height))
    assert facts[3] == np.float32(np.log(width / height))
    assert facts[5] == log_odds((framed < 9).mean())
    assert facts[6] == log_odds(((framed >= 9) & (framed < 31)).mean())
    head = framed[framed >= 31] / 255
    assert facts[7] == pytest.approx(head.mean() if head.size else 0, rel=1e-6)
    assert facts[8] == pytest.approx(head.std() if head.size else 0, rel=1e-5)

    smooth = cv2.GaussianBlur(framed, (3, 3), 0.8)
    across, down = (
        np.ascontiguousarray(cv2.Sobel(smooth, cv2.CV_32F, *order)[::2, ::2]) for order in ((1, 0), (0, 1))
    )
    strength, angle = cv2.cartToPolar(across, down)
    eighths = np.floor(angle * np.float32(8 / np.pi)).astype(int) % 8
    tiles = np.array(
        [
            strength[y : y + 28, x : x + 28][eighths[y : y + 28, x : x + 28] == k].sum(dtype=float)
            for y in range(0, 112, 28)
            for x in range(0, 112, 28)
            for k in range(8)
        ]
    )
    np.testing.assert_allclose(facts[17:], np.sqrt(tiles / max(tiles.sum(), 1)), rtol=1e-6, atol=1e-9)


@cache
def shipped() -> tuple[Classifier, OodDetector]:
    return Classifier(), OodDetector.load(WEIGHTS / "out_of_distribution.npz")


def score(gray: np.ndarray) -> float:
    classifier, detector = shipped()
    framed, _ = frame(gray)
    return detector.judge(classifier.predict(to_input(framed)).features, framed).score


def test_shipped_detector_is_small():
    assert (WEIGHTS / "out_of_distribution.npz").stat().st_size <= 1e6


def test_shipped_detector_refuses_other_pictures():
    pytest.importorskip("skimage", reason="needs the test installation")
    from brat.evaluation.other_images import other_images

    refused = [score(gray) > 1 for _, _, gray in other_images()]
    assert len(refused) >= 300
    assert np.mean(refused) >= 0.99


def test_shipped_detector_tells_heads_from_other_pictures():
    """The samples are averages of many scans, some of them just beyond the limit; others are far off."""
    scores = {s.name: score(read_scan(s.file).gray) for s in load_samples()}
    assert scores["head-axial"] < 1
    assert max(scores.values()) < 1.2
    noise = np.random.default_rng(0).integers(0, 256, (300, 300), dtype=np.uint8)
    assert score(noise) > 1.3 * max(scores.values())
