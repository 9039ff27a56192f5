"""Words beside an error."""

from __future__ import annotations


def with_id(sentence: str, error_id: str) -> str:
    """Args: error_id: of `brat.log.failure`."""
    return f"{sentence} (Error {error_id}, as in the app's log.)"
