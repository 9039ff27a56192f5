"""Words of what happens when something is opened."""

from __future__ import annotations

from pages.words.markdown import literal


def not_read(name: str, why: str) -> str:
    return f"{literal(name)} was not read. {why}"


def slice_number(number: int) -> str:
    return f"Slice {number}"
