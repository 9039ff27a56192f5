"""Words of the Model page's parts about whole series."""

from __future__ import annotations

from collections.abc import Mapping

from brat.wording import percent


def number(entry: Mapping[str, float | None]) -> str:
    """A number a patient and its interval: "0.83 (0.62 to 1.02)"."""
    value, low, high = (entry[key] for key in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return "not measured"
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def caption(least: float) -> str:
    return (
        f"Slices in a row in each of which any tumour has {percent(least)} or more, with 95 % intervals by "
        "patient."
    )


def contrast(slices: int, patients: int, before: str, after: str) -> str:
    return (
        f"**Contrast alone.** {slices:,} slices without a tumour ({patients:,} patients): right in {before} "
        f"before contrast, in {after} after."
    )
