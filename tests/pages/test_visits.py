"""What a visit had goes on after a reload, for the same person alone."""

import numpy as np
import pytest
from streamlit.runtime.caching.cache_resource_api import _resource_caches
from streamlit.testing.v1 import AppTest

from brat.io.door import group_into_series, load
from brat.io.files import File
from brat.io.folders import NO_SCAN, skipped_items
from brat.io.read import read_scan
from brat.io.scan import Scan
from brat.model.reader import Reading
from pages.parts import series, visits
from pages.parts.login import ANYBODY
from pages.parts.readings import Enhancement
from pages.words import arrivals as words
from tests.factories.files import volume
from tests.factories.paths import ROOT
from tests.factories.samples import KNOWN, known_dicom

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


def test_what_is_not_open_any_more_is_not_kept(left):
    page = review(returned=left)
    visit = page.session_state["visit"]
    assert visit in visits._left
    page.session_state["scan"] = None
    page.run()
    assert visit not in visits._left


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
