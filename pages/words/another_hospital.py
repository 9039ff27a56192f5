"""Words of the Model page's part about hospitals, new to the model and known to it."""

from __future__ import annotations

from collections.abc import Mapping

from brat.wording import percent

STACKS = "Stacks from neck to vertex."
SINGLE = "Right class."
CONTRAST = "The same slices without a tumour."


def headline(source: str, sequence: str) -> str:
    return f"Another hospital: {source}, {sequence}."


def other_lengths(epochs: Mapping[str, int], usual: int) -> str:
    """Args: epochs: of each new hospital's model; usual: of the one that ships."""
    each = ", ".join(f"{source} {count}" for source, count in epochs.items())
    return f"Epochs of models without a hospital: {each}; of the one that ships: {usual}."


def runs(length: int, least: float) -> str:
    return f"{length} slices in a row with any tumour at {percent(least)} or more."


def number(entry: Mapping[str, float | None]) -> str:
    """A number a patient and its interval: "0.83 (0.62 to 1.02)"."""
    value, low, high = (entry[key] for key in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return "not measured"
    return f"{value:.2f} ({low:.2f} to {high:.2f})"
