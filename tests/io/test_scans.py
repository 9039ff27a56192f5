"""Every file that is read here was made here, or comes with pydicom."""

from __future__ import annotations

import hashlib
import io
import random
import re
import struct
import subprocess
import sys
import zlib
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_voi_lut
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    MRImageStorage,
    RLELossless,
)

from brat.io.dicom import Dicom
from brat.io.files import File
from brat.io.intake import group_into_series, load
from brat.io.read import read_scan
from brat.io.scan import MAX_PIXELS, MAX_SIDE, Scan, SeveralScans, UnreadableScan
from brat.io.series import Series
from brat.io.sniff import SUFFIXES
from tests.factories.heads import synthetic_head

GRAY = synthetic_head(80, 96)
GRAY[:24, :24] = 200  # so that no two orientations look alike
DEEP = GRAY.astype(np.uint16) * 257 - np.arange(96, dtype=np.uint16)
DEEP[GRAY == 0] = 0
PYDICOM_FILES = Path(pydicom.__file__).parent / "data" / "test_files"

DAMAGED = "damaged or breaks off"
RARE = "damaged, breaks off or is of a rare kind"
NOT_AN_IMAGE = "not an image"
TOO_LARGE = "million"


def rgb(gray: np.ndarray) -> np.ndarray:
    return np.dstack([gray] * 3)


def pillow(pixels: np.ndarray | Image.Image, kind: str, **options) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png16(pixels: np.ndarray, *chunks: bytes, size: tuple[int, int] | None = None) -> bytes:
    """uint16 (height, width) or (height, width, 2 to 4) as gray, gray and alpha, RGB or RGBA."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    height, width = size or pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    parts = [png_chunk(b"IHDR", header), *chunks, png_chunk(b"IDAT", zlib.compress(rows))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + png_chunk(b"IEND", b"")


def tiff(pixels: np.ndarray, size: tuple[int, int] | None = None, **tags: int) -> bytes:
    """An uncompressed little-endian TIFF of one strip; planes first where `planar` is 2."""
    planar = tags.get("planar", 1)
    samples = 1 if pixels.ndim == 2 else pixels.shape[0 if planar == 2 else 2]
    height, width = size or (pixels.shape[1:] if planar == 2 else pixels.shape[:2])
    content = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    strips = samples if planar == 2 else 1
    sample_format = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    fields = {
        256: [width],
        257: [height],
        258: [pixels.itemsize * 8] * samples,
        259: [1],
        262: [tags.get("photometric", 2 if samples == 3 else 1)],
        273: [8 + n * len(content) // strips for n in range(strips)],
        274: [tags.get("orientation", 1)],
        277: [samples],
        278: [height],
        279: [len(content) // strips] * strips,
        284: [planar],
        339: [sample_format] * samples,
    }
    if samples in (2, 4) and fields[262] != [5]:
        fields[338] = [2]
    directory = 8 + len(content)
    extra_at = directory + 2 + 12 * len(fields) + 4
    entries, extra = b"", b""
    for tag, values in sorted(fields.items()):
        packed = struct.pack(f"<{len(values)}I", *values)
        if len(packed) > 4:
            packed, extra = struct.pack("<I", extra_at + len(extra)), extra + packed
        entries += struct.pack("<HHI", tag, 4, len(values)) + packed
    head = b"II*\0" + struct.pack("<I", directory)
    return head + content + struct.pack("<H", len(fields)) + entries + b"\0" * 4 + extra


def dicom(pixels: np.ndarray, syntax: str = ExplicitVRLittleEndian, **elements) -> bytes:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = "1.2.3.4"
    dataset.Modality = "MR"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    dataset.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = pixels.itemsize * 8
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    for name, value in elements.items():
        setattr(dataset, name, value)
    dataset.HighBit = dataset.BitsStored - 1
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    dataset.PixelData = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    dataset["PixelData"].VR = "OB" if pixels.itemsize == 1 else "OW"
    if syntax == RLELossless:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.compress(RLELossless)
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def lut_item(table: np.ndarray, first: int, bits: int) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(table) % 2**16, first, bits])
    item.add_new("LUTData", "US", table.tolist())
    return item


def stretched(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip((pixels.astype(float) - low) / (high - low) * 255, 0, 255)


def refusal(data: bytes) -> str:
    with pytest.raises(UnreadableScan) as caught:
        read_scan(data)
    return str(caught.value)


def same(gray: np.ndarray, expected: np.ndarray, tolerance: float = 1) -> None:
    """Within a tolerance on the median too, so that one may be wide for what compression does to edges."""
    assert gray.dtype == np.uint8
    assert gray.shape == expected.shape
    difference = np.abs(gray.astype(float) - expected)
    assert difference.mean() <= tolerance
    if tolerance <= 1:
        assert difference.max() <= 1


class TestScan:
    def test_says_what_it_is(self):
        data = pillow(GRAY, "PNG")
        scan = read_scan(data, "slice.png")
        assert (scan.width, scan.height) == (96, 80)
        assert scan.name == "slice.png"
        assert scan.digest == hashlib.sha256(data).hexdigest()
        assert scan.modality == ""
        assert scan.spacing is None

    def test_path_gives_the_name(self, tmp_path):
        path = tmp_path / "head 7.png"
        path.write_bytes(pillow(GRAY, "PNG"))
        assert read_scan(path).name == "head 7.png"
        assert read_scan(str(path), "other").name == "other"
        assert read_scan(path.read_bytes()).name == "scan"

    def test_content_not_suffix_decides(self, tmp_path):
        path = tmp_path / "scan.png"
        path.write_bytes(dicom(DEEP))
        assert read_scan(path).format.startswith("DICOM")

    def test_suffixes_are_lower_case(self):
        assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in SUFFIXES)


EXACT = {
    "PNG, 8-bit gray": pillow(GRAY, "PNG"),
    "PNG, 8-bit colour": pillow(rgb(GRAY), "PNG"),
    "PNG palette": pillow(Image.fromarray(GRAY).quantize(256), "PNG"),
    "PNG, 8-bit gray and alpha": pillow(Image.fromarray(GRAY).convert("LA"), "PNG"),
    "PNG, 8-bit RGBA": pillow(Image.fromarray(rgb(GRAY)).convert("RGBA"), "PNG"),
    "BMP, 8-bit gray": pillow(GRAY, "BMP"),
    "BMP, 8-bit colour": pillow(rgb(GRAY), "BMP"),
    "BMP palette": pillow(Image.fromarray(GRAY).quantize(256), "BMP"),
    "TIFF, 8-bit gray": pillow(GRAY, "TIFF"),
    "TIFF LZW": pillow(GRAY, "TIFF", compression="tiff_lzw"),
    "TIFF deflate": pillow(GRAY, "TIFF", compression="tiff_adobe_deflate"),
    "TIFF, 8-bit colour": pillow(rgb(GRAY), "TIFF"),
    "TIFF CMYK": pillow(
        Image.merge("CMYK", [Image.fromarray(255 - GRAY)] * 3 + [Image.new("L", (96, 80))]), "TIFF"
    ),
    "TIFF, white is 0": tiff(255 - GRAY, photometric=0),
    "TIFF, planes": tiff(np.stack([GRAY] * 3), planar=2, photometric=2),
    "WebP, 8-bit colour": pillow(rgb(GRAY), "WEBP", lossless=True),
    "DICOM MR, 8-bit": dicom(GRAY, WindowCenter=128, WindowWidth=256),
    "DICOM RGB": dicom(rgb(GRAY)),
}
DEEP_FILES = {
    "PNG, 16-bit gray": pillow(DEEP, "PNG"),
    "PNG gray and alpha": png16(np.dstack([DEEP, np.full_like(DEEP, 65535)])),
    "PNG gray with a transparent value": png16(DEEP, png_chunk(b"tRNS", struct.pack(">H", 0))),
    "PNG, 16-bit colour": png16(rgb(DEEP)),
    "PNG RGBA": png16(np.dstack([DEEP] * 3 + [np.full_like(DEEP, 65535)])),
    "TIFF, 16-bit gray": pillow(DEEP, "TIFF"),
    "TIFF gray, deflate": pillow(DEEP, "TIFF", compression="tiff_adobe_deflate"),
    "TIFF gray, white is 0": tiff(65535 - DEEP, photometric=0),
    "TIFF, 16-bit colour": tiff(rgb(DEEP)),
    "TIFF colour, LZW": cv2.imencode(".tiff", rgb(DEEP))[1].tobytes(),
    "TIFF RGBA": tiff(np.dstack([DEEP] * 3 + [np.full_like(DEEP, 65535)]), photometric=2),
    "DICOM MR, 16-bit": dicom(DEEP),
}


class TestRasters:
    @pytest.mark.parametrize("name", EXACT)
    def test_eight_bits_come_through_unchanged(self, name):
        scan = read_scan(EXACT[name])
        np.testing.assert_array_equal(scan.gray, GRAY)
        np.testing.assert_array_equal(scan.pixels, GRAY)
        if "-bit gray" in name or "-bit colour" in name or "MR" in name:
            assert scan.format == name.removesuffix(" and alpha")

    @pytest.mark.parametrize("name", DEEP_FILES)
    def test_sixteen_bits_are_kept(self, name):
        scan = read_scan(DEEP_FILES[name])
        np.testing.assert_array_equal(scan.pixels, DEEP)
        assert scan.pixels.dtype.isnative
        same(scan.gray, stretched(DEEP, 0, np.percentile(DEEP, 99.9)))
        if "-bit" in name:
            assert scan.format == name

    @pytest.mark.parametrize(
        ("kind", "mode"), [("JPEG", "L"), ("JPEG", "RGB"), ("JPEG", "CMYK"), ("WEBP", "RGB")]
    )
    def test_lossy_files_look_alike(self, kind, mode):
        same(read_scan(pillow(Image.fromarray(GRAY).convert(mode), kind, quality=95)).gray, GRAY, 4)

    def test_progressive_jpeg(self):
        same(read_scan(pillow(GRAY, "JPEG", quality=95, progressive=True)).gray, GRAY, 4)

    def test_jpeg_with_a_second_picture_is_not_one_scan(self):
        data = pillow(
            rgb(GRAY), "MPO", save_all=True, append_images=[Image.fromarray(rgb(255 - GRAY))], quality=95
        )
        with pytest.raises(SeveralScans, match="2 pages"):
            read_scan(data)

    def test_colour_becomes_luminance(self):
        colours = np.zeros((90, 64, 3), np.uint8)
        colours[:30], colours[30:60], colours[60:] = (200, 0, 0), (0, 200, 0), (0, 0, 200)
        for data in (pillow(colours, "PNG"), png16(colours.astype(np.uint16) * 257), dicom(colours)):
            pixels = read_scan(data).pixels
            shares = pixels[[15, 45, 75], 10] / (200 * (1 if pixels.dtype == np.uint8 else 257))
            assert shares == pytest.approx([0.299, 0.587, 0.114], abs=0.004)

    def test_gray_that_was_stored_as_colour_is_the_same(self):
        plain = read_scan(pillow(GRAY, "JPEG", quality=90))
        colour = read_scan(pillow(rgb(GRAY), "JPEG", quality=90))
        np.testing.assert_array_equal(colour.gray, plain.gray)
        assert (plain.format, colour.format) == ("JPEG, 8-bit gray", "JPEG, 8-bit colour")

    def test_one_bit(self):
        mask = GRAY > 100
        for kind in ("PNG", "BMP", "TIFF"):
            scan = read_scan(pillow(mask, kind))
            np.testing.assert_array_equal(scan.gray, np.where(mask, 255, 0))
            assert scan.format == f"{kind}, 1-bit gray"

    def test_four_bits(self):
        few = GRAY // 16 * 17
        np.testing.assert_array_equal(
            read_scan(pillow(Image.fromarray(few).quantize(16), "PNG", bits=4)).gray, few
        )

    def test_what_is_cut_out_lies_on_black(self):
        alpha = np.full_like(GRAY, 255)
        alpha[:, :48] = 0
        for data in (
            pillow(np.dstack([GRAY, alpha]), "PNG"),
            pillow(np.dstack([rgb(GRAY), alpha]), "PNG"),
            pillow(np.dstack([rgb(GRAY), alpha]), "WEBP", lossless=True),
            png16(np.dstack([rgb(DEEP), alpha.astype(np.uint16) * 257])),
            png16(np.dstack([DEEP, alpha.astype(np.uint16) * 257])),
        ):
            scan = read_scan(data)
            assert scan.gray[:, :48].max() == 0
            assert scan.gray[:, 48:].max() > 200

    def test_float_tiff_with_gaps(self):
        values = GRAY.astype(np.float32) * 3 + 1000
        values[0, 0], values[0, 1], values[0, 2] = np.nan, np.inf, -np.inf
        scan = read_scan(tiff(values))
        assert scan.format == "TIFF, 32-bit gray"
        assert scan.pixels[0, :3].tolist() == [1000, 1000 + 3 * int(GRAY.max()), 1000]
        np.testing.assert_array_equal(scan.pixels[1:], values[1:])
        assert scan.gray[0, :3].tolist() == [0, 255, 0]
        assert refusal(tiff(np.full((80, 96), np.nan, np.float32))).startswith("The image is black all over")

    def test_few_hot_pixels_do_not_darken_the_rest(self):
        values = np.linspace(0, 30_000, GRAY.size).reshape(GRAY.shape).astype(np.uint16)
        values[0, :4] = 65_535  # one in two thousand
        assert read_scan(pillow(values, "PNG")).gray[-1, -1] >= 254
        values[0, :40] = 65_535  # one in two hundred is no longer a fault of the scanner
        assert read_scan(pillow(values, "PNG")).gray[-1, -1] == pytest.approx(255 * 30_000 / 65_535, abs=1)

    @pytest.mark.parametrize(
        ("dtype", "scale", "bits"),
        [(np.uint32, 16_000_000, 32), (np.int32, 8_000_000, 32), (np.int16, 100, 16)],
    )
    def test_whole_numbers_of_other_sizes(self, dtype, scale, bits):
        values = (GRAY.astype(np.int64) * scale - (0 if dtype == np.uint32 else 5000)).astype(dtype)
        scan = read_scan(tiff(values))
        np.testing.assert_array_equal(scan.pixels, values)
        assert scan.format == f"TIFF, {bits}-bit gray"
        same(scan.gray, stretched(values, values.min(), np.percentile(values, 99.9)))

    def test_sixteen_bit_cmyk_is_read_with_eight(self):
        cmyk = np.dstack([65535 - DEEP] * 3 + [np.zeros_like(DEEP)])
        same(read_scan(tiff(cmyk, photometric=5)).gray, DEEP / 257)

    def test_big_endian_tiff(self):
        stream = io.BytesIO()
        Image.fromarray(DEEP.astype(">u2")).save(stream, "TIFF")
        scan = read_scan(stream.getvalue())
        assert stream.getvalue().startswith(b"MM")
        np.testing.assert_array_equal(scan.pixels, DEEP)
        assert scan.pixels.dtype.isnative

    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
    def test_several_images_are_a_series(self, kind):
        head = synthetic_head(80, 96)
        others = [Image.fromarray(rgb(255 - head)), Image.fromarray(rgb(head // 2))]
        options = {"lossless": True} if kind == "WEBP" else {}
        data = pillow(rgb(head), kind, save_all=True, append_images=others, **options)
        with pytest.raises(SeveralScans, match="3 pages"):
            read_scan(data)
        (item,) = group_into_series([File("pages", data)])
        series = load(item)
        assert isinstance(series, Series)
        assert series.format.endswith("8-bit colour, 3 pages")
        stack = series.stack()
        for scan, expected in zip(stack, (head, 255 - head, head // 2), strict=True):
            np.testing.assert_array_equal(scan.gray, expected)
        assert stack[1].name == "pages, page 2 of 3"
        assert len({scan.digest for scan in stack}) == 3


TURNS = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).T,
    8: np.rot90,
}


class TestOrientation:
    @pytest.mark.parametrize("orientation", TURNS)
    def test_scan_is_upright(self, orientation):
        tag = exif(orientation)
        expected = TURNS[orientation](GRAY)
        deep = stretched(TURNS[orientation](DEEP), 0, np.percentile(DEEP, 99.9))
        chunk = png_chunk(b"eXIf", tag.tobytes().removeprefix(b"Exif\0\0"))
        same(read_scan(pillow(GRAY, "PNG", exif=tag)).gray, expected)
        same(read_scan(pillow(GRAY, "JPEG", exif=tag, quality=95)).gray, expected, 4)
        same(read_scan(pillow(rgb(GRAY), "WEBP", exif=tag, lossless=True)).gray, expected)
        same(read_scan(tiff(GRAY, orientation=orientation)).gray, expected)
        same(read_scan(png16(DEEP, chunk)).gray, deep)
        same(read_scan(png16(rgb(DEEP), chunk)).gray, deep)
        same(read_scan(tiff(DEEP, orientation=orientation)).gray, deep)
        same(read_scan(tiff(rgb(DEEP), orientation=orientation)).gray, deep)


SIGNED = GRAY.astype(np.int16) * 40 - 4000


class TestDicom:
    def test_rescale(self):
        scan = read_scan(dicom(SIGNED, RescaleSlope=2, RescaleIntercept=-24))
        np.testing.assert_array_equal(scan.pixels, SIGNED * 2.0 - 24)
        assert scan.modality == "MR"
        same(scan.gray, stretched(SIGNED, SIGNED.min(), np.percentile(SIGNED, 99.9)))

    def test_stored_bits_are_told(self):
        assert read_scan(dicom(DEEP // 16, BitsStored=12)).format == "DICOM MR, 12-bit"

    @pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
    @pytest.mark.parametrize(("center", "width"), [(2000, 3000), (100.5, 801), (4000, 2)])
    @pytest.mark.filterwarnings("ignore:overflow encountered in exp")
    def test_window(self, function, center, width):
        elements = {"WindowCenter": center, "WindowWidth": width, "RescaleSlope": 1.5, "RescaleIntercept": 7}
        if function:
            elements["VOILUTFunction"] = function
        data = dicom(SIGNED, **elements)
        dataset = pydicom.dcmread(io.BytesIO(data))
        reference = apply_voi_lut(SIGNED * 1.5 + 7, dataset)
        expected = stretched(reference, -(2**15) * 1.5 + 7, (2**15 - 1) * 1.5 + 7)
        scan = read_scan(data)
        same(scan.presets[0].apply(scan.pixels), np.round(expected))
        assert (scan.window == scan.presets[0]) == (width > 2)

    def test_window_of_one_is_a_threshold(self):
        scan = read_scan(dicom(SIGNED, WindowCenter=0, WindowWidth=1))
        np.testing.assert_array_equal(scan.presets[0].apply(scan.pixels), np.where(SIGNED > -0.5, 255, 0))

    def test_first_of_several_windows(self):
        first = read_scan(dicom(SIGNED, WindowCenter=2000, WindowWidth=3000)).gray
        several = dicom(SIGNED, WindowCenter=[2000, 40], WindowWidth=[3000, 80])
        np.testing.assert_array_equal(read_scan(several).gray, first)

    @pytest.mark.parametrize(
        ("center", "width"), [("", ""), (None, 100), (100, None), (100, 0), (100, -5), (["", 3], ["", 4])]
    )
    def test_window_that_is_none(self, center, width):
        gray = read_scan(dicom(SIGNED, WindowCenter=center, WindowWidth=width)).gray
        np.testing.assert_array_equal(gray, read_scan(dicom(SIGNED)).gray)

    @pytest.mark.parametrize("window", [{}, {"WindowCenter": 0, "WindowWidth": 12000}])
    def test_negative_slope(self, window):
        scan = read_scan(dicom(SIGNED, RescaleSlope=-1, RescaleIntercept=0, **window))
        np.testing.assert_array_equal(scan.pixels, -SIGNED)
        positive = read_scan(dicom(-SIGNED, **window))
        np.testing.assert_array_equal(scan.gray, positive.gray)

    @pytest.mark.parametrize(
        "window",
        [
            {},
            {"WindowCenter": 300, "WindowWidth": 5000},
            {"VOILUTSequence": [lut_item(np.arange(512) * 8, 0, 12)]},
        ],
    )
    def test_monochrome1_is_turned_over(self, window):
        plain = read_scan(dicom(SIGNED, **window))
        inverse = read_scan(dicom(SIGNED, PhotometricInterpretation="MONOCHROME1", **window))
        np.testing.assert_array_equal(inverse.gray, 255 - plain.gray)
        np.testing.assert_array_equal(inverse.pixels, plain.pixels)

    @pytest.mark.parametrize(
        ("entries", "first", "bits"), [(4096, 0, 8), (4096, 0, 12), (256, 1000, 16), (65536, 0, 16)]
    )
    @pytest.mark.filterwarnings("ignore:The value for the data element")
    def test_voi_lut(self, entries, first, bits):
        stored = DEEP if entries == 65536 else DEEP // 16
        table = np.round(np.linspace(0, 1, entries) ** 2 * (2**bits - 1)).astype(int)
        gray = read_scan(dicom(stored, VOILUTSequence=[lut_item(table, first, bits)])).gray
        looked_up = table[np.clip(stored.astype(int) - first, 0, entries - 1)]
        same(gray, stretched(looked_up, 0, table.max()))

    def test_voi_lut_of_packed_bytes(self):
        table = np.arange(256, dtype=np.uint8)[::-1]
        item = lut_item(table, 0, 8)
        item.add_new("LUTData", "OW", table.tobytes())
        np.testing.assert_array_equal(read_scan(dicom(GRAY, VOILUTSequence=[item])).gray, 255 - GRAY)

    def test_lut_comes_before_the_window(self):
        lut = [lut_item(np.arange(4096)[::-1], 0, 12)]
        both = dicom(DEEP // 16, VOILUTSequence=lut, WindowCenter=5, WindowWidth=10)
        np.testing.assert_array_equal(
            read_scan(both).gray, read_scan(dicom(DEEP // 16, VOILUTSequence=lut)).gray
        )

    @pytest.mark.parametrize(
        "syntax",
        [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless],
        ids=lambda uid: uid.name,
    )
    def test_transfer_syntax_does_not_matter(self, syntax):
        window = {"WindowCenter": 300, "WindowWidth": 5000}
        scan, plain = read_scan(dicom(SIGNED, syntax, **window)), read_scan(dicom(SIGNED, **window))
        np.testing.assert_array_equal(scan.pixels, plain.pixels)
        np.testing.assert_array_equal(scan.gray, plain.gray)

    @pytest.mark.parametrize(
        "syntax",
        [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian],
        ids=lambda uid: uid.name,
    )
    @pytest.mark.parametrize("keep_meta", [True, False])
    def test_file_without_preamble(self, syntax, keep_meta):
        data = dicom(SIGNED, syntax)
        start = 132 if keep_meta else 144 + int.from_bytes(data[140:144], "little")
        np.testing.assert_array_equal(read_scan(data[start:]).pixels, SIGNED)

    def test_spacing(self):
        assert read_scan(dicom(SIGNED, PixelSpacing=[0.5, 0.5])).spacing == (0.5, 0.5)
        for nonsense in (None, [0, 1], 0.5, [1, 2, 3], [-1, 1]):
            assert read_scan(dicom(SIGNED, PixelSpacing=nonsense)).spacing is None

    def test_palette(self):
        dataset = pydicom.dcmread(PYDICOM_FILES / "examples_palette.dcm")
        colours = pydicom.pixels.apply_color_lut(dataset.pixel_array, dataset)
        scan = whatever_modality("examples_palette.dcm")
        np.testing.assert_allclose(scan.pixels, colours @ [0.299, 0.587, 0.114], atol=40)

    def test_colour_in_planes(self):
        planes = np.moveaxis(rgb(GRAY), 2, 0)
        dataset = pydicom.dcmread(io.BytesIO(dicom(rgb(GRAY))))
        dataset.PlanarConfiguration = 1
        dataset.PixelData = planes.tobytes()
        stream = io.BytesIO()
        dataset.save_as(stream)
        np.testing.assert_array_equal(read_scan(stream.getvalue()).gray, GRAY)

    @pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
    def test_only_a_proper_modality_is_shown(self):
        scan = read_scan(dicom(SIGNED, Modality="[X](HTTP://Y)"))
        # It is known by its SOP class.
        assert (scan.modality, scan.format) == ("MR", "DICOM MR, 16-bit")
        scan = read_scan(dicom(SIGNED, Modality="[X](HTTP://Y)", SOPClassUID="1.2.840.10008.5.1.4.1.1.7"))
        assert (scan.modality, scan.format) == ("", "DICOM, 16-bit")

    def test_several_frames_are_refused(self):
        stack = np.concatenate([SIGNED] * 3)
        assert "holds 3 frames" in refusal(dicom(stack, Rows=80, NumberOfFrames=3))

    def test_file_without_a_picture_is_refused(self):
        assert "no picture in it" in refusal((PYDICOM_FILES / "test-SR.dcm").read_bytes())
        assert "no picture in it" in refusal((PYDICOM_FILES / "rtplan.dcm").read_bytes())

    def test_picture_that_breaks_off_is_refused(self):
        assert DAMAGED in refusal(dicom(SIGNED)[:-2000])

    def test_compression_that_is_not_read_is_named(self):
        dataset = pydicom.dcmread(io.BytesIO(dicom(SIGNED)))
        dataset.file_meta.TransferSyntaxUID = JPEGLSLossless
        dataset.PixelData = pydicom.encaps.encapsulate([b"not a picture"])
        stream = io.BytesIO()
        dataset.save_as(stream)
        message = refusal(stream.getvalue())
        assert "cannot be decompressed here (JPEG-LS Lossless Image Compression)" in message

    def test_compression_of_its_own_making_is_not_quoted(self):
        data = dicom(SIGNED).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.7\0")
        message = refusal(data)
        assert "1.2.840" not in message
        assert "cannot be decompressed here:" in message


def whatever_modality(name: str) -> Scan:
    """A picture of pydicom's, of a modality that is refused too."""
    return Dicom((PYDICOM_FILES / name).read_bytes(), "").scan()


# What pydicom 3.0 reads with NumPy and Pillow alone.
PYDICOM_READ = {
    "693_J2KI.dcm": "CT, 14-bit",
    "CT_small.dcm": "CT, 16-bit",
    "J2K_pixelrep_mismatch.dcm": "CT, 13-bit",
    "JPEG2000.dcm": "NM, 16-bit",
    "SC_jpeg_no_color_transform.dcm": ", 8-bit",
    "examples_jpeg2k.dcm": "US, 8-bit",
    "examples_overlay.dcm": "MR, 12-bit, T1 after contrast",
    "examples_palette.dcm": "US, 8-bit",
    "examples_rgb_color.dcm": "US, 8-bit",
    "image_dfl.dcm": "OT, 8-bit",
    "liver_1frame.dcm": "SEG, 1-bit",
}
ONE_MR = [
    f"MR_small{variant}.dcm"
    for variant in ("", "_RLE", "_bigendian", "_expb", "_implicit", "_padded", "_jp2klossless")
]
ONE_CHART = [
    "SC_rgb_dcmtk_+eb+cr.dcm",
    "SC_rgb_dcmtk_+eb+cy+n1.dcm",
    "SC_rgb_dcmtk_+eb+cy+s4.dcm",
    "SC_rgb_gdcm_KY.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_jpeg_lossy_gdcm.dcm",
    "SC_rgb_rle.dcm",
    "SC_rgb_rle_16bit.dcm",
    "SC_rgb_rle_32bit.dcm",
    "SC_ybr_full_422_uncompressed.dcm",
]
PYDICOM_REFUSED = {
    "MR_truncated.dcm": DAMAGED,
    "CT_small.dcm": "By its header this is no MR: its modality is CT, computed tomography.",
    "examples_palette.dcm": "By its header this is no MR: its modality is US, ultrasound.",
    "liver_1frame.dcm": "By its header this is no MR: its modality is SEG, a segmentation.",
    "SC_rgb_rle_2frame.dcm": "holds 2 frames",
    "SC_rgb_small_odd.dcm": "only 3 x 3 pixels",
    "badVR.dcm": DAMAGED,
    "dicomdirtests/DICOMDIR": "no picture in it",
    "rtdose.dcm": "its modality is RTDOSE, a distribution of dose",
    "rtstruct.dcm": "no picture in it",
    "test-SR.dcm": "no picture in it",
    "waveform_ecg.dcm": "no picture in it",
    "zipMR.gz": "This is a gzip archive",
    "README.txt": NOT_AN_IMAGE,
    "crayons.icc": NOT_AN_IMAGE,
}


class TestPydicomsOwnFiles:
    def test_each_is_read_or_refused_in_silence(self, recwarn, capfd):
        files = [path for path in PYDICOM_FILES.rglob("*") if path.is_file()]
        assert len(files) > 100
        refused = []
        for path in files:
            try:
                scan = read_scan(path)
            except UnreadableScan as error:
                refused.append(str(error))
            else:
                assert scan.gray.shape == scan.pixels.shape
        assert all(message.endswith(".") for message in refused)
        assert not recwarn.list
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize("name", PYDICOM_READ)
    def test_read(self, name):
        scan = whatever_modality(name)
        dataset = pydicom.dcmread(PYDICOM_FILES / name)
        assert (scan.height, scan.width) == (dataset.Rows, dataset.Columns)
        assert scan.format.removeprefix("DICOM").strip() == PYDICOM_READ[name]

    @pytest.mark.parametrize("name", PYDICOM_REFUSED)
    def test_refused(self, name):
        assert PYDICOM_REFUSED[name] in refusal((PYDICOM_FILES / name).read_bytes())

    def test_one_picture_in_several_encodings(self):
        stored = pydicom.dcmread(PYDICOM_FILES / "MR_small.dcm").pixel_array
        for name in ONE_MR:
            scan = read_scan(PYDICOM_FILES / name)
            np.testing.assert_array_equal(scan.pixels, stored)
            assert scan.spacing == (0.3125, 0.3125)

    def test_one_colour_chart_in_several_encodings(self):
        reference = read_scan(PYDICOM_FILES / "SC_rgb_rle.dcm").gray
        for name in ONE_CHART:
            same(read_scan(PYDICOM_FILES / name).gray, reference, 1.5)

    def test_rescale_of_a_real_ct(self):
        dataset = pydicom.dcmread(PYDICOM_FILES / "CT_small.dcm")
        scan = whatever_modality("CT_small.dcm")
        expected = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        np.testing.assert_array_equal(scan.pixels, expected)


@cache
def bombs() -> dict[str, bytes]:
    """Small files that say that they are large."""
    jpeg = bytearray(pillow(GRAY, "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 30_000, 30_000)
    bmp = bytearray(pillow(GRAY, "BMP"))
    bmp[18:26] = struct.pack("<ii", 30_000, 30_000)
    webp = bytearray(
        pillow(rgb(GRAY), "WEBP", save_all=True, append_images=[Image.fromarray(rgb(255 - GRAY))])
    )
    canvas = webp.index(b"VP8X") + 12
    webp[canvas : canvas + 6] = (16_000 - 1).to_bytes(3, "little") * 2
    inflating = pydicom.dcmread(io.BytesIO(dicom(SIGNED, DeflatedExplicitVRLittleEndian)))
    inflating.PixelData = bytes(8 * MAX_PIXELS)
    deflated = io.BytesIO()
    inflating.save_as(deflated)
    return {
        "PNG": png16(DEEP, size=(30_000, 30_000)),
        "PNG that Pillow allows": png16(DEEP, size=(5_001, 5_000)),
        "PNG that Pillow warns of": png16(DEEP, size=(10_000, 10_000)),
        "PNG strip": png16(DEEP, size=(64, MAX_SIDE + 1)),
        "JPEG": bytes(jpeg),
        "BMP": bytes(bmp),
        "TIFF": tiff(GRAY, size=(30_000, 30_000)),
        "WebP": bytes(webp),
        "DICOM": dicom(SIGNED, Rows=30_000, Columns=30_000),
        "RLE DICOM": dicom(SIGNED, RLELossless).replace(
            struct.pack("<HH2sHH", 0x28, 0x10, b"US", 2, 80),
            struct.pack("<HH2sHH", 0x28, 0x10, b"US", 2, 65_000),
        ),
        "deflated DICOM": deflated.getvalue(),
    }


class TestBombs:
    @pytest.mark.parametrize("name", bombs())
    def test_refused_before_decoding(self, name, monkeypatch, recwarn):
        def decode(*_, **__):
            raise AssertionError("decoded")

        monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decode)
        monkeypatch.setattr("cv2.imdecode", decode)
        monkeypatch.setattr("pydicom.Dataset.convert_pixel_data", decode)
        message = refusal(bombs()[name])
        assert TOO_LARGE in message or "far larger than a slice" in message
        assert "Export a single slice" in message
        assert not recwarn.list

    def test_size_is_told(self):
        assert "30,000 x 30,000" in refusal(bombs()["DICOM"])
        assert "8,001" in refusal(bombs()["PNG strip"])

    def test_little_memory_is_taken(self, tmp_path):
        pytest.importorskip("resource")
        paths = []
        # A whole picture in a chunk of 2 GB, as it says. Pillow reads it; OpenCV would take the memory.
        whole = png16(rgb(DEEP))
        chunk = whole.replace(whole[33:41], b"\x7f\0\0\0IDAT")
        for name, data in {**bombs(), "chunk": chunk}.items():
            paths.append(tmp_path / name)
            paths[-1].write_bytes(data)
        code = (
            "import resource, sys\n"
            "import pydicom\n"
            "from brat.io.read import read_scan\n"
            "from brat.io.scan import UnreadableScan\n"
            "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "before = peak()\n"
            "for path in sys.argv[1:]:\n"
            "    try:\n"
            "        read_scan(path)\n"
            "    except UnreadableScan:\n"
            "        pass\n"
            "print(peak() - before)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, *paths],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
        )
        kilobytes = int(done.stdout) / (1024 if sys.platform == "darwin" else 1)
        assert kilobytes < 80 * 1024
        assert done.stderr == ""

    def test_largest_that_is_allowed_is_read(self):
        side = int(MAX_PIXELS**0.5)
        large = cv2.resize(GRAY, (side, side), interpolation=cv2.INTER_NEAREST)
        assert read_scan(cv2.imencode(".bmp", large)[1].tobytes()).width == side

    def test_picture_inside_a_dicom_file_may_not_be_larger_than_the_file_says(self):
        dataset = pydicom.dcmread(PYDICOM_FILES / "SC_rgb_jpeg_dcmtk.dcm")
        inner = bytearray(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1).__next__())
        start = inner.index(b"\xff\xc0")
        inner[start + 5 : start + 9] = struct.pack(">HH", 12_000, 12_000)
        dataset.PixelData = pydicom.encaps.encapsulate([bytes(inner)])
        stream = io.BytesIO()
        dataset.save_as(stream)
        assert "cannot be decompressed here" in refusal(stream.getvalue())


class TestSilence:
    def test_odd_tiff_is_read_without_a_word(self, recwarn, capfd):
        # A text tag without its closing zero, and not where tags should be in order: OpenCV would complain.
        tag = struct.pack("<HHII", 274, 4, 1, 1)
        odd = tiff(rgb(DEEP)).replace(tag, struct.pack("<HHI4s", 305, 2, 4, b"abcd"))
        np.testing.assert_array_equal(read_scan(odd).pixels, DEEP)
        assert not recwarn.list
        assert capfd.readouterr() == ("", "")


class TestRefusals:
    def test_each_problem_has_its_own_sentence(self, tmp_path):
        messages = {
            "empty": refusal(b""),
            "text": refusal(b"Patient: none\nFindings: none\n" * 20),
            "truncated": refusal(EXACT["PNG, 8-bit gray"][:-500]),
            "bomb": refusal(bombs()["PNG strip"]),
            "black": refusal(pillow(np.zeros_like(GRAY), "PNG")),
            "thumbnail": refusal(pillow(GRAY[::4, ::4], "PNG")),
            "report": refusal((PYDICOM_FILES / "test-SR.dcm").read_bytes()),
        }
        assert len(set(messages.values())) == len(messages)
        assert "empty (0 bytes)" in messages["empty"]
        assert NOT_AN_IMAGE in messages["text"]
        assert DAMAGED in messages["truncated"]
        assert "black all over" in messages["black"]
        assert "only 24 x 20 pixels" in messages["thumbnail"]
        # Two sentences at least: what is wrong, and what to do.
        assert all(re.fullmatch(r"[A-Z].+[.:] [A-Z].+\.", message) for message in messages.values())

    def test_text_under_an_images_name(self, tmp_path):
        path = tmp_path / "scan.png"
        path.write_text("not a scan")
        with pytest.raises(UnreadableScan, match=NOT_AN_IMAGE):
            read_scan(path)

    @pytest.mark.parametrize(
        ("start", "name"),
        [
            (pillow(GRAY, "GIF"), "a GIF picture"),
            (b"%PDF-1.7\n", "a PDF document"),
            (b"PK\x03\x04", "a ZIP archive"),
            (b"\x1f\x8b\x08", "a gzip archive"),
            (b"\0\0\0\x18ftypavif", "an AVIF photo, or a video"),
            (bytes(344) + b"n+1\0", "a NIfTI volume"),
            (pillow(GRAY, "JPEG2000"), "a JPEG 2000 picture"),
        ],
    )
    def test_other_kinds_are_named(self, start, name):
        assert refusal(start + bytes(600)).startswith(f"This is {name}")

    def test_what_to_do_with_a_pdf(self):
        assert "save the page that shows it as PNG" in refusal(b"%PDF-1.7\n" + bytes(600))

    @pytest.mark.parametrize(("shade", "word"), [(0, "black"), (255, "white"), (77, "one shade of gray")])
    def test_uniform_images(self, shade, word):
        assert f"is {word} all over" in refusal(pillow(np.full_like(GRAY, shade), "PNG"))
        assert "all over" in refusal(dicom(np.full((80, 96), shade, np.uint16)))

    def test_paths(self, tmp_path):
        with pytest.raises(UnreadableScan, match="no file at this path"):
            read_scan(tmp_path / "missing.png")
        with pytest.raises(UnreadableScan, match="a folder"):
            read_scan(tmp_path)

    def test_planes_of_sixteen_bits_are_refused_not_scrambled(self):
        assert RARE in refusal(tiff(np.stack([DEEP] * 3), planar=2, photometric=2))

    def test_kinds_of_tiff_that_are_not_read(self):
        assert RARE in refusal(tiff(GRAY.astype(np.float64)))
        assert RARE in refusal(tiff(rgb(GRAY.astype(np.float32))))

    @pytest.mark.parametrize("name", [*EXACT, *DEEP_FILES])
    def test_half_a_file(self, name, capfd):
        data = (EXACT | DEEP_FILES)[name]
        kind = name.split()[0].rstrip(",")
        message = refusal(data[: len(data) // 2])
        assert DAMAGED in message or RARE in message or "cut off" in message
        assert kind in message
        if kind != "TIFF":  # see TALKATIVE
            assert capfd.readouterr() == ("", "")

    def test_decoders_own_error_is_the_cause(self):
        with pytest.raises(UnreadableScan) as caught:
            read_scan(EXACT["PNG, 8-bit gray"][:-500])
        assert isinstance(caught.value.__cause__, OSError)


@cache
def seeds() -> dict[str, bytes]:
    """One small file of each kind that a decoder treats differently."""
    gray, colour, tag = Image.fromarray(GRAY), Image.fromarray(rgb(GRAY)), exif(6)
    second = Image.fromarray(255 - GRAY)
    files = {
        "png": pillow(gray, "PNG", exif=tag),
        "png palette": EXACT["PNG palette"],
        "png 1-bit": pillow(GRAY > 100, "PNG"),
        "png alpha": pillow(colour.convert("RGBA"), "PNG"),
        "png 16": DEEP_FILES["PNG, 16-bit gray"],
        "png 16 colour": DEEP_FILES["PNG, 16-bit colour"],
        "png animated": pillow(gray, "PNG", save_all=True, append_images=[second]),
        "jpeg": pillow(gray, "JPEG", exif=tag),
        "jpeg progressive": pillow(colour, "JPEG", progressive=True),
        "jpeg cmyk": pillow(colour.convert("CMYK"), "JPEG"),
        "bmp": EXACT["BMP, 8-bit gray"],
        "bmp colour": EXACT["BMP, 8-bit colour"],
        "webp": pillow(colour, "WEBP"),
        "webp lossless": pillow(colour, "WEBP", lossless=True, exif=tag),
        "webp animated": pillow(colour, "WEBP", save_all=True, append_images=[second.convert("RGB")]),
        "tiff": tiff(GRAY, orientation=6),
        "tiff pages": pillow(gray, "TIFF", save_all=True, append_images=[second]),
        "tiff lzw": EXACT["TIFF LZW"],
        "tiff deflate": DEEP_FILES["TIFF gray, deflate"],
        "tiff jpeg": pillow(colour, "TIFF", compression="jpeg"),
        "tiff 16": DEEP_FILES["TIFF, 16-bit gray"],
        "tiff 16 colour": DEEP_FILES["TIFF, 16-bit colour"],
        "tiff float": tiff(GRAY.astype(np.float32)),
        "dicom": dicom(SIGNED, WindowCenter=[1, 2], WindowWidth=[3, 4], RescaleSlope=2, RescaleIntercept=1),
        "dicom lut": dicom(DEEP, VOILUTSequence=[lut_item(np.arange(300), 5, 16)]),
        "dicom implicit": dicom(SIGNED, ImplicitVRLittleEndian),
        "dicom big-endian": dicom(SIGNED, ExplicitVRBigEndian),
        "dicom deflated": dicom(SIGNED, DeflatedExplicitVRLittleEndian),
        "dicom rle": dicom(SIGNED, RLELossless),
        "dicom without preamble": dicom(SIGNED)[132:],
    }
    for name in ("JPEG2000.dcm", "SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_rle.dcm", "MR_small.dcm", "rtplan.dcm"):
        files[name] = (PYDICOM_FILES / name).read_bytes()
    return files


# libtiff, inside Pillow, writes of damage to the console itself.
TALKATIVE = {name for name in seeds() if name.startswith("tiff")}


class TestDamage:
    @pytest.mark.parametrize("name", seeds())
    def test_damaged_files_are_read_or_refused_in_silence(self, name, recwarn, capfd):
        data = seeds()[name]
        draw = random.Random(name)
        cuts = {*range(1, min(len(data), 200), 7), *(draw.randrange(1, len(data)) for _ in range(30))}
        damaged = [data[:cut] for cut in sorted(cuts)]
        for _ in range(120):
            flipped = bytearray(data)
            # Headers are where decoders trust what they read.
            reach = min(len(data), 600) if draw.random() < 0.7 else len(data)
            for _ in range(draw.choice((1, 1, 2, 4, 16))):
                at = draw.randrange(reach)
                flipped[at] = draw.choice((0, 255, draw.randrange(256), flipped[at] ^ 1 << draw.randrange(8)))
            damaged.append(bytes(flipped))
        outcomes = set()
        for variant in damaged:
            try:
                outcomes.add(read_scan(variant).gray.dtype)
            except UnreadableScan as error:
                outcomes.add(str(error))
        assert len(outcomes) > 1
        assert not recwarn.list
        out, err = capfd.readouterr()
        assert out == ""
        assert err == "" or name in TALKATIVE
        assert "Warning" not in err
        assert "OpenCV" not in err
