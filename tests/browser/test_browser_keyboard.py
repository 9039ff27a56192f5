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
