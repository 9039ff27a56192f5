"""A reading as DICOM objects: what they say, what they do not say, and what an archive makes of them."""

import contextlib
import copy
import io
import shutil
import subprocess
import time
import urllib.request
from dataclasses import replace

import numpy as np
import pydicom
import pytest

from brat.io.read import read_scan

pytest.importorskip("highdicom", reason="highdicom is not installed")

from brat.io.files import File
from brat.io.geometry import turn
from brat.io.intake import group_into_series, load
from brat.io.samples import load_samples
from brat.model.out_of_distribution import OodResult
from brat.model.series_reading import SliceReading
from brat.reports import dicom_map
from brat.reports.dicom import (
    NoReference,
    Purpose,
    ReadSlice,
    Verdict,
    header_of,
    is_instance,
    is_of_the_standard,
    patient,
    results,
    slice_for_teaching,
    slice_of,
    slices_of,
)
from brat.reports.dicom_source import new_uid
from brat.reports.dicom_sr import predecessor
from tests.factories.orthanc import orthanc, why_not
from tests.factories.readings import reading_with_a_spot
from tests.factories.weights import recalibrated

PLANTED = {
    "SpecificCharacterSet": "ISO_IR 100",
    "PatientName": "PLANTED^NÄME",
    "PatientID": "PLANTED-ID",
    "PatientBirthDate": "19470305",
    "PatientAddress": "PLANTED STREET",
    "OtherPatientNames": "PLANTED^OTHER",
    "PatientComments": "PLANTED COMMENT",
    "PatientAge": "052Y",
    "IssuerOfPatientID": "PLANTED-ISSUER",
    "StudyDate": "19990203",
    "StudyTime": "101112",
    "SeriesDate": "19990203",
    "AccessionNumber": "PLANTED-ACC",
    "StudyID": "PLANTED-STUDY",
    "StudyDescription": "PLANTED STUDY",
    "ReferringPhysicianName": "PLANTED^DOCTOR",
    "OperatorsName": "PLANTED^OPERATOR",
    "InstitutionName": "PLANTED HOSPITAL",
    "DeviceSerialNumber": "PLANTED-SERIAL",
}
OF_THE_STUDY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "IssuerOfPatientID",
    "PatientComments",
    "PatientAge",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "StudyID",
    "StudyDescription",
    "ReferringPhysicianName",
)
DIGEST = "0123456789abcdef" * 4
KINDS = ("sr", "map", "pm")


def planted(**changes) -> bytes:
    dataset = pydicom.dcmread(next(s.file for s in load_samples() if s.file.suffix == ".dcm"))
    for keyword, value in (PLANTED | changes).items():
        setattr(dataset, keyword, value)
    del dataset.PatientIdentityRemoved, dataset.DeidentificationMethod
    written = io.BytesIO()
    dataset.save_as(written)
    return written.getvalue()


@pytest.fixture(scope="module")
def source() -> bytes:
    return planted()


@pytest.fixture(scope="module")
def read_slice(source) -> ReadSlice:
    scan = read_scan(source, "planted.dcm")
    return slice_of(source, scan, reading_with_a_spot(scan, ("meningioma", "glioma")))


@pytest.fixture(scope="module")
def objects(read_slice) -> dict[Purpose, dict[str, bytes]]:
    return {purpose: results([read_slice], DIGEST, purpose).files() for purpose in Purpose}


@pytest.fixture(scope="module")
def series() -> list[ReadSlice]:
    """Eight slices: two without a tumour, four of meningioma, one out of distribution, one damaged."""
    uid = pydicom.uid.generate_uid()
    files = [
        File(
            f"{number}.dcm",
            planted(
                SOPInstanceUID=pydicom.uid.generate_uid(),
                SeriesInstanceUID=uid,
                ImagePositionPatient=[-112.275, -95.775, 3.0 * number],
                InstanceNumber=number,
            ),
        )
        for number in range(8)
    ]
    (item,) = group_into_series(files)
    stack = load(item).stack()
    spot = SliceReading.of(reading_with_a_spot(stack[0], ("meningioma",)))
    clear = reading_with_a_spot(stack[0], ("no_tumor",))
    clear.prediction.probabilities[:] = [0.02, 0.03, 0.05, 0.9]
    unlike = SliceReading(spot.prediction, spot.sets, OodResult(1.7, False, "Unlike."), spot.geometry)
    none = SliceReading.of(clear)
    readings = [none, none, spot, spot, spot, spot, unlike, SliceReading(problem="damaged")]
    return slices_of(stack, [(stack[0].window, reading, None) for reading in readings])


def parsed(content: bytes) -> pydicom.Dataset:
    return pydicom.dcmread(io.BytesIO(content))


def inflated(content: bytes) -> bytes:
    """As a file in which bytes can be looked for, and that every tool reads."""
    dataset = parsed(content)
    if not dataset.file_meta.TransferSyntaxUID.is_deflated:
        return content
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    written = io.BytesIO()
    dataset.save_as(written)
    return written.getvalue()


def validated(content: bytes, folder) -> list[str]:
    if not shutil.which("dciodvfy"):
        pytest.skip("dciodvfy is not installed (Debian: dicom3tools)")
    file = folder / "object.dcm"
    # It reads nothing deflated.
    file.write_bytes(inflated(content))
    run = subprocess.run(["dciodvfy", "-new", file], capture_output=True, text=True, check=False)
    return [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")]


@pytest.mark.parametrize("kind", KINDS)
def test_for_the_archive_patient_and_study_are_those_of_the_source(objects, source, kind):
    """All instances of a study share these, or an archive may lose the study (PS3.3 A.1.2)."""
    made, original = parsed(objects[Purpose.ARCHIVE][kind]), parsed(source)
    for keyword in OF_THE_STUDY:
        assert made.get(keyword) == original.get(keyword), keyword
    assert made.SeriesInstanceUID != original.SeriesInstanceUID
    assert made.SOPInstanceUID != original.SOPInstanceUID
    assert "PatientIdentityRemoved" not in made
    assert "DeidentificationMethodCodeSequence" not in made
    # Of the scanner's series nothing is taken over.
    assert b"PLANTED HOSPITAL" not in inflated(objects[Purpose.ARCHIVE][kind])


@pytest.mark.parametrize("kind", KINDS)
def test_for_teaching_nothing_leads_back(objects, source, kind):
    content, original = objects[Purpose.TEACHING][kind], parsed(source)
    made = parsed(content)
    for value in (b"PLANTED", b"19470305", b"19990203"):
        assert value not in content
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
        assert str(original[keyword].value).encode() not in content, keyword
    assert made.PatientName == ""
    assert made.PatientIdentityRemoved == "YES"
    assert made.LongitudinalTemporalInformationModified == "REMOVED"
    assert [code.CodeValue for code in made.DeidentificationMethodCodeSequence] == ["113100"]
    assert made.ContentDate == "19000101"
    assert made.StudyInstanceUID == new_uid(original.StudyInstanceUID)


def test_the_slice_for_teaching_is_the_one_that_the_objects_refer_to(objects, source, tmp_path):
    content = slice_for_teaching(source)
    assert b"PLANTED" not in content
    made, original = parsed(content), parsed(source)
    assert (made.pixel_array == original.pixel_array).all()
    report = parsed(objects[Purpose.TEACHING]["sr"])
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    referred = {
        item.ReferencedSOPInstanceUID
        for s in study.ReferencedSeriesSequence
        for item in s.ReferencedSOPSequence
    }
    assert made.SOPInstanceUID in referred
    assert made.StudyInstanceUID == report.StudyInstanceUID
    assert validated(content, tmp_path) == []


@pytest.mark.parametrize("purpose", Purpose)
def test_report_and_maps_refer_to_one_another_and_to_the_source(objects, source, purpose):
    report, picture, values = (parsed(objects[purpose][kind]) for kind in KINDS)
    slice_uid = parsed(source).SOPInstanceUID
    if purpose is Purpose.TEACHING:
        slice_uid = new_uid(slice_uid)
    assert len({made.StudyInstanceUID for made in (report, picture, values)}) == 1
    assert len({made.SeriesInstanceUID for made in (report, picture, values)}) == 3
    assert picture.SourceImageSequence[0].ReferencedSOPInstanceUID == slice_uid
    assert slice_uid in str(values)
    for uid in (slice_uid, picture.SOPInstanceUID, values.SOPInstanceUID):
        assert uid in str(report.ContentSequence), "in the content"
        assert uid in str(report.CurrentRequestedProcedureEvidenceSequence), "in the evidence"


def test_the_picture_is_the_scan_in_colour_and_the_map_has_its_values(objects, read_slice):
    pixels = parsed(objects[Purpose.ARCHIVE]["map"]).pixel_array
    gray = read_slice.scan().gray
    assert pixels.shape == (*gray.shape, 3)
    # Where the map is silent the scan is as it was.
    assert (pixels[-1, -1] == gray[-1, -1]).all()
    assert (pixels[..., 0] != pixels[..., 2]).any()
    values = parsed(objects[Purpose.ARCHIVE]["pm"])
    stored = np.frombuffer(values.FloatPixelData, np.float32).reshape(gray.shape)
    assert stored.min() == 0
    assert 0.9 < stored.max() <= 1
    # The peak of the values is where the picture is coloured most.
    row, column = np.unravel_index(stored.argmax(), stored.shape)
    assert pixels[row, column, 0] != pixels[row, column, 2]
    place = values.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient
    assert list(place) == list(read_slice.header.ImagePositionPatient)


def test_the_report_says_what_was_read_with_public_codes(objects, read_slice):
    report = parsed(objects[Purpose.ARCHIVE]["sr"])
    said = str(report)
    for text in ("Probability of meningioma", "0.91", "302820008", "393564001", "In the 95 % prediction set"):
        assert text in said, text
    for text in ("Out-of-distribution check", "Width of the window that was read"):
        assert text in said, text
    assert f"model {DIGEST[:12]}".encode() in objects[Purpose.ARCHIVE]["sr"]
    assert f"{read_slice.window.width:g}" in said
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    (scheme,) = report.CodingSchemeIdentificationSequence
    assert scheme.CodingSchemeDesignator == "99BRATUM"
    assert report.VerificationFlag == "UNVERIFIED"


def test_viewers_show_the_report_as_a_list_of_names_and_values(objects):
    """OHIF fails on numbers without a graphic under the title "Imaging Measurement Report"."""
    report = parsed(objects[Purpose.ARCHIVE]["sr"])
    assert report.ConceptNameCodeSequence[0].CodeValue == "126001"
    containers = [item for item in report.iterall() if item.keyword == "ContinuityOfContent"]
    assert len(containers) >= 3
    assert {item.value for item in containers} == {"SEPARATE"}


def test_the_report_names_the_recalibration_that_was_used(objects, read_slice, tmp_path):
    site = recalibrated(tmp_path / "weights")
    reading = replace(read_slice.reading, site=site)
    made = results([replace(read_slice, reading=reading)], DIGEST, Purpose.ARCHIVE).files()
    said = f"Model recalibrated for St. Elsewhere on 412 slices, 2026-11-27, SHA-256 {site.digest}"
    assert said.encode() in made["sr"]
    assert b"recalibrated" not in objects[Purpose.ARCHIVE]["sr"]
    assert validated(made["sr"], tmp_path) == []


def test_a_private_code_is_used_only_where_its_scheme_is_identified(objects):
    report = parsed(objects[Purpose.ARCHIVE]["sr"])
    schemes = {element.value for element in report.iterall() if element.keyword == "CodingSchemeDesignator"}
    identified = {item.CodingSchemeDesignator for item in report.CodingSchemeIdentificationSequence}
    assert {scheme for scheme in schemes if scheme.startswith("99")} <= identified


def test_out_of_distribution_the_reading_is_withheld(read_slice, tmp_path):
    reading = read_slice.reading
    unlike = SliceReading(
        reading.prediction, reading.sets, OodResult(1.7, False, "Unlike."), reading.geometry
    )
    made = results(
        [ReadSlice(read_slice.header, unlike, read_slice.window, read_slice.scan)], DIGEST, Purpose.ARCHIVE
    )
    assert made.capture is None
    assert made.parametric_map is None
    said = str(parsed(made.report))
    assert "Not like the slices that the model knows" in said
    for text in ("302820008", "Probability of", "prediction set"):
        assert text not in said
    assert validated(made.report, tmp_path) == []


def test_no_tumour_has_no_map_and_its_report_refers_to_none(series, tmp_path):
    healthy = series[:2]
    assert all(part.reading.prediction.label == "no_tumor" for part in healthy)
    for slices in (healthy[:1], healthy):
        made = results(slices, DIGEST, Purpose.ARCHIVE)
        assert set(made.files()) == {"sr"}
        report = parsed(made.report)
        assert "Illustration" not in str(report)
        assert "Secondary Capture" not in str(report)
        assert validated(made.report, tmp_path) == []


@pytest.mark.parametrize(
    ("verdict", "flag"),
    [
        (Verdict("agree", "meningioma", "Doe^Jane", "St. Elsewhere", logged_in=True), "VERIFIED"),
        (Verdict("agree", "meningioma", "Doe^Jane", "St. Elsewhere", logged_in=False), "UNVERIFIED"),
        (Verdict("agree", "meningioma", "Doe^Jane", "", logged_in=True), "UNVERIFIED"),
        (Verdict("disagree", "glioma", "Doe^Jane", "St. Elsewhere", logged_in=True), "UNVERIFIED"),
        (Verdict("unsure", None, "Doe^Jane", "St. Elsewhere", logged_in=True), "UNVERIFIED"),
    ],
)
def test_only_a_reader_who_logged_in_and_agrees_verifies(read_slice, verdict, flag, tmp_path):
    content = results([replace(read_slice, verdict=verdict)], DIGEST, Purpose.ARCHIVE).report
    report = parsed(content)
    assert report.VerificationFlag == flag
    assert ("VerifyingObserverSequence" in report) == (flag == "VERIFIED")
    said = str(report)
    assert "Doe^Jane" in said
    assert verdict.verdict.upper() in said
    assert validated(content, tmp_path) == []


@pytest.mark.parametrize("deflated", [False, True])
def test_a_header_of_very_many_items_is_not_taken_apart(source, deflated):
    """Nothing can refer to the file: in the app's own process it would keep everybody waiting."""
    many = pydicom.dcmread(io.BytesIO(source))
    many.OtherPatientIDsSequence = [pydicom.Dataset() for _ in range(6_000)]
    if deflated:
        many.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    written = io.BytesIO()
    many.save_as(written)
    begun = time.process_time()
    assert not is_instance(header_of(written.getvalue()))
    assert time.process_time() - begun < 0.1
    assert is_instance(header_of(source))


def test_a_header_of_millions_of_elements_costs_this_process_next_to_nothing(source, monkeypatch):
    from brat.io.dicom_header import uids
    from brat.io.scan import UnreadableScan
    from tests.factories.hostile import deep_items, many_elements

    is_instance(header_of(source))
    for data in (many_elements(2_000_000), deep_items()):
        begun = time.process_time()
        with contextlib.suppress(UnreadableScan):
            assert len(header_of(data)) < 20_000
        with contextlib.suppress(UnreadableScan):
            uids(data)
        assert time.process_time() - begun < 1


def test_only_a_header_is_passed_on_and_asked_for_once(source, monkeypatch):
    from brat.io import door

    whole, header = pydicom.dcmread(io.BytesIO(source)), header_of(source)
    assert "PixelData" not in header
    standard = {
        element.tag for element in whole if not element.tag.is_private and element.VR not in ("OB", "OW")
    }
    assert {element.tag for element in header} - {0x00080005} == standard - {0x00080005}
    assert header.PatientName == whole.PatientName
    monkeypatch.setattr(door, "parts", lambda *_: pytest.fail("it was asked for again"))
    assert header_of(source) == header


@pytest.mark.parametrize(
    "lie",
    [
        {"header": bytes(300_000)},
        {"header": bytes(50_000)},
        {"vr": "SQ"},
        {"syntax": "1.2" * 100},
    ],
)
def test_what_a_process_says_of_a_header_is_checked(source, monkeypatch, lie):
    from brat.io import door
    from brat.io.scan import UnreadableScan

    content = lie.pop("header", b"")
    array, empty = np.frombuffer(content, np.uint8), np.frombuffer(b"", np.uint8)
    reply = {"syntax": "", "vr": ""} | lie, [array, empty, empty]
    monkeypatch.setattr(door, "_one", lambda *_: reply)
    with pytest.raises(UnreadableScan):
        header_of(source + bytes([len(content) % 251, len(str(lie)) % 251]))


def test_a_series_is_verified_where_each_slice_is(series, tmp_path):
    verdict = Verdict("agree", "meningioma", "Doe^Jane", "St. Elsewhere", logged_in=True)
    judged = [replace(part, verdict=verdict) for part in series]
    content = results(judged, DIGEST, Purpose.ARCHIVE).report
    assert parsed(content).VerificationFlag == "VERIFIED"
    assert validated(content, tmp_path) == []
    read = next(number for number, part in enumerate(series) if part.reading.prediction is not None)
    judged[read] = replace(judged[read], verdict=None)
    content = results(judged, DIGEST, Purpose.ARCHIVE).report
    assert parsed(content).VerificationFlag == "UNVERIFIED"
    assert "Doe^Jane" in str(parsed(content))
    assert validated(content, tmp_path) == []


def test_for_teaching_the_verdict_goes_out_without_its_observer(read_slice):
    verdict = Verdict("agree", "meningioma", "Doe^Jane", "St. Elsewhere", logged_in=True)
    content = results([replace(read_slice, verdict=verdict)], DIGEST, Purpose.TEACHING).report
    assert parsed(content).VerificationFlag == "UNVERIFIED"
    assert b"AGREE" in content
    assert b"Jane" not in content
    assert b"Elsewhere" not in content


def test_a_report_names_the_one_that_it_replaces(read_slice, tmp_path):
    first = parsed(results([read_slice], DIGEST, Purpose.ARCHIVE).report)
    earlier = predecessor(
        first.StudyInstanceUID, first.SeriesInstanceUID, first.SOPInstanceUID, first.SOPClassUID
    )
    content = results([read_slice], DIGEST, Purpose.ARCHIVE, predecessors=[earlier]).report
    assert first.SOPInstanceUID in str(parsed(content).PredecessorDocumentsSequence)
    assert validated(content, tmp_path) == []
    # One for teaching must not lead back.
    teaching = results([read_slice], DIGEST, Purpose.TEACHING, predecessors=[earlier]).report
    assert first.SOPInstanceUID.encode() not in teaching


def values_by_place(made: pydicom.Dataset) -> dict[float, tuple[float, str]]:
    """Of each frame the greatest value, and the instance that it is of, by its place along the series."""
    frames = np.frombuffer(made.FloatPixelData, "<f4").reshape(-1, made.Rows, made.Columns)
    assert len(frames) == made.NumberOfFrames
    return {
        float(groups.PlanePositionSequence[0].ImagePositionPatient[2]): (
            frame.max(),
            groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID,
        )
        for frame, groups in zip(frames, made.PerFrameFunctionalGroupsSequence, strict=True)
    }


def test_a_series_gets_one_report_and_a_map_with_the_values_of_its_longest_run(series, tmp_path):
    made = results(series, DIGEST, Purpose.ARCHIVE)
    report, values = parsed(made.report), parsed(made.parametric_map)
    said = str(report)
    for part in series[:7]:
        assert part.header.SOPInstanceUID in said
    for text in ("Number of slices out of distribution", "Number of slices read as meningioma"):
        assert text in said
    # A frame for each slice, in its place and of its instance; only the slices 3 to 6 have values.
    peaks = values_by_place(values)
    assert {place: peak for place, (peak, _) in peaks.items()} == {
        **dict.fromkeys([0.0, 3.0, 18.0, 21.0], 0),
        **dict.fromkeys([6.0, 9.0, 12.0, 15.0], 1),
    }
    assert {place: source for place, (_, source) in peaks.items()} == {
        float(part.header.ImagePositionPatient[2]): part.header.SOPInstanceUID for part in series
    }
    # What OHIF looks for before it lays a map over a series.
    (referenced,) = values.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == series[0].header.SeriesInstanceUID
    (shared,) = values.SharedFunctionalGroupsSequence
    assert "SliceThickness" in shared.PixelMeasuresSequence[0]
    orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    assert orientation == series[0].header.ImageOrientationPatient
    assert (values.Rows, values.Columns) == (series[0].header.Rows, series[0].header.Columns)
    for content in made.files().values():
        assert validated(content, tmp_path) == []


def test_the_zeros_of_a_map_take_no_room_in_the_archive(series):
    deflated = results(series, DIGEST, Purpose.ARCHIVE).parametric_map
    plain = results(series, DIGEST, Purpose.TEACHING).parametric_map
    made, other = parsed(deflated), parsed(plain)
    assert made.FloatPixelData == other.FloatPixelData
    assert len(plain) > len(made.FloatPixelData) > 10 * len(deflated)
    assert made.file_meta.TransferSyntaxUID == pydicom.uid.DeflatedExplicitVRLittleEndian
    # What goes to teaching every tool reads.
    assert other.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian


@pytest.mark.parametrize("cosines", [[1, 0, 0, 0, 1, 0], [-1, 0, 0, 0, 1, 0]], ids=["up", "down"])
def test_the_frames_of_a_map_are_in_the_order_in_which_ohif_lays_them_over_slices(series, cosines):
    """That is along the normal of the plane; what a frame refers to, OHIF 3.11 does not heed."""
    turned = [replace(part, header=copy.deepcopy(part.header)) for part in series[1:]]
    for part in turned:
        part.header.ImageOrientationPatient = cosines
    made = parsed(results(turned, DIGEST, Purpose.ARCHIVE).parametric_map)
    groups = made.PerFrameFunctionalGroupsSequence
    positions = [group.PlanePositionSequence[0].ImagePositionPatient for group in groups]
    assert (np.diff(np.array(positions, float) @ np.cross(cosines[:3], cosines[3:])) > 0).all()
    assert [group.FrameContentSequence[0].DimensionIndexValues for group in groups] == [*range(1, 8)]
    assert {place: peak for place, (peak, _) in values_by_place(made).items()} == {
        **dict.fromkeys([3.0, 18.0, 21.0], 0),
        **dict.fromkeys([6.0, 9.0, 12.0, 15.0], 1),
    }


def test_where_a_slice_lies_off_the_grid_the_map_has_the_run_alone(series):
    odd = replace(series[0], header=copy.deepcopy(series[0].header))
    odd.header.ImagePositionPatient = series[1].header.ImagePositionPatient
    made = results([odd, *series[1:]], DIGEST, Purpose.ARCHIVE)
    assert {place: peak for place, (peak, _) in values_by_place(parsed(made.parametric_map)).items()} == (
        dict.fromkeys([6.0, 9.0, 12.0, 15.0], 1)
    )


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "FrameOfReferenceUID", "SliceThickness"])
def test_without_its_place_a_slice_has_no_parametric_map(source, keyword):
    dataset = parsed(source)
    assert keyword in dataset
    del dataset[keyword]
    written = io.BytesIO()
    dataset.save_as(written)
    data = written.getvalue()
    scan = read_scan(data, "scan.dcm")
    made = results([slice_of(data, scan, reading_with_a_spot(scan, ("glioma",)))], DIGEST, Purpose.ARCHIVE)
    assert made.parametric_map is None
    assert set(made.files()) == {"sr", "map"}


def test_values_that_break_the_standard_go_back_as_they_came(read_slice):
    """An archive compares them with what it has, right or wrong."""
    data = planted(PatientSex="U", PatientID="X" * 80, StudyID="Y" * 30)
    scan = read_scan(data, "odd.dcm")
    made = results([slice_of(data, scan, reading_with_a_spot(scan, ("glioma",)))], DIGEST, Purpose.ARCHIVE)
    for content in made.files().values():
        assert parsed(content).PatientID == "X" * 80
        # A sex that the standard does not know is left out, as the objects could not be checked with it.
        assert parsed(content).PatientSex == ""


@pytest.mark.parametrize("purpose", Purpose)
@pytest.mark.parametrize("kind", KINDS)
def test_dciodvfy_finds_no_error(objects, purpose, kind, tmp_path):
    assert validated(objects[purpose][kind], tmp_path) == []


def test_dsrdump_reads_the_report(objects, tmp_path):
    if not shutil.which("dsrdump"):
        pytest.skip("dsrdump is not installed (Debian: dcmtk)")
    file = tmp_path / "object.dcm"
    file.write_bytes(objects[Purpose.ARCHIVE]["sr"])
    run = subprocess.run(["dsrdump", file], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "Probability of meningioma" in run.stdout


def test_a_source_without_uids_is_refused(source):
    dataset = parsed(source)
    del dataset.SeriesInstanceUID
    written = io.BytesIO()
    dataset.save_as(written)
    data = written.getvalue()
    scan = read_scan(data, "scan.dcm")
    assert is_instance(header_of(source))
    assert not is_instance(header_of(data))
    with pytest.raises(NoReference, match="nothing can refer to it"):
        results([slice_of(data, scan, reading_with_a_spot(scan, ()))], DIGEST, Purpose.ARCHIVE)


def test_who_the_patient_is_comes_from_the_header(source):
    assert patient(source) == "PLANTED^NÄME, 19470305, PLANTED-ID"
    assert header_of(source).StudyID == "PLANTED-STUDY"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    if reason := why_not():
        pytest.skip(reason)
    with orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


def test_after_the_return_the_archive_has_one_study_and_gives_the_original(archive, source, objects):
    from dicomweb_client import DICOMwebClient

    client = DICOMwebClient(archive.dicomweb)
    original = parsed(source)
    client.store_instances([original])
    client.store_instances([parsed(content) for content in objects[Purpose.ARCHIVE].values()])
    (study,) = client.search_for_studies()
    assert study["0020000D"]["Value"] == [original.StudyInstanceUID]
    assert len(archive.get("/patients")) == 1
    assert len(archive.get("/studies")) == 1
    back = client.retrieve_series(original.StudyInstanceUID, original.SeriesInstanceUID)
    assert [instance.SOPInstanceUID for instance in back] == [original.SOPInstanceUID]
    assert (back[0].pixel_array == original.pixel_array).all()
    assert len(client.retrieve_study(original.StudyInstanceUID)) == 1 + len(objects[Purpose.ARCHIVE])
    # What is for teaching does not touch it.
    client.store_instances([parsed(content) for content in objects[Purpose.TEACHING].values()])
    assert len(client.search_for_studies()) == 2
    assert len(client.retrieve_study(original.StudyInstanceUID)) == 1 + len(objects[Purpose.ARCHIVE])
    url = f"{archive.dicomweb}/studies/{original.StudyInstanceUID}/metadata"
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.status == 200


ODD = {
    "StudyDate": "03.02.1999",
    "StudyTime": "noon",
    "PatientBirthDate": "1947",
    "PatientSex": "unknown",
    "PatientAge": "fifty",
    "PatientWeight": "heavy",
    "SeriesNumber": "first",
}


def changed(source: bytes, **values: str) -> bytes:
    """The source with values that the standard may not allow."""
    dataset = pydicom.dcmread(io.BytesIO(source))
    for keyword, value in values.items():
        tag, vr = pydicom.datadict.tag_for_keyword(keyword), pydicom.datadict.dictionary_VR(keyword)
        raw = value.encode()
        dataset._dict[pydicom.tag.Tag(tag)] = pydicom.dataelem.RawDataElement(
            pydicom.tag.Tag(tag), vr, len(raw), raw, 0, False, True
        )
    written = io.BytesIO()
    dataset.save_as(written)
    assert all(value.encode() in written.getvalue() for value in values.values())
    return written.getvalue()


@pytest.mark.parametrize("keyword", ODD)
@pytest.mark.filterwarnings("ignore")
def test_odd_values_of_the_source_are_left_out_and_nothing_is_lost(source, keyword):
    scan = read_scan(source, "planted.dcm")
    odd = changed(source, **{keyword: ODD[keyword]})
    for purpose in Purpose:
        slices = [slice_of(odd, scan, reading_with_a_spot(scan, ("glioma",)))]
        made = results(slices, DIGEST, purpose).files()
        assert set(made) == set(KINDS)
        assert slice_for_teaching(odd)
        for content in made.values() if purpose is Purpose.ARCHIVE else ():
            dataset = pydicom.dcmread(io.BytesIO(content))
            assert ODD[keyword] not in str(dataset.get(keyword))
            assert str(dataset.PatientID) == "PLANTED-ID"
            assert str(dataset.PatientName) == "PLANTED^NÄME"


def test_an_object_of_a_makers_own_has_a_map_and_no_structured_report(source):
    private = changed(source, SOPClassUID="1.3.12.2.1107.5.9.1")
    assert is_of_the_standard(header_of(source))
    assert not is_of_the_standard(header_of(private))
    scan = read_scan(source, "planted.dcm")
    for purpose in Purpose:
        made = results([slice_of(private, scan, reading_with_a_spot(scan, ("glioma",)))], DIGEST, purpose)
        assert set(made.files()) == {"map"}


@pytest.mark.parametrize("cosines", [[-1, 0, 0, 0, -1, 0], [0, 1, 0, 1, 0, 0], [1, 0, 0, 0, 1, 0]])
def test_a_map_goes_back_to_how_the_slice_is_stored(cosines):
    stored = np.random.default_rng(0).random((6, 9)).astype(np.float32)
    source = pydicom.Dataset()
    source.Rows, source.Columns = stored.shape
    source.ImageOrientationPatient, source.PixelSpacing = cosines, [0.5, 0.5]
    shown = turn(cosines).apply(stored)
    np.testing.assert_array_equal(dicom_map._as_stored(shown, source), stored)
    source.PixelSpacing = [1.0, 0.5]
    assert dicom_map._as_stored(turn(cosines).apply(stored.repeat(2, axis=0)), source).shape == stored.shape
