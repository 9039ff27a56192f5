"""Text that others wrote, inside of the pages' own Markdown."""

from __future__ import annotations

import re


def literal(text: str) -> str:
    r"""Text as Markdown that shows it as it is: a code span, in which no sign means anything.

    Signs with a backslash before them would not do. Streamlit looks for ":smile:", ":material/face:" and
    addresses of pages in the text that is left once the backslashes are gone.

    Args:
        text: ends of lines become spaces.

    Returns:
        Empty where there is no text.
    """
    line = " ".join(text.split())
    if not line:
        return ""
    # Streamlit changes this one before the Markdown is parsed; a word joiner is not seen.
    line = line.replace(":material/", ":material\u2060/")
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    space = " " if "`" in (line[0], line[-1]) else ""
    return f"{fence}{space}{line}{space}{fence}"


_MEANT = re.compile(r"[\\`*<>\[\]#|~$&@/\n\r]|:(?=\S)|\b_|_\b|www\.")
"""Signs that Markdown or Streamlit may make something of; the program's own sentences have none."""


def sentence(text: str) -> str:
    """A sentence of the program's own, in which a name or a value that others wrote may stand: as it is, or
    `literal` where it has a sign that would mean something."""
    return literal(text) if _MEANT.search(text) else text
