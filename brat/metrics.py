"""OpenMetrics of what the program logs, and whether the model reads, for those who keep it running.

App, HTTP API and router count, each by itself. `BRAT_METRICS=127.0.0.1:9464` serves `/metrics` and `/ready`
there. Nothing in them identifies a patient: they are numbers of the events of `brat.log`. Not for the public:
name an address that only the monitor reaches.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brat import log
from brat.environment import WEIGHTS

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_SECONDS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class Counts(logging.Handler):
    """Counts the events of the log."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        super().__init__(logging.INFO)
        self.registry: CollectorRegistry = CollectorRegistry()
        registry = self.registry
        self._readings = Counter(
            "brat_readings", "Readings, by class or refusal", ["outcome"], registry=registry
        )
        self._seconds = Histogram(
            "brat_reading_seconds", "Time of the model for a reading", buckets=_SECONDS, registry=registry
        )
        self._refusals = Counter("brat_refusals", "Files that were refused", registry=registry)
        self._errors = Counter("brat_errors", "Errors, by what failed", ["event"], registry=registry)

    def emit(self, record: logging.LogRecord) -> None:
        event, fields = record.getMessage(), getattr(record, "fields", {})
        if record.levelno >= logging.ERROR:
            self._errors.labels(event).inc()
        elif event == "reading":
            self._readings.labels(str(fields.get("outcome"))).inc()
            self._seconds.observe(fields.get("seconds", 0))
        elif event == "refused":
            self._refusals.inc()


def read_a_sample(weights: str | Path = WEIGHTS) -> None:
    """Read a sample as an upload is read, with the model as it lies on the disk now.

    Args:
        weights: the folder of the model.

    Raises:
        Exception: whatever keeps a scan from being read.
    """
    import numpy as np

    from brat.io import door
    from brat.io.files import File
    from brat.io.intake import Item
    from brat.io.samples import load_samples
    from brat.io.scan import Scan
    from brat.model.reader import Reader

    sample = load_samples()[0].file
    scan = door.load(Item(sample.name, (File(sample.name, sample.read_bytes()),)))
    assert isinstance(scan, Scan), "The samples are of one slice."
    prediction = Reader(weights).read(scan.gray).prediction
    if not np.isfinite(prediction.probabilities).all():
        raise RuntimeError("the model gives no probabilities")


_started = threading.Lock()
_server: ThreadingHTTPServer | None = None


def start(ready: Callable[[], object]) -> ThreadingHTTPServer | None:
    """Serve, where `BRAT_METRICS` names an address. A second call does nothing.

    Args:
        ready: raises where the program cannot read a scan; called at each `/ready`.

    Returns:
        The server, for those who end it; None where there is none.

    Raises:
        ValueError: `BRAT_METRICS` is no address.
        OSError: it is taken.
    """
    global _server
    wanted = os.environ.get("BRAT_METRICS", "")
    if not wanted:
        return None
    with _started:
        if _server is None:
            host, _, port = wanted.rpartition(":")
            if not host or not port.isdecimal():
                raise ValueError(f"BRAT_METRICS must be an address like 127.0.0.1:9464, not {wanted!r}.")
            counts = Counts()
            log.listen(counts)
            _server = ThreadingHTTPServer((host.strip("[]"), int(port)), _handler(counts.registry, ready))
            threading.Thread(target=_server.serve_forever, name="metrics", daemon=True).start()
        return _server


def _handler(registry: Any, ready: Callable[[], object]) -> type[BaseHTTPRequestHandler]:
    from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
            elif self.path == "/ready":
                self._answer(*self._readiness())
            else:
                self._answer(404, "text/plain", b"/metrics, /ready\n")

        def _readiness(self) -> tuple[int, str, bytes]:
            try:
                ready()
            # Whatever it is: that it cannot read is what is asked.
            except Exception as error:
                error_id = log.failure("not ready", error)
                return 503, "text/plain", f"not ready, error {error_id}\n".encode()
            return 200, "text/plain", b"ready\n"

        def _answer(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Requests of a monitor are no events."""

    return Handler
