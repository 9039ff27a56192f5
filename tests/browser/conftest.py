"""A real browser and a real server, one of each for all tests here."""

import shutil

import pytest

from tests.browser.settling import patiently
from tests.factories.streamlit_server import serving

# As after the menu's choice.
_CHOOSE = """
localStorage.setItem(`stActiveTheme-${location.pathname}-v2`, '"SCHEME"');
localStorage.setItem(`brat-theme-met-${location.pathname}`, "met");
"""


@pytest.fixture(scope="package")
def browser():
    """Chromium. A test opens pages of its own with `new_page`: none shares cookies or state with another.

    What it clicks on stands still; where that is not meant, an element's own `click()` is at once.

    It ends with this package: while Playwright runs, no other event loop can start in this process.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    if chromium is None:
        pytest.skip("no Chromium is installed")
    # The first page of a fresh server is slow on a busy machine.
    playwright.expect.set_options(timeout=30_000)
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=flags)
        with pytest.MonkeyPatch.context() as patch:
            for name in ("click", "check"):
                patch.setattr(playwright.Locator, name, patiently(getattr(playwright.Locator, name)))
            yield opened
        opened.close()


@pytest.fixture(scope="package")
def address(tmp_path_factory):
    """The app as it is after installation: without secrets, and so without a store."""
    with serving(tmp_path_factory.mktemp("app") / "log") as url:
        yield url


@pytest.fixture
def open_page(browser):
    """Opens a page of its own at an address; it is closed after the test.

    With `color_scheme`, it is a visitor's who has chosen that theme; without, a new visitor's.
    """
    pages = []

    def opened(address: str, width: int = 1440, height: int = 900, **options):
        page = browser.new_page(viewport={"width": width, "height": height}, **options)
        pages.append(page)
        page.set_default_timeout(30_000)
        if scheme := options.get("color_scheme"):
            page.add_init_script(_CHOOSE.replace("SCHEME", scheme.capitalize()))
        page.goto(address)
        return page

    yield opened
    for page in pages:
        page.close()
