"""A series as a person scrolls through it: a real server, a real browser."""

import pytest

from brat.classes import CLASS_NAMES
from tests.factories.files import slice_of, volume, zipped
from tests.factories.samples import known_label

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
