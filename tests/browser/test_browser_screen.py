"""Review on one screen, and that nothing set in it is lost: a real server, a real browser."""

import re

import pytest

from brat.io.samples import load_samples
from tests.browser.settling import settle
from tests.factories.files import volume
from tests.factories.samples import KNOWN

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

ON_SCREEN = (".answer h2", ".bars", ".stage", "[data-ui=label]", "[data-ui=opacity]", "[data-ui=flip]")
ON_SCREEN += ("[data-ui=compare]", "[data-ui=beside]", "[data-ui=clahe]", "[data-ui=brightness]")
ON_SCREEN += ("[data-ui=read]",)
OF_SERIES = (".stHeading h2", "[data-ui=said]", "[data-ui=strip]", "[data-ui=note]", "[data-ui=slice]")
OF_SERIES += ("[data-ui=alone]", "[data-ui=aim]", *ON_SCREEN[2:-1])
SERIES = {"name": "head.nii", "mimeType": "", "buffer": volume()}


def opened(open_page, address, width=1440, height=900, file=KNOWN.file, answer=".answer h2"):
    page = open_page(address, width, height)
    page.locator("input[type=file]").first.set_input_files(file)
    playwright.expect(page.locator(answer)).to_be_visible()
    page.wait_for_selector(".viewer:not([inert])")
    settle(page)
    return page


def is_on_screen(page, selectors):
    for selector in selectors:
        box = page.locator(selector).bounding_box()
        assert min(box["x"], box["y"]) >= 0, selector
        assert box["x"] + box["width"] <= page.viewport_size["width"], selector
        assert box["y"] + box["height"] <= page.viewport_size["height"], selector


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1280, 720)])
def test_review_fits_one_screen(open_page, address, width, height):
    page = opened(open_page, address, width, height)
    is_on_screen(page, ON_SCREEN)
    # The picture is most of the height.
    assert page.locator(".stage").bounding_box()["height"] > 0.6 * height
    assert page.get_by_test_id("stFileUploader").bounding_box()["height"] < 60


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1280, 720)])
def test_a_scan_of_the_list_fits_one_screen(open_page, address, width, height):
    page = open_page(address, width, height)
    names = ("glioma-coronal", "meningioma-sagittal")
    files = [
        {"name": f"{'long-' * 20}{sample.file.name}", "mimeType": "", "buffer": sample.file.read_bytes()}
        for sample in load_samples()
        if sample.name in names
    ]
    page.locator("input[type=file]").first.set_input_files(files)
    playwright.expect(page.get_by_text("2 of 2 shown.")).to_be_visible()
    page.get_by_role("button", name="Review from the top").click()
    playwright.expect(page.locator(".st-key-walk")).to_contain_text("1 of 2")
    page.wait_for_selector(".viewer:not([inert])")
    settle(page)
    is_on_screen(page, (".st-key-walk", *ON_SCREEN))
    # The place in the list is in one line and not covered; the name is cut short, and said when asked.
    place, name = page.locator(".st-key-walk p").last, page.locator(".st-key-file p code")
    (written, beside), line = (place.bounding_box(), name.bounding_box()), name.locator("xpath=..")
    assert written["height"] < 30
    assert written["x"] + written["width"] <= beside["x"]
    assert place.evaluate("place => place.scrollWidth <= place.clientWidth")
    assert beside["height"] < 30
    assert name.evaluate("name => name.scrollWidth > name.clientWidth")
    # What follows it is whole.
    assert line.evaluate("line => line.scrollWidth <= line.clientWidth")
    name.hover()
    assert name.get_attribute("title").startswith("long-" * 20)
    assert name.get_attribute("title").endswith(".jpg")


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1280, 720)])
def test_a_series_fits_one_screen(open_page, address, width, height):
    page = opened(open_page, address, width, height, SERIES, ".stHeading h2")
    is_on_screen(page, OF_SERIES)
    # What is over and under it takes as much of a low window as of a high one.
    assert page.locator(".stage").bounding_box()["height"] > height - 465


def test_answer_and_picture_begin_on_a_phones_first_screen(open_page, address):
    page = opened(open_page, address, 390, 844)
    answer, picture = (page.locator(one).bounding_box()["y"] for one in (".answer h2", ".stage"))
    assert answer < picture < 844 - 100
    above = page.get_by_text("Not a medical device, not for diagnosis").bounding_box()
    # Nothing empty between the two.
    assert picture - (above["y"] + above["height"]) < 40


def test_a_series_begins_on_a_phones_first_screen(open_page, address):
    page = opened(open_page, address, 390, 844, SERIES, ".stHeading h2")
    places = [page.locator(one).bounding_box()["y"] for one in (".stHeading h2", "[data-ui=said]", ".stage")]
    assert places == sorted(places)
    assert places[-1] < 844 / 2 + 50


def test_a_file_that_is_dropped_anywhere_is_read(open_page, address):
    page = opened(open_page, address)
    files = page.evaluate_handle(
        """bytes => {
            const files = new DataTransfer();
            files.items.add(new File([Uint8Array.from(bytes)], "dropped.png", { type: "image/png" }));
            return files;
        }""",
        [*load_samples()[0].file.read_bytes()],
    )
    page.dispatch_event(".stage", "dragenter", {"dataTransfer": files})
    # Where the file hangs over the page now, there is the place that takes it.
    zone = page.get_by_test_id("stFileUploaderDropzone")
    playwright.expect(zone).to_have_css("position", "fixed")
    box = zone.bounding_box()
    assert (box["width"], box["height"]) == (1440, 900)
    zone.dispatch_event("drop", {"dataTransfer": files})
    playwright.expect(page.get_by_text("dropped.png ·")).to_be_visible()
    playwright.expect(zone.first).not_to_have_css("position", "fixed")


def test_keys_give_the_verdict_and_an_unsaved_one_is_asked_about(open_page, address):
    page = opened(open_page, address)
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.mouse.click(5, 400)
    for key, name in {"a": "Agree", "d": "Disagree", "u": "Unsure"}.items():
        page.keyboard.press(key)
        verdict = page.locator("[class*='st-key-verdict-']").get_by_role("radio", name=name, exact=True)
        playwright.expect(verdict).to_have_attribute("aria-checked", "true")
        settle(page)
    # In a text they are letters.
    note = page.get_by_label("Note")
    note.press_sequentially("add")
    settle(page)
    playwright.expect(verdict).to_have_attribute("aria-checked", "true")
    playwright.expect(note).to_have_value("add")
    page.reload()
    playwright.expect(page.get_by_label("Note")).to_have_value("add")
    assert asked == ["beforeunload"]


def test_a_key_that_is_held_down_does_not_take_its_verdict_back(open_page, address):
    page = opened(open_page, address)
    page.mouse.click(5, 400)
    # The second is what the keyboard repeats.
    page.keyboard.down("a")
    settle(page)
    page.keyboard.down("a")
    settle(page)
    page.keyboard.up("a")
    verdict = page.locator("[class*='st-key-verdict-']").get_by_role("radio", name="Agree", exact=True)
    playwright.expect(verdict).to_have_attribute("aria-checked", "true")


def test_a_verdict_by_key_waits_until_the_page_is_drawn(open_page, address):
    page = opened(open_page, address)
    page.mouse.click(5, 400)
    app = page.get_by_test_id("stApp")
    app.evaluate("app => { app.dataset.testScriptState = 'running'; }")
    page.keyboard.press("d")
    page.wait_for_timeout(500)
    verdict = page.locator("[class*='st-key-verdict-']").get_by_role("radio", name="Disagree")
    playwright.expect(verdict).to_have_attribute("aria-checked", "false")
    app.evaluate("app => { app.dataset.testScriptState = 'notRunning'; }")
    playwright.expect(verdict).to_have_attribute("aria-checked", "true")


def test_a_bar_that_is_pointed_at_or_in_focus_says_its_value(open_page, address):
    page = opened(open_page, address)
    shows = "bar => { const {visibility, content} = getComputedStyle(bar, '::after');"
    shows += " return visibility === 'visible' && content; }"
    bars = page.locator(".bars .bar")
    for bar in bars.all():
        value = bar.get_attribute("aria-label")
        assert re.fullmatch(r"[\w ]+, as uploaded: \d+\.\d %", value)
        bar.hover()
        assert bar.evaluate(shows) == f'"{value}"'
        page.mouse.move(5, 5)
        assert not bar.evaluate(shows)
        bar.focus()
        assert bar.evaluate(shows) == f'"{value}"'
        bar.blur()
    assert bars.count() == 4


def test_steps_in_quick_succession_leave_the_enhanced_scan_read(open_page, address):
    page = opened(open_page, address)
    page.get_by_role("switch", name="CLAHE").check()
    page.get_by_role("switch", name="Read enhanced").check()
    playwright.expect(page.get_by_text("Reading of the enhanced scan")).to_be_visible()
    slider = page.get_by_role("slider", name="Clip limit of CLAHE")
    slider.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(200)
    settle(page)
    assert page.get_by_role("switch", name="Read enhanced").is_checked()
    assert slider.input_value() == "4"
    playwright.expect(page.get_by_text("Reading of the enhanced scan")).to_be_visible()


def test_a_trip_to_another_page_loses_nothing(open_page, address):
    page = opened(open_page, address)
    page.get_by_role("switch", name="CLAHE").check()
    page.get_by_role("switch", name="Read enhanced").check()
    page.locator(".st-key-level").get_by_text("99 %").click()
    page.mouse.click(5, 400)
    page.keyboard.press("u")
    page.get_by_label("Note").fill("dural tail")
    # At once: neither the pause after typing nor an answer of the server lies between.
    page.get_by_role("link", name="Model").evaluate("link => link.click()")
    playwright.expect(page.get_by_role("heading", name="How good is the model?")).to_be_visible()
    page.get_by_role("link", name="Review").click()
    playwright.expect(page.get_by_text("Reading of the enhanced scan")).to_be_visible()
    page.wait_for_selector(".viewer:not([inert])")
    settle(page)
    assert page.get_by_label("Note").input_value() == "dural tail"
    verdict = page.locator("[class*='st-key-verdict-']").get_by_role("radio", name="Unsure")
    assert verdict.get_attribute("aria-checked") == "true"
    assert (
        page.locator(".st-key-level").get_by_role("radio", name="99 %").get_attribute("aria-checked")
        == "true"
    )
    for name in ("CLAHE", "Read enhanced"):
        assert page.get_by_role("switch", name=name).is_checked()


def test_the_browsers_back_leads_from_a_slice_to_its_series(open_page, address):
    page, sent = open_page("about:blank"), []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame)))
    page.goto(address)
    page.locator("input[type=file]").first.set_input_files(SERIES)
    where = page.locator("[data-ui=where]")
    playwright.expect(where).to_have_text("Slice 3 of 6")
    alone, back = (
        page.get_by_role("button", name=name) for name in ("Read this slice alone", "Back to the series")
    )
    alone.click()
    playwright.expect(page.locator(".answer h2")).to_be_visible()
    settle(page)
    sent.clear()
    page.go_back()
    playwright.expect(where).to_have_text("Slice 3 of 6")
    assert page.url.startswith(address)
    settle(page)
    # Of two runs at once the browser may lose what the second one sends.
    assert len(sent) == 1
    # The button of the page leads as far back.
    alone.click()
    back.click()
    playwright.expect(where).to_have_text("Slice 3 of 6")
    settle(page)
    assert not page.evaluate("history.state?.isAlone")


@pytest.mark.parametrize("width", [1280, 390], ids=["desk", "phone"])
def test_what_is_opened_is_shown_from_its_top(open_page, address, width):
    page = opened(open_page, address, width, 720)
    main = page.get_by_test_id("stMain")

    def scroll_down() -> int:
        main.evaluate("main => main.scrollTo(0, 600)")
        return main.evaluate("main => main.scrollTop")

    assert scroll_down() > 100
    # The same scan stays where it was.
    page.get_by_role("switch", name="CLAHE").check()
    page.get_by_role("switch", name="Read enhanced").check()
    playwright.expect(page.get_by_text("Reading of the enhanced scan")).to_be_attached()
    settle(page)
    assert main.evaluate("main => main.scrollTop") > 100
    files = [
        ("other.png", load_samples()[0].file.read_bytes()),
        ("damaged.png", b"not a scan"),
        ("head.nii", volume()),
    ]
    for name, data in files:
        scroll_down()
        page.locator("input[type=file]").first.set_input_files({"name": name, "mimeType": "", "buffer": data})
        playwright.expect(page.get_by_test_id("stMain")).to_contain_text(name)
        settle(page)
        assert main.evaluate("main => main.scrollTop") == 0, name


@pytest.mark.parametrize("has_touch", [True, False])
def test_nobody_is_told_to_point_where_nothing_can(open_page, address, has_touch):
    page = open_page(address, 390, 844, has_touch=has_touch, is_mobile=has_touch)
    page.locator("input[type=file]").first.set_input_files(KNOWN.file)
    page.wait_for_selector(".viewer:not([inert])")
    said = "" if has_touch else "Point at the picture to read its values."
    readout = page.locator("[data-ui=readout]")
    playwright.expect(readout).to_have_text(said)
    # In the middle of the lower edge may stand a side of the patient.
    stage, box = page.locator(".stage").bounding_box(), readout.bounding_box()
    assert box["x"] + box["width"] < stage["x"] + stage["width"] / 2 - 12


def test_what_is_said_of_the_enhancement_leaves_most_of_a_phones_picture_free(open_page, address):
    page = opened(open_page, address, 390, 844)
    for name in ("CLAHE", "Brightness"):
        page.get_by_role("switch", name=name).check()
    state = page.locator("[data-ui=state]")
    playwright.expect(state).to_have_text(re.compile(r"CLAHE 2 · \+15 % · only shown so; read as it is"))
    # Two lines.
    assert state.bounding_box()["height"] < 45
