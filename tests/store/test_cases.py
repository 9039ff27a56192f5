"""The store of kept cases: what it keeps, what it never keeps, and that neither is lost or left behind."""

import csv
import io
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.orm import Session

from brat.classes import CLASSES
from brat.io.scan import Scan, read_scan
from brat.model.classifier import Prediction
from brat.model.out_of_distribution import OodResult
from brat.model.preprocess import frame, to_input
from brat.model.reader import Reading
from brat.store import cases
from brat.store.cases import (
    Case,
    StoreError,
    choices,
    find,
    keep,
    kept,
    picture_of,
    prepare,
    remove,
    to_csv,
)

ROOT = Path(__file__).resolve().parents[2]
MODEL, NEXT_MODEL = "a" * 64, "b" * 64
# Long enough to be found nowhere by accident, short enough to lie in one piece.
NOTE = "qx-planted-note-7391-zw"


def scan_of(number: int = 0, gray: np.ndarray | None = None) -> Scan:
    gray = np.full((80, 64), 7, np.uint8) if gray is None else gray
    return Scan(gray, gray, "JANE_DOE.png", "PNG, 8-bit gray", "", f"{number:064x}")


def reading_of(label: str = "glioma", known: bool = True) -> Reading:
    probabilities = np.full(4, 0.1, np.float32)
    probabilities[CLASSES.index(label)] = 0.7
    prediction = Prediction(probabilities, np.zeros((14, 14, 4), np.float32), np.zeros(1280, np.float32))
    framed, geometry = frame(scan_of().gray)
    verdict = OodResult(0.5 if known else 1.5, known, "" if known else "Unlike.")
    return Reading(prediction, {0.95: (label,)}, verdict, to_input(framed), geometry)


READING = reading_of()


def files_of(engine) -> list[Path]:
    """SQLite's file and those beside it."""
    database = Path(engine.url.database)
    return sorted(database.parent.glob(f"{database.name}*"))


@pytest.fixture
def sqlite_engine(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'cases.db'}")
    prepare(engine)
    yield engine
    engine.dispose()


def server_programs() -> Path | None:
    """The folder of Debian's PostgreSQL programs."""
    on_path = shutil.which("initdb")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
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
        connection.execute(text("DROP TABLE cases, alembic_version"))
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request):
    return request.getfixturevalue(f"{request.param}_engine")


def test_a_case_comes_back_as_it_was_kept(engine):
    before = datetime.now(UTC)
    keep(engine, scan_of(1), READING, MODEL, seen="meningioma", note="  Dura, λ ✓ ", reader="AB")
    (case,) = find(engine)
    assert before <= case.time <= datetime.now(UTC)
    assert (case.scan, case.model, case.reader) == (scan_of(1).digest, MODEL, "AB")
    assert (case.kind, case.width, case.height) == ("PNG, 8-bit gray", 64, 80)
    assert [getattr(case, name) for name in CLASSES] == pytest.approx([0.7, 0.1, 0.1, 0.1])
    assert (case.label, case.seen, case.verdict) == ("glioma", "meningioma", "disagree")
    assert case.sets == {"0.95": ["glioma"]}
    assert (case.gate_score, case.gate_known) == (0.5, True)
    assert case.note == "Dura, λ ✓"
    assert not case.pictured
    assert picture_of(engine, case.id) is None


def test_a_verdict_is_changed_in_place_and_readers_do_not_overwrite_one_another(engine):
    first = keep(engine, scan_of(), READING, MODEL, seen="glioma", reader="AB", picture=True)
    keep(engine, scan_of(), READING, MODEL, seen=None, reader="CD")
    keep(engine, scan_of(), READING, NEXT_MODEL, seen="glioma", reader="AB")
    changed = keep(engine, scan_of(), READING, MODEL, seen="pituitary", note="after all", reader=" AB ")
    assert changed.id == first.id
    assert changed.time > first.time
    assert not changed.pictured
    assert [(c.reader, c.seen) for c in kept(engine, scan_of().digest, MODEL)] == [
        ("AB", "pituitary"),
        ("CD", None),
    ]
    assert len(find(engine)) == 3


def test_a_reading_without_gate_and_calibration_is_kept(engine):
    bare = Reading(READING.prediction, {}, None, READING.model_input, READING.geometry)
    case = keep(engine, scan_of(), bare, MODEL, seen=None)
    assert (case.sets, case.gate_score, case.gate_known, case.verdict) == ({}, None, None, "unsure")


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
    keep(engine, scan_of(0xABC), READING, MODEL, seen="glioma", note="ÖDEM um die Läsion", reader="Ádám")
    keep(engine, scan_of(2), READING, NEXT_MODEL, seen="meningioma", reader="CD")
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
    assert found(readers=[""]) == {3}
    assert found(readers=["CD"], verdicts=["agree"]) == set()
    assert found(until=date(2026, 11, 1)) == {2}
    assert found(since=date(2026, 11, 2), until=date(2026, 11, 2)) == {3}
    assert choices(engine, "model") == [MODEL, NEXT_MODEL]
    assert choices(engine, "reader") == sorted(["", "CD", "Ádám"])


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
    assert case.kind.startswith("DICOM MR")
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


WRITER = """
import sys
sys.path.insert(0, {root!r} + "/tests/store")
from test_cases import *
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
        code = WRITER.format(root=str(ROOT), url=url)
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
        assert compare_metadata(context, cases.Base.metadata) == []


def test_an_older_store_is_brought_forward_without_loss(engine, tmp_path, monkeypatch):
    keep(engine, scan_of(1), READING, MODEL, seen="meningioma", note=NOTE, picture=True)
    (before,) = find(engine)
    picture = picture_of(engine, before.id)
    # The next version of the app has one revision more.
    shutil.copytree(ROOT / "brat" / "store" / "migrations", tmp_path / "migrations")
    (tmp_path / "migrations" / "versions" / "next.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        "revision, down_revision = 'next', '0001'\n"
        "def upgrade():\n"
        "    op.add_column('cases', sa.Column('stars', sa.Integer, server_default='5', nullable=False))\n"
    )
    with monkeypatch.context() as patch:
        patch.setattr(cases, "_MIGRATIONS", tmp_path / "migrations")
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
        "revision, down_revision = 'next', '0001'\n"
        "def upgrade():\n"
        "    op.add_column('cases', sa.Column('stars', sa.Integer))\n"
        "    op.execute('SELECT nonsense FROM nowhere')\n"
    )
    monkeypatch.setattr(cases, "_MIGRATIONS", tmp_path / "migrations")
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
    keep(engine, scan_of(1), READING, MODEL, seen="meningioma", note='=HYPERLINK("x")', reader="@AB")
    keep(engine, scan_of(2), READING, MODEL, seen=None, note='Zwei\nZeilen, "so" 日本語')
    later, first = csv.DictReader(io.StringIO(to_csv(find(engine)).decode("utf-8-sig"), newline=""))
    assert (first["note"], first["reader"]) == ('\'=HYPERLINK("x")', "'@AB")
    assert (first["verdict"], first["read"], first["seen"]) == ("disagree", "glioma", "meningioma")
    assert (later["note"], later["seen"], later["set_0.95"]) == ('Zwei\nZeilen, "so" 日本語', "", "glioma")
    assert datetime.fromisoformat(later["time"]).utcoffset() == timedelta(0)
    assert to_csv([]) == b"\xef\xbb\xbf\r\n"
