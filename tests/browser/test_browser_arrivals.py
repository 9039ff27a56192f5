"""What the browser or the server loses is told: uploads that fail, a server that stops or starts again."""

from __future__ import annotations

import pytest

from brat.io.samples import load_samples
from pages.words import arrivals as words
from tests.factories.streamlit_server import serving

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
FIRST, SECOND, THIRD = load_samples()[:3]


def upload(sample, name: str = "") -> dict:
    return {"name": name or sample.file.name, "mimeType": "", "buffer": sample.file.read_bytes()}


def drop(page, *files: dict) -> None:
    page.locator("input[type=file]").first.set_input_files(list(files))


def refuse(page, status: int, name: str) -> None:
    """The server refuses this file, as a proxy before it would."""

    def answer(route) -> None:
        data = route.request.post_data_buffer or b""
        if route.request.method == "PUT" and name.encode() in data:
            route.fulfill(status=status, body="")
        else:
            route.continue_()

    page.route("**/_stcore/upload_file/**", answer)


@pytest.mark.parametrize(
    ("status", "said"),
    [(413, "larger than is taken here"), (403, "Drop it again"), (502, "Drop it again")],
)
def test_upload_that_fails_is_told_and_the_answer_names_its_scan(open_page, address, status, said):
    page = open_page(address)
    drop(page, upload(FIRST))
    playwright.expect(page.locator(".answer h2")).to_be_visible()
    refuse(page, status, "lost.png")
    drop(page, upload(SECOND, "lost.png"))
    alert = page.get_by_test_id("stAlert").filter(has_text="lost.png did not arrive")
    playwright.expect(alert).to_contain_text(said)
    playwright.expect(alert).to_contain_text(f"(Request failed with status code {status})")
    playwright.expect(alert).to_contain_text(f"still that of {FIRST.file.name}")
    # It stands until files have been taken, and others after them.
    for sample in (THIRD, FIRST):
        drop(page, upload(sample))
        playwright.expect(page.get_by_text(f"{sample.file.name} ·")).to_be_visible()
    playwright.expect(alert).to_have_count(0)


def test_file_over_the_limit_is_told(open_page, tmp_path):
    with serving(tmp_path / "log", flags=["--server.maxUploadSize=1"]) as address:
        page = open_page(address)
        drop(page, upload(FIRST))
        playwright.expect(page.locator(".answer h2")).to_be_visible()
        drop(page, {"name": "large.dcm", "mimeType": "", "buffer": bytes(1_500_000)})
        alert = page.get_by_test_id("stAlert").filter(has_text="large.dcm did not arrive")
        playwright.expect(alert).to_contain_text("larger than is taken here")
        playwright.expect(alert).to_contain_text(f"still that of {FIRST.file.name}")


def test_one_of_several_that_fails_is_named_in_the_worklist(open_page, address):
    page = open_page(address)
    playwright.expect(page.get_by_role("heading", name="BraTum Scans")).to_be_visible()
    refuse(page, 413, "lost.png")
    drop(page, upload(FIRST), upload(SECOND, "lost.png"), upload(THIRD))
    playwright.expect(page.get_by_text("2 of 2 shown.")).to_be_visible()
    playwright.expect(page.get_by_text("lost.png did not arrive")).to_be_visible()


def test_server_that_stops_and_starts_again(open_page, tmp_path):
    with serving(tmp_path / "log") as address:
        page = open_page(address)
        drop(page, upload(FIRST))
        playwright.expect(page.locator(".answer h2")).to_be_visible()
    playwright.expect(page.get_by_text(words.OFFLINE)).to_be_visible()
    with serving(tmp_path / "log", port=int(address.rpartition(":")[2])):
        playwright.expect(page.get_by_text(words.OFFLINE)).to_have_count(0)
        playwright.expect(page.get_by_text("has forgotten this visit")).to_be_visible()
        playwright.expect(page.locator(".answer h2")).to_have_count(0)
