"""Words of what happens when something is opened."""

from __future__ import annotations

from collections.abc import Sequence

from pages.words.markdown import literal


def not_read(name: str, why: str) -> str:
    return f"{literal(name)} was not read. {why}"


def left_out(names: Sequence[str]) -> str:
    return f"Left out as copies: {', '.join(literal(name) for name in names)}."


def slice_number(number: int) -> str:
    return f"Slice {number}"
