"""The app as a person meets it: a real server, a real browser."""

import re

import pytest

from brat.classes import CLASS_NAMES
from brat.io.read import read_scan
from brat.model.classifier import Classifier
from brat.model.preprocess import prepare
from tests.factories.paths import ROOT
from tests.factories.samples import KNOWN
from tests.factories.streamlit_server import serving

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


@pytest.fixture(params=[1440, 390], ids=["desk", "phone"])
def page(open_page, address, request):
    return open_page(address, request.param)


def canvas_pixels(page) -> str:
    return page.locator("canvas.layer").evaluate("canvas => canvas.toDataURL()")


def test_upload_answer_opacity_and_pages(page):
    sample = KNOWN
    expected = CLASS_NAMES[Classifier().predict(prepare(read_scan(sample.file).gray)[0]).label]

    page.locator("input[type=file]").set_input_files(sample.file)
    answer = page.locator(".answer h2")
    playwright.expect(answer).to_contain_text(expected)
    assert re.search(r"\d+ %", answer.inner_text())
    playwright.expect(page.locator("canvas.layer")).to_be_visible()

    # On a phone the answer comes before the picture, on a desk it stands beside it.
    above, picture = answer.bounding_box(), page.locator("canvas.layer").bounding_box()
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
    playwright.expect(page.get_by_test_id("stAlert").filter(has_text="not an image")).to_be_visible()
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


@pytest.mark.parametrize(
    ("path", "heading"),
    [("model", "How good is the model?"), ("worklist", "Worklist"), ("history", "History")],
)
def test_the_first_visitor_of_a_fresh_server_gets_the_page_of_the_address(open_page, tmp_path, path, heading):
    with serving(tmp_path / "log") as fresh:
        page = open_page(f"{fresh}/{path}")
        playwright.expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
        # It stands in the app, with the way to the other pages.
        playwright.expect(page.get_by_role("link", name="About")).to_be_visible()
        playwright.expect(page.get_by_test_id("stException")).to_have_count(0)
        assert page.url == f"{fresh}/{path}"


def test_only_the_pages_can_be_opened_by_address():
    """Until an app registers its pages, Streamlit makes a page of every file in `pages/`."""
    files = {file.stem for file in (ROOT / "pages").glob("*.py")}
    assert files == {"review", "worklist", "history", "validate", "model", "about", "explained"}
