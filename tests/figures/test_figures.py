import numpy as np
import pytest

from brat.classes import CLASS_COLOURS, CLASS_NAMES, CLASSES
from brat.figures.classification import confusion, precision_recall, roc, sites
from brat.figures.maps import place_in_words
from brat.figures.reliability import coverage, reliability, robustness
from brat.figures.training import curves, nearest_neighbours


def estimated(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.03, "high": value + 0.02}


def test_confusion_rows_are_the_truth():
    matrix = np.diag([8, 4, 2, 1])
    matrix[0, 1] = 2
    (counts,) = confusion(matrix, normalised=False).data
    (shares,) = confusion(matrix, normalised=True).data
    assert counts.text[0].tolist() == ["8", "2", "0", "0"]
    assert list(shares.text[0]) == ["80 %", "20 %", "0 %", "0 %"]
    np.testing.assert_allclose(np.array(shares.z).sum(axis=1), 1)
    assert confusion(matrix, normalised=False).layout.yaxis.title.text == "is"


def test_confusion_of_tumour_or_none():
    (counts,) = confusion([[9, 1], [0, 5]], False, ("tumor", "no_tumor")).data
    assert list(counts.x) == ["Tumour", "No<br>tumour"]


def test_confusion_without_slices_of_a_class():
    (shares,) = confusion(np.zeros((4, 4)), normalised=True).data
    assert np.isfinite(np.array(shares.z)).all()


def test_curves_show_held_out_slices_where_they_were_followed():
    history = [{"epoch": 0, "loss": 2.0, "val_loss": 1.5}, {"epoch": 1, "loss": 1.0, "val_loss": 1.2}]
    training, held_out = curves(history, "loss").data
    assert list(training.x) == [1, 2]
    assert (held_out.name, list(held_out.y)) == ("held out", [1.5, 1.2])
    assert len(curves([{"epoch": 0, "loss": 2.0}], "loss").data) == 1


def test_roc_and_precision_recall_mark_where_the_app_answers():
    curve = {"roc": {"x": [0, 0.1, 1], "y": [0, 0.9, 1]}, "precision_recall": {"x": [0, 1], "y": [1, 0.4]}}
    every = roc(dict.fromkeys(CLASSES, curve))
    assert [trace.name for trace in every.data] == [*CLASS_NAMES.values(), "chance"]
    assert len({trace.line.dash for trace in every.data[:4]}) == 4
    line, point, _ = roc({"tumor": curve}, (0.1, 0.9)).data
    assert (list(line.x), list(line.y)) == ([0, 0.1, 1], [0, 0.9, 1])
    assert (point.x, point.y, point.name) == ((0.1,), (0.9,), "in the app")
    line, point = precision_recall({"tumor": curve}, (0.9, 0.8)).data
    assert (list(line.x), list(line.y)) == ([0, 1], [1, 0.4])
    assert (point.x, point.y) == ((0.9,), (0.8,))


def test_reliability_joins_only_bins_that_hold_enough():
    bins = {"count": [0, 3, 50, 400], "confidence": [None, 0.4, 0.6, 0.9], "accuracy": [None, 1.0, 0.5, 0.9]}
    _, line, marks, *_ = reliability(bins, bins).data
    assert list(line.x) == [0.6, 0.9]
    assert list(marks.x) == [0.4, 0.6, 0.9]
    assert marks.marker.size[0] < marks.marker.size[1] < marks.marker.size[2]


def test_coverage_stands_beside_its_promise():
    held = {f"coverage/{name}": estimated(0.9 + 0.01 * k) for k, name in enumerate(CLASSES)}
    drawn = coverage({"0.9": held, "0.95": held})
    assert [shape.y0 for shape in drawn.layout.shapes] == [0.9, 0.95]
    for trace, name in zip(drawn.data, CLASSES, strict=False):
        assert trace.name == CLASS_NAMES[name]
        assert list(trace.y) == [held[f"coverage/{name}"]["value"]] * 2
        np.testing.assert_allclose(trace.error_y.arrayminus, 0.03)
        np.testing.assert_allclose(trace.error_y.array, 0.02)
    assert list(drawn.layout.xaxis.ticktext) == ["90 %", "95 %"]
    unknown = {**held, "coverage/no_tumor": {"value": None, "low": None, "high": None}}
    assert "No tumour" not in [trace.name for trace in coverage({"0.9": unknown}).data]


def test_sites_are_ordered_by_class():
    def cell(value):
        return {"slices": 1200, "metrics": {"sensitivity": estimated(value)}}

    drawn = sites({"one": {"pituitary": cell(0.7), "glioma": cell(0.9)}, "other": {"glioma": cell(0.6)}})
    glioma, _, pituitary, _ = drawn.data
    assert list(glioma.y) == ["<b>Glioma</b>, 1,200<br>one", "<b>Glioma</b>, 1,200<br>other"]
    assert list(glioma.x) == [0.9, 0.6]
    assert list(pituitary.x) == [0.7]
    assert pituitary.marker.color == CLASS_COLOURS["pituitary"]


def test_robustness_stands_beside_the_unchanged():
    change = {"unit": "quality", "levels": [95, 20], "accuracy": [estimated(0.9), estimated(0.4)]}
    reference, measured = robustness(change, "JPEG", 0.94).data
    assert list(reference.y) == [0.94, 0.94]
    assert (list(measured.x), list(measured.y)) == (["95", "20"], [0.9, 0.4])
    # The axis reaches down to the lowest interval.
    assert robustness(change, "JPEG", 0.94).layout.yaxis.range[0] <= 0.37


def test_nearest_neighbours_above_the_threshold_are_near_duplicates():
    nearest = {"edges": [0.0, 0.25, 0.5, 0.75, 1.0], "counts": [0, 5, 3, 7], "threshold": 0.5}
    drawn = nearest_neighbours(nearest)
    duplicates, others = drawn.data
    assert (list(duplicates.y), list(others.y)) == ([3, 7], [0, 5])
    assert drawn.layout.xaxis.range[0] == 0.25


@pytest.mark.parametrize(
    ("peak", "words"),
    [
        ((1, 1), "brightest at the upper left"),
        ((20, 30), "brightest in the middle"),
        ((35, 58), "brightest at the lower right"),
        ((20, 0), "brightest at the left"),
    ],
)
def test_place_in_words(peak, words):
    cam = np.zeros((36, 60), np.float32)
    cam[peak] = 1
    assert place_in_words(cam) == words


def test_an_empty_map_is_brightest_nowhere():
    assert place_in_words(np.zeros((4, 4), np.float32)) == "empty"


@pytest.mark.parametrize(("epochs", "step"), [(1, 1), (7, 1), (14, 2), (28, 4), (30, 5)])
def test_the_numbers_of_many_epochs_have_room(epochs, step):
    history = [{"epoch": epoch, "loss": 1.0} for epoch in range(epochs)]
    assert curves(history, "loss").layout.xaxis.dtick == step
