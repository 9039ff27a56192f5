"""What a visit had goes on after a reload, for the same person alone."""

import pytest
from streamlit.testing.v1 import AppTest

from brat.io.folders import NO_SCAN, skipped_items
from brat.io.read import read_scan
from pages.parts import visits
from pages.parts.login import ANYBODY
from pages.words import arrivals as words
from tests.factories.paths import ROOT
from tests.factories.samples import KNOWN

pytestmark = pytest.mark.usefixtures("fresh_caches")


def review(**state) -> AppTest:
    page = AppTest.from_file(str(ROOT / "pages" / "review.py"), default_timeout=120)
    page.session_state["entered"] = True
    for name, value in state.items():
        page.session_state[name] = value
    page.run()
    assert not page.exception
    return page


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
    def worklist() -> AppTest:
        page = AppTest.from_file(str(ROOT / "pages" / "worklist.py"), default_timeout=120)
        page.session_state["entered"] = True
        return page.run()

    page = worklist()
    work = page.session_state["worklist"]
    work.add(lambda: skipped_items([("one.txt", NO_SCAN)]))
    assert work.wait(60)
    assert work.rows()
    visit = page.run().session_state["visit"]
    again = worklist()
    # What the browser says comes when the page has a list already.
    assert not again.session_state["worklist"].rows()
    again.session_state["returned"] = visit
    again.run()
    assert not again.exception
    assert again.session_state["worklist"] is work
    assert any("one.txt" in text.value for text in again.text)


def test_a_visit_that_nobody_knows_is_said_to_be_lost():
    page = review(returned="0" * 32)
    assert page.session_state["scan"] is None
    assert [error.value for error in page.error] == [words.FORGOTTEN]


def test_another_person_does_not_get_what_somebody_had_open(left, monkeypatch):
    monkeypatch.setattr(visits, "person", lambda: ANYBODY._replace(name="cd@example.org", verified=True))
    page = review(returned=left)
    assert page.session_state["scan"] is None
    assert page.error
