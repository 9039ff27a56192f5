"""Words of the Model page's part about hospitals that the model has not met."""

from __future__ import annotations

from collections.abc import Mapping

from pages.words.numbers import estimate

CAPTION = "Whole stacks from neck to vertex, with 95 % intervals by patient."


def tumour_found(sequence: str) -> str:
    return f"Another hospital, {sequence}: tumour found"


def brain_right(sequence: str) -> str:
    return f"Another hospital, {sequence}: no tumour, brain"


def expect(
    source: str, sequence: str, patients: int, metrics: Mapping[str, Mapping[str, float | None]]
) -> str:
    """What to expect elsewhere, in one sentence."""
    sensitivity, specificity = (estimate(metrics[name]) for name in ("sensitivity", "specificity_brain"))
    return (
        f"**Expect this of a hospital that it has not met.** {source}, {patients} patients, {sequence}: "
        f"tumour found in {sensitivity} of the slices with one; right in {specificity} of the brain slices "
        "without."
    )
