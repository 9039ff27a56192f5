"""The store of kept cases: what the model read in a scan, and what a clinician sees in it.

A case holds no name, date or number of a patient, no header and no file name. It holds the scan's pixels
only where the observer asked for that. The scan is known by a hash. The database is SQLite or PostgreSQL.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import (
    JSON,
    DateTime,
    Engine,
    Float,
    Select,
    String,
    Text,
    UniqueConstraint,
    delete,
    event,
    inspect,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, column_property, mapped_column
from sqlalchemy.types import TypeDecorator

from brat import log
from brat.classes import CLASSES
from brat.io.names import clean_name, clean_note
from brat.reports.spreadsheet import as_csv

if TYPE_CHECKING:
    from brat.io.scan import Scan, Window
    from brat.model.reader import Reading

VERDICTS = ("agree", "disagree", "unsure")
"""What a clinician may say of a reading."""

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x62726174  # of PostgreSQL's advisory locks, the one that an upgrade holds
_OBSERVER = 100  # characters of a name
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

_FOREIGN = (
    f"The database that is named as the store of cases belongs to another program. {_NOTHING} Correct "
    "`url` in `.streamlit/secrets.toml`."
)
_GONE = (
    "The file of the store of cases is gone, or another one lies in its place: nothing that is kept now "
    "would last. Put the file back, or start the app again to begin with the one that is there."
)
_REMAINS = (
    "The case is deleted. The file could not be cleaned of its traces, because something else is using the "
    "store; deleting any other case later cleans it."
)


class StoreError(RuntimeError):
    """The store cannot do what was asked; the message is written for the clinician."""


class _Utc(TypeDecorator):
    """Times with their zone in Python, without it, as UTC, in the database: SQLite knows no zones."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        return value and value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        return value and value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """The tables. A change here needs a revision in `brat/store/migrations/versions`."""


class Case(Base):
    """One observer's verdict on one model's reading of one scan.

    Attributes:
        time: in UTC, when the verdict was given or last changed.
        scan: SHA-256 of the slice, the same under every window, `Scan.slice_digest`.
        window: what was shown of the slice, its center and width: "40/80"; empty where it has no window, and
            in cases from before this was kept.
        model: SHA-256 of the model's file, `Classifier.digest`.
        observer: the name of the person who gave the verdict; empty where none was given.
        format: of the file, `Scan.format`.
        width, height: of the scan, pixels.
        label: the class that the model read.
        glioma, meningioma, pituitary, no_tumor: calibrated probabilities, 0 to 1.
        sets: level ("0.95") -> the classes of the prediction set; empty where the model has none.
        ood_score, in_distribution: of the out-of-distribution check; None where the model has none.
        seen: the class that the clinician sees; None where unsure.
        note: the clinician's own words.
        picture: the scan as an 8-bit PNG, without anything of its file; None unless it was asked for.
        pictured: whether there is a picture; it is loaded only by `picture_of`.
    """

    __tablename__ = "cases"
    __table_args__ = (UniqueConstraint("scan", "model", "observer"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    time: Mapped[datetime] = mapped_column(_Utc, index=True)
    scan: Mapped[str] = mapped_column(String(64))
    model: Mapped[str] = mapped_column(String(64))
    observer: Mapped[str] = mapped_column(String(100))
    window: Mapped[str] = mapped_column(String(64))
    format: Mapped[str] = mapped_column(String(100))
    width: Mapped[int]
    height: Mapped[int]
    label: Mapped[str] = mapped_column(String(20))
    glioma: Mapped[float] = mapped_column(Float)
    meningioma: Mapped[float] = mapped_column(Float)
    pituitary: Mapped[float] = mapped_column(Float)
    no_tumor: Mapped[float] = mapped_column(Float)
    sets: Mapped[dict[str, list[str]]] = mapped_column(JSON)
    ood_score: Mapped[float | None] = mapped_column(Float)
    in_distribution: Mapped[bool | None]
    seen: Mapped[str | None] = mapped_column(String(20))
    note: Mapped[str] = mapped_column(Text)
    picture: Mapped[bytes | None] = mapped_column(deferred=True)
    pictured: Mapped[bool] = column_property(picture.is_not(None))

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`."""
        if self.seen is None:
            return "unsure"
        return "agree" if self.seen == self.label else "disagree"


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
        with _plainly(), engine.begin() as connection:
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
def _plainly() -> Iterator[None]:
    try:
        yield
    # SQLite's own where setting up a connection fails: the file is no database, or may not be written.
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise StoreError(_explained(error)) from error


def _explained(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    # The lower byte is the result code; what is above it says more exactly how.
    return _OF_SQLITE.get(
        (getattr(cause, "sqlite_errorcode", None) or 0) & 0xFF,
        f"The store of cases cannot be reached, or does not answer as it should. {_NOTHING}",
    )


@contextmanager
def _session(engine: Engine) -> Iterator[Session]:
    """A transaction; what was loaded in it stays usable after it.

    Raises:
        StoreError: the database does not answer, or its file is gone when the transaction ends.
    """
    with _plainly(), Session(engine, expire_on_commit=False) as session:
        with session.begin():
            yield session
            info = session.connection().info
        if _FILE in info and _identity(info[_FILE][0]) != info[_FILE][1]:
            raise StoreError(_GONE)


def keep(
    engine: Engine,
    scan: Scan,
    reading: Reading,
    model: str,
    *,
    seen: str | None,
    note: str = "",
    observer: str = "",
    picture: bool = False,
) -> Case:
    """Keep a verdict. It replaces what this observer has kept of the same scan and model before.

    Args:
        scan: as it was shown; under another window it is the same scan.
        model: `Classifier.digest` of the model that read it.
        seen: the class that the clinician sees; None where unsure.
        observer: the name of the clinician, if given.
        picture: keep the scan's pixels as well.

    Raises:
        ValueError: `seen` is not a class.
        StoreError: the database does not answer.
    """
    if seen is not None and seen not in CLASSES:
        raise ValueError(f"{seen!r} is none of {CLASSES}.")
    key = {"scan": scan.slice_digest, "model": model, "observer": clean_name(observer.strip(), _OBSERVER)}
    values = {
        "time": datetime.now(UTC),
        "window": window_text(scan.window),
        "format": scan.format[:100],
        "width": scan.width,
        "height": scan.height,
        "label": reading.prediction.label,
        **reading.prediction.by_class(),
        "sets": {f"{level:g}": list(classes) for level, classes in reading.sets.items()},
        "ood_score": float(reading.ood.score) if reading.ood else None,
        "in_distribution": bool(reading.ood.in_distribution) if reading.ood else None,
        "seen": seen,
        "note": clean_note(note),
        "picture": _png(scan.gray) if picture else None,
    }
    dialect = postgresql if engine.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(Case).values(**key, **values)
    new = {name: statement.excluded[name] for name in values}
    with _session(engine) as session:
        session.execute(statement.on_conflict_do_update(index_elements=list(key), set_=new))
        return session.scalars(select(Case).filter_by(**key)).one()


def window_text(window: Window | None) -> str:
    """A window as a case has it, center and width: "40/80"; empty where there is none."""
    return f"{window.center:g}/{window.width:g}" if window else ""


def _png(gray: np.ndarray) -> bytes:
    import cv2

    return cv2.imencode(".png", gray)[1].tobytes()


def log_damaged(case: int) -> None:
    """Log that a row cannot be a case."""
    log.event("damaged case", case=case)


def _sound(session: Session, query: Select[Case], on_damaged: Callable[[int], None]) -> list[Case]:
    """The cases that a query gives; a row that cannot be one is passed over, and ends nothing."""
    try:
        cases = list(session.scalars(query))
    # A column whose text cannot be made the type that it should have: one by one it is known which row it is.
    except (ValueError, TypeError, KeyError):
        cases = []
        for number in session.scalars(query.with_only_columns(Case.id)):
            try:
                cases.append(session.scalars(select(Case).filter_by(id=number)).one())
            except (ValueError, TypeError, KeyError):
                on_damaged(number)
    sound = []
    for case in cases:
        if _is_sound(case):
            sound.append(case)
        else:
            on_damaged(case.id)
    return sound


def _is_sound(case: Case) -> bool:
    """Whether every value can be what it is said to be: SQLite keeps anything in any column."""
    texts = (case.observer, case.window, case.format, case.note)
    probabilities = [getattr(case, name) for name in CLASSES]
    return bool(
        isinstance(case.time, datetime)
        and all(isinstance(text, str) for text in texts)
        and all(
            isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest)
            for digest in (case.scan, case.model)
        )
        # As `window_text` writes it.
        and re.fullmatch(r"|[-+.\w]+/[-+.\w]+", case.window, re.ASCII)
        and isinstance(case.width, int)
        and isinstance(case.height, int)
        and case.label in CLASSES
        and (case.seen is None or case.seen in CLASSES)
        and all(isinstance(share, float) and 0 <= share <= 1 for share in probabilities)
        and isinstance(case.ood_score, float | None)
        and isinstance(case.in_distribution, bool | None)
        and isinstance(case.sets, dict)
        and all(
            _is_level(level) and isinstance(names, list) and all(name in CLASSES for name in names)
            for level, names in case.sets.items()
        )
    )


def _is_level(text: str) -> bool:
    try:
        return 0 < float(text) < 1
    except ValueError:
        return False


def cases_of(engine: Engine, scan: str, model: str) -> list[Case]:
    """Every observer's case of one scan and one model, the latest first.

    Args:
        scan: `Scan.slice_digest`.
        model: `Classifier.digest`.
    """
    with _session(engine) as session:
        return _sound(
            session, select(Case).filter_by(scan=scan, model=model).order_by(Case.time.desc()), log_damaged
        )


def latest(engine: Engine, scans: Collection[str], model: str) -> dict[str, Case]:
    """The case that was kept last of each of many scans.

    Args:
        scans: `Scan.slice_digest` of each.
        model: `Classifier.digest`.

    Returns:
        `Scan.slice_digest` -> the case; a scan without a case is left out.
    """
    query = select(Case).where(Case.model == model, Case.scan.in_(scans)).order_by(Case.time, Case.id)
    with _session(engine) as session:
        return {case.scan: case for case in _sound(session, query, log_damaged)}


def find(
    engine: Engine,
    *,
    search: str = "",
    verdicts: Collection[str] = (),
    labels: Collection[str] = (),
    models: Collection[str] = (),
    observers: Collection[str] = (),
    since: date | None = None,
    until: date | None = None,
    on_damaged: Callable[[int], None] = log_damaged,
) -> list[Case]:
    """The cases that meet every condition, the latest first; an empty condition is met by all.

    Args:
        search: a part of the note or of the observer's name, or the beginning of the scan's hash; in any case
            of letters.
        verdicts: of `VERDICTS`.
        labels: the classes that the model read or the clinician sees.
        since, until: first and last day, in UTC.
        on_damaged: called with the id of each row that is passed over, because it cannot be a case.
    """
    query = select(Case).order_by(Case.time.desc(), Case.id.desc())
    if labels:
        query = query.where(Case.label.in_(labels) | Case.seen.in_(labels))
    if models:
        query = query.where(Case.model.in_(models))
    if observers:
        query = query.where(Case.observer.in_(observers))
    if since:
        query = query.where(Case.time >= datetime.combine(since, time(), UTC))
    if until:
        query = query.where(Case.time < datetime.combine(until + timedelta(days=1), time(), UTC))
    with _session(engine) as session:
        cases = _sound(session, query, on_damaged)
    # Here, because SQLite tells capitals from small letters in every script but the Latin one.
    wanted = search.strip().casefold()
    return [
        case
        for case in cases
        if (not verdicts or case.verdict in verdicts)
        and (
            wanted in case.note.casefold()
            or wanted in case.observer.casefold()
            or case.scan.startswith(wanted)
        )
    ]


def choices(engine: Engine, column: str) -> list[str]:
    """What there is to choose from: every model or every observer of a kept case, in order.

    Args:
        column: "model" or "observer".
    """
    with _session(engine) as session:
        return sorted(session.scalars(select(getattr(Case, column)).distinct()))


def picture_of(engine: Engine, case: int) -> bytes | None:
    """The kept picture of a case, as a PNG file; None where there is none."""
    with _session(engine) as session:
        return session.scalar(select(Case.picture).filter_by(id=case))


def remove(engine: Engine, case: int) -> None:
    """Delete a case for good.

    Nothing of it remains in SQLite's file or write-ahead log, nor in PostgreSQL's table; PostgreSQL's own log
    and its backups are up to whoever runs the server.

    Raises:
        StoreError: the database does not answer, or something else has it open just now, so that the
            case is deleted but may still be found in the file with special tools.
    """
    with _session(engine) as session:
        session.execute(delete(Case).filter_by(id=case))
    is_sqlite = engine.dialect.name == "sqlite"
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            # A page that was split or merged may hold a copy of what was deleted; all pages are written
            # anew, and the log, which holds what was written before, is emptied.
            connection.execute(text("VACUUM" if is_sqlite else "VACUUM FULL cases"))
            busy = is_sqlite and connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).scalar()
    except SQLAlchemyError as error:
        raise StoreError(_REMAINS) from error
    if busy:
        raise StoreError(_REMAINS)


def rows(cases: Iterable[Case]) -> list[dict[str, Any]]:
    """Cases as they are exported: one flat record each, times in ISO 8601 and UTC."""
    return [
        {
            "time": case.time.isoformat(timespec="seconds"),
            "scan": case.scan,
            "window": case.window,
            "format": case.format,
            "width": case.width,
            "height": case.height,
            "model": case.model,
            "read": case.label,
            **{name: round(getattr(case, name), 6) for name in CLASSES},
            **{f"set_{level}": " ".join(classes) for level, classes in sorted(case.sets.items())},
            "ood_score": case.ood_score,
            "in_distribution": case.in_distribution,
            "verdict": case.verdict,
            "seen": case.seen,
            "note": case.note,
            "observer": case.observer,
            "picture": case.pictured,
        }
        for case in cases
    ]


def to_csv(cases: Iterable[Case]) -> bytes:
    """Cases as a CSV file that spreadsheets open rightly, in any script."""
    return as_csv(rows(cases))
