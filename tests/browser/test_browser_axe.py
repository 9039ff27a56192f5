"""What axe-core finds on every page, and whether pages hold when they are enlarged."""

import pytest

from brat.io.samples import load_samples
from tests.browser.settling import settle
from tests.factories.files import volume, zipped
from tests.factories.samples import KNOWN

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")

RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}

STREAMLITS_OWN = {
    # A wide table scrolls inside its frame on a phone. Streamlit gives the frame no tab stop, and has no
    # option for one; the numbers are in the CSV file below the table, too.
    "scrollable-region-focusable": ".stTable",
}
"""Rule -> where a violation of it is Streamlit's, and cannot be mended from a page."""

# Axe measures the contrast of what CSS colours, but not of what SVG fills.
_FAINT = """() => {
  const parts = colour => [...colour.match(/[\\d.]+/g).map(Number), 1].slice(0, 4);
  const luminance = colour => colour.slice(0, 3).map(part => part / 255)
    .map(part => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = parts(getComputedStyle(document.querySelector("[data-testid=stApp]")).backgroundColor);
  // What stands in a coloured cell is not on the page's background.
  return [...document.querySelectorAll(".stPlotlyChart svg text:not(.heatmaplayer text, .hoverlayer text)")]
    .filter(node => node.textContent.trim())
    .filter(node => {
      const style = getComputedStyle(node), fill = parts(style.fill), share = fill[3] * style.fillOpacity;
      const seen = fill.map((part, at) => share * part + (1 - share) * behind[at]);
      const [low, high] = [luminance(seen), luminance(behind)].sort((one, other) => one - other);
      return (high + 0.05) / (low + 0.05) < 4.5;
    }).map(node => node.textContent);
}"""


def empty(page):
    playwright.expect(page.get_by_text("Or try one of these")).to_be_visible()


def answer(page):
    page.locator("input[type=file]").first.set_input_files(KNOWN.file)
    playwright.expect(page.locator(".answer h2")).to_be_visible()
    playwright.expect(page.locator("canvas.layer")).to_be_visible()
    page.get_by_text("Does a small change change the answer?").click()
    playwright.expect(page.locator(".js-plotly-plot").first).to_be_visible()


def series(page):
    file = {"name": "head.nii", "mimeType": "application/octet-stream", "buffer": volume()}
    page.locator("input[type=file]").first.set_input_files(file)
    playwright.expect(page.locator("[data-ui=where]")).to_be_visible()
    page.get_by_text("Every slice as numbers").click()
    playwright.expect(page.get_by_test_id("stDataFrame")).to_be_visible()


def worklist(page):
    scans = {f"study/{sample.file.name}": sample.file.read_bytes() for sample in load_samples()}
    archive = zipped({**scans, "study/notes.png": b"not a scan"})
    page.locator("input[type=file]").first.set_input_files(
        {"name": "list.zip", "mimeType": "", "buffer": archive}
    )
    playwright.expect(page.get_by_test_id("stDataFrame").first).to_be_visible()
    playwright.expect(page.get_by_text("1 could not be read").first).to_be_visible()


def at(path, heading):
    def go(page):
        page.goto(f"{page.url.rstrip('/')}/{path}")
        playwright.expect(page.get_by_role("heading", name=heading).first).to_be_visible()

    return go


PAGES = {
    "empty": empty,
    "answer": answer,
    "series": series,
    "worklist": worklist,
    "history": at("history", "History"),
    "model": at("model", "How good is the model?"),
    "validate": at("validate", "Validate"),
    "about": at("about", "How to read"),
    "explained": at("explained", "How the figures"),
}


# Words that an element round them, near or far, cuts off, with three dots or without.
_CUT = """() => {
  const found = [];
  const walk = document.createTreeWalker(
    document.querySelector("[data-testid=stMain]"), NodeFilter.SHOW_TEXT
  );
  while (walk.nextNode()) {
    const range = document.createRange();
    range.selectNodeContents(walk.currentNode);
    const words = range.getBoundingClientRect();
    if (!walk.currentNode.data.trim() || !words.width) continue;
    for (let node = walk.currentNode.parentElement; node; node = node.parentElement) {
      const { overflowX, overflowY } = getComputedStyle(node);
      // What is one pixel large is for screen readers, or closed.
      const box = node.getBoundingClientRect();
      if (box.width <= 1 || box.height <= 1) break;
      if (/auto|scroll/.test(overflowX + overflowY)) break;
      const across = /hidden|clip/.test(overflowX) && words.right > box.right + 1;
      const down = /hidden|clip/.test(overflowY) && words.bottom > box.bottom + 2;
      if (across || down) found.push([walk.currentNode.data.trim(), node.className]);
    }
  }
  return found;
}"""


def fully_open(page, show):
    """The page once `show` is through, with every expander open."""
    empty(page)
    show(page)
    page.evaluate("document.querySelectorAll('details:not([open]) > summary').forEach(one => one.click())")
    settle(page)
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390], ids=["desk", "phone"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(open_page, address, name, width, scheme):
    page = fully_open(open_page(address, width, color_scheme=scheme), PAGES[name])
    # On a busy machine something may still be fading in, and be as faint as that for a moment.
    for _ in range(4):
        found, faint = violations(page), page.evaluate(_FAINT)
        if not found and not faint:
            break
        page.wait_for_timeout(2000)
    page.close()
    assert not found
    assert not faint


def violations(page) -> list[tuple]:
    """What axe finds, and where, but for what is Streamlit's own."""
    return [
        (violation["id"], node["target"], node["failureSummary"])
        for violation in axe.Axe().run(page, options=RULES).response["violations"]
        for node in violation["nodes"]
        if STREAMLITS_OWN.get(violation["id"], "no such place") not in node["target"][0]
    ]


@pytest.mark.parametrize("how", ["page", "text", "narrow"])
@pytest.mark.parametrize("name", PAGES)
def test_it_holds_at_twice_the_size(open_page, address, name, how):
    # As a browser's zoom does: half as many pixels, each twice as large; or 320, as at four times the size.
    width, scale = {"page": (720, 2), "text": (1440, 1), "narrow": (320, 1)}[how]
    page = fully_open(open_page(address, width, 900 // scale, device_scale_factor=scale), PAGES[name])
    if how == "text":
        page.add_style_tag(content="html {font-size: 200% !important}")
        settle(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    main = page.get_by_test_id("stMain")
    assert main.evaluate("node => node.scrollWidth <= node.clientWidth")
    cut = page.evaluate(_CUT)
    page.close()
    assert not cut
