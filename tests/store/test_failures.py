"""A store that cannot do what it is asked says why, and loses nothing."""

import os
import sqlite3

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from brat.store import database
from brat.store.cases import cases_of, choices, find, keep, latest, remove
from brat.store.database import StoreError, prepare
from tests.factories.readings import MODEL, READING, scan_of


@pytest.fixture
def file(sqlite_engine, tmp_path):
    keep(sqlite_engine, scan_of(1), READING, MODEL, seen="glioma", note="first")
    return tmp_path / "cases.db"


def opened(url):
    engine = create_engine(url, connect_args={"timeout": 0.1})
    prepare(engine)
    return engine


def test_a_locked_store(sqlite_engine, file):
    impatient = opened(sqlite_engine.url)
    other = sqlite3.connect(file)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match=r"is locked.*Nothing was changed"):
        keep(impatient, scan_of(2), READING, MODEL, seen=None)
    with pytest.raises(StoreError, match="is locked"):
        opened(sqlite_engine.url)
    other.rollback()
    keep(impatient, scan_of(2), READING, MODEL, seen=None)
    assert len(find(impatient)) == 2
    impatient.dispose()


def test_a_store_that_may_only_be_read(sqlite_engine, file):
    read_only = opened(f"sqlite:///file:{file}?mode=ro&uri=true")
    with pytest.raises(StoreError, match="can only be read"):
        keep(read_only, scan_of(2), READING, MODEL, seen=None)
    # What it holds is still shown.
    assert [case.note for case in find(read_only)] == ["first"]
    read_only.dispose()


def test_a_damaged_store(sqlite_engine, file):
    for number in range(2, 60):
        keep(sqlite_engine, scan_of(number), READING, MODEL, seen=None, note="note " * 200)
    sqlite_engine.dispose()
    content = bytearray(file.read_bytes())
    content[4096 * 2 :] = os.urandom(len(content) - 4096 * 2)
    file.write_bytes(content)
    with pytest.raises(StoreError, match="is damaged"):
        find(opened(sqlite_engine.url))
    assert file.read_bytes()[4096 * 2 :] == bytes(content[4096 * 2 :])


@pytest.mark.parametrize(
    "made_by",
    [
        "CREATE TABLE songs (id INTEGER)",
        "CREATE TABLE cases (id INTEGER)",
        "CREATE TABLE songs (id INTEGER); CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL);"
        "INSERT INTO alembic_version VALUES ('4f2a')",
    ],
)
def test_a_store_of_another_program_is_left_as_it_is(tmp_path, made_by):
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as other:
        other.executescript(made_by)
    with sqlite3.connect(file) as other:
        before = list(other.iterdump())
    with pytest.raises(StoreError, match="belongs to another program"):
        opened(f"sqlite:///{file}")
    with sqlite3.connect(file) as other:
        assert list(other.iterdump()) == before


def test_tables_of_others_on_a_server_are_no_matter(postgresql_engine):
    with postgresql_engine.begin() as connection:
        connection.execute(text("CREATE TABLE songs (id INTEGER)"))
    try:
        prepare(create_engine(postgresql_engine.url))
        keep(postgresql_engine, scan_of(1), READING, MODEL, seen=None)
    finally:
        with postgresql_engine.begin() as connection:
            connection.execute(text("DROP TABLE songs"))


def test_a_file_that_is_gone_is_not_acknowledged(sqlite_engine, file, tmp_path):
    file.rename(tmp_path / "elsewhere.db")
    for act in (
        lambda: keep(sqlite_engine, scan_of(2), READING, MODEL, seen=None),
        lambda: find(sqlite_engine),
        lambda: remove(sqlite_engine, 1),
    ):
        with pytest.raises(StoreError, match="is gone"):
            act()
    # Nor is an empty one made in its place.
    sqlite_engine.dispose()
    with pytest.raises(StoreError, match="is gone"):
        find(sqlite_engine)
    assert not file.exists()
    (tmp_path / "elsewhere.db").rename(file)
    assert [case.note for case in find(sqlite_engine)] == ["first"]


def test_a_file_that_goes_while_a_case_is_written_is_not_acknowledged(sqlite_engine, file, tmp_path):
    from sqlalchemy import event

    @event.listens_for(sqlite_engine, "commit")
    def go(_connection):
        if file.exists():
            file.rename(tmp_path / "elsewhere.db")

    with pytest.raises(StoreError, match="is gone"):
        keep(sqlite_engine, scan_of(2), READING, MODEL, seen=None)


def test_another_file_in_its_place_is_not_written_to(sqlite_engine, file, tmp_path):
    file.rename(tmp_path / "elsewhere.db")
    prepare(create_engine(sqlite_engine.url))
    with pytest.raises(StoreError, match="another one lies in its place"):
        keep(sqlite_engine, scan_of(2), READING, MODEL, seen=None)


@pytest.mark.parametrize(
    "damage",
    [
        "sets = '{not json'",
        "sets = '[1]'",
        'sets = \'{"0.95": ["unheard of"]}\'',
        "sets = '{\"x\": []}'",
        "time = 'yesterday'",
        "label = 'unheard of'",
        "seen = 'unheard of'",
        "glioma = 'much'",
        "glioma = 7.0",
        "scan = '![x](http://host/p.png)'",
        "model = '![x](http://host/p.png)'",
        "width = 'wide'",
        "window = '![x](http://host/p.png)'",
        "note = X'00ff'",
    ],
)
def test_one_bad_row_ends_nothing(sqlite_engine, file, damage):
    keep(sqlite_engine, scan_of(2), READING, MODEL, seen=None, note="second")
    bad = keep(sqlite_engine, scan_of(3), READING, MODEL, seen="glioma", observer="AB").id
    with sqlite_engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE cases SET {damage} WHERE id = {bad}")
    passed_over: list[int] = []
    assert [case.note for case in find(sqlite_engine, on_damaged=passed_over.append)] == ["second", "first"]
    assert passed_over == [bad]
    assert set(latest(sqlite_engine, [scan_of(n).digest for n in (1, 2, 3)], MODEL)) == {
        scan_of(n).digest for n in (1, 2)
    }
    assert cases_of(sqlite_engine, scan_of(3).digest, MODEL) == []
    choices(sqlite_engine, "observer")
    # It is still there, for whoever mends it.
    with sqlite_engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM cases")).scalar() == 3


def test_what_cannot_be_stored_as_text_is_written_out(engine):
    case = keep(
        engine, scan_of(1), READING, MODEL, seen=None, note="a\0b\ud800\u202e\nc", observer="A\0\u202eB" * 60
    )
    assert case.note == "a\\x00b\\ud800\\u202e\nc"
    assert case.observer.startswith("A\\x00\\u202eB")
    assert len(case.observer) <= 100
    assert find(engine)[0].note == case.note


class _Refused(Exception):
    def __init__(self, code: str):
        super().__init__("in the server's own words")
        self.sqlstate = code


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("53100", "full"),
        ("53300", "no free connection"),
        ("55P03", "locked"),
        ("40001", "locked"),
        ("25006", "only be read"),
        ("42501", "the right"),
        ("42P01", "tables of the store of cases are gone"),
        ("57P01", "starts up or shuts down"),
        ("08006", "does not answer"),
        ("28P01", "name or the password"),
        ("3D000", "no database of this name"),
        ("XX001", "damaged"),
        ("22012", "cannot be reached, or does not answer as it should"),
    ],
)
def test_failures_of_a_server_are_told_apart(code, says):
    told = database._explained(OperationalError("", {}, _Refused(code)))
    assert says in told
    assert "Nothing was changed." in told


def test_a_server_without_the_named_database_says_so(postgresql_server):
    address = postgresql_server[0].replace("/postgres?", "/nowhere?")
    with pytest.raises(StoreError, match="no database of this name"):
        database.prepare(create_engine(address))


def test_a_server_whose_tables_are_gone_says_so(postgresql_engine):
    with postgresql_engine.begin() as connection:
        connection.execute(text("ALTER TABLE cases RENAME TO elsewhere"))
    with pytest.raises(StoreError, match="tables of the store of cases are gone"):
        find(postgresql_engine)
    with postgresql_engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO cases"))
