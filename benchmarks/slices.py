"""Input of the benchmarks: the samples at 512 x 512 pixels with noise, so that no two files are the same."""

from __future__ import annotations

import io
import os
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from brat.io.read import read_scan
from brat.io.samples import load_samples

SIDE = 512
KINDS = {"PNG": ".png", "JPEG": ".jpg", "DICOM": ".dcm"}


@cache
def make_slice(number: int) -> np.ndarray:
    """uint8 (512, 512): sample `number` (modulo the number of samples), with its own noise."""
    samples = load_samples()
    square = cv2.resize(read_scan(samples[number % len(samples)].file).gray, (SIDE, SIDE))
    # As in a magnitude image (Gudbjartsson and Patz 1995). Without noise a PNG would unpack too fast.
    real, imaginary = np.random.default_rng(number).normal(0, 3, (2, SIDE, SIDE))
    return np.clip(np.round(np.hypot(square + real, imaginary)), 0, 255).astype(np.uint8)


def as_file(number: int, kind: str) -> bytes:
    """A slice as one of `KINDS`; as DICOM with the header of a sample, 12 bits and a window."""
    gray, stream = make_slice(number), io.BytesIO()
    if kind == "DICOM":
        from pydicom import dcmread

        dataset = dcmread(next(sample.file for sample in load_samples() if sample.file.suffix == ".dcm"))
        dataset.RescaleSlope, dataset.WindowCenter, dataset.WindowWidth = 1 / 16, 128, 256
        dataset.set_pixel_data(gray.astype("<u2") * 16, "MONOCHROME2", 12)
        # Of no series and no instance: links would be copies of one slice, which count once.
        dataset.SeriesInstanceUID = dataset.SOPInstanceUID = ""
        dataset.save_as(stream)
    else:
        Image.fromarray(gray).save(stream, kind, quality=92)
    return stream.getvalue()


def fill(folder: Path, count: int) -> None:
    """Put `count` scans into a new folder, every kind equally often: 24 files, and hard links to them."""
    folder.mkdir()
    files = [folder / f"{n:05}{list(KINDS.values())[n % len(KINDS)]}" for n in range(count)]
    for n, file in enumerate(files):
        if n < 24:
            file.write_bytes(as_file(n, list(KINDS)[n % len(KINDS)]))
        else:
            os.link(files[n % 24], file)
