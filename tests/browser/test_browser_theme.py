"""The dark theme comes first, and the visitor's choice stands."""

import tomllib

import pytest

from tests.browser.settling import settle
from tests.factories.paths import ROOT
from tests.factories.samples import KNOWN

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

THEMES = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))["theme"]


def expect_theme(page, name):
    colour = THEMES[name]["backgroundColor"].lstrip("#")
    parts = ", ".join(str(int(colour[at : at + 2], 16)) for at in (0, 2, 4))
    playwright.expect(page.get_by_test_id("stApp")).to_have_css("background-color", f"rgb({parts})")


def choose(page, name):
    page.get_by_test_id("stMainMenu").get_by_role("button").click()
    page.get_by_role("menuitemradio", name=name).click()
    page.keyboard.press("Escape")


@pytest.mark.parametrize("path", ["", "/model"])
def test_dark_is_met_first_and_again(browser, address, path):
    # A computer whose system is light.
    page = browser.new_context(color_scheme="light").new_page()
    page.goto(f"{address}{path}")
    expect_theme(page, "dark")
    page.reload()
    # From the first moment.
    expect_theme(page, "dark")
    page.context.close()


def test_digits_are_of_one_width(open_page, address):
    page = open_page(f"{address}/model")
    value = page.get_by_test_id("stMetricValue").first
    playwright.expect(value).to_be_visible()
    settle(page)
    page.evaluate("document.fonts.ready.then(() => true)")
    widths = value.evaluate(
        """node => [..."0123456789"].map(digit => {
          const one = node.appendChild(document.createElement("span"));
          one.textContent = digit.repeat(20);
          return one.getBoundingClientRect().width;
        })"""
    )
    assert max(widths) - min(widths) < 0.1


def test_a_choice_stands_on_every_page(browser, address):
    page = browser.new_context(color_scheme="light").new_page()
    page.goto(address)
    expect_theme(page, "dark")
    page.locator("input[type=file]").first.set_input_files(KNOWN.file)
    playwright.expect(page.locator(".answer h2")).to_be_visible()
    settle(page)
    choose(page, "Light")
    expect_theme(page, "light")
    # What is open stays so.
    playwright.expect(page.locator(".answer h2")).to_be_visible()
    # The picture area is black in both themes.
    colour = THEMES["dark"]["backgroundColor"].lower()
    stage = page.locator(".stage").evaluate("node => getComputedStyle(node).backgroundColor")
    assert max(int(part) for part in stage.strip("rgba()").split(",")[:3]) < 30, (stage, colour)
    for path in ("", "/model", "/about"):
        page.goto(f"{address}{path}")
        page.get_by_role("heading", level=1).first.wait_for()
        settle(page)
        expect_theme(page, "light")
    choose(page, "Dark")
    page.goto(address)
    expect_theme(page, "dark")
    page.context.close()


def test_titles_are_as_large_on_a_page_that_is_led_to(open_page, address):
    sizes = set()
    for path in ("/model", "/explained"):
        page = open_page(f"{address}{path}")
        title = page.get_by_role("heading", level=1).first
        title.wait_for()
        settle(page)
        sizes.add(
            title.evaluate(
                "node => [getComputedStyle(node).fontSize, node.getBoundingClientRect().top].join()"
            )
        )
    assert len(sizes) == 1, sizes


@pytest.mark.parametrize("path", ["/model", "/about"])
def test_no_heading_is_larger_than_the_title(open_page, address, path):
    page = open_page(f"{address}{path}")
    page.get_by_role("heading", level=1).wait_for()
    settle(page)
    sizes = page.locator("h1, h2, h3").evaluate_all(
        "all => all.map(node => [node.tagName, parseFloat(getComputedStyle(node).fontSize)])"
    )
    by_level = [size for _, size in sorted({(level, size) for level, size in sizes})]
    assert by_level == sorted(set(by_level), reverse=True), sizes
    assert len(by_level) > 1
