"""The download buttons of Review, through Streamlit's own test harness."""

import io
import zipfile

import pydicom
import pytest
import streamlit as st
from streamlit.runtime.secrets import secrets_singleton
from streamlit.testing.v1 import AppTest

from brat.io.samples import load_samples
from tests.factories.samples import known_dicom, known_enhanced

PLANTED = "PLANTED^NAME"


def _page(file: str, number: int | None):
    from pathlib import Path

    from brat.io.door import group_into_series, load
    from brat.io.files import File
    from brat.io.read import read_scan
    from brat.model.reader import Reader
    from pages.parts.reports import show_downloads

    frame = None
    if number is None:
        scan = read_scan(file)
    else:
        (item,) = group_into_series([File("frames.dcm", Path(file))])
        stack = load(item).stack()
        scan, frame = stack[number], stack.frames[number]
    reader = Reader()
    data, reading = Path(file).read_bytes(), reader.read(scan.gray)
    show_downloads(scan, data, reading, reader.classifier.digest, frame=frame)


@pytest.fixture
def show(monkeypatch):
    """Shows the buttons for a file: captions, and label -> what its button makes."""
    downloads = {}
    button = st.download_button

    def caught(label, make, *others, **options):
        downloads[label] = make
        return button(label, make, *others, **options)

    monkeypatch.setattr(st, "download_button", caught)

    def shown(file, number: int | None = None) -> tuple[list[str], dict]:
        page = AppTest.from_function(_page, args=(str(file), number), default_timeout=120).run()
        assert not page.exception
        return [c.value for c in page.caption], downloads

    return shown


def sample(suffix: str):
    return next(sample.file for sample in load_samples() if sample.file.suffix == suffix)


@pytest.fixture
def dicom(tmp_path):
    dataset = pydicom.dcmread(io.BytesIO(known_dicom()))
    dataset.PatientName, dataset.PatientID = PLANTED, "PLANTED-7"
    dataset.save_as(tmp_path / "scan.dcm")
    return tmp_path / "scan.dcm"


def test_a_picture_has_a_pdf(show):
    captions, downloads = show(sample(".png"))
    assert list(downloads) == ["Report (PDF)"]
    assert downloads["Report (PDF)"]().startswith(b"%PDF")
    assert captions == []


def test_a_dicom_scan_has_dicom_reports_too_and_none_names_the_patient(show, dicom):
    captions, downloads = show(dicom)
    assert list(downloads) == ["Report (PDF)", "Map (DICOM)", "Report (DICOM SR)", "All DICOM (ZIP)"]
    made = {label: make() for label, make in downloads.items()}
    with zipfile.ZipFile(io.BytesIO(made.pop("All DICOM (ZIP)"))) as archive:
        made |= {name: archive.read(name) for name in archive.namelist()}
    assert {"sr.dcm", "map.dcm", "pm.dcm", "slice.dcm"} <= set(made)
    for content in made.values():
        assert b"PLANTED" not in content
    # All were made at once, and the report refers to this map.
    assert made["map.dcm"] == made["Map (DICOM)"]
    assert pydicom.dcmread(io.BytesIO(made["map.dcm"])).SOPInstanceUID.encode() in made["Report (DICOM SR)"]
    assert "do not name the patient" in captions[0]


def test_where_the_page_stands_unmarked_no_map_is_offered(show, dicom, monkeypatch):
    from brat.reports import dicom as made
    from pages.parts import reports

    for module in (reports, made):
        monkeypatch.setattr(module, "why_unmarked", lambda prediction, ood: "No map.")
    _, downloads = show(dicom)
    assert list(downloads) == ["Report (PDF)", "Report (DICOM SR)", "All DICOM (ZIP)"]
    with zipfile.ZipFile(io.BytesIO(downloads["All DICOM (ZIP)"]())) as archive:
        assert set(archive.namelist()) == {"sr.dcm", "slice.dcm"}


@pytest.mark.parametrize("named", [False, True])
def test_a_frame_of_a_file_has_what_a_slice_with_a_file_has(show, tmp_path, monkeypatch, named):
    monkeypatch.setattr(secrets_singleton, "_secrets", {"privacy": {"identified": named}})
    (tmp_path / "frames.dcm").write_bytes(known_enhanced())
    captions, downloads = show(tmp_path / "frames.dcm", 1)
    assert list(downloads) == ["Report (PDF)", "Map (DICOM)", "Report (DICOM SR)", "All DICOM (ZIP)"]
    with zipfile.ZipFile(io.BytesIO(downloads["All DICOM (ZIP)"]())) as archive:
        made = {name: pydicom.dcmread(io.BytesIO(archive.read(name))) for name in archive.namelist()}
    (reference,) = made["map.dcm"].SourceImageSequence
    if named:
        # The second slice by its place is the fourth frame.
        assert reference.ReferencedFrameNumber == 4
        assert made["sr.dcm"].PatientID == "P7"
        assert set(made) == {"sr.dcm", "map.dcm", "pm.dcm"}
        assert captions == []
    else:
        assert reference.ReferencedSOPInstanceUID == made["slice.dcm"].SOPInstanceUID
        assert made["slice.dcm"].pixel_array[0, 0] == 3
        assert "goes out as a slice of its own" in captions[0]


def test_configured_so_they_name_the_patient(show, dicom, monkeypatch):
    pypdf = pytest.importorskip("pypdf", reason="pypdf is not installed")
    monkeypatch.setattr(secrets_singleton, "_secrets", {"privacy": {"identified": True}})
    captions, downloads = show(dicom)
    assert captions == []
    assert PLANTED in pypdf.PdfReader(io.BytesIO(downloads["Report (PDF)"]())).pages[0].extract_text()
    for label in ("Map (DICOM)", "Report (DICOM SR)"):
        assert pydicom.dcmread(io.BytesIO(downloads[label]())).PatientName == PLANTED


def test_a_file_that_is_no_instance_says_why_there_is_no_dicom_report(show, tmp_path):
    dataset = pydicom.dcmread(io.BytesIO(known_dicom()))
    del dataset.StudyInstanceUID
    dataset.save_as(tmp_path / "scan.dcm")
    captions, downloads = show(tmp_path / "scan.dcm")
    assert list(downloads) == ["Report (PDF)"]
    assert "does not say which instance" in captions[0]
