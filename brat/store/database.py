"""The database of the store: its set-up, its transactions, and what is told where it does not answer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, inspect, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import Session

from brat.io.names import clean_name

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x62726174  # of PostgreSQL's advisory locks, the one that an upgrade holds
_FILE = "brat_file"  # in what SQLAlchemy keeps of a connection: path and identity of its file
_PATIENCE = 5  # seconds until a server that does not answer is given up
_NOTHING = "Nothing was changed."
_LOCKED = (
    f"The store of cases is locked: another program is writing to it. {_NOTHING} Close that program, or try "
    "again in a moment."
)
_OF_SQLITE = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_READONLY: (
        "The store of cases can only be read: its file, or the folder or disk that it is on, may not be "
        f"written to. {_NOTHING} Give the app the right to write there."
    ),
    sqlite3.SQLITE_CORRUPT: (
        f"The file of the store of cases is damaged. {_NOTHING} Stop the app, keep the file, and put a "
        "backup in its place."
    ),
    sqlite3.SQLITE_NOTADB: (
        "The store of cases cannot be reached: the file that is named as its own is no database, or a "
        f"damaged one. {_NOTHING} Correct `url` in `.streamlit/secrets.toml`, or put a backup in its place."
    ),
    sqlite3.SQLITE_FULL: f"The disk of the store of cases is full. {_NOTHING} Make room on it.",
    sqlite3.SQLITE_CANTOPEN: (
        "The store of cases cannot be reached: the folder of its file is missing, or may not be entered. "
        f"{_NOTHING} Correct `url` in `.streamlit/secrets.toml`, or the rights of the folder."
    ),
}
"""SQLite's result code -> what to tell the clinician."""

_UNREACHABLE = (
    f"The store of cases cannot be reached: its server does not answer. {_NOTHING} Start it, or correct its "
    "address in `url` in `.streamlit/secrets.toml`."
)
_STOPPING = f"The server of the store of cases starts up or shuts down. {_NOTHING} Try again in a moment."
_BUSY = (
    f"The server of the store of cases has no free connection. {_NOTHING} Try again in a moment, or "
    "allow it more connections."
)
_REFUSED = (
    f"The server of the store of cases refuses the name or the password. {_NOTHING} Correct `url` in "
    "`.streamlit/secrets.toml`."
)
_NO_DATABASE = (
    f"The server of the store of cases has no database of this name. {_NOTHING} Create it, or correct "
    "`url` in `.streamlit/secrets.toml`."
)
_NO_RIGHT = (
    f"The server of the store of cases does not give the app the right to do this. {_NOTHING} Give its user "
    "the right to read and write the tables."
)
_OF_POSTGRESQL = {
    "08": _UNREACHABLE,
    "28": _REFUSED,
    "3D000": _NO_DATABASE,
    "25006": (
        f"The server of the store of cases can only be read from, as a copy of another one. {_NOTHING} Name "
        "the server that is written to as `url` in `.streamlit/secrets.toml`."
    ),
    "42501": _NO_RIGHT,
    "42P01": (
        f"The tables of the store of cases are gone. {_NOTHING} Put a backup in their place, or start the "
        "app again to begin with empty ones."
    ),
    "53100": f"The disk of the server of the store of cases is full. {_NOTHING} Make room on it.",
    "53300": _BUSY,
    "40": _LOCKED,
    "55P03": _LOCKED,
    "57014": _LOCKED,
    "57P": _STOPPING,
    "XX001": (
        f"The database of the store of cases is damaged. {_NOTHING} Stop the app, and put a backup in its "
        "place."
    ),
}
"""PostgreSQL's SQLSTATE, or its beginning -> what to tell (PostgreSQL documentation, appendix A)."""

_OF_CONNECTING = {
    "password authentication failed": _REFUSED,
    "no pg_hba.conf entry": _REFUSED,
    "role ": _REFUSED,
    "database ": _NO_DATABASE,
    "too many clients": _BUSY,
    "remaining connection slots": _BUSY,
    "starting up": _STOPPING,
    "shutting down": _STOPPING,
}
"""What stands in the words of a connection that failed, for which the driver gives no code."""

_FOREIGN = (
    f"The database that is named as the store of cases belongs to another program. {_NOTHING} Correct "
    "`url` in `.streamlit/secrets.toml`."
)
_GONE = (
    "The file of the store of cases is gone, or another one lies in its place: nothing that is kept now "
    "would last. Put the file back, or start the app again to begin with the one that is there."
)


class StoreError(RuntimeError):
    """The store cannot do what was asked; the message is written for the clinician."""


def open_store(address: str) -> Engine:
    """A store that is there already, made fit by `prepare`.

    Args:
        address: as `[connections.cases]` has it: "sqlite:///cases.db".

    Raises:
        StoreError: there is no such store, or it does not answer.
    """
    try:
        engine = create_engine(address)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise StoreError(
            f"{clean_name(address)} is no address of a store, or its driver is not installed. Give it as "
            "`.streamlit/secrets.toml` has it: sqlite:///cases.db."
        ) from error
    file = engine.url.database
    # SQLite would make an empty one.
    if engine.dialect.name == "sqlite" and not (file and Path(file).is_file()):
        raise StoreError(f"There is no store at {file or address}. Nothing was written.")
    prepare(engine)
    return engine


def prepare(engine: Engine) -> None:
    """Make a database fit to keep cases: bring its tables to the newest revision, set how it is written.

    Call it once, before anything else is done with the engine.

    Raises:
        StoreError: the database cannot be reached, or a newer version of the app has made it.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    # What is asked of the database may hold a note; an error message, and so a log, must not.
    engine.hide_parameters = True
    is_sqlite = engine.dialect.name == "sqlite"
    if is_sqlite:
        event.listen(engine, "connect", _set_up)
        event.listen(engine, "checkout", _require_same_file)
    else:
        event.listen(engine, "do_connect", _lose_patience)
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    try:
        with plain_errors(), engine.begin() as connection:
            # One at a time, and all of it or nothing, though two servers start at once or one is killed.
            if is_sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            tables = set(inspect(connection).get_table_names())
            # A server may hold tables of others beside ours; a file of ours has no others.
            if tables and "alembic_version" not in tables and (is_sqlite or "cases" in tables):
                raise StoreError(_FOREIGN)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        if "cases" not in tables:
            raise StoreError(_FOREIGN) from error
        raise StoreError(
            "The store of cases was made by a newer version of this app. Update the app and start it again."
        ) from error
    if is_sqlite and (file := _file_of(engine)):
        event.listen(engine, "do_connect", partial(_require_file, file))


def _set_up(connection: sqlite3.Connection, record: Any) -> None:
    # A write-ahead log lets others read while one writes. With secure_delete nothing of a changed or deleted
    # note remains on the pages of the file.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA secure_delete = ON")

    database = next(file for _, name, file in connection.execute("PRAGMA database_list") if name == "main")
    if database:
        record.info[_FILE] = Path(database), _identity(Path(database))


def _file_of(engine: Engine) -> Path | None:
    """The file of an SQLite database; None where it is in memory, or is named by a URI."""
    name = engine.url.database or ""
    return None if name in ("", ":memory:") or name.startswith("file:") else Path(name).resolve()


def _require_file(file: Path, *_of_connect: Any) -> None:
    """SQLite would make an empty file where there is none."""
    if not file.exists():
        raise StoreError(_GONE)


def _require_same_file(connection: Any, record: Any, _proxy: Any) -> None:
    """Refuse a connection whose file was deleted or exchanged: what is written there is lost."""
    if _FILE in record.info:
        path, identity = record.info[_FILE]
        if _identity(path) != identity:
            raise StoreError(_GONE)


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another one at its place; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _lose_patience(_dialect: Any, _record: Any, _args: Any, options: dict) -> None:
    options.setdefault("connect_timeout", _PATIENCE)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn errors of the database into `StoreError`."""
    try:
        yield
    # SQLite's own where setting up a connection fails: the file is no database, or may not be written.
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise StoreError(_explained(error)) from error


def _explained(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    if code := getattr(cause, "sqlstate", None):
        starts = sorted((start for start in _OF_POSTGRESQL if code.startswith(start)), key=len)
        if starts:
            return _OF_POSTGRESQL[starts[-1]]
    # psycopg, whose module is named so, and not SQLite.
    elif type(cause).__module__.startswith("psycopg") and type(cause).__name__ in _CONNECTING:
        words = str(cause)
        return next((says for part, says in _OF_CONNECTING.items() if part in words), _UNREACHABLE)
    # The lower byte is the result code; what is above it says more exactly how.
    return _OF_SQLITE.get(
        (getattr(cause, "sqlite_errorcode", None) or 0) & 0xFF,
        f"The store of cases cannot be reached, or does not answer as it should. {_NOTHING}",
    )


_CONNECTING = ("OperationalError", "ConnectionTimeout")


@contextmanager
def session_on(engine: Engine) -> Iterator[Session]:
    """A transaction; what was loaded in it stays usable after it.

    Raises:
        StoreError: the database does not answer, or its file is gone when the transaction ends.
    """
    with plain_errors(), Session(engine, expire_on_commit=False) as session:
        with session.begin():
            yield session
            info = session.connection().info
        if _FILE in info and _identity(info[_FILE][0]) != info[_FILE][1]:
            raise StoreError(_GONE)
