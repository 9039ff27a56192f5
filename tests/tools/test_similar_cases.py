"""What neighbours say where an answer is wrong."""

import numpy as np
import pytest

from tools.similar_cases import measure, nearest


def test_near_is_the_direction_of_the_features():
    known = np.array([[1, 0], [0, 9], [5, 5]], float)
    assert nearest(np.array([[2.0, 1.9], [0.1, 0.3]]), known, 2).tolist() == [[2, 0], [1, 2]]


def test_neighbours_are_counted_where_the_answer_is_wrong_and_where_it_is_right(monkeypatch):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    # The values are looked at, not their intervals.
    monkeypatch.setattr("brat.evaluation.metrics.RESAMPLES", 10)
    g, m = "glioma", "meningioma"
    truth = np.array([g, g, m, m, m, g])
    read = np.array([m, m, g, m, m, g])
    labels = np.array(
        [
            [m, m, m, m, m],
            [m, g, g, g, m],
            # Two are as common: the nearer counts.
            [m, g, m, g, "pituitary"],
            [m, m, m, m, m],
            [m, m, m, m, g],
            [m, m, m, g, g],
        ]
    )
    doubts = np.array([0.5, 0.4, 0.1, 0.0, 0.0, 0.2])
    said = {
        name: entry["value"] for name, entry in measure(list("abcdef"), truth, read, doubts, labels).items()
    }
    assert said["wrong: the true class"] == pytest.approx(2 / 3)
    assert said["wrong: the answer's class"] == pytest.approx(1 / 3)
    assert said["wrong: all five the answer's class"] == pytest.approx(1 / 3)
    assert said["right: the true class"] == pytest.approx(2 / 3)
    assert said["right: all five the answer's class"] == pytest.approx(1 / 3)
    assert said["AUC of wrong answers by probability"] == pytest.approx(8 / 9)
    # Against the answer: 0, 0.6, 0.6 where it is wrong; 0, 0.2, 0.6 where it is right.
    assert said["AUC of wrong answers by neighbours"] == pytest.approx((0.5 + 2.5 + 2.5) / 9)
