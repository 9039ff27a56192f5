"""The store of kept cases: what it keeps, what it never keeps, and that neither is lost or left behind."""

import csv
import io
import shutil
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from sqlalchemy import create_engine, event, inspect, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from brat.classes import CLASSES
from brat.io.read import read_scan
from brat.io.scan import Scan, Window
from brat.model.reader import Reading
from brat.store import database
from brat.store.cases import (
    Base,
    Case,
    cases_of,
    choices,
    find,
    keep,
    latest,
    picture_of,
    remove,
    to_csv,
    trail,
)
from brat.store.database import StoreError, prepare
from tests.factories.paths import ROOT
from tests.factories.readings import MODEL, NEXT_MODEL, READING, reading_of, scan_of
from tests.factories.weights import recalibrated

# Long enough to be found nowhere by accident, short enough to lie in one piece.
NOTE = "qx-planted-note-7391-zw"


def files_of(engine) -> list[Path]:
    """SQLite's file and those beside it."""
    database = Path(engine.url.database)
    return sorted(database.parent.glob(f"{database.name}*"))


def test_a_case_comes_back_as_it_was_kept(engine):
    before = datetime.now(UTC)
    keep(engine, scan_of(1), READING, MODEL, seen="meningioma", note="  Dura, λ ✓ ", observer="AB")
    (case,) = find(engine)
    assert before <= case.time <= datetime.now(UTC)
    assert (case.scan, case.model, case.observer) == (scan_of(1).digest, MODEL, "AB")
    assert (case.format, case.width, case.height) == ("PNG, 8-bit gray", 64, 80)
    assert [getattr(case, name) for name in CLASSES] == pytest.approx([0.7, 0.1, 0.1, 0.1])
    assert (case.label, case.seen, case.verdict) == ("glioma", "meningioma", "disagree")
    assert case.sets == {"0.95": ["glioma"]}
    assert (case.ood_score, case.in_distribution) == (0.5, True)
    assert case.note == "Dura, λ ✓"
    assert not case.pictured
    assert picture_of(engine, case.id) is None


def test_a_verdict_is_changed_in_place_and_observers_do_not_overwrite_one_another(engine):
    first = keep(engine, scan_of(), READING, MODEL, seen="glioma", observer="AB", picture=True)
    keep(engine, scan_of(), READING, MODEL, seen=None, observer="CD")
    keep(engine, scan_of(), READING, NEXT_MODEL, seen="glioma", observer="AB")
    changed = keep(engine, scan_of(), READING, MODEL, seen="pituitary", note="after all", observer=" AB ")
    assert changed.id == first.id
    assert changed.time > first.time
    assert not changed.pictured
    assert [(c.observer, c.seen) for c in cases_of(engine, scan_of().digest, MODEL)] == [
        ("AB", "pituitary"),
        ("CD", None),
    ]
    assert len(find(engine)) == 3


def test_a_case_without_a_name_that_gets_one_is_the_same_case(engine):
    nameless = keep(engine, scan_of(), READING, MODEL, seen="glioma", note="dural tail")
    other = keep(engine, scan_of(), READING, NEXT_MODEL, seen="glioma")
    named = keep(
        engine,
        scan_of(),
        READING,
        MODEL,
        seen="glioma",
        note="dural tail",
        observer="AB",
        takes_nameless=True,
    )
    assert named.id == nameless.id
    assert {(case.id, case.observer) for case in find(engine)} == {(named.id, "AB"), (other.id, "")}
    kept, changed = trail(engine, named.id)
    assert (kept.person, changed.action, changed.person) == ("", "changed", "AB")
    assert changed.changed == ["observer"]
    # Who has a case already keeps it; nobody's stays nobody's.
    keep(engine, scan_of(), READING, MODEL, seen=None)
    again = keep(engine, scan_of(), READING, MODEL, seen=None, observer="AB", takes_nameless=True)
    assert again.id == named.id
    assert [case.observer for case in cases_of(engine, scan_of().digest, MODEL)] == ["AB", ""]
    # Another reader does not take it unasked.
    keep(engine, scan_of(), READING, MODEL, seen=None, observer="CD")
    assert len(cases_of(engine, scan_of().digest, MODEL)) == 3


def test_a_reading_without_check_and_calibration_is_kept(engine):
    bare = Reading(READING.prediction, {}, None, READING.model_input, READING.geometry)
    case = keep(engine, scan_of(), bare, MODEL, seen=None)
    assert (case.sets, case.ood_score, case.in_distribution, case.verdict) == ({}, None, None, "unsure")


def test_a_case_names_the_recalibration_that_it_was_read_with(engine, tmp_path):
    site = recalibrated(tmp_path / "weights")
    keep(engine, scan_of(1), READING, MODEL, seen=None)
    keep(engine, scan_of(2), replace(READING, site=site), MODEL, seen=None)
    keep(engine, scan_of(1), replace(READING, site=site), MODEL, seen=None)
    said = {case.scan: case.recalibration for case in find(engine)}
    assert said == {scan_of(1).slice_digest: site.digest, scan_of(2).slice_digest: site.digest}
    # The trail says that it is another one than before.
    assert (
        "recalibration" in trail(engine, cases_of(engine, scan_of(1).slice_digest, MODEL)[0].id)[-1].changed
    )
    assert site.digest.encode() in to_csv(find(engine))


def test_only_a_class_is_seen(sqlite_engine):
    with pytest.raises(ValueError, match="tumor"):
        keep(sqlite_engine, scan_of(), READING, MODEL, seen="tumor")


def test_the_picture_is_kept_on_request(engine):
    gray = np.random.default_rng(0).integers(0, 256, (80, 64), dtype=np.uint8)
    case = keep(engine, scan_of(gray=gray), READING, MODEL, seen="glioma", picture=True)
    assert case.pictured
    png = picture_of(engine, case.id)
    assert np.array_equal(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED), gray)


def test_cases_are_found_by_every_condition(engine):
    keep(engine, scan_of(0xABC), READING, MODEL, seen="glioma", note="ÖDEM um die Läsion", observer="Ádám")
    keep(engine, scan_of(2), READING, NEXT_MODEL, seen="meningioma", observer="CD")
    keep(engine, scan_of(3), reading_of("pituitary"), MODEL, seen=None, note="100 % sure?")
    with Session(engine) as session, session.begin():
        # The second at the last moment of 1 November, the third at the first of the 2nd.
        at = datetime(2026, 11, 1, 23, 59, 59, tzinfo=UTC)
        session.get(Case, find(engine, models=[NEXT_MODEL])[0].id).time = at
        session.get(Case, find(engine, labels=["pituitary"])[0].id).time = at + timedelta(seconds=1)

    def found(**conditions) -> set[int]:
        return {int(case.scan, 16) for case in find(engine, **conditions)}

    assert found() == {0xABC, 2, 3}
    assert found(search="ödem") == {0xABC}
    assert found(search="ádÁM") == {0xABC}
    assert found(search="100 %") == {3}
    assert found(search="%") == {3}
    assert found(search="0" * 61 + "ABC") == {0xABC}
    assert found(search="ABC") == set()
    assert found(verdicts=["disagree", "unsure"]) == {2, 3}
    assert found(labels=["meningioma"]) == {2}
    assert found(labels=["glioma"]) == {0xABC, 2}
    assert found(models=[MODEL]) == {0xABC, 3}
    assert found(observers=[""]) == {3}
    assert found(observers=["CD"], verdicts=["agree"]) == set()
    assert found(until=date(2026, 11, 1)) == {2}
    assert found(since=date(2026, 11, 2), until=date(2026, 11, 2)) == {3}
    assert choices(engine, "model") == [MODEL, NEXT_MODEL]
    assert choices(engine, "observer") == sorted(["", "CD", "Ádám"])


# What a patient's file may say of the patient, and where.
PLANTED = {
    "PatientName": "Qxplanted^Name",
    "PatientID": "QXPLANTEDID77",
    "PatientBirthDate": "19610723",
    "PatientAddress": "Qxplanted street 5",
    "OtherPatientNames": "Qxplanted^Other",
    "ReferringPhysicianName": "Qxplanted^Referrer",
    "InstitutionName": "Qxplanted hospital",
    "AccessionNumber": "QXPLANTEDACC8",
    "StudyDescription": "Qxplanted study",
    "PatientComments": "Qxplanted comment",
    "StationName": "QXPLANTEDSTATION",
}


def planted_scan(gray: np.ndarray) -> tuple[Scan, list[str]]:
    """A DICOM scan with a patient's data in its tags and its file name, and what of it must not be found."""
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    uid = generate_uid()
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, MRImageStorage
    meta.MediaStorageSOPInstanceUID = uid
    dataset = pydicom.Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = MRImageStorage, uid, "MR"
    for keyword, value in PLANTED.items():
        setattr(dataset, keyword, value)
    dataset.Rows, dataset.Columns = gray.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = gray.tobytes()
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    assert all(value.encode() in buffer.getvalue() for value in PLANTED.values())
    scan = read_scan(buffer.getvalue(), "Qxplanted_Filename_1961-07-23.dcm")
    return scan, ["qxplanted", "19610723", "1961-07-23", str(uid)]


def test_nothing_that_names_the_patient_is_stored_exported_or_logged(sqlite_engine, make_head, caplog, capfd):
    caplog.set_level("DEBUG")
    scan, secret = planted_scan(make_head(96, 96))
    case = keep(sqlite_engine, scan, READING, MODEL, seen="glioma", note=NOTE, picture=True)
    assert case.format.startswith("DICOM MR")
    exported = to_csv(find(sqlite_engine))
    # Nor may the error of a store that fails hold what was asked of it.
    with sqlite_engine.begin() as connection:
        connection.execute(text("ALTER TABLE cases RENAME TO gone"))
    with pytest.raises(StoreError) as failure:
        keep(sqlite_engine, scan, READING, MODEL, seen="glioma", note=NOTE)
    chain = f"{failure.value} {failure.value.__cause__}"
    written = {"error": chain.encode(), "log": (caplog.text + "".join(capfd.readouterr())).encode()}
    assert NOTE.encode() not in written["error"] + written["log"]
    written |= {"export": exported} | {file.name: file.read_bytes() for file in files_of(sqlite_engine)}
    assert NOTE.encode() in exported
    assert any(NOTE.encode() in content for name, content in written.items() if name.startswith("cases.db"))
    for name, content in written.items():
        for word in secret:
            assert word.encode() not in content.lower(), (word, name)
    assert PLANTED["PatientName"].encode() not in picture_bytes(sqlite_engine)


def picture_bytes(engine) -> bytes:
    with engine.connect() as connection:
        return connection.execute(text("SELECT picture FROM gone")).scalar()


def test_a_deleted_case_leaves_nothing_in_sqlites_files(sqlite_engine):
    noise = np.random.default_rng(1).integers(0, 256, (80, 64), dtype=np.uint8)
    for number in range(40):
        # Long enough for notes to overflow their page, and for pages to be split.
        keep(sqlite_engine, scan_of(number), READING, MODEL, seen=None, note="other note " * 80)
    case = keep(sqlite_engine, scan_of(99, noise), READING, MODEL, seen=None, note=NOTE * 200, picture=True)
    keep(sqlite_engine, scan_of(99, noise), READING, MODEL, seen=None, note=NOTE, picture=True)
    picture = picture_of(sqlite_engine, case.id)
    # The last third of it lies in one piece on a page of its own.
    marks = [NOTE.encode(), scan_of(99).digest.encode(), picture[-200:]]
    before = b"".join(file.read_bytes() for file in files_of(sqlite_engine))
    assert all(mark in before for mark in marks)
    remove(sqlite_engine, case.id)
    after = b"".join(file.read_bytes() for file in files_of(sqlite_engine))
    assert not [mark for mark in marks if mark in after]
    assert b"other note" in after
    assert len(find(sqlite_engine)) == 40


def test_a_deletion_says_where_it_could_not_clean_the_file(sqlite_engine):
    case = keep(sqlite_engine, scan_of(), READING, MODEL, seen=None, note=NOTE)
    other = sqlite3.connect(sqlite_engine.url.database)
    other.execute("BEGIN")
    other.execute("SELECT * FROM cases").fetchall()
    # Not to wait for five seconds.
    sqlite_engine.dispose()
    impatient = create_engine(sqlite_engine.url, connect_args={"timeout": 0.1})
    with pytest.raises(StoreError, match="is deleted"):
        remove(impatient, case.id)
    assert find(impatient) == []
    impatient.dispose()
    other.close()


def test_a_deleted_case_leaves_nothing_in_postgresqls_table(postgresql_engine, postgresql_server):
    keep(postgresql_engine, scan_of(1), READING, MODEL, seen=None, note="another")
    case = keep(postgresql_engine, scan_of(2), READING, MODEL, seen=None, note=NOTE)

    def on_disk() -> bytes:
        with postgresql_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("CHECKPOINT"))
        tables = postgresql_server[1] / "base"
        return b"".join(file.read_bytes() for file in tables.rglob("*") if file.is_file())

    assert NOTE.encode() in on_disk()
    remove(postgresql_engine, case.id)
    assert NOTE.encode() not in on_disk()
    assert len(find(postgresql_engine)) == 1


def test_a_deletion_by_who_does_not_own_the_table_says_that_traces_remain(
    postgresql_engine, postgresql_server
):
    """As docs/deploy.md advises for the sake of the trail."""
    other = create_engine(postgresql_server[0])
    with postgresql_engine.begin() as connection:
        connection.execute(text("CREATE ROLE app"))
        connection.execute(text("GRANT ALL ON cases, trail, alembic_version TO app"))
        connection.execute(text("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app"))
    event.listen(other, "connect", lambda connection, _: connection.execute("SET ROLE app"))
    try:
        prepare(other)
        case = keep(other, scan_of(), READING, MODEL, seen=None, note=NOTE)
        with pytest.raises(StoreError, match="does not own the table"):
            remove(other, case.id)
        assert find(other) == []
        # Who owns it need not be told.
        remove(postgresql_engine, keep(other, scan_of(), READING, MODEL, seen=None).id)
    finally:
        other.dispose()
        with postgresql_engine.begin() as connection:
            connection.execute(text("DROP OWNED BY app"))
            connection.execute(text("DROP ROLE app"))


WRITER = """
from sqlalchemy import create_engine
from brat.store.cases import keep
from brat.store.database import prepare
from tests.factories.readings import MODEL, READING, scan_of
engine = create_engine({url!r})
prepare(engine)
number = 0
while True:
    keep(engine, scan_of(number), READING, MODEL, seen="glioma", note="note " * 2000)
    print(number, flush=True)
    number += 1
"""


def test_sqlite_survives_being_killed_in_the_middle_of_a_write(tmp_path):
    url = f"sqlite:///{tmp_path / 'cases.db'}"
    committed = -1
    for kill_after in (3, 17):
        code = WRITER.format(url=url)
        with subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT
        ) as writer:
            for line in writer.stdout:
                if int(line) >= kill_after:
                    break
            # It goes on writing meanwhile.
            writer.send_signal(signal.SIGKILL)
            committed = max(committed, *(int(number) for number in [line, *writer.stdout.read().split()]))
        assert writer.returncode == -signal.SIGKILL
        with sqlite3.connect(tmp_path / "cases.db") as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        engine = create_engine(url)
        prepare(engine)
        found = {int(case.scan, 16) for case in find(engine)}
        assert set(range(committed + 1)) <= found
        engine.dispose()


def test_the_tables_are_those_of_the_revisions(engine):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


@pytest.fixture(params=["sqlite", "postgresql"])
def store_of_0001(request, tmp_path, monkeypatch):
    """An engine of a store as the first revision made it, with one full case and one of the least."""
    if request.param == "sqlite":
        engine = create_engine(f"sqlite:///{tmp_path / 'old.db'}")
    else:
        engine = create_engine(request.getfixturevalue("postgresql_server")[0])
    versions = tmp_path / "old" / "versions"
    versions.mkdir(parents=True)
    shutil.copy(ROOT / "brat" / "store" / "migrations" / "env.py", tmp_path / "old")
    shutil.copy(ROOT / "brat" / "store" / "migrations" / "versions" / "0001_cases.py", versions)
    with monkeypatch.context() as patch:
        patch.setattr(database, "_MIGRATIONS", tmp_path / "old")
        prepare(engine)
    columns = (
        "time, scan, model, reader, kind, width, height, label, glioma, meningioma, pituitary, no_tumor, "
        "sets, gate_score, gate_known, seen, note, picture"
    )
    full = {
        "time": "2026-11-01 23:59:59",
        "scan": "c" * 64,
        "model": MODEL,
        "reader": "Ádám",
        "kind": "DICOM MR, 12-bit",
        "width": 64,
        "height": 80,
        "label": "glioma",
        "glioma": 0.7,
        "meningioma": 0.1,
        "pituitary": 0.1,
        "no_tumor": 0.1,
        "sets": '{"0.95": ["glioma"]}',
        "gate_score": 0.5,
        "gate_known": True,
        "seen": "meningioma",
        "note": NOTE,
        "picture": b"PNG",
    }
    least = {**full, "reader": "", "note": ""} | dict.fromkeys(
        ("gate_score", "gate_known", "seen", "picture")
    )
    values = ", ".join(f":{name}" for name in columns.split(", "))
    with engine.begin() as connection:
        connection.execute(text(f"INSERT INTO cases ({columns}) VALUES ({values})"), [full, least])
    yield engine
    with engine.begin() as connection:
        connection.execute(
            text("DROP TABLE cases, trail, alembic_version" if request.param != "sqlite" else "SELECT 1")
        )
    engine.dispose()


def test_a_store_of_the_first_revision_is_brought_forward_without_loss(store_of_0001):
    engine = store_of_0001
    prepare(engine)
    least, full = find(engine)
    assert (full.scan, full.window, full.model) == ("c" * 64, "", MODEL)
    assert (full.observer, full.format, full.width, full.height) == ("Ádám", "DICOM MR, 12-bit", 64, 80)
    assert full.time == datetime(2026, 11, 1, 23, 59, 59, tzinfo=UTC)
    assert [getattr(full, name) for name in CLASSES] == [0.7, 0.1, 0.1, 0.1]
    assert (full.label, full.seen, full.note, full.sets) == (
        "glioma",
        "meningioma",
        NOTE,
        {"0.95": ["glioma"]},
    )
    assert (full.ood_score, full.in_distribution) == (0.5, True)
    assert picture_of(engine, full.id) == b"PNG"
    assert (least.observer, least.ood_score, least.in_distribution, least.seen) == ("", None, None, None)
    # The same observer's verdict on the same scan still replaces the one from before.
    gray = np.full((80, 64), 7, np.uint8)
    scan = Scan(gray, gray, "JANE_DOE.png", "PNG, 8-bit gray", "", "c" * 64)
    assert keep(engine, scan, READING, MODEL, seen="glioma", observer="Ádám").id == full.id
    assert len(find(engine)) == 2


def test_a_verdict_holds_for_the_scan_under_every_window(engine):
    gray = np.arange(80 * 64, dtype=np.uint16).reshape(80, 64)
    window = Window(2560, 5120)
    scan = Scan(window.apply(gray), gray, "a.dcm", "DICOM MR", "MR", "d" * 64, window=window)
    narrow = scan.windowed(Window(40, 80))
    kept = keep(engine, narrow, READING, MODEL, seen="glioma", observer="AB")
    assert (kept.scan, kept.window) == (scan.digest, "40/80")
    # The worklist asks for the scan as it was opened.
    assert latest(engine, {scan.digest}, MODEL)[scan.digest].id == kept.id
    changed = keep(engine, scan, READING, MODEL, seen=None, observer="AB")
    assert (changed.id, changed.window) == (kept.id, "2560/5120")
    assert keep(engine, scan_of(1), READING, MODEL, seen=None).window == ""


def test_an_older_store_is_brought_forward_without_loss(engine, tmp_path, monkeypatch):
    keep(engine, scan_of(1), READING, MODEL, seen="meningioma", note=NOTE, picture=True)
    (before,) = find(engine)
    picture = picture_of(engine, before.id)
    # The next version of the app has one revision more.
    shutil.copytree(ROOT / "brat" / "store" / "migrations", tmp_path / "migrations")
    (tmp_path / "migrations" / "versions" / "next.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        "revision, down_revision = 'next', '0006'\n"
        "def upgrade():\n"
        "    op.add_column('cases', sa.Column('stars', sa.Integer, server_default='5', nullable=False))\n"
    )
    with monkeypatch.context() as patch:
        patch.setattr(database, "_MIGRATIONS", tmp_path / "migrations")
        upgraded = create_engine(engine.url)
        prepare(upgraded)
        # And opening it again changes nothing.
        prepare(upgraded)
    assert "stars" in {column["name"] for column in inspect(upgraded).get_columns("cases")}
    (after,) = find(upgraded)
    assert {k: v for k, v in vars(after).items() if k[0] != "_"} == {
        k: v for k, v in vars(before).items() if k[0] != "_"
    }
    assert picture_of(upgraded, after.id) == picture
    upgraded.dispose()
    # This version does not know that revision.
    with pytest.raises(StoreError, match="newer version"):
        prepare(create_engine(engine.url))


def test_an_empty_version_table_is_brought_to_the_newest_revision(tmp_path):
    database = tmp_path / "cases.db"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    engine = create_engine(f"sqlite:///{database}")
    prepare(engine)
    keep(engine, scan_of(), READING, MODEL, seen=None)
    assert len(find(engine)) == 1
    engine.dispose()


def test_a_failed_upgrade_leaves_the_store_as_it_was(engine, tmp_path, monkeypatch):
    keep(engine, scan_of(1), READING, MODEL, seen=None)
    shutil.copytree(ROOT / "brat" / "store" / "migrations", tmp_path / "migrations")
    (tmp_path / "migrations" / "versions" / "next.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        "revision, down_revision = 'next', '0006'\n"
        "def upgrade():\n"
        "    op.add_column('cases', sa.Column('stars', sa.Integer))\n"
        "    op.execute('SELECT nonsense FROM nowhere')\n"
    )
    monkeypatch.setattr(database, "_MIGRATIONS", tmp_path / "migrations")
    upgraded = create_engine(engine.url)
    with pytest.raises(StoreError):
        prepare(upgraded)
    assert "stars" not in {column["name"] for column in inspect(upgraded).get_columns("cases")}
    upgraded.dispose()


@pytest.mark.parametrize("broken", ["no folder", "no database", "no server"])
def test_a_store_that_cannot_be_opened_says_so(tmp_path, broken):
    (tmp_path / "notes.db").write_bytes(b"these are notes, not a database" * 50)
    if broken == "no server":
        pytest.importorskip("psycopg", reason="psycopg, the driver of PostgreSQL, is not installed")
    url = {
        "no folder": f"sqlite:///{tmp_path}/nowhere/cases.db",
        "no database": f"sqlite:///{tmp_path}/notes.db",
        "no server": f"postgresql+psycopg://me:secret-password@/x?host={tmp_path}",
    }[broken]
    with pytest.raises(StoreError, match="cannot be reached") as failure:
        prepare(create_engine(url))
    assert "secret-password" not in f"{failure.value} {failure.value.__cause__}"


def test_the_export_holds_every_case_and_no_formula(engine):
    keep(engine, scan_of(1), READING, MODEL, seen="meningioma", note='=HYPERLINK("x")', observer="@AB")
    keep(engine, scan_of(2), READING, MODEL, seen=None, note='Zwei\nZeilen, "so" 日本語')
    later, first = csv.DictReader(io.StringIO(to_csv(find(engine)).decode("utf-8-sig"), newline=""))
    assert (first["note"], first["observer"]) == ('\'=HYPERLINK("x")', "'@AB")
    assert (first["verdict"], first["read"], first["seen"]) == ("disagree", "glioma", "meningioma")
    assert (later["note"], later["seen"], later["set_0.95"]) == ('Zwei\nZeilen, "so" 日本語', "", "glioma")
    assert datetime.fromisoformat(later["time"]).utcoffset() == timedelta(0)
    assert to_csv([]) == b"\xef\xbb\xbf\r\n"


def test_the_trail_says_who_kept_what_and_what_changed(engine):
    case = keep(engine, scan_of(), READING, MODEL, seen="glioma", note="first", observer="AB")
    keep(engine, scan_of(), READING, MODEL, seen=None, note="second", observer="AB", verified=True)
    keep(engine, scan_of(), READING, MODEL, seen=None, note="of another", observer="CD")
    first, second = trail(engine, case.id)
    assert (first.action, first.person, first.verified, first.seen, first.changed) == (
        *("kept", "AB", False, "glioma", []),
    )
    assert (first.model, first.window, first.label) == (MODEL, case.window, READING.prediction.label)
    assert first.probability == pytest.approx(READING.prediction.by_class()[first.label])
    assert (second.action, second.verified, second.seen) == ("changed", True, None)
    assert second.changed == ["seen", "note"]
    assert first.time <= second.time
    assert len(trail(engine)) == 3


def test_a_new_case_does_not_come_by_the_trail_of_a_deleted_one(engine):
    keep(engine, scan_of(1), READING, MODEL, seen=None, observer="AB")
    gone = keep(engine, scan_of(2), READING, MODEL, seen=None, observer="AB", verified=True)
    remove(engine, gone.id)
    new = keep(engine, scan_of(3), READING, MODEL, seen=None, observer="CD")
    assert new.id != gone.id
    assert [(act.action, act.person) for act in trail(engine, new.id)] == [("kept", "CD")]
    # The number of a case stays, whoever changes it after that.
    assert keep(engine, scan_of(3), READING, MODEL, seen="glioma", observer="CD").id == new.id


def test_a_deletion_is_in_the_trail_without_what_was_deleted(engine):
    case = keep(engine, scan_of(), READING, MODEL, seen=None, note=NOTE, observer="AB")
    remove(engine, case.id, person="an admin", verified=True)
    *_, act = trail(engine, case.id)
    assert (act.action, act.person, act.verified) == ("deleted", "an admin", True)
    assert (act.model, act.window, act.label, act.probability, act.seen, act.changed) == (
        *("", "", "", None, None, []),
    )
    # What is not there is not deleted.
    remove(engine, case.id)
    assert len(trail(engine, case.id)) == 2
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM trail")).fetchall()
    assert not [value for row in rows for value in row if value in (NOTE, scan_of().slice_digest)]


@pytest.mark.parametrize("statement", ["UPDATE trail SET person = 'somebody else'", "DELETE FROM trail"])
def test_the_database_refuses_to_change_the_trail(engine, statement):
    keep(engine, scan_of(), READING, MODEL, seen=None, observer="AB")
    with pytest.raises(SQLAlchemyError, match="only added to"), engine.begin() as connection:
        connection.execute(text(statement))
    assert [act.person for act in trail(engine)] == ["AB"]


_REPLACING = """INSERT OR {} INTO trail
SELECT id, time, action, "case", 'somebody else', verified, model, "window", label, probability, seen, changed
FROM trail"""


@pytest.mark.parametrize("how", ["REPLACE", "IGNORE", "FAIL"])
def test_sqlite_refuses_to_put_another_row_in_the_place_of_one_of_the_trail(sqlite_engine, how):
    keep(sqlite_engine, scan_of(), READING, MODEL, seen=None, observer="AB")
    with pytest.raises(SQLAlchemyError, match="only added to"), sqlite_engine.begin() as connection:
        connection.execute(text(_REPLACING.format(how)))
    assert [act.person for act in trail(sqlite_engine)] == ["AB"]


def test_the_trail_of_a_store_from_before_is_kept_and_cannot_be_replaced_any_more(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'cases.db'}")
    prepare(engine)
    keep(engine, scan_of(), READING, MODEL, seen=None, observer="AB")
    # As the revision before left it.
    with engine.begin() as connection:
        connection.execute(text("DROP TRIGGER trail_no_replace"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0005'"))
    engine.dispose()
    engine = create_engine(f"sqlite:///{tmp_path / 'cases.db'}")
    prepare(engine)
    with pytest.raises(SQLAlchemyError, match="only added to"), engine.begin() as connection:
        connection.execute(text(_REPLACING.format("REPLACE")))
    keep(engine, scan_of(2), READING, MODEL, seen=None, observer="CD")
    assert [act.person for act in trail(engine)] == ["AB", "CD"]
    engine.dispose()
