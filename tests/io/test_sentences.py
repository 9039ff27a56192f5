"""The sentence is true: what is not damaged is not called so, and what can be read all the same is read."""

from __future__ import annotations

import base64
import gzip
import io
import sys

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from brat.io.archives import gunzipped
from brat.io.files import File
from brat.io.intake import group_into_series, load
from brat.io.read import read_scan
from brat.io.scan import UnreadableScan
from tests.factories.files import slice_of
from tests.factories.heads import synthetic_head

GRAY = synthetic_head(200, 180)

HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWl4AAAAAG1pZjFoZWl4bWlhZgAAAU5tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJp"
    "bG9jAAAAAERAAAEAAQAAAAABcgABAAAAAAAAAH4AAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAAB"
    "AAAAzmlwcnAAAACvaXBjbwAAAHJodmNDAQQIAAAAn/gAAAAAHvAA/Pz4+AAADwNgAAEAF0ABDAH//wQIAAADAJ/4AAADAAAeugJAYQAB"
    "ACZCAQEECAAAAwCf+AAAAwAAHsCiBhZbqSSmubAgAAADAyAAAAMAIWIAAQAHRAHBcrAiQAAAABNjb2xybmNseAABAA0ABoAAAAAUaXNw"
    "ZQAAAAAAAABQAAAAYAAAAA5waXhpAAAAAAEIAAAAF2lwbWEAAAAAAAAAAQABBIECAwQAAACGbWRhdAAAAHooAa4WwPem/7sfBNQTxwPp"
    "3j8ty/zq5nOHNRx9Yoh9S0lgd6QQobXiIyGwLrYy7VEQr6l+Ykn0jKEN8/pY2LcgFGgq1KRVZHQW/z0i26krtJJngg3EHHU11foyOxGz"
    "nFSNynBbuTMHY6X8PlMOSzeDOlz54Yax7chLgA=="
)
"""A drawn head of 96 x 80 pixels."""


def refusal(data: bytes, name: str = "scan") -> str:
    with pytest.raises(UnreadableScan) as caught:
        load(group_into_series([File(name, data)])[0])
    return str(caught.value)


def resaved(data: bytes, **elements) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(data))
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    written = io.BytesIO()
    dataset.save_as(written)
    return written.getvalue()


@pytest.mark.parametrize(
    ("keyword", "name"),
    [
        ("Rows", "Rows"),
        ("BitsAllocated", "Bits Allocated"),
        ("BitsStored", "Bits Stored"),
        ("SamplesPerPixel", "Samples per Pixel"),
        ("PixelRepresentation", "Pixel Representation"),
        ("PhotometricInterpretation", "Photometric Interpretation"),
    ],
)
def test_attribute_that_is_missing_is_named(keyword, name):
    if keyword == "BitsAllocated":
        # pydicom does not write such a file.
        said = refusal(slice_of(0).replace(b"\x28\0\0\x01US\2\0\x10\0", b""))
    else:
        said = refusal(slice_of(0, **{keyword: None}))
    assert f"it lacks {name}" in said
    assert "damaged" not in said


def test_transfer_syntax_that_does_not_fit_is_said():
    plain = slice_of(0)
    wrong = pydicom.dcmread(io.BytesIO(plain))
    frame = encapsulate([bytes(64)])
    native = resaved(plain, PixelData=frame + bytes(len(wrong.PixelData) - len(frame)))
    assert (
        "says that its picture is not compressed (Explicit VR Little Endian), but it is compressed"
        in refusal(native)
    )
    # What was unpacked without a change of the header, as some archives do.
    said = refusal(plain.replace(ExplicitVRLittleEndian.encode() + b"\0", RLELossless.encode() + b"\0"))
    assert "says that its picture is compressed (RLE Lossless), but it is not" in said


def test_gzip_of_several_members_is_read():
    volume = nibabel.Nifti1Image(
        np.arange(80 * 80 * 8, dtype=np.int16).reshape(80, 80, 8), np.eye(4)
    ).to_bytes()
    members = [gzip.compress(volume[at : at + 5000]) for at in range(0, len(volume), 5000)]
    # bgzip ends with an empty member.
    packed = b"".join([*members, gzip.compress(b"")])
    whole = load(group_into_series([File("a.nii", volume)])[0])
    for data in (packed, packed + bytes(512)):
        series = load(group_into_series([File("a.nii.gz", data)])[0])
        np.testing.assert_array_equal(series.stack()[4].pixels, whole.stack()[4].pixels)
    assert "damaged" in refusal(packed[:-30], "a.nii.gz")
    one = slice_of(0)
    half = gzip.compress(one[:3000]) + gzip.compress(one[3000:])
    (item,) = group_into_series([File("a.dcm.gz", half)])
    assert load(item).modality == "MR"


def test_gzip_is_unpacked_up_to_a_limit():
    twice = gzip.compress(b"a" * 100) + gzip.compress(b"b" * 100)
    assert gunzipped(twice, 200) == b"a" * 100 + b"b" * 100
    assert gunzipped(twice, 199) is None
    with pytest.raises(EOFError):
        gunzipped(twice[:-1], 200)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 4}])
def test_jpeg_without_its_end_is_shown_whole_or_refused(options):
    written = io.BytesIO()
    Image.fromarray(GRAY).save(written, "JPEG", **options)
    data = written.getvalue()
    whole = read_scan(data)
    assert whole.remarks == ()
    for lost in (1, 2):
        scan = read_scan(data[:-lost])
        np.testing.assert_array_equal(scan.gray, whole.gray)
        assert scan.remarks == ("The end of this JPEG file is lost. Its picture is whole.",)
    for lost in range(3, 300, 3):
        try:
            scan = read_scan(data[:-lost])
        except UnreadableScan:
            continue
        # Bits that fill up the last byte.
        np.testing.assert_array_equal(scan.gray, whole.gray)
        assert lost < 8


def test_heic_is_read_where_its_package_is_there():
    pytest.importorskip("pi_heif")
    scan = read_scan(HEIC)
    assert scan.gray.shape == (96, 80)
    assert scan.gray[48, 40] > 50 > scan.gray[2, 2]
    assert "damaged" in refusal(HEIC[:-40])


def test_heic_without_its_package_says_how_to_make_a_jpeg(monkeypatch):
    for name in ("pi_heif", "pillow_heif"):
        monkeypatch.setitem(sys.modules, name, None)
    said = refusal(HEIC)
    assert "HEIC photo" in said
    assert "JPEG" in said


def test_arrays_and_matlab_files_are_named_with_what_to_do():
    written = io.BytesIO()
    np.save(written, GRAY)
    assert "a NumPy array" in refusal(written.getvalue(), "a.npy")
    assert "numpy.load" in refusal(written.getvalue(), "a.npy")
    for version in (
        b"MATLAB 5.0 MAT-file, Platform: PCWIN64".ljust(512),
        b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF",
    ):
        assert "imwrite(mat2gray(cjdata.image)" in refusal(version, "1.mat")


@pytest.mark.parametrize(
    ("elements", "name"),
    [
        ({"BitsAllocated": 12}, "Bits Allocated"),
        ({"BitsStored": 20}, "Bits Stored"),
        ({"PixelRepresentation": 5}, "Pixel Representation"),
        ({"PhotometricInterpretation": "FOO"}, "Photometric Interpretation"),
        ({"SamplesPerPixel": 3}, "Photometric Interpretation"),
    ],
)
def test_what_a_header_says_and_cannot_mean_is_named(elements, name):
    message = refusal(slice_of(0, **elements))
    assert "damaged" not in message
    assert f"does not fit ({name})" in message


@pytest.mark.parametrize("junk", [b"hello" * 10, b"\xff" * 7, b"SEFT" + bytes(range(1, 100))])
def test_what_a_phone_writes_behind_a_jpeg_is_no_loss(junk):
    written = io.BytesIO()
    Image.fromarray(GRAY).save(written, "JPEG", quality=90)
    whole = read_scan(written.getvalue())
    scan = read_scan(written.getvalue() + junk)
    np.testing.assert_array_equal(scan.gray, whole.gray)
    assert scan.remarks == ()


def test_pages_that_a_tiff_lost_are_said():
    written = io.BytesIO()
    pages = [Image.fromarray(GRAY + np.uint8(n)) for n in range(4)]
    pages[0].save(written, "TIFF", save_all=True, append_images=pages[1:])
    data = written.getvalue()
    series = load(group_into_series([File("a.tif", data)])[0])
    assert [scan.remarks for scan in series.stack()] == [()] * 4
    # Each page begins with its directory, at whose end stands where the next one is.
    directories = [int.from_bytes(data[4:8], "little")]
    for _ in range(3):
        end = directories[-1] + 2 + 12 * int.from_bytes(data[directories[-1] :][:2], "little")
        directories.append(int.from_bytes(data[end : end + 4], "little"))
    for count in (3, 1):
        opened = load(group_into_series([File("a.tif", data[: directories[count]])])[0])
        scans = list(opened.stack()) if count > 1 else [opened]
        assert len(scans) == count
        for scan in scans:
            assert scan.remarks == ("This TIFF file breaks off: further pages of it are lost.",)


def test_thumbnail_among_pages_is_not_read():
    written = io.BytesIO()
    small = Image.fromarray(GRAY).resize((60, 60))
    Image.fromarray(GRAY).save(written, "TIFF", save_all=True, append_images=[small])
    stack = load(group_into_series([File("a.tif", written.getvalue())])[0]).stack()
    np.testing.assert_array_equal(stack[0].gray, GRAY)
    with pytest.raises(UnreadableScan, match="only 60 x 60 pixels"):
        stack[1]
