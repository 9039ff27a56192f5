"""A series as a person scrolls through it: a real server, a real browser."""

import pytest

test_browser = pytest.importorskip("test_browser", reason="playwright is not installed")

from test_browser import CHROMIUM, playwright, serving  # noqa: E402
from test_intake import slice_of, zipped  # noqa: E402
from test_series_page import read_label, volume  # noqa: E402

from brat import CLASS_NAMES  # noqa: E402

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
browser = test_browser.browser


@pytest.fixture(scope="module")
def address():
    with serving() as url:
        yield url


@pytest.fixture(params=[1440, 390], ids=["desk", "phone"])
def page(browser, address, request):
    opened = browser.new_page(viewport={"width": request.param, "height": 900})
    opened.set_default_timeout(30_000)
    opened.sent = []
    opened.on("websocket", lambda socket: socket.on("framesent", lambda frame: opened.sent.append(frame)))
    opened.goto(address)
    drop(opened, "head.nii", volume())
    yield opened
    opened.close()


def drop(page, name: str, data: bytes) -> None:
    file = {"name": name, "mimeType": "application/octet-stream", "buffer": data}
    page.locator("input[type=file]").first.set_input_files(file)


def is_at(page, number: int, count: int = 6) -> None:
    playwright.expect(page.locator("[data-ui=where]")).to_have_text(f"Slice {number} of {count}")


def picture(page) -> str:
    return page.locator("canvas.layer").evaluate("canvas => canvas.toDataURL()")


def test_through_a_stack_without_a_trip_to_the_server(page):
    name = CLASS_NAMES[read_label()]
    # It opens where the eye should go first.
    is_at(page, 3)
    playwright.expect(page.locator("[data-ui=said]")).to_contain_text(name)
    page.wait_for_timeout(500)
    sent, head = len(page.sent), picture(page)

    stage = page.locator(".stage")
    stage.hover()
    page.mouse.wheel(0, 100)
    is_at(page, 5)
    page.mouse.wheel(0, 100)
    is_at(page, 6)
    playwright.expect(page.locator("[data-ui=said]")).to_have_text("Not read")
    playwright.expect(page.locator("[data-ui=doubt]")).to_contain_text("nothing in this slice")
    assert picture(page) != head
    stage.focus()
    page.keyboard.press("Home")
    is_at(page, 1)
    page.keyboard.press("ArrowDown")
    is_at(page, 2)
    playwright.expect(page.locator("[data-ui=said]")).to_contain_text("Not a slice like those")
    page.keyboard.press("PageDown")
    is_at(page, 6)
    slider = page.get_by_role("slider", name="Slice")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    is_at(page, 5)
    assert "Slice 5 of 6" in slider.get_attribute("aria-valuetext")
    strip = page.locator("[data-ui=strip]")
    box = strip.bounding_box()
    strip.click(position={"x": box["width"] * 2.5 / 6, "y": box["height"] / 2})
    is_at(page, 3)
    assert picture(page) == head

    # Ctrl and the wheel, or a pinch, zoom instead.
    page.keyboard.down("Control")
    stage.hover()
    page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    is_at(page, 3)
    assert stage.evaluate("node => node.classList.contains('zoomed')")

    assert len(page.sent) == sent
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_slice_alone_and_back(page):
    is_at(page, 3)
    page.get_by_role("button", name="Read this slice alone").click()
    playwright.expect(page.locator(".answer h2")).to_contain_text(CLASS_NAMES[read_label()])
    playwright.expect(page.get_by_text("head.nii, axial 4 of 6").first).to_be_visible()
    playwright.expect(page.get_by_role("button", name="Report (PDF)")).to_be_visible()
    page.get_by_role("button", name="Back to the series").click()
    is_at(page, 3)


def test_slices_in_an_archive_are_put_in_order(page):
    is_at(page, 3)
    drop(page, "study.zip", zipped({f"a/{9 - n}": slice_of(n) for n in range(5)}))
    playwright.expect(page.get_by_text("study.zip/a").first).to_be_visible()
    playwright.expect(page.locator("[data-ui=where]")).to_contain_text("of 5")
    playwright.expect(page.get_by_test_id("stException")).to_have_count(0)
