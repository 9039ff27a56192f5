"""How numbers are written on the pages, and the words beside a figure or a table."""

from __future__ import annotations

import re
from collections.abc import Mapping

_NOT_MEASURED = "not measured"

# A line may break before an interval, but neither inside nor before a sign.
_HARD = "\u00a0"
_TO = f"{_HARD}to{_HARD}"


def share(value: float) -> str:
    """0.914 -> "91.4 %"."""
    return f"{100 * value:.1f}{_HARD}%"


def estimate(entry: Mapping[str, float | None]) -> str:
    """A proportion and its interval: "91.4 % (88.0 to 94.0)"."""
    value, low, high = (entry[key] for key in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return _NOT_MEASURED
    return f"{share(value)} ({100 * low:.1f}{_TO}{100 * high:.1f})"


def decimal(entry: Mapping[str, float | None]) -> str:
    """What is no share, and its interval: "0.914 (0.880 to 0.940)"."""
    if entry["value"] is None:
        return _NOT_MEASURED
    return f"{entry['value']:.3f} ({entry['low']:.3f}{_TO}{entry['high']:.3f})"


def unbroken(text: str) -> str:
    """What `brat.wording` and `brat.reports` write, with its numbers written as here."""
    return re.sub(r"(?<=\d) (?=%|to [-+\d])|(?<=\d to) (?=[-+\d])", _HARD, text)


def csv_help(name: str) -> str:
    return f"The numbers as they were measured: {name}.csv"
