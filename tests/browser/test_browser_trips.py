"""What is set on a page stands again after a look at another one, and after a reload."""

import pytest

from tests.browser.settling import settle
from tests.factories.files import volume
from tests.factories.samples import known_dicom

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


def state_of(page) -> dict:
    """All that the picture's controls show."""
    page.wait_for_selector(".viewer:not([inert])")
    settle(page)
    stage = page.locator(".stage")
    return {
        "controls": page.locator(".viewer").evaluate(
            """viewer => [...viewer.querySelectorAll("[data-ui]")]
                .filter(node => node.matches("input, select, button"))
                .map(node => [node.dataset.ui, node.checked ?? node.value, node.value, node.ariaPressed])"""
        ),
        "place": stage.get_attribute("style"),
        "look": stage.get_attribute("class"),
        "state": page.locator("[data-ui=state]").inner_text(),
        "heading": page.locator("[data-ui=heading]").inner_text(),
        "picture": page.locator("canvas.layer").evaluate("canvas => canvas.toDataURL()"),
    }


def there_and_back(page, name: str = "Review") -> None:
    page.get_by_role("link", name="Model", exact=True).click()
    playwright.expect(page.get_by_role("tab", name="Robustness")).to_be_visible()
    page.get_by_role("link", name=name, exact=True).click()


@pytest.mark.parametrize("name", ["scan.dcm", "head.nii"])
def test_the_picture_stands_as_it_was_left(open_page, address, name):
    page = open_page(address)
    page.on("dialog", lambda dialog: dialog.accept())
    data = known_dicom() if name == "scan.dcm" else volume()
    page.locator("input[type=file]").first.set_input_files(
        {"name": name, "mimeType": "application/octet-stream", "buffer": data}
    )
    page.wait_for_selector(".viewer:not([inert])")
    settle(page)
    fresh = state_of(page)
    stage = page.locator(".stage")
    stage.focus()
    # The class, map off, outline off, divider, zoom, place, inversion, opacity, threshold, window.
    for key in ("ArrowDown", "1", "m", "o", "v", "+", "+", "ArrowRight", "i", ",", ",", ">", "w"):
        page.keyboard.press(key)
    box = stage.bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 160, box["y"] + 130, steps=3)
    page.mouse.up()
    set_ = state_of(page)
    assert all(set_[part] != fresh[part] for part in fresh)
    there_and_back(page)
    assert state_of(page) == set_
    page.reload()
    assert state_of(page) == set_
