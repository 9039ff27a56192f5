"""Verdicts as a person gives them: a real server that is started again, a real browser."""

import sqlite3

import pytest

test_browser = pytest.importorskip("test_browser", reason="playwright is not installed")

from test_browser import CHROMIUM, playwright, serving  # noqa: E402

from brat.classes import CLASS_NAMES, CLASSES  # noqa: E402
from brat.io.samples import load_samples  # noqa: E402
from brat.io.scan import read_scan  # noqa: E402
from brat.model.reader import Reader  # noqa: E402

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
browser = test_browser.browser


def opened(browser, url, sample):
    """Review, with the reading of a sample."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(30_000)
    page.goto(url)
    page.locator("input[type=file]").first.set_input_files(sample.file)
    playwright.expect(page.locator(".answer h2")).to_be_visible()
    return page


def test_a_verdict_is_still_there_after_a_restart_until_it_is_deleted(browser, tmp_path, monkeypatch):
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(f'[connections.cases]\nurl = "sqlite:///{tmp_path}/cases.db"\n')
    monkeypatch.setenv("STREAMLIT_SECRETS_FILES", str(secrets))
    # One that the gate lets through.
    sample = next(s for s in load_samples() if s.name == "head-axial-ring")
    read = Reader().read(read_scan(sample.file).gray).prediction.label
    other = CLASS_NAMES[next(name for name in CLASSES if name != read)]
    said = f"disagrees, sees {other.lower()}."

    with serving() as url:
        page = opened(browser, url, sample)
        page.locator("[class*='st-key-verdict-']").get_by_text("Disagree").click()
        page.locator("[class*='st-key-seen-']").get_by_text(other).click()
        page.get_by_label("Note").fill("dural tail")
        page.get_by_label("Your name").fill("AB")
        page.get_by_label("Your name").press("Tab")
        page.get_by_role("button", name="Keep", exact=True).click()
        playwright.expect(page.get_by_text(said)).to_be_visible()
        page.close()

    with serving() as url:
        page = opened(browser, url, sample)
        playwright.expect(page.get_by_text(said)).to_be_visible()
        playwright.expect(page.get_by_text("Note: dural tail")).to_be_visible()

        page.get_by_role("link", name="History").click()
        playwright.expect(page.get_by_text("1 case.")).to_be_visible()
        # The table is a picture to the browser; its first column selects a row.
        table = page.get_by_test_id("stDataFrame").first
        table.click(position={"x": 15, "y": 52})
        page.get_by_role("button", name="Delete …").click()
        page.get_by_role("button", name="Delete for good").click()
        playwright.expect(page.get_by_text("No case has been kept yet")).to_be_visible()
        page.close()
    with sqlite3.connect(tmp_path / "cases.db") as database:
        assert database.execute("SELECT count(*) FROM cases").fetchone() == (0,)
