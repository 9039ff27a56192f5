"""What the browser or the server loses is told: uploads that fail, a server that stops or starts again."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from brat.io.samples import load_samples
from pages import arrivals
from pages.words import arrivals as words
from tests.browser.settling import settle
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
    playwright.expect(alert).to_contain_text(f"What is shown below is still {FIRST.file.name}")
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
        playwright.expect(alert).to_contain_text(f"What is shown below is still {FIRST.file.name}")


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


# As a person's hands would do: the second file goes where files are taken at that moment. Where there is no
# such place, it falls on the page, or comes from a dialogue that was opened while there was one.
_TWO_DROPS = """async ([way, pause, files]) => {
  const transferOf = ([name, base64]) => {
    const transfer = new DataTransfer();
    const bytes = Uint8Array.from(atob(base64), letter => letter.charCodeAt(0));
    transfer.items.add(new File([bytes], name));
    return transfer;
  };
  const input = document.querySelector("input[type=file]");
  input.dispatchEvent(new MouseEvent("click", { bubbles: true }));
  const give = {
    input: dataTransfer => {
      const place = document.querySelector("input[type=file]") ?? input;
      place.files = dataTransfer.files;
      place.dispatchEvent(new Event("change", { bubbles: true }));
    },
    drop: dataTransfer => {
      const zone = document.querySelector("[data-testid=stFileUploaderDropzone]") ?? document.body;
      for (const type of ["dragenter", "dragover", "drop"]) {
        const event = new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer });
        zone.dispatchEvent(event);
        // A browser would leave the page for the file.
        if (type === "drop" && !event.defaultPrevented) throw new Error("nothing took the file");
      }
    },
  }[way];
  give(transferOf(files[0]));
  if (pause) await new Promise(due => setTimeout(due, pause));
  give(transferOf(files[1]));
}"""


def encoded(sample, name: str) -> list[str]:
    return [name, base64.b64encode(sample.file.read_bytes()).decode()]


@pytest.mark.parametrize("pause", [0, 100, 300, 700])
@pytest.mark.parametrize("way", ["input", "drop"])
@pytest.mark.parametrize("is_open", [False, True], ids=["empty", "open"])
def test_a_second_file_soon_after_another_is_not_lost(open_page, address, way, pause, is_open):
    page = open_page(address)
    page.locator("input[type=file]").wait_for(state="attached")
    if is_open:
        drop(page, upload(THIRD))
        playwright.expect(page.get_by_text(f"{THIRD.file.name} ·")).to_be_visible()
    settle(page)
    page.evaluate(_TWO_DROPS, [way, pause, [encoded(FIRST, "first.png"), encoded(SECOND, "second.png")]])
    shown = page.get_by_text("second.png ·").or_(page.get_by_text("2 of 2 shown."))
    playwright.expect(shown).to_be_visible()
    if page.url.endswith("/worklist"):
        for name in ("first.png", "second.png"):
            playwright.expect(page.get_by_role("gridcell", name=name)).to_have_count(1)
    else:
        playwright.expect(page.locator(".answer h2")).to_be_visible()
    # Nor is it shown for a moment only.
    settle(page)
    playwright.expect(shown).to_be_visible()
    playwright.expect(page.get_by_test_id("stException")).to_have_count(0)


def test_a_file_whose_place_goes_while_it_is_sent_is_given_again(open_page, address):
    page = open_page(address)
    page.locator("input[type=file]").wait_for(state="attached")
    settle(page)
    sent = []

    def slowly(route) -> None:
        if route.request.method == "PUT":
            sent.append(route)
            # The first one never arrives.
            if len(sent) == 1:
                return
        route.continue_()

    page.route("**/_stcore/upload_file/**", slowly)
    drop(page, upload(FIRST, "first.png"))
    playwright.expect(page.get_by_test_id("stFileChip")).to_have_count(1)
    page.get_by_role("button", name=THIRD.title).click()
    playwright.expect(page.get_by_text("first.png ·")).to_be_visible()
    playwright.expect(page.locator(".answer h2")).to_be_visible()
    assert len(sent) == 2


# As much of Streamlit's page as the script looks at.
_PAGE = """<div data-test-script-state="notRunning" data-test-connection-state="CONNECTED"></div>
<div id="part"></div>
<div data-testid="stFileUploader"><div data-testid="stFileUploaderDropzone"><input type="file"></div></div>"""

# What the page sends to the server, and how often it gives the widget a drop.
_SERVER = """() => {
  Object.assign(window, { sent: [], given: 0 });
  window.says = (drops, answered) => window.part({
    data: ["visit", false, true, "", drops, answered],
    setTriggerValue: (name, value) => window.sent.push([name, value]),
    parentElement: document.querySelector("#part"),
  });
  window.addEventListener("drop", ({ isOurs }) => { window.given += Boolean(isOurs); });
  window.says(0, "");
}"""

# The widget takes the drop, and another is put in its place before the browser knows what the server counted.
_DROP_AND_REPLACE = """() => {
  const widget = document.querySelector('[data-testid="stFileUploader"]');
  const item = { kind: "file", getAsFile: () => new File(["scan"], "scan.png") };
  const drop = Object.assign(new Event("drop", { bubbles: true, cancelable: true }), {
    dataTransfer: { types: ["Files"], items: [item] },
  });
  widget.querySelector("input").parentElement.dispatchEvent(drop);
  widget.replaceWith(widget.cloneNode(true));
}"""


@pytest.mark.parametrize(("counted", "given"), [(1, 0), (0, 1)], ids=["it came", "it did not come"])
def test_a_file_whose_place_went_is_given_again_only_where_the_server_says_it_did_not_come(
    open_page, counted, given
):
    page = open_page("about:blank")
    page.route("http://app.test/", lambda route: route.fulfill(content_type="text/html", body=_PAGE))
    page.goto("http://app.test/")
    script = (Path(arrivals.__file__).parent / "arrivals.js").read_text()
    page.add_script_tag(
        content=script.replace("export default function", "window.part = function"), type="module"
    )
    # A module runs once it was looked through.
    page.wait_for_function("Boolean(window.part)")
    page.evaluate(_SERVER)
    page.evaluate(_DROP_AND_REPLACE)
    page.wait_for_function("window.sent.some(([name]) => name === 'asked')")
    # However long the answer takes.
    page.wait_for_timeout(1500)
    asked = [value for name, value in page.evaluate("window.sent") if name == "asked"]
    assert len(set(asked)) == 1
    assert page.evaluate("window.given") == 0
    page.evaluate("answer => window.says(...answer)", [counted, asked[0]])
    page.wait_for_function(f"window.given === {given}")
    # Nor once more.
    page.wait_for_timeout(1500)
    assert page.evaluate("window.given") == given


_DROP_ON_THE_PAGE = """([name, base64]) => {
  const bytes = Uint8Array.from(atob(base64), letter => letter.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name));
  for (const type of ["dragenter", "dragover", "drop"]) {
    const event = new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer });
    // A browser would leave the page for the file.
    if (document.body.dispatchEvent(event) && type !== "dragenter") throw new Error("nothing takes the file");
  }
}"""


def test_a_file_that_falls_on_a_worklist_is_added_or_told(open_page, address):
    page = open_page(f"{address}/worklist")
    drop(page, upload(FIRST, "first.png"), upload(SECOND, "second.png"))
    playwright.expect(page.get_by_text("2 of 2 shown.")).to_be_visible()
    page.evaluate(_DROP_ON_THE_PAGE, encoded(THIRD, "third.png"))
    playwright.expect(page.get_by_text("3 of 3 shown.")).to_be_visible()
    page.keyboard.press("Escape")
    playwright.expect(page.locator("input[type=file]")).to_have_count(0)
    # Where no place for files can be found.
    page.locator(".st-key-add-scans").evaluate("place => { place.className = ''; }")
    page.evaluate(_DROP_ON_THE_PAGE, encoded(FIRST, "fourth.png"))
    playwright.expect(page.get_by_text("fourth.png did not arrive, and was not read.")).to_be_visible()
