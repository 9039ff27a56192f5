"""Review by keyboard: everything is reached, in the order in which it is read, and seen when it is."""

import pytest

from tests.browser.settling import settle
from tests.factories.samples import known_dicom

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

ORDER = (
    *("Review", "Worklist", "History", "Model", "About"),
    *("Window", "Upload", "Samples", "Glioma, as uploaded", "No tumour, as uploaded", "95 %"),
    *(
        "Picture",
        "Zoom in",
        "Zoom out",
        "Window",
        "Invert",
        "Ruler",
        "Reset",
        "Full screen",
        "Keys and gestures",
    ),
    *("Map of", "Hide map", "Outline", "Compare", "Side by side", "Opacity", "CLAHE", "Brightness"),
    *("Show only above", "Colours", "Save picture", "Grad-CAM"),
    *("Agree", "Report (PDF)", "Report (DICOM SR)", "Does a small change"),
)

# The element in focus, through shadow roots, and by what a screen reader would call it.
_FOCUSED = """() => {
  let node = document.activeElement;
  while (node.shadowRoot?.activeElement) node = node.shadowRoot.activeElement;
  if (node === document.body) return null;
  const label = node.labels?.[0]?.innerText ?? "";
  const group = node.closest("[role=radiogroup], [data-testid=stButtonGroup]")?.innerText ?? "";
  const box = (node.matches("input") ? node.closest("label") ?? node : node).getBoundingClientRect();
  return {
    names: [node.ariaLabel, label, node.innerText, group].filter(Boolean).join(" "),
    clip: {x: box.x - 6, y: box.y - 6, width: box.width + 12, height: box.height + 12},
  };
}"""


# Name and keys of each control of the picture.
_KEYS = """viewer => [...viewer.querySelectorAll("button, input, select")]
    .filter(node => !node.closest(".keys"))
    .map(node => [node.dataset.ui, node.getAttribute("aria-keyshortcuts")?.split(" ") ?? []])"""


def test_every_control_of_the_picture_has_a_key_of_its_own_that_is_listed(open_page, address):
    page = open_page(address)
    scan = {"name": "scan.dcm", "mimeType": "application/dicom", "buffer": known_dicom()}
    page.locator("input[type=file]").first.set_input_files(scan)
    page.wait_for_selector(".viewer:not([inert])")
    settle(page)
    viewer = page.locator(".viewer")
    keys = dict(viewer.evaluate(_KEYS))
    assert all(keys.values()), [name for name, own in keys.items() if not own]
    every = [key for own in keys.values() for key in own]
    assert len(set(every)) == len(every)
    listed = set(viewer.locator(".keys kbd").all_text_contents())
    arrows = {"ArrowUp": "↑", "ArrowDown": "↓", "PageUp": "Page", "PageDown": "Page"}
    assert {arrows.get(key, key) for key in every} <= listed
    # And each does what its control does.
    changes = """viewer => JSON.stringify(
        [...viewer.querySelectorAll("input, select, button, .stage, .state")]
        .map(node => [node.value, node.checked, node.ariaPressed, node.className, node.getAttribute("style"),
                      node.textContent]))"""
    page.locator(".stage").focus()
    not_here = {"slice", "alone", "aim", "anyway"}
    elsewhere = {"full", "save", "help", "reset", "read"}
    for name, own in keys.items():
        for key in own if name not in not_here | elsewhere else ():
            before = viewer.evaluate(changes)
            page.keyboard.press(key)
            # To the class that is chosen already there is no way.
            assert viewer.evaluate(changes) != before or name == "label", key
    page.keyboard.press("t")
    playwright.expect(page.get_by_text("Reading of the enhanced scan")).to_be_visible()
    settle(page)
    page.locator(".stage").focus()
    with page.expect_download():
        page.keyboard.press("x")
    page.keyboard.press("?")
    playwright.expect(viewer.locator(".keys")).to_be_visible()


def test_the_pages_own_controls_have_keys_too(open_page, address):
    page = open_page(address)
    scan = {"name": "scan.dcm", "mimeType": "application/dicom", "buffer": known_dicom()}
    page.locator("input[type=file]").first.set_input_files(scan)
    page.wait_for_selector(".viewer:not([inert])")
    settle(page)
    page.keyboard.press("?")
    playwright.expect(page.locator(".viewer .keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Shift+C")
    playwright.expect(page.locator(".st-key-level").get_by_role("radio", name="99 %")).to_be_checked()
    settle(page)
    page.keyboard.press("Shift+T")
    playwright.expect(page.locator("[class*='st-key-stability-'] input")).to_be_checked()
    settle(page)
    page.keyboard.press("d")
    playwright.expect(page.get_by_label("Note")).to_be_visible()
    settle(page)
    page.keyboard.press("Shift+N")
    playwright.expect(page.get_by_label("Note")).to_be_focused()
    # What is typed is no command.
    page.keyboard.type("Cystic")
    playwright.expect(page.get_by_label("Note")).to_have_value("Cystic")
    playwright.expect(page.locator(".st-key-level").get_by_role("radio", name="99 %")).to_be_checked()
    page.mouse.click(5, 500)
    settle(page)
    with page.expect_download():
        page.keyboard.press("Shift+P")
    page.keyboard.press("Shift+W")
    playwright.expect(page.get_by_text("Presets")).to_be_visible()
    page.keyboard.press("Escape")
    settle(page)
    page.keyboard.press("Shift+S")
    playwright.expect(page.get_by_role("button", name="Meningioma").first).to_be_visible()
    page.keyboard.press("Escape")
    settle(page)
    with page.expect_file_chooser():
        page.keyboard.press("Shift+O")


def test_every_control_is_reached_in_the_order_of_reading_and_seen(open_page, address):
    page = open_page(address, height=2400)
    scan = {"name": "scan.dcm", "mimeType": "application/dicom", "buffer": known_dicom()}
    page.locator("input[type=file]").first.set_input_files(scan)
    playwright.expect(page.locator(".answer h2")).to_be_visible()
    playwright.expect(page.locator("canvas.layer")).to_be_visible()
    settle(page)
    reached, unseen = [], []
    for _ in range(90):
        page.keyboard.press("Tab")
        focused = page.evaluate(_FOCUSED)
        if focused is None:
            break
        reached.append(focused["names"])
        # The help that a mark offers, and the page itself, which can be scrolled.
        if "Help for" in focused["names"] or focused["clip"]["height"] > 2000:
            continue
        settle(page, quiet=100)
        clip = {**focused["clip"], "x": max(focused["clip"]["x"], 0), "y": max(focused["clip"]["y"], 0)}
        with_focus = page.screenshot(clip=clip)
        held = page.evaluate_handle(
            "() => {let n = document.activeElement;"
            "while (n.shadowRoot?.activeElement) n = n.shadowRoot.activeElement; n.blur(); return n}"
        )
        settle(page, quiet=100)
        if page.screenshot(clip=clip) == with_focus:
            unseen.append(focused["names"])
        # Back to where it was, as by the keyboard.
        held.evaluate("node => node.focus({focusVisible: true})")
    places = []
    for name in ORDER:
        start = places[-1] + 1 if places else 0
        found = [at for at in range(start, len(reached)) if name in reached[at]]
        assert found, f"{name} is not reached after {ORDER[max(len(places) - 1, 0)]}: {reached}"
        places.append(found[0])
    assert not unseen
