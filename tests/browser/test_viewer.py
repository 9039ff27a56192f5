"""The picture of the Review page, in a real browser on a real Streamlit server."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brat.io.scan import Scan, Window
from brat.model.explain import blend, onto_scan
from brat.model.preprocess import Geometry
from brat.perturb.enhance import brightness, clahe
from pages.viewer import viewer, window_values
from tests.factories.streamlit_server import serving

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

# The square sticks out of the scan on the left and above, and leaves a strip of it free on the right.
GEOMETRY = Geometry(x=-20, y=-35, side=310, width=320, height=260)
FREE = (slice(None), slice(290, None))

SCRIPT = """
import numpy as np
import streamlit as st
from brat.model.preprocess import Geometry
from brat.perturb.enhance import brightness, clahe
from pages.viewer import viewer

with open("runs", "a") as runs:
    runs.write("run ")
stored = np.load("stored.npz")
other_scan = st.toggle("Other scan")
other_maps = st.toggle("Other maps")
maps = {name: stored[name] for name in ("glioma", "meningioma", "no_tumor")}
if other_maps:
    maps = {name: values.T.copy() for name, values in maps.items()}
viewer(
    stored["gray"][::-1].copy() if other_scan else stored["gray"],
    maps,
    Geometry(**GEOMETRY),
    "no_tumor" if other_scan else "meningioma",
    name="slice 7.dcm",
    method="Score-CAM" if other_maps else "Grad-CAM",
    key="other" if st.toggle("Other key") else "viewer",
)
"""


def make_scan() -> np.ndarray:
    """uint8 (260, 320): a ramp with some grain, nowhere 0, so that a shift by a pixel is seen."""
    ramp = np.add.outer(np.linspace(20, 120, 260), np.linspace(0, 100, 320))
    return (ramp + np.random.default_rng(3).integers(0, 30, ramp.shape)).astype(np.uint8)


def make_maps() -> dict[str, np.ndarray]:
    """Nothing for glioma; two for the others, with values in the outermost cells too."""
    random = np.random.default_rng(5)
    maps = {name: random.random((14, 14), np.float32) ** 2 for name in ("meningioma", "no_tumor")}
    maps = {name: values / values.max() for name, values in maps.items()}
    return {"glioma": np.zeros((14, 14), np.float32), **maps}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Address of the running script, and its folder."""
    folder = tmp_path_factory.mktemp("viewer")
    np.savez(folder / "stored.npz", gray=make_scan(), **make_maps())
    (folder / "script.py").write_text(SCRIPT.replace("GEOMETRY", repr(vars(GEOMETRY))))
    flags = ("--server.fileWatcherType=none", "--browser.gatherUsageStats=false")
    with serving(folder / "log", "script.py", folder, flags) as address:
        yield address, folder


@pytest.fixture(scope="module")
def window(browser) -> Iterator[playwright.BrowserContext]:
    opened = browser.new_context(viewport={"width": 900, "height": 1100}, has_touch=True)
    yield opened
    opened.close()


@pytest.fixture
def page(window: playwright.BrowserContext, served: tuple[str, Path]) -> Iterator[playwright.Page]:
    page = window.new_page()
    errors, addresses = [], []
    page.on("pageerror", lambda error: errors.append(error))
    page.on("request", lambda request: addresses.append(request.url))
    page.goto(served[0])
    page.wait_for_selector(".viewer:not([inert])")
    yield page
    assert not errors
    own = (served[0], f"blob:{served[0]}", "data:")
    assert not [address for address in addresses if not address.startswith(own)]
    page.close()


def canvas(page: playwright.Page) -> np.ndarray:
    """uint8 (height, width, 3): what is painted, in scan pixels."""
    url = page.locator("canvas.layer").evaluate("canvas => canvas.toDataURL('image/png')")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB"))


def expected(label: str, opacity: float, colours: str = "Inferno") -> np.ndarray:
    return blend(make_scan(), onto_scan(make_maps()[label], GEOMETRY), opacity, colours)


def difference(first: np.ndarray, second: np.ndarray) -> float:
    """Mean of the absolute differences, grey levels."""
    assert first.shape == second.shape
    return float(np.abs(first.astype(int) - second).mean())


def is_plain(page: playwright.Page) -> bool:
    return difference(canvas(page), np.repeat(make_scan()[..., np.newaxis], 3, axis=2)) == 0


def button(page: playwright.Page, name: str) -> playwright.Locator:
    return page.get_by_role("button", name=name, exact=True)


def choose(page: playwright.Page, name: str, value: str) -> None:
    page.get_by_role("combobox", name=name).select_option(value)


def slide(page: playwright.Page, name: str, value: float) -> None:
    page.get_by_role("slider", name=name).fill(str(value))


def zoom(page: playwright.Page) -> float:
    """Width of the drawn picture in widths of its stage."""
    drawn, stage = (page.locator(what).bounding_box() for what in ("canvas.layer", ".stage"))
    return drawn["width"] / stage["width"]


def middle_of_pixel(page: playwright.Page, column: int, row: int) -> tuple[float, float]:
    """Where a scan pixel of the unzoomed picture is on the page."""
    box = page.locator(".stage").bounding_box()
    scale = min(box["width"] / GEOMETRY.width, box["height"] / GEOMETRY.height)
    left = box["x"] + (box["width"] - scale * GEOMETRY.width) / 2
    top = box["y"] + (box["height"] - scale * GEOMETRY.height) / 2
    return left + (column + 0.5) * scale, top + (row + 0.5) * scale


def readout(page: playwright.Page) -> str:
    return page.locator("[data-ui=readout]").inner_text()


def test_overlay_is_the_blend_of_brat(page):
    painted = canvas(page)
    assert difference(painted, expected("meningioma", 0.6)) < 1.5
    assert difference(painted, expected("no_tumor", 0.6)) > 5  # The measure can tell maps apart.
    assert (painted[FREE] == make_scan()[FREE][..., np.newaxis]).all()
    slide(page, "Opacity", 1)
    choose(page, "Colours", "Jet")
    assert difference(canvas(page), expected("meningioma", 1, "Jet")) < 1.5


def test_opacity_makes_no_trip_to_the_server(page, served):
    runs = (served[1] / "runs").read_text()
    slide(page, "Opacity", 0.3)
    slide(page, "Show only above", 0.2)
    slide(page, "Show only above", 0)
    page.wait_for_timeout(500)
    assert (served[1] / "runs").read_text() == runs
    assert difference(canvas(page), expected("meningioma", 0.3)) < 1.5


def test_threshold_hides_what_is_below(page):
    slide(page, "Show only above", 0.5)
    cam = onto_scan(make_maps()["meningioma"], GEOMETRY)
    is_gray = np.ptp(canvas(page), axis=2) == 0
    assert is_gray[cam < 0.49].all()
    assert not is_gray[cam > 0.51].any()


def test_keys_flip_the_map(page):
    x, y = middle_of_pixel(page, 160, 130)
    page.mouse.move(x, y)
    page.keyboard.press("m")  # The cursor is over the picture; nothing is in focus.
    assert is_plain(page)
    page.mouse.click(x, y)
    page.keyboard.press("Space")
    assert difference(canvas(page), expected("meningioma", 0.6)) < 1.5
    button(page, "Hide map").click()
    assert is_plain(page)
    assert "without" in page.locator("canvas.layer").get_attribute("aria-label")


def test_class_can_be_chosen(page):
    heading = page.locator("[data-ui=heading]")
    assert heading.inner_text() == "Map of where the answer comes from (Grad-CAM)"
    choose(page, "Map of", "no_tumor")
    assert difference(canvas(page), expected("no_tumor", 0.6)) < 1.5
    assert "the answer is meningioma" in heading.inner_text()
    choose(page, "Map of", "glioma")
    assert page.get_by_role("status").get_by_text("Nothing in this scan speaks for glioma.").is_visible()
    assert is_plain(page)


def saved_picture(page, folder, name: str) -> np.ndarray:
    """uint8 (height, width, 3)."""
    with page.expect_download() as download:
        button(page, "Save picture").click()
    assert download.value.suggested_filename == name
    download.value.save_as(folder / "saved.png")
    return np.asarray(Image.open(folder / "saved.png").convert("RGB"))


def test_saved_picture_has_the_pixels_of_the_scan_and_a_footer(page, tmp_path):
    slide(page, "Opacity", 0.8)
    button(page, "Zoom in").click()
    saved = saved_picture(page, tmp_path, "slice 7-meningioma.png")
    assert saved.shape[1] == GEOMETRY.width
    assert GEOMETRY.height + 30 < saved.shape[0] < GEOMETRY.height + 100
    assert difference(saved[: GEOMETRY.height], expected("meningioma", 0.8)) < 1.5
    assert np.ptp(saved[GEOMETRY.height :], axis=2).max() > 100  # The colour bar.
    # What is saved is what the page says.
    button(page, "Hide map").click()
    unmarked = saved_picture(page, tmp_path, "slice 7-unmarked.png")
    assert unmarked.shape == saved.shape
    assert (unmarked[: GEOMETRY.height] == make_scan()[..., np.newaxis]).all()
    assert not np.ptp(unmarked.astype(int), axis=2).any()


def test_divider_shows_scan_left_and_map_right(page):
    button(page, "Compare").click()
    divider = page.get_by_role("slider", name="Divider")
    stage, knob = page.locator(".stage").bounding_box(), divider.bounding_box()
    x, y = knob["x"] + knob["width"] / 2, knob["y"] + knob["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(stage["x"] + 0.7 * stage["width"], y, steps=3)
    page.mouse.up()
    assert divider.get_attribute("aria-valuenow") == "70"
    for _ in range(10):
        divider.press("ArrowLeft")
    assert divider.get_attribute("aria-valuenow") == "50"

    shot = np.asarray(Image.open(io.BytesIO(page.locator(".stage").screenshot())).convert("RGB"))
    row = shot[shot.shape[0] // 4]  # Above the divider's knob, below the tags.
    colourful = np.ptp(row, axis=1) > 8
    middle = len(row) // 2
    assert not colourful[: middle - 5].any()
    assert colourful[middle + 5 :].mean() > 0.3
    button(page, "Compare").click()
    assert divider.count() == 0


def test_readout_gives_map_and_scan(page):
    page.mouse.move(*middle_of_pixel(page, 200, 90))
    value = onto_scan(make_maps()["meningioma"], GEOMETRY)[90, 200]
    numbers = [float(number) for number in re.findall(r"[\d.]+", readout(page))]
    assert numbers[0] == pytest.approx(value, abs=0.01)
    assert numbers[1] == make_scan()[90, 200]


def test_zoom_keeps_the_pixel_under_the_cursor_and_pan_moves_it(page):
    x, y = middle_of_pixel(page, 200, 90)
    page.mouse.move(x, y)
    before = readout(page)
    for _ in range(5):
        page.mouse.wheel(0, -200)
    page.wait_for_selector(".stage.zoomed")
    page.mouse.move(x + 0.1, y)
    assert zoom(page) > 2
    assert readout(page) == before

    page.mouse.down()
    page.mouse.move(x - 60, y - 40, steps=4)
    page.mouse.up()
    assert readout(page) == before  # The pixel went with the cursor.
    drawn = page.locator("canvas.layer").bounding_box()
    page.keyboard.press("ArrowLeft")
    assert page.locator("canvas.layer").bounding_box()["x"] > drawn["x"]

    page.keyboard.press("0")
    assert zoom(page) == pytest.approx(1)
    page.keyboard.press("+")
    page.keyboard.press("+")
    page.keyboard.press("-")
    assert zoom(page) == pytest.approx(1.25, abs=0.01)
    button(page, "Reset").click()
    assert zoom(page) == pytest.approx(1)


def test_wheel_scrolls_the_page_past_the_whole_picture(page):
    page.set_viewport_size({"width": 900, "height": 500})
    page.mouse.move(*middle_of_pixel(page, 200, 90))
    page.mouse.wheel(0, 300)
    page.wait_for_timeout(300)
    assert page.locator(".stage").bounding_box()["y"] < 0
    assert zoom(page) == pytest.approx(1)


def test_two_fingers_zoom(page):
    x, y = middle_of_pixel(page, 160, 130)
    touch = page.context.new_cdp_session(page)
    for kind, apart in (("touchStart", 40), ("touchMove", 80), ("touchMove", 120)):
        points = [{"x": x - apart / 2, "y": y, "id": 0}, {"x": x + apart / 2, "y": y, "id": 1}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert zoom(page) == pytest.approx(3, rel=0.1)


def test_what_outlives_other_maps_and_another_scan(page):
    slide(page, "Opacity", 0.9)
    choose(page, "Colours", "Viridis")
    choose(page, "Map of", "no_tumor")
    button(page, "Zoom in").click()

    page.get_by_text("Other maps").click()
    heading = page.locator("[data-ui=heading]")
    playwright.expect(heading).to_contain_text("no tumour (Score-CAM)")
    turned = onto_scan(make_maps()["no_tumor"].T.copy(), GEOMETRY)
    assert difference(canvas(page), blend(make_scan(), turned, 0.9, "Viridis")) < 1.5
    assert zoom(page) == pytest.approx(1.25, abs=0.01)

    choose(page, "Map of", "glioma")
    button(page, "Hide map").click()
    slide(page, "Show only above", 0.5)
    page.get_by_text("Other scan").click()
    playwright.expect(heading).to_have_text("Map of where the answer comes from (Score-CAM)")
    assert difference(canvas(page), blend(make_scan()[::-1], turned, 0.9, "Viridis")) < 1.5
    assert zoom(page) == pytest.approx(1)

    button(page, "Zoom in").click()
    page.get_by_text("Other key").click()
    page.wait_for_selector(".viewer:not([inert]) .stage:not(.zoomed)")
    playwright.expect(page.locator(".stage")).to_have_count(1)
    assert difference(canvas(page), blend(make_scan()[::-1], turned, 0.9, "Viridis")) < 1.5


def test_every_step_of_opacity_is_painted_at_once(page):
    # All in one task of the browser's: nothing else, and no frame, comes between a step and its picture.
    pictures = page.get_by_role("slider", name="Opacity").evaluate(
        """slider => {
            const canvas = slider.getRootNode().querySelector("canvas.layer");
            return Array.from({ length: 20 }, (_, step) => {
                slider.value = step / 20;
                slider.dispatchEvent(new Event("input"));
                return canvas.toDataURL();
            });
        }"""
    )
    assert len(set(pictures)) == 20


def test_another_scans_geometry_is_refused():
    with pytest.raises(ValueError, match="geometry"):
        viewer(make_scan().T, make_maps(), GEOMETRY, "glioma", name="a.png", key="a")


def test_the_browser_enhances_as_the_server_does(page, served):
    runs = (served[1] / "runs").read_text()
    button(page, "Hide map").click()
    page.get_by_role("switch", name="CLAHE").check()
    slide(page, "Clip limit of CLAHE", 4)
    assert gray_difference(page, clahe(make_scan(), 4)) < 0.01
    page.get_by_role("switch", name="Brightness").check()
    slide(page, "Change of brightness", -20)
    assert gray_difference(page, brightness(clahe(make_scan(), 4), -0.2)) < 0.01
    page.get_by_role("switch", name="CLAHE").uncheck()
    assert gray_difference(page, brightness(make_scan(), -0.2)) == 0
    assert gray_difference(page, make_scan()) > 10
    # Beside it stands the scan as it was uploaded.
    button(page, "Side by side").click()
    before = page.locator("canvas.copy")
    assert before.bounding_box()["x"] < page.locator("canvas.layer").bounding_box()["x"]
    assert (decoded(before) == make_scan()).all()
    page.wait_for_timeout(500)
    assert (served[1] / "runs").read_text() == runs


def test_divider_shows_the_enhanced_scan_beside_the_one_as_uploaded(page):
    button(page, "Hide map").click()
    button(page, "Compare").click()
    before = stage_row(page)
    page.get_by_role("switch", name="Brightness").check()
    slide(page, "Change of brightness", -20)
    # Left of the divider nothing changes; right of it what is not black is darker.
    after, middle = stage_row(page), len(before) // 2
    np.testing.assert_array_equal(after[: middle - 5], before[: middle - 5])
    bright = before[middle + 5 :] > 40
    assert bright.mean() > 0.2
    # A mark may lie there.
    assert (after[middle + 5 :][bright] < before[middle + 5 :][bright]).mean() > 0.95


def stage_row(page: playwright.Page) -> np.ndarray:
    """Grey levels above the divider's knob and below the tags."""
    shot = np.asarray(Image.open(io.BytesIO(page.locator(".stage").screenshot())).convert("L"))
    return shot[shot.shape[0] // 4].astype(int)


def gray_difference(page: playwright.Page, expected: np.ndarray) -> float:
    return float(np.abs(decoded(page.locator("canvas.layer")).astype(int) - expected).mean())


def decoded(canvas: playwright.Locator) -> np.ndarray:
    url = canvas.evaluate("canvas => canvas.toDataURL('image/png')")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB"))[..., 0]


@pytest.mark.parametrize("shape", [(64, 64), (260, 320), (129, 200), (200, 131)])
@pytest.mark.parametrize("limit", [1, 2, 8])
def test_the_browsers_clahe_is_opencvs(page, shape, limit):
    gray = np.random.default_rng(limit).normal(90, 40, shape).clip(0, 255).astype(np.uint8)
    script = (Path(__file__).parents[2] / "pages" / "viewer" / "pixels.js").read_text()
    made = page.evaluate(
        f"([gray, width, height, limit]) => {{ {script}; "
        "return [...equalise(Uint8Array.from(gray), width, height, limit)] }",
        [gray.ravel().tolist(), shape[1], shape[0], limit],
    )
    apart = np.abs(np.array(made).reshape(shape) - clahe(gray, limit).astype(int))
    # The server sums in another order, and a half may be rounded the other way.
    assert apart.max() <= 1
    assert apart.mean() < 0.01


@pytest.mark.parametrize("kind", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_the_browsers_window_is_brats(page, kind):
    values = np.linspace(-500, 3000, 4000, dtype=np.float32)
    window = Window(700, 900, function=kind)
    script = (Path(__file__).parents[2] / "pages" / "viewer" / "pixels.js").read_text()
    made = page.evaluate(
        f"([values, window]) => {{ {script}; return [...throughWindow(values, window)] }}",
        [values.tolist(), {"center": 700, "width": 900, "kind": kind, "inverted": False}],
    )
    assert np.abs(np.array(made) - window.apply(values).astype(int)).max() <= 1


def test_window_ruler_inversion_and_their_keys(page):
    x, y = middle_of_pixel(page, 160, 130)
    button(page, "Hide map").click()
    page.mouse.move(x, y)
    page.keyboard.press("i")
    assert gray_difference(page, 255 - make_scan()) == 0
    page.keyboard.press("0")
    assert gray_difference(page, make_scan()) == 0
    page.keyboard.press("w")
    page.mouse.down()
    page.mouse.move(x, y + 100, steps=3)
    page.mouse.up()
    # The level went up by as much as the picture got darker.
    assert decoded(page.locator("canvas.layer")).mean() < make_scan().mean() - 5
    assert "only shown so" in page.locator("[data-ui=state]").inner_text()
    page.keyboard.press("Escape")
    page.keyboard.press("0")
    page.keyboard.press("r")
    before = decoded(page.locator("canvas.marks"))
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 80, y, steps=3)
    page.mouse.up()
    assert (decoded(page.locator("canvas.marks")) != before).any()
    assert zoom(page) == pytest.approx(1)
    page.keyboard.press("?")
    assert page.get_by_text("Mouse, touch and keys").is_visible()


def test_window_and_inversion_do_not_pass_to_another_scan(page):
    x, y = middle_of_pixel(page, 160, 130)
    page.mouse.move(x, y)
    page.keyboard.press("i")
    page.keyboard.press("w")
    page.mouse.down()
    page.mouse.move(x, y + 100, steps=3)
    page.mouse.up()
    page.get_by_text("Other scan").click()
    playwright.expect(page.get_by_role("combobox", name="Map of")).to_have_value("no_tumor")
    button(page, "Hide map").click()
    assert gray_difference(page, make_scan()[::-1]) == 0
    playwright.expect(page.locator("[data-ui=state]")).to_have_text("")
    playwright.expect(button(page, "Invert")).to_have_attribute("aria-pressed", "false")


def test_values_behind_a_scan_reach_the_browser_whole():
    pixels = np.arange(-100, 1500, dtype=np.int16).reshape(40, 40)
    scan = Scan(
        pixels.astype(np.uint8),
        pixels,
        "a.dcm",
        "DICOM",
        "MR",
        "f" * 64,
        window=Window(500, 900),
        inverted=True,
    )
    sent = window_values(scan)
    stored = np.frombuffer(base64.b64decode(sent["data"]), "<u2")
    assert (sent["lowest"] + sent["step"] * stored == pixels.ravel()).all()
    assert (sent["center"], sent["width"], sent["inverted"]) == (500, 900, True)
    with np.errstate(invalid="raise"):
        even = window_values(dataclasses.replace(scan, pixels=np.full((40, 40), 0.5)))
    assert (even["lowest"], any(base64.b64decode(even["data"]))) == (0.5, False)
    # Of 8 bits there is no more than the picture shows.
    assert window_values(dataclasses.replace(scan, pixels=pixels.astype(np.uint8))) is None
    assert window_values(dataclasses.replace(scan, window=None)) is None
