"""Words of the Model page's part about hospitals, new to the model and known to it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

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
        + "".join(f"; with its patients in training {one[0]} and {one[1]}" for one in known)
        + "."
    )


def other_recipes(
    epochs: Mapping[str, int], usual: int, whole: Collection[str] = (), is_all: bool = False
) -> str:
    """How models of new hospitals were trained otherwise than the one that ships.

    Args:
        epochs: of each that had another number; usual: of the one that ships.
        whole: those that were shown no slice with its skull removed, where the one that ships was; is_all:
            whether these are all.
    """
    alike: dict[str, list[str]] = {}
    for source in epochs if is_all else {**epochs, **dict.fromkeys(whole)}:
        ways = [f"{epochs[source]} epochs, not {usual}"] if source in epochs else []
        ways += ["trained with skulls"] if source in whole and not is_all else []
        alike.setdefault(", ".join(ways), []).append(source)
    said = "; ".join(f"{', '.join(sources)}: {ways}" for ways, sources in alike.items())
    return " ".join([*([f"{said}."] if said else []), *(["All trained with skulls."] if is_all else [])])


def runs(length: int, least: float) -> str:
    return f"{length} slices in a row with any tumour at {percent(least)} or more."


def number(entry: Mapping[str, float | None]) -> str:
    """A number a patient and its interval: "0.83 (0.62 to 1.02)"."""
    value, low, high = (entry[key] for key in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return "not measured"
    return unbroken(f"{value:.2f} ({low:.2f} to {high:.2f})")
