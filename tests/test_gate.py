"""The gate, on made features; and the shipped one, on pictures that are no brain MRI slices."""

from functools import cache

import numpy as np
import pytest

from brat import WEIGHTS
from brat.classifier import Classifier
from brat.gate import Gate, choose_limit, image_facts, out_of_fold_scores
from brat.preprocess import frame, to_input
from brat.samples import load_samples
from brat.scans import read_scan


@pytest.fixture
def slices(make_head):
    """Features and facts of forty heads that differ a little."""
    draw = np.random.default_rng(0)
    framed = [frame(make_head(radii=(95 + k, 80 + k), seed=k))[0] for k in range(40)]
    features = draw.normal(0, 1, (40, 1280)).astype(np.float32)
    return features, np.stack([image_facts(f) for f in framed]), framed


def test_known_slices_pass_and_strange_features_do_not(slices):
    features, facts, framed = slices
    gate = Gate.fit(features, facts, limit=1.0)
    assert gate.judge(features[3], framed[3]).known
    assert gate.judge(features[3], framed[3]).score == pytest.approx(0, abs=1e-2)
    strange = gate.judge(features[3] + 30, framed[3])
    assert not strange.known
    assert strange.score > 1
    assert "unlike every slice" in strange.reason


def test_a_strange_picture_is_told_by_its_facts(slices):
    features, facts, _ = slices
    gate = Gate.fit(features, facts, limit=1.0)
    noise = np.random.default_rng(1).integers(0, 256, (224, 224), dtype=np.uint8)
    verdict = gate.judge(features[3], noise)
    assert not verdict.known
    assert verdict.reason
    assert "unlike every slice" not in verdict.reason


def test_one_is_the_limit(slices):
    features, facts, framed = slices
    far = Gate.fit(features, facts, limit=1.0).judge(features[0] + 5, framed[0]).score
    assert Gate.fit(features, facts, limit=far * 1.01).judge(features[0] + 5, framed[0]).known
    assert not Gate.fit(features, facts, limit=far * 0.99).judge(features[0] + 5, framed[0]).known


def test_limit_refuses_the_share_that_was_asked_for():
    distances = np.arange(1000, dtype=float)
    limit = choose_limit(distances, refused=0.02)
    assert (distances > limit).mean() <= 0.02
    assert (distances > limit).mean() >= 0.018


def test_out_of_fold_scores_are_larger_for_what_was_not_fitted(slices):
    features, facts, _ = slices
    own = out_of_fold_scores(features, facts, features, facts)
    other = out_of_fold_scores(features[:30], facts[:30], features[30:], facts[30:])
    assert own.max() < other.min()


def test_survives_saving(slices, tmp_path):
    features, facts, framed = slices
    gate = Gate.fit(features, facts, limit=1.5)
    gate.save(tmp_path / "gate.npz")
    loaded = Gate.load(tmp_path / "gate.npz")
    assert loaded.judge(features[1] + 1, framed[2]) == gate.judge(features[1] + 1, framed[2])


def test_refuses_what_does_not_belong_together(slices):
    features, facts, _ = slices
    with pytest.raises(ValueError, match="same slices"):
        Gate.fit(features[:5], facts, limit=1.0)
    with pytest.raises(ValueError, match="features"):
        Gate.fit(features, facts, limit=1.0).distances(features[:, :100], facts)


@cache
def shipped() -> tuple[Classifier, Gate]:
    return Classifier(), Gate.load(WEIGHTS / "gate.npz")


def score(gray: np.ndarray) -> float:
    classifier, gate = shipped()
    framed, _ = frame(gray)
    return gate.judge(classifier.predict(to_input(framed)).features, framed).score


def test_shipped_gate_is_small():
    assert (WEIGHTS / "gate.npz").stat().st_size <= 1e6


def test_shipped_gate_refuses_other_pictures():
    pytest.importorskip("skimage", reason="needs the test installation")
    from brat.other_images import other_images

    refused = [score(gray) > 1 for _, _, gray in other_images()]
    assert len(refused) >= 300
    assert np.mean(refused) >= 0.99


def test_shipped_gate_tells_heads_from_other_pictures():
    """The samples are averages of many scans, some of them just beyond the limit; others are far off."""
    scores = {s.name: score(read_scan(s.file).gray) for s in load_samples()}
    assert scores["head-axial"] < 1
    assert max(scores.values()) < 1.2
    noise = np.random.default_rng(0).integers(0, 256, (300, 300), dtype=np.uint8)
    assert score(noise) > 1.3 * max(scores.values())
