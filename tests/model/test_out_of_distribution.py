"""The out-of-distribution check on made-up appearances, and the shipped detector on other pictures."""

from functools import cache

import numpy as np
import pytest

from brat.data.index import IndexedSlice
from brat.environment import WEIGHTS
from brat.evaluation.fit_out_of_distribution import choose_limit, choose_slices, fit_detector, with_limit
from brat.io.read import read_scan
from brat.io.samples import load_samples
from brat.model.classifier import Classifier
from brat.model.out_of_distribution import OodDetector
from brat.model.preprocess import frame, to_input

KINDS = ["a CT"] * 60 + ["a photograph"] * 60


@pytest.fixture(scope="module")
def appearances():
    """Slices around one place, CTs and photographs around two others."""
    draw = np.random.default_rng(0)
    centres = draw.normal(0, 3, (3, 12))
    slices, cts, photographs = (centre + draw.normal(0, 1, (60, 12)) for centre in centres)
    return slices.astype(np.float32), np.concatenate([cts, photographs]).astype(np.float32)


@pytest.fixture(scope="module")
def detector(appearances):
    return fit_detector(*appearances, KINDS)


def test_slices_pass_and_other_pictures_do_not(appearances, detector):
    slices, others = appearances
    assert (detector.decisions(slices) < 0).mean() > 0.98
    assert (detector.decisions(others) > 0).mean() > 0.98


def test_the_decision_is_the_support_vector_machines(appearances, detector):
    """As scikit-learn works it out, by its own kernel."""
    from sklearn.svm import SVC

    slices, others = appearances
    both = np.concatenate([slices, others])
    places = (both - both.mean(axis=0)) / both.std(axis=0)
    machine = SVC(C=1, gamma=1 / both.shape[1], class_weight="balanced")
    machine.fit(places, np.repeat([0, 1], [len(slices), len(others)]))
    np.testing.assert_allclose(detector.decisions(both), machine.decision_function(places), atol=1e-3)


@pytest.mark.parametrize(("row", "kind"), [(3, "a CT"), (70, "a photograph")])
def test_the_reason_names_what_it_looks_like(appearances, detector, row, kind):
    result = detector.judge(appearances[1][row])
    assert not result.in_distribution
    assert result.score > 1
    assert result.reason == f"To the model it looks more like {kind} than like an MRI slice of a head."
    assert detector.judge(appearances[0][row % 60]).reason == ""


def test_one_is_the_limit(appearances, detector):
    (decision,) = detector.decisions(appearances[1][:1])
    for limit, passes in ((decision + 0.01, True), (decision - 0.01, False)):
        result = with_limit(detector, float(limit)).judge(appearances[1][0])
        assert (result.in_distribution, result.score <= 1) == (passes, passes)


def test_the_limit_holds_in_every_group():
    decisions = np.concatenate([np.linspace(-3, 0, 1000), np.linspace(-3, 1, 100)])
    groups = ["here"] * 1000 + ["elsewhere"] * 100
    limit = choose_limit(decisions, groups, refused=0.02)
    assert (decisions[:1000] > limit).mean() == 0
    assert 0 < (decisions[1000:] > limit).mean() <= 0.02


def test_a_few_slices_of_one_patient_do_not_set_the_limit():
    decisions = np.concatenate([np.linspace(-3, 0, 1000), np.linspace(1, 2, 20)])
    assert choose_limit(decisions, ["here"] * 1000 + ["elsewhere"] * 20) < 0
    assert choose_limit(decisions[1000:], ["elsewhere"] * 20) > 1


def test_no_source_outweighs_the_others():
    slices = [
        IndexedSlice(None, f"{n}.png", "large" if n < 600 else "small", "glioma", True, str(n), str(n), 0)
        for n in range(640)
    ]
    chosen = choose_slices(slices)
    assert sum(s.source == "large" for s in chosen) == 250
    assert sum(s.source == "small" for s in chosen) == 40
    assert choose_slices(slices) == chosen


def test_survives_saving(appearances, detector, tmp_path):
    limited = with_limit(detector, -0.25)
    limited.save(tmp_path / "out_of_distribution.npz")
    loaded = OodDetector.load(tmp_path / "out_of_distribution.npz")
    both = np.concatenate(appearances)
    np.testing.assert_allclose(loaded.decisions(both), limited.decisions(both), atol=0.01)
    assert loaded.limit == -0.25
    assert loaded.judge(both[100]).reason == limited.judge(both[100]).reason


@pytest.mark.parametrize(("slices", "others", "kinds"), [(0, 120, 120), (60, 0, 0), (60, 120, 119)])
def test_refuses_what_it_cannot_be_fitted_to(appearances, slices, others, kinds):
    with pytest.raises(ValueError, match="with a kind each"):
        fit_detector(appearances[0][:slices], appearances[1][:others], KINDS[:kinds])


def test_refuses_appearances_of_another_network(appearances, detector):
    with pytest.raises(ValueError, match="12 features, not of 5"):
        detector.decisions(appearances[0][:, :5])


@cache
def shipped() -> tuple[Classifier, OodDetector]:
    return Classifier(), OodDetector.load(WEIGHTS / "out_of_distribution.npz")


def score(gray: np.ndarray) -> float:
    classifier, detector = shipped()
    return detector.judge(classifier.predict(to_input(frame(gray)[0])).appearance).score


def test_shipped_detector_is_small():
    assert (WEIGHTS / "out_of_distribution.npz").stat().st_size <= 1e6


def test_shipped_detector_refuses_other_pictures():
    pytest.importorskip("skimage", reason="needs the test installation")
    from brat.evaluation.other_images import other_images

    refused = [score(gray) > 1 for _, _, gray in other_images()]
    assert len(refused) >= 300
    assert np.mean(refused) >= 0.99


def test_shipped_detector_refuses_ct_and_spine(data_index):
    """Pictures that the detector was fitted to; what it does with others is in `weights/metrics.json`."""
    from brat.evaluation.other_images import outside_images

    refused = [score(gray) > 1 for _, _, gray in outside_images(data_index.parent.parent / "other")]
    assert len(refused) > 100
    assert np.mean(refused) >= 0.98


def test_shipped_detector_lets_the_samples_pass():
    """Among them the mean of many heads without its skull, which is smoother than a scan of one is."""
    scans = [s for s in load_samples() if s.file.suffix in {".png", ".dcm", ".jpg"}]
    assert [s.name for s in scans if score(read_scan(s.file).gray) > 1] == []


def test_a_slice_that_counts_more_is_let_through_more_easily(appearances):
    slices, others = appearances
    # One slice amid the other pictures.
    slices = np.concatenate([slices, others[:1] + 0.01])
    weights = np.ones(len(slices))
    alike = fit_detector(slices, others, KINDS, weights=weights)
    assert np.array_equal(alike.decisions(slices), fit_detector(slices, others, KINDS).decisions(slices))
    weights[-1] = 20
    assert fit_detector(slices, others, KINDS, weights=weights).decisions(slices)[-1] < (
        alike.decisions(slices)[-1] - 0.1
    )
