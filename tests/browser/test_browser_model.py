"""The Model page: what its first screen holds, how much there is to read, and where it is explained."""

import re

import pytest

from tests.browser.settling import settle

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

WORDS = 856
"""Half of what the page had when it was one long one: 1,712, counted in the same way."""

# The text of everything that has a size, but for tabs, names of icons and the raw model card; charts count.
_TEXT = """() => {
  const walk = document.createTreeWalker(
    document.querySelector("[data-testid=stMain]"), NodeFilter.SHOW_TEXT
  );
  const found = [];
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement, box = node.getBoundingClientRect();
    const other = node.closest("style, script, [role=tablist], .stJson, [data-testid=stIconMaterial]");
    if (!other && box.width > 1 && box.height > 1) found.push(walk.currentNode.data.trim());
  }
  return found.filter(Boolean);
}"""


def opened(open_page, address, width=1440, height=900):
    page = open_page(f"{address}/model", width, height)
    playwright.expect(page.get_by_role("heading", name="How good is the model?")).to_be_visible()
    playwright.expect(page.locator(".js-plotly-plot:visible")).to_have_count(3)
    settle(page)
    return page


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1280, 720)])
def test_the_first_screen_holds_figures_matrix_and_curves(open_page, address, width, height):
    page = opened(open_page, address, width, height)
    shown = [*page.get_by_test_id("stMetric").all(), *page.locator(".js-plotly-plot:visible").all()]
    assert len(shown) == 6 + 3
    for one in shown:
        box = one.bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= height
    # The charts take what is left of the screen.
    for chart in page.locator(".js-plotly-plot:visible").all():
        assert chart.bounding_box()["height"] > 0.4 * height
    written = page.locator(".js-plotly-plot:visible svg text")
    sizes = written.evaluate_all("all => all.map(one => parseFloat(getComputedStyle(one).fontSize))")
    assert min(sizes) >= 12
    assert page.get_by_test_id("stMetric").first.inner_text().startswith("Another hospital")


@pytest.mark.parametrize(("width", "rows"), [(1440, 1), (1280, 1), (390, 3)])
def test_the_headline_takes_no_more_rows_than_it_must(open_page, address, width, rows):
    page = opened(open_page, address, width)
    values = page.get_by_test_id("stMetricValue").all()
    # Values side by side stand on one line, however long their titles are.
    assert len({round(value.bounding_box()["y"]) for value in values}) == rows


def test_a_legend_stands_above_its_plot_on_a_phone_too(open_page, address):
    page = opened(open_page, address, 390)
    legends = 0
    for chart in page.locator(".js-plotly-plot:visible").all():
        if not chart.locator(".legend").count():
            continue
        legends += 1
        legend, plot = (chart.locator(part).bounding_box() for part in (".legend", ".nsewdrag"))
        assert legend["y"] + legend["height"] <= plot["y"] + 1
        assert legend["y"] >= chart.bounding_box()["y"] - 1
        assert plot["height"] > 120
    assert legends == 2


def test_what_a_column_holds_stands_under_its_heading(open_page, address):
    page = opened(open_page, address)
    page.get_by_role("tab", name="Protocols").click()
    page.locator(".stTable:visible").first.wait_for()
    settle(page)
    starts = page.locator(".stTable:visible").first.evaluate(
        """table => [...table.querySelectorAll("tr")].slice(0, 2).map(row =>
            [...row.children].map(cell => cell.querySelector("p")?.getBoundingClientRect().left))"""
    )
    headings, cells = (row[1:] for row in starts)
    assert len(headings) > 1
    assert cells == headings


def count(texts) -> int:
    """Words; the "to" inside an interval is none."""
    return sum(
        len(re.findall(r"[^\W\d_][\w'’-]*", re.sub(r"(?<=\d)\s+to\s+(?=[-\d])", " ", text))) for text in texts
    )


def test_words_are_counted():
    assert count(["Accuracy 91.2 % (90.1\u00a0to\u00a092.2)", "T1 to be read"]) == 5


def test_there_is_half_as_much_to_read_as_there_was(open_page, address):
    page = opened(open_page, address)
    of_tabs = []
    for tab in page.get_by_role("tab").all():
        tab.click()
        page.evaluate(
            "document.querySelectorAll('details:not([open]) > summary').forEach(one => one.click())"
        )
        # In the place of a chart or a table that is still to come.
        playwright.expect(page.locator("[data-testid=stSkeleton]:visible")).to_have_count(0, timeout=60_000)
        settle(page)
        of_tabs.append(page.evaluate(_TEXT))
    # What stands round the tabs is read once.
    around = set.intersection(*map(set, of_tabs))
    words = count(around) + sum(count(text for text in texts if text not in around) for texts in of_tabs)
    assert len(of_tabs) == 7
    assert 500 < words <= WORDS


def test_what_the_figures_mean_is_a_link_away(open_page, address):
    page = opened(open_page, address)
    with page.expect_popup() as opening:
        page.get_by_role("link", name="What these figures mean").click()
    page = opening.value
    heading = page.get_by_role("heading", name="How the figures of the Model page are measured")
    playwright.expect(heading).to_be_visible()
    playwright.expect(page.get_by_role("heading", name="Known to go wrong")).to_be_visible()
    assert page.url.endswith("/explained")
    # No entry of its own among the pages.
    assert page.get_by_test_id("stTopNavLink").filter(has_text="Explained").count() == 0
