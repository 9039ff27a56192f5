"""The makers of the sample scans: slices of two public heads, and lesions drawn into them.

    python -m tools.phantoms OUT [--ch2 PATH]

The slices are cut out of the ICBM 152 template that nilearn carries and of MRIcron's `ch2`, one man's
head averaged over 27 scans. The lesions are drawn after what contrast-enhanced T1-weighted slices of
such tumours look like, for anatomy alone: no model was asked about them. nilearn and nibabel belong to
the `test` extra.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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

    def at(self, across: float, up: float) -> tuple[float, float]:
        """MNI coordinates in the plane -> (right, down) in mm from the picture's left top corner."""
        return self.left - across, self.top - up


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


def ring_lesion(
    image: np.ndarray,
    centre: tuple[float, float],
    radius: float,
    rim: float,
    inward: tuple[float, float],
    seed: int,
) -> np.ndarray:
    """Draw a glioblastoma-like lesion: an uneven enhancing rim, a dark core, oedema, mass effect.

    Args:
        image: float32 (height, width), white matter at 1.
        centre: (right, down) in mm from the left top corner.
        radius: of the rim's outer edge, mm.
        rim: its mean thickness, mm.
        inward: (right, down), the direction in which the brain gives way.
        seed: of the outline and the texture.

    Returns:
        float32 (height, width), a copy.
    """
    rng = np.random.default_rng(seed)
    image = _push(image, centre, radius, 0.35 * radius, 2.6 * radius, inward)
    outer = _depth(image.shape, centre, radius, 0.1, rng) + 0.07 * radius * _texture(image.shape, 3, rng)
    inner = (
        outer
        - rim * np.maximum(0.4, 1 + 0.6 * _texture(image.shape, 9, rng))
        - 0.7 * _texture(image.shape, 1.5, rng)
    )

    # Vasogenic oedema runs along white matter and darkens it to the shade of the cortex, which it spares.
    reach = _step((outer + 17 + 3 * _texture(image.shape, 6, rng)) / 14)
    image = image - reach * (0.85 * np.maximum(image - 0.74, 0) + 0.05 * np.clip(image, 0, 1))

    enhancing = 1.34 + 0.12 * _texture(image.shape, 2.2, rng) + 0.02 * _texture(image.shape, 0.8, rng)
    necrotic = 0.5 + 0.07 * _texture(image.shape, 2.5, rng) + 0.015 * _texture(image.shape, 0.8, rng)
    image = _blend(image, enhancing, _step(outer / 2.6 + 0.5))
    return _blend(image, necrotic, _step(inner / 4 + 0.5))


def dural_mass(
    image: np.ndarray,
    centre: tuple[float, float],
    radius: float,
    vault: tuple[float, float, float],
    seed: int,
) -> np.ndarray:
    """Draw a meningioma-like mass: round, evenly bright, broad on the dura, with a dural tail.

    Args:
        image: float32 (height, width), white matter at 1.
        centre: (right, down) in mm from the left top corner.
        radius: mm.
        vault: (right, down, radius) in mm of the circle that the skull's inner table follows there.
        seed: of the outline and the texture.

    Returns:
        float32 (height, width), a copy.
    """
    rng = np.random.default_rng(seed)
    right, down = _grid(image.shape)
    inside = vault[2] - np.hypot(right - vault[0], down - vault[1])
    image = _push(
        image, centre, radius, 0.45 * radius, 2.6 * radius, (vault[0] - centre[0], vault[1] - centre[1])
    )
    disc = _depth(image.shape, centre, radius, 0.04, rng) + 0.02 * radius * _texture(image.shape, 3, rng)

    # A sliver of cerebrospinal fluid between the mass and the brain says that it lies outside the brain.
    cleft = _step((disc + 2.6) / 1.6) * _step(inside / 2) * _step(0.6 + 0.5 * _texture(image.shape, 5, rng))
    image = image * (1 - 0.3 * cleft)

    tissue = 1.32 + 0.035 * _texture(image.shape, 2.5, rng) + 0.02 * _texture(image.shape, 0.8, rng)
    tail = _step((disc + 14) / 14) * _step(1.5 - np.abs(inside - 0.4) / 1.2)
    image = _blend(image, tissue, 0.85 * tail)
    return _blend(image, tissue, _step(disc / 2.2 + 0.5) * _step(inside / 1.6 + 0.6))


def sellar_mass(
    image: np.ndarray,
    centre: tuple[float, float],
    radius: float,
    above: tuple[float, float, float],
    seed: int,
) -> np.ndarray:
    """Draw a pituitary-macroadenoma-like mass: bright, in the sella, waisted where it leaves it upwards.

    Args:
        image: float32 (height, width), a midsagittal slice, white matter at 1.
        centre: of the part in the sella, (right, down) in mm from the left top corner.
        radius: of that part, mm.
        above: (right, down, radius) in mm of the part above the sella.
        seed: of the outline and the texture.

    Returns:
        float32 (height, width), a copy.
    """
    rng = np.random.default_rng(seed)
    image = _push(image, above[:2], above[2], 0.5 * above[2], 2.4 * above[2], (0, -1))
    lower = _depth(image.shape, centre, radius, 0.06, rng)
    upper = _depth(image.shape, above[:2], above[2], 0.06, rng)
    # A soft maximum rounds the notch between the two.
    depth = 2 * np.logaddexp(lower / 2, upper / 2) - 1 + 0.4 * _texture(image.shape, 3, rng)

    tissue = 1.2 + 0.05 * _texture(image.shape, 2.5, rng) + 0.02 * _texture(image.shape, 0.8, rng)
    return _blend(image, tissue, _step(depth / 2.4 + 0.5))


def _grid(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(right, down) of every pixel's centre in mm, float32 (1, width) and (height, 1)."""
    down, right = ((np.arange(n, dtype=np.float32) + 0.5) * SPACING for n in shape)
    return right[np.newaxis], down[:, np.newaxis]


def _step(values: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, smooth between."""
    values = np.clip(values, 0, 1)
    return values * values * (3 - 2 * values)


def _blend(image: np.ndarray, tissue: np.ndarray, share: np.ndarray) -> np.ndarray:
    return (image + (tissue - image) * share).astype(np.float32)


def _texture(shape: tuple[int, int], grain: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise of mean 0 and standard deviation 1; `grain` is its coarseness (sigma) in mm."""
    noise = rng.standard_normal(shape).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), grain / SPACING)
    return (noise - noise.mean()) / noise.std()


def _depth(
    shape: tuple[int, int],
    centre: tuple[float, float],
    radius: float,
    wobble: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """How deep in mm a pixel lies inside a round outline that swings by about `wobble` of its radius."""
    right, down = _grid(shape)
    angle = np.arctan2(down - centre[1], right - centre[0])
    swing = sum(
        rng.normal() / order * np.cos(order * angle + rng.uniform(0, 2 * np.pi)) for order in range(2, 8)
    )
    return radius * (1 + wobble * swing) - np.hypot(right - centre[0], down - centre[1])


def _push(
    image: np.ndarray,
    centre: tuple[float, float],
    radius: float,
    shift: float,
    reach: float,
    towards: tuple[float, float],
) -> np.ndarray:
    """Move the tissue round a mass away from its centre, on the side that can give way.

    Args:
        shift: how far tissue at the mass's edge moves, mm; it fades to nothing at `reach` mm from the centre.
        towards: (right, down); tissue on the far side, at the bone, stays.
    """
    right, down = _grid(image.shape)
    right, down = right - centre[0], down - centre[1]
    distance = np.hypot(right, down) + 1e-6
    facing = (right * towards[0] + down * towards[1]) / (distance * np.hypot(*towards))
    fade = np.clip((reach - distance) / (reach - radius), 0, 1) ** 2 * _step((facing + 0.3) / 0.9)
    moved = shift * fade / distance / SPACING
    columns, rows = np.meshgrid(
        np.arange(image.shape[1], dtype=np.float32), np.arange(image.shape[0], dtype=np.float32)
    )
    return cv2.remap(
        image,
        (columns - right * moved).astype(np.float32),
        (rows - down * moved).astype(np.float32),
        cv2.INTER_CUBIC,
    )


@dataclass(frozen=True)
class Plain:
    """A sample without a lesion."""

    name: str
    title: str
    cut: Cut


@dataclass(frozen=True)
class Drawn:
    """A sample with a lesion drawn into a plain one.

    Attributes:
        plain: what it is drawn into.
        name, title: as in `samples.json`.
        intended: the class that it is meant to suggest.
        centre: the lesion's, in MNI coordinates of the plane, mm.
        draw: (slice, centre in mm from the left top corner) -> slice.
        suffix: of the file, which chooses the format: ".png" or ".dcm".
    """

    plain: Plain
    name: str
    title: str
    intended: str
    centre: tuple[float, float]
    draw: Callable[[np.ndarray, tuple[float, float]], np.ndarray]
    suffix: str = ".png"


MNI_AXIAL = Plain("mni-axial", "MNI template, axial, brain only", Cut(ICBM, "axial", 4, 100, 84, 200, 200))
AXIAL = Plain("head-axial", "Single head, axial", Cut(COLIN, "axial", 18, 112.5, 96, 225, 225))
SAGITTAL = Plain("head-sagittal", "Single head, sagittal", Cut(COLIN, "sagittal", -3, 91, 114, 220, 185))
CORONAL = Plain("head-coronal", "Single head, coronal", Cut(COLIN, "coronal", -18, 90, 114, 180, 185))
PLAIN = (MNI_AXIAL, AXIAL, SAGITTAL, CORONAL)

DRAWN = (
    Drawn(
        AXIAL,
        "head-axial-ring",
        "Single head, axial, with a ring lesion drawn in (not a patient), DICOM",
        "glioma",
        centre=(34, -26),
        draw=partial(ring_lesion, radius=17, rim=5, inward=(1, -0.2), seed=7),
        suffix=".dcm",
    ),
    Drawn(
        CORONAL,
        "head-coronal-dural",
        "Single head, coronal, with a mass on the dura drawn in (not a patient)",
        "meningioma",
        centre=(-43.5, 56),
        draw=partial(dural_mass, radius=15, vault=(*CORONAL.cut.at(-5, 19), 63.5), seed=3),
    ),
    Drawn(
        SAGITTAL,
        "head-sagittal-sellar",
        "Single head, sagittal, with a mass in the sella drawn in (not a patient)",
        "pituitary",
        centre=(6, -31),
        draw=partial(sellar_mass, radius=7, above=(*SAGITTAL.cut.at(4, -19.5), 10), seed=5),
    ),
)


def make(folder: Path, ch2: Path = CH2) -> None:
    """Write the seven scans and `samples.json` into a folder; the same bytes every time.

    Args:
        folder: is made where it is missing.
        ch2: MRIcron's `ch2.nii.gz`.

    Raises:
        FileNotFoundError: there is no `ch2`.
    """
    import nibabel
    from nilearn.datasets.struct import MNI152_FILE_PATH

    folder.mkdir(parents=True, exist_ok=True)
    volumes = {ICBM: nibabel.load(MNI152_FILE_PATH), COLIN: nibabel.load(ch2)}
    slices = {}
    entries = []
    for sample in (*PLAIN, *DRAWN):
        if isinstance(sample, Plain):
            cut, suffix, intended = sample.cut, ".png", "no_tumor"
            volume = volumes[cut.source]
            image = slices[sample] = cut_slice(np.asarray(volume.dataobj), volume.affine, cut)
        else:
            cut, suffix, intended = sample.plain.cut, sample.suffix, sample.intended
            image = sample.draw(slices[sample.plain], cut.at(*sample.centre))
        file = folder / (sample.name + suffix)
        if suffix == ".dcm":
            _write_dicom(file, image, cut, sample.title)
        else:
            shown = np.round(np.clip(image / cut.source.window, 0, 1) * 255).astype(np.uint8)
            cv2.imwrite(str(file), shown, [cv2.IMWRITE_PNG_COMPRESSION, 9])
        entries.append(
            {
                "name": sample.name,
                "title": sample.title,
                "file": file.name,
                "origin": cut.source.origin,
                "licence": cut.source.licence,
                "drawn": isinstance(sample, Drawn),
                "intended": intended,
            }
        )
    text = json.dumps(entries, indent=2, ensure_ascii=False) + "\n"
    (folder / "samples.json").write_text(text, encoding="utf-8")


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
    dataset.SeriesDescription = "Drawn lesion, not a patient"
    dataset.ImageComments = title
    dataset.DerivationDescription = f"Slice of {cut.source.origin}; lesion drawn in"
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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.phantoms", description="Make the sample scans.")
    parser.add_argument("out", type=Path, help="folder for the scans and samples.json")
    parser.add_argument("--ch2", type=Path, default=CH2, help="MRIcron's ch2.nii.gz (default: %(default)s)")
    arguments = parser.parse_args()
    make(arguments.out, arguments.ch2)


if __name__ == "__main__":
    main()
