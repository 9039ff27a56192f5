"""What the program logs, recorded by a handler of its own."""

from __future__ import annotations

import logging


class Recorder(logging.Handler):
    """Keeps records. Set as the only handler of `brat`, so that pages that ran before change nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
