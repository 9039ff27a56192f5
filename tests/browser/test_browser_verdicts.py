"""Verdicts as a person gives them: a real server that is started again, a real browser."""

import sqlite3

import pytest

from brat.classes import CLASS_NAMES, CLASSES
from tests.browser.settling import settle
from tests.factories.samples import KNOWN, known_label
from tests.factories.streamlit_server import serving

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


def upload(page):
    page.locator("input[type=file]").first.set_input_files(KNOWN.file)
    playwright.expect(page.locator(".answer h2")).to_be_visible()


def test_a_verdict_is_still_there_after_a_restart_until_it_is_deleted(open_page, tmp_path, monkeypatch):
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(f'[connections.cases]\nurl = "sqlite:///{tmp_path}/cases.db"\n')
    monkeypatch.setenv("STREAMLIT_SECRETS_FILES", str(secrets))
    read = known_label()
    other = CLASS_NAMES[next(name for name in CLASSES if name != read)]
    said = f"disagrees, sees {other.lower()}."

    with serving(tmp_path / "log") as url:
        page = open_page(url)
        upload(page)
        page.locator("[class*='st-key-verdict-']").get_by_text("Disagree").click()
        page.locator("[class*='st-key-seen-']").get_by_text(other).click()
        page.get_by_label("Note").fill("dural tail")
        page.get_by_role("textbox", name="Your name").fill("AB")
        page.get_by_role("textbox", name="Your name").press("Tab")
        page.get_by_role("button", name="Keep", exact=True).click()
        playwright.expect(page.get_by_text(said)).to_be_visible()
        page.close()

    with serving(tmp_path / "log") as url:
        page = open_page(url)
        upload(page)
        playwright.expect(page.get_by_text(said)).to_be_visible()
        playwright.expect(page.get_by_text("Note: dural tail")).to_be_visible()

        page.get_by_role("link", name="History").click()
        playwright.expect(page.get_by_text("1 case.")).to_be_visible()
        # The table is a picture to the browser; its first column selects a row.
        table = page.get_by_test_id("stDataFrame").first
        # Its own tools appear beside the button above it, not over it.
        table.hover()
        settle(page)
        tools = page.get_by_test_id("stElementToolbar").bounding_box()
        export = page.get_by_role("button", name="Export as CSV").bounding_box()
        assert tools["x"] > export["x"] + export["width"]
        table.click(position={"x": 15, "y": 52})
        page.get_by_role("button", name="Delete …").click()
        page.get_by_role("button", name="Delete for good").click()
        playwright.expect(page.get_by_text("No case has been kept yet")).to_be_visible()
        page.close()
    with sqlite3.connect(tmp_path / "cases.db") as database:
        assert database.execute("SELECT count(*) FROM cases").fetchone() == (0,)
