import numpy as np
import pytest

from brat.classes import CLASSES
from brat.evaluation.metrics import classification, detection, mean, with_intervals
from brat.model.calibration import softmax

pytest.importorskip("sklearn", reason="needs the full installation")

LABELS = np.array([0, 0, 1, 1, 2, 2, 3, 3])
READ = np.array([0, 1, 1, 1, 2, 2, 3, 0])
PROBABILITIES = np.eye(4)[READ] * 0.7 + 0.075


def test_classification_counts():
    measured = classification(LABELS, PROBABILITIES, np.ones(8))
    assert measured["accuracy"] == pytest.approx(6 / 8)
    assert measured["balanced_accuracy"] == pytest.approx((0.5 + 1 + 1 + 0.5) / 4)
    assert measured["recall/glioma"] == pytest.approx(0.5)
    assert measured["precision/meningioma"] == pytest.approx(2 / 3)
    assert measured["confusion/glioma/meningioma"] == 1
    assert measured["confusion/no_tumor/glioma"] == 1
    assert sum(v for k, v in measured.items() if k.startswith("confusion/")) == 8
    assert measured["auc/pituitary"] == 1


def test_weights_stand_for_repeats():
    weights = np.array([2, 0, 1, 3, 1, 1, 0, 1])
    repeated = classification(LABELS.repeat(weights), PROBABILITIES.repeat(weights, axis=0), np.ones(9))
    weighted = classification(LABELS, PROBABILITIES, weights.astype(float))
    assert weighted == pytest.approx(repeated, nan_ok=True)


def test_missing_class_is_not_measured():
    measured = classification(LABELS, PROBABILITIES, (LABELS != 2).astype(float))
    assert np.isnan(measured["recall/pituitary"])
    assert np.isnan(measured["auc/pituitary"])
    assert measured["balanced_accuracy"] == pytest.approx((0.5 + 1 + 0.5) / 3)


def test_detection():
    measured = detection(LABELS != 3, PROBABILITIES, np.ones(8))
    assert measured["sensitivity"] == 1
    assert measured["specificity"] == 0.5
    # Six tumours against two: one of the two is read as surely as they are.
    assert measured["auc"] == pytest.approx((6 + 3) / 12)


def test_detection_without_one_side_is_not_measured():
    measured = detection(LABELS != 3, PROBABILITIES, (LABELS != 3).astype(float))
    assert np.isnan(measured["specificity"])
    assert np.isnan(measured["auc"])


def test_softmax_and_temperature():
    logits = np.log([[0.1, 0.2, 0.3, 0.4]])
    np.testing.assert_allclose(softmax(logits), [[0.1, 0.2, 0.3, 0.4]])
    hot = softmax(logits, 100.0)
    assert hot.argmax() == 3
    assert np.ptp(hot) < 0.01
    assert np.isfinite(softmax(np.array([[1e4, 0, 0, 0]]))).all()


def test_intervals_are_wider_where_slices_come_in_clusters():
    draw = np.random.default_rng(0)
    right = np.repeat(draw.random(40) < 0.8, 10).astype(float)

    def share(weights):
        return {"share": np.average(right, weights=weights)}

    alone = with_intervals(share, [str(k) for k in range(400)])["share"]
    together = with_intervals(share, [str(k // 10) for k in range(400)])["share"]
    assert alone["value"] == together["value"] == right.mean()
    assert together["high"] - together["low"] > 2 * (alone["high"] - alone["low"])
    # sqrt(p (1 - p) / n) for 40 independent clusters, times 2 x 1.96.
    expected = 2 * 1.96 * np.sqrt(right.mean() * (1 - right.mean()) / 40)
    assert together["high"] - together["low"] == pytest.approx(expected, rel=0.15)


def test_what_cannot_be_computed_is_none():
    assert with_intervals(lambda weights: {"x": float("nan")}, ["a", "b"])["x"] == {
        "value": None,
        "low": None,
        "high": None,
    }


def test_order_of_classes():
    assert CLASSES == ("glioma", "meningioma", "pituitary", "no_tumor")


@pytest.mark.parametrize("seed", range(20))
def test_scikit_learn_computes_the_same(seed):
    from sklearn import metrics as reference

    draw = np.random.default_rng(seed)
    labels, weights = draw.integers(0, 1 + seed % 4, 40), draw.integers(0, 3, 40).astype(float)
    # Rounded, so that there are ties.
    probabilities = draw.dirichlet([0.5] * 4, 40).round(1)
    read, every = probabilities.argmax(axis=1), range(4)
    ours = classification(labels, probabilities, weights)
    matrix = reference.confusion_matrix(labels, read, labels=every, sample_weight=weights)
    precision, recall, f1, _ = reference.precision_recall_fscore_support(
        labels, read, labels=every, sample_weight=weights, zero_division=np.nan
    )
    assert ours["accuracy"] == pytest.approx(reference.accuracy_score(labels, read, sample_weight=weights))
    for k, name in enumerate(CLASSES):
        assert [ours[f"confusion/{name}/{other}"] for other in CLASSES] == pytest.approx(matrix[k].tolist())
        assert ours[f"precision/{name}"] == pytest.approx(precision[k], nan_ok=True)
        if k not in labels[weights > 0]:
            continue
        assert (ours[f"recall/{name}"], ours[f"f1/{name}"]) == pytest.approx((recall[k], f1[k]))
        if len(set(labels[weights > 0])) > 1:
            area = reference.roc_auc_score(labels == k, probabilities[:, k], sample_weight=weights)
            assert ours[f"auc/{name}"] == pytest.approx(area)


def test_an_interval_is_of_the_resamples_in_which_there_is_something_to_measure():
    """One cluster of five has a tumour: a third of the resamples lack it."""
    values, counted = np.array([0.0, 1, 1, 1, 1]), np.array([0, 0, 0, 0, 1])

    def metric(weights):
        return {"share": mean(values, weights * counted), "none": float("nan")}

    measured = with_intervals(metric, list("abcde"))
    assert measured["share"] == {"value": 1, "low": 1, "high": 1}
    assert measured["none"] == {"value": None, "low": None, "high": None}
