import numpy as np
import pytest

from brat import CLASS_COLOURS, CLASS_NAMES, CLASSES
from brat.figures import confidence_bars, confusion, curves, percent


def test_confidence_bars_name_and_colour_every_class():
    (bar,) = confidence_bars({"as uploaded": [0.05, 0.91, 0.03, 0.01]}).data
    assert list(bar.y) == [CLASS_NAMES[name] for name in CLASSES]
    assert list(bar.x) == [0.05, 0.91, 0.03, 0.01]
    assert list(bar.marker.color) == [CLASS_COLOURS[name] for name in CLASSES]
    assert list(bar.text) == ["5 %", "91 %", "3 %", "1 %"]


def test_two_readings_differ_by_more_than_colour():
    first, second = confidence_bars({"enhanced": [1, 0, 0, 0], "as uploaded": [0, 1, 0, 0]}).data
    assert (first.name, second.name) == ("enhanced", "as uploaded")
    assert first.marker.pattern.shape != second.marker.pattern.shape


def test_confusion_rows_are_the_truth():
    matrix = np.diag([8, 4, 2, 1])
    matrix[0, 1] = 2
    (counts,) = confusion(matrix, normalised=False).data
    (shares,) = confusion(matrix, normalised=True).data
    assert counts.text[0].tolist() == ["8", "2", "0", "0"]
    assert list(shares.text[0]) == ["80 %", "20 %", "0 %", "0 %"]
    np.testing.assert_allclose(np.array(shares.z).sum(axis=1), 1)
    assert confusion(matrix, normalised=False).layout.yaxis.title.text == "is"


def test_confusion_without_slices_of_a_class():
    (shares,) = confusion(np.zeros((4, 4)), normalised=True).data
    assert np.isfinite(np.array(shares.z)).all()


def test_curves_show_validation_where_it_was_kept():
    history = [{"epoch": 0, "loss": 2.0, "val_loss": 1.5}, {"epoch": 1, "loss": 1.0, "val_loss": 1.2}]
    training, validation = curves(history, "loss").data
    assert list(training.x) == [1, 2]
    assert list(validation.y) == [1.5, 1.2]
    assert len(curves([{"epoch": 0, "loss": 2.0}], "loss").data) == 1


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.914, "91 %"), (0.9999, "> 99 %"), (1.0, "100 %"), (0.001, "< 1 %"), (0.0, "0 %"), (0.5, "50 %")],
)
def test_percent_never_rounds_to_certainty(share, text):
    assert percent(share) == text
