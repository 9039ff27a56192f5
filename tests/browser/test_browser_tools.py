"""What the hand reaches for in the picture, on scans as they come: a real server, a real browser."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from brat.classes import CLASS_NAMES
from brat.io.read import read_scan
from brat.io.samples import load_samples
from brat.io.scan import Window
from brat.model.reader import Reader
from pages.parts.class_map import likeliest_tumour
from tests.browser.settling import settle
from tests.factories.pages import png
from tests.factories.samples import KNOWN, known_dicom

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

# What is written on a canvas, by canvas and without repetition; the canvas itself has forgotten it.
_LISTEN = """
window.written = [];
const fillText = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
  window.written.push(text);
  return fillText.call(this, text, ...place);
};
"""


def opened(open_page, address, name: str, data: bytes):
    page = open_page("about:blank")
    page.add_init_script(_LISTEN)
    page.goto(address)
    file = {"name": name, "mimeType": "", "buffer": data}
    page.locator("input[type=file]").first.set_input_files(file)
    page.wait_for_selector(".viewer:not([inert])")
    settle(page)
    return page


def written(page) -> list[str]:
    return page.evaluate("window.written")


def measured(page) -> list[str]:
    """What was written at the ruler, with a figure after the point."""
    return [text for text in written(page) if re.fullmatch(r"\d+\.\d mm", text)]


def painted(page, canvas: str = "canvas.layer") -> np.ndarray:
    """uint8 (height, width, 4)."""
    url = page.locator(canvas).evaluate("node => node.toDataURL('image/png')")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGBA"))


def is_unmarked(page) -> bool:
    return not np.ptp(painted(page)[..., :3].astype(int), axis=2).any()


def drag(page, across: float, down: float) -> None:
    """From the middle of the picture, by pixels of the screen."""
    box = page.locator(".stage").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + across, y + down, steps=4)
    page.mouse.up()


@pytest.fixture
def dicom(open_page, address):
    """A slice of 12 bits with pixels of 0.5 mm, the picture of which has the keys."""
    page = opened(open_page, address, "scan.dcm", known_dicom())
    page.locator(".stage").focus()
    return page


def test_ruler_scale_bar_and_sides_of_the_patient(dicom):
    assert {"R", "L", "A", "P", "50 mm"} <= set(written(dicom))
    dicom.keyboard.press("r")
    drag(dicom, 120, 90)
    # The picture is as high as the stage.
    pixels = read_scan(KNOWN.file).gray.shape[0]
    length = 150 * 0.5 * pixels / dicom.locator(".stage").bounding_box()["height"]
    measured = [
        float(text.removesuffix(" mm")) for text in written(dicom) if re.fullmatch(r"\d+\.\d mm", text)
    ]
    assert measured[-1] == pytest.approx(length, abs=0.5)
    dicom.evaluate("window.written = []")
    dicom.keyboard.press("Escape")
    assert not any(re.fullmatch(r"\d+\.\d mm", text) for text in written(dicom))


def test_a_window_by_drag_is_of_the_files_values(dicom):
    state = dicom.locator("[data-ui=state]")
    dicom.keyboard.press("m")
    before = painted(dicom)
    dicom.keyboard.press("w")
    drag(dicom, -100, 60)
    playwright.expect(state).to_contain_text("only shown so")
    center, width = (float(one) for one in re.findall(r"[\d.]+", state.inner_text())[:2])
    # Of twelve bits, not of eight.
    assert center > 1000
    assert 100 < width < 4000
    expected = Window(center, width).apply(read_scan(KNOWN.file).gray.astype(np.float32) * 16)
    assert np.abs(painted(dicom)[..., 0].astype(int) - expected).mean() < 1
    dicom.keyboard.press("0")
    playwright.expect(state).to_have_text("")
    assert (painted(dicom) == before).all()


def test_full_screen_and_the_list_of_keys(dicom):
    dicom.keyboard.press("f")
    dicom.wait_for_function("document.fullscreenElement !== null")
    settle(dicom)
    # The picture leaves nothing empty under the controls, and covers none.
    last = dicom.locator("[data-ui=save]").bounding_box()
    height = dicom.evaluate("innerHeight")
    assert height - 24 < last["y"] + last["height"] < height
    # In a low window none covers another, and all can be scrolled to.
    dicom.set_viewport_size({"width": 844, "height": 390})
    parts = [part.bounding_box() for part in dicom.locator(".viewer > .screen, .legend, .controls").all()]
    ends = [part["y"] + part["height"] for part in parts]
    assert all(part["y"] >= end for part, end in zip(parts[1:], ends, strict=False))
    dicom.locator("[data-ui=save]").scroll_into_view_if_needed()
    last = dicom.locator("[data-ui=save]").bounding_box()
    assert last["y"] + last["height"] < 390
    dicom.keyboard.press("f")
    dicom.wait_for_function("document.fullscreenElement === null")
    dicom.keyboard.press("?")
    keys = dicom.locator("[data-ui=keys]")
    playwright.expect(keys).to_be_visible()
    shown = keys.locator("kbd").all_inner_texts()
    assert set("WRI0MOCVEBFSADU?") <= set(shown)


def test_the_strongest_place_has_an_outline_that_can_be_seen_alone(dicom):
    dicom.get_by_role("slider", name="Opacity").fill("0")
    dicom.locator(".stage").focus()
    with_outline = painted(dicom, "canvas.marks")
    dicom.keyboard.press("o")
    without = painted(dicom, "canvas.marks")
    assert is_unmarked(dicom)
    assert (with_outline != without).any(axis=2).sum() > 200
    dicom.keyboard.press("o")
    assert (painted(dicom, "canvas.marks") == with_outline).all()


def test_no_tumour_leaves_the_scan_unmarked_until_m(open_page, address):
    reader = Reader()
    read = {one: reader.read(read_scan(one.file).gray) for one in load_samples() if one.label == "no_tumor"}
    healthy, reading = next(
        (one, reading) for one, reading in read.items() if reading.prediction.label == "no_tumor"
    )
    page = opened(open_page, address, healthy.file.name, healthy.file.read_bytes())
    playwright.expect(page.locator(".answer h2")).to_contain_text("No tumour")
    assert is_unmarked(page)
    name = CLASS_NAMES[likeliest_tumour(reading.prediction)].lower()
    heading = page.locator("[data-ui=heading]")
    playwright.expect(heading).to_contain_text(f"Unmarked; M shows the map of {name}")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save picture").click()
    assert download.value.suggested_filename.endswith("-unmarked.png")
    with Image.open(download.value.path()) as saved:
        assert not np.ptp(np.asarray(saved.convert("RGB")).astype(int), axis=2).any()
    page.locator(".stage").focus()
    page.keyboard.press("m")
    playwright.expect(heading).to_contain_text(f"speaks for {name}")
    said = page.locator("[data-ui=nothing]").inner_text()
    assert is_unmarked(page) == (said == f"Nothing in this scan speaks for {name}.")


def test_a_refused_picture_has_no_map_until_it_is_asked_for(open_page, address):
    noise = np.random.default_rng(0).integers(0, 256, (300, 300), np.uint8)
    page = opened(open_page, address, "noise.png", png(noise))
    playwright.expect(page.get_by_text("Not a slice like those the model knows")).to_be_visible()
    assert page.locator(".answer h2").count() == 0
    assert is_unmarked(page)
    page.locator(".stage").focus()
    page.keyboard.press("m")
    assert is_unmarked(page)
    page.get_by_text("Show the reading all the same").click()
    playwright.expect(page.locator(".answer h2")).to_be_visible()
    settle(page)
    assert is_unmarked(page)
    playwright.expect(page.locator("[data-ui=heading]")).to_contain_text("Unmarked; M shows")
