"""The History page and the form of a verdict, through Streamlit's own test harness."""

import csv
import io
import logging
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import streamlit as st
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session
from streamlit.runtime.secrets import secrets_singleton
from streamlit.testing.v1 import AppTest

from brat.environment import WEIGHTS
from brat.model.files import ModelFolder
from brat.store.cases import Case, find, keep, trail
from brat.store.database import prepare
from pages.parts.widget_memory import MEMORY
from pages.words import verdict as words
from tests.factories.log import Recorder
from tests.factories.paths import ROOT
from tests.factories.readings import MODEL, NEXT_MODEL, READING, prediction_of, reading_of, scan_of

pytestmark = pytest.mark.usefixtures("fresh_caches")


@pytest.fixture
def url(tmp_path, monkeypatch):
    address = f"sqlite:///{tmp_path / 'cases.db'}"
    monkeypatch.setattr(secrets_singleton, "_secrets", {"connections": {"cases": {"url": address}}})
    return address


@pytest.fixture
def engine(url):
    opened = create_engine(url)
    prepare(opened)
    yield opened
    opened.dispose()


def history() -> AppTest:
    page = AppTest.from_file(str(ROOT / "pages" / "history.py"), default_timeout=120)
    page.session_state["entered"] = True
    page.run()
    assert not page.exception
    return page


def review() -> None:
    """Stands for the Review page."""
    import streamlit

    from pages.parts.verdict import verdict_form
    from tests.factories.readings import MODEL, reading_of, scan_of

    streamlit.header("The reading")
    streamlit.json(list(verdict_form(scan_of(5), reading_of("glioma"), MODEL)))


def form() -> AppTest:
    page = AppTest.from_function(review, default_timeout=120).run()
    assert not page.exception
    return page


def control(page: AppTest, start: str):
    """The only control whose key starts so."""
    kinds = ("button_group", "text_area", "text_input", "checkbox", "button")
    (found,) = [one for kind in kinds for one in page.get(kind) if (one.key or "").startswith(start)]
    return found


def test_both_say_where_no_store_is_set_up():
    page = history()
    assert "No store is set up" in page.info[0].value
    assert "[connections.cases]" in page.code[0].value
    page = form()
    assert "No store is set up" in page.caption[0].value
    # It is asked all the same, for the report, and there is nothing to keep it with.
    control(page, "verdict-").set_value("disagree").run()
    control(page, "seen-").set_value("meningioma").run()
    control(page, "note-").input("dural tail").run()
    assert not page.button
    assert page.json[0].value == '["disagree", "meningioma", "dural tail"]'


def test_secrets_without_an_entry_for_the_store_leave_it_off(monkeypatch):
    monkeypatch.setattr(secrets_singleton, "_secrets", {"connections": {"other": {"url": "sqlite://"}}})
    assert "No store is set up" in history().info[0].value


def test_a_verdict_is_kept_shown_and_changed(engine):
    page = form()
    assert not page.button
    control(page, "verdict-").set_value("disagree").run()
    # It says what it waits for.
    assert control(page, "keep-").disabled
    assert control(page, "keep-").help == words.FIRST_SEEN
    control(page, "seen-").set_value("meningioma").run()
    control(page, "note-").input("dural tail").run()
    control(page, "name-").input("A*B").run()
    control(page, "keep-").click().run()
    assert not page.exception
    assert not control(page, "keep-").help
    assert "Kept by `A*B`" in page.caption[0].value
    assert "disagrees, sees meningioma" in page.caption[0].value
    (case,) = find(engine)
    assert (case.scan, case.model) == (scan_of(5).digest, MODEL)
    assert (case.seen, case.note, case.observer, case.pictured) == ("meningioma", "dural tail", "A*B", False)

    assert "Note: `dural tail`" in page.caption[0].value

    # The next visitor, after a restart, sees it, and does not write over it by accident.
    page = form()
    assert "disagrees, sees meningioma" in page.caption[0].value
    assert control(page, "verdict-").value is None
    assert control(page, "note-").value == ""
    assert control(page, "keep-").label == "Keep"
    # Who gives the same name replaces it, and is told so.
    control(page, "name-").input("A*B").run()
    assert control(page, "keep-").label == "Replace"
    control(page, "verdict-").set_value("agree").run()
    control(page, "picture-").check().run()
    control(page, "keep-").click().run()
    (case,) = find(engine)
    assert (case.verdict, case.pictured) == ("agree", True)
    assert "agrees" in page.caption[0].value


def review_of_windows() -> None:
    """Stands for the Review page of a scan whose window can be changed."""
    import numpy
    import streamlit

    from brat.io.scan import Scan, Window
    from pages.parts.verdict import verdict_form
    from tests.factories.readings import MODEL, reading_of

    pixels = numpy.arange(80 * 64).reshape(80, 64)
    window = Window(2560, 5120)
    scan = Scan(window.apply(pixels), pixels, "a.dcm", "DICOM MR", "MR", "f" * 64, window=window)
    if streamlit.toggle("Narrow", key="narrow"):
        scan = scan.windowed(Window(40, 80))
    label = streamlit.selectbox("Read", ["glioma", "meningioma"], key="label")
    verdict_form(scan, reading_of(label), MODEL)


def test_a_verdict_is_the_scans_under_every_window(engine):
    page = AppTest.from_function(review_of_windows, default_timeout=120).run()
    page.toggle(key="narrow").set_value(True).run()
    control(page, "verdict-").set_value("agree").run()
    control(page, "keep-").click().run()
    assert not page.exception
    (case,) = find(engine)
    assert (case.scan, case.window) == ("f" * 64, "40/80")
    assert "under the window" not in page.caption[0].value
    page.toggle(key="narrow").set_value(False).run()
    assert "under the window 40 / 80: agrees." in page.caption[0].value
    assert control(page, "verdict-").value == "agree"
    # Where the model answers something else under this window, what was seen is another verdict.
    page.selectbox(key="label").set_value("meningioma").run()
    assert control(page, "verdict-").value == "disagree"
    assert control(page, "seen-").value == "glioma"
    assert control(page, "keep-").label == "Replace"
    # The history says which window was shown.
    page = history()
    select(page, 0)
    assert any("window 40 / 80" in block.value for block in page.markdown)


def test_who_gives_no_name_finds_the_verdict_that_has_none(engine):
    keep(engine, scan_of(5), READING, MODEL, seen="meningioma", note="dural tail")
    page = form()
    assert control(page, "verdict-").value == "disagree"
    assert control(page, "seen-").value == "meningioma"
    assert control(page, "note-").value == "dural tail"
    assert control(page, "keep-").label == "Replace"


def test_a_name_that_comes_later_is_given_to_the_same_case(engine):
    page = form()
    control(page, "verdict-").set_value("agree").run()
    control(page, "keep-").click().run()
    (nameless,) = find(engine)
    control(page, "name-").input("AB").run()
    assert control(page, "keep-").label == "Replace"
    control(page, "keep-").click().run()
    (case,) = find(engine)
    assert (case.id, case.observer, case.verdict) == (nameless.id, "AB", "agree")
    # Another name is another reader.
    control(page, "name-").input("CD").run()
    assert control(page, "keep-").label == "Keep"
    control(page, "keep-").click().run()
    assert {case.observer for case in find(engine)} == {"AB", "CD"}


def test_a_name_that_is_typed_before_a_reload_is_given_to_the_same_case(engine):
    page = form()
    control(page, "verdict-").set_value("agree").run()
    control(page, "keep-").click().run()
    control(page, "name-").input("AB").run()
    # What is remembered of a visit outlives a reload.
    again = AppTest.from_function(review, default_timeout=120)
    again.session_state[MEMORY] = page.session_state[MEMORY]
    again.run()
    assert control(again, "name-").value == "AB"
    control(again, "keep-").click().run()
    (case,) = find(engine)
    assert case.observer == "AB"


def test_who_came_with_a_name_leaves_a_case_without_one_alone(engine):
    keep(engine, scan_of(5), READING, MODEL, seen="meningioma")
    page = AppTest.from_function(review, default_timeout=120)
    page.session_state["memory"] = {"observer_name": "AB"}
    page.run()
    assert control(page, "verdict-").value is None
    control(page, "verdict-").set_value("agree").run()
    assert control(page, "keep-").label == "Keep"
    control(page, "keep-").click().run()
    assert {(case.observer, case.verdict) for case in find(engine)} == {("", "disagree"), ("AB", "agree")}


def test_another_observer_keeps_another_case(engine):
    keep(engine, scan_of(5), READING, MODEL, seen="glioma", observer="AB")
    page = form()
    control(page, "name-").input("CD").run()
    control(page, "verdict-").set_value("unsure").run()
    control(page, "keep-").click().run()
    assert {(case.observer, case.verdict) for case in find(engine)} == {("AB", "agree"), ("CD", "unsure")}
    assert len(page.caption) == 2


def test_a_store_that_fails_gives_a_sentence_and_leaves_the_reading(engine):
    page = form()
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE cases"))
    control(page, "verdict-").set_value("agree").run()
    assert not page.exception
    assert "cannot be reached" in page.warning[0].value
    assert page.header[0].value == "The reading"
    assert "cannot be reached" in history().error[0].value


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"url": "sqlite:////nowhere/at/all/cases.db"}, "cannot be reached"),
        ({"url": "no address"}, "not set up rightly"),
        ({"url": "nosuchdatabase://server/x"}, "not set up rightly"),
        ({}, "not set up rightly"),
    ],
)
def test_a_store_that_cannot_be_opened_gives_a_sentence(monkeypatch, entry, says):
    monkeypatch.setattr(secrets_singleton, "_secrets", {"connections": {"cases": entry}})
    page = form()
    assert says in page.warning[0].value
    assert page.header[0].value == "The reading"


@pytest.fixture
def some_cases(engine):
    """Six cases: four agree, one does not, of one the clinician is unsure; the last by another model."""
    for number, (read, seen) in enumerate(
        [
            ("glioma", "glioma"),
            ("glioma", "meningioma"),
            ("no_tumor", "no_tumor"),
            ("pituitary", "pituitary"),
            ("meningioma", None),
        ]
    ):
        keep(
            engine, scan_of(number), reading_of(read), MODEL, seen=seen, note=f"note {number}", observer="AB"
        )
    keep(engine, scan_of(0), reading_of("glioma"), NEXT_MODEL, seen="glioma", picture=True)
    return find(engine)


def select(page: AppTest, row: int) -> None:
    page.session_state[page.dataframe[0].key] = {"selection": {"rows": [row], "columns": [], "cells": []}}
    page.run()
    assert not page.exception


def test_history_writes_probabilities_as_every_page_does(some_cases):
    table = history().dataframe[0]
    # 94 %, not 93.55%.
    assert '"format": "%.0f %%"' in table.proto.columns
    assert table.value["Probability"].tolist() == [100 * getattr(case, case.label) for case in some_cases]


def test_history_calls_no_probability_certain(engine):
    for number, share in enumerate((0.9999, 0.88)):
        reading = replace(READING, prediction=prediction_of("glioma", share))
        keep(engine, scan_of(number), reading, MODEL, seen="glioma")
    page = history()
    assert [f"{value:.0f} %" for value in page.dataframe[0].value["Probability"]] == ["88 %", "99 %"]
    select(page, 1)
    assert any("glioma > 99 %" in one.value for one in page.markdown)


def test_history_searches_and_filters(some_cases):
    page = history()
    assert len(page.dataframe[0].value) == 6
    page.text_input(key="history-search").input("note 1").run()
    assert page.dataframe[0].value["Seen"].tolist() == ["Meningioma"]
    page.text_input(key="history-search").input("").run()
    verdict, label, model, observer = page.multiselect
    verdict.select("disagree").run()
    assert page.dataframe[0].value["Verdict"].tolist() == ["Disagree"]
    verdict.unselect("disagree").run()
    model.select(NEXT_MODEL).run()
    assert len(page.dataframe[0].value) == 1
    observer.select("AB").run()
    assert not page.dataframe
    assert "No case meets" in page.markdown[0].value
    model.unselect(NEXT_MODEL).run()
    label.select("meningioma").run()
    assert len(page.dataframe[0].value) == 2


def test_filters_stand_after_a_trip_to_another_page(some_cases, engine):
    page = history()
    page.text_input(key="history-search").set_value("note")
    page.multiselect(key="history-verdicts").set_value(["disagree"])
    page.multiselect(key="history-models").set_value([NEXT_MODEL])
    page.date_input(key="history-since").set_value(date(2026, 1, 2)).run()
    # Another page is another run without these widgets; what is remembered is left.
    again = AppTest.from_file(str(ROOT / "pages" / "history.py"), default_timeout=120)
    again.session_state["entered"] = True
    again.session_state[MEMORY] = page.session_state[MEMORY]
    again.run()
    assert not again.exception
    assert again.text_input(key="history-search").value == "note"
    assert again.multiselect(key="history-verdicts").value == ["disagree"]
    assert again.multiselect(key="history-models").value == [NEXT_MODEL]
    assert again.date_input(key="history-since").value == date(2026, 1, 2)
    # A choice that chooses among the cases is in sight.
    assert next(one for one in again.expander if one.label == "Filter").proto.expanded
    # What has no case any more is no choice any more.
    with Session(engine) as session:
        session.execute(text("UPDATE cases SET model = :model"), {"model": MODEL})
        session.commit()
    again.run()
    assert not again.exception
    assert again.multiselect(key="history-models").value == []


def test_statistics_begin_at_a_number_of_cases_that_is_said(some_cases):
    page = history()
    assert not page.metric
    assert any("4 of 5 agree. Statistics begin at 20 cases" in block.value for block in page.markdown)


def test_history_shows_the_agreement(some_cases, monkeypatch):
    monkeypatch.setattr("pages.parts.agreement.LEAST", 4)
    page = history()
    agreed, kappa = page.metric
    assert agreed.value == "4 of 5"
    # By hand: 0.8 observed; by chance 2/5 x 3/5 + 1/5 x 0 + 1/5 x 1/5 + 1/5 x 1/5 = 0.32.
    assert kappa.value == "0.71"
    assert any("meningioma read as glioma: 1" in caption.value for caption in page.caption)
    assert any("unsure: 1" in caption.value for caption in page.caption)
    by_month, by_model = page.table
    assert by_month.value["Agreed"].tolist() == ["4 of 5 (80.0\u00a0%)"]
    assert by_model.value.index.tolist() == [MODEL[:8], NEXT_MODEL[:8]]
    assert by_model.value["Kappa"].tolist()[1] == "fewer than 4 cases"


def test_history_exports_what_is_found_and_the_trail_says_so(some_cases, engine, monkeypatch):
    exported = {}
    button = st.download_button

    def caught(label, data, name, *others, **options):
        exported[name] = data
        return button(label, data, name, *others, **options)

    monkeypatch.setattr(st, "download_button", caught)
    page = history()
    page.multiselect[0].select("unsure").run()
    # What was not asked for is not made, and not said to be exported.
    case = next(case for case in some_cases if case.note == "note 4")
    assert [act.action for act in trail(engine, case.id)] == ["kept"]
    (row,) = csv.DictReader(io.StringIO(exported["cases.csv"]().decode("utf-8-sig"), newline=""))
    assert (row["verdict"], row["note"]) == ("unsure", "note 4")
    assert [act.action for act in trail(engine)].count("exported") == 1
    assert trail(engine, case.id)[-1].action == "exported"
    page.run()
    select(page, 0)
    (said,) = [block.value for block in page.markdown if "exported by" in block.value]
    assert said.endswith("exported by somebody without a name (not verified).")


def test_an_export_that_the_trail_cannot_hold_is_not_made(some_cases, engine, monkeypatch):
    offered = {}
    button = st.download_button

    def caught(label, data, name, *others, **options):
        offered[name] = data
        return button(label, data, name, *others, **options)

    monkeypatch.setattr(st, "download_button", caught)
    history()
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE trail")
    with pytest.raises(RuntimeError, match=r"could not be made, error \w+"):
        offered["cases.csv"]()


def test_history_shows_a_case_and_deletes_it_for_good(some_cases, engine):
    page = history()
    select(page, 0)
    assert any(some_cases[0].model in block.value for block in page.markdown)
    page.button(key="delete").click().run()
    assert not page.exception
    assert [case.id for case in find(engine)] == [case.id for case in some_cases[1:]]
    assert len(page.dataframe[0].value) == 5


def test_an_empty_store_says_how_to_fill_it(engine):
    assert any("No case has been kept yet" in block.value for block in history().markdown)


def test_one_bad_row_is_counted_and_the_others_are_shown(engine, some_cases):
    bad = find(engine)[0].id
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE cases SET sets = 'nothing', label = 'x' WHERE id = {bad}"))
    page = history()
    assert not page.exception
    assert page.warning[0].value.startswith("1 row of the store cannot be shown")
    assert page.warning[0].value.endswith(f"with the id {bad}.")
    assert any("5 cases" in block.value for block in page.markdown)


def test_the_id_of_a_store_error_is_on_the_page_and_in_the_log(engine, monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(logging.getLogger("brat"), "handlers", [recorder])
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE cases"))
    page = history()
    (record,) = (r for r in recorder.records if r.levelname == "ERROR")
    assert f"(Error {record.fields['error_id']}, as in the app's log.)" in page.error[0].value
    assert record.fields["causes"][0].startswith("StoreError: The store of cases cannot be reached")
    assert any(cause.startswith("OperationalError: SQLITE_ERROR") for cause in record.fields["causes"])


def test_a_case_is_not_said_to_be_kept_in_a_file_that_is_gone(engine, tmp_path):
    page = form()
    Path(engine.url.database).rename(tmp_path / "elsewhere.db")
    control(page, "verdict-").set_value("agree").run()
    assert not page.exception
    assert not page.toast
    assert "is gone" in page.warning[0].value


def test_unsaved_is_said_until_it_is_kept(engine):
    def marks(page):
        return [block.proto.body for block in page.get("html") if "brat-unsaved" in block.proto.body]

    page = form()
    assert not marks(page)
    control(page, "verdict-").set_value("agree").run()
    # True of a first verdict, too, where nothing is kept.
    assert "What is said here is not kept yet" in marks(page)[0]
    control(page, "keep-").click().run()
    assert not marks(page)
    control(page, "note-").input("dural tail").run()
    assert marks(page)
    # The store keeps a note without its ends, and a name with what would not be seen written out.
    control(page, "note-").input(" dural tail\n").run()
    control(page, "name-").input("A\u202eB").run()
    control(page, "keep-").click().run()
    assert not marks(page.run())
    assert control(page, "keep-").label == "Replace"


DIGEST = ModelFolder(WEIGHTS).records["model.tflite"].sha256
"""Of the model that ships, whose figures the cases are compared with."""


@pytest.fixture
def two_months(engine):
    """Twenty-five cases in September, all as expected, and in October as many, half of them refused."""
    kept = []
    reads = ("glioma", "no_tumor", "no_tumor", "meningioma", "pituitary", "no_tumor", "glioma", "no_tumor")
    for number in range(50):
        read = reads[number % len(reads)]
        reading = reading_of(read, known=number < 25 or number % 2 == 0)
        kept.append(keep(engine, scan_of(number), reading, DIGEST, seen=read).id)
    with Session(engine) as session, session.begin():
        for number, case in enumerate(kept):
            session.get(Case, case).time = datetime(2026, 9 + number // 25, 3, tzinfo=UTC)
    return kept


def test_history_raises_an_alarm_where_a_month_crosses_a_limit(two_months):
    page = history()
    (alarm,) = (one.value for one in page.warning)
    assert "2026-10 crosses a limit" in alarm
    assert "Refused as unlike known scans: 52.0\u00a0% in 25 cases (limits 0.0\u00a0% to" in alarm
    # Before the cases, and before what they are searched by.
    kinds = [one.type for one in page]
    assert kinds.index("warning") < kinds.index("text_input")
    # What crosses a limit is shown first.
    assert page.selectbox(key="drift-measure").value == "Refused as unlike known scans"
    assert "Clinicians agree" not in alarm
    # Until October is not among the cases that are found.
    page.date_input[1].set_value(date(2026, 9, 30)).run()
    assert not page.exception
    assert not any("Refused" in one.value for one in page.warning)


def test_what_is_listed_does_not_choose_what_is_counted(two_months, some_cases, monkeypatch):
    monkeypatch.setattr("pages.parts.agreement.LEAST", 4)
    whole = history()
    agreed = whole.metric[0].value
    (alarm,) = (one.value for one in whole.warning)
    for choose in (
        lambda page: page.multiselect[0].select("disagree"),
        lambda page: page.multiselect[1].select("glioma"),
        lambda page: page.text_input(key="history-search").input("note 1"),
    ):
        page = history()
        choose(page).run()
        assert not page.exception
        assert len(page.dataframe[0].value) < 56
        assert [one.value for one in page.warning] == [alarm]
        assert page.metric[0].value == agreed
        assert any("of all 56 cases" in one.value for one in page.caption)
    assert not any("of all 56 cases" in one.value for one in whole.caption)


def test_another_calibration_is_no_drift(two_months, engine):
    with Session(engine) as session, session.begin():
        for case in two_months[25:]:
            session.get(Case, case).recalibration = "a" * 64
    page = history()
    assert not any("Refused" in one.value for one in page.warning)
    assert any("25 cases of the model that is in use. 25 that" in one.value for one in page.caption)


def test_history_compares_with_the_first_months_once_they_hold_enough(two_months, monkeypatch):
    page = history()
    page.get("button_group")[0].set_value("The first months").run()
    assert not page.exception
    assert not page.warning
    assert any("once they hold 100 scans; so far there are 50" in one.value for one in page.caption)
    monkeypatch.setattr("brat.store.drift.FIRST", 25)
    page = history()
    page.get("button_group")[0].set_value("The first months").run()
    assert "2026-10 crosses a limit" in page.warning[0].value


def test_what_another_model_read_is_no_drift_of_this_one(some_cases, two_months):
    page = history()
    assert any("50 cases of the model that is in use. 6 that another" in one.value for one in page.caption)
    page.multiselect[2].select(MODEL).run()
    assert not page.exception
    assert "From month to month" not in [header.value for header in page.header]
