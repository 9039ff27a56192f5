"""The check that ships: what it is fitted to, what sets its limit, and what it is measured by."""

import json
import shutil
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from brat.environment import WEIGHTS

pytest.importorskip("sklearn", reason="needs the full installation")

from brat.data.index import FOLDS, fingerprint, read_index
from brat.evaluation import out_of_distribution as module
from brat.model.classifier import Classifier
from brat.model.out_of_distribution import OodDetector
from brat.model.preprocess import frame, to_input
from tests.factories.heads import head_with_bone, synthetic_head
from tests.factories.indexes import HEADER
from tests.factories.weights import model_folder

A_FOLD = 3


def others() -> list[tuple[str, str, np.ndarray]]:
    draw = np.random.default_rng(1)
    noise = [("n", "noise", draw.integers(0, 256, (200, 200), np.uint8)) for _ in range(4)]
    stripes = [
        ("s", "photograph", np.tile(np.uint8(np.arange(200) % width * 250 // width), (200, 1)))
        for width in (3, 5, 9, 14)
    ]
    return noise + stripes


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Heads whose skull can be removed, and one a fold where it can not."""
    folder = tmp_path_factory.mktemp("heads")
    rows = []
    for fold in range(FOLDS):
        for number in range(A_FOLD):
            name = f"{fold}-{number}.png"
            seed = fold * A_FOLD + number
            gray = synthetic_head(seed=seed) if number == 0 else head_with_bone(seed=seed)[0]
            Image.fromarray(gray).save(folder / name)
            rows.append(f"{name},{name},br35h,no_tumor,0,{name},{name},{fold},,\n")
    (folder / "index.csv").write_text(HEADER + "".join(rows))
    slices = read_index(folder / "index.csv")
    weights = model_folder(tmp_path_factory.mktemp("weights"))
    card = json.loads((WEIGHTS / "model_card.json").read_text())
    card |= {
        "data_fingerprint": fingerprint(slices),
        "test_fold": None,
        "validation_fold": None,
        "held_out": [],
    }
    (weights / "model_card.json").write_text(json.dumps(card))
    runs = tmp_path_factory.mktemp("runs")
    result = module.fit_and_measure(runs, slices, weights, others(), never_met=())
    return result, runs, slices, weights


def test_counts_slices_with_and_without_their_skull(measured):
    result, _, slices, _ = measured
    assert result["slices"] == len(slices)
    assert result["refused_by_group"].keys() == {"br35h/unknown"}
    assert result["refused_without_skull"]["slices"] == FOLDS * (A_FOLD - 1)
    assert {kind: entry["images"] for kind, entry in result["others"].items()} == {
        "noise": 4,
        "photograph": 4,
    }


def test_what_ships_lets_heads_pass_without_their_skull_too(measured):
    result, _, _, weights = measured
    classifier, detector = Classifier(weights), OodDetector.load(weights / "out_of_distribution.npz")
    assert detector.limit == result["limit"]

    def passes(gray: np.ndarray) -> bool:
        return detector.judge(classifier.predict(to_input(frame(gray)[0])).appearance).in_distribution

    head, brain = head_with_bone(seed=99)
    assert passes(head)
    assert passes(head * brain)
    assert not any(passes(gray) for _, _, gray in others())


def test_a_kind_is_judged_by_a_detector_that_does_not_know_it(measured, monkeypatch):
    result, runs, slices, weights = measured
    known, counts, weights_of = [], [], []
    fit = module.fit_detector

    def note(heads: np.ndarray, outside: np.ndarray, kinds: list[str], weights: np.ndarray) -> OodDetector:
        known.append(set(kinds))
        counts.append(len(heads))
        weights_of.append(Counter(weights.tolist()))
        return fit(heads, outside, kinds, weights=weights)

    monkeypatch.setattr(module, "fit_detector", note)
    folder = shutil.copytree(weights, runs / "again")
    module.fit_and_measure(runs, slices, folder, others(), never_met=())
    *of_folds, shipped = known
    assert len(of_folds) == FOLDS
    # Each slice, each without its skull where that could be removed, and a changed copy of either.
    each = len(slices) + result["refused_without_skull"]["slices"]
    assert counts[-1] == 2 * each
    assert max(counts[:-1]) < 2 * each
    # Those without a skull are few, so that each counts more.
    assert weights_of[-1] == {1: 2 * len(slices), 3: 2 * result["refused_without_skull"]["slices"]}
    for kind in shipped:
        assert sum(kind not in kinds for kinds in of_folds) == 1


def test_who_is_never_met_sets_no_limit(measured, monkeypatch):
    result, runs, slices, weights = measured
    limited = []
    choose = module.choose_limit

    def note(decisions: np.ndarray, groups: np.ndarray) -> float:
        limited.append(Counter(groups))
        return choose(decisions, groups)

    monkeypatch.setattr(module, "choose_limit", note)
    folder = shutil.copytree(weights, runs / "never met")
    bare = next(s for s in slices if not s.file.endswith("-0.png"))
    module.fit_and_measure(runs, slices, folder, others(), never_met=[bare.group])
    without_skull = result["refused_without_skull"]["slices"]
    assert limited[-1] == {"br35h/unknown": len(slices) - 1, "without skull": without_skull - 1}


def test_what_is_kept_is_not_taken_for_that_of_other_pictures(measured):
    _, runs, slices, weights = measured
    kept = module._described(runs, slices, weights, others())
    turned = module._described(runs, slices[::-1], weights, others()[::-1])
    assert np.array_equal(turned.slices, kept.slices[::-1])
    assert np.array_equal(turned.others[:, 0], kept.others[::-1, 0])
    assert len(np.unique(kept.slices[:, 0])) > 1
