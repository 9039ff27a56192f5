import numpy as np
import pytest

from brat.evaluation.fit_calibration import (
    fit_calibration,
    fit_cautious_temperature,
    fit_conformal,
    fit_temperature,
    fit_to_risk,
)
from brat.model.calibration import LEVELS, membership, softmax
from tests.factories.calibration import honest


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


def test_no_group_is_too_sure_of_itself():
    logits, labels = honest(8000)
    groups = np.array(["here"] * 7000 + ["elsewhere"] * 950 + ["few"] * 50)
    sharp = logits.copy()
    sharp[groups == "elsewhere"] *= 2
    # Nothing can be said of a group of fifty.
    sharp[groups == "few"] *= 10
    cautious = fit_cautious_temperature(sharp, labels, groups)
    assert cautious == pytest.approx(fit_temperature(sharp[7000:7950], labels[7000:7950]))
    assert cautious == pytest.approx(2, rel=0.1)
    assert fit_calibration(sharp, labels, "", groups).temperature == cautious
    # Groups that are surer of themselves than they need to be do not make the whole less cautious.
    sharp[groups == "elsewhere"] /= 4
    assert fit_cautious_temperature(sharp, labels, groups) == pytest.approx(1, rel=0.05)


def test_of_several_places_none_is_made_surer_than_the_network_is():
    """Each of them could bear it; a place that is not among them may not."""
    logits, labels = honest(4000)
    groups = np.array(["here", "there"] * 2000)
    assert fit_cautious_temperature(logits / 2, labels, groups) == 1
    # A site that fits its own temperature is the place where it is used.
    assert fit_cautious_temperature(logits / 2, labels) == pytest.approx(0.5, rel=0.1)


def test_few_answers_of_a_group_are_wrong_and_sure():
    """Of 199 answers 7 are wrong, each surer than the last; 3 of them and the next slice are 2 % of 200."""
    labels = np.zeros(199, int)
    logits = np.tile([9.0, 0, 0, 0], (199, 1))
    logits[:7] = [[0, sure, 0, 0] for sure in (4, 5, 6, 7, 8, 9, 10)]
    temperature = fit_to_risk(logits, labels)
    # The fourth surest has 0.9, which is not above it.
    assert softmax(logits[3], temperature)[1] == pytest.approx(0.9)
    assert (softmax(logits[:7], temperature * 1.0001).max(axis=1) > 0.9).sum() == 3
    assert (softmax(logits[:7], temperature / 1.0001).max(axis=1) > 0.9).sum() == 4
    # So it is of both where another group is always right, but for groups that are too small.
    both, of_both = np.concatenate([logits, logits[7:]]), np.zeros(199 + 192, int)
    groups = np.array(["here"] * 199 + ["elsewhere"] * 192)
    assert fit_cautious_temperature(both, of_both, groups) == pytest.approx(temperature)
    groups[100:199] = "elsewhere"
    assert fit_cautious_temperature(both, of_both, groups) > temperature
    groups[50:199] = "elsewhere"
    assert fit_cautious_temperature(both, of_both, groups) < temperature


def test_thresholds_by_hand():
    # Of 19 slices and the next one, 95 % is all but one: the least of the 19. 99 % is more than they tell.
    true = np.arange(19, 0, -1) / 20
    probabilities = np.column_stack([true, 1 - true, np.zeros((19, 2))])
    thresholds = fit_conformal(probabilities, np.zeros(19, int), levels=[0.9, 0.95, 0.99])
    assert {level: least[0] for level, least in thresholds.items()} == {0.9: 0.1, 0.95: 0.05, 0.99: 0.0}
    # Nothing is known of the other classes, so nothing keeps them out.
    assert {least[1:] for least in thresholds.values()} == {(0.0, 0.0, 0.0)}


def test_coverage_holds_in_the_group_that_is_hardest():
    """Of the hospital whose slices the model is less sure of, the pooled thresholds would lose too many."""
    logits, labels = honest(8000)
    groups = np.where(np.arange(8000) % 8 == 0, "elsewhere", "here")
    logits[groups == "elsewhere"] *= -0.3
    pooled = fit_conformal(softmax(logits), labels, None, [0.95])[0.95]
    grouped = fit_conformal(softmax(logits), labels, groups, [0.95])[0.95]
    few = np.where(np.arange(8000) < 40, "too few to say", groups)
    assert fit_conformal(softmax(logits), labels, few, [0.95])[0.95] == pytest.approx(grouped, abs=0.02)
    for least, expected in ((pooled, (0, 0.93)), (grouped, (0.94, 1))):
        inside = membership(softmax(logits), least)
        covered = inside[np.arange(len(labels)), labels][groups == "elsewhere"]
        assert expected[0] <= covered.mean() <= expected[1]


def test_thresholds_are_fitted_to_the_probabilities_that_are_shown():
    logits, labels = honest(2000)
    calibration = fit_calibration(logits * 3, labels, "")
    assert calibration.thresholds == fit_conformal(calibration.apply(logits * 3), labels)
    assert calibration.thresholds != fit_conformal(softmax(logits * 3), labels)


@pytest.mark.parametrize("mix", [(1, 1, 1, 1), (1, 0.1, 0.3, 1)])
def test_coverage_holds_in_each_class_whatever_the_mix(mix):
    logits, labels = honest(40000)
    calibration = fit_calibration(logits[:20000], labels[:20000], "first half")
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
    calibration = fit_calibration(logits, labels, "")
    small, middle, large = (
        membership(calibration.apply(logits), calibration.thresholds[level]) for level in LEVELS
    )
    assert (small <= middle).all()
    assert (middle <= large).all()
    assert large.sum() > middle.sum() > small.sum()
