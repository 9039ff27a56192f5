import json

import numpy as np
import pytest

from brat.classes import CLASSES
from brat.evaluation.fit_calibration import fit_calibration, fit_temperature
from brat.evaluation.metrics import with_intervals
from brat.evaluation.reliability import (
    cross_fitted_sets,
    expected_calibration_error,
    measure_calibration,
    reliability,
)
from brat.model.calibration import LEVELS, membership, softmax
from tests.factories.calibration import honest


def test_reliability_by_hand():
    probabilities = np.array([[0.9, 0.1, 0, 0], [0.1, 0.8, 0.1, 0], [0.3, 0.3, 0.4, 0], [0.5, 0.5, 0, 0]])
    labels = np.array([0, 0, 2, 1])
    bars = reliability(labels, probabilities, bins=2)
    # 0.5 is the upper edge of the first bin.
    np.testing.assert_array_equal(bars["count"], [2, 2])
    np.testing.assert_allclose(bars["confidence"], [0.45, 0.85])
    np.testing.assert_allclose(bars["accuracy"], [0.5, 0.5])
    assert expected_calibration_error(labels, probabilities, bins=2) == pytest.approx((0.05 + 0.35) / 2)
    fine = reliability(labels, probabilities)
    assert len(fine["count"]) == 15
    assert fine["count"].sum() == 4
    np.testing.assert_array_equal(np.isnan(fine["accuracy"]), fine["count"] == 0)


def test_weights_stand_for_repeats():
    logits, labels = honest(60)
    probabilities = softmax(logits * 2)
    times = np.random.default_rng(1).integers(0, 4, 60)
    weighted = expected_calibration_error(labels, probabilities, times.astype(float))
    repeated = expected_calibration_error(labels.repeat(times), probabilities.repeat(times, axis=0))
    assert weighted == pytest.approx(repeated)
    assert np.isnan(expected_calibration_error(labels, probabilities, np.zeros(60)))


def test_calibration_error_has_an_interval():
    logits, labels = honest(200)
    probabilities = softmax(logits * 3)
    measured = with_intervals(
        lambda weights: {"ece": expected_calibration_error(labels, probabilities, weights)},
        [str(k // 2) for k in range(200)],
    )["ece"]
    assert measured["value"] == expected_calibration_error(labels, probabilities)
    assert 0 < measured["low"] < measured["value"] < measured["high"] < 1


def test_right_temperature_leaves_little_calibration_error():
    logits, labels = honest(20000)
    temperature = fit_temperature(logits * 3, labels)
    assert expected_calibration_error(labels, softmax(logits * 3)) > 0.1
    assert expected_calibration_error(labels, softmax(logits * 3, temperature)) < 0.015


def test_no_fold_is_measured_by_what_was_fitted_to_it():
    logits, labels = honest(900)
    folds = np.arange(900) % 3
    probabilities = cross_fitted_sets(logits, labels, folds)[0]
    for fold in range(3):
        rest = folds != fold
        temperature = fit_temperature(logits[rest], labels[rest])
        np.testing.assert_allclose(probabilities[~rest], softmax(logits[~rest], temperature), atol=1e-6)
    # Other labels in fold 0 change what the other folds get and not what fold 0 gets.
    changed = cross_fitted_sets(logits, np.where(folds == 0, 3 - labels, labels), folds)[0]
    np.testing.assert_array_equal(changed[folds == 0], probabilities[folds == 0])
    assert np.abs(changed[folds == 1] - probabilities[folds == 1]).max() > 0.05


def test_each_fold_is_fitted_by_the_groups_of_the_others():
    logits, labels = honest(4000)
    folds, groups = np.arange(4000) % 2, np.where(np.arange(4000) % 8 < 2, "elsewhere", "here")
    logits[groups == "elsewhere"] *= 2
    probabilities, sets = cross_fitted_sets(logits, labels, folds, groups)
    for fold in range(2):
        rest = folds != fold
        fitted = fit_calibration(logits[rest], labels[rest], "", groups[rest])
        expected = fitted.apply(logits[~rest])
        np.testing.assert_array_equal(probabilities[~rest], expected)
        for level, inside in sets.items():
            np.testing.assert_array_equal(inside[~rest], membership(expected, fitted.thresholds[level]))


def test_one_fold_leaves_nothing_to_fit_to():
    logits, labels = honest(20)
    with pytest.raises(ValueError, match="one or more slices"):
        cross_fitted_sets(logits, labels, np.zeros(20, int))


def test_calibration_is_measured_out_of_fold():
    logits, labels = honest(4000)
    folds = np.arange(4000) // 4 % 5
    clusters = [f"patient {k // 4}" for k in range(4000)]
    measured = json.loads(
        json.dumps(measure_calibration(logits * 3, labels, folds, clusters), allow_nan=False)
    )
    assert (measured["slices"], measured["clusters"]) == (4000, 1000)
    assert measured["temperature"] == pytest.approx(3, rel=0.1)
    assert measured["after"]["ece"]["high"] < 0.05 < measured["before"]["ece"]["low"]
    assert measured["after"]["nll"]["high"] < measured["before"]["nll"]["low"]
    assert sum(measured["after"]["bins"]["count"]) == 4000
    assert None in measured["after"]["bins"]["accuracy"]
    for level in LEVELS:
        numbers = measured["sets"][str(level)]
        value = {name: number["value"] for name, number in numbers.items()}
        assert value["coverage"] == pytest.approx(level, abs=0.02)
        by_class = [value[f"coverage/{name}"] for name in CLASSES]
        assert value["coverage"] == pytest.approx(np.average(by_class, weights=np.bincount(labels)))
        shares = [value[f"share/{k}"] for k in range(5)]
        assert sum(shares) == pytest.approx(1)
        assert value["size"] == pytest.approx(np.dot(shares, range(5)))
        assert all(number["low"] <= number["value"] <= number["high"] for number in numbers.values())


def test_a_class_without_slices_has_no_coverage():
    logits, labels = honest(400)
    logits, labels = logits[labels != 2], labels[labels != 2]
    numbers = np.arange(len(labels))
    measured = measure_calibration(logits, labels, numbers % 2, numbers.astype(str))
    assert measured["sets"]["0.95"]["coverage/pituitary"] == {"value": None, "low": None, "high": None}


def test_coverage_is_that_of_held_out_sets():
    # Two folds whose glioma slices are of different kinds: thresholds fitted to the one fail on the other.
    logits = np.tile([4.0, 0, 0, 0], (400, 1))
    logits[1::2] = [0.0, 0.5, 0, 0]
    # The other classes are plain, so that their thresholds keep them out.
    logits = np.concatenate([logits, np.eye(4).repeat(100, axis=0)[100:] * 8])
    labels = np.concatenate([np.zeros(400, int), np.arange(4).repeat(100)[100:]])
    logits += np.random.default_rng(0).normal(0, 0.01, logits.shape)
    measured = measure_calibration(logits, labels, np.arange(700) % 2, [str(k) for k in range(700)])
    assert measured["sets"]["0.95"]["coverage/glioma"]["value"] < 0.6


def test_a_sure_mistake_stays_finite():
    logits, labels = np.eye(4)[[0, 0, 1, 1]] * 1e4, np.array([0, 1, 1, 1])
    measured = measure_calibration(logits, labels, np.arange(4) % 2, list("abcd"))
    # One slice of four had a probability that underflows to 0.
    assert measured["before"]["nll"]["value"] == pytest.approx(-np.log(1e-12) / 4)
