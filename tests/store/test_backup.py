"""The commands of docs/deploy.md that save a store and bring it back, as they stand there."""

import re
import shutil
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from brat.store.cases import cases_of, keep, trail
from brat.store.database import prepare
from tests.factories.paths import ROOT
from tests.store.test_cases import MODEL, READING, scan_of

GUIDE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")


def commands(program: str) -> list[str]:
    found = re.findall(
        rf"^(?:docker compose exec (?:-T )?\w+ )?({re.escape(program)} .*)$", GUIDE, re.MULTILINE
    )
    assert found
    return found


def test_postgresql_is_saved_and_brought_back(postgresql_server, tmp_path):
    if not shutil.which("pg_dump"):
        pytest.skip("pg_dump is not installed (Debian: postgresql)")
    address, _ = postgresql_server
    server = create_engine(address, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text("CREATE ROLE brat LOGIN SUPERUSER"))
        connection.execute(text("CREATE DATABASE cases OWNER brat"))
    own = address.replace("tester@/postgres", "brat@/cases")
    engine = create_engine(own)
    prepare(engine)
    keep(engine, scan_of(1), READING, MODEL, seen="meningioma", observer="AB")
    host = parse_qs(urlsplit(address).query)["host"][0]

    def run(command: str) -> None:
        subprocess.run(
            command, shell=True, check=True, cwd=tmp_path, env={"PGHOST": host, "PATH": "/usr/bin:/bin"}
        )

    (dump,), (restore,) = commands("pg_dump"), commands("pg_restore")
    run(dump)
    keep(engine, scan_of(1), READING, MODEL, seen="glioma", observer="AB")
    keep(engine, scan_of(2), READING, MODEL, seen="glioma", observer="AB")
    engine.dispose()
    try:
        # Into what is there, and into an empty one, as on a new server.
        for new in (False, True):
            if new:
                with server.connect() as connection:
                    connection.execute(text("DROP DATABASE cases"))
                    connection.execute(text("CREATE DATABASE cases OWNER brat"))
            run(restore)
            engine = create_engine(own)
            prepare(engine)
            (case,) = cases_of(engine, scan_of(1).slice_digest, MODEL)
            assert (case.seen, case.observer) == ("meningioma", "AB")
            assert cases_of(engine, scan_of(2).slice_digest, MODEL) == []
            assert len(trail(engine)) == 1
            # The trail is kept as before.
            with pytest.raises(DBAPIError), engine.begin() as connection:
                connection.execute(text("DELETE FROM trail"))
            engine.dispose()
    finally:
        engine.dispose()
        with server.connect() as connection:
            connection.execute(text("DROP DATABASE cases"))
            connection.execute(text("DROP ROLE brat"))
        server.dispose()


def test_a_file_is_saved_while_the_app_writes_to_it(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'cases.db'}")
    prepare(engine)
    keep(engine, scan_of(1), READING, MODEL, seen="meningioma", observer="AB")
    (command,) = commands("python3 -c")
    command = command.replace("python3", sys.executable, 1)
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    keep(engine, scan_of(2), READING, MODEL, seen="glioma", observer="AB")
    engine.dispose()
    copy = create_engine(f"sqlite:///{tmp_path / 'cases-copy.db'}")
    prepare(copy)
    assert [case.seen for case in cases_of(copy, scan_of(1).slice_digest, MODEL)] == ["meningioma"]
    assert cases_of(copy, scan_of(2).slice_digest, MODEL) == []
    copy.dispose()
