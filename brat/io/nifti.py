"""NIfTI: bytes -> a series of axial, coronal or sagittal slices. By nibabel.

Slices are shown as radiologists look at them: the patient's right on the left of an axial or coronal slice,
the front at the top of an axial one; of a sagittal slice the front is on the left.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from brat.io import sniff
from brat.io.archives import gunzipped
from brat.io.display import display_range, finite, without_background
from brat.io.panels import refuse_page
from brat.io.scan import (
    MAX_SIDE,
    MIN_SIDE,
    Scan,
    UnreadableScan,
    Window,
    decoding,
    part_digest,
    refuse_bomb,
    refuse_wrapped,
)
from brat.io.series import Series, Stack

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

# It tells the console what is odd in a header, and mends it.
logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)

PLANES = ("axial", "coronal", "sagittal")

# The axis along which slices follow one another, that of their columns, and that of their rows.
_AXES = {"axial": (2, 0, 1), "coronal": (1, 0, 2), "sagittal": (0, 1, 2)}

_EDGES = {"axial": ("R", "A", "L", "P"), "coronal": ("R", "H", "L", "F"), "sagittal": ("A", "H", "P", "F")}
"""See `brat.io.geometry.Edges`."""

_TURNED = 0.05
"""Cosines, and shares of a voxel's size, by which two statements of how a volume lies may differ."""

_NO_SCALE = (
    "The slope or intercept in the header is no number, or far too large or small. The values are shown as "
    "they are stored."
)
_SCALES = 1e-28, 1e28
"""Slopes between which the values of 32 bits stay within those of float32, with as many digits."""


MAX_UNPACKED = 500_000_000
"""Bytes. What unpacks to more is refused: a hosted app has about 1 GB of memory."""

MAX_VOXELS = 100_000_000
"""Of one volume."""

_MILLIMETRES = {"meter": 1000.0, "micron": 0.001}
"""By the header's unit of length; millimetres where it names none."""


def read_nifti(data: bytes, name: str, digest: str) -> Series:
    """A volume of three dimensions, or several of four.

    Args:
        digest: SHA-256 of `data`.

    Raises:
        UnreadableScan: the file is damaged, too large, or holds something else than volumes.
    """
    with decoding("NIfTI"):
        return _read(_unpacked(data), name, digest)


def joined(header: bytes, picture: bytes) -> bytes:
    """A NIfTI pair (.hdr and .img) as the single file that it could have been.

    Raises:
        UnreadableScan: one of them is damaged, or too large.
    """
    with decoding("NIfTI"):
        header, picture = _unpacked(header), _unpacked(picture)
        # Of each version: the size of the header, where its magic stands, where vox_offset does, its type.
        size, magic_at, magic, offset_at, offset_type = (
            (540, 4, b"n+2\0", 168, "q") if header[4:8] == b"ni2\0" else (348, 344, b"n+1\0", 108, "f")
        )
        order = "<" if header[:4] == struct.pack("<i", size) else ">"
        begin = int(struct.unpack_from(order + offset_type, header, offset_at)[0])
        single = bytearray(header[:size]) + bytes(4)
        single[magic_at : magic_at + 4] = magic
        struct.pack_into(order + offset_type, single, offset_at, size + 4)
        return bytes(single) + picture[begin:]


def _unpacked(data: bytes) -> bytes:
    if not sniff.is_gzip(data):
        return data
    content = gunzipped(data, MAX_UNPACKED)
    if content is None:
        raise UnreadableScan(
            f"The NIfTI file unpacks to more than {MAX_UNPACKED // 1_000_000:,} MB. "
            "Export the volume by itself, or at a lower resolution."
        )
    return content


def _read(data: bytes, name: str, digest: str) -> Series:
    import nibabel
    from nibabel.affines import voxel_sizes
    from nibabel.orientations import apply_orientation, io_orientation

    if sniff.is_nifti_pair_header(data):
        raise UnreadableScan(
            "This is the header of a NIfTI pair, whose picture is in another file (.img). "
            "Give both files together, or convert the pair to a single .nii file."
        )
    image_class = nibabel.Nifti2Image if _is_second(data) else nibabel.Nifti1Image
    data, has_scale = _with_usable_scale(data)
    image = image_class.from_bytes(_with_usable_offset(data))
    shape = image.shape + (1,) * (3 - len(image.shape))
    if len(shape) > 4 and all(size == 1 for size in shape[3:-1]):
        # Volumes may lie along a later dimension: (x, y, z, 1, t).
        shape = (*shape[:3], shape[-1])
    if len(shape) > 4 or not all(shape):
        raise UnreadableScan(
            f"This NIfTI file has {len(image.shape)} dimensions ({' x '.join(map(str, image.shape))}). "
            "Volumes, or a sequence of volumes, are read here: export one of them."
        )
    if np.prod(shape[:3], dtype=float) > MAX_VOXELS:
        raise UnreadableScan(
            f"The volume has more than {MAX_VOXELS // 1_000_000} million voxels. "
            "Export it at a lower resolution."
        )
    for width, height in combinations(shape[:3], 2):
        refuse_bomb(width, height)
    if np.issubdtype(image.get_data_dtype(), np.complexfloating):
        raise UnreadableScan(
            "The values of this NIfTI volume are complex numbers. Export their magnitude instead."
        )
    has_colour = image.get_data_dtype().fields is not None
    volumes = shape[3] if len(shape) == 4 else 1
    is_finite = bool(np.isfinite(image.affine).all())
    orientation = io_orientation(image.affine) if is_finite else np.full((3, 2), np.nan)
    if np.isnan(orientation).any():
        raise UnreadableScan(
            "This NIfTI file does not say how the volume lies in space. Export it again with its orientation."
        )
    # By the affine, as the orientation is: the pixel dimensions in the header may say something else.
    spacing = voxel_sizes(image.affine)[np.argsort(orientation[:, 0])]
    spacing = spacing * _MILLIMETRES.get(image.header.get_xyzt_units()[0], 1)
    spacing = np.where(np.isfinite(spacing) & (spacing > 0), spacing, 1.0).tolist()

    def volume(number: int) -> np.ndarray:
        """(x, y, z) from left to right, back to front, foot to head."""
        with decoding("NIfTI"):
            later = (0,) * (len(image.shape) - 4) + (number,) * (len(image.shape) > 3)
            values = _in_slabs(image.dataobj, shape[:3], later, has_colour)
            values = finite(apply_orientation(values, orientation))
            return values if has_colour else without_background(values)

    is_placed = bool(image.header["sform_code"] or image.header["qform_code"])
    remarks = _remarks(image) + (() if has_scale else (_NO_SCALE,))
    first = volume(0)
    size = " x ".join(map(str, first.shape))
    window = None if has_colour else _window(first)
    format = f"NIfTI, {size}" + (f", {volumes} volumes" if volumes > 1 else "")
    held = {0: first}

    def cut(plane: str, number: int) -> Stack:
        # One at a time: a sequence of volumes would not fit.
        values = held.get(number)
        if values is None:
            values = volume(number)
            held.clear()
            held[number] = values
        of = f", volume {number + 1} of {volumes}" if volumes > 1 else ""
        cuts = _Cuts(values, spacing, plane, window, name, format + of, digest, number, is_placed, remarks)
        return Stack(cuts.count, cuts.scan, plane, cuts.positions)

    planes = tuple(plane for plane in PLANES if min(_size(first.shape, spacing, plane)) >= MIN_SIDE)
    if not planes:
        raise UnreadableScan(
            f"The volume has only {size} voxels: no slice of it has {MIN_SIDE} pixels a side. "
            "Export it at its full resolution."
        )
    return Series(
        name=name,
        format=format,
        modality="",
        digest=digest,
        planes=planes,
        volumes=volumes,
        window=window,
        presets=(),
        cut=cut,
        remarks=remarks,
    )


def _with_usable_scale(data: bytes) -> tuple[bytes, bool]:
    """The file without a slope and intercept that cannot be used, and whether it had others.

    Where the slope is 0 the values are meant as they are stored. nibabel refuses a slope with an intercept
    that is no number.
    """
    order = _byte_order(data)
    at, type = (176, "2d") if _is_second(data) else (112, "2f")
    slope, intercept = struct.unpack_from(order + type, data, at)
    least, most = _SCALES
    if slope == 0 or (least < abs(slope) < most and abs(intercept) < most):
        return data, True
    changed = bytearray(data)
    struct.pack_into(order + type, changed, at, 0, 0)
    return bytes(changed), bool(np.isnan(slope) and np.isnan(intercept))


def _with_usable_offset(data: bytes) -> bytes:
    """The file with its picture behind its header: some name no place for it, and mean this one."""
    order = _byte_order(data)
    at, type, least = (168, "q", 544) if _is_second(data) else (108, "f", 352)
    (offset,) = struct.unpack_from(order + type, data, at)
    if not 0 <= offset < least:
        return data
    changed = bytearray(data)
    struct.pack_into(order + type, changed, at, least)
    return bytes(changed)


def _is_second(data: bytes) -> bool:
    """Whether a file is of version 2."""
    return data[4:8] == b"n+2\0"


def _byte_order(data: bytes) -> str:
    """Of a header, whose first number is its size."""
    return "<" if data[:4] in (struct.pack("<i", 348), struct.pack("<i", 540)) else ">"


def _remarks(image: Nifti1Image) -> tuple[str, ...]:
    """What its two statements of how it lies in space (sform and qform) leave open."""
    sform, qform = image.get_sform(coded=True)[0], image.get_qform(coded=True)[0]
    if sform is None and qform is None:
        return (
            "The file does not say how the volume lies in space (neither sform nor qform): left and right of "
            "the patient are not known, nor are the planes.",
        )
    if sform is None or qform is None:
        return ()
    first, second = (_directions(affine) for affine in (sform, qform))
    if np.abs(first - second).max() <= _TURNED:
        sizes, others = (np.linalg.norm(affine[:3, :3], axis=0) for affine in (sform, qform))
        if np.abs(sizes - others).max() <= _TURNED * max(sizes.max(), others.max()):
            return ()
        return (
            "The file says in two ways how large a voxel is (sform and qform), and they disagree. It is "
            "shown by its sform; its proportions and lengths may be wrong.",
        )
    return (
        "The file says in two ways how the volume lies in space (sform and qform), and they disagree. It is "
        "shown by its sform; left and right of the patient may be the other way round.",
    )


def _directions(affine: np.ndarray) -> np.ndarray:
    """Unit vectors of the three axes of voxels, as columns."""
    return affine[:3, :3] / np.maximum(np.linalg.norm(affine[:3, :3], axis=0), 1e-12)


_SLAB = 4_000_000
"""Voxels that are taken out of a file at a time: of 8-byte values a whole volume would be there twice."""


def _in_slabs(stored: Any, shape: tuple[int, ...], later: tuple[int, ...], has_colour: bool) -> np.ndarray:
    """A volume, of values of at most 4 bytes; colour as luminance.

    Args:
        stored: nibabel's proxy of the values in the file.
        later: where the volume stands along the dimensions after the third.
    """
    # A file may leave out dimensions that have one place.
    given = min(len(stored.shape), 3)
    thickness = max(1, _SLAB // max(shape[0] * shape[1], 1)) if given == 3 else shape[2]
    volume: np.ndarray | None = None
    for begin in range(0, shape[2], thickness):
        end = min(begin + thickness, shape[2])
        places = (slice(None),) * 2 + (slice(begin, end),) if given == 3 else (slice(None),) * given
        slab = np.asanyarray(stored[(*places, *later)]).reshape((*shape[:2], end - begin))
        if has_colour:
            slab = _luminance(slab)
        elif slab.dtype.itemsize > 4:
            slab = slab.astype(np.float32)
        if volume is None:
            volume = np.empty(shape, slab.dtype, order="F")
        volume[..., begin:end] = slab
    assert volume is not None
    return volume


def _luminance(values: np.ndarray) -> np.ndarray:
    red, green, blue = (values[name].astype(np.float32) for name in ("R", "G", "B"))
    return np.round(0.299 * red + 0.587 * green + 0.114 * blue).astype(np.uint8)


def _window(values: np.ndarray) -> Window:
    """One for the whole volume, or slices could not be compared."""
    # Of every other voxel each way: of a large volume, all of them would take a second to sort.
    low, high = display_range(values[::2, ::2, ::2])
    if high <= low:
        low, high = float(values.min()), float(values.max())
    if high <= low:
        raise UnreadableScan("The volume has one value all over: there is nothing in it to read.")
    return Window((low + high) / 2, high - low)


@dataclass(frozen=True, eq=False)
class _Cuts:
    """A volume cut along one plane.

    Attributes:
        values: (x, y, z) from left to right, back to front, foot to head.
        spacing: millimetres along each of them.
        plane: of `PLANES`.
        window: what is shown; None where the values are luminance already.
        name, format, digest: of the file.
        number: of the volume in the file, from 0.
        is_placed: whether the file says how the volume lies in space.
        remarks: of the file.
    """

    values: np.ndarray
    spacing: Sequence[float]
    plane: str
    window: Window | None
    name: str
    format: str
    digest: str
    number: int
    is_placed: bool
    remarks: tuple[str, ...]

    @property
    def count(self) -> int:
        return self.values.shape[_AXES[self.plane][0]]

    @property
    def positions(self) -> list[float]:
        """Millimetres from the first slice."""
        return [self.spacing[_AXES[self.plane][0]] * index for index in range(self.count)]

    def scan(self, index: int) -> Scan:
        axis, across, _ = _AXES[self.plane]
        # Reversed both, because x runs to the right, shown on the left, y to the front and z to the top.
        pixels = self.values[(slice(None),) * axis + (index,)][::-1, ::-1].T
        height, width = _size(self.values.shape, self.spacing, self.plane)
        pixels = _resized(np.ascontiguousarray(pixels), height, width)
        mm = self.values.shape[across] * self.spacing[across] / width
        place = f", {self.plane} {index + 1} of {self.count}"
        scan = Scan(
            gray=self.window.apply(pixels) if self.window else pixels,
            pixels=pixels,
            name=self.name + place,
            format=self.format + place,
            modality="",
            digest=part_digest(self.digest, f"volume {self.number} {self.plane} {index}"),
            spacing=(mm, mm),
            window=self.window,
            edges=_EDGES[self.plane] if self.is_placed else None,
            remarks=self.remarks,
        )
        refuse_wrapped(scan)
        # Slices of a brain without its skull are in several pieces, so of a whole volume they are not asked.
        if self.count == 1:
            refuse_page(scan.gray)
        return scan


def _size(shape: tuple[int, ...], spacing: Sequence[float], plane: str) -> tuple[int, int]:
    """Height and width of a slice with as many pixels to a millimetre down as across, as it is looked at."""
    _, across, down = _AXES[plane]
    mm = min(spacing[down], spacing[across])
    height, width = shape[down] * spacing[down] / mm, shape[across] * spacing[across] / mm
    shrink = max(height / MAX_SIDE, width / MAX_SIDE, 1)
    return max(round(height / shrink), 1), max(round(width / shrink), 1)


def _resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    if pixels.shape == (height, width):
        return pixels
    if pixels.dtype not in (np.uint8, np.uint16, np.int16, np.float32):
        pixels = pixels.astype(np.float32)
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
