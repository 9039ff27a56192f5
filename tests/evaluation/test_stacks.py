"""Protocols on stacks, on made slices and probabilities."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brat.data.index import SEQUENCES, IndexedSlice
from brat.evaluation import stacks

GLIOMA, NONE = np.array([0.97, 0.01, 0.01, 0.01]), np.array([0.01, 0.01, 0.01, 0.97])


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


def test_sources_without_stacks_have_no_heights():
    (slice_,) = made_stack("DU_1", set(), count=1)
    other = IndexedSlice(**{**vars(slice_), "source": "figshare", "file": "figshare/12.jpg"})
    assert other.number is None
    assert np.isnan(stacks.heights([other])).all()
    assert stacks.stack_protocols([other], np.array([NONE])) == {}


def test_specificity_is_told_apart_by_level():
    """One of the four lowest slices is read wrong, and one of the four of the brain without a tumour."""
    slices = made_stack("DU_1", {7, 8})
    # The one that is found is as wide as a fifth of the picture, the other as a tenth.
    slices[7] = replace(slices[7], boxes=((0.5, 0.5, 0.2, 0.2),))
    slices[8] = replace(slices[8], boxes=((0.5, 0.5, 0.1, 0.1),))
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


def test_another_tumour_is_found_but_not_the_right_class():
    slices = made_stack("DU_1", {8, 9})
    probabilities = read_as(slices, {8, 9})
    probabilities[9] = [0.1, 0.7, 0.1, 0.1]
    measured = values(stacks.by_slice(slices, probabilities, stacks.heights(slices)))
    assert (measured["sensitivity"], measured["right_class"]) == (1, 0.5)
    # It is wrong, but not confidently.
    assert measured["confidently_wrong"] == 0


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


def test_every_sequence_of_an_index_has_a_name():
    assert set(stacks._NAMES) == set(SEQUENCES)
