"""What a visit had goes on after a reload, for the same person alone."""

from datetime import date
from types import SimpleNamespace

import numpy as np
import pytest
import streamlit as st
from streamlit.runtime.caching.cache_resource_api import _resource_caches
from streamlit.runtime.secrets import secrets_singleton
from streamlit.testing.v1 import AppTest

from brat.io.door import group_into_series, load
from brat.io.files import File
from brat.io.folders import NO_SCAN, skipped_items
from brat.io.read import read_scan
from brat.io.scan import Scan
from brat.model.reader import Reading
from pages import arrivals
from pages.parts import series, validation, visits
from pages.parts.archive import Origin
from pages.parts.login import ANYBODY
from pages.parts.readings import Enhancement
from pages.words import arrivals as words
from tests.factories.files import volume
from tests.factories.paths import ROOT
from tests.factories.samples import KNOWN, known_dicom

pytestmark = pytest.mark.usefixtures("fresh_caches")


def entered(name: str, **state) -> AppTest:
    page = AppTest.from_file(str(ROOT / "pages" / name), default_timeout=120)
    page.session_state["entered"] = True
    for key, value in state.items():
        page.session_state[key] = value
    page.run()
    assert not page.exception
    return page


def review(**state) -> AppTest:
    return entered("review.py", **state)


def loaded_again(page: AppTest, name: str) -> AppTest:
    """Another session on a page that is drawn already when the browser tells whose visit it is."""
    again = entered(name)
    again.session_state["returned"] = page.session_state["visit"]
    again.run()
    assert not again.exception
    return again


@pytest.fixture
def left() -> str:
    """The name of a visit with an open scan and a certainty that was chosen."""
    page = review(scan=read_scan(KNOWN.file), memory={"level": 0.99})
    assert level(page) == 0.99
    return page.session_state["visit"]


def level(page: AppTest) -> float:
    return next(group for group in page.get("button_group") if group.key == "level").value


def test_what_was_open_and_set_goes_on(left):
    page = review(returned=left)
    assert page.session_state["scan"].digest == read_scan(KNOWN.file).digest
    assert level(page) == 0.99
    assert not page.error
    # Under another name: the old one leads nowhere any more.
    assert page.session_state["visit"] != left
    assert [error.value for error in review(returned=left).error] == [words.FORGOTTEN]
    assert level(review(returned=page.session_state["visit"])) == 0.99


def test_the_list_goes_on():
    page = entered("worklist.py")
    work = page.session_state["worklist"]
    work.add(lambda: skipped_items([("one.txt", NO_SCAN)]))
    assert work.wait(60)
    assert work.rows()
    page.run()
    page.text_input(key="worklist-search").set_value("ONE").run()
    page.selectbox(key="worklist-order").set_value("number").run()
    page.multiselect(key="worklist-states").set_value(["unread"]).run()
    page.toggle(key="worklist-names").set_value(True).run()
    # Where its results may go to.
    page.session_state["archive_origins"] = origins = {work.rows()[0].item: Origin("main", "1.2", "1.3")}
    page.run()
    again = entered("worklist.py")
    # What the browser says comes when the page has a list already.
    assert not again.session_state["worklist"].rows()
    again.session_state["returned"] = page.session_state["visit"]
    again.run()
    assert not again.exception
    assert again.text_input(key="worklist-search").value == "ONE"
    assert again.selectbox(key="worklist-order").value == "number"
    assert again.multiselect(key="worklist-states").value == ["unread"]
    assert again.toggle(key="worklist-names").value
    assert again.session_state["archive_origins"] is origins
    assert again.button(key="archive-send")
    assert again.session_state["worklist"] is work
    assert any("one.txt" in text.value for text in again.text)


def test_what_is_not_open_any_more_is_not_kept(left):
    page = review(returned=left)
    visit = page.session_state["visit"]
    assert visits._left[visit].state["scan"]
    page.session_state["scan"] = None
    page.run()
    # What was set still is.
    kept = visits._left[visit].state
    assert (kept["scan"], kept["data"], kept["memory"]["level"]) == (None, None, 0.99)
    page.session_state["memory"] = {}
    page.run()
    assert visit not in visits._left


@pytest.fixture
def store(tmp_path, monkeypatch):
    address = f"sqlite:///{tmp_path / 'cases.db'}"
    monkeypatch.setattr(secrets_singleton, "_secrets", {"connections": {"cases": {"url": address}}})


@pytest.mark.usefixtures("store")
def test_filters_of_history_stand_after_a_reload():
    page = entered("history.py")
    assert not page.expander[0].proto.expanded
    page.text_input(key="history-search").set_value("dural").run()
    page.multiselect(key="history-labels").set_value(["glioma"]).run()
    page.date_input(key="history-since").set_value(date(2026, 1, 2)).run()
    again = loaded_again(page, "history.py")
    assert again.text_input(key="history-search").value == "dural"
    assert again.multiselect(key="history-labels").value == ["glioma"]
    assert again.date_input(key="history-since").value == date(2026, 1, 2)
    # What chooses among the cases is seen.
    assert again.expander[0].proto.expanded
    # From another page, too, on which the tab was loaded again.
    about = loaded_again(again, "about.py")
    assert loaded_again(about, "history.py").text_input(key="history-search").value == "dural"


@pytest.mark.usefixtures("store")
def test_what_was_given_and_measured_on_validate_stands_after_a_reload(monkeypatch):
    monkeypatch.setattr(
        validation, "show", lambda measured: st.markdown(f"Measured: {measured.results['by']}")
    )
    page = entered("validate.py", validation=SimpleNamespace(results={"by": "scan"}))
    page.get("button_group")[0].set_value("Kept verdicts").run()
    page.text_input(key="validate-site").set_value("St. Elsewhere").run()
    again = loaded_again(page, "validate.py")
    assert again.get("button_group")[0].value == "Kept verdicts"
    assert again.text_input(key="validate-site").value == "St. Elsewhere"
    assert "Measured: scan" in [text.value for text in again.markdown]


def test_a_page_that_takes_no_files_says_what_is_forgotten():
    for name in ("history.py", "validate.py", "model.py", "about.py"):
        page = entered(name, returned="0" * 32)
        assert words.FORGOTTEN in [error.value for error in page.error], name


def test_a_series_is_not_read_again_after_a_reload(monkeypatch):
    page = review(series=load(group_into_series([File("head.nii", volume())])[0]))
    monkeypatch.setattr(series, "read", lambda _: pytest.fail("It is read again."))
    again = review(returned=page.session_state["visit"])
    assert len(again.session_state["memory"]["series-read"]) == 1


def test_the_server_keeps_no_picture_beside_its_sessions():
    page = AppTest.from_file(str(ROOT / "pages" / "review.py"), default_timeout=120)
    page.session_state["entered"] = True
    page.session_state["memory"] = {"enhancement": Enhancement(2.0, 0.1)}
    page.run().file_uploader[0].upload("scan.dcm", known_dicom()).run()
    digest = page.session_state["scan"].digest
    page.radio(key=f"preset-{digest}").set_value(-1).run()
    width = page.number_input(key=f"width-{digest}")
    width.set_value(width.value / 2).run()
    assert not page.exception
    caches = _resource_caches._function_caches[None].values()
    kept = [entry.value for cache in caches for entry in cache._mem_cache.values()]
    assert any(isinstance(value, Reading) for value in kept)
    assert not any(isinstance(value, (Scan, np.ndarray)) for value in kept)


def test_a_visit_that_nobody_knows_is_said_to_be_lost():
    page = review(returned="0" * 32)
    assert page.session_state["scan"] is None
    assert [error.value for error in page.error] == [words.FORGOTTEN]


def test_another_person_does_not_get_what_somebody_had_open(left, monkeypatch):
    monkeypatch.setattr(visits, "person", lambda: ANYBODY._replace(name="cd@example.org", verified=True))
    page = review(returned=left)
    assert page.session_state["scan"] is None
    assert page.error


class _State(dict):
    """Stands for Streamlit's."""

    __setattr__ = dict.__setitem__


@pytest.mark.parametrize("name", ["asked", "returned", "failed"])
def test_a_message_of_the_browser_whose_value_was_overtaken_ends_no_page(monkeypatch, name):
    state = _State({arrivals._KEY: {}})
    monkeypatch.setattr(arrivals.st, "session_state", state)
    getattr(arrivals, f"_keep_{name}")()
    assert not {"drops_asked", arrivals.RETURNED} & set(state)
