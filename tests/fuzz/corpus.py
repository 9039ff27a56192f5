"""Whole files of every format that is read, small, made by code."""

from __future__ import annotations

import gzip
import io
import struct

import numpy as np
import pydicom
from PIL import Image
from pydicom.data import get_testdata_file

from tests.factories.files import slice_of, zipped

_COMPRESSED = (
    *("MR_small_RLE.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_jp2klossless.dcm"),
    *("JPGExtended.dcm", "SC_rgb_jpeg_gdcm.dcm"),
)


def corpus() -> dict[str, bytes]:
    """Name -> content."""
    rng = np.random.default_rng(14)
    gray = (rng.integers(0, 60, (96, 80)) + np.linspace(0, 190, 80)).astype(np.uint8)
    image = Image.fromarray(gray)
    files = {"slice.dcm": slice_of(3), "series.zip": zipped({f"{n}.dcm": slice_of(n) for n in range(4)})}
    for format in ("PNG", "JPEG", "BMP", "TIFF", "WEBP"):
        files[f"a.{format.lower()}"] = _saved(image, format)
    files["progressive.jpg"] = _saved(image, "JPEG", progressive=True)
    files["deep.png"] = _saved(Image.fromarray(gray.astype(np.uint16) * 257), "PNG")
    for compression in ("tiff_lzw", "tiff_deflate", "packbits"):
        pages = {"save_all": True, "append_images": [image] * 2, "compression": compression}
        files[f"{compression}.tif"] = _saved(image, "TIFF", **pages)
    volume = _nifti(rng.integers(0, 900, (66, 68, 5)).astype(np.int16))
    files |= {
        "a.nii": volume,
        "a.nii.gz": gzip.compress(volume),
        "a.zip": zipped({"a.nii.gz": gzip.compress(volume)}),
    }
    for name in _COMPRESSED:
        # Some lie beside pydicom only where it could fetch them.
        if path := get_testdata_file(name, download=False):
            files[name] = _as_mr(path)
    files["frames.dcm"] = _frames(files["slice.dcm"])
    return files


def _as_mr(path: str) -> bytes:
    """The file as one of MR: of another modality only the header would be read."""
    dataset = pydicom.dcmread(path)
    dataset.Modality = "MR"
    written = io.BytesIO()
    dataset.save_as(written)
    return written.getvalue()


def _saved(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def _nifti(values: np.ndarray) -> bytes:
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 3, *values.shape, 1, 1, 1, 1)
    struct.pack_into("<hh", head, 70, 4, 16)
    struct.pack_into("<8f", head, 76, 1, 1, 1, 1, 0, 0, 0, 0)
    struct.pack_into("<f", head, 108, 352)
    struct.pack_into("<hh", head, 252, 0, 1)
    struct.pack_into("<12f", head, 280, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)
    head[344:348] = b"n+1\0"
    return bytes(head) + values.tobytes("F")


def _frames(one: bytes) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(one))
    dataset.NumberOfFrames, dataset.PixelData = 3, dataset.PixelData * 3
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()
