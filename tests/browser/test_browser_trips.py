"""What is set on a page stands again after a look at another one, and after a reload."""

import pytest

from tests.browser.settling import settle
from tests.factories.files import volume
from tests.factories.orthanc import orthanc, why_not
from tests.factories.samples import KNOWN, known_dicom, known_series
from tests.factories.streamlit_server import serving

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


@pytest.fixture(scope="module")
def furnished(tmp_path_factory):
    """The app with a store, with folders that a list may read, and with an archive that does not answer."""
    folder = tmp_path_factory.mktemp("furnished")
    (folder / "scans").mkdir()
    (folder / "scans" / "known.png").write_bytes(KNOWN.file.read_bytes())
    secrets = folder / "secrets.toml"
    secrets.write_text(
        f'[connections.cases]\nurl = "sqlite:///{folder}/cases.db"\n'
        f'[worklist]\nfolders = "{folder / "scans"}"\n[pacs.main]\nurl = "http://127.0.0.1:9"\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STREAMLIT_SECRETS_FILES", str(secrets))
        with serving(folder / "log") as url:
            yield url, str(folder / "scans")


def test_what_is_typed_for_an_archive_and_a_folder_stands_until_it_is_sent(open_page, furnished):
    url, scans = furnished
    page = open_page(f"{url}/worklist")
    patient, path = (page.get_by_role("textbox", name=name) for name in ("Patient ID", "Path of the folder"))

    for name, field in {"A folder of this computer": path, "Archive": patient}.items():
        page.locator("summary").filter(has_text=name).click()
        playwright.expect(field).to_be_visible()
    path.fill(scans)
    patient.fill("P7")
    days = page.get_by_test_id("stDateInput").get_by_role("spinbutton")
    for place, day in {0: ("2026", "01", "02"), 3: ("2026", "03", "04")}.items():
        days.nth(place).click()
        for part in day:
            page.keyboard.type(part)
    page.keyboard.press("Escape")
    for again in (lambda: there_and_back(page, "Worklist"), page.reload):
        again()
        # What hides them is open.
        playwright.expect(patient).to_be_visible()
        playwright.expect(path).to_be_visible()
        playwright.expect(patient).to_have_value("P7")
        playwright.expect(path).to_have_value(scans)
        playwright.expect(days).to_have_text(["2026", "01", "02", "2026", "03", "04"])
    # Enter does what the button beside it does.
    patient.press("Enter")
    playwright.expect(page.get_by_test_id("stAlert")).to_be_visible()
    path.press("Enter")
    playwright.expect(page.get_by_text("1 of 1 shown.")).to_be_visible()


@pytest.fixture(scope="module")
def with_archive(tmp_path_factory):
    """The app with an archive in which one study stands, with one series."""
    pytest.importorskip("pynetdicom", reason="pynetdicom is not installed")
    if reason := why_not():
        pytest.skip(reason)
    from brat.pacs.archive import Server
    from brat.pacs.connect import connect

    folder = tmp_path_factory.mktemp("archive")
    with orthanc(folder) as running, pytest.MonkeyPatch.context() as patch:
        connect(Server("main", url=running.dicomweb)).store(known_series())
        secrets = folder / "secrets.toml"
        secrets.write_text(f'[pacs.main]\nurl = "{running.dicomweb}"\n')
        patch.setenv("STREAMLIT_SECRETS_FILES", str(secrets))
        with serving(folder / "log") as url:
            yield url


def test_studies_and_series_that_are_ticked_in_an_archive_stay_so(open_page, with_archive):
    page = open_page(f"{with_archive}/worklist")
    page.locator("summary").filter(has_text="Archive").click()
    page.get_by_role("button", name="Search", exact=True).click()
    studies, series = (page.get_by_test_id("stDataFrame").nth(place) for place in (0, 1))
    list_series, read = (
        page.get_by_role("button", name=name, exact=True) for name in ("List series", "Read")
    )
    # The tables are pictures to the browser: boxes are clicked by their place.
    first, box = {"x": 15, "y": 52}, {"x": 102, "y": 52}
    playwright.expect(studies).to_be_visible()
    playwright.expect(list_series).to_have_count(0)
    studies.click(position=first)
    playwright.expect(list_series).to_be_visible()
    there_and_back(page, "Worklist")
    playwright.expect(list_series).to_be_visible()
    list_series.click()
    # Of itself it is ticked.
    playwright.expect(read).to_be_enabled()
    for is_ticked in (False, True):
        # Off, on and off again, or the other way round.
        for is_now in (is_ticked, not is_ticked, is_ticked):
            settle(page)
            series.click(position=box)
            playwright.expect(read).to_be_enabled(enabled=is_now)
        there_and_back(page, "Worklist")
        playwright.expect(list_series).to_be_visible()
        settle(page)
        playwright.expect(read).to_be_enabled(enabled=is_ticked)


def test_a_case_that_is_selected_in_history_stays_so(open_page, furnished):
    url, _ = furnished
    page = open_page(url)
    page.on("dialog", lambda dialog: dialog.accept())
    page.locator("input[type=file]").first.set_input_files(KNOWN.file)
    page.locator("[class*='st-key-verdict-']").get_by_text("Unsure").click()
    page.get_by_role("button", name="Keep", exact=True).click()
    settle(page)
    page.get_by_role("link", name="History", exact=True).click()
    case = page.locator(".st-key-case")
    table = page.get_by_test_id("stDataFrame").first
    # The table is a picture to the browser; its first column selects a row.
    table.click(position={"x": 15, "y": 52})
    playwright.expect(case).to_be_visible()
    for again in (lambda: there_and_back(page, "History"), page.reload):
        again()
        playwright.expect(case).to_be_visible()
        settle(page)
    # The table knows it, too: the same box takes the choice back, for good.
    table.click(position={"x": 15, "y": 52})
    playwright.expect(case).to_have_count(0)
    there_and_back(page, "History")
    playwright.expect(table).to_be_visible()
    settle(page)
    playwright.expect(case).to_have_count(0)
