"""Words of the Model page's part about hospitals, new to the model and known to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from brat.wording import percent
from pages.words.numbers import unbroken

STACKS = "Stacks from neck to vertex."
SINGLE = "Right class."
CONTRAST = "The same slices without a tumour."


def expect(source: str, sequence: str, found: Sequence[str], called: Sequence[str]) -> str:
    """What a hospital should expect that the model has not met, in one sentence.

    Args:
        found: share of the slices with a tumour that are found, there; where it was measured, also with
            other patients of that hospital in training.
        called: likewise, share of the brain slices without a tumour that are called one.
    """
    there, *known = zip(found, called, strict=True)
    return (
        f"**Another hospital** ({source}, {sequence}) should expect {there[0]} of tumour slices found and "
        f"{there[1]} of tumour-free brain slices called tumours"
        + "".join(f"; with its patients in training {one[0]} found and {one[1]} called so" for one in known)
        + "."
    )


def runs(length: int, least: float) -> str:
    of_each = f"averaged with their neighbours, at {percent(least)} or more for any tumour"
    return f"{length} slices in a row, {of_each}."


def number(entry: Mapping[str, float | None]) -> str:
    """A number a patient and its interval: "0.83 (0.62 to 1.02)"."""
    value, low, high = (entry[key] for key in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return "not measured"
    return unbroken(f"{value:.2f} ({low:.2f} to {high:.2f})")
