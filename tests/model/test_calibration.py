import json

import numpy as np
import pytest

from brat.classes import CLASSES
from brat.evaluation.metrics import softmax, with_intervals
from brat.model.calibration import (
    LEVELS,
    Calibration,
    cross_fitted,
    expected_calibration_error,
    fit,
    fit_conformal,
    fit_temperature,
    membership,
    reliability,
    report,
)

UNEVEN = {0.9: (0.3, 0.2, 0.5, 0.6), 0.95: (0.1, 0.1, 0.2, 0.5), 0.99: (0.0, 0.0, 0.0, 0.1)}
CALIBRATION = Calibration(1.7, UNEVEN, 12, "abc", "2026-01-02T03:04:05+00:00")


def honest(count, seed=0, spread=2.5):
    """Logits and labels drawn from their own softmax, so that the right temperature is 1."""
    draw = np.random.default_rng(seed)
    logits = draw.normal([0.5, -0.5, 0.0, 1.0], spread, (count, 4))
    shares = softmax(logits).cumsum(axis=1)
    return logits, np.minimum((draw.random((count, 1)) > shares).sum(axis=1), 3)


@pytest.mark.parametrize("scale", [1 / 3, 1, 3])
def test_temperature_undoes_a_scale(scale):
    logits, labels = honest(20000)
    assert fit_temperature(logits * scale, labels) == pytest.approx(scale, rel=0.03)


def test_temperature_is_the_likeliest():
    logits, labels = honest(300, spread=1)

    def loss(temperature):
        return -np.log(softmax(logits, temperature)[np.arange(300), labels]).mean()

    best = fit_temperature(logits, labels)
    assert loss(best) < min(loss(best * 1.05), loss(best / 1.05))


def test_temperature_has_bounds():
    logits = np.eye(4) * 5
    assert fit_temperature(logits, np.arange(4)) == pytest.approx(0.05)
    assert fit_temperature(logits, (np.arange(4) + 1) % 4) == pytest.approx(20)


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (np.empty((0, 4)), np.empty(0, int)),
        (np.full((1, 4), np.nan), np.array([0])),
        (np.zeros((1, 4)), np.array([-1])),
        (np.zeros((1, 4)), np.array([4])),
    ],
)
def test_temperature_refuses_what_it_cannot_be_fitted_to(logits, labels):
    with pytest.raises(ValueError, match="known class with finite logits"):
        fit_temperature(logits, labels)


def test_apply_takes_one_slice_or_many():
    logits = np.array([[1, 2, 3, 4], [1e4, 0, 0, -1e4]], np.float32)
    many = CALIBRATION.apply(logits)
    assert many.dtype == np.float32
    np.testing.assert_allclose(many, softmax(logits.astype(float) / 1.7), rtol=1e-6)
    np.testing.assert_array_equal(many[0], CALIBRATION.apply(logits[0]))


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
    found = with_intervals(
        lambda weights: {"ece": expected_calibration_error(labels, probabilities, weights)},
        [str(k // 2) for k in range(200)],
    )["ece"]
    assert found["value"] == expected_calibration_error(labels, probabilities)
    assert 0 < found["low"] < found["value"] < found["high"] < 1


def test_right_temperature_leaves_little_calibration_error():
    logits, labels = honest(20000)
    temperature = fit_temperature(logits * 3, labels)
    assert expected_calibration_error(labels, softmax(logits * 3)) > 0.1
    assert expected_calibration_error(labels, softmax(logits * 3, temperature)) < 0.015


def test_thresholds_by_hand():
    # Of 19 slices and the next one, 95 % is all but one: the least of the 19. 99 % is more than they tell.
    true = np.arange(19, 0, -1) / 20
    probabilities = np.column_stack([true, 1 - true, np.zeros((19, 2))])
    found = fit_conformal(probabilities, np.zeros(19, int), [0.9, 0.95, 0.99])
    assert {level: least[0] for level, least in found.items()} == {0.9: 0.1, 0.95: 0.05, 0.99: 0.0}
    # Nothing is known of the other classes, so nothing keeps them out.
    assert {least[1:] for least in found.values()} == {(0.0, 0.0, 0.0)}


@pytest.mark.parametrize("mix", [(1, 1, 1, 1), (1, 0.1, 0.3, 1)])
def test_coverage_holds_in_each_class_whatever_the_mix(mix):
    logits, labels = honest(40000)
    calibration = fit(logits[:20000], labels[:20000], "first half")
    chosen = np.random.default_rng(2).random(20000) < np.array(mix)[labels[20000:]]
    probabilities, labels = calibration.apply(logits[20000:])[chosen], labels[20000:][chosen]
    for level in LEVELS:
        inside = membership(probabilities, calibration.thresholds[level])
        covered = inside[np.arange(len(labels)), labels]
        for k in range(4):
            # What is likelier than a member is let in too, so that a level may be surpassed a little.
            assert level - 0.02 < covered[labels == k].mean() < level + 0.05


def test_sets_of_a_higher_level_hold_those_of_a_lower():
    logits, labels = honest(500)
    calibration = fit(logits, labels, "")
    small, middle, large = (
        membership(calibration.apply(logits), calibration.thresholds[level]) for level in LEVELS
    )
    assert (small <= middle).all()
    assert (middle <= large).all()
    assert large.sum() > middle.sum() > small.sum()


def test_prediction_set_is_ordered_by_probability():
    probabilities = np.array([0.15, 0.3, 0.25, 0.3], np.float32)
    assert CALIBRATION.prediction_set(probabilities, 0.99) == (
        "meningioma",
        "no_tumor",
        "pituitary",
        "glioma",
    )
    assert CALIBRATION.prediction_set(np.array([0.15, 0.05, 0.75, 0.05])) == ("pituitary", "glioma")


def test_set_is_empty_where_no_class_reaches_its_threshold():
    least = np.array(CALIBRATION.thresholds[0.9])
    assert CALIBRATION.prediction_set(np.array([0.2, 0.1, 0.3, 0.4]), 0.9) == ()
    assert membership(np.stack([least - 0.01, least]), least).tolist() == [[False] * 4, [True] * 4]


def test_set_skips_no_class():
    # Glioma reaches its own threshold; pituitary, though likelier, does not reach its own.
    inside = membership(np.array([0.2, 0.1, 0.3, 0.4]), (0.15, 0.2, 0.5, 0.35))
    assert inside.tolist() == [True, False, True, True]
    logits, labels = honest(300)
    calibration = fit(logits, labels, "")
    for level in LEVELS:
        for row in calibration.apply(logits[:50]):
            inside = calibration.prediction_set(row, level)
            likeliest = [CLASSES[k] for k in np.argsort(-row, kind="stable")]
            assert list(inside) == likeliest[: len(inside)]


def test_unknown_level_is_refused():
    with pytest.raises(KeyError):
        CALIBRATION.prediction_set(np.full(4, 0.25), 0.8)


def test_file_gives_back_what_was_saved(tmp_path):
    fitted = fit(*honest(500), "fingerprint")
    for number, calibration in enumerate((CALIBRATION, fitted)):
        calibration.save(tmp_path / f"{number}.json")
        assert Calibration.load(tmp_path / f"{number}.json") == calibration
    assert (fitted.slices, fitted.source) == (500, "fingerprint")
    with pytest.raises(FileNotFoundError):
        Calibration.load(tmp_path / "none.json")


def test_no_fold_is_measured_by_what_was_fitted_to_it():
    logits, labels = honest(900)
    folds = np.arange(900) % 3
    probabilities = cross_fitted(logits, labels, folds)
    for fold in range(3):
        rest = folds != fold
        temperature = fit_temperature(logits[rest], labels[rest])
        np.testing.assert_allclose(probabilities[~rest], softmax(logits[~rest], temperature), atol=1e-6)
    # Other labels in fold 0 change what the other folds get and not what fold 0 gets.
    changed = cross_fitted(logits, np.where(folds == 0, 3 - labels, labels), folds)
    np.testing.assert_array_equal(changed[folds == 0], probabilities[folds == 0])
    assert np.abs(changed[folds == 1] - probabilities[folds == 1]).max() > 0.05


def test_one_fold_leaves_nothing_to_fit_to():
    logits, labels = honest(20)
    with pytest.raises(ValueError, match="one or more slices"):
        cross_fitted(logits, labels, np.zeros(20, int))


def test_report_is_measured_out_of_fold():
    logits, labels = honest(4000)
    folds = np.arange(4000) // 4 % 5
    clusters = [f"patient {k // 4}" for k in range(4000)]
    found = json.loads(json.dumps(report(logits * 3, labels, folds, clusters), allow_nan=False))
    assert (found["slices"], found["clusters"]) == (4000, 1000)
    assert found["temperature"] == pytest.approx(3, rel=0.1)
    assert found["after"]["ece"]["high"] < 0.05 < found["before"]["ece"]["low"]
    assert found["after"]["nll"]["high"] < found["before"]["nll"]["low"]
    assert sum(found["after"]["bins"]["count"]) == 4000
    assert None in found["after"]["bins"]["accuracy"]
    for level in LEVELS:
        numbers = found["sets"][str(level)]
        value = {name: number["value"] for name, number in numbers.items()}
        assert value["coverage"] == pytest.approx(level, abs=0.02)
        by_class = [value[f"coverage/{name}"] for name in CLASSES]
        assert value["coverage"] == pytest.approx(np.average(by_class, weights=np.bincount(labels)))
        shares = [value[f"share/{k}"] for k in range(5)]
        assert sum(shares) == pytest.approx(1)
        assert value["size"] == pytest.approx(np.dot(shares, range(5)))
        assert all(number["low"] <= number["value"] <= number["high"] for number in numbers.values())


def test_report_without_one_class():
    logits, labels = honest(400)
    logits, labels = logits[labels != 2], labels[labels != 2]
    numbers = np.arange(len(labels))
    found = report(logits, labels, numbers % 2, numbers.astype(str))
    assert found["sets"]["0.95"]["coverage/pituitary"] == {"value": None, "low": None, "high": None}


def test_report_of_sets_is_of_held_out_sets():
    # Two folds whose glioma slices are of different kinds: thresholds fitted to the one fail on the other.
    logits = np.tile([4.0, 0, 0, 0], (400, 1))
    logits[1::2] = [0.0, 0.5, 0, 0]
    # The other classes are plain, so that their thresholds keep them out.
    logits = np.concatenate([logits, np.eye(4).repeat(100, axis=0)[100:] * 8])
    labels = np.concatenate([np.zeros(400, int), np.arange(4).repeat(100)[100:]])
    logits += np.random.default_rng(0).normal(0, 0.01, logits.shape)
    found = report(logits, labels, np.arange(700) % 2, [str(k) for k in range(700)])
    assert found["sets"]["0.95"]["coverage/glioma"]["value"] < 0.6


def test_report_of_a_sure_mistake_stays_finite():
    logits, labels = np.eye(4)[[0, 0, 1, 1]] * 1e4, np.array([0, 1, 1, 1])
    found = report(logits, labels, np.arange(4) % 2, list("abcd"))
    # One slice of four had a probability that underflows to 0.
    assert found["before"]["nll"]["value"] == pytest.approx(-np.log(1e-12) / 4)
