"""A Streamlit server of its own port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.factories.paths import ROOT


@contextmanager
def serving(
    log: Path,
    script: str = "app.py",
    folder: Path = ROOT,
    flags: Sequence[str] = (),
    port: int = 0,
    path: str = "",
) -> Iterator[str]:
    """Runs a Streamlit script in `folder`; yields its address once it answers.

    Args:
        log: takes what the server prints.
        port: a free one by default.
        flags: options of Streamlit; those of the app are in its configuration file.
        path: `server.baseUrlPath` with a slash before it, where the flags set one.

    Raises:
        RuntimeError: it ended, or did not answer within two minutes; with what it printed.
    """
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))
        port = free.getsockname()[1]
    own = ("--server.address=127.0.0.1", f"--server.port={port}", "--server.headless=true")
    with log.open("ab") as printed:
        server = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", script, *own, *flags],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=printed,
            stderr=printed,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_healthy(f"{address}{path}", server, log)
        yield f"{address}{path}"
    finally:
        server.terminate()
        server.wait(60)


def wait_until_healthy(address: str, server: subprocess.Popen, log: Path) -> None:
    """Until a server of Streamlit answers below an address.

    Raises:
        RuntimeError: it ended, or did not answer within two minutes; with what it printed.
    """
    for _ in range(1200):
        if server.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"{address}/_stcore/health", timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"{address} does not answer. Its server printed:\n{log.read_text()}")
