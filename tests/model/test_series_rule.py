"""The rule by which slices of a series are to be looked at first."""

import numpy as np
import pytest

from brat.model.series_rule import suspicious_runs

GAP = np.nan


@pytest.mark.parametrize(
    ("tumor", "found"),
    [
        ([0, 0.9, 0.9, 0], [range(1, 3)]),
        # One slice, however sure, is none; nor are two that are not sure enough to stand alone.
        ([0, 1, 0], []),
        ([0, 0.7, 0.7, 0], []),
        # At an end of the stack there is one slice beside it.
        ([0.8, 0.4, 0], []),
        ([0.8, 0.5, 0], []),
        ([0.8, 0.5], [range(2)]),
        # A weak slice between strong ones is part of their run.
        ([0, 1, 0.4, 1, 0.4], [range(2, 5)]),
        ([0.9, 0.3, 0.9], [range(3)]),
        # What is not to count ends a run, and takes nothing from those beside it.
        ([0.9, GAP, 0.9, 0.6], [range(2, 4)]),
        ([0.9, 0.9, GAP, 0.9, 0.9], [range(2), range(3, 5)]),
        ([GAP, 1, GAP], []),
        ([GAP, GAP], []),
        ([1], []),
    ],
    ids=str,
)
def test_slices_in_a_row_count_with_those_beside_them(tumor, found):
    assert suspicious_runs(np.array(tumor, float), length=2, least=0.6) == found


def test_a_run_is_as_long_and_as_likely_as_asked():
    tumor = np.array([0, 0.5, 0.5, 0.5, 0, 0, 1, 0.5, 0], float)
    assert suspicious_runs(tumor, 1, 0.5) == [range(2, 3), range(6, 8)]
    assert suspicious_runs(tumor, 2, 0.5) == [range(6, 8)]
    assert suspicious_runs(tumor, 3, 0.5) == []
    assert suspicious_runs(tumor, 1, 0.51) == []
