"""The worklist's page and the way through it in Review, through Streamlit's own test harness."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from sqlalchemy import create_engine
from streamlit.runtime.secrets import secrets_singleton
from streamlit.testing.v1 import AppTest

from brat.classes import CLASS_NAMES
from brat.io.read import read_scan
from brat.io.samples import load_samples
from brat.model.reader import Reader
from brat.model.worklist_rows import suspicion
from brat.store.cases import keep, trail
from brat.store.database import prepare
from brat.wording import percent
from pages.parts.login import Person
from pages.parts.worklist_table import common_folder
from pages.words import worklist as words
from tests.factories.files import slice_of
from tests.factories.pages import png
from tests.factories.paths import ROOT

pytestmark = pytest.mark.usefixtures("fresh_caches")

SAMPLES = load_samples()
NOISE = ("noise.png", png(np.random.default_rng(0).integers(0, 256, (300, 300), np.uint8)), "")
"""A picture that is refused."""

FILES = [*((s.file.name, s.file.read_bytes(), "") for s in SAMPLES), NOISE]
BAD = ("notes.png", b"these are notes, not a scan", "image/png")


@pytest.fixture
def opened(monkeypatch):
    """Where the page switches to, instead of doing so: there is no app around it here."""
    switched = []

    def switch(page):
        switched.append(page)
        st.stop()

    monkeypatch.setattr(st, "switch_page", switch)
    return switched


def worklist(**state) -> AppTest:
    """The page as a new visitor opens it; to the harness all of them are one connection."""
    st.cache_resource.clear()
    page = AppTest.from_file(str(ROOT / "pages" / "worklist.py"), default_timeout=60)
    for name, value in {"entered": True, **state}.items():
        page.session_state[name] = value
    page.run()
    assert not page.exception
    return page


def drop(page: AppTest, *files) -> AppTest:
    page.get("file_uploader")[0].set_value(list(files))
    page.run()
    return read_through(page)


def read_through(page: AppTest) -> AppTest:
    assert page.session_state["worklist"].wait(60)
    page.run()
    assert not page.exception
    return page


def table(page: AppTest):
    return page.dataframe[0].value


def names(page: AppTest) -> list[str]:
    return list(table(page)["File"])


@pytest.fixture(scope="module")
def readings():
    reader = Reader()
    return {name: reader.read(read_scan(data).gray) for name, data, _ in FILES}


def test_empty_it_says_what_it_is_for():
    page = worklist()
    assert any(m.value == words.WELCOME for m in page.markdown)
    assert not page.dataframe


def test_rows_in_order_of_suspicion_with_a_bad_file_among_them(readings):
    page = drop(worklist(), BAD, *FILES)
    shown = table(page)
    assert len(shown) == len(FILES) + 1
    known = [name for name, reading in readings.items() if reading.ood.in_distribution]
    known.sort(key=lambda name: readings[name].prediction.by_class()["no_tumor"])
    assert names(page)[: len(known)] == known
    assert names(page)[-1] == BAD[0]
    for _, row in shown.iterrows():
        if row["File"] == BAD[0]:
            assert row["Reading"] == "Not read"
            assert "not an image" in row["Remark"]
            assert row["No."] == 1
            continue
        reading = readings[row["File"]]
        assert row["Scan"].startswith("data:image/jpeg;base64,")
        if reading.ood.in_distribution:
            label = CLASS_NAMES[reading.prediction.label]
            assert row["Reading"] == f"{label} {percent(reading.prediction.confidence)}"
            # Never "100 %" of what the reading beside it calls "> 99 %".
            assert row["Any tumour"] == percent(1 - reading.prediction.by_class()["no_tumor"])
            assert row["Like known scans"] == "yes"
        else:
            # As in Review, it is not given unless somebody asks for it.
            assert row["Reading"] == "Withheld"
            assert row["Any tumour"] == "–"
            assert row["95 % set"] == "–"
            assert row["Remark"].startswith(reading.ood.reason)
    # The sentence stands there in full, for those who cannot read the table.
    assert any("notes.png was not read. This is not an image" in text.value for text in page.text)


def test_what_is_dropped_later_is_added_and_all_can_be_emptied():
    page = drop(worklist(), *FILES[:2])
    drop(page, BAD)
    assert list(table(page)["No."].sort_values()) == [1, 2, 3]
    page.button(key="worklist-empty").click().run()
    assert not page.dataframe
    assert any(m.value == words.WELCOME for m in page.markdown)


def test_several_dropped_in_review_come_here():
    from brat.io.files import File
    from brat.io.intake import group_into_series

    items = group_into_series([File(name, data) for name, data, _ in FILES[:3]])
    page = read_through(worklist(handed_over=items))
    assert len(table(page)) == 3
    # Once.
    assert len(table(page.run())) == 3


def test_search_filter_and_order(readings):
    page = drop(worklist(), BAD, *FILES)
    everything = set(names(page))
    page.text_input(key="worklist-search").set_value("AXIAL").run()
    assert set(names(page)) == {name for name in everything if "axial" in name}
    page.text_input(key="worklist-search").set_value("no such name").run()
    assert not page.dataframe
    assert any(m.value == words.EMPTY_FILTER for m in page.markdown)
    page.text_input(key="worklist-search").set_value("").run()

    page.multiselect(key="worklist-states").set_value(["unread"]).run()
    assert names(page) == [BAD[0]]
    page.multiselect(key="worklist-states").set_value(["refused"]).run()
    refused = {name for name, reading in readings.items() if not reading.ood.in_distribution}
    assert set(names(page)) == refused
    page.multiselect(key="worklist-states").set_value([]).run()

    page.multiselect(key="worklist-labels").set_value(["no_tumor"]).run()
    clear = {n for n, r in readings.items() if r.ood.in_distribution and r.prediction.label == "no_tumor"}
    assert set(names(page)) == clear
    page.multiselect(key="worklist-labels").set_value([]).run()

    page.selectbox(key="worklist-order").set_value("name").run()
    assert names(page) == sorted(everything)
    page.selectbox(key="worklist-order").set_value("number").run()
    assert names(page) == [BAD[0], *(name for name, *_ in FILES)]
    # As a click on a heading asks for it.
    page.session_state["worklist_sort"] = "suspicion"
    page.run()
    assert page.selectbox(key="worklist-order").value == "suspicion"


def test_opens_from_the_top_and_goes_on_in_the_order_shown(opened, readings):
    page = drop(worklist(), *FILES, BAD)
    page.selectbox(key="worklist-order").set_value("name").run()
    page.button(key="worklist-first").click().run()
    assert opened == ["pages/review.py"]
    order = sorted(name for name, *_ in FILES)
    walk = page.session_state["walk"]
    # What could not be read is passed over.
    assert [walk.work.row(number).item.name for number in walk.numbers] == order
    assert page.session_state["item"].name == order[0]

    review = AppTest.from_file(str(ROOT / "pages" / "review.py"), default_timeout=60)
    review.session_state["entered"] = True
    for name in ("walk", "item", "scan", "data", "series", "sample", "problem", "worklist_opened"):
        review.session_state[name] = page.session_state.get(name)
    review.run()
    assert not review.exception
    assert review.button(key="walk-previous").disabled
    review.button(key="walk-next").click().run()
    assert review.session_state["scan"].name == order[1]
    assert any(words.place(2, len(order)) == m.value for m in review.markdown)
    for _ in order[2:]:
        review.button(key="walk-next").click().run()
    assert review.session_state["scan"].name == order[-1]
    assert review.button(key="walk-next").disabled
    review.button(key="walk-previous").click().run()
    assert review.session_state["scan"].name == order[-2]
    review.button(key="walk-back").click().run()
    assert opened[-1] == "pages/worklist.py"

    # Another scan is none of the list.
    review.run()
    review.get("file_uploader")[0].set_value([FILES[0]]).run()
    assert not review.exception
    assert not [button for button in review.button if button.key == "walk-next"]


def test_opens_by_name_and_marks_what_was_opened(opened):
    page = drop(worklist(), *FILES)
    chosen = next(row for row in page.session_state["worklist"].rows() if row.item.name == FILES[3][0])
    box = next(box for box in page.selectbox if box.label == "Open by name")
    box.set_value(chosen.number).run()
    assert opened == ["pages/review.py"]
    assert page.session_state["item"].name == FILES[3][0]
    rows = sorted(page.session_state["worklist"].rows(), key=suspicion)
    assert page.session_state["walk"].at == [row.item.name for row in rows].index(FILES[3][0])
    page.run()
    shown = table(page)
    assert list(shown[shown["Opened"]]["File"]) == [FILES[3][0]]
    # Nothing is opened again when one comes back.
    assert opened == ["pages/review.py"]


def test_stop_and_go_on():
    page = worklist()
    page.get("file_uploader")[0].set_value(many(30))
    page.run()
    page.button(key="worklist-stop").click().run()
    work = page.session_state["worklist"]
    assert work.wait(30)
    page.run()
    assert not page.exception
    now = work.progress()
    assert now.stopped
    assert now.done < 30
    page.button(key="worklist-go-on").click().run()
    assert work.wait(60)
    page.run()
    assert len(table(page)) == 30
    assert not [button for button in page.button if button.key in ("worklist-stop", "worklist-go-on")]


def many(count: int) -> list:
    head = Image.open(io.BytesIO(FILES[1][1])).convert("L")
    files = []
    for number in range(count):
        buffer = io.BytesIO()
        head.rotate(number).save(buffer, "PNG")
        files.append((f"{number}.png", buffer.getvalue(), ""))
    return files


def test_stopped_it_goes_on_with_what_is_added():
    page = worklist()
    page.get("file_uploader")[0].set_value(many(20))
    page.run()
    page.button(key="worklist-stop").click().run()
    drop(page, BAD)
    assert len(table(page)) == 21


@pytest.mark.parametrize("stopped", [False, True])
def test_it_waits_while_the_visitor_is_gone(stopped):
    page = worklist()
    page.get("file_uploader")[0].set_value(many(30))
    page.run()
    if stopped:
        page.button(key="worklist-stop").click().run()
    work = page.session_state["worklist"]
    # As Streamlit does where a connection ends.
    st.cache_resource.clear()
    assert work.wait(30)
    done = work.progress().done
    assert done < 30
    page.run()
    assert not page.exception
    assert work.progress().stopped == stopped
    if not stopped:
        assert work.wait(60)
        page.run()
        assert len(table(page)) == 30


def test_verdicts_are_shown_and_filtered_where_there_is_a_store(tmp_path, monkeypatch):
    page = drop(worklist(), *FILES)
    assert "Verdict" not in table(page)

    url = f"sqlite:///{tmp_path / 'cases.db'}"
    monkeypatch.setattr(secrets_singleton, "_secrets", {"connections": {"cases": {"url": url}}})
    engine = create_engine(url)
    prepare(engine)
    name, data, _ = FILES[2]
    scan, reader = read_scan(data, name), Reader()
    keep(engine, scan, reader.read(scan.gray), reader.classifier.digest, seen=None, observer="AB")
    page = drop(worklist(), *FILES)
    given = table(page).set_index("File")["Verdict"]
    assert given[name] == "Unsure"
    assert (given.drop(name) == "–").all()
    page.multiselect(key="worklist-verdicts").set_value(["unsure"]).run()
    assert names(page) == [name]
    page.multiselect(key="worklist-verdicts").set_value([""]).run()
    assert name not in names(page)
    engine.dispose()


@pytest.mark.parametrize("is_admin", [True, False])
def test_verdicts_are_exported_by_an_admin_alone_and_the_trail_says_so(tmp_path, monkeypatch, is_admin):
    url = f"sqlite:///{tmp_path / 'cases.db'}"
    monkeypatch.setattr(secrets_singleton, "_secrets", {"connections": {"cases": {"url": url}}})
    engine = create_engine(url)
    prepare(engine)
    name, data, _ = FILES[2]
    scan, reader = read_scan(data, name), Reader()
    case = keep(engine, scan, reader.read(scan.gray), reader.classifier.digest, seen=None, observer="AB")
    who = Person("ab@example.org", verified=True, is_reader=True, is_admin=is_admin)
    monkeypatch.setattr("pages.parts.login.person", lambda: who)
    offered = {}
    button = st.download_button

    def caught(label, data, name, *others, **options):
        offered[name] = data
        return button(label, data, name, *others, **options)

    monkeypatch.setattr(st, "download_button", caught)
    page = drop(worklist(), FILES[2])
    assert (words.NO_VERDICTS in [caption.value for caption in page.caption]) == (not is_admin)
    assert ("unsure" in offered["worklist.csv"]().decode()) == is_admin
    acts = [(act.action, act.person, act.verified) for act in trail(engine, case.id)]
    assert acts[1:] == [("exported", who.name, True)] * is_admin
    engine.dispose()


def test_a_folder_is_uploaded_and_what_is_no_scan_in_it_is_named():
    page = worklist()
    files = [
        (f"study/{FILES[1][0]}", FILES[1][1], ""),
        ("study/a/notes.txt", b"words", "text/plain"),
        ("study/.hidden.png", FILES[2][1], ""),
    ]
    page.get("file_uploader")[1].set_value(files)
    page.run()
    read_through(page)
    assert names(page) == [FILES[1][0], "a/notes.txt"]
    assert any("All are in `study/`." in caption.value for caption in page.caption)


def test_remarks_stand_in_the_row():
    pixels = read_scan(FILES[1][1]).gray.astype(np.uint16) * 8
    rows, columns = pixels.shape
    slices = [
        (
            f"{place}.dcm",
            slice_of(
                number,
                Rows=rows,
                Columns=columns,
                PixelData=(pixels + number).tobytes(),
                BodyPartExamined="KNEE",
                SOPInstanceUID=f"1.2.{number}",
            ),
            "",
        )
        for place, number in enumerate((0, 1, 1))
    ]
    page = worklist()
    drop(page, *slices)
    (remark,) = page.dataframe[0].value["Remark"]
    assert "1 file is a copy of another" in remark
    assert "shows a knee" in remark


def test_a_folder_is_read_only_where_it_is_configured(tmp_path, monkeypatch):
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / FILES[1][0]).write_bytes(FILES[1][1])
    page = worklist()
    assert not [field for field in page.text_input if field.label == "Path of the folder"]
    assert any("[worklist]" in m.value for m in page.markdown)
    # A mere switch is no place to read from.
    for value in (True, ["/"], 1):
        monkeypatch.setattr(secrets_singleton, "_secrets", {"worklist": {"folders": value}})
        page = worklist()
        assert not [field for field in page.text_input if field.label == "Path of the folder"]

    monkeypatch.setattr(secrets_singleton, "_secrets", {"worklist": {"folders": str(folder)}})
    page = worklist()
    ask(page, "/etc")
    assert [error.value for error in page.error] == [
        "There is no such folder among those that may be read here. Check the spelling."
    ]
    assert not page.dataframe
    (folder / "notes.txt").write_text("words")
    (folder / "out.png").symlink_to("/etc/hostname")
    page = worklist()
    ask(page, str(folder))
    # What is not read is told.
    assert names(page) == [FILES[1][0], "out.png", "notes.txt"]
    assert any("All are in `scans/`." in caption.value for caption in page.caption)
    assert "scans/out.png was not read. It is a link out of the folder." in [text.value for text in page.text]


def ask(page: AppTest, path: str) -> None:
    next(field for field in page.text_input if field.label == "Path of the folder").set_value(path)
    next(button for button in page.button if button.label == "Add").click().run()
    read_through(page)


def test_a_folder_that_all_files_share_is_said_once():
    def row(name):
        return SimpleNamespace(item=SimpleNamespace(name=name))

    assert common_folder([row("a.zip/x/1.png"), row("a.zip/x/2.png"), row("a.zip/x/y/3.png")]) == "a.zip/x/"
    assert common_folder([row("a.zip/x/1.png"), row("a.zip/xy/2.png")]) == "a.zip/"
    assert common_folder([row("a/1.png"), row("1.png")]) == ""
    assert common_folder([]) == ""
