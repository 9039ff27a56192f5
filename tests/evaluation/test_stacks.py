"""Protocols on stacks, on made slices and probabilities."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brat.data.index import SEQUENCES, IndexedSlice
from brat.evaluation import metrics, stacks
from brat.model import series_rule

GLIOMA, NONE = np.array([0.97, 0.01, 0.01, 0.01]), np.array([0.01, 0.01, 0.01, 0.97])


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch):
    monkeypatch.setattr(metrics, "RESAMPLES", 20)


def made_stack(patient: str, tumor: set[int], count: int = 10, sequence: str = "t1ce") -> list[IndexedSlice]:
    return [
        IndexedSlice(
            path=Path("x.jpg"),
            file=f"lgg/{sequence}/{patient}-{number:02}.jpg",
            source="lgg",
            label="glioma" if number in tumor else "no_tumor",
            tumor=number in tumor,
            group=patient,
            cluster=patient,
            fold=0,
            sequence=sequence,
        )
        for number in range(count)
    ]


def read_as(slices: list[IndexedSlice], with_tumor: set[int]) -> np.ndarray:
    return np.array([GLIOMA if s.number in with_tumor else NONE for s in slices])


def values(entry: dict) -> dict[str, float]:
    return {name: estimate["value"] for name, estimate in entry["metrics"].items()}


def test_a_slice_knows_its_place_in_its_stack():
    slices = made_stack("DU_1", {5}, count=5)
    assert [s.number for s in slices] == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(stacks.heights(slices), [0, 0.25, 0.5, 0.75, 1])
    # Each patient's stack has its own ends.
    both = slices + made_stack("DU_2", set(), count=3)
    np.testing.assert_allclose(stacks.heights(both), [0, 0.25, 0.5, 0.75, 1, 0, 0.5, 1])


def test_a_single_slice_has_no_height_and_counts_in_no_stack():
    alone, stack = made_stack("DU_1", set(), count=1), made_stack("DU_2", {8})
    assert np.isnan(stacks.heights(alone)).all()
    slices = alone + stack
    entries = stacks.stack_protocols(slices, read_as(slices, {8}))
    assert {entry["slices"] for entry in entries.values()} == {10}


def test_sources_without_stacks_have_no_heights():
    (slice_,) = made_stack("DU_1", set(), count=1)
    other = IndexedSlice(**{**vars(slice_), "source": "figshare", "file": "figshare/12.jpg"})
    assert other.number is None
    assert np.isnan(stacks.heights([other])).all()
    assert stacks.stack_protocols([other], np.array([NONE])) == {}


def test_specificity_is_told_apart_by_level():
    """One of the four lowest slices is read wrong, and one of the four of the brain without a tumour."""
    slices = made_stack("DU_1", {7, 8})
    # In a field of 25 cm the one that is found is 4.2 cm wide, the other 3.8 cm.
    slices[7] = replace(slices[7], boxes=((0.5, 0.5, 0.17, 0.17),))
    slices[8] = replace(slices[8], boxes=((0.5, 0.5, 0.15, 0.15),))
    entry = stacks.by_slice(slices, read_as(slices, {1, 4, 7}), stacks.heights(slices))
    assert entry["slices"] == 10
    assert values(entry) == {
        "sensitivity": 0.5,
        "sensitivity_small": 0,
        "right_class": 0.5,
        "specificity_base": pytest.approx(3 / 4),
        "specificity_brain": pytest.approx(3 / 4),
        # One tumour above three of four and equal to one, the other equal to three and below one.
        "auc": pytest.approx((3 + 0.5 + 1.5) / 8),
        "confidently_wrong": pytest.approx(3 / 10),
    }


def test_the_brain_begins_at_two_fifths_of_the_height():
    slices = made_stack("DU_1", {19, 20}, count=21)
    measured = values(stacks.by_slice(slices, read_as(slices, {7, 8}), stacks.heights(slices)))
    assert measured["specificity_base"] == pytest.approx(7 / 8)
    assert measured["specificity_brain"] == pytest.approx(10 / 11)
    # Both tumours are missed: each is equal to ten of the brain's eleven, and the base has no part in it.
    assert measured["auc"] == pytest.approx(5 / 11)


def test_small_is_what_all_boxes_of_a_slice_cover():
    slices = made_stack("DU_1", {6, 7, 8, 9})
    small = (0.3, 0.7, 0.15, 0.15)
    boxes = {6: (small,), 7: (small,), 8: (small, small)}
    slices = [replace(s, boxes=boxes.get(s.number, ())) for s in slices]
    probabilities = read_as(slices, {6})
    # Found, as another class.
    probabilities[6] = [0.1, 0.7, 0.1, 0.1]
    measured = values(stacks.by_slice(slices, probabilities, stacks.heights(slices)))
    assert (measured["sensitivity_small"], measured["sensitivity"]) == (0.5, 0.25)


def test_another_tumour_is_found_but_not_the_right_class():
    slices = made_stack("DU_1", {8, 9})
    probabilities = read_as(slices, {8, 9})
    height = stacks.heights(slices)
    # At 88 % it is wrong, but not confidently.
    for share, confidently in ((0.88, 0), (0.92, 1 / 10)):
        probabilities[9] = [(1 - share) / 3, share, (1 - share) / 3, (1 - share) / 3]
        measured = values(stacks.by_slice(slices, probabilities, height))
        assert (measured["sensitivity"], measured["right_class"]) == (1, 0.5)
        assert measured["confidently_wrong"] == pytest.approx(confidently)


def test_runs_that_miss_the_tumour_are_false():
    slices = made_stack("DU_1", {6, 7, 8}) + made_stack("DU_2", {2, 3})
    read = np.concatenate([read_as(slices[:10], {0, 1, 5, 6}), read_as(slices[10:], {9})])
    measured = values(stacks.by_run(slices, read))
    assert measured["found/1/0.5"] == measured["found/2/0.5"] == 0.5
    assert measured["found/3/0.5"] == 0
    # The last slice of the second stack has but one beside it, which says nothing.
    assert measured["false_runs/1/0.5"] == 1
    assert measured["false_slices/1/0.5"] == 1.5
    assert measured["false_runs/2/0.5"] == 0.5
    assert measured["false_slices/2/0.5"] == 1


def test_a_tumour_is_found_once_and_only_where_there_is_one():
    slices = made_stack("DU_1", {2, 3, 4, 5}) + made_stack("DU_2", set())
    read = np.concatenate([read_as(slices[:10], {2, 4, 5}), read_as(slices[10:], {2, 3, 6, 7})])
    measured = values(stacks.by_run(slices, read))
    assert measured["found/1/0.5"] == 1
    # Runs without a tumour are counted for every patient.
    assert (measured["false_runs/1/0.5"], measured["false_slices/1/0.5"]) == (1, 2)


def test_runs_do_not_depend_on_the_order_of_an_index():
    slices = made_stack("DU_1", {4, 5}) + made_stack("DU_2", {7})
    read = read_as(slices, {4, 5, 8, 9})
    order = np.random.default_rng(0).permutation(len(slices))
    mixed = stacks.by_run([slices[row] for row in order], read[order])
    assert mixed == stacks.by_run(slices, read)
    # One of two patients is found: each is drawn, or is not.
    assert (mixed["metrics"]["found/2/0.5"]["low"], mixed["metrics"]["found/2/0.5"]["high"]) == (0, 1)


def test_the_rule_that_ships_is_among_those_that_are_measured():
    slices = made_stack("DU_1", {8})
    assert f"found/{series_rule.LENGTH}/{series_rule.LEAST}" in values(
        stacks.by_run(slices, read_as(slices, {8}))
    )


def test_a_run_goes_on_over_slices_that_the_index_leaves_out():
    slices = [s for s in made_stack("DU_1", {7, 8}) if s.number != 6]
    measured = values(stacks.by_run(slices, read_as(slices, {4, 5, 7})))
    assert (measured["found/3/0.5"], measured["false_runs/1/0.5"]) == (1, 0)


def test_pairs_are_the_same_slice_of_the_same_patient():
    before = made_stack("DU_1", {5}, sequence="t1")
    after = [*made_stack("DU_1", {5})[2:], *made_stack("DU_2", {5})]
    slices = [*before, *after]
    pairs = stacks.contrast_pairs(slices)
    assert len(pairs) == 7
    for first, second in pairs:
        assert slices[first].number == slices[second].number
        assert (slices[first].sequence, slices[second].sequence) == ("t1", "t1ce")
    read = np.array([GLIOMA if s.sequence == "t1ce" and s.number == 9 else NONE for s in slices])
    measured = values(stacks.stack_protocols(slices, read)["contrast_pairs"])
    assert measured == {"specificity_before": 1, "specificity_after": pytest.approx(6 / 7)}


def test_every_sequence_has_its_protocols():
    slices = made_stack("DU_1", {8, 9}, sequence="flair") + made_stack("DU_1", {8, 9})
    entries = stacks.stack_protocols(slices, read_as(slices, {8, 9}))
    assert set(entries) == {"stacks_flair", "series_flair", "stacks_t1ce", "series_t1ce"}
    assert values(entries["stacks_flair"])["auc"] == 1
    assert entries["series_flair"]["metrics"]["found/2/0.65"] == {"value": 1, "low": 1, "high": 1}


def test_each_sequence_is_measured_on_its_own_slices():
    after, flair = made_stack("DU_1", {18, 19}, count=20), made_stack("DU_2", {8, 9}, sequence="flair")
    # Of a sequence with tumours alone nothing can be said.
    before = made_stack("DU_3", {*range(10)}, sequence="t1")
    read = np.concatenate([read_as(after, {1, 2}), read_as(flair, {8, 9}), read_as(before, set())])
    entries = stacks.stack_protocols([*after, *flair, *before], read)
    assert set(entries) == {"stacks_flair", "series_flair", "stacks_t1ce", "series_t1ce"}
    flair_read, after_read = (values(entries[f"stacks_{name}"]) for name in ("flair", "t1ce"))
    names = ("sensitivity", "specificity_base", "specificity_brain")
    assert [flair_read[name] for name in names] == [1, 1, 1]
    assert [after_read[name] for name in names] == [0, pytest.approx(6 / 8), 1]
    assert values(entries["series_flair"])["found/2/0.65"] == 1
    assert values(entries["series_t1ce"])["found/2/0.65"] == 0


def test_every_sequence_of_an_index_has_a_name():
    assert set(stacks._NAMES) == set(SEQUENCES)
