"""Review on one screen, and that nothing set in it is lost: a real server, a real browser."""

import pytest

from tests.browser.settling import settle
from tests.factories.files import volume
from tests.factories.samples import KNOWN

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

ON_SCREEN = (".answer h2", ".bars", ".stage", "[data-ui=label]", "[data-ui=opacity]", "[data-ui=flip]")
ON_SCREEN += ("[data-ui=compare]", "[data-ui=beside]", "[data-ui=clahe]", "[data-ui=brightness]")
ON_SCREEN += ("[data-ui=read]",)


def opened(open_page, address, width=1440, height=900):
    page = open_page(address, width, height)
    page.locator("input[type=file]").first.set_input_files(KNOWN.file)
    playwright.expect(page.locator(".answer h2")).to_be_visible()
    page.wait_for_selector(".viewer:not([inert])")
    settle(page)
    return page


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1280, 720)])
def test_review_fits_one_screen(open_page, address, width, height):
    page = opened(open_page, address, width, height)
    for selector in ON_SCREEN:
        box = page.locator(selector).bounding_box()
        assert min(box["x"], box["y"]) >= 0, selector
        assert box["x"] + box["width"] <= width, selector
        assert box["y"] + box["height"] <= height, selector
    # The picture is most of the height.
    assert page.locator(".stage").bounding_box()["height"] > 0.6 * height
    assert page.get_by_test_id("stFileUploader").bounding_box()["height"] < 60


def test_answer_and_picture_begin_on_a_phones_first_screen(open_page, address):
    page = opened(open_page, address, 390, 844)
    answer, picture = (page.locator(one).bounding_box()["y"] for one in (".answer h2", ".stage"))
    assert answer < picture < 844 - 100


def test_steps_in_quick_succession_leave_the_enhanced_scan_read(open_page, address):
    page = opened(open_page, address)
    page.get_by_role("switch", name="CLAHE").check()
    page.get_by_role("switch", name="Read enhanced").check()
    playwright.expect(page.get_by_text("Reading of the enhanced scan")).to_be_visible()
    slider = page.get_by_role("slider", name="Clip limit of CLAHE")
    slider.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(200)
    settle(page)
    assert page.get_by_role("switch", name="Read enhanced").is_checked()
    assert slider.input_value() == "4"
    playwright.expect(page.get_by_text("Reading of the enhanced scan")).to_be_visible()


def test_a_trip_to_another_page_loses_nothing(open_page, address):
    page = opened(open_page, address)
    page.get_by_role("switch", name="CLAHE").check()
    page.get_by_role("switch", name="Read enhanced").check()
    page.locator(".st-key-level").get_by_text("99 %").click()
    page.mouse.click(5, 400)
    page.keyboard.press("u")
    page.get_by_label("Note").fill("dural tail")
    # As long as a hand takes from the keyboard to the mouse.
    page.wait_for_timeout(1_000)
    page.get_by_role("link", name="Model").click()
    playwright.expect(page.get_by_role("heading", name="How good is the model?")).to_be_visible()
    page.get_by_role("link", name="Review").click()
    playwright.expect(page.get_by_text("Reading of the enhanced scan")).to_be_visible()
    page.wait_for_selector(".viewer:not([inert])")
    settle(page)
    assert page.get_by_label("Note").input_value() == "dural tail"
    verdict = page.locator("[class*='st-key-verdict-']").get_by_role("radio", name="Unsure")
    assert verdict.get_attribute("aria-checked") == "true"
    assert (
        page.locator(".st-key-level").get_by_role("radio", name="99 %").get_attribute("aria-checked")
        == "true"
    )
    for name in ("CLAHE", "Read enhanced"):
        assert page.get_by_role("switch", name=name).is_checked()


def test_the_browsers_back_leads_from_a_slice_to_its_series(open_page, address):
    page = open_page(address)
    file = {"name": "head.nii", "mimeType": "application/octet-stream", "buffer": volume()}
    page.locator("input[type=file]").first.set_input_files(file)
    playwright.expect(page.locator("[data-ui=where]")).to_have_text("Slice 3 of 6")
    page.get_by_role("button", name="Read this slice alone").click()
    playwright.expect(page.locator(".answer h2")).to_be_visible()
    settle(page)
    page.go_back()
    playwright.expect(page.locator("[data-ui=where]")).to_have_text("Slice 3 of 6")
    assert page.url.startswith(address)
