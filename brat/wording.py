"""Numbers as people read them, and a sentence that stands wherever they do."""

from __future__ import annotations

from collections.abc import Mapping

ALONE_AND_UNSURE = (
    "The set names one class, yet its probability is below 70 %: the answer is unsure, however short the set."
)
UNSURE_ALONE = "yet unsure: below 70 %"
"""Of what `brat.model.reader.is_alone_and_unsure` finds, as a sentence, and behind the set's class."""


def percent(share: float, digits: int = 0) -> str:
    """0.914 -> "91 %"; what would round to all or nothing is written as "> 99 %" or "< 1 %".

    Args:
        digits: after the point, as in "91.4 %" and "> 99.9 %".
    """
    least = 10.0**-digits
    if 100 - least / 2 <= 100 * share < 100:
        return f"> {100 - least:.{digits}f} %"
    if 0 < 100 * share <= least / 2:
        return f"< {least:.{digits}f} %"
    return f"{100 * share:.{digits}f} %"


def estimate(entry: Mapping[str, float | None]) -> str:
    """A proportion and its 95 % interval, where it has one: "91.4 % (88.0 to 94.0)"."""
    value, low, high = (entry[key] for key in ("value", "low", "high"))
    if value is None:
        return "not measured"
    if low is None or high is None:
        return f"{100 * value:.1f} % (no interval)"
    return f"{100 * value:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def decimal(entry: Mapping[str, float | None]) -> str:
    """What is no proportion, and its 95 % interval, where it has one: "0.914 (0.880 to 0.940)"."""
    if entry["low"] is None or entry["high"] is None:
        return f"{entry['value']:.3f} (no interval)"
    return f"{entry['value']:.3f} ({entry['low']:.3f} to {entry['high']:.3f})"
