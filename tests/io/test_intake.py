"""Many files at once: archives, the slices of a series in order, and a bad file that spoils nothing."""

from __future__ import annotations

import gzip
import io
import random
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from brat.io import archives
from brat.io import files as limits
from brat.io.files import File
from brat.io.folders import NO_SCAN, Skipped, skipped_items
from brat.io.intake import group_into_series, load
from brat.io.samples import load_samples
from brat.io.scan import Scan, UnreadableScan, Window
from brat.io.series import Series
from tests.factories.files import slice_of, zipped


def shuffled(files: list[File]) -> list[File]:
    random.Random(3).shuffle(files)
    return files


def numbers(series: Series) -> list[int]:
    return [int(scan.pixels[0, 0]) for scan in series.stack()]


@pytest.mark.parametrize(
    "changes",
    [
        lambda n: {},
        # Tilted, so that no axis alone tells the order, and numbered the other way round.
        lambda n: {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1], "ImagePositionPatient": [-3 * n, 5, 9]},
        lambda n: {"ImagePositionPatient": None, "SliceLocation": 2.5 * n},
        lambda n: {"ImagePositionPatient": None, "ImageOrientationPatient": None, "InstanceNumber": n},
    ],
    ids=["position", "sagittal", "location", "number"],
)
def test_slices_are_put_in_order(changes):
    files = shuffled([File(f"IM{n * 7919 % 100:03}", slice_of(n, **changes(n))) for n in range(12)])
    (item,) = group_into_series(files)
    assert item.is_series
    series = load(item)
    assert numbers(series) == list(range(12))
    assert series.format == "DICOM MR, 12-bit, 12 slices"
    assert series.planes == ("acquired",)


def test_positions_are_in_millimetres_from_the_first_slice():
    (item,) = group_into_series([File(str(n), slice_of(n)) for n in (4, 2, 3)])
    assert load(item).stack().positions == (0, 2.5, 5)
    (item,) = group_into_series([File(str(n), slice_of(n, ImagePositionPatient=None)) for n in (1, 2)])
    assert load(item).stack().positions is None


def test_series_pictures_and_what_is_neither_are_kept_apart():
    sample = load_samples()[0].file
    files = [
        *(File(f"a/{n}.dcm", slice_of(n)) for n in range(3)),
        File(sample.name, sample.read_bytes()),
        *(File(f"b/{n}.dcm", slice_of(n, series=generate_uid())) for n in range(1)),
        # Of the same series, but across it: a localiser.
        File("a/scout.dcm", slice_of(9, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])),
        File("notes.txt", b"not a scan"),
    ]
    items = group_into_series(files)
    assert [(item.name, item.is_series) for item in items] == [
        ("a", True),
        (sample.name, False),
        ("b/0.dcm", False),
        ("a/scout.dcm", False),
        ("notes.txt", False),
    ]
    assert isinstance(load(items[1]), Scan)
    assert isinstance(load(items[2]), Scan)
    with pytest.raises(UnreadableScan, match="not an image"):
        load(items[4])


def test_a_damaged_slice_spoils_nothing():
    broken = slice_of(1)
    files = [File("0", slice_of(0)), File("1", broken[: len(broken) - 4000]), File("2", slice_of(2))]
    (item,) = group_into_series(files)
    stack = load(item).stack()
    assert [stack[0].pixels[0, 0], stack[2].pixels[0, 0]] == [0, 2]
    with pytest.raises(UnreadableScan, match="damaged"):
        stack[1]


def test_an_empty_slice_is_a_slice():
    empty = slice_of(0, PixelData=bytes(2 * 80 * 70))
    (item,) = group_into_series([File("0", empty), File("1", slice_of(1))])
    assert load(item).stack()[0].gray.max() == 0


def test_an_archive_is_unpacked_and_what_systems_leave_in_it_passed_over():
    sample = load_samples()[0].file
    archive = zipped(
        {
            **{f"study/series/{n}": slice_of(n) for n in range(4)},
            "__MACOSX/study/._x": b"x",
            "study/.DS_Store": b"x",
            "study/DICOMDIR": b"x",
            f"pictures/{sample.name}": sample.read_bytes(),
        }
    )
    items = group_into_series([File("patient.zip", archive)])
    assert [item.name for item in items] == [
        "patient.zip/study/series",
        f"patient.zip/pictures/{sample.name}",
    ]
    assert numbers(load(items[0])) == [0, 1, 2, 3]


def test_a_path_that_leads_upwards_is_a_name_and_its_scan_is_not_passed_over():
    sample = load_samples()[0].file
    (item,) = group_into_series([File("a.zip", zipped({f"../../{sample.name}": sample.read_bytes()}))])
    assert isinstance(load(item), Scan)


def test_archives_and_scans_may_lie_on_disk(tmp_path):
    (tmp_path / "one.zip").write_bytes(zipped({"a": slice_of(0), "b": slice_of(1)}))
    (tmp_path / "two").write_bytes(slice_of(2))
    (item,) = group_into_series([File(name, tmp_path / name) for name in ("one.zip", "two")])
    assert numbers(load(item)) == [0, 1, 2]
    (gone,) = group_into_series([File("gone.png", tmp_path / "gone.png")])
    with pytest.raises(UnreadableScan, match="could not be opened"):
        load(gone)


def problem(data: bytes) -> str:
    *_, item = group_into_series([File("a.zip", data)])
    with pytest.raises(UnreadableScan) as caught:
        load(item)
    assert str(caught.value) == item.problem
    return item.problem


def test_bad_archives_are_refused_with_a_sentence(monkeypatch):
    good = zipped({"a": slice_of(0), "b": slice_of(1)})
    assert "damaged" in problem(good[: len(good) // 2])
    flipped = bytearray(good)
    flipped[60] ^= 255
    assert "damaged" in problem(bytes(flipped))
    assert "no file in this archive" in problem(zipped({"folder/": b""}))
    locked = bytearray(zipped({"a": b"x" * 100}, zipfile.ZIP_STORED))
    at = locked.index(b"PK\x01\x02")
    locked[at + 8] |= 1
    assert "password" in problem(bytes(locked))
    monkeypatch.setattr(archives, "MAX_FILES", 1)
    assert "2 files" in problem(good)
    monkeypatch.setattr(archives, "MAX_FILES", 10)
    # What it says of its size is not believed.
    monkeypatch.setattr(limits, "MAX_UNPACKED", 2_000_000)
    bomb = bytearray(zipped({"a": bytes(3_000_000)}))
    at = bomb.index(b"PK\x01\x02")
    bomb[at + 24 : at + 28] = (100).to_bytes(4, "little")
    assert problem(bytes(bomb))
    assert "unpacks to over 2 MB" in problem(zipped({"a": bytes(3_000_000)}))


def test_an_archive_that_breaks_off_leaves_the_other_files():
    items = group_into_series([File("a.zip", b"PK\x03\x04 and no more"), File("1", slice_of(1))])
    assert [bool(item.problem) for item in items] == [True, False]


def packed(data: bytes) -> bytes:
    return gzip.compress(data, 1)


def test_dicom_in_gzip_is_read_by_itself_and_as_a_series_and_in_an_archive():
    (item,) = group_into_series([File("zipMR.gz", Path(get_testdata_file("zipMR.gz")))])
    assert load(item).format == "DICOM MR, 16-bit, T2"
    files = {f"{n}.dcm.gz": packed(slice_of(n)) for n in range(3)}
    for given in ([File(*file) for file in files.items()], [File("a.zip", zipped(files))]):
        (item,) = group_into_series(given)
        assert numbers(load(item)) == [0, 1, 2]


def test_bad_gzip_is_refused_with_a_sentence_and_leaves_the_other_files(monkeypatch):
    good = packed(slice_of(0))
    for bad in (good[:-20], good[:100], b"\x1f\x8b" + bytes(40)):
        items = group_into_series([File("a.zip", zipped({"bad.gz": bad, "good.gz": good}))])
        assert [bool(item.problem) for item in items] == [True, False]
        with pytest.raises(UnreadableScan, match="damaged or breaks off"):
            load(items[0])
    monkeypatch.setattr(limits, "MAX_UNPACKED", 2_000_000)
    # Of an archive, all that comes out counts together.
    files = [File("a.zip", zipped({name: packed(bytes(1_200_000)) for name in "ab"}))]
    assert ["over 2 MB" in item.problem for item in group_into_series(files)] == [False, True]


VOLUMES = {
    "a.mnc": (b"CDF\x01" + bytes(90), "MINC"),
    "b.mnc": (b"\x89HDF\r\n\x1a\n" + bytes(90), "MINC"),
    "c.mgh": (b"\0\0\0\1" + b"\0\0\0\x50" * 3, "MGH"),
    "d.mgz": (gzip.compress(b"\0\0\0\1" + b"\0\0\0\x50" * 3), "MGH"),
    "e.PAR": (b"# === DATA DESCRIPTION FILE ======", "header of a PAR/REC"),
    "e.REC": (bytes(90), "picture of a PAR/REC"),
    "f+orig.HEAD": (b"\ntype = string-attribute", "header of an AFNI"),
    "f+orig.BRIK": (bytes(90), "picture of an AFNI"),
    "g.hdr": (b"\x5c\x01\0\0" + bytes(344), "header of an Analyze"),
    "h.hdr": (b"\0\0\x01\x5c" + bytes(344), "header of an Analyze"),
    "i.v": (b"MATRIX72v", "ECAT"),
    "j.nrrd": (b"NRRD0004\n", "NRRD"),
    "k.mha": (b"ObjectType = Image\n", "MetaImage"),
}


@pytest.mark.parametrize("name", VOLUMES)
def test_volumes_of_other_programs_are_refused_with_what_to_do(name):
    data, description = VOLUMES[name]
    (item,) = group_into_series([File(name, data)])
    with pytest.raises(UnreadableScan, match=rf"{description}.*Convert it to NIfTI"):
        load(item)


def test_a_preamble_that_looks_like_another_format_is_not_believed():
    data = b"\x5c\x01\0\0" + slice_of(0, PixelData=bytes(2 * 80 * 70))[4:]
    with pytest.raises(UnreadableScan, match="all over"):
        load(group_into_series([File("a.dcm", data)])[0])


def test_other_archives_are_named():
    for data, description in (
        (b"7z\xbc\xaf'\x1c", "7z"),
        (b"Rar!\x1a\7", "RAR"),
        (bytes(257) + b"ustar", "TAR"),
    ):
        (item,) = group_into_series([File("a", packed(data))])
        with pytest.raises(UnreadableScan, match=f"a {description} archive"):
            load(item)


def test_a_picture_is_read_whatever_its_name():
    sample = load_samples()[0].file.read_bytes()
    for name in ("a.rec", "a.img", "a.hdr"):
        assert isinstance(load(group_into_series([File(name, sample)])[0]), Scan)


def test_windows_come_from_the_header_and_nobodys_name_with_them():
    (item,) = group_into_series([File(str(n), slice_of(n)) for n in range(2)])
    series = load(item)
    assert series.presets == (Window(500, 1000, "brain", "LINEAR"), Window(300, 200, "", "LINEAR"))
    assert series.window == series.presets[0]
    narrow = series.windowed(series.presets[1])
    first, second = series.stack()[0], narrow.stack()[0]
    assert second.window.center == 300
    assert second.digest != first.digest
    # PS3.3 C.11.2.1.2.1: 200.5 is black, 399.5 is white.
    assert second.gray[200 // 70, 200 % 70] == 0
    assert second.gray[400 // 70, 400 % 70] == 255
    assert narrow.windowed(series.presets[0]).stack()[0].gray.tolist() == first.gray.tolist()


def test_a_scan_without_a_window_says_so():
    scan = load(group_into_series([File("a.png", load_samples()[1].file.read_bytes())])[0])
    assert scan.window is None
    with pytest.raises(ValueError, match="no window"):
        scan.windowed(Window(1, 2))


def multi_frame(**changes) -> bytes:
    frames = np.stack(
        [np.frombuffer(pydicom.dcmread(io.BytesIO(slice_of(n))).PixelData, "<u2") for n in range(5)]
    )
    return slice_of(0, NumberOfFrames=5, PixelData=frames.tobytes(), **changes)


def test_frames_are_a_series():
    (item,) = group_into_series([File("cine.dcm", multi_frame())])
    series = load(item)
    assert numbers(series) == [0, 1, 2, 3, 4]
    assert series.format == "DICOM MR, 12-bit, 5 frames"
    stack = series.stack()
    assert stack[3].name == "cine.dcm, 4 of 5"
    assert len({scan.digest for scan in stack}) == 5


def test_frames_of_an_enhanced_file_lie_in_order_each_with_its_own_scale_and_window():
    def group(place, slope, center):
        item, position, values, window = (Dataset() for _ in range(4))
        position.ImagePositionPatient = [0, 0, place]
        values.RescaleSlope, values.RescaleIntercept, values.RescaleType = slope, 10, "US"
        window.WindowCenter, window.WindowWidth = center, 50
        item.PlanePositionSequence = [position]
        item.PixelValueTransformationSequence = [values]
        item.FrameVOILUTSequence = [window]
        return item

    places = [4, 2, 0, 3, 1]
    data = multi_frame(
        ImagePositionPatient=None,
        WindowCenter=None,
        WindowWidth=None,
        PerFrameFunctionalGroupsSequence=[group(place, 2, 100 + place) for place in places],
    )
    (item,) = group_into_series([File("enhanced.dcm", data)])
    stack = load(item).stack()
    # Frame 2 lies first, and its first value is 2.
    assert [scan.pixels[0, 0] for scan in stack] == [2 * frame + 10 for frame in (2, 4, 1, 3, 0)]
    assert [scan.window.center for scan in stack] == [100, 101, 102, 103, 104]
    assert stack.positions == (0, 1, 2, 3, 4)


def test_colour_and_palettes_of_many_frames():
    for name in ("SC_rgb_rle_2frame.dcm", "examples_ybr_color.dcm"):
        dataset = pydicom.dcmread(get_testdata_file(name))
        # The second is ultrasound, which is refused.
        dataset.Modality = "OT"
        written = io.BytesIO()
        dataset.save_as(written)
        (item,) = group_into_series([File(name, written.getvalue())])
        series = load(item)
        assert series.window is None
        assert series.stack()[1].gray.dtype == np.uint8


def test_slices_of_a_series_may_be_read_by_several_threads():
    from brat.model.pool import in_order

    (item,) = group_into_series([File("cine.dcm", multi_frame())])
    stack = load(item).stack()
    assert list(in_order(lambda i: int(stack[i].pixels[0, 0]), [n % 5 for n in range(200)], 4)) == [
        n % 5 for n in range(200)
    ]


def test_a_plan_or_a_report_is_no_slice_of_a_series():
    plan = File("plan.dcm", Path(get_testdata_file("rtplan.dcm")))
    items = group_into_series([plan, File("0", slice_of(0)), File("1", slice_of(1))])
    assert [item.is_series for item in items] == [False, True]
    with pytest.raises(UnreadableScan, match="no picture"):
        load(items[0])


def test_slices_whose_planes_differ_by_a_rounding_error_are_one_stack():
    # On both sides of where two decimals are rounded.
    planes = [[1, 0, 0, 0, 0.994999, 0.1], [1, 0, 0, 0, 0.995001, 0.1], [1, 0, 0, 0, 0.994, 0.1]]
    items = group_into_series(
        [File(str(n), slice_of(n, ImageOrientationPatient=planes[n])) for n in range(3)]
    )
    assert [len(item.files) for item in items] == [3]


def test_one_slice_without_a_position_does_not_mix_up_the_others():
    # By its number, as all have one, and not some by millimetres and some by 0.
    def changes(n: int) -> dict:
        return {"InstanceNumber": n, **({"ImagePositionPatient": None} if n == 3 else {})}

    (item,) = group_into_series(shuffled([File(str(n), slice_of(n, **changes(n))) for n in range(6)]))
    assert numbers(load(item)) == list(range(6))
    assert load(item).stack().positions is None


def test_slices_that_say_nothing_of_their_place_are_in_order_of_their_names():
    nowhere = {"ImagePositionPatient": None, "InstanceNumber": None}
    (item,) = group_into_series(shuffled([File(f"IM{n}", slice_of(n, **nowhere)) for n in range(12)]))
    assert [file.name for file in item.files] == [f"IM{n}" for n in range(12)]


def test_a_header_with_anything_in_it_is_no_crash():
    odd = pydicom.dcmread(io.BytesIO(slice_of(1)))
    with pydicom.config.disable_value_validation():
        odd.SeriesInstanceUID = ["1.2", "1.3"]
        odd.InstanceNumber = [1, 2]
        odd.SliceLocation = ""
        written = io.BytesIO()
        odd.save_as(written)
    items = group_into_series([File("odd", written.getvalue()), File("0", slice_of(0))])
    assert len(items) == 2
    assert isinstance(load(items[0]), Scan)


def test_more_frames_than_could_be_are_refused():
    (item,) = group_into_series([File("many", slice_of(0, NumberOfFrames=2_000_000_000))])
    with pytest.raises(UnreadableScan, match="2,000,000,000 frames"):
        load(item)


def test_frames_that_are_not_parallel_stay_as_they_are_stored():
    def group(place, plane):
        item, position, orientation = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient, orientation.ImageOrientationPatient = place, plane
        item.PlanePositionSequence, item.PlaneOrientationSequence = [position], [orientation]
        return item

    axial, sagittal = [1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1]
    groups = [group([0, 0, 9], axial), *(group([-n, 0, 0], sagittal) for n in (1, 4, 3, 2))]
    data = multi_frame(PerFrameFunctionalGroupsSequence=groups)
    stack = load(group_into_series([File("localiser.dcm", data)])[0]).stack()
    assert [int(scan.pixels[0, 0]) for scan in stack] == [0, 1, 2, 3, 4]
    assert stack.positions is None


@pytest.mark.parametrize("is_interleaved", [False, True])
def test_slices_acquired_twice_in_the_same_places_are_two_volumes(is_interleaved):
    files = []
    for n in range(12):
        place, volume = (n // 2, n % 2) if is_interleaved else (n % 6, n // 6)
        data = slice_of(n, InstanceNumber=n, ImagePositionPatient=[0, 0, 3 * place], SeriesNumber=volume)
        files.append(File(f"{n}", data))
    series = load(group_into_series(shuffled(files))[0])
    assert (series.volumes, series.format) == (2, "DICOM MR, 12-bit, 6 slices, 2 volumes")
    first, second = series.stack(), series.stack(volume=1)
    assert first.positions == second.positions == (0, 3, 6, 9, 12, 15)
    expected = [range(0, 12, 2), range(1, 12, 2)] if is_interleaved else [range(6), range(6, 12)]
    for stack, of in zip((first, second), expected, strict=True):
        assert [int(scan.pixels[0, 0]) for scan in stack] == list(of)
        assert pydicom.dcmread(io.BytesIO(stack.files[2].read())).InstanceNumber == of[2]


def test_a_slice_too_many_makes_no_volume():
    files = [File(str(n), slice_of(n, ImagePositionPatient=[0, 0, n % 3])) for n in range(7)]
    series = load(group_into_series(files)[0])
    assert series.volumes == 1
    assert len(series.stack()) == 7
    assert series.stack().positions == (0, 0, 0, 1, 1, 2, 2)


def test_slices_of_one_place_are_in_order_of_their_numbers():
    files = [File(str(n), slice_of(n, ImagePositionPatient=[0, 0, 1], InstanceNumber=n)) for n in range(5)]
    series = load(group_into_series(shuffled(files))[0])
    assert numbers(series) == [0, 1, 2, 3, 4]
    assert series.stack().positions is None


def test_frames_of_the_same_places_are_volumes():
    def group(place):
        item, position = Dataset(), Dataset()
        position.ImagePositionPatient = [0, 0, place]
        item.PlanePositionSequence = [position]
        return item

    groups = [group(place) for place in (2, 1, 2, 1)]
    changes = {"NumberOfFrames": 4, "ImagePositionPatient": None, "PerFrameFunctionalGroupsSequence": groups}
    data = pydicom.dcmread(io.BytesIO(multi_frame()))
    series = load(
        group_into_series([File("a.dcm", slice_of(0, PixelData=data.PixelData[: 8 * 80 * 70], **changes))])[0]
    )
    assert (series.volumes, series.format) == (2, "DICOM MR, 12-bit, 2 frames, 2 volumes")
    assert [[int(scan.pixels[0, 0]) for scan in series.stack(volume=n)] for n in (0, 1)] == [[1, 0], [3, 2]]
    assert series.stack(volume=1)[0].name == "a.dcm, volume 2, 1 of 2"


def test_pictures_of_floating_point_numbers():
    values = np.linspace(-1, 1, 80 * 70, dtype=np.float32).reshape(80, 70)
    absent = dict.fromkeys(("PixelData", "BitsStored", "HighBit", "WindowCenter", "WindowWidth"))
    data = slice_of(0, FloatPixelData=values.tobytes(), BitsAllocated=32, **absent)
    scan = load(group_into_series([File("map.dcm", data)])[0])
    np.testing.assert_array_equal(scan.pixels, values)
    assert scan.format == "DICOM MR, 32-bit"


def test_a_window_that_is_written_twice_is_one():
    data = slice_of(
        0, WindowCenter=[40, 40, 50], WindowWidth=[100, 100, 90], WindowCenterWidthExplanation=None
    )
    assert [window.center for window in load(group_into_series([File("0", data)])[0]).presets] == [40, 50]


PLANTED = "PLANTED"


def planted(number: int, **changes) -> bytes:
    """A slice with a name in every field of its header that holds words, whatever its type should be."""
    dataset = pydicom.dcmread(io.BytesIO(slice_of(number, **changes)))
    with pydicom.config.disable_value_validation():
        for keyword in (
            *("PatientName", "PatientID", "SeriesDescription", "StudyDescription", "ProtocolName"),
            *("InstitutionName", "OperatorsName", "ImageComments", "StationName", "Manufacturer", "Modality"),
            *("WindowCenterWidthExplanation", "RescaleType", "ImageType", "BodyPartExamined", "StudyID"),
            *(
                "AccessionNumber",
                "SequenceName",
                "VOILUTFunction",
                "FrameOfReferenceUID",
                "SeriesInstanceUID",
            ),
        ):
            setattr(dataset, keyword, PLANTED)
        dataset.add_new(0x00091001, "LO", PLANTED)
        written = io.BytesIO()
        dataset.save_as(written)
    return written.getvalue()


@pytest.mark.parametrize("count", [1, 3])
def test_no_name_in_a_header_gets_further(count, capfd, caplog):
    good = [File(f"{n}.dcm", planted(n)) for n in range(count)]
    multi = planted(0, NumberOfFrames=2, PixelData=bytes(4 * 80 * 70))
    bad = [
        File("cut.dcm", planted(7)[:600]),
        File("empty.dcm", planted(8, PixelData=None)),
        File("many.dcm", multi),
    ]
    passed_on = []
    for item in group_into_series([*good, *bad, File("a.zip", zipped({"a": planted(9)}))]):
        passed_on += [item.name, item.problem]
        try:
            opened = load(item)
        except UnreadableScan as error:
            passed_on.append(str(error))
            continue
        passed_on += [opened.name, opened.format, opened.modality, opened.window, opened.presets]
        if isinstance(opened, Series):
            scan = opened.stack()[0]
            passed_on += [scan.name, scan.format, scan.modality, scan.window, scan.presets]
    assert len(passed_on) > 10
    assert PLANTED not in str(passed_on).upper()
    assert PLANTED not in "".join([*capfd.readouterr(), caplog.text])


def test_no_name_in_place_of_a_number_gets_further():
    for keyword in ("BitsStored", "Rows", "NumberOfFrames", "WindowWidth", "RescaleSlope", "InstanceNumber"):
        odd = pydicom.dcmread(io.BytesIO(slice_of(1)))
        if keyword in odd:
            del odd[keyword]
        with pydicom.config.disable_value_validation():
            odd.add_new(keyword, "LO", PLANTED)
            written = io.BytesIO()
            odd.save_as(written)
        (item,) = group_into_series([File("odd.dcm", written.getvalue())])
        try:
            opened = load(item)
            passed_on = (opened.format, opened.window, opened.presets)
        except UnreadableScan as error:
            passed_on = str(error)
        assert PLANTED not in str(passed_on)


def test_an_archive_in_an_archive_is_refused_with_what_to_do():
    inner = zipped({"a.png": load_samples()[0].file.read_bytes()})
    for archive in (
        zipped({"in.zip": inner}),
        gzip.compress(inner),
        zipped({"in.zip.gz": gzip.compress(inner)}),
    ):
        (item,) = group_into_series([File("out", archive)])
        assert not item.is_series
        with pytest.raises(UnreadableScan, match=r"archive in an archive\. Unpack the outer one"):
            load(item)


def test_an_empty_archive_is_said_to_be_empty():
    (item,) = group_into_series([File("empty.zip", zipped({}))])
    with pytest.raises(UnreadableScan, match="no file in this archive"):
        load(item)


def test_items_say_what_was_skipped_in_a_folder():
    items = skipped_items(
        [
            Skipped("s/a.txt", NO_SCAN),
            Skipped("s/b.nrrd", "it is an NRRD volume, which is not read here"),
            Skipped("s/c.txt", NO_SCAN),
        ]
    )
    assert [(item.name, item.problem) for item in items] == [
        ("s/b.nrrd", "It is an NRRD volume, which is not read here."),
        ("s/a.txt and 1 more", "By name and content this is no scan."),
    ]
    with pytest.raises(UnreadableScan, match="NRRD"):
        load(items[0])
