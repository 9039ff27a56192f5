"""The store of kept cases: what the model read in a scan, and what a clinician sees in it.

A case holds no name, date or number of a patient, no header and no file name. It holds the scan's pixels
only where the observer asked for that. The scan is known by a hash. The database is SQLite or PostgreSQL.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, date, datetime, time, timedelta
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
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, column_property, mapped_column
from sqlalchemy.types import TypeDecorator

from brat import log
from brat.classes import CLASSES
from brat.io.evidence import SEQUENCES, is_scanner
from brat.io.names import clean_name, clean_note
from brat.reports.spreadsheet import as_csv
from brat.store.database import StoreError, session_on

if TYPE_CHECKING:
    from brat.io.scan import Scan, Window
    from brat.model.reader import Reading

VERDICTS = ("agree", "disagree", "unsure")
"""What a clinician may say of a reading."""

_OBSERVER = 100  # characters of a name
_NOT_OWNED = (
    "The case is deleted. Its traces remain in the server's files, because the app's user does not own the "
    "table: have its owner run VACUUM FULL cases."
)
_REMAINS = (
    "The case is deleted. The file could not be cleaned of its traces, because something else is using the "
    "store; deleting any other case later cleans it."
)


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
        recalibration: `SiteCalibration.digest` of the site's recalibration that was used with it; empty where
            there was none, and in cases from before this was kept.
        observer: the name of the person who gave the verdict; empty where none was given.
        format: of the file, `Scan.format`.
        width, height: of the scan, pixels.
        sequence: `Scan.sequence`; empty where the header does not say it, and in cases from before this was
            kept.
        scanner: `Scan.scanner`, likewise: a kind of scanner, which no station or site is named by.
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
    recalibration: Mapped[str] = mapped_column(String(64))
    observer: Mapped[str] = mapped_column(String(100))
    window: Mapped[str] = mapped_column(String(64))
    format: Mapped[str] = mapped_column(String(100))
    width: Mapped[int]
    height: Mapped[int]
    sequence: Mapped[str] = mapped_column(String(20))
    scanner: Mapped[str] = mapped_column(String(100))
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


class Act(Base):
    """A row of the trail: what somebody did with a case. The database refuses to change or delete one.

    It holds no note, no picture and no hash of the scan: while the case is kept, its number leads to them.

    Attributes:
        time: in UTC.
        action: one of `ACTIONS`.
        case: `Case.id`.
        person: who did it, as they named themselves or were logged in; empty where no name was given.
        verified: whether the person was logged in.
        model, window, label: what was seen, as in a case; empty where it was deleted or exported.
        probability: of `label`, 0 to 1; None where it was deleted or exported.
        seen: the class that the clinician sees; None where unsure, deleted or exported.
        changed: names of the fields of the case that have another value than before.
    """

    __tablename__ = "trail"

    id: Mapped[int] = mapped_column(primary_key=True)
    time: Mapped[datetime] = mapped_column(_Utc, index=True)
    action: Mapped[str] = mapped_column(String(20))
    case: Mapped[int] = mapped_column(index=True)
    person: Mapped[str] = mapped_column(String(100))
    verified: Mapped[bool]
    model: Mapped[str] = mapped_column(String(64), default="")
    window: Mapped[str] = mapped_column(String(64), default="")
    label: Mapped[str] = mapped_column(String(20), default="")
    probability: Mapped[float | None] = mapped_column(Float)
    seen: Mapped[str | None] = mapped_column(String(20))
    changed: Mapped[list[str]] = mapped_column(JSON, default=list)


ACTIONS = ("kept", "changed", "deleted", "exported")
"""What may be done with a case."""


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
    verified: bool = False,
    takes_nameless: bool = False,
) -> Case:
    """Keep a verdict. It replaces what this observer has kept of the same scan and model before.

    The trail says that it did, and what it changed.

    Args:
        scan: as it was shown; under another window it is the same scan.
        model: `Classifier.digest` of the model that read it.
        seen: the class that the clinician sees; None where unsure.
        observer: the name of the clinician, if given.
        picture: keep the scan's pixels as well.
        verified: whether the observer is logged in under this name.
        takes_nameless: what was kept of them without a name is this observer's. It gets the name, unless the
            observer has a case already.

    Raises:
        ValueError: `seen` is not a class.
        StoreError: the database does not answer.
    """
    if seen is not None and seen not in CLASSES:
        raise ValueError(f"{seen!r} is none of {CLASSES}.")
    key = {"scan": scan.slice_digest, "model": model, "observer": clean_name(observer.strip(), _OBSERVER)}
    values = {
        "time": datetime.now(UTC),
        "recalibration": reading.site.digest if reading.site else "",
        "window": window_text(scan.window),
        "format": scan.format[:100],
        "width": scan.width,
        "height": scan.height,
        "sequence": scan.sequence,
        "scanner": scan.scanner,
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
    if engine.dialect.name == "sqlite":
        # It would give the number of the case that was deleted last again, and with it that one's trail.
        used = [
            select(func.coalesce(func.max(number), 0)).scalar_subquery() for number in (Case.id, Act.case)
        ]
        statement = statement.values(id=func.max(*used) + 1)
    with session_on(engine) as session:
        # As a row, and not as the object that the session would go on with.
        columns = Case.__table__.c

        def kept_by(name: str) -> Any:
            named = {**key, "observer": name}
            is_it = [columns[column] == value for column, value in named.items()]
            return session.execute(select(*columns).where(*is_it).with_for_update()).one_or_none()

        before = kept_by(key["observer"])
        if before is None and takes_nameless:
            before = kept_by("")
            session.execute(update(Case).filter_by(**key | {"observer": ""}).values(observer=key["observer"]))
        session.execute(statement.on_conflict_do_update(index_elements=list(key), set_=new))
        case = session.scalars(select(Case).filter_by(**key)).one()
        changed = [
            name
            for name, value in {**key, **values}.items()
            if name != "time" and before and before._mapping[name] != value
        ]
        session.add(
            Act(
                time=case.time,
                action="changed" if before else "kept",
                case=case.id,
                person=case.observer,
                verified=verified,
                model=case.model,
                window=case.window,
                label=case.label,
                probability=getattr(case, case.label),
                seen=seen,
                changed=changed,
            )
        )
        return case


def trail(engine: Engine, case: int | None = None) -> list[Act]:
    """What was done, in order.

    Args:
        case: `Case.id`, of which only; that of a deleted case too.
    """
    query = select(Act).order_by(Act.id)
    with session_on(engine) as session:
        return list(session.scalars(query if case is None else query.filter_by(case=case)))


def was_logged_in(engine: Engine, case: int) -> bool:
    """Whether the observer of a case was logged in when they gave the verdict that is kept now."""
    given = select(Act.verified).where(Act.case == case, Act.action.in_(("kept", "changed")))
    with session_on(engine) as session:
        return bool(session.scalar(given.order_by(Act.id.desc()).limit(1)))


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
        and case.sequence in ("", *SEQUENCES)
        and isinstance(case.scanner, str)
        and is_scanner(case.scanner)
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
    with session_on(engine) as session:
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
    with session_on(engine) as session:
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
    with session_on(engine) as session:
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
    with session_on(engine) as session:
        return sorted(session.scalars(select(getattr(Case, column)).distinct()))


def picture_of(engine: Engine, case: int) -> bytes | None:
    """The kept picture of a case, as a PNG file; None where there is none."""
    with session_on(engine) as session:
        return session.scalar(select(Case.picture).filter_by(id=case))


def remove(engine: Engine, case: int, *, person: str = "", verified: bool = False) -> None:
    """Delete a case for good. The trail says who did, and of the case no more than its number.

    Nothing of it remains in SQLite's file or write-ahead log, nor in PostgreSQL's table; PostgreSQL's own log
    and its backups are up to whoever runs the server. What the trail said
    of it before stays: who gave which verdict when, without scan, note and picture.

    Args:
        person: who deletes it, and `verified`, whether they are logged in.

    Raises:
        StoreError: the database does not answer; or something else has it open just now, or the user of
            PostgreSQL does not own the table, so that the case is deleted but may still be found in the files
            with special tools.
    """
    with session_on(engine) as session:
        if session.execute(delete(Case).filter_by(id=case)).rowcount:  # type: ignore[attr-defined]
            session.add(
                Act(
                    time=datetime.now(UTC),
                    action="deleted",
                    case=case,
                    person=clean_name(person.strip(), _OBSERVER),
                    verified=verified,
                )
            )
    is_sqlite = engine.dialect.name == "sqlite"
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            # A page that was split or merged may hold a copy of what was deleted; all pages are written
            # anew, and the log, which holds what was written before, is emptied.
            file = text("SELECT pg_relation_filenode('cases')")
            before = None if is_sqlite else connection.execute(file).scalar()
            connection.execute(text("VACUUM" if is_sqlite else "VACUUM FULL cases"))
            # PostgreSQL leaves the table of another owner as it is, with no more than a warning.
            is_left = not is_sqlite and connection.execute(file).scalar() == before
            busy = is_sqlite and connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).scalar()
    except SQLAlchemyError as error:
        raise StoreError(_REMAINS) from error
    if busy or is_left:
        raise StoreError(_REMAINS if busy else _NOT_OWNED)


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
            "sequence": case.sequence,
            "scanner": case.scanner,
            "model": case.model,
            "recalibration": case.recalibration,
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


def record_export(engine: Engine, cases: Iterable[Case], *, person: str = "", verified: bool = False) -> None:
    """Have the trail of each case say that it was exported.

    Args:
        person: who exports them, and `verified`, whether they are logged in.

    Raises:
        StoreError: the database does not answer.
    """
    now, name = datetime.now(UTC), clean_name(person.strip(), _OBSERVER)
    with session_on(engine) as session:
        session.add_all(
            Act(time=now, action="exported", case=case.id, person=name, verified=verified) for case in cases
        )
