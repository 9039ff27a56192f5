"""Maps that take their time: made beside the page, with their progress, and cancelled."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from pages.parts import slow_maps
from pages.words import review as words
from tests.factories.paths import ROOT
from tests.factories.samples import KNOWN

pytestmark = pytest.mark.usefixtures("fresh_caches")


def review_page() -> AppTest:
    page = AppTest.from_file(str(ROOT / "pages" / "review.py"), default_timeout=120)
    page.session_state["entered"] = True
    return page.run()


class Maker:
    """Makes a map in steps, each when it is let."""

    def __init__(self) -> None:
        self.go = threading.Semaphore(0)
        self.shares: list[float] = []

    def __call__(self, method, model_input, label, weights, *, on_progress):
        for share in (0.0, 0.5, 1.0):
            on_progress(share)
            self.shares.append(share)
            assert self.go.acquire(timeout=60)
        return np.ones((14, 14), np.float32)


def until(condition) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it does not come to that")


@pytest.fixture
def maker(monkeypatch):
    made = Maker()
    monkeypatch.setattr(slow_maps, "reference_cam", made)
    monkeypatch.setattr(slow_maps, "require_packages", lambda method: None)
    yield made
    made.go.release(100)


@pytest.fixture
def review(maker) -> AppTest:
    page = review_page()
    page.button(key=f"welcome-{KNOWN.name}").click().run()
    method(page).set_value("Score-CAM").run()
    assert not page.exception
    return page


def method(page):
    return next(group for group in page.get("button_group") if group.key == "method")


def progress(page) -> str:
    return page.get("progress")[0].proto.text


def test_progress_is_shown_and_then_the_map(review, maker, monkeypatch):
    shown = []
    monkeypatch.setattr(
        "pages.parts.class_map.viewer", lambda *_args, method, **_options: shown.append(method)
    )
    until(lambda: maker.shares == [0.0])
    review.run()
    assert progress(review) == words.making("Score-CAM", 0.0)
    maker.go.release()
    until(lambda: maker.shares == [0.0, 0.5])
    review.run()
    assert "50 %" in progress(review)
    # The page is whole meanwhile, with the map that costs nothing.
    assert shown[-1] == "Grad-CAM"
    maker.go.release(2)
    until(lambda: (review.run(), not review.get("progress"))[1])
    assert shown[-1] == "Score-CAM"
    assert not review.exception


def test_cancel_ends_it_and_leads_back_to_the_map_at_no_cost(review, maker):
    until(lambda: maker.shares)
    review.button(key="slow-map-cancel").click().run()
    assert not review.exception
    assert method(review).value == "Grad-CAM"
    assert not review.get("progress")
    maker.go.release()
    until(lambda: not any(thread.name == "slow-map" for thread in threading.enumerate()))
    assert maker.shares == [0.0]
    # Asked for again, it is begun again.
    method(review).set_value("Score-CAM").run()
    until(lambda: maker.shares == [0.0, 0.0])
    assert progress(review)


def test_a_map_that_no_page_asks_for_any_more_is_given_up(review, maker, monkeypatch):
    until(lambda: maker.shares)
    monkeypatch.setattr(slow_maps, "PATIENCE", 0.0)
    maker.go.release()
    until(lambda: not any(thread.name == "slow-map" for thread in threading.enumerate()))
    assert maker.shares == [0.0]


def test_one_map_at_a_time_and_what_fails_is_raised_and_tried_again(maker, monkeypatch):
    first = slow_maps.SlowMap(lambda on_progress: maker("", None, "", None, on_progress=on_progress))
    until(lambda: maker.shares)

    def fails(on_progress):
        raise FileNotFoundError("no model")

    second = slow_maps.SlowMap(fails)
    time.sleep(0.5)
    assert second.share is None
    assert not second.is_over
    maker.go.release(3)
    until(lambda: second.is_over)
    assert first.cam is not None
    assert str(second.problem) == "no model"

    calls = []

    def broken(*_args, **_options):
        calls.append(1)
        raise FileNotFoundError("no model")

    monkeypatch.setattr(slow_maps, "reference_cam", broken)
    page = review_page()
    page.button(key=f"welcome-{KNOWN.name}").click().run()
    method(page).set_value("Score-CAM").run()
    until(lambda: (page.run(), page.warning)[1])
    assert not page.exception
    assert method(page).value == "Score-CAM"
    assert not any(thread.name == "slow-map" for thread in threading.enumerate())
    page.run()
    until(lambda: len(calls) > 1)
    st.cache_resource.clear()
