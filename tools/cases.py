"""Files of which viewers, decoders and PACS tools were reported to show the wrong thing, made anew and tried.

Each is made of a sample slice and given to the code that reads what is dropped on the app. `tools.formats`
writes what came of it to docs/formats.md.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np

from brat.io.files import File
from brat.io.intake import SeveralPanels, group_into_series, load
from brat.io.read import read_scan
from brat.io.samples import load_samples
from brat.io.scan import UnreadableScan
from tools.exports import dicom

Made = list[tuple[str, bytes]]
"""Names and contents of the files of a case."""

Image = np.ndarray
_SIDE = 200


def _head(number: int = 0) -> Image:
    """A sample slice, uint8 (200, 200)."""
    gray = read_scan(load_samples()[number % len(load_samples())].file).gray
    return cv2.resize(gray, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)


def _values(number: int = 0) -> Image:
    return _head(number).astype(np.uint16) * 12


def _png(image: Image) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def _one(**elements: Any) -> Made:
    return [("slice.dcm", dicom(_values(), **elements))]


def _series(count: int = 3, copies: int = 1, **elements: Any) -> Made:
    """Slices of one series, 5 mm apart; copies share what names a slice."""
    made = []
    for number in range(count):
        data = dicom(
            _values(number),
            SeriesInstanceUID="2.25.1",
            SOPInstanceUID=f"2.25.9.{number}",
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[0, 0, 5 * number],
            **elements,
        )
        made += [(f"{number}-{copy}.dcm", data) for copy in range(copies)]
    return made


def _changed(data: bytes, change: Callable[[Any], None]) -> bytes:
    import pydicom

    dataset = pydicom.dcmread(io.BytesIO(data))
    change(dataset)
    written = io.BytesIO()
    dataset.save_as(written)
    return written.getvalue()


def _pages(count: int) -> Made:
    from PIL import Image as Pillow

    written = io.BytesIO()
    pages = [Pillow.fromarray(_head(number) // (1 + number % 3)) for number in range(count)]
    pages[0].save(written, "TIFF", save_all=True, append_images=pages[1:])
    return [("pages.tif", written.getvalue())]


def _grid() -> Image:
    return np.vstack([np.hstack([_head(0), _head(1)]), np.hstack([_head(2), _head(3)])])


def _inset() -> Image:
    page = cv2.resize(_head(1), (512, 512))
    page[:170, :170] = cv2.resize(_head(), (170, 170))
    return page


def _patients() -> Made:
    return [(f"{who}-{name}", data) for who in "ab" for name, data in _series(PatientID=who)]


def _more_than_frames() -> Made:
    twice = _changed(dicom(_values()), lambda d: setattr(d, "PixelData", d.PixelData * 2))
    return [("slice.dcm", twice)]


def _mosaics() -> Made:
    page = np.vstack([np.hstack([_head(3 * r + c) for c in range(3)]) for r in range(3)]).astype(np.uint16)
    shared = {"SeriesInstanceUID": "2.25.1", "ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]}
    return [(f"{n}.dcm", dicom(page * 12, **shared)) for n in range(2)]


def _wrapped() -> Made:
    smooth = cv2.GaussianBlur(_head().astype(np.float32), (0, 0), 1.5)
    return [("export.png", _png(((smooth * 4).astype(np.int64) % 256).astype(np.uint8)))]


def _overlay() -> Made:
    stored = _values()
    stored[20:60, 20:60] |= 0xF000
    return [("slice.dcm", dicom(stored))]


def _padding() -> Made:
    stored = _values().astype(np.int16)
    stored[:, :20] = -2000
    return [("slice.dcm", dicom(stored, PixelPaddingValue=-2000))]


def _zeros() -> Made:
    from pydicom.dataset import Dataset

    def change(dataset: Any) -> None:
        item = Dataset()
        item.LUTDescriptor, item.LUTData = [4096, 0, 16], bytes(8192)
        item["LUTDescriptor"].VR, item["LUTData"].VR = "US", "OW"
        dataset.VOILUTSequence = [item]

    return [("slice.dcm", _changed(dicom(_values()), change))]


def _air_first() -> Made:
    made = _series(4)
    air = np.random.default_rng(0).integers(0, 12, (_SIDE, _SIDE)).astype(np.uint16)
    return [
        (name, _changed(data, lambda d: setattr(d, "PixelData", air.tobytes())) if not number else data)
        for number, (name, data) in enumerate(made)
    ]


def _nifti(values: np.ndarray, sform: Any = None, qform: Any = None, name: str = "volume.nii") -> Made:
    import nibabel

    image = nibabel.Nifti1Image(np.stack([values] * 8, axis=-1), None)
    image.set_sform(sform, int(sform is not None))
    image.set_qform(qform, int(qform is not None))
    return [(name, image.to_bytes())]


def _far_background() -> Made:
    values = _values().astype(np.int16)
    values[_head() < 12] = -32768
    values[0], values[-1], values[:, 0], values[:, -1] = (-32768,) * 4
    return _nifti(values, np.eye(4))


def _scored() -> Made:
    head = _head().astype(np.float32)
    is_air = head < 12
    values = (head - head[~is_air].mean()) / head[~is_air].std()
    values[is_air] = 0
    values[0], values[-1], values[:, 0], values[:, -1] = (0,) * 4
    return _nifti(values.astype(np.float32), np.eye(4))


def _four() -> Made:
    import nibabel

    values = np.stack([np.stack([_values().astype(np.int16)] * 6, axis=-1)] * 3, axis=-1)
    return [("four.nii", nibabel.Nifti1Image(values, np.eye(4)).to_bytes())]


def _lacking() -> Made:
    return [("slice.dcm", _changed(dicom(_values()), lambda d: delattr(d, "PhotometricInterpretation")))]


def _unfit() -> Made:
    plain, rle = b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0"
    return [("slice.dcm", dicom(_values()).replace(plain, rle))]


def _no_number() -> Made:
    data = dicom(_values(), RescaleSlope="1.0", RescaleIntercept="9.99")
    return [("slice.dcm", data.replace(b"9.99", b"NaN "))]


def _swapped() -> Made:
    return [("slice.dcm", dicom(_values().byteswap()))]


def _block() -> Made:
    """An artefact of 1 % of the voxels."""
    values = _values().astype(np.int16)
    values[:20, :20] = 32000
    return _nifti(values, np.eye(4))


def _members() -> Made:
    ((_, volume),) = _nifti(_values(), np.eye(4))
    parts = [gzip.compress(volume[at : at + 65280]) for at in range(0, len(volume), 65280)]
    return [("volume.nii.gz", b"".join(parts))]


def _cut_jpeg(lost: int) -> Made:
    return [("slice.jpg", cv2.imencode(".jpg", _head())[1].tobytes()[:-lost])]


def _array() -> Made:
    written = io.BytesIO()
    np.save(written, _head())
    return [("slice.npy", written.getvalue())]


_MIRRORED = np.diag([-1.0, 1.0, 1.0, 1.0])

CASES: dict[str, Callable[[], Made]] = {
    "Four slices on one picture": lambda: [("page.png", _png(_grid()))],
    "A small slice in the corner of another": lambda: [("inset.png", _png(_inset()))],
    "TIFF of 20 pages (pytiff #11, aleph #20)": lambda: _pages(20),
    "Pixels of two frames where the header names one (pydicom #2035)": _more_than_frames,
    "A mosaic in each picture of a series": _mosaics,
    "Three copies of each slice (rt-utils #122, dcm2niix #837)": lambda: _series(3, copies=3),
    "Two patients under one series UID (deid #19)": _patients,
    "Several volumes in one file": _four,
    "Values modulo 256": _wrapped,
    "An overlay in the bits above the value (pydicom #2260)": _overlay,
    "Padding of -2000 (OHIF #4449)": _padding,
    "NIfTI with a background of -32768": _far_background,
    "NIfTI of z-scores with a background of 0": _scored,
    "A window of one shade (fo-dicom #752, #1999, cornerstone #45)": lambda: _one(
        WindowCenter=60000, WindowWidth=10
    ),
    "A window below 1 (cornerstone #257)": lambda: _one(WindowCenter=40, WindowWidth=0.5),
    "A VOI LUT of zeros": _zeros,
    "A series without windows that begins with air (Slicer #5140)": _air_first,
    "Pixels twice as high as wide (cornerstone #110, fo-dicom #766)": lambda: _one(PixelSpacing=[1.0, 0.5]),
    "Stored upside down": lambda: _one(ImageOrientationPatient=[1, 0, 0, 0, -1, 0]),
    "sform and qform that disagree (mrtrix3 #94, fmriprep #2281)": lambda: _nifti(
        _values(), np.eye(4), _MIRRORED
    ),
    "Neither sform nor qform": lambda: _nifti(_values()),
    "CT": lambda: _one(Modality="CT"),
    "MR of a knee": lambda: _one(BodyPartExamined="KNEE"),
    "A phase map": lambda: _one(ImageType=["ORIGINAL", "PRIMARY", "P", "ND"]),
    "Diffusion": lambda: _one(SeriesDescription="ep2d_diff_3scan_trace"),
    "FLAIR": lambda: _one(SeriesDescription="AX FLAIR"),
    "T1 with a contrast agent": lambda: _one(SeriesDescription="t1_se_tra", ContrastBolusAgent="Gadovist"),
    "Text burned in": lambda: _one(BurnedInAnnotation="YES"),
    "A header without Photometric Interpretation (VinDr #3)": _lacking,
    "A transfer syntax that does not fit (OHIF #372)": _unfit,
    "A rescale intercept of NaN": _no_number,
    "A rescale slope of 1e38": lambda: _one(RescaleSlope="1e38", RescaleIntercept="0"),
    "Bytes that lie the other way round than the header says": _swapped,
    "NIfTI with a bright block": _block,
    ".nii.gz of several gzip members (zlib #984)": _members,
    "JPEG without its last two bytes": lambda: _cut_jpeg(2),
    "JPEG without its last 500 bytes": lambda: _cut_jpeg(500),
    "HEIC without its content": lambda: [("photo.heic", b"\0\0\0\x1cftypheic" + bytes(40))],
    "PDF": lambda: [("page.pdf", b"%PDF-1.7\n" + bytes(600))],
    ".npy": _array,
    ".mat of figshare": lambda: [("1.mat", b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n")],
    "A name in Latin-1": lambda: [("caf\udce9.png", _png(_head()))],
}
"""What is given, with the numbers of public reports of it, -> its files."""


def answers(made: Made, facts: Callable[[Any], str]) -> list[str]:
    """What is said of each item that files are sorted into.

    Args:
        facts: what is opened -> in words.
    """
    said = []
    for item in group_into_series([File(name, data) for name, data in made]):
        try:
            opened = load(item)
        except SeveralPanels as page:
            said.append(f"{len(page.items)} slices, listed to be read one by one")
        except UnreadableScan as error:
            said.append(f"*{error}*")
        else:
            said.append(" ".join([f"{facts(opened)}.", *opened.remarks]))
    return said


def rows(facts: Callable[[Any], str]) -> Sequence[tuple[str, str]]:
    """Of each case its name and its answers."""
    return [(name, "<br>".join(answers(make(), facts))) for name, make in CASES.items()]
