"""The worklist as a person goes through it: a real server, a real browser."""

import csv

import numpy as np
import openpyxl
import pytest

from brat.classes import CLASS_NAMES, CLASSES
from brat.io.read import read_scan
from brat.io.samples import load_samples
from brat.model.reader import Reader
from tests.factories.pages import png

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
NOISE = png(np.random.default_rng(0).integers(0, 256, (300, 300), np.uint8))
"""A picture that is refused."""

SCANS = {**{s.file.name: s.file.read_bytes() for s in load_samples()}, "noise.png": NOISE}
BAD = {"name": "DOE_JANE.png", "mimeType": "image/png", "buffer": b"not a scan"}


@pytest.fixture(scope="module")
def expected():
    """The scans that the gate lets through, the most suspicious first: name -> answer."""
    reader = Reader()
    readings = {name: reader.read(read_scan(data).gray) for name, data in SCANS.items()}
    known = [name for name, reading in readings.items() if reading.ood.in_distribution]
    known.sort(key=lambda name: readings[name].prediction.by_class()["no_tumor"])
    return {name: readings[name].prediction.label for name in known}


@pytest.fixture(params=[1440, 390], ids=["desk", "phone"])
def page(open_page, address, request):
    opened = open_page(address, request.param)
    playwright.expect(opened.get_by_role("heading", name="BraTum Scans")).to_be_visible()
    opened.goto(f"{address}/worklist")
    files = [{"name": name, "mimeType": "", "buffer": data} for name, data in SCANS.items()]
    opened.locator("input[type=file]").first.set_input_files([BAD, *files])
    playwright.expect(opened.get_by_text(f"{len(files) + 1} of {len(files) + 1} shown.")).to_be_visible()
    return opened


def is_open(page, name: str, label: str, place: str) -> None:
    playwright.expect(page.locator(".answer h2")).to_contain_text(CLASS_NAMES[label])
    playwright.expect(page.get_by_text(f"{name} ·")).to_be_visible()
    playwright.expect(page.get_by_text(place, exact=True)).to_be_visible()


def test_from_the_list_through_review_and_back(page, expected):
    first, second, third = list(expected.items())[:3]
    count = len(SCANS)
    # One of them is bad, and says why.
    playwright.expect(page.get_by_text("1 could not be read").first).to_be_visible()
    page.locator("summary").filter(has_text="could not be read").click()
    playwright.expect(page.get_by_text("DOE_JANE.png was not read. This is not an image")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

    # The table is a picture to the browser; the box at a row's left opens it. The first row, then the next.
    table = page.get_by_test_id("stDataFrame").first
    table.click(position={"x": 15, "y": 60})
    is_open(page, *first, f"1 of {count}")
    page.get_by_role("button", name="Next").click()
    is_open(page, *second, f"2 of {count}")
    # By key, too; but not while somebody writes.
    page.keyboard.press("n")
    is_open(page, *third, f"3 of {count}")
    page.keyboard.press("p")
    is_open(page, *second, f"2 of {count}")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

    page.get_by_role("button", name="Worklist").click()
    playwright.expect(page.get_by_text(f"{count + 1} of {count + 1} shown.")).to_be_visible()


def test_filter_is_kept_and_followed(page, expected):
    tumours = {name: label for name, label in expected.items() if label != "no_tumor"}
    button = page.get_by_test_id("stPopoverButton").filter(has_text="Filter")
    playwright.expect(button).not_to_contain_text("on")
    button.click()
    box = page.get_by_role("combobox", name="Reading")
    for label in CLASSES[:3]:
        box.fill(CLASS_NAMES[label])
        box.press("Enter")
    shown = page.get_by_text(f"{len(tumours)} of {len(SCANS) + 1} shown.")
    playwright.expect(shown).to_be_visible()
    # The first closes the list of classes, the second the filter: a press beside an open one closes it, and
    # the page may scroll under the button before it is let go.
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    playwright.expect(box).to_have_count(0)
    playwright.expect(button).to_contain_text("Filter: on")
    page.get_by_role("button", name="Review from the top").click()
    first = next(iter(tumours.items()))
    is_open(page, *first, f"1 of {len(tumours)}")
    # "n" in a note is a letter.
    page.locator("[class*='st-key-verdict-']").get_by_text("Unsure").click()
    page.get_by_label("Note").press_sequentially("no oedema")
    page.get_by_label("Note").press("Tab")
    is_open(page, *first, f"1 of {len(tumours)}")
    page.get_by_role("button", name="Worklist").click()
    playwright.expect(shown).to_be_visible()
    # What is closed says that it leaves rows out, for who comes back to it as well.
    playwright.expect(button).to_contain_text("Filter: on")


def test_a_heading_sorts_and_review_follows(page, expected):
    if page.viewport_size["width"] < 600:
        pytest.skip("the columns are the same; on a phone they are scrolled to")
    table = page.get_by_test_id("stDataFrame").first
    table.click(position={"x": 550, "y": 20})
    playwright.expect(page.get_by_role("combobox", name="Order")).to_have_value("By file name")
    # Nothing else sorts.
    table.hover(position={"x": 68, "y": 20})
    table.click(position={"x": 68, "y": 20})
    playwright.expect(page.get_by_text("Pin column")).to_be_visible()
    playwright.expect(page.get_by_text("Sort ascending")).to_be_hidden()
    playwright.expect(page.get_by_text("Sort descending")).to_be_hidden()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Review from the top").click()
    first = min(SCANS)
    playwright.expect(page.get_by_text(f"{first} ·")).to_be_visible()


def test_export_names_no_file_unless_asked(page, expected, tmp_path):
    def downloaded(name: str, kind: str):
        with page.expect_download() as download:
            page.get_by_role("button", name=kind, exact=True).click()
        download.value.save_as(tmp_path / name)
        return tmp_path / name

    playwright.expect(page.get_by_role("button", name="Excel")).to_be_visible()
    page.wait_for_timeout(1000)
    # The table's own button would name them.
    page.get_by_test_id("stDataFrame").first.hover()
    playwright.expect(page.get_by_role("button", name="Fullscreen")).to_be_visible()
    playwright.expect(page.get_by_role("button", name="Download as CSV")).to_have_count(0)

    saved = downloaded("a.csv", "CSV").read_text("utf-8-sig")
    rows = list(csv.DictReader(saved.splitlines()))
    assert [row["read"] for row in rows][: len(expected)] == list(expected.values())
    assert len(rows) == len(SCANS) + 1
    assert "DOE" not in saved
    assert {len(row["model"]) for row in rows} == {64}
    assert rows[-1]["number"] == "1"
    assert "not an image" in rows[-1]["problem"]

    page.get_by_text("With file names").click()
    playwright.expect(page.get_by_role("switch", name="With file names")).to_be_checked()
    page.wait_for_timeout(1000)
    sheet = openpyxl.load_workbook(downloaded("a.xlsx", "Excel"))["Worklist"]
    heading, *cells = sheet.iter_rows(values_only=True)
    assert [row[heading.index("file")] for row in cells][-1] == "DOE_JANE.png"
    assert [row[heading.index("read")] for row in cells][: len(expected)] == list(expected.values())
