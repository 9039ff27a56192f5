"""A series of 160 slices, from its files to readings, maps and pictures, beside the network alone."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator

import numpy as np
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless, generate_uid

from benchmarks.measure import Measured, Row, stopwatch
from benchmarks.reading import bare_invoke
from benchmarks.slices import as_file, make_slice
from brat.environment import CORES
from brat.io.files import File
from brat.io.intake import group_into_series, load
from brat.model.pool import Readers
from brat.model.series_reading import SeriesReading, read_stack

COUNT = 160
LIMIT = 4
"""Seconds."""


def rows(short: bool) -> Iterator[Row]:
    readers = Readers()
    invoke = stopwatch(bare_invoke(threads=1))
    kinds = {"DICOM": None} if short else {"DICOM": None, "RLE": RLELossless, "JPEG-LS": JPEGLSLossless}
    kinds |= {} if short else {"JPEG 2000": JPEG2000Lossless}
    sets = {f"{COUNT} {kind} files": dicom_files(syntax) for kind, syntax in kinds.items()}
    if not short:
        sets["a packed NIfTI volume"] = [nifti_file(COUNT)]
    for name, files in sets.items():
        times, floor = [], []
        for _ in range(1 if short else 5):
            times.append(read(files, readers))
            floor += [COUNT * invoke() / 1000 / CORES for _ in range(20)]
        ours, theirs = Measured(tuple(times), "s"), Measured(tuple(floor), "s")
        title = f"A series of {COUNT} slices of 512 x 512, {name}: bytes to readings, maps and pictures"
        yield Row(title, ours, f"{COUNT} bare invokes on {CORES} cores", theirs, {"value": LIMIT})


def read(files: list[File], readers: Readers) -> float:
    """Seconds for everything that the page does before it shows a series."""
    from pages.parts.series import shown

    begun = time.perf_counter()
    (item,) = group_into_series(files)
    stack = load(item).stack()
    if len(stack) != COUNT:
        raise RuntimeError(f"{len(stack)} slices instead of {COUNT}")
    slices = [(reading, shown(scan, reading)) for scan, reading in read_stack(stack, readers)]
    SeriesReading(tuple(reading for reading, _ in slices)).most_suspicious  # noqa: B018
    return time.perf_counter() - begun


def dicom_files(syntax: str | None) -> list[File]:
    """The slices of one series, each with different noise; uncompressed if `syntax` is None."""
    series, files = generate_uid(), []
    for number in range(COUNT):
        dataset = dcmread(DicomBytesIO(as_file(number % 24, "DICOM")))
        dataset.SeriesInstanceUID, dataset.SOPInstanceUID = series, generate_uid()
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.ImagePositionPatient = [0, 0, number]
        if syntax:
            dataset.compress(syntax, generate_instance_uid=False)
        stream = DicomBytesIO()
        dataset.save_as(stream)
        files.append(File(f"{number}.dcm", stream.getvalue()))
    return files


def nifti_file(count: int) -> File:
    import nibabel

    stored = np.stack([make_slice(number % 24).T[::-1, ::-1] for number in range(count)], axis=-1)
    return File("volume.nii.gz", gzip.compress(nibabel.Nifti1Image(stored, np.eye(4)).to_bytes(), 1))
