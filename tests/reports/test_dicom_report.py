import io
import shutil
import subprocess

import pydicom
import pytest
from pydicom.data import get_testdata_file

from brat.io.read import read_scan

pytest.importorskip("highdicom", reason="highdicom is not installed")

from brat.reports.dicom import (
    NoReference,
    has_reference,
    has_standard_class,
    overlay,
    structured_report,
)
from tests.factories.readings import reading_with_a_spot

PLANTED = {
    "SpecificCharacterSet": "ISO_IR 100",
    "PatientName": "PLANTED^NÄME",
    "PatientID": "PLANTED-ID",
    "PatientBirthDate": "19470305",
    "PatientAddress": "PLANTED STREET",
    "OtherPatientNames": "PLANTED^OTHER",
    "PatientComments": "PLANTED COMMENT",
    "StudyDate": "19990203",
    "SeriesDate": "19990203",
    "AccessionNumber": "PLANTED-ACC",
    "StudyID": "PLANTED-STUDY",
    "StudyDescription": "PLANTED STUDY",
    "ReferringPhysicianName": "PLANTED^DOCTOR",
    "OperatorsName": "PLANTED^OPERATOR",
    "InstitutionName": "PLANTED HOSPITAL",
    "DeviceSerialNumber": "PLANTED-SERIAL",
}
DIGEST = "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def source() -> bytes:
    dataset = pydicom.dcmread(get_testdata_file("MR_small.dcm"))
    for keyword, value in PLANTED.items():
        setattr(dataset, keyword, value)
    written = io.BytesIO()
    dataset.save_as(written)
    return written.getvalue()


@pytest.fixture(scope="module")
def scan(source):
    return read_scan(source, "planted.dcm")


@pytest.fixture(scope="module")
def reading(scan):
    return reading_with_a_spot(scan, ("meningioma", "glioma"))


@pytest.fixture(scope="module")
def objects(source, scan, reading) -> dict[str, bytes]:
    return {
        "overlay": overlay(source, scan, reading),
        "structured report": structured_report(source, reading, DIGEST),
    }


def parsed(content: bytes) -> pydicom.Dataset:
    return pydicom.dcmread(io.BytesIO(content))


def test_both_refer_to_the_source(objects, source):
    original = parsed(source)
    picture, report = (parsed(content) for content in objects.values())
    for dataset in (picture, report):
        assert dataset.StudyInstanceUID == original.StudyInstanceUID
        assert dataset.SeriesInstanceUID != original.SeriesInstanceUID
        assert dataset.SOPInstanceUID != original.SOPInstanceUID
    assert picture.SourceImageSequence[0].ReferencedSOPInstanceUID == original.SOPInstanceUID
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == original.SeriesInstanceUID
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == original.SOPInstanceUID


def test_the_picture_is_the_scan_in_colour(objects, scan):
    pixels = parsed(objects["overlay"]).pixel_array
    assert pixels.shape == (*scan.gray.shape, 3)
    # Where the map is silent the scan is as it was.
    assert (pixels[-1, -1] == scan.gray[-1, -1]).all()
    assert (pixels[..., 0] != pixels[..., 2]).any()


def test_the_report_says_what_was_read(objects):
    said = str(parsed(objects["structured report"]))
    for text in ("Probability of meningioma", "0.91", "Reading of the slice", "MENINGIOMA", DIGEST[:12]):
        assert text in said, text
    assert parsed(objects["structured report"]).VerificationFlag == "UNVERIFIED"


@pytest.mark.parametrize("kind", ["overlay", "structured report"])
def test_no_planted_name_goes_out(objects, kind):
    for value in (b"PLANTED", b"19470305", b"19990203"):
        assert value not in objects[kind]
    dataset = parsed(objects[kind])
    assert dataset.PatientName == ""
    assert dataset.PatientIdentityRemoved == "YES"


def test_who_the_patient_is_goes_out_where_it_is_switched_on(source, scan, reading):
    for content in (
        overlay(source, scan, reading, identified=True),
        structured_report(source, reading, DIGEST, identified=True),
    ):
        dataset = parsed(content)
        assert dataset.PatientName == "PLANTED^NÄME"
        assert dataset.PatientID == "PLANTED-ID"
        assert "PatientIdentityRemoved" not in dataset
        assert b"PLANTED HOSPITAL" not in content


@pytest.mark.parametrize("kind", ["overlay", "structured report"])
def test_dciodvfy_finds_no_error(objects, kind, tmp_path):
    if not shutil.which("dciodvfy"):
        pytest.skip("dciodvfy is not installed (Debian: dicom3tools)")
    file = tmp_path / "object.dcm"
    file.write_bytes(objects[kind])
    run = subprocess.run(["dciodvfy", file], capture_output=True, text=True, check=False)
    errors = [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")]
    assert errors == []


def test_dsrdump_reads_the_report(objects, tmp_path):
    if not shutil.which("dsrdump"):
        pytest.skip("dsrdump is not installed (Debian: dcmtk)")
    file = tmp_path / "object.dcm"
    file.write_bytes(objects["structured report"])
    run = subprocess.run(["dsrdump", file], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "Probability of meningioma" in run.stdout


def test_a_source_without_uids_is_refused(source, reading):
    dataset = parsed(source)
    del dataset.SeriesInstanceUID
    written = io.BytesIO()
    dataset.save_as(written)
    assert has_reference(source)
    assert not has_reference(written.getvalue())
    with pytest.raises(NoReference, match="nothing can refer to it"):
        structured_report(written.getvalue(), reading, DIGEST)


def changed(source: bytes, **values: str) -> bytes:
    """The source with values that the standard may not allow."""
    dataset = pydicom.dcmread(io.BytesIO(source))
    for keyword, value in values.items():
        element = pydicom.DataElement(
            keyword, pydicom.datadict.dictionary_VR(keyword), value, validation_mode=pydicom.config.IGNORE
        )
        dataset[keyword] = element
    written = io.BytesIO()
    dataset.save_as(written)
    return written.getvalue()


ODD = {
    "StudyDate": "03.02.1999",
    "StudyTime": "noon",
    "PatientBirthDate": "1947",
    "PatientSex": "unknown",
}


@pytest.mark.parametrize("keyword", ODD)
@pytest.mark.filterwarnings("ignore")
def test_odd_values_of_the_source_are_left_out_and_nothing_is_lost(source, scan, reading, keyword):
    odd = changed(source, **{keyword: ODD[keyword]})
    for made in (
        overlay(odd, scan, reading, identified=True),
        structured_report(odd, reading, DIGEST, identified=True),
    ):
        dataset = pydicom.dcmread(io.BytesIO(made))
        assert not dataset.get(keyword)
        assert str(dataset.PatientID) == "PLANTED-ID"


def test_an_object_of_a_makers_own_has_a_map_and_no_structured_report(source, scan, reading):
    private = changed(source, SOPClassUID="1.3.12.2.1107.5.9.1")
    assert has_standard_class(source)
    assert not has_standard_class(private)
    assert overlay(private, scan, reading)
    with pytest.raises(NoReference, match="maker's own"):
        structured_report(private, reading, DIGEST)
