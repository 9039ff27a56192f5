"""What a monitor sees: counts of what the log says, and whether a scan can be read."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from brat import log, metrics
from brat.io.scan import UnreadableScan
from tests.factories.orthanc import free_port
from tests.factories.paths import ROOT


@pytest.fixture
def served(monkeypatch):
    """Start with a readiness; gives the address. The log is as before afterwards."""
    logger = logging.getLogger("brat")
    before, level = list(logger.handlers), logger.level
    monkeypatch.setattr(metrics, "_server", None)
    servers = []

    def start(ready) -> str:
        monkeypatch.setenv("BRAT_METRICS", "127.0.0.1:0")
        servers.append(metrics.start(ready))
        return f"http://127.0.0.1:{servers[0].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
    logger.handlers[:] = before
    logger.setLevel(level)


def values(address: str) -> dict[tuple[str, str], float]:
    text = urllib.request.urlopen(f"{address}/metrics", timeout=10).read().decode()
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_readings_refusals_and_errors_are_counted(served):
    address = served(lambda: None)
    log.event("reading", outcome="glioma", seconds=0.04)
    log.event("reading", outcome="glioma", seconds=0.5)
    log.refusal(UnreadableScan("no"))
    log.failure("store", OSError())
    log.event("something else")
    counted = values(address)
    assert counted["brat_readings_total", "glioma"] == 2
    assert counted["brat_reading_seconds_count", ""] == 2
    assert counted["brat_reading_seconds_sum", ""] == pytest.approx(0.54)
    assert counted["brat_refusals_total", ""] == 1
    assert counted["brat_errors_total", "store"] == 1


def test_ready_only_where_a_scan_can_be_read(served):
    problems = []

    def ready() -> None:
        if problems:
            raise problems[0]

    address = served(ready)
    assert urllib.request.urlopen(f"{address}/ready", timeout=10).status == 200
    problems.append(FileNotFoundError("/secret/path/model.tflite"))
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{address}/ready", timeout=10)
    assert refused.value.code == 503
    assert b"secret" not in refused.value.read()


def test_what_is_written_does_not_grow_where_it_is_counted(served, capsys, monkeypatch):
    monkeypatch.delenv("BRAT_LOG", raising=False)
    logging.getLogger("brat").handlers[:] = []
    log.start("app")
    served(lambda: None)
    log.event("reading", outcome="glioma", seconds=0.04)
    assert "reading" not in capsys.readouterr().err


@pytest.mark.parametrize("address", ["9464", "localhost:", "localhost:metrics"])
def test_what_is_no_address_is_said(monkeypatch, address):
    monkeypatch.setattr(metrics, "_server", None)
    monkeypatch.setenv("BRAT_METRICS", address)
    with pytest.raises(ValueError, match="BRAT_METRICS must be an address"):
        metrics.start(lambda: None)


def test_nothing_is_served_where_nobody_asks(monkeypatch):
    monkeypatch.delenv("BRAT_METRICS", raising=False)
    assert metrics.start(lambda: None) is None


@pytest.mark.parametrize("program", [["serve"], ["pacs", "listen", "--address", "127.0.0.1"]])
def test_the_api_and_the_router_are_monitored_too(program, tmp_path):
    pytest.importorskip("fastapi_offline" if program == ["serve"] else "pynetdicom")
    port, own = free_port(), free_port()
    main = "import sys; from brat.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", main, *program, "--port", str(own)]
    environment = {**os.environ, "BRAT_METRICS": f"127.0.0.1:{port}", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while True:
            try:
                ready = urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=30)
                break
            except urllib.error.URLError:
                assert process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.2)
        assert ready.status == 200
        counted = values(f"http://127.0.0.1:{port}")
        assert counted["brat_refusals_total", ""] == 0
        # What was read to see whether it is ready, too.
        assert counted["brat_reading_seconds_count", ""] == (1 if program == ["serve"] else 0)
    finally:
        process.terminate()
        process.wait(30)
