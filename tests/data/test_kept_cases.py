"""Kept cases as an index to train on: the most instructive first, each scan once, and no more."""

from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import create_engine

from brat.cli import main
from brat.data.index import FOLDS, read_index, read_indexes
from brat.data.kept_cases import index_cases
from brat.io.read import read_scan
from brat.model.reader import Reading
from brat.store.cases import keep
from brat.store.database import StoreError, prepare
from tests.factories.readings import MODEL, NEXT_MODEL, READING, prediction_of, reading_of, scan_of


@pytest.fixture
def store(tmp_path):
    """The address of a store of cases of every kind, and what was seen in each of its scans."""
    address = f"sqlite:///{tmp_path / 'cases.db'}"
    engine = create_engine(address)
    prepare(engine)
    draw = np.random.default_rng(0)

    def pictured(number: int):
        gray = draw.integers(0, 256, (80, 64), dtype=np.uint8)
        return replace(scan_of(number, gray), sequence="flair" if number == 1 else "swi")

    def doubtful(share: float, classes: tuple[str, ...]) -> Reading:
        return replace(READING, prediction=prediction_of("glioma", share), sets={0.95: classes})

    def kept(number: int, reading: Reading, seen: str | None, model: str = MODEL, **others) -> None:
        keep(engine, pictured(number), reading, model, seen=seen, **{"picture": True, **others})

    kept(1, doubtful(0.99, ("glioma",)), "glioma", observer="AB", note="a name of somebody")
    kept(2, doubtful(0.6, ("glioma",)), "glioma")
    kept(3, doubtful(0.9, ("glioma", "meningioma")), "glioma")
    kept(4, reading_of("pituitary"), "no_tumor")
    # Once with its picture is enough, and what another model read of it is no other scan.
    kept(5, reading_of("meningioma"), "meningioma", picture=False)
    kept(5, reading_of("glioma"), "meningioma", model=NEXT_MODEL)
    kept(6, reading_of("glioma"), None)
    kept(7, reading_of("glioma"), "glioma", picture=False)
    kept(8, reading_of("glioma"), "glioma", observer="AB")
    kept(8, reading_of("glioma"), "pituitary", observer="CD")
    engine.dispose()
    return address


def test_cases_become_an_index_with_the_instructive_ones_first(store, tmp_path):
    made = index_cases(store, tmp_path / "out")
    slices = read_index(tmp_path / "out" / "index.csv")
    assert slices == made.slices
    numbers = [int(s.path.stem, 16) for s in slices]
    # Read as another class; then of two classes in the set; then the least certain.
    assert set(numbers[:2]) == {4, 5}
    assert numbers[2:] == [3, 2, 1]
    assert {n: s.label for n, s in zip(numbers, slices, strict=True)} == {
        1: "glioma",
        2: "glioma",
        3: "glioma",
        4: "no_tumor",
        5: "meningioma",
    }
    assert [s.tumor for s in slices] == [s.label != "no_tumor" for s in slices]
    assert [s.sequence for s in slices][-1] == "flair"
    assert {s.sequence for s in slices[:-1]} == {""}
    assert len({s.fold for s in slices}) == FOLDS
    assert (made.disagreed, made.unsure, made.contested, made.without_picture) == (2, 1, 1, 1)
    for s in slices:
        assert read_scan(s.path).gray.shape == (80, 64)
    # Nothing but class, picture and hash leaves the store.
    written = b"".join(file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file())
    for word in (b"somebody", b"AB,", MODEL.encode(), b"JANE_DOE"):
        assert word not in written


def test_slices_that_are_nearly_the_same_share_a_fold(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'cases.db'}")
    prepare(engine)
    draw = np.random.default_rng(0)
    for patient in range(6):
        gray = np.kron(draw.integers(0, 200, (10, 8)), np.ones((8, 8))).astype(np.uint8)
        for copy in range(2):
            scan = scan_of(10 * patient + copy, gray + np.uint8(copy))
            keep(engine, scan, READING, MODEL, seen="glioma", picture=True)
    slices = index_cases(str(engine.url), tmp_path / "out").slices
    engine.dispose()
    by_patient = {}
    for s in slices:
        by_patient.setdefault(int(s.path.stem, 16) // 10, set()).add((s.group, s.fold))
    assert len({s.group for s in slices}) == 6
    assert all(len(places) == 1 for places in by_patient.values())


def test_the_command_says_what_was_left_out(store, tmp_path, capsys):
    assert main(["cases", "index", store, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "5 scans (3 glioma, 1 meningioma, 1 no_tumor), 2 of them read as another class" in said
    assert "1 because the latest verdict is unsure; 1 because clinicians see different classes; 1 be" in said
    assert "does not know patients" in said
    # What is there is not written over.
    assert main(["cases", "index", store, "--out", str(tmp_path / "out")]) == 2
    assert "is there already" in capsys.readouterr().err


def test_the_latest_verdict_of_an_observer_counts_under_whichever_model(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'cases.db'}")
    prepare(engine)
    draw = np.random.default_rng(0)
    scans = [scan_of(number, draw.integers(0, 256, (80, 64), dtype=np.uint8)) for number in range(3)]
    for scan, later in zip(scans, ("meningioma", None, "glioma"), strict=True):
        keep(engine, scan, READING, MODEL, seen="glioma", observer="AB", picture=True)
        keep(engine, scan, READING, NEXT_MODEL, seen=later, observer="AB")
    made = index_cases(str(engine.url), tmp_path / "out")
    engine.dispose()
    assert {int(s.path.stem, 16): s.label for s in made.slices} == {0: "meningioma", 2: "glioma"}
    assert (made.unsure, made.contested) == (1, 0)


def test_a_store_without_pictures_says_what_to_do(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'cases.db'}")
    prepare(engine)
    keep(engine, scan_of(), READING, MODEL, seen="glioma")
    with pytest.raises(ValueError, match=r"Of 1 scans in the store 1 have .*Keep the picture too"):
        index_cases(str(engine.url), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    engine.dispose()


@pytest.mark.parametrize("address", ["sqlite:///{}/none.db", "sqlite://", "cases.db", "nosuch://server/x"])
def test_a_store_that_is_not_there_is_not_made(tmp_path, address):
    with pytest.raises(StoreError, match=r"no store at|is no address"):
        index_cases(address.format(tmp_path), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_several_indexes_are_read_as_one_unless_their_names_clash(store, tmp_path):
    first = index_cases(store, tmp_path / "first").path
    (tmp_path / "folder" / "glioma").mkdir(parents=True)
    for number, s in enumerate(read_index(first)):
        (tmp_path / "folder" / "glioma" / f"{number}.png").write_bytes(s.path.read_bytes())
    assert len(read_indexes([first, tmp_path / "folder"])) == 10
    with pytest.raises(ValueError, match=r"has the file .* as another index has"):
        read_indexes([first, first])
