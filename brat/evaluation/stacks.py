"""Protocols on whole stacks of slices: by sequence, before and after contrast, and runs of slices.

A stack goes from the neck to the vertex, as a hospital's series does. Most of its slices show no tumour, and
many show no brain.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from brat.data.index import IndexedSlice
from brat.evaluation.metrics import CONFIDENT, NO_TUMOR, area_under_roc, entry, mean, means, with_intervals
from brat.model.series_rule import suspicious_runs

_NAMES = {"t1ce": "T1 after contrast", "t1": "T1", "t2": "T2", "flair": "FLAIR"}
"""How each sequence of an index is written for people."""

BASE = 0.4
"""Below this share of a stack's height a slice shows the skull base or the neck."""

SMALL = 0.025
"""Share of the picture, below which the box of a tumour is small: 4 cm a side in a field of 25 cm."""

LENGTHS = (1, 2, 3, 4)
"""Slices in a row, at least, that make a run."""

LEAST = (0.5, 0.55, 0.6, 0.65, 0.7)
"""Averages of any tumour's probability with the slices beside it, at least, in every slice of a run."""


def heights(slices: Sequence[IndexedSlice]) -> np.ndarray:
    """How high each slice lies in its patient's stacks, float (n,): 0 the lowest, 1 the highest.

    NaN where the source does not number its slices from neck to vertex.
    """
    numbers: dict[str, list[int]] = {}
    for s in slices:
        if s.number is not None:
            numbers.setdefault(s.cluster, []).append(s.number)
    return np.array([_height(s.number, numbers.get(s.cluster, [])) for s in slices], float)


def _height(number: int | None, of_patient: Sequence[int]) -> float:
    if number is None or max(of_patient) == min(of_patient):
        return float("nan")
    return (number - min(of_patient)) / (max(of_patient) - min(of_patient))


def stack_protocols(slices: Sequence[IndexedSlice], probabilities: np.ndarray) -> dict[str, dict]:
    """Every protocol of this module that there are slices for, as `brat.evaluation.protocols.protocols`.

    Args:
        slices: read by a model that has not seen their patients.
        probabilities: float (n, 4), of these slices.
    """
    height = heights(slices)
    entries: dict[str, dict] = {}
    for sequence, name in _NAMES.items():
        rows = np.array(
            [k for k, s in enumerate(slices) if s.sequence == sequence and np.isfinite(height[k])], int
        )
        chosen = [slices[row] for row in rows]
        if {s.tumor for s in chosen} != {True, False}:
            continue
        entries[f"stacks_{sequence}"] = {
            "title": f"{name}, whole stacks",
            "what": f"Slices from neck to vertex. Below {BASE:.0%} of the height lie skull base and neck.",
            **by_slice(chosen, probabilities[rows], height[rows]),
        }
        entries[f"series_{sequence}"] = {
            "title": f"{name}, runs of slices",
            "what": "A patient is found where a run of slices overlaps the tumour; other runs are false.",
            **by_run(chosen, probabilities[rows]),
        }
    if pairs := contrast_pairs(slices):
        entries["contrast_pairs"] = {
            "title": "The same slice before and after contrast",
            "what": "Slices without a tumour, of which T1 before and after contrast were both read.",
            **entry(
                [slices[after] for _, after in pairs],
                means(
                    {
                        "specificity_before": probabilities[[row for row, _ in pairs]].argmax(axis=1)
                        == NO_TUMOR,
                        "specificity_after": probabilities[[row for _, row in pairs]].argmax(axis=1)
                        == NO_TUMOR,
                    }
                ),
            ),
        }
    return entries


def by_slice(slices: Sequence[IndexedSlice], probabilities: np.ndarray, height: np.ndarray) -> dict:
    """Metrics of tumour against none by level, and how often the answer is confidently wrong.

    Args:
        slices: of one sequence.
        probabilities: float (n, 4).
        height: float (n,), see `heights`.

    Returns:
        `slices`, `clusters` and `metrics`: `sensitivity`; `sensitivity_small`, where the tumour's box is
        small in the slice; `right_class`, of slices with a tumour;
        `specificity_brain`, `specificity_base`; `auc`, of tumour against none at the level of the brain;
        `confidently_wrong`, of all slices.
    """
    answer = probabilities.argmax(axis=1)
    tumor = np.array([s.tumor for s in slices], bool)
    small = np.array([0 < _boxed(s) < SMALL for s in slices], bool)
    right = np.array([s.allowed[k] > 0 for s, k in zip(slices, answer, strict=True)], bool)
    brain = ~tumor & (height >= BASE)
    score = 1 - probabilities[:, NO_TUMOR]

    def metric(weights: np.ndarray) -> dict[str, float]:
        proportions = {
            "sensitivity": (answer != NO_TUMOR, tumor),
            "sensitivity_small": (answer != NO_TUMOR, tumor & small),
            "right_class": (right, tumor),
            "specificity_brain": (right, brain),
            "specificity_base": (right, ~tumor & ~brain),
            "confidently_wrong": (
                ~right & (probabilities.max(axis=1) > CONFIDENT),
                np.ones(len(slices), bool),
            ),
        }
        rows = (tumor | brain) & (weights > 0)
        both = len(set(tumor[rows])) == 2
        auc = area_under_roc(tumor[rows], score[rows], weights[rows]) if both else float("nan")
        return {
            "auc": auc,
            **{name: mean(values, weights * counted) for name, (values, counted) in proportions.items()},
        }

    return entry(slices, metric)


def _boxed(s: IndexedSlice) -> float:
    return sum(width * height for _, _, width, height in s.boxes)


def by_run(slices: Sequence[IndexedSlice], probabilities: np.ndarray) -> dict:
    """How often a run of slices finds the tumour of a patient, and how many runs are false, by rule.

    A rule is a length and a least average, see `brat.model.series_rule`. Slices that the index leaves out,
    such as those at the edge of a tumour, do not part a run.

    Returns:
        `slices`, `clusters` and `metrics`, for each rule: `found/LENGTH/LEAST`, a share of the patients with
        a tumour; `false_runs/LENGTH/LEAST`, for each patient; `false_slices/LENGTH/LEAST`, in false runs, for
        each patient.
    """
    score = 1 - probabilities[:, NO_TUMOR]
    patients = sorted({s.cluster for s in slices})
    stacks = []
    for patient in patients:
        of_patient = [row for row, s in enumerate(slices) if s.cluster == patient]
        stacks.append(np.array(sorted(of_patient, key=lambda row: slices[row].number or 0)))
    tumor = np.array([s.tumor for s in slices], bool)
    has_tumor = np.array([tumor[rows].any() for rows in stacks])
    values: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for length in LENGTHS:
        for least in LEAST:
            detected, false_runs, false_slices = (np.zeros(len(stacks)) for _ in range(3))
            for place, rows in enumerate(stacks):
                for run in suspicious_runs(score[rows], length, least):
                    if tumor[rows[run.start : run.stop]].any():
                        detected[place] = 1
                    else:
                        false_runs[place] += 1
                        false_slices[place] += len(run)
            every = np.ones(len(stacks), bool)
            values[f"found/{length}/{least}"] = detected, has_tumor
            values[f"false_runs/{length}/{least}"] = false_runs, every
            values[f"false_slices/{length}/{least}"] = false_slices, every
    metrics = with_intervals(
        lambda weights: {
            name: mean(numbers, weights * counted) for name, (numbers, counted) in values.items()
        },
        patients,
    )
    return {"slices": len(slices), "clusters": len(patients), "metrics": metrics}


def contrast_pairs(slices: Sequence[IndexedSlice]) -> list[tuple[int, int]]:
    """Rows of the same tumour-free slice before and after contrast."""
    places = {
        (s.sequence, s.cluster, s.number): row
        for row, s in enumerate(slices)
        if s.number is not None and not s.tumor
    }
    return [
        (places["t1", patient, number], row)
        for (sequence, patient, number), row in places.items()
        if sequence == "t1ce" and ("t1", patient, number) in places
    ]
