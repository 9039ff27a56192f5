"""What the program logs: events without anything that identifies a patient, as text or as lines of JSON.

Without the environment variable `BRAT_LOG` only warnings and errors are written, to standard error.
`BRAT_LOG=text` writes every event, and `BRAT_LOG=json` every event as one JSON object a line.

Fields are numbers, hashes, classes and the program's own sentences. No name of a file, no value of a header
and no message of another library is among them, as these may name a patient.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import secrets
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_LOGGER = logging.getLogger("brat")


class _Format(logging.Formatter):
    def __init__(self, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = getattr(record, "fields", {})
        level, event = record.levelname.lower(), record.getMessage()
        if self._as_json:
            return json.dumps({"time": time, "level": level, "event": event, **fields}, default=str)
        listed = "".join(f" {name}={json.dumps(value, default=str)}" for name, value in fields.items())
        return f"{time} {level} {event}{listed}"


def start(program: str) -> None:
    """Let events be written, as `BRAT_LOG` says, and log the start of a program. A second call does nothing.

    Raises:
        ValueError: `BRAT_LOG` is neither "json" nor "text".
    """
    if _LOGGER.handlers:
        return
    wanted = os.environ.get("BRAT_LOG", "")
    if wanted not in ("", "json", "text"):
        raise ValueError(f"BRAT_LOG must be json or text, not {wanted!r}.")
    handler = logging.StreamHandler()
    handler.setFormatter(_Format(wanted == "json"))
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(logging.INFO if wanted else logging.WARNING)
    # Else the root's handlers, such as Streamlit's, would write each event again.
    _LOGGER.propagate = False
    try:
        number = version("bratum-scans")
    except PackageNotFoundError:
        number = "not installed"
    event("start", program=program, version=number)


def listen(handler: logging.Handler) -> None:
    """Give every event to a handler too, such as one that counts them; what is written stays as it was."""
    for writing in _LOGGER.handlers:
        writing.setLevel(max(writing.level, _LOGGER.level))
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(logging.INFO)


def event(name: str, **fields: Any) -> None:
    """Log an event; see the head of this module for what the fields may be."""
    _LOGGER.info(name, extra={"fields": fields})


def refusal(error: BaseException, **fields: Any) -> None:
    """Log that a file was refused, with the causes."""
    event("refused", causes=causes(error), **fields)


def failure(name: str, error: BaseException, **fields: Any) -> str:
    """Log an error with its causes. Returns its id, which the page is to show."""
    error_id = secrets.token_hex(4)
    _LOGGER.error(name, extra={"fields": {"error_id": error_id, "causes": causes(error), **fields}})
    return error_id


def causes(error: BaseException) -> list[str]:
    """The error and what caused it, in turn: type, a code or the program's own sentence, and the place."""
    return [_in_short(each) for each in _chain(error)]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _in_short(error: BaseException) -> str:
    kind = type(error)
    if kind.__module__.partition(".")[0] == "brat":
        says = str(error)
    elif isinstance(error, OSError) and error.errno:
        says = errno.errorcode.get(error.errno, str(error.errno))
    else:
        # Of SQLite and of PostgreSQL.
        says = getattr(error, "sqlite_errorname", None) or getattr(error, "sqlstate", None) or ""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{kind.__name__}{f': {says}' if says else ''}{place}"
