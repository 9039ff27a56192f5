"""Debian's nginx with the configuration of `deploy/`, on ports of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.factories.certificates import certificate
from tests.factories.orthanc import free_port
from tests.factories.paths import ROOT

PASSWORD = "a password of the department"


def why_not() -> str:
    """Why there is none; empty where there is."""
    return "" if _program() else "nginx is not installed (Debian: nginx-light)"


@contextmanager
def nginx(folder: Path, services: Mapping[str, str], login: bool = True, port: int = 0) -> Iterator[str]:
    """Start one; yields its address, https://localhost:PORT.

    Args:
        folder: of its own, for its certificate, which is `certificate` there, and what it writes.
        services: "app:8501" and whatever else of `deploy/compose.yaml` there is -> where it listens here.
        login: whether it asks for a password, `radiology` and `PASSWORD`.
        port: a free one by default.
    """
    program = _program()
    assert program
    port = port or free_port()
    certificate(folder)
    hashed = subprocess.run(
        ["openssl", "passwd", "-6", PASSWORD], check=True, capture_output=True, text=True
    ).stdout
    (folder / "htpasswd").write_text(f"radiology:{hashed}")
    text = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    unused = f"127.0.0.1:{free_port()}"
    exchanged = {
        "listen 80;": f"listen 127.0.0.1:{free_port()};",
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "/run/secrets": str(folder),
        "/tmp": str(folder),
        **{f"http://{name}": f"http://{services.get(name, unused)}" for name in UPSTREAMS},
    }
    if not login:
        exchanged['auth_basic "BraTum Scans";'] = "auth_basic off;"
    for written, here in exchanged.items():
        assert written in text, written
        text = text.replace(written, here)
    file = folder / "nginx.conf"
    # A test is not root everywhere; where it is, the processes that answer must be able to read its folder.
    file.write_text(f"user root;\n{text}", encoding="utf-8")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-c", str(file), "-p", str(folder), "-g", "daemon off;"], stdout=log, stderr=log
        )
        try:
            _wait(port, process, folder / "log")
            yield f"https://localhost:{port}"
        finally:
            process.terminate()
            process.wait(30)


UPSTREAMS = ("app:8501", "api:8600", "orthanc:8042", "ohif:80")


def _program() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def _wait(port: int, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text(errors="replace")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(log.read_text(errors="replace"))
