"""Text that others wrote, as it is let in: names of files and of entries in archives, observers, notes."""

from __future__ import annotations

import hashlib
import re
import unicodedata

NAME = 1024
"""Characters of a name, at most; a path given to a command is one."""

ENTRY = 300
"""Characters of the name of an entry in an archive, at most."""

NOTE = 2000
"""Characters of a note, at most."""

_JOINERS = "\u200c\u200d"
"""Persian, Hindi and emoji need them inside words."""

_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories: controls, signs that are not seen, such as those that turn the direction of what
follows, halves of a pair (which stand for bytes that are no UTF-8), and separators of lines."""


def clean_name(name: str, longest: int = NAME) -> str:
    r"""A name in one line, in which every character is seen and is valid Unicode.

    What would not be seen is written out: "\x1b", "\u202e". Names that differ stay different, and a file's
    ending stays where it is.

    Args:
        longest: characters; what is longer loses its middle, in place of which stands a part of its hash.
    """
    # Most names are plain, and an archive has thousands of them.
    is_plain = name.isascii() and name.isprintable()
    cleaned = name if is_plain else "".join(_written_out(s) if _is_hidden(s) else s for s in name)
    if len(cleaned) <= longest:
        return cleaned
    mark = f"…{hashlib.sha256(cleaned.encode()).hexdigest()[:8]}…"
    half = (longest - len(mark)) // 2
    return cleaned[:half] + mark + cleaned[len(cleaned) - half :]


def clean_note(note: str) -> str:
    """A text of several lines; of what is not seen only the ends of lines and tabs stay as they are."""
    lines = re.split("\r\n|\r|\n", note)
    cleaned = "\n".join("\t".join(clean_name(part, NOTE) for part in line.split("\t")) for line in lines)
    return cleaned[:NOTE].strip()


def clean_entry(name: str) -> str:
    """The name of an entry in an archive, as a path below the archive: never absolute, and without ".."."""
    parts = [part for part in re.split(r"[/\\]+", name) if part not in ("", ".", "..")]
    return clean_name("/".join(parts), ENTRY) or "file"


def _is_hidden(sign: str) -> bool:
    if sign in _JOINERS:
        return False
    is_no_character = ord(sign) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(sign) <= 0xFDEF
    return is_no_character or unicodedata.category(sign) in _HIDDEN


def _written_out(sign: str) -> str:
    number = ord(sign)
    # A byte that is no UTF-8, as Python hands it over in the name of a file.
    if 0xDC80 <= number <= 0xDCFF:
        return f"\\x{number - 0xDC00:02x}"
    return (
        f"\\x{number:02x}"
        if number < 0x100
        else f"\\u{number:04x}"
        if number < 0x10000
        else f"\\U{number:08x}"
    )
