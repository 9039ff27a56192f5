"""A series as a person scrolls through it: a real server, a real browser."""

import io
import re

import numpy as np
import pydicom
import pytest

from brat.classes import CLASS_NAMES
from brat.io.read import read_scan
from brat.io.scan import Window
from tests.browser.settling import settle
from tests.browser.test_browser_tools import drag, is_unmarked, painted
from tests.factories.files import slice_of, volume, zipped
from tests.factories.samples import known_label, known_series

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


@pytest.fixture(params=[1440, 390], ids=["desk", "phone"])
def page(open_page, address, request):
    opened = open_page("about:blank", request.param)
    opened.sent = []
    opened.on("websocket", lambda socket: socket.on("framesent", lambda frame: opened.sent.append(frame)))
    opened.goto(address)
    drop(opened, "head.nii", volume())
    return opened


def drop(page, name: str, data: bytes) -> None:
    file = {"name": name, "mimeType": "application/octet-stream", "buffer": data}
    page.locator("input[type=file]").first.set_input_files(file)


def is_at(page, number: int, count: int = 6) -> None:
    playwright.expect(page.locator("[data-ui=where]")).to_have_text(f"Slice {number} of {count}")


def picture(page) -> str:
    return page.locator("canvas.layer").evaluate("canvas => canvas.toDataURL()")


def narrow(data: bytes, number: int) -> bytes:
    """A slice whose window shows a part of its values, and one of whose values is its number."""
    source = pydicom.dcmread(io.BytesIO(data))
    source.WindowCenter, source.WindowWidth = 1200, 800
    values = np.frombuffer(source.PixelData, "<u2").copy()
    values[:2000] = 100 * number
    source.PixelData = values.tobytes()
    written = io.BytesIO()
    source.save_as(written)
    return written.getvalue()


def hidden(pixels: np.ndarray) -> tuple[int, int]:
    """Column and row of the lowest value, which the window of `narrow` shows as black as many others."""
    row, column = np.unravel_index(pixels.argmin(), pixels.shape)
    return int(column), int(row)


def middle(locator) -> tuple[float, float]:
    locator.scroll_into_view_if_needed()
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_through_a_stack_without_a_trip_to_the_server(page):
    name = CLASS_NAMES[known_label()]
    # It opens where the eye should go first.
    is_at(page, 3)
    playwright.expect(page.locator("[data-ui=said]")).to_contain_text(name)
    page.wait_for_timeout(500)
    sent, head = len(page.sent), picture(page)

    stage = page.locator(".stage")
    stage.hover()
    # While the page itself scrolls, a wheel turns no slices.
    page.wait_for_timeout(400)
    for number in (4, 5, 6):
        page.mouse.wheel(0, 100)
        is_at(page, number)
    playwright.expect(page.locator("[data-ui=said]")).to_have_text("Not read")
    playwright.expect(page.locator("[data-ui=doubt]")).to_contain_text("nothing in this slice")
    assert picture(page) != head
    stage.focus()
    page.keyboard.press("Home")
    is_at(page, 1)
    page.keyboard.press("ArrowDown")
    is_at(page, 2)
    playwright.expect(page.locator("[data-ui=said]")).to_contain_text("Not a slice the model knows")
    page.keyboard.press("PageDown")
    is_at(page, 6)
    slider = page.get_by_role("slider", name="Slice")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    is_at(page, 5)
    assert "Slice 5 of 6" in slider.get_attribute("aria-valuetext")
    strip = page.locator("[data-ui=strip]")
    box = strip.bounding_box()
    strip.click(position={"x": box["width"] * 2.5 / 6, "y": box["height"] / 2})
    is_at(page, 3)
    page.wait_for_timeout(200)
    assert picture(page) == head
    page.mouse.move(*middle(strip))
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 5.5 / 6, box["y"] + 5, steps=4)
    page.mouse.up()
    is_at(page, 6)
    stage.focus()
    page.keyboard.press("s")
    is_at(page, 3)
    page.keyboard.press("ArrowUp")
    is_at(page, 2)
    page.get_by_role("button", name="Most suspicious: slice 3").click()
    is_at(page, 3)

    # A class, opacity and threshold that were chosen go with the reader through the stack.
    page.get_by_role("combobox", name="Map of").select_option("glioma")
    page.get_by_role("slider", name="Show only above").fill("0.4")
    page.keyboard.press("Escape")
    for key, number in (("ArrowDown", 4), ("Home", 1), ("ArrowDown", 2), ("ArrowDown", 3)):
        stage.focus()
        page.keyboard.press(key)
        is_at(page, number)
    assert page.get_by_role("combobox", name="Map of").input_value() == "glioma"
    assert page.get_by_role("slider", name="Show only above").input_value() == "0.4"

    # Ctrl and the wheel, or a pinch, zoom instead.
    page.keyboard.down("Control")
    stage.hover()
    page.mouse.wheel(0, -100)
    page.keyboard.up("Control")
    is_at(page, 3)
    assert stage.evaluate("node => node.classList.contains('zoomed')")

    assert len(page.sent) == sent
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_slices_pass_by_without_a_trip_to_the_server_and_nothing_moves(page):
    is_at(page, 3)
    page.wait_for_timeout(500)
    sent = len(page.sent)
    tops = page.locator(".viewer").evaluate(
        """async viewer => {
            const [slider, canvas, ...places] =
                ["[data-ui=slice]", "canvas.layer", ".stage", ".strip", "[data-ui=flip]", "[data-ui=save]"]
                .map(selector => viewer.querySelector(selector));
            const top = viewer.getBoundingClientRect().top;
            const tops = new Set();
            // Once more, when every slice has been unpacked.
            for (let round = 0; round < 2; round++) {
                for (let index = 0; index <= Number(slider.max); index++) {
                    const start = performance.now();
                    slider.value = index;
                    slider.dispatchEvent(new Event("input"));
                    // Its name changes once it is painted.
                    while (!canvas.ariaLabel.includes(`axial ${index + 1} of`)) {
                        if (performance.now() - start > 30_000) throw new Error(canvas.ariaLabel);
                        await new Promise(resolve => setTimeout(resolve));
                    }
                    tops.add(places.map(place => place.getBoundingClientRect().top - top).join(" "));
                }
            }
            return [...tops];
        }"""
    )
    assert len(tops) == 1
    page.wait_for_timeout(500)
    assert len(page.sent) == sent


def test_what_keys_do_has_more_room_than_their_names(page):
    is_at(page, 3)
    page.locator(".stage").focus()
    page.keyboard.press("?")
    playwright.expect(page.locator(".keys")).to_be_visible()
    # Of each list; what is of a scan alone is hidden.
    shares = page.locator(".keys dl").evaluate_all(
        """all => all.map(list =>
            Math.max(...[...list.querySelectorAll("dd")].map(one => one.clientWidth)) / list.clientWidth)"""
    )
    assert min(shares) > 0.5, shares


def test_a_finger_on_the_strip_turns_slices(page):
    is_at(page, 3)
    strip = page.locator("[data-ui=strip]")
    strip.scroll_into_view_if_needed()
    box = strip.bounding_box()
    touch = page.context.new_cdp_session(page)
    for kind, share in (("touchStart", 0.4), ("touchMove", 0.6), ("touchMove", 0.9)):
        point = {"x": box["x"] + share * box["width"], "y": box["y"] + 20}
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    is_at(page, 6)


def test_a_saved_picture_is_named_after_its_slice(page):
    is_at(page, 3)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save picture").click()
    name = download.value.suggested_filename
    assert name.startswith("head.nii, axial 3 of 6-")
    assert name.endswith(".png")


def test_a_slice_alone_and_back(page):
    is_at(page, 3)
    page.get_by_role("button", name="Read this slice alone").click()
    playwright.expect(page.locator(".answer h2")).to_contain_text(CLASS_NAMES[known_label()])
    playwright.expect(page.get_by_text("head.nii, axial 3 of 6").first).to_be_visible()
    playwright.expect(page.get_by_role("button", name="Report (PDF)")).to_be_visible()
    page.get_by_role("button", name="Back to the series").click()
    is_at(page, 3)


def test_one_comes_back_to_the_slice_and_the_view(page):
    is_at(page, 3)
    drop(page, "thick.nii", volume(apart=20, shrink=4))
    page.get_by_text("Sagittal").click()
    playwright.expect(page.locator("[data-ui=where]")).not_to_contain_text("of 6")
    stage = page.locator(".stage")
    stage.focus()
    page.keyboard.press("Home")
    page.keyboard.press("PageDown")
    where = page.locator("[data-ui=where]").inner_text()
    assert where.startswith("Slice 11 of")
    page.get_by_role("button", name="Read this slice alone").click()
    playwright.expect(page.get_by_text("thick.nii, sagittal 11 of").first).to_be_visible()
    page.get_by_role("button", name="Back to the series").click()
    playwright.expect(page.locator("[data-ui=where]")).to_have_text(where)


def test_slices_in_an_archive_are_put_in_order(page):
    is_at(page, 3)
    drop(page, "study.zip", zipped({f"a/{9 - n}": slice_of(n) for n in range(5)}))
    playwright.expect(page.get_by_text("study.zip/a").first).to_be_visible()
    playwright.expect(page.locator("[data-ui=where]")).to_contain_text("of 5")
    playwright.expect(page.get_by_test_id("stException")).to_have_count(0)


def test_a_window_by_drag_is_of_the_files_values_and_of_the_slice_on_display_alone(page):
    is_at(page, 3)
    # The file's window shows the middle of the values alone: its 8 bits do not hold the others.
    slices = [narrow(data, number) for number, data in enumerate(known_series())]
    drop(page, "study.zip", zipped({f"{n}.dcm": data for n, data in enumerate(slices)}))
    playwright.expect(page.locator("[data-ui=where]")).to_contain_text("of 4")
    settle(page)
    sent = len(page.sent)
    stage = page.locator(".stage")
    stage.focus()
    page.keyboard.press("Home")
    page.keyboard.press("m")
    page.keyboard.press("w")
    drag(page, 60, -40)
    state = page.locator("[data-ui=state]")
    playwright.expect(state).to_contain_text("shown with level")
    center, width = (float(one) for one in re.findall(r"[\d.]+", state.inner_text())[:2])
    assert (center, width) != (1200, 800)

    def is_of_values(number: int) -> None:
        pixels = read_scan(slices[number]).pixels.astype(np.float32)
        expected = Window(center, width).apply(pixels).astype(int)
        page.wait_for_function(
            """([x, y, level]) => {
                const canvas = [...document.querySelectorAll("*")].map(node => node.shadowRoot)
                    .filter(Boolean).map(root => root.querySelector("canvas.layer")).find(Boolean)
                    ?? document.querySelector("canvas.layer");
                return Math.abs(canvas.getContext("2d").getImageData(x, y, 1, 1).data[0] - level) < 3;
            }""",
            arg=[*hidden(pixels), int(expected[hidden(pixels)[::-1]])],
        )
        assert np.abs(painted(page)[..., 0].astype(int) - expected).mean() < 1

    is_of_values(0)
    asked = len(page.sent) - sent
    assert asked == 1
    # The window goes with the reader, and so do values: one trip for each slice that is looked at.
    page.keyboard.press("ArrowDown")
    is_at(page, 2, 4)
    is_of_values(1)
    assert len(page.sent) - sent == 2
    page.keyboard.press("0")
    playwright.expect(state).to_have_text("")


def test_a_refused_slice_gives_its_reading_where_it_is_asked_for(page):
    is_at(page, 3)
    page.locator(".stage").focus()
    switch = page.get_by_role("switch", name="Show the reading all the same")
    # A slice that was let through has nothing to ask for.
    assert not switch.is_visible()
    page.keyboard.press("ArrowUp")
    is_at(page, 2)
    said, heading = page.locator("[data-ui=said]"), page.locator("[data-ui=heading]")
    playwright.expect(said).to_have_text("Not a slice the model knows")
    playwright.expect(heading).to_contain_text("No map")
    switch.check()
    playwright.expect(said).to_contain_text("read all the same")
    # As in a single scan its map stands off until it is asked for, too.
    playwright.expect(heading).to_contain_text("Unmarked; M shows")
    assert is_unmarked(page)
    page.locator(".stage").focus()
    page.keyboard.press("m")
    playwright.expect(heading).to_contain_text("Map of what speaks for")
    page.keyboard.press("z")
    playwright.expect(said).to_have_text("Not a slice the model knows")
    assert is_unmarked(page)
