"""Certificates that sign themselves, for servers of tests on this computer."""

from __future__ import annotations

import subprocess
from pathlib import Path


def certificate(folder: Path, name: str = "certificate") -> tuple[Path, Path]:
    """Make one for localhost and 127.0.0.1; returns its file and that of its key."""
    file, key = folder / name, folder / f"{name}-key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        + ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", str(file), "-keyout", str(key)],
        check=True,
        capture_output=True,
    )
    return file, key
