"""Reports and maps of slices that are frames of one DICOM file, as of slices that each have a file."""

import io
import time

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    JPEG2000Lossless,
    JPEGLSLossless,
    MRImageStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

pytest.importorskip("highdicom", reason="highdicom is not installed")

from brat.io import door, intake
from brat.io.dicom_frames import COLUMNS, PLACE, places
from brat.io.files import File
from brat.io.read import read_scan
from brat.io.scan import UnreadableScan
from brat.model.out_of_distribution import OodResult
from brat.model.series_reading import SliceReading
from brat.reports.dicom import (
    NoReference,
    Purpose,
    ReadSlice,
    header_of,
    is_instance,
    results,
    slice_for_teaching,
    slice_of,
    slices_of,
)
from brat.reports.dicom_source import new_uid
from tests.factories.files import volume
from tests.factories.paths import ROOT
from tests.factories.readings import reading_with_a_spot
from tests.factories.samples import known_enhanced
from tests.reports.test_dicom_report import DIGEST, parsed, validated

PLACES = [9.0, 0.0, 6.0, 3.0]
"""Of the frames as they are stored."""


def written(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def changed(data: bytes, change) -> bytes:
    dataset = parsed(data)
    change(dataset)
    return written(dataset)


def counted(report: bytes, name: str) -> list[int]:
    """The numbers that a report gives under a code."""
    return [
        int(item.MeasuredValueSequence[0].NumericValue)
        for element in parsed(report).iterall()
        if element.keyword == "ContentSequence"
        for item in element.value
        if item.ValueType == "NUM" and item.ConceptNameCodeSequence[0].CodeValue == name
    ]


def read(data: bytes, unlike: tuple[int, ...] = (), through=door) -> list[ReadSlice]:
    """All slices as meningioma, but for those that are out of distribution."""
    (item,) = through.group_into_series([File("enhanced.dcm", data)])
    stack = through.load(item).stack()
    spot = SliceReading.of(reading_with_a_spot(stack[0], ("meningioma",)))
    odd = SliceReading(spot.prediction, spot.sets, OodResult(1.7, False, "Unlike."), spot.geometry)
    readings = [odd if number in unlike else spot for number in range(len(stack))]
    return slices_of(stack, [(stack[0].window, reading, None) for reading in readings])


@pytest.fixture(scope="module")
def source() -> bytes:
    return known_enhanced(PLACES)


@pytest.fixture(scope="module")
def slices(source) -> list[ReadSlice]:
    return read(source)


@pytest.fixture(scope="module")
def objects(slices) -> dict[Purpose, dict[str, bytes]]:
    return {purpose: results(slices, DIGEST, purpose).files() for purpose in Purpose}


def frames_of(report: Dataset) -> list[tuple[str, str, int | None]]:
    """Class, instance and frame of each image that the groups of a report are of."""
    found = []

    def walk(item):
        if item.ValueType == "IMAGE" and item.RelationshipType == "CONTAINS":
            (reference,) = item.ReferencedSOPSequence
            found.append(
                (
                    reference.ReferencedSOPClassUID,
                    reference.ReferencedSOPInstanceUID,
                    reference.get("ReferencedFrameNumber"),
                )
            )
        for child in item.get("ContentSequence", ()):
            walk(child)

    for item in report.ContentSequence:
        walk(item)
    return found


@pytest.mark.parametrize("through", [door, intake], ids=["other process", "this process"])
def test_a_stack_knows_which_frame_of_the_file_each_slice_is(source, through):
    (item,) = through.group_into_series([File("enhanced.dcm", source)])
    stack = through.load(item).stack()
    assert stack.frames == (1, 3, 2, 0)
    assert [int(scan.pixels[0, 0]) for scan in stack] == [1, 3, 2, 0]
    assert [file.read() for file in stack.files] == [source] * 4
    assert through.load(item).windowed(stack[0].window).stack().frames == (1, 3, 2, 0)


def test_the_report_names_the_file_once_and_the_frame_of_each_slice(objects, source, tmp_path):
    report, instance = parsed(objects[Purpose.ARCHIVE]["sr"]), parsed(source).SOPInstanceUID
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    evidence = [
        (series.SeriesInstanceUID, item.ReferencedSOPInstanceUID)
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    ]
    assert [uid for _, uid in evidence].count(instance) == 1
    assert (parsed(source).SeriesInstanceUID, instance) in evidence
    of_source = [one for one in frames_of(report) if one[1] == instance]
    # The series' group names the slice to look at first; then the slices follow in order of their places.
    assert of_source == [(EnhancedMRImageStorage, instance, frame) for frame in (2, 2, 4, 3, 1)]
    assert report.StudyInstanceUID == parsed(source).StudyInstanceUID
    assert validated(objects[Purpose.ARCHIVE]["sr"], tmp_path) == []


def test_the_capture_names_the_frame_that_it_shows(source, tmp_path):
    # The first slice is refused, so that the second leads: frame 4 as stored.
    made = results(read(source, unlike=(0,)), DIGEST, Purpose.ARCHIVE)
    (reference,) = parsed(made.capture).SourceImageSequence
    assert reference.ReferencedSOPClassUID == EnhancedMRImageStorage
    assert reference.ReferencedSOPInstanceUID == parsed(source).SOPInstanceUID
    assert reference.ReferencedFrameNumber == 4
    assert validated(made.capture, tmp_path) == []


def frames_of_map(made: Dataset) -> list[tuple[float, int | None, float]]:
    """Of each frame its place, the frame that it refers to, and its greatest value."""
    values = np.frombuffer(made.FloatPixelData, "<f4").reshape(-1, made.Rows, made.Columns)
    assert len(values) == made.NumberOfFrames
    return [
        (
            float(group.PlanePositionSequence[0].ImagePositionPatient[2]),
            group.DerivationImageSequence[0].SourceImageSequence[0].get("ReferencedFrameNumber"),
            float(frame.max()),
        )
        for frame, group in zip(values, made.PerFrameFunctionalGroupsSequence, strict=True)
    ]


def test_the_map_lies_where_the_functional_groups_say(source, tmp_path):
    made = results(read(source, unlike=(0,)), DIGEST, Purpose.ARCHIVE)
    values, original = parsed(made.parametric_map), parsed(source)
    assert frames_of_map(values) == [(0, 2, 0), (3, 4, 1), (6, 3, 1), (9, 1, 1)]
    instances = {
        reference.ReferencedSOPInstanceUID
        for group in values.PerFrameFunctionalGroupsSequence
        for reference in group.DerivationImageSequence[0].SourceImageSequence
    }
    assert instances == {original.SOPInstanceUID}
    (referenced,) = values.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == original.SeriesInstanceUID
    (instance,) = referenced.ReferencedInstanceSequence
    assert instance.ReferencedSOPInstanceUID == original.SOPInstanceUID
    assert instance.ReferencedSOPClassUID == EnhancedMRImageStorage
    # All frames are meant, so none is named.
    (image,) = values.SourceImageSequence
    assert image.ReferencedSOPInstanceUID == original.SOPInstanceUID
    assert "ReferencedFrameNumber" not in image
    (shared,) = values.SharedFunctionalGroupsSequence
    assert list(shared.PixelMeasuresSequence[0].PixelSpacing) == [0.5, 0.5]
    assert shared.PixelMeasuresSequence[0].SliceThickness == 3
    assert list(shared.PlaneOrientationSequence[0].ImageOrientationPatient) == [1, 0, 0, 0, 1, 0]
    assert values.FrameOfReferenceUID == original.FrameOfReferenceUID
    assert validated(made.parametric_map, tmp_path) == []


def test_frames_with_planes_of_their_own_lie_in_the_order_in_which_ohif_lays_them_over(tmp_path):
    cosines = [-1, 0, 0, 0, 1, 0]

    def turn(dataset):
        (shared,) = dataset.SharedFunctionalGroupsSequence
        measures = shared.PixelMeasuresSequence
        del shared.PlaneOrientationSequence, shared.PixelMeasuresSequence
        for item in dataset.PerFrameFunctionalGroupsSequence:
            plane = Dataset()
            plane.ImageOrientationPatient = cosines
            item.PlaneOrientationSequence, item.PixelMeasuresSequence = [plane], measures

    made = results(read(changed(known_enhanced(PLACES), turn)), DIGEST, Purpose.ARCHIVE).parametric_map
    # The normal points down.
    assert [(place, frame) for place, frame, _ in frames_of_map(parsed(made))] == [
        (9, 1),
        (6, 3),
        (3, 4),
        (0, 2),
    ]
    assert validated(made, tmp_path) == []


def test_where_only_the_run_lies_on_a_grid_the_map_names_its_frames(tmp_path):
    def apart(dataset):
        other = Dataset()
        other.PixelSpacing, other.SliceThickness = [0.5, 0.5], 3
        far = Dataset()
        far.PixelSpacing, far.SliceThickness = [0.25, 0.25], 3
        del dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
        for number, item in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            item.PixelMeasuresSequence = [far if number == 1 else other]

    slices = read(changed(known_enhanced(PLACES), apart), unlike=(0,))
    made = results(slices, DIGEST, Purpose.ARCHIVE).parametric_map
    assert frames_of_map(parsed(made)) == [(3, 4, 1), (6, 3, 1), (9, 1, 1)]
    (image,) = parsed(made).SourceImageSequence
    assert list(image.ReferencedFrameNumber) == [1, 3, 4]
    assert validated(made, tmp_path) == []


def without(keyword: str):
    def change(dataset):
        for item in (*dataset.SharedFunctionalGroupsSequence, *dataset.PerFrameFunctionalGroupsSequence):
            if keyword in item:
                del item[keyword]

    return change


@pytest.mark.parametrize(
    "keyword", ["PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence"]
)
def test_frames_that_do_not_say_where_they_lie_have_no_parametric_map(keyword):
    slices = read(changed(known_enhanced(PLACES), without(keyword)))
    assert set(results(slices, DIGEST, Purpose.ARCHIVE).files()) == {"sr", "map"}


def test_a_place_of_the_whole_file_is_none_of_its_frames():
    def change(dataset):
        without("PlanePositionSequence")(dataset)
        dataset.ImagePositionPatient = [-100, -120, 4]

    data = changed(known_enhanced(PLACES), change)
    assert "ImagePositionPatient" not in header_of(data, 2)
    scan = door.load(door.group_into_series([File("a.dcm", data)])[0]).stack()[2]
    alone = slice_of(data, scan, reading_with_a_spot(scan, ("meningioma",)), frame=2)
    assert set(results([alone], DIGEST, Purpose.ARCHIVE).files()) == {"sr", "map"}


@pytest.mark.parametrize("purpose", Purpose)
@pytest.mark.parametrize("kind", ["sr", "map", "pm"])
def test_dciodvfy_finds_no_error(objects, purpose, kind, tmp_path):
    assert validated(objects[purpose][kind], tmp_path) == []


@pytest.mark.parametrize("kind", ["sr", "map", "pm"])
def test_patient_and_study_go_to_the_archive_and_to_no_one_else(objects, source, kind):
    original = parsed(source)
    archived, content = parsed(objects[Purpose.ARCHIVE][kind]), objects[Purpose.TEACHING][kind]
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID", "StudyDescription"):
        assert archived[keyword].value == original[keyword].value, keyword
    for value in (b"Planted", b"19470305", b"20260102", original.SOPInstanceUID.encode()):
        assert value not in content
    assert parsed(content).StudyInstanceUID == new_uid(original.StudyInstanceUID)
    assert b"Enhanced" not in content


def test_for_teaching_each_frame_is_a_slice_that_the_objects_refer_to(objects, source, tmp_path):
    report, made = parsed(objects[Purpose.TEACHING]["sr"]), []
    for frame in range(4):
        content = slice_for_teaching(source, frame)
        assert b"Planted" not in content
        assert validated(content, tmp_path) == []
        made.append(parsed(content))
    pixels = parsed(source).pixel_array
    for frame, alone in enumerate(made):
        assert (alone.pixel_array == pixels[frame]).all()
        assert float(alone.ImagePositionPatient[2]) == PLACES[frame]
        assert alone.InstanceNumber == frame + 1
    first = made[0]
    assert (first.SOPClassUID, first.ScanningSequence, first.SequenceVariant) == (MRImageStorage, "SE", "SP")
    assert (first.RepetitionTime, first.EchoTime, first.FlipAngle) == (500, 9, 90)
    assert (first.WindowCenter, first.WindowWidth) == (2040.5, 4081)
    assert list(first.ImageType) == ["ORIGINAL", "PRIMARY", "M", "NONE"]
    of_slices = [one for one in frames_of(report) if one[0] == MRImageStorage]
    order = [1, 1, 3, 2, 0]
    assert of_slices == [(MRImageStorage, made[frame].SOPInstanceUID, None) for frame in order]
    values = parsed(objects[Purpose.TEACHING]["pm"])
    assert values.FrameOfReferenceUID == first.FrameOfReferenceUID
    assert [frame for _, frame, _ in frames_of_map(values)] == [None] * 4


@pytest.mark.parametrize("syntax", [RLELossless, DeflatedExplicitVRLittleEndian])
def test_a_frame_for_teaching_is_stored_as_its_file_stores_it(source, syntax):
    def pack(dataset):
        if syntax == RLELossless:
            dataset.compress(RLELossless, generate_instance_uid=False)
        dataset.file_meta.TransferSyntaxUID = syntax

    packed = changed(source, pack)
    made = parsed(slice_for_teaching(packed, 2))
    assert made.file_meta.TransferSyntaxUID == syntax
    assert (made.pixel_array == parsed(source).pixel_array[2]).all()


def test_a_frame_of_bits_is_cut_out_where_it_begins():
    frames = np.random.default_rng(0).integers(0, 2, (3, 67, 65), np.uint8)

    def bits(dataset):
        dataset.Rows, dataset.Columns, dataset.NumberOfFrames = 67, 65, 3
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 1, 1, 0
        stored = np.packbits(frames, bitorder="little").tobytes()
        dataset.PixelData = stored + bytes(len(stored) % 2)

    made = parsed(slice_for_teaching(changed(known_enhanced([0, 1, 2]), bits), 1))
    assert (made.pixel_array == frames[1]).all()


def test_a_frame_of_a_capture_is_a_capture(tmp_path):
    """The sample: a file of frames that says nothing of where they lie, compressed as JPEG."""
    sample = (ROOT / "brat/io/sample_scans/glioma-series.dcm").read_bytes()
    made = slice_for_teaching(sample, 3)
    assert parsed(made).SOPClassUID == SecondaryCaptureImageStorage
    assert (parsed(made).pixel_array == parsed(sample).pixel_array[3]).all()
    assert validated(made, tmp_path) == []
    files = results(read(sample), DIGEST, Purpose.ARCHIVE).files()
    assert set(files) == {"sr", "map"}
    for content in files.values():
        assert validated(content, tmp_path) == []


@pytest.mark.parametrize("purpose", Purpose)
def test_a_slice_that_is_read_alone_is_still_the_frame_of_its_file(source, purpose, tmp_path):
    scan = door.load(door.group_into_series([File("a.dcm", source)])[0]).stack()[1]
    alone = slice_of(source, scan, reading_with_a_spot(scan, ("meningioma",)), frame=3)
    made = results([alone], DIGEST, purpose)
    assert set(made.files()) == {"sr", "map", "pm"}
    archived = purpose is Purpose.ARCHIVE
    instance = parsed(source).SOPInstanceUID
    expected = (EnhancedMRImageStorage, instance, 4)
    if not archived:
        expected = (MRImageStorage, parsed(slice_for_teaching(source, 3)).SOPInstanceUID, None)
    assert [one for one in frames_of(parsed(made.report)) if one[1] == expected[1]] == [expected]
    ((place, frame, peak),) = frames_of_map(parsed(made.parametric_map))
    assert (place, frame, peak) == (3, 4 if archived else None, 1)
    for content in made.files().values():
        assert validated(content, tmp_path) == []


@pytest.mark.parametrize("purpose", Purpose)
def test_a_file_of_one_frame_is_placed_and_named_without_a_number(purpose, tmp_path):
    data = known_enhanced([7.5])
    scan = read_scan(data, "one.dcm")
    made = results([slice_of(data, scan, reading_with_a_spot(scan, ("meningioma",)))], DIGEST, purpose)
    assert set(made.files()) == {"sr", "map", "pm"}
    assert frames_of_map(parsed(made.parametric_map)) == [(7.5, None, 1)]
    expected = parsed(data) if purpose is Purpose.ARCHIVE else parsed(slice_for_teaching(data))
    assert expected.SOPClassUID == (EnhancedMRImageStorage if purpose is Purpose.ARCHIVE else MRImageStorage)
    assert (expected.SOPClassUID, expected.SOPInstanceUID, None) in frames_of(parsed(made.report))
    for content in made.files().values():
        assert validated(content, tmp_path) == []
    assert validated(slice_for_teaching(data), tmp_path) == []


def test_a_volume_that_is_no_dicom_is_refused_in_these_words():
    stack = door.load(door.group_into_series([File("head.nii", volume())])[0]).stack()
    with pytest.raises(NoReference, match="This series is not DICOM"):
        slices_of(stack, [(None, SliceReading(problem="none"), None)] * len(stack))


def test_a_frame_that_is_not_there_is_a_sentence(source):
    with pytest.raises(NoReference, match="has no frame 5"):
        header_of(source, 4)
    with pytest.raises(UnreadableScan, match="has no frame 5"):
        slice_for_teaching(source, 4)


def test_one_header_does_not_change_another_nor_what_is_made_again(source, slices):
    again = [results(slices, DIGEST, Purpose.ARCHIVE) for _ in range(2)]
    assert [part.header.SOPClassUID for part in slices] == [EnhancedMRImageStorage] * 4
    assert [float(part.header.ImagePositionPatient[2]) for part in slices] == [0, 3, 6, 9]
    assert frames_of_map(parsed(again[1].parametric_map)) == frames_of_map(parsed(again[0].parametric_map))
    # Where the file names something that frames name too.
    data = changed(source, lambda dataset: setattr(dataset, "SliceThickness", 9))
    assert header_of(data, 0).SliceThickness == 3
    data = changed(source, lambda dataset: setattr(dataset, "ImagePositionPatient", [0, 0, 50]))
    assert [float(part.header.ImagePositionPatient[2]) for part in read(data)] == [0, 3, 6, 9]


def crowded(frames: int, items: int, **changes) -> bytes:
    """A file of small frames, each with as many items of sequences as a scanner may write."""
    anatomy, code = Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "69536005", "SCT", "Head"
    anatomy.AnatomicRegionSequence = [code] * (items - 5)

    def crowd(dataset):
        dataset.Rows = dataset.Columns = 8
        dataset.PixelData = bytes(8 * 8 * 2 * frames)
        for item in dataset.PerFrameFunctionalGroupsSequence:
            item.FrameAnatomySequence = [anatomy]
        for keyword, value in changes.items():
            setattr(dataset, keyword, value)

    return changed(known_enhanced([float(place) for place in range(frames)]), crowd)


def test_hundreds_of_frames_keep_their_header_and_their_places():
    data = crowded(300, 40)
    assert data.count(b"\xfe\xff\x00\xe0") > 10_000
    assert is_instance(header_of(data))
    assert float(header_of(data, 299).ImagePositionPatient[2]) == 299
    parts = door.parts(File("a.dcm", data))
    assert parts.places.shape == (300, COLUMNS)
    # Of the groups of frames only the first frame's go along.
    assert len(parts.header) < 10_000
    assert len(parsed(parts.header).PerFrameFunctionalGroupsSequence) == 1


@pytest.mark.parametrize("frames", [1, 20, 10_000])
def test_items_beyond_those_of_honest_frames_are_not_taken_apart(frames):
    """Also where a file names more frames than it has."""
    other = Dataset()
    data = crowded(20, 10, NumberOfFrames=frames, OtherPatientIDsSequence=[other] * 110_000)
    begun = time.process_time()
    assert not is_instance(header_of(data))
    assert time.process_time() - begun < 0.5
    scan = read_scan(known_enhanced([0.0]), "a.dcm")
    with pytest.raises(NoReference, match="far longer than that of a scan"):
        results([slice_of(data, scan, reading_with_a_spot(scan, ()))], DIGEST, Purpose.ARCHIVE)


def test_a_long_header_loses_its_groups_first(source):
    def lengthen(dataset):
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "DCM", "kept"
        long = Dataset()
        long.CodeMeaning = "x" * 60
        dataset.SharedFunctionalGroupsSequence[0].ViewCodeSequence = [long] * 4_500
        dataset.ProcedureCodeSequence = [code]

    header = header_of(changed(source, lengthen), 1)
    assert "SharedFunctionalGroupsSequence" not in header
    assert header.ProcedureCodeSequence[0].CodeMeaning == "kept"
    assert float(header.ImagePositionPatient[2]) == 0


@pytest.mark.parametrize(
    "lie",
    [np.zeros(COLUMNS * 8 - 1, np.uint8), np.zeros(COLUMNS * 8 * 10_001, np.uint8), np.full((2, 2), 1.0)],
)
def test_what_a_process_says_of_places_is_checked(source, monkeypatch, lie):
    empty = np.frombuffer(b"", np.uint8)
    table = np.frombuffer(lie.tobytes(), np.uint8) if lie.ndim == 1 else lie
    monkeypatch.setattr(door, "_one", lambda *_: ({"syntax": "", "vr": ""}, [empty, empty, table]))
    with pytest.raises(UnreadableScan):
        door.parts(File("a.dcm", source))


@pytest.mark.parametrize("lie", [[0, 0, 1, 2], [0, 1, 2], [0, 1, 2, 10_000], [0, 1, 2, -1], "0123", 4])
def test_what_a_process_says_of_frames_is_checked(source, monkeypatch, lie):
    (item,) = door.group_into_series([File("a.dcm", source)])
    series = door.load(item)
    ask = door._one

    def lying(fields, *others, **options):
        reply, arrays = ask(fields, *others, **options)
        return ({**reply, "frames": lie} if fields["do"] == "stack" else reply), arrays

    monkeypatch.setattr(door, "_one", lying)
    with pytest.raises(UnreadableScan):
        series.stack()


def test_places_are_those_of_the_frame_before_those_of_all_before_those_of_the_file():
    file, shared, own, spacing, other = (Dataset() for _ in range(5))
    file.PixelSpacing, file.SliceThickness = [9, 9], 7
    spacing.PixelSpacing, other.PixelSpacing = [2, 3], [4, 5]
    shared.PixelMeasuresSequence, own.PixelMeasuresSequence = [spacing], [other]
    file.SharedFunctionalGroupsSequence = [shared]
    file.PerFrameFunctionalGroupsSequence = [Dataset(), own]
    table = places(file, 3)
    assert table[:, :2].tolist() == [[2, 3], [4, 5], [2, 3]]
    assert table[:, 2].tolist() == [7, 7, 7]
    assert np.isnan(table[:, 3:]).all()
    assert list(PLACE.values()) == [2, 1, 1, 6, 3]
    spacing.PixelSpacing = [float("nan"), 1]
    assert np.isnan(places(file, 1)[0, :2]).all()


def test_a_series_of_frames_with_new_uids_is_another_series(source):
    other = changed(source, lambda dataset: setattr(dataset, "SOPInstanceUID", generate_uid()))
    made = [parsed(slice_for_teaching(data, 0)).SOPInstanceUID for data in (source, other)]
    assert len({*made, parsed(slice_for_teaching(source, 1)).SOPInstanceUID}) == 3


def weighted(frames: list[tuple[float, str]]) -> bytes:
    """Frames at places, each of an echo time and a type; the value of the first pixel is its number."""
    echo_of = {"M": 10.0, "P": 10.0, "late": 90.0}

    def change(dataset):
        del dataset.SharedFunctionalGroupsSequence[0].MREchoSequence
        del dataset.SharedFunctionalGroupsSequence[0].MRImageFrameTypeSequence
        for item, (_, kind) in zip(dataset.PerFrameFunctionalGroupsSequence, frames, strict=True):
            echo, type_ = Dataset(), Dataset()
            echo.EffectiveEchoTime = echo_of[kind]
            type_.FrameType = ["ORIGINAL", "PRIMARY", "P" if kind == "P" else "M", "NONE"]
            item.MREchoSequence, item.MRImageFrameTypeSequence = [echo], [type_]

    return changed(known_enhanced([place for place, _ in frames]), change)


def opened(*files: bytes):
    return [intake.load(item) for item in intake.group_into_series([File("f", data) for data in files])]


@pytest.mark.parametrize("other", ["late", "P"])
def test_frames_of_two_weightings_are_two_volumes_in_whatever_order_they_are_stored(other):
    frames = [(0.0, "M"), (3.0, other), (6.0, "M"), (3.0, "M"), (0.0, other), (6.0, other)]
    (series,) = opened(weighted(frames))
    assert series.volumes == 2
    assert [series.stack(volume=volume).frames for volume in (0, 1)] == [(0, 3, 2), (4, 1, 5)]
    assert series.remarks == ()


@pytest.mark.parametrize("through", [door, intake])
def test_a_file_of_frames_that_was_given_twice_counts_once(source, through):
    other = changed(source, lambda dataset: setattr(dataset, "SOPInstanceUID", generate_uid()))
    named = zip(("one", "again", "other", "again, too"), (source, source, other, source), strict=True)
    items = through.group_into_series([File(name, data) for name, data in named])
    assert [item.name for item in items] == ["one", "other"]
    series = through.load(items[0])
    assert series.left_out == ("again", "again, too")
    assert series.remarks[0] == "2 files are copies of others that are here already, and were left out."
    assert through.load(items[1]).left_out == ()


def test_files_of_one_instance_that_show_different_things_are_no_copies(source):
    other = changed(source, lambda dataset: setattr(dataset, "PixelData", dataset.PixelData[::-1]))
    assert len(intake.group_into_series([File("one", source), File("other", other)])) == 2


def test_files_of_frames_of_two_patients_are_two_whatever_their_uid(source):
    other = changed(source, lambda dataset: setattr(dataset, "PatientID", "P8"))
    assert len(intake.group_into_series([File("one", source), File("other", other)])) == 2


def test_files_without_an_instance_uid_are_no_copies(source):
    nameless = changed(source, lambda dataset: delattr(dataset, "SOPInstanceUID"))
    assert len(intake.group_into_series([File(name, nameless) for name in "ab"])) == 2


@pytest.mark.parametrize("others", [0, 3])
def test_the_report_says_how_much_of_the_series_was_not_read(slices, others, tmp_path):
    files = results(slices, DIGEST, Purpose.ARCHIVE, others=others).files()
    assert counted(files["sr"], "N-OTHERS") == ([others] if others else [])
    assert validated(files["sr"], tmp_path) == []


def test_frames_counted_by_something_else_are_parted_by_that():
    frames = [(0.0, "M"), (3.0, "M"), (3.0, "M"), (0.0, "M")]

    def change(dataset):
        dataset.DimensionIndexSequence = [Dataset(), Dataset()]
        for item, keyword in zip(
            dataset.DimensionIndexSequence,
            ("InStackPositionNumber", "NominalCardiacTriggerDelayTime"),
            strict=True,
        ):
            item.DimensionIndexPointer = keyword
        for item, values in zip(
            dataset.PerFrameFunctionalGroupsSequence, ([1, 1], [2, 2], [2, 1], [1, 2]), strict=True
        ):
            item.FrameContentSequence[0].DimensionIndexValues = values

    (series,) = opened(changed(weighted(frames), change))
    assert [series.stack(volume=volume).frames for volume in (0, 1)] == [(0, 2), (3, 1)]


def test_frames_of_two_echoes_that_do_not_make_whole_volumes_are_told_of():
    (series,) = opened(weighted([(0.0, "M"), (3.0, "M"), (0.0, "late")]))
    assert series.volumes == 1
    assert series.remarks == (
        "The frames of this file are of different echoes, times, weightings or types, and are shown as one "
        "series.",
    )


def test_frames_in_planes_that_are_not_parallel_are_told_of():
    def change(dataset):
        plane = Dataset()
        plane.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
        dataset.PerFrameFunctionalGroupsSequence[2].PlaneOrientationSequence = [plane]

    (series,) = opened(changed(known_enhanced(PLACES), change))
    assert series.stack().frames == (0, 1, 2, 3)
    assert any("not parallel" in remark for remark in series.remarks)


@pytest.mark.parametrize("syntax", ["plain", "deflated"])
def test_files_of_one_frame_are_in_the_order_of_their_places(syntax):
    study, series_uid = generate_uid(), generate_uid()

    def change(number):
        def inner(dataset):
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series_uid
            dataset.InstanceNumber = number
            if syntax == "deflated":
                dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian

        return inner

    files = [changed(known_enhanced([place]), change(n)) for n, place in enumerate(PLACES, 1)]
    (series,) = opened(*files)
    assert series.stack().positions == (0.0, 3.0, 6.0, 9.0)
    assert [file.read() for file in series.stack().files] == [files[index] for index in (1, 3, 2, 0)]


def test_files_of_one_frame_in_several_planes_are_several_series():
    study, series_uid = generate_uid(), generate_uid()

    def change(number):
        def inner(dataset):
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series_uid
            if number > 1:
                (plane,) = dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
                plane.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]

        return inner

    files = [changed(known_enhanced([place]), change(n)) for n, place in enumerate(PLACES)]
    assert [len(item.files) for item in intake.group_into_series([File("f", data) for data in files])] == [
        2,
        2,
    ]


def test_a_part_of_a_concatenation_is_told_of():
    changes = {"ConcatenationUID": generate_uid(), "InConcatenationNumber": 2}
    (series,) = opened(known_enhanced(PLACES, **changes, InConcatenationTotalNumber=3))
    assert any("one part of a longer series" in remark for remark in series.remarks)
    (whole,) = opened(known_enhanced(PLACES, **changes, InConcatenationTotalNumber=1))
    assert whole.remarks == ()


def test_a_slice_for_teaching_has_the_first_of_several_inversion_times(source):
    def change(dataset):
        inversion = Dataset()
        inversion.InversionTimes = [900.0, 1000.0]
        dataset.SharedFunctionalGroupsSequence[0].MRModifierSequence = [inversion]

    assert parsed(slice_for_teaching(changed(source, change), 1)).InversionTime == 900


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("table", ["none", "extended"])
@pytest.mark.parametrize("named", [1, 3, 4])
def test_compressed_frames_beyond_those_that_the_header_names_are_an_error(syntax, table, named):
    def change(dataset):
        dataset.compress(syntax, generate_instance_uid=False)
        frames = [*generate_frames(dataset.PixelData, number_of_frames=4)]
        if table == "extended":
            dataset.PixelData, *both = encapsulate_extended(frames)
            dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = both
        else:
            # A frame in several pieces is one.
            pieces = 1 if syntax == RLELossless else 2
            dataset.PixelData = encapsulate(frames, pieces, has_bot=False)
        dataset.NumberOfFrames = named

    data = changed(known_enhanced(PLACES), change)
    if named == 4:
        (series,) = opened(data)
        assert [int(scan.pixels[0, 0]) for scan in series.stack()] == [1, 3, 2, 0]
    else:
        with pytest.raises(UnreadableScan, match=f"names {named} frames? and holds 4"):
            opened(data)
