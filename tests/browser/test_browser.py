"""The app as a person meets it: a real server, a real browser."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from brat.classes import CLASS_NAMES
from brat.io.samples import load_samples
from brat.io.scan import read_scan
from brat.model.classifier import Classifier
from brat.model.preprocess import prepare

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


@contextmanager
def serving(log: Path | None = None):
    """The app's address, while it runs; what it prints goes to `log`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (log or Path(os.devnull)).open("ab") as printed:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "streamlit", "run", "app.py"),
                *("--server.headless=true", f"--server.port={port}"),
            ],
            cwd=ROOT,
            stdout=printed,
            stderr=printed,
        )
    url = f"http://127.0.0.1:{port}"
    for _ in range(240):
        try:
            urllib.request.urlopen(f"{url}/_stcore/health", timeout=1).close()
            break
        except OSError:
            time.sleep(0.25)
    else:
        server.kill()
        pytest.fail("the app did not start within a minute")
    try:
        yield url
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture(scope="module")
def address():
    with serving() as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    # The first page of a fresh server is slow on a busy machine.
    playwright.expect.set_options(timeout=30_000)
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"],
        )
        yield chromium
        chromium.close()


@pytest.fixture(params=[1440, 390], ids=["desk", "phone"])
def page(browser, address, request):
    opened = browser.new_page(viewport={"width": request.param, "height": 900})
    opened.set_default_timeout(30_000)
    opened.goto(address)
    yield opened
    opened.close()


def canvas_pixels(page) -> str:
    return page.locator("canvas").first.evaluate("canvas => canvas.toDataURL()")


def test_upload_answer_opacity_and_pages(page):
    sample = load_samples()[0]
    expected = CLASS_NAMES[Classifier().predict(prepare(read_scan(sample.file).gray)[0]).label]

    page.locator("input[type=file]").set_input_files(sample.file)
    answer = page.locator(".answer h2")
    playwright.expect(answer).to_contain_text(expected)
    assert re.search(r"\d+ %", answer.inner_text())
    playwright.expect(page.locator("canvas").first).to_be_visible()

    # On a phone the answer comes before the picture, on a desk it stands beside it.
    above, picture = answer.bounding_box(), page.locator("canvas").first.bounding_box()
    if page.viewport_size["width"] < 600:
        assert above["y"] + above["height"] <= picture["y"]
    else:
        assert above["x"] >= picture["x"] + picture["width"]

    opacity = page.get_by_role("slider", name="Opacity")
    before = canvas_pixels(page)
    opacity.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    for _ in range(100):
        if canvas_pixels(page) != before:
            break
        page.wait_for_timeout(50)
    assert canvas_pixels(page) != before

    # A bad file is refused in a sentence; the reading stays.
    page.locator("input[type=file]").set_input_files(
        {"name": "notes.png", "mimeType": "image/png", "buffer": b"not a scan"}
    )
    playwright.expect(page.get_by_test_id("stAlert")).to_contain_text("not an image")
    playwright.expect(answer).to_contain_text(expected)

    # Nothing sticks out sideways.
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize(("path", "heading"), [("model", "How good is the model?"), ("about", "How to read")])
def test_other_pages(page, address, path, heading):
    if page.viewport_size["width"] > 600:
        page.get_by_role("link", name=path.capitalize()).click()
    else:
        page.goto(f"{address}/{path}")
    playwright.expect(page.get_by_role("heading", name=heading).first).to_be_visible()
    playwright.expect(page.get_by_test_id("stException")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_first_visitor_may_come_by_the_address_of_a_page(browser):
    with serving() as fresh:
        opened = browser.new_page(viewport={"width": 1440, "height": 900})
        opened.goto(f"{fresh}/model")
        # Whichever page it is, it stands in the app, with the way to the others.
        playwright.expect(opened.get_by_role("link", name="About")).to_be_visible()
        playwright.expect(opened.get_by_test_id("stException")).to_have_count(0)
        opened.close()
