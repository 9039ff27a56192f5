"""The store of kept cases: what the model read in a scan, and what a clinician sees in it.

A case holds no name, date or number of a patient, no header and no file name, and the scan's pixels only
where the reader asked for them; the scan is known by the hash of its file. The database is SQLite or
PostgreSQL.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import (
    JSON,
    DateTime,
    Engine,
    Float,
    String,
    Text,
    UniqueConstraint,
    delete,
    event,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, column_property, mapped_column
from sqlalchemy.types import TypeDecorator

from brat.classes import CLASSES
from brat.reports.spreadsheet import as_csv

if TYPE_CHECKING:
    from brat.io.scan import Scan
    from brat.model.reader import Reading

VERDICTS = ("agree", "disagree", "unsure")
"""What a clinician may say of a reading."""

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x62726174  # of PostgreSQL's advisory locks, the one that an upgrade holds
_PATIENCE = 5  # seconds until a server that does not answer is given up
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
    """One reader's verdict on one model's reading of one scan.

    Attributes:
        time: in UTC, when the verdict was given or last changed.
        scan: SHA-256 of the scan's file, `Scan.digest`.
        model: SHA-256 of the model's file, `Classifier.digest`.
        reader: who gave the verdict; empty where that was not said.
        kind: what kind of file it was, `Scan.kind`.
        width, height: of the scan, pixels.
        label: the class that the model read.
        glioma, meningioma, pituitary, no_tumor: calibrated probabilities, 0 to 1.
        sets: level ("0.95") -> the classes of the prediction set; empty where the model has none.
        gate_score, gate_known: what the gate said; None where the model has no gate.
        seen: the class that the clinician sees; None where unsure.
        note: the clinician's own words.
        picture: the scan as an 8-bit PNG, without anything of its file; None unless it was asked for.
        pictured: whether there is a picture; it is loaded only by `picture_of`.
    """

    __tablename__ = "cases"
    __table_args__ = (UniqueConstraint("scan", "model", "reader"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    time: Mapped[datetime] = mapped_column(_Utc, index=True)
    scan: Mapped[str] = mapped_column(String(64))
    model: Mapped[str] = mapped_column(String(64))
    reader: Mapped[str] = mapped_column(String(100))
    kind: Mapped[str] = mapped_column(String(100))
    width: Mapped[int]
    height: Mapped[int]
    label: Mapped[str] = mapped_column(String(20))
    glioma: Mapped[float] = mapped_column(Float)
    meningioma: Mapped[float] = mapped_column(Float)
    pituitary: Mapped[float] = mapped_column(Float)
    no_tumor: Mapped[float] = mapped_column(Float)
    sets: Mapped[dict[str, list[str]]] = mapped_column(JSON)
    gate_score: Mapped[float | None] = mapped_column(Float)
    gate_known: Mapped[bool | None]
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
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError(
            "The store of cases was made by a newer version of this app. Update the app and start it again."
        ) from error


def _set_up(connection: sqlite3.Connection, _record: Any) -> None:
    # A write-ahead log lets readers read while one writes. Of a changed or deleted note nothing is to remain
    # on the pages of the file.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA secure_delete = ON")


def _lose_patience(_dialect: Any, _record: Any, _args: Any, options: dict) -> None:
    options.setdefault("connect_timeout", _PATIENCE)


@contextmanager
def _plainly() -> Iterator[None]:
    try:
        yield
    # SQLite's own where setting up a connection fails: the file is no database, or may not be written.
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise StoreError(
            "The store of cases cannot be reached, or does not answer as it should. Nothing was changed."
        ) from error


@contextmanager
def _session(engine: Engine) -> Iterator[Session]:
    """A transaction; what was loaded in it stays usable after it."""
    with _plainly(), Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


def keep(
    engine: Engine,
    scan: Scan,
    reading: Reading,
    model: str,
    *,
    seen: str | None,
    note: str = "",
    reader: str = "",
    picture: bool = False,
) -> Case:
    """Keep a verdict. What this reader has kept of the same scan and model before is replaced.

    Args:
        model: `Classifier.digest` of the model that read it.
        seen: the class that the clinician sees; None where unsure.
        picture: keep the scan's pixels as well.

    Raises:
        ValueError: `seen` is not a class.
        StoreError: the database does not answer.
    """
    if seen is not None and seen not in CLASSES:
        raise ValueError(f"{seen!r} is none of {CLASSES}.")
    key = {"scan": scan.digest, "model": model, "reader": reader.strip()[:100]}
    values = {
        "time": datetime.now(UTC),
        "kind": scan.kind[:100],
        "width": scan.width,
        "height": scan.height,
        "label": reading.prediction.label,
        **reading.prediction.by_class(),
        "sets": {f"{level:g}": list(classes) for level, classes in reading.sets.items()},
        "gate_score": reading.ood and float(reading.ood.score),
        "gate_known": reading.ood and bool(reading.ood.in_distribution),
        "seen": seen,
        # PostgreSQL takes no text with a NUL in it.
        "note": note.replace("\0", "").strip(),
        "picture": _png(scan.gray) if picture else None,
    }
    dialect = postgresql if engine.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(Case).values(**key, **values)
    new = {name: statement.excluded[name] for name in values}
    with _session(engine) as session:
        session.execute(statement.on_conflict_do_update(index_elements=list(key), set_=new))
        return session.scalars(select(Case).filter_by(**key)).one()


def _png(gray: np.ndarray) -> bytes:
    import cv2

    return cv2.imencode(".png", gray)[1].tobytes()


def kept(engine: Engine, scan: str, model: str) -> list[Case]:
    """Every reader's case of one scan and one model, the latest first.

    Args:
        scan: `Scan.digest`.
        model: `Classifier.digest`.
    """
    with _session(engine) as session:
        return list(
            session.scalars(select(Case).filter_by(scan=scan, model=model).order_by(Case.time.desc()))
        )


def latest(engine: Engine, scans: Collection[str], model: str) -> dict[str, Case]:
    """Of many scans and one model, the case that was kept last of each, by the scan's digest."""
    query = select(Case).where(Case.model == model, Case.scan.in_(scans)).order_by(Case.time, Case.id)
    with _session(engine) as session:
        return {case.scan: case for case in session.scalars(query)}


def find(
    engine: Engine,
    *,
    search: str = "",
    verdicts: Collection[str] = (),
    labels: Collection[str] = (),
    models: Collection[str] = (),
    readers: Collection[str] = (),
    since: date | None = None,
    until: date | None = None,
) -> list[Case]:
    """The cases that meet every condition, the latest first; an empty condition is met by all.

    Args:
        search: stands in the note or in the reader's name, or begins the scan's hash; in any case of letters.
        verdicts: of `VERDICTS`.
        labels: the classes that the model read or the clinician sees.
        since, until: first and last day, in UTC.
    """
    query = select(Case).order_by(Case.time.desc(), Case.id.desc())
    if labels:
        query = query.where(Case.label.in_(labels) | Case.seen.in_(labels))
    if models:
        query = query.where(Case.model.in_(models))
    if readers:
        query = query.where(Case.reader.in_(readers))
    if since:
        query = query.where(Case.time >= datetime.combine(since, time(), UTC))
    if until:
        query = query.where(Case.time < datetime.combine(until + timedelta(days=1), time(), UTC))
    with _session(engine) as session:
        found = list(session.scalars(query))
    # Here, because SQLite tells capitals from small letters in every script but the Latin one.
    wanted = search.strip().casefold()
    return [
        case
        for case in found
        if (not verdicts or case.verdict in verdicts)
        and (
            wanted in case.note.casefold() or wanted in case.reader.casefold() or case.scan.startswith(wanted)
        )
    ]


def choices(engine: Engine, column: str) -> list[str]:
    """What there is to choose from: every model or every reader of a kept case, in order.

    Args:
        column: "model" or "reader".
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
            "kind": case.kind,
            "width": case.width,
            "height": case.height,
            "model": case.model,
            "read": case.label,
            **{name: round(getattr(case, name), 6) for name in CLASSES},
            **{f"set_{level}": " ".join(classes) for level, classes in sorted(case.sets.items())},
            "gate_score": case.gate_score,
            "gate_known": case.gate_known,
            "verdict": case.verdict,
            "seen": case.seen,
            "note": case.note,
            "reader": case.reader,
            "picture": case.pictured,
        }
        for case in cases
    ]


def to_csv(cases: Iterable[Case]) -> bytes:
    """Cases as a CSV file that spreadsheets open rightly, in any script."""
    return as_csv(rows(cases))
