"""What is measured with: the samples at 512 x 512 pixels under noise, so that no two files are the same."""

from __future__ import annotations

import io
import os
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
    """uint8 (512, 512): sample `number`, counted round and round, with noise of its own."""
    samples = load_samples()
    gray = read_scan(samples[number % len(samples)].file).gray
    height, width = (round(side * SIDE / max(gray.shape)) for side in gray.shape)
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    square = np.zeros((SIDE, SIDE))
    square[top : top + height, left : left + width] = cv2.resize(gray, (width, height))
    # As in a magnitude image (Gudbjartsson and Patz 1995). Without noise a PNG would unpack too fast.
    real, imaginary = np.random.default_rng(number).normal(0, 3, (2, SIDE, SIDE))
    return np.clip(np.round(np.hypot(square + real, imaginary)), 0, 255).astype(np.uint8)


def as_file(gray: np.ndarray, kind: str) -> bytes:
    """A "PNG", "JPEG" or "DICOM" file; the last as scanners write it: uncompressed, 12 bits, with a window."""
    stream = io.BytesIO()
    if kind != "DICOM":
        Image.fromarray(gray).save(stream, kind, quality=92)
        return stream.getvalue()

    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = MRImageStorage, "2.25.1", "MR"
    # PS3.3 C.11.2.1.2: this window shows 0 as black and 255 * 16 as white.
    dataset.WindowCenter, dataset.WindowWidth = (255 * 16 + 1) / 2, 255 * 16 + 1
    dataset.set_pixel_data(gray.astype("<u2") * 16, "MONOCHROME2", 12, generate_instance_uid=False)
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def fill(folder: Path, count: int) -> None:
    """Put `count` scans, in equal parts PNG, JPEG and DICOM, into a new folder: 24 files, linked."""
    folder.mkdir()
    sources = [(number, kind) for number in range(8) for kind in ("PNG", "JPEG", "DICOM")]
    for n in range(count):
        number, kind = sources[n % len(sources)]
        file = folder / f"{n:05}-{number}.{kind[:3].lower().replace('dic', 'dcm')}"
        if n < len(sources):
            file.write_bytes(as_file(make_slice(number), kind))
        else:
            os.link(next(folder.glob(f"{n % len(sources):05}-*")), file)
