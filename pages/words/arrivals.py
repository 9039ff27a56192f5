"""Words of what the browser or the server lost."""

from __future__ import annotations

import re

from pages.words.markdown import literal

OFFLINE = "The server does not answer. What is shown is from before. Nothing that is done here now is kept."
FORGOTTEN = (
    "The server was started again, or has forgotten this visit: what was open, listed or set is gone. "
    "Give the files again. Verdicts that were kept are still there."
)

_LIMITS = ("413", "larger", "smaller", "exceed", "too large")
_TOO_LARGE = "It is larger than is taken here. Give a part of it, or the single slice."
_AGAIN = "Drop it again. If that fails too, something between this browser and the server stops it."

_NAMES_OF_ERRORS = re.compile(r"^(\w*Error: *)+")
"""What the browser puts before its words, such as "Error: AxiosError:"."""


def not_arrived(name: str, why: str) -> str:
    """Args: why: in the browser's words; empty where it has none."""
    why = _NAMES_OF_ERRORS.sub("", why).strip().rstrip(".")
    what_to_do = _TOO_LARGE if any(sign in why.lower() for sign in _LIMITS) else _AGAIN
    return (
        f"{literal(name)} did not arrive{f' ({literal(why)})' if why else ''}, and was not read. {what_to_do}"
    )
