"""The makers of the healthy samples: slices of two digital head phantoms. `tools.samples` calls them.

The slices are cut out of the ICBM 152 template that nilearn carries and of MRIcron's `ch2`, one man's
head averaged over 27 scans. nilearn and nibabel belong to the `test` extra.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

SPACING = 0.45
"""Millimetres a pixel; the volumes have 1 mm voxels, and cubic interpolation fills in between."""

SLAB = 3
"""Voxels averaged across the slice: a thin clinical slice is about that thick."""

CH2 = Path("/usr/share/mricron/templates/ch2.nii.gz")
"""Where Debian's `mricron-data` puts the single head."""


@dataclass(frozen=True)
class Source:
    """A volume that slices are cut from.

    Attributes:
        white: the value of its white matter; slices are in units of it.
        window: what is shown as full white, in units of white matter.
        origin, licence: for `samples.json`.
    """

    white: float
    window: float
    origin: str
    licence: str


ICBM = Source(
    white=221,
    window=1.3,
    origin="ICBM 152 nonlinear symmetric 2009a T1 template, skull-stripped, as nilearn ships it",
    licence="MNI, McGill University (permissive, notice required); see LICENCES.md",
)
COLIN = Source(
    white=113,
    window=1.75,
    origin="MRIcron's ch2: Colin 27, one healthy man's head, mean of 27 T1 scans",
    licence="MNI, McGill University (permissive, notice required); MRIcron: BSD-3-Clause; see LICENCES.md",
)


@dataclass(frozen=True)
class Cut:
    """Where a slice lies in the volume, in millimetres of MNI space.

    Attributes:
        source: which volume.
        plane: "axial", "coronal" or "sagittal".
        level: z, y or x of the plane.
        left: x (axial, coronal) or y (sagittal) of the picture's left edge.
        top: y (axial) or z (coronal, sagittal) of its top edge.
        width, height: of the picture, in mm.
    """

    source: Source
    plane: str
    level: float
    left: float
    top: float
    width: float
    height: float


def cut_slice(volume: np.ndarray, affine: np.ndarray, cut: Cut) -> np.ndarray:
    """Cut a slice as a radiologist expects it: nose up or left, the patient's left on the picture's right.

    Args:
        volume: (x, y, z), axes to the right, the front and the top.
        affine: (4, 4), voxel to mm, without rotation.

    Returns:
        float32 (height, width) with `SPACING` mm a pixel, 0 outside the volume, white matter at 1.
    """
    normal, across, up = {"axial": (2, 0, 1), "coronal": (1, 0, 2), "sagittal": (0, 1, 2)}[cut.plane]
    first = round((cut.level - affine[normal, 3]) / affine[normal, normal]) - SLAB // 2
    slab = np.take(volume, range(first, first + SLAB), normal).astype(np.float32).mean(normal)

    def to_voxel(edge: float, axis: int) -> tuple[float, float]:
        scale = affine[axis, axis]
        return -SPACING / scale, (edge - SPACING / 2 - affine[axis, 3]) / scale

    step_across, start_across = to_voxel(cut.left, across)
    step_up, start_up = to_voxel(cut.top, up)
    # After the transpose a column is a step across and a row a step up.
    pixel_to_voxel = np.array([[step_across, 0, start_across], [0, step_up, start_up]])
    size = round(cut.width / SPACING), round(cut.height / SPACING)

    def resample(values: np.ndarray, interpolation: int) -> np.ndarray:
        return cv2.warpAffine(
            np.ascontiguousarray(values.T), pixel_to_voxel, size, flags=interpolation | cv2.WARP_INVERSE_MAP
        )

    image = resample(slab / np.float32(cut.source.white), cv2.INTER_CUBIC)
    # Both volumes were cut out of the air voxel by voxel; without this the skin would be a staircase.
    head = cv2.GaussianBlur(resample((slab > 0).astype(np.float32), cv2.INTER_LINEAR), (0, 0), 1 / SPACING)
    return np.maximum(image, 0) * _step((head - 0.3) / 0.5)


def _step(values: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, smooth between."""
    values = np.clip(values, 0, 1)
    return values * values * (3 - 2 * values)


@dataclass(frozen=True)
class Head:
    """A sample that is cut out of a volume.

    Attributes:
        name, title: as in `samples.json`.
        cut: the slice; of the series its lowest one, and only the level counts.
        suffix: of the file, which chooses the format: ".png", ".dcm" or ".nii.gz".
    """

    name: str
    title: str
    cut: Cut
    suffix: str


AXIAL = Head("head-axial", "Healthy head, axial", Cut(COLIN, "axial", 18, 112.5, 96, 225, 225), ".png")
BRAIN = Head(
    "mni-axial",
    "Healthy brain, skull removed, axial, DICOM",
    Cut(ICBM, "axial", 4, 100, 84, 200, 200),
    ".dcm",
)
SERIES = Head(
    "head-series",
    "Healthy head, series of axial slices",
    Cut(COLIN, "axial", -36, 112.5, 96, 225, 225),
    ".nii.gz",
)
HEADS = (AXIAL, BRAIN, SERIES)

APART = 5
"""Voxels, of 1 mm, from one slice of `SERIES` to the next."""

COUNT = 22
"""Slices of `SERIES`; the highest lies just below the vertex."""


def make(folder: Path, ch2: Path = CH2) -> list[dict[str, object]]:
    """Write the healthy heads into a folder; the same bytes every time.

    Args:
        ch2: MRIcron's `ch2.nii.gz`.

    Returns:
        Their entries of `samples.json`.

    Raises:
        FileNotFoundError: there is no `ch2`.
    """
    import nibabel
    from nilearn.datasets.struct import MNI152_FILE_PATH

    files = {ICBM: Path(MNI152_FILE_PATH), COLIN: ch2}
    volumes = {source: nibabel.load(file) for source, file in files.items()}
    entries = []
    for head in HEADS:
        cut, file = head.cut, folder / (head.name + head.suffix)
        volume = np.asarray(volumes[cut.source].dataobj), volumes[cut.source].affine
        if head is SERIES:
            _write_series(file, *volume, cut)
        elif head.suffix == ".dcm":
            _write_dicom(file, cut_slice(*volume, cut), cut, head.title)
        else:
            cv2.imwrite(str(file), _shown(cut_slice(*volume, cut), cut), [cv2.IMWRITE_PNG_COMPRESSION, 9])
        entries.append(
            {
                "name": head.name,
                "title": head.title,
                "file": file.name,
                "label": "no_tumor",
                "patient": "",
                "plane": cut.plane,
                "source": files[cut.source].name,
                "origin": cut.source.origin,
                "licence": cut.source.licence,
                "is_read_wrong": False,
                "is_series": head is SERIES,
            }
        )
    return entries


def _shown(values: np.ndarray, cut: Cut) -> np.ndarray:
    """Values in units of white matter, as displayed: uint8 of the same shape."""
    return np.round(np.clip(values / cut.source.window, 0, 1) * 255).astype(np.uint8)


def _write_series(file: Path, volume: np.ndarray, affine: np.ndarray, lowest: Cut) -> None:
    """Write `COUNT` axial slices, `APART` voxels from one to the next, as a NIfTI volume of 8 bits.

    The voxels stay as they are, without interpolation.
    """
    import nibabel

    first = round((lowest.level - affine[2, 3]) / affine[2, 2]) - SLAB // 2
    starts = [first + APART * number for number in range(COUNT)]
    slabs = [volume[..., start : start + SLAB].mean(-1) / lowest.source.white for start in starts]
    placed = affine.copy()
    placed[2, 2], placed[2, 3] = APART * affine[2, 2], lowest.level
    image = nibabel.Nifti1Image(_shown(np.stack(slabs, axis=-1), lowest), placed)
    # Without a time of day in its header, which would make other bytes each time.
    file.write_bytes(gzip.compress(image.to_bytes(), mtime=0))


def _write_dicom(file: Path, image: np.ndarray, cut: Cut, title: str) -> None:
    """Write an axial slice as a single-frame MR image of 12 bits, with the window that the PNG files have."""
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    white, slope = 800, 0.5
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["brat", file.stem, "image"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian

    dataset = FileDataset(str(file), Dataset(), file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=["brat", file.stem, "study"])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=["brat", file.stem, "series"])
    dataset.FrameOfReferenceUID = generate_uid(entropy_srcs=["brat", file.stem, "frame"])
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    dataset.Modality = "MR"
    dataset.PatientName = "Phantom^Not a patient"
    dataset.PatientID = "PHANTOM"
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "Published research template"
    dataset.QualityControlImage = "YES"
    dataset.BurnedInAnnotation = "NO"
    dataset.SeriesDescription = "Published research template, not a patient"
    dataset.ImageComments = title
    dataset.DerivationDescription = f"Slice of {cut.source.origin}"
    # The standard wants these present; there is nothing to say in them.
    for keyword in (
        *("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID", "AccessionNumber"),
        *("ReferringPhysicianName", "Manufacturer", "PositionReferenceIndicator", "Laterality"),
        *("EchoTime", "EchoTrainLength", "RepetitionTime", "ScanOptions"),
    ):
        setattr(dataset, keyword, None)
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    dataset.ScanningSequence, dataset.SequenceVariant, dataset.MRAcquisitionType = "GR", "SP", "3D"

    # DICOM's axes run to the left and the back, the volume's to the right and the front.
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [SPACING / 2 - cut.left, SPACING / 2 - cut.top, cut.level]
    dataset.PixelSpacing = [SPACING, SPACING]
    dataset.SliceThickness = SLAB

    dataset.Rows, dataset.Columns = image.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = slope, 0, "US"
    # PS3.3 C.11.2.1.2: this centre and width show 0 as black and `window * white` as full white.
    full = cut.source.window * white
    dataset.WindowCenter, dataset.WindowWidth = (full + 1) / 2, full + 1
    stored = np.clip(np.round(image * (white / slope)), 0, 4095).astype("<u2")
    dataset.set_pixel_data(stored, "MONOCHROME2", 12, generate_instance_uid=False)
    dataset.save_as(file, enforce_file_format=True)
