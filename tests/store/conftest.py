"""Stores to keep cases in: SQLite, and a PostgreSQL server of its own."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from brat.store.database import prepare


@pytest.fixture
def sqlite_engine(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'cases.db'}")
    prepare(engine)
    yield engine
    engine.dispose()


def server_programs() -> Path | None:
    """The folder of Debian's PostgreSQL programs."""
    on_path = shutil.which("initdb")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if installed:
        return installed[-1].parent
    return Path(on_path).resolve().parent if on_path else None


@pytest.fixture(scope="module")
def postgresql_server(tmp_path_factory):
    """The address of a fresh PostgreSQL server on a socket of its own, and its folder."""
    pytest.importorskip("psycopg", reason="psycopg, the driver of PostgreSQL, is not installed")
    programs = server_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed (apt install postgresql)")
    home = tmp_path_factory.mktemp("postgresql")
    prefix = []
    if os.geteuid() == 0:
        # The server refuses to run as root.
        if shutil.which("setpriv") is None:
            pytest.skip("PostgreSQL does not run as root, and there is no setpriv to become somebody else")
        prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        # pytest's folders are open to their owner alone.
        home = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
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
        if prefix:
            shutil.rmtree(home)


@pytest.fixture
def postgresql_engine(postgresql_server):
    engine = create_engine(postgresql_server[0])
    prepare(engine)
    yield engine
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE cases, trail, alembic_version"))
        connection.execute(text("DROP FUNCTION trail_is_only_added_to"))
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request):
    return request.getfixturevalue(f"{request.param}_engine")
