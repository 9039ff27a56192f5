"""Files as a scanner or a person makes them: a DICOM slice, a volume, an archive."""

from __future__ import annotations

import io
import zipfile

import nibabel
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from brat.io.scan import read_scan
from tests.factories.samples import KNOWN

SERIES = generate_uid()


def slice_of(number: int, *, series: str = SERIES, **changes) -> bytes:
    """A slice whose first pixel is its number and that lies 2.5 mm above the last."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = MRImageStorage, generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), series
    dataset.Modality = "MR"
    dataset.Rows, dataset.Columns = 80, 70
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    pixels = np.arange(80 * 70, dtype=np.uint16).reshape(80, 70) % 1000
    pixels[0, 0] = number
    dataset.PixelData = pixels.tobytes()
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [-100, -120, 2.5 * number]
    dataset.InstanceNumber = 1000 - number
    dataset.WindowCenter, dataset.WindowWidth = [500, 300], [1000, 200]
    dataset.WindowCenterWidthExplanation = ["BRAIN", "JANE DOE"]
    for keyword, value in changes.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    written = io.BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return written.getvalue()


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def volume(apart: float = 1, shrink: int = 1) -> bytes:
    """Six axial slices: nothing, noise, the sample three times, nothing.

    Args:
        apart: millimetres from one to the next; there is one from pixel to pixel.
        shrink: of so many pixels each way, one is taken.
    """
    head = read_scan(KNOWN.file).gray[::shrink, ::shrink]
    noise = np.random.default_rng(0).integers(0, 256, head.shape, np.uint8)
    nothing = np.zeros_like(head)
    slices = [nothing, noise, head, head, head, nothing]
    # From how they are shown to left, back and foot first.
    stored = np.stack([one.T[::-1, ::-1] for one in slices], axis=-1)
    return nibabel.Nifti1Image(stored, np.diag([1.0, 1.0, apart, 1.0])).to_bytes()
