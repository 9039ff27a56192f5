"""The samples, and that they go when something is opened: a real server, a real browser."""

import gzip

import nibabel
import numpy as np
import pytest

from brat.io.samples import load_sample_series, load_samples
from tests.browser.settling import settle
from tests.factories.files import volume

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


def large_volume() -> bytes:
    """A volume that takes a while to open, even on a fast computer."""
    values = np.random.default_rng(0).integers(0, 4000, (240, 240, 64), np.int16)
    return gzip.compress(nibabel.Nifti1Image(values, np.eye(4)).to_bytes(), 1)


@pytest.mark.parametrize("width", [1440, 390], ids=["desk", "phone"])
def test_the_gallery_shows_every_sample_and_opens_each(open_page, address, width):
    page = open_page(address, width)
    gallery = page.locator(".st-key-welcome")
    samples = [*load_samples(), *load_sample_series()]
    for sample in samples:
        playwright.expect(gallery.get_by_role("button", name=sample.title, exact=True)).to_be_visible()
    settle(page)
    pictures = gallery.locator("img")
    assert pictures.count() == len(samples)
    assert pictures.evaluate_all("all => all.every(one => one.complete && one.naturalWidth > 0)")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    # The series among them opens with its strip.
    series = load_sample_series()[0]
    gallery.get_by_role("button", name=series.title, exact=True).click()
    playwright.expect(page.locator("[data-ui=strip]")).to_be_visible()
    playwright.expect(page.locator("[data-ui=where]")).to_contain_text("of ")
    playwright.expect(gallery).to_have_count(0)


def test_a_sample_that_is_chosen_beside_a_scan_is_not_covered_by_the_others(open_page, address):
    page = open_page(address)
    first, *_ = load_samples()
    series = load_sample_series()[0]
    page.locator(".st-key-welcome").get_by_role("button", name=first.title, exact=True).click()
    playwright.expect(page.locator(".answer h2")).to_be_visible()
    settle(page)
    page.get_by_test_id("stPopover").filter(has_text="Samples").get_by_role("button").click()
    page.locator(".st-key-samples").get_by_role("button", name=series.title, exact=True).click()
    playwright.expect(page.locator("[data-ui=where]")).to_be_visible()
    playwright.expect(page.locator(".st-key-samples")).to_have_count(0)


def test_the_gallery_does_not_stay_while_a_volume_is_opened_and_read(open_page, address):
    page = open_page(address)
    playwright.expect(page.locator(".st-key-welcome")).to_be_visible()
    settle(page)
    file = {"name": "large.nii.gz", "mimeType": "", "buffer": large_volume()}
    page.locator("input[type=file]").first.set_input_files(file)
    playwright.expect(page.locator(".st-key-welcome")).to_have_count(0, timeout=10_000)
    playwright.expect(page.get_by_text("large.nii.gz ·")).to_be_visible(timeout=120_000)


# Notes each frame in which the new name stands above an answer that is not of it.
WATCH = """([name, answer]) => {
    window.mixed = 0;
    window.named = 0;
    const look = () => {
        // Beside it the place for files names what is on its way.
        const isNamed = document.querySelector(".st-key-file p code")?.textContent === name;
        const before = [...document.querySelectorAll(answer)].filter(one => one.closest("[data-stale=true]"));
        window.named += Boolean(isNamed);
        const isSeen = before.some(one => one.checkVisibility({ visibilityProperty: true }));
        window.mixed += Boolean(isNamed && isSeen);
        requestAnimationFrame(look);
    };
    look();
}"""


def test_the_answer_of_the_scan_before_never_stands_under_the_name_of_the_next(open_page, address):
    page = open_page(address)
    first, *_ = load_samples()
    page.locator(".st-key-welcome").get_by_role("button", name=first.title, exact=True).click()
    answer = page.locator(".answer h2")
    playwright.expect(answer).to_be_visible()
    page.wait_for_selector(".viewer:not([inert])")
    settle(page)
    page.evaluate(WATCH, ["head.nii", ".answer h2, .viewer .stage, .st-key-reading p"])
    file = {"name": "head.nii", "mimeType": "", "buffer": volume()}
    page.locator("input[type=file]").first.set_input_files(file)
    playwright.expect(page.locator(".st-key-file p code")).to_have_text("head.nii")
    playwright.expect(answer).to_have_count(0)
    assert page.evaluate("window.named") > 0
    assert page.evaluate("window.mixed") == 0
