"""Names, notes and observers that pretend to be Markdown: shown as they are, and no other host is asked."""

import io
from urllib.parse import urlparse

import pydicom
import pytest
from pydicom.uid import generate_uid

from tests.browser.settling import open_options, settle
from tests.factories.files import zipped
from tests.factories.samples import known_dicom
from tests.factories.streamlit_server import serving

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

HOSTILE = (
    "![x](http://evil.invalid/p.png) [see](http://evil.invalid) <img src=http://evil.invalid/i.png> "
    "**GLIOMA 99 %, verified** :red[GLIOMA] :smile: :material/face: $x^2$ `code` ``more`` ~~old~~ &amp; "
    "http://evil.invalid www.evil.invalid me@evil.invalid |a|b|"
)
"""All that Streamlit's Markdown knows."""

# In an archive a path has no empty part.
ENTRY = HOSTILE.replace("//", "/")

STARTS = ("# big", "> quoted", "- listed", "1. numbered", ":red-background[x]", "|a|", "    code", "---")


@pytest.fixture(scope="module")
def store_address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("names")
    secrets = folder / "secrets.toml"
    secrets.write_text(f'[connections.cases]\nurl = "sqlite:///{folder}/cases.db"\n')
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("STREAMLIT_SECRETS_FILES", str(secrets))
        with serving(folder / "log") as url:
            yield url


def asked_elsewhere(page) -> list[str]:
    """The addresses of other hosts that a page asks from now on."""
    elsewhere: list[str] = []

    def ask(request) -> None:
        if urlparse(request.url).hostname not in ("127.0.0.1", None):
            elsewhere.append(request.url)

    page.on("request", ask)
    return elsewhere


@pytest.fixture
def watched(open_page, store_address):
    """A page, and the addresses of other hosts that it asked."""
    page = open_page(store_address)
    return page, asked_elsewhere(page)


def drop(page, name: str, content: bytes) -> None:
    page.locator("input[type=file]").first.set_input_files(
        {"name": name, "mimeType": "application/zip", "buffer": content}
    )


def slice_of_a_series(number: int) -> bytes:
    """The sample as one slice of a series, whose slices differ in a pixel."""
    dataset = pydicom.dcmread(io.BytesIO(known_dicom()))
    dataset.InstanceNumber = number
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.PixelData = bytes([number]) + dataset.PixelData[1:]
    written = io.BytesIO()
    dataset.save_as(written)
    return written.getvalue()


def literals(page) -> list[str]:
    """What stands in code spans, as a person sees it."""
    texts = page.locator("code").evaluate_all("codes => codes.map(code => code.textContent)")
    return [text.replace("\u2060", "") for text in texts]


def assert_harmless(page, elsewhere: list[str]) -> None:
    settle(page)
    assert elsewhere == []
    assert page.locator("[href*=evil], [src*=evil]").count() == 0
    assert page.locator(".katex, [data-testid=stMarkdownContainer] em, del").count() == 0
    assert page.get_by_text("😄").count() == 0
    bold = page.locator("strong").evaluate_all("all => all.map(one => one.textContent)")
    assert not any("verified" in text for text in bold)


def test_the_first_page_of_a_fresh_server_asks_no_other_host(open_page, tmp_path):
    with serving(tmp_path / "log") as url:
        page = open_page("about:blank")
        elsewhere = asked_elsewhere(page)
        # Not the page with which the app begins: that one has the icon before the pages are known.
        page.goto(f"{url}/about")
        playwright.expect(page.get_by_role("heading", name="How to read a reading")).to_be_visible()
        settle(page)
        assert elsewhere == []
        page.close()


def test_a_scan_its_verdict_and_history_show_hostile_text_as_it_is(watched):
    page, elsewhere = watched
    # A single entry is opened in Review, under its name.
    drop(page, "a.zip", zipped({f"{ENTRY}.dcm": known_dicom()}))
    playwright.expect(page.locator(".answer h2")).to_be_visible()
    assert_harmless(page, elsewhere)
    name = f"a.zip/{ENTRY}.dcm"
    assert name in literals(page)

    # One that cannot be read is named in an error, beside the one that is still open.
    drop(page, "b.zip", zipped({f"{ENTRY}.png": b"not a scan"}))
    playwright.expect(page.get_by_test_id("stAlert")).to_be_visible()
    assert_harmless(page, elsewhere)
    assert {f"b.zip/{ENTRY}.png", name} <= set(literals(page))

    note = "\n".join([HOSTILE, *STARTS])
    observer = HOSTILE[:100]
    page.locator("[class*='st-key-verdict-']").get_by_text("Agree", exact=True).click()
    page.get_by_label("Note").fill(note)
    page.get_by_role("textbox", name="Your name").fill(observer)
    page.get_by_role("textbox", name="Your name").press("Tab")
    page.get_by_role("button", name="Keep", exact=True).click()
    playwright.expect(page.get_by_text("Kept by")).to_be_visible()
    assert_harmless(page, elsewhere)
    assert {observer.strip(), " ".join(note.split())} <= set(literals(page))

    page.get_by_role("link", name="History").click()
    playwright.expect(page.get_by_text("1 case.")).to_be_visible()
    settle(page)
    page.get_by_test_id("stDataFrame").first.click(position={"x": 15, "y": 52})
    playwright.expect(page.get_by_role("button", name="Delete …")).to_be_visible()
    shown = page.get_by_test_id("stText").filter(has_text="evil.invalid")
    playwright.expect(shown).to_be_visible()
    # Streamlit takes spaces from the beginning and the end of a text.
    assert shown.text_content() == note
    page.locator("summary").filter(has_text="Filter").click()
    assert open_options(page, "Observer").first.text_content().strip() == observer.strip()
    assert_harmless(page, elsewhere)


def test_every_page_asks_no_other_host_and_the_list_shows_names_as_they_are(watched):
    page, elsewhere = watched
    names = [f"{start} {ENTRY}.{ending}" for start, ending in zip(STARTS, ["png", "dcm"] * 4, strict=True)]
    contents = [
        b"not a scan" if name.endswith("png") else slice_of_a_series(number)
        for number, name in enumerate(names)
    ]
    page.get_by_role("link", name="Worklist").click()
    playwright.expect(page.get_by_role("heading", name="Worklist")).to_be_visible()
    settle(page)
    drop(page, "c.zip", zipped(dict(zip(names, contents, strict=True))))
    playwright.expect(page.get_by_text("could not be read").first).to_be_visible()
    page.locator("summary").filter(has_text="could not be read").click()
    # Files are listed as they are read.
    playwright.expect(page.get_by_test_id("stText").filter(has_text="c.zip/")).to_have_count(
        4, timeout=60_000
    )
    settle(page)
    shown = page.get_by_test_id("stText").evaluate_all("all => all.map(one => one.textContent)")
    assert sum(text.startswith("c.zip/") and ENTRY in text for text in shown) == 4
    assert_harmless(page, elsewhere)

    assert ENTRY in open_options(page, "Open by name").first.text_content()
    assert_harmless(page, elsewhere)
    page.keyboard.press("Escape")
    # The slices are one series, after which come the four that could not be read.
    page.get_by_test_id("stDataFrame").first.click(position={"x": 15, "y": 48 * 5 + 24})
    playwright.expect(page.get_by_test_id("stAlert").filter(has_text="was not read")).to_be_visible()
    assert_harmless(page, elsewhere)
    assert any(ENTRY in text for text in literals(page))

    # A series, which is named after its files.
    page.get_by_role("button", name="Review from the top").click()
    playwright.expect(page.get_by_text("Not a probability for the patient.")).to_be_visible()
    assert_harmless(page, elsewhere)
    assert any(ENTRY in text for text in literals(page))
    for link in ("History", "Model", "About", "Worklist"):
        page.get_by_role("link", name=link).click()
        settle(page)
        assert elsewhere == []
