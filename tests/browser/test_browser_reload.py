"""A reload keeps what is open, or says that it is lost: a real server, a real browser."""

import pytest

from tests.browser.settling import settle
from tests.factories.files import volume
from tests.factories.samples import KNOWN
from tests.factories.streamlit_server import serving

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
SCAN = {"name": "known.png", "mimeType": "", "buffer": KNOWN.file.read_bytes()}
SERIES = {"name": "head.nii", "mimeType": "", "buffer": volume()}


def opened(open_page, address, *files):
    page = open_page(address)
    # The page asks before it goes where something is unsaved.
    page.on("dialog", lambda dialog: dialog.accept())
    page.locator("input[type=file]").first.set_input_files(list(files))
    return page


def test_a_reload_keeps_scan_verdict_note_and_switches(open_page, address):
    page = opened(open_page, address, SCAN)
    playwright.expect(page.locator(".answer h2")).to_be_visible()
    page.wait_for_selector(".viewer:not([inert])")
    page.get_by_role("switch", name="CLAHE").check()
    page.get_by_role("switch", name="Read enhanced").check()
    playwright.expect(page.get_by_text("Reading of the enhanced scan")).to_be_visible()
    page.mouse.click(5, 400)
    page.keyboard.press("d")
    page.get_by_label("Note").fill("dural tail")
    page.get_by_label("Note").press("Control+Enter")
    settle(page)
    # Twice: the visit goes on under another name.
    for _ in range(2):
        page.reload()
        playwright.expect(page.get_by_text("Reading of the enhanced scan")).to_be_visible()
        playwright.expect(page.get_by_text("known.png ·")).to_be_visible()
        playwright.expect(page.get_by_label("Note")).to_have_value("dural tail")
        verdict = page.locator("[class*='st-key-verdict-']").get_by_role("radio", name="Disagree")
        playwright.expect(verdict).to_have_attribute("aria-checked", "true")
        settle(page)


def test_a_reload_keeps_the_list_and_its_way_through_it(open_page, address):
    page = opened(open_page, address, SCAN, SERIES)
    playwright.expect(page.get_by_text("2 of 2 shown.")).to_be_visible()
    page.reload()
    playwright.expect(page.get_by_text("2 of 2 shown.")).to_be_visible()
    page.get_by_role("button", name="Review from the top").click()
    playwright.expect(page.locator(".st-key-walk")).to_contain_text("1 of 2")
    page.get_by_role("button", name="Next").click()
    playwright.expect(page.locator(".st-key-walk")).to_contain_text("2 of 2")
    settle(page)
    page.reload()
    playwright.expect(page.locator(".st-key-walk")).to_contain_text("2 of 2")


def test_another_tab_is_another_visit(open_page, address):
    page = opened(open_page, address, SCAN)
    playwright.expect(page.locator(".answer h2")).to_be_visible()
    other = open_page(address)
    playwright.expect(other.get_by_text("Or try one of these")).to_be_visible()
    other.reload()
    settle(other)
    playwright.expect(other.get_by_text("Or try one of these")).to_be_visible()
    playwright.expect(other.get_by_test_id("stAlert")).to_have_count(0)


def test_a_reload_after_the_server_was_started_again_says_what_is_lost(open_page, tmp_path):
    with serving(tmp_path / "log") as address:
        page = opened(open_page, address, SCAN)
        playwright.expect(page.locator(".answer h2")).to_be_visible()
        settle(page)
    with serving(tmp_path / "log", port=int(address.rpartition(":")[2])):
        page.reload()
        playwright.expect(page.get_by_text("has forgotten this visit")).to_be_visible()
        playwright.expect(page.get_by_text("Or try one of these")).to_be_visible()


def test_a_reload_of_another_page_keeps_what_is_set_there_and_what_is_open(open_page, address):
    page = opened(open_page, address, SCAN)
    playwright.expect(page.locator(".answer h2")).to_be_visible()
    page.get_by_role("link", name="Validate", exact=True).click()
    site = page.get_by_label("Name of your site")
    site.fill("St. Elsewhere")
    site.press("Enter")
    # Twice: the visit goes on under another name.
    for _ in range(2):
        settle(page)
        page.reload()
        playwright.expect(site).to_have_value("St. Elsewhere")
    settle(page)
    page.get_by_role("link", name="Review", exact=True).click()
    playwright.expect(page.get_by_text("known.png ·")).to_be_visible()


def test_search_of_the_list_stands_after_another_page_and_a_reload(open_page, address):
    page = opened(open_page, address, SCAN, SERIES)
    playwright.expect(page.get_by_text("2 of 2 shown.")).to_be_visible()
    search = page.get_by_role("textbox", name="Search")
    search.fill("known")
    search.press("Enter")
    shown = page.get_by_text("1 of 2 shown.")
    playwright.expect(shown).to_be_visible()
    page.get_by_role("link", name="About", exact=True).click()
    playwright.expect(page.get_by_role("heading", name="How to read")).to_be_visible()
    settle(page)
    page.reload()
    playwright.expect(page.get_by_role("heading", name="How to read")).to_be_visible()
    settle(page)
    page.get_by_role("link", name="Worklist", exact=True).click()
    playwright.expect(shown).to_be_visible()
    playwright.expect(search).to_have_value("known")


def test_files_that_are_given_to_validate_are_left_to_it(open_page, address):
    """A drop that does not come to the list is given again there, but not what another page takes."""
    page = open_page(f"{address}/validate")
    given = page.locator("input[type=file]").first
    given.set_input_files([SCAN])
    playwright.expect(page.get_by_text("known.png")).to_be_visible()
    settle(page)
    page.get_by_role("link", name="Review", exact=True).click()
    playwright.expect(page.get_by_text("Or try one of these")).to_be_visible()
    settle(page, quiet=2_000)
    playwright.expect(page.locator(".answer")).to_have_count(0)
