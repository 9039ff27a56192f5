"""Reports as a person gets them; and nothing that leaves the page, or stays behind it, names the patient."""

import io
import zipfile

import pydicom
import pytest

from brat.classes import CLASS_NAMES, CLASSES
from brat.io.read import read_scan
from brat.model.reader import Reader
from brat.wording import percent
from tests.factories.samples import KNOWN, known_dicom
from tests.factories.streamlit_server import serving

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pypdf = pytest.importorskip("pypdf", reason="pypdf is not installed")

# Text by which a header, or a file's name, could tell whose head it is.
PLANTED = {
    "PatientName": "PLANTED^NAME",
    "PatientID": "PLANTED-ID-77",
    "PatientBirthDate": "19310405",
    "PatientAddress": "PLANTED STREET 5",
    "OtherPatientNames": "PLANTED^OTHER",
    "ReferringPhysicianName": "PLANTED^DOCTOR",
    "InstitutionName": "PLANTED HOSPITAL",
    "AccessionNumber": "PLANTED-ACC",
    "StudyDescription": "PLANTED STUDY",
    "SeriesDescription": "PLANTED SERIES",
    "PatientComments": "PLANTED COMMENT",
    "Modality": "PLANTED",
    "WindowCenterWidthExplanation": "PLANTED",
}
FILE = "PLANTED_NAME.dcm"


@pytest.fixture
def planted() -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(known_dicom()))
    for keyword, value in PLANTED.items():
        setattr(dataset, keyword, value)
    written = io.BytesIO()
    dataset.save_as(written)
    return written.getvalue()


@pytest.fixture
def log(tmp_path):
    return tmp_path / "server.log"


@pytest.fixture
def address(tmp_path, monkeypatch, log):
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(f'[connections.cases]\nurl = "sqlite:///{tmp_path}/store/cases.db"\n')
    (tmp_path / "store").mkdir()
    monkeypatch.setenv("STREAMLIT_SECRETS_FILES", str(secrets))
    with serving(log) as url:
        yield url


def upload(page, data: bytes, name: str) -> None:
    file = {"name": name, "mimeType": "application/dicom", "buffer": data}
    page.locator("input[type=file]").first.set_input_files(file)
    playwright.expect(page.locator(".answer h2")).to_be_visible()


def downloaded(page, button: str) -> bytes:
    with page.expect_download() as download:
        page.get_by_role("button", name=button, exact=True).click()
    with open(download.value.path(), "rb") as file:
        return file.read()


@pytest.mark.parametrize("width", [1440, 390], ids=["desk", "phone"])
def test_the_report_says_what_the_page_says(open_page, address, width):
    prediction = Reader().read(read_scan(KNOWN.file).gray).prediction
    other = next(name for name in CLASSES if name != prediction.label)
    page = open_page(address, width)
    upload(page, KNOWN.file.read_bytes(), KNOWN.file.name)
    page.locator("[class*='st-key-verdict-']").get_by_text("Disagree").click()
    page.locator("[class*='st-key-seen-']").get_by_text(CLASS_NAMES[other]).click()
    page.get_by_label("Note").fill("необычный случай")
    page.get_by_label("Note").press("Tab")
    page.wait_for_timeout(1_000)  # for the button to know of the note
    (sheet,) = pypdf.PdfReader(io.BytesIO(downloaded(page, "Report (PDF)"))).pages
    text = " ".join(sheet.extract_text().split())
    assert f"{CLASS_NAMES[prediction.label]}, {percent(prediction.confidence)}" in text.replace("\xa0", " ")
    assert f"disagrees, sees {CLASS_NAMES[other].lower()}" in text
    assert "необычный случай" in text
    assert "Not a medical device" in text
    page.close()


def test_nothing_names_the_patient(open_page, address, planted, tmp_path, log):
    page = open_page(address)
    upload(page, planted, FILE)
    page.locator("[class*='st-key-verdict-']").get_by_text("Agree", exact=True).click()
    page.get_by_text("Keep the picture too").click()
    page.get_by_role("button", name="Keep", exact=True).click()
    playwright.expect(page.get_by_text("Kept on")).to_be_visible()
    # The file's name is the visitor's own, and stands on the page; nothing of its header does.
    shown = page.locator("body").inner_text().replace(FILE, "")
    files = {name: downloaded(page, name) for name in ("Report (PDF)", "Map (DICOM)", "Report (DICOM SR)")}
    # A refused file's sentence is logged nowhere, either.
    broken = {"name": FILE, "mimeType": "application/dicom", "buffer": planted[: len(planted) // 2]}
    page.locator("input[type=file]").first.set_input_files(broken)
    playwright.expect(page.get_by_test_id("stAlert")).to_be_visible()
    page.get_by_role("link", name="History").click()
    playwright.expect(page.get_by_text("1 case.")).to_be_visible()
    shown += page.locator("body").inner_text()
    files["History"] = downloaded(page, "Export as CSV")

    # Two of them, and one that cannot be read, in the worklist.
    page.get_by_role("link", name="Worklist").click()
    contents = (planted, planted[:-100] + bytes(100), planted[: len(planted) // 2])
    page.locator("input[type=file]").first.set_input_files([{**broken, "buffer": one} for one in contents])
    playwright.expect(page.get_by_text("could not be read").first).to_be_visible()
    shown += page.locator("body").inner_text().replace(FILE, "")
    files["Worklist"] = downloaded(page, "CSV")
    with zipfile.ZipFile(io.BytesIO(downloaded(page, "Excel"))) as workbook:
        files |= {name: workbook.read(name) for name in workbook.namelist()}
    assert b"glioma" in files["xl/sharedStrings.xml"]

    # And a series of them.
    frames = pydicom.dcmread(io.BytesIO(planted))
    series = io.BytesIO()
    frames.PixelData, frames.NumberOfFrames = 3 * frames.PixelData, 3
    frames.save_as(series)
    page.get_by_role("link", name="Review").click()
    page.locator("input[type=file]").first.set_input_files({**broken, "buffer": series.getvalue()})
    playwright.expect(page.locator("[data-ui=where]")).to_contain_text("of 3")
    shown += page.locator("body").inner_text().replace(FILE, "")
    page.close()

    # What is compressed, or encoded two bytes a letter, is looked at opened.
    files["words of the PDF"] = (
        pypdf.PdfReader(io.BytesIO(files["Report (PDF)"])).pages[0].extract_text().encode()
    )
    files |= {str(file): file.read_bytes() for file in (tmp_path / "store").iterdir()}
    files["log"] = log.read_bytes()
    files["page"] = shown.encode()
    assert len(files) >= 15
    for name, content in files.items():
        for planted_text in (b"PLANTED", b"19310405"):
            assert planted_text.lower() not in content.lower(), name
