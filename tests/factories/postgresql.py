"""A PostgreSQL server of our own, on a socket, for as long as a test needs it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path


def why_not() -> str:
    """Why there is none; empty where there is."""
    if find_spec("psycopg") is None:
        return "psycopg, the driver of PostgreSQL, is not installed"
    if _programs() is None:
        return "no PostgreSQL server is installed (apt install postgresql)"
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        return "PostgreSQL does not run as root, and there is no setpriv to become somebody else"
    return ""


@contextmanager
def postgresql() -> Iterator[tuple[str, Path]]:
    """Start a fresh one; yields its address and the folder of its data."""
    programs = _programs()
    assert programs
    # pytest's folders are open to their owner alone.
    home = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    prefix = []
    if os.geteuid() == 0:
        # The server refuses to run as root.
        prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        os.chown(home, 65534, 65534)
    data = home / "data"

    def run(*arguments: str | Path) -> None:
        # Not to pipes: the server would hold them open.
        with (home / "log.txt").open("ab") as log:
            subprocess.run([*prefix, *arguments], check=True, stdout=log, stderr=log, cwd=home, timeout=600)

    run(programs / "initdb", "-D", data, "-U", "tester", "--auth=trust", "--no-sync", "--encoding=UTF8")
    options = f"-c listen_addresses='' -c unix_socket_directories={home} -c fsync=off -c max_connections=20"
    run(programs / "pg_ctl", "-D", data, "-w", "-o", options, "start")
    try:
        yield f"postgresql+psycopg://tester@/postgres?host={home}", data
    finally:
        run(programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(home)


def _programs() -> Path | None:
    """The folder of Debian's PostgreSQL programs."""
    on_path = shutil.which("initdb")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if installed:
        return installed[-1].parent
    return Path(on_path).resolve().parent if on_path else None
