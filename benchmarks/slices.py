"""What is measured with: the samples at 512 x 512 pixels under noise, so that no two are the same file."""

from __future__ import annotations

import io
import os
import shutil
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from brat.samples import load_samples
from brat.scans import read_scan

SIDE = 512


@cache
def make_slice(number: int) -> np.ndarray:
    """uint8 (512, 512): sample `number` modulo how many there are, with noise of its own."""
    samples = load_samples()
    gray = read_scan(samples[number % len(samples)].file).gray
    scale = SIDE / max(gray.shape)
    size = (min(SIDE, round(gray.shape[1] * scale)), min(SIDE, round(gray.shape[0] * scale)))
    enlarged = cv2.resize(gray, size, interpolation=cv2.INTER_CUBIC).astype(np.float32)
    square = np.zeros((SIDE, SIDE), np.float32)
    top, left = (SIDE - size[1]) // 2, (SIDE - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = enlarged
    # As in a magnitude image (Gudbjartsson and Patz 1995). Without noise a PNG would unpack too fast.
    real, imaginary = np.random.default_rng(number).normal(0, 3, (2, SIDE, SIDE))
    return np.clip(np.round(np.hypot(square + real, imaginary)), 0, 255).astype(np.uint8)


def as_png(gray: np.ndarray) -> bytes:
    return _raster(gray, "PNG")


def as_jpeg(gray: np.ndarray) -> bytes:
    return _raster(gray, "JPEG", quality=92)


def _raster(gray: np.ndarray, kind: str, **options: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(gray).save(stream, kind, **options)
    return stream.getvalue()


def as_dicom(gray: np.ndarray) -> bytes:
    """As most scanners write it: uncompressed, 12 bits in 16, with a window."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = MRImageStorage, "2.25.1", "MR"
    dataset.Rows, dataset.Columns = gray.shape
    # PS3.3 C.11.2.1.2: this window shows 0 as black and 255 * 16 as white.
    dataset.WindowCenter, dataset.WindowWidth = (255 * 16 + 1) / 2, 255 * 16 + 1
    dataset.PixelRepresentation = 0
    dataset.set_pixel_data(gray.astype("<u2") * 16, "MONOCHROME2", 12, generate_instance_uid=False)
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


WRITERS = {"PNG": as_png, "JPEG": as_jpeg, "DICOM": as_dicom}


def fill(folder: Path, count: int) -> None:
    """Put `count` scans into a new folder, in equal parts PNG, JPEG and DICOM: twelve files, linked."""
    folder.mkdir()
    kinds = [(write(make_slice(n)), f".{kind[:3].lower()}") for n in range(4) for kind, write in WRITERS.items()]
    first = [folder / f"{n:05}{suffix}" for n, (_, suffix) in enumerate(kinds[:count])]
    for file, (data, _) in zip(first, kinds, strict=False):
        file.write_bytes(data)
    for n in range(len(first), count):
        source = first[n % len(first)]
        target = folder / f"{n:05}{source.suffix}"
        try:
            os.link(source, target)
        except OSError:  # Not every file system has links.
            shutil.copyfile(source, target)
