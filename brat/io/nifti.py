"""NIfTI: bytes -> a series of axial, coronal or sagittal slices. By nibabel.

Slices are shown as radiologists look at them: the patient's right on the left of an axial or coronal slice,
the front at the top of an axial one; of a sagittal slice the front is on the left.
"""

from __future__ import annotations

import logging
import struct
import zlib
from collections.abc import Sequence

import cv2
import numpy as np

from brat.io.scan import (
    MAX_SIDE,
    MIN_SIDE,
    Scan,
    UnreadableScan,
    Window,
    finite,
    part_digest,
    reading,
    refuse_bomb,
)
from brat.io.series import Series, Stack

# It tells the console what is odd in a header, and mends it.
logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)

PLANES = ("axial", "coronal", "sagittal")

# The axis along which slices follow one another, that of their columns, and that of their rows.
_AXES = {"axial": (2, 0, 1), "coronal": (1, 0, 2), "sagittal": (0, 1, 2)}

MAX_UNPACKED = 500_000_000
"""Bytes. What unpacks to more is refused: a hosted app has about 1 GB of memory."""

MAX_VOXELS = 100_000_000
"""Of one volume."""

_GZIP = b"\x1f\x8b"
_MILLIMETRES = {"meter": 1000.0, "micron": 0.001}
"""By the header's unit of length; millimetres where it names none."""


def is_nifti(data: bytes) -> bool:
    """Whether a file is NIfTI by its content, packed by gzip or not."""
    head = data[:400]
    if head.startswith(_GZIP):
        try:
            head = zlib.decompressobj(31).decompress(data[:65536], 400)
        except zlib.error:
            return False
    return head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0")


def read_nifti(data: bytes, name: str, digest: str) -> Series:
    """A volume of three dimensions, or several of four.

    Args:
        digest: SHA-256 of `data`.

    Raises:
        UnreadableScan: the file is damaged, too large, or holds something else than volumes.
    """
    with reading("NIfTI"):
        return _read(_unpacked(data), name, digest)


def joined(header: bytes, picture: bytes) -> bytes:
    """A NIfTI pair (.hdr and .img) as the single file that it could have been.

    Raises:
        UnreadableScan: one of them is damaged, or too large.
    """
    with reading("NIfTI"):
        header, picture = _unpacked(header), _unpacked(picture)
        # Where the size of the header, its mark, and the place of the picture stand, and as what.
        second = header[4:8] == b"ni2\0"
        size, mark, magic, place, kind = (
            (540, 4, b"n+2\0", 168, "q") if second else (348, 344, b"n+1\0", 108, "f")
        )
        order = "<" if header[:4] == struct.pack("<i", size) else ">"
        begin = int(struct.unpack_from(order + kind, header, place)[0])
        single = bytearray(header[:size]) + bytes(4)
        single[mark : mark + 4] = magic
        struct.pack_into(order + kind, single, place, size + 4)
        return bytes(single) + picture[begin:]


def _unpacked(data: bytes) -> bytes:
    if not data.startswith(_GZIP):
        return data
    inflater = zlib.decompressobj(31)
    content = inflater.decompress(data, MAX_UNPACKED)
    if inflater.unconsumed_tail:
        raise UnreadableScan(
            f"The NIfTI file unpacks to more than {MAX_UNPACKED // 1_000_000:,} MB. "
            "Export the volume by itself, or at a lower resolution."
        )
    if not inflater.eof:
        raise ValueError("the gzip stream breaks off")
    return content


def _read(data: bytes, name: str, digest: str) -> Series:
    import nibabel
    from nibabel.affines import voxel_sizes
    from nibabel.orientations import apply_orientation, io_orientation

    if b"ni1\0" in data[344:348] or b"ni2\0" in data[4:8]:
        raise UnreadableScan(
            "This is the header of a NIfTI pair, whose picture is in another file (.img). "
            "Give both files together, or convert the pair to a single .nii file."
        )
    kind = nibabel.Nifti2Image if data[4:8] == b"n+2\0" else nibabel.Nifti1Image
    image = kind.from_bytes(data)
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
    for one, other in ((0, 1), (0, 2), (1, 2)):
        refuse_bomb(shape[one], shape[other])
    if np.issubdtype(image.get_data_dtype(), np.complexfloating):
        raise UnreadableScan(
            "The values of this NIfTI volume are complex numbers. Export their magnitude instead."
        )
    has_colour = image.get_data_dtype().fields is not None
    volumes = shape[3] if len(shape) == 4 else 1
    orientation = io_orientation(image.affine)
    if np.isnan(orientation).any():
        raise UnreadableScan(
            "This NIfTI file does not say how the volume lies in space. Export it again with its orientation."
        )
    # By the affine, as the orientation is: the pixel dimensions in the header may say something else.
    spacing = voxel_sizes(image.affine)[np.argsort(orientation[:, 0])]
    spacing = spacing * _MILLIMETRES.get(image.header.get_xyzt_units()[0], 1)
    spacing = np.where(np.isfinite(spacing) & (spacing > 0), spacing, 1.0)

    def volume(number: int) -> np.ndarray:
        """(x, y, z) from left to right, back to front, foot to head."""
        with reading("NIfTI"):
            later = (0,) * (len(image.shape) - 4) + (number,) * (len(image.shape) > 3)
            values = np.asanyarray(image.dataobj[(..., *later)]).reshape(shape[:3])
            if has_colour:
                values = _luminance(values)
            elif values.dtype.itemsize > 4:
                values = values.astype(np.float32)
            return finite(apply_orientation(values, orientation))

    first = volume(0)
    size = " x ".join(map(str, first.shape))
    window = None if has_colour else _window(first)
    kind = f"NIfTI, {size}" + (f", {volumes} volumes" if volumes > 1 else "")
    held = {0: first}

    def cut(plane: str, number: int) -> Stack:
        # One at a time: a sequence of volumes would not fit.
        values = held.get(number)
        if values is None:
            values = volume(number)
            held.clear()
            held[number] = values
        return _stack(values, spacing, plane, number, name, kind, digest, window, has_colour)

    planes = tuple(plane for plane in PLANES if min(_size(first.shape, spacing, plane)) >= MIN_SIDE)
    if not planes:
        raise UnreadableScan(
            f"The volume has only {size} voxels: no slice of it has {MIN_SIDE} pixels a side. "
            "Export it at its full resolution."
        )
    return Series(name, kind, "", digest, planes, volumes, window, (), cut)


def _luminance(values: np.ndarray) -> np.ndarray:
    red, green, blue = (values[name].astype(np.float32) for name in ("R", "G", "B"))
    return np.round(0.299 * red + 0.587 * green + 0.114 * blue).astype(np.uint8)


def _window(values: np.ndarray) -> Window:
    """One for the whole volume, or slices could not be compared."""
    # Of every other voxel each way: of a large volume, all of them would take a second to sort.
    low, high = float(values.min()), float(np.percentile(values[::2, ::2, ::2], 99.9))
    if high <= low:
        high = float(values.max())
    if high <= low:
        raise UnreadableScan("The volume has one value all over: there is nothing in it to read.")
    return Window((low + high) / 2, high - low)


def _stack(values, spacing, plane, number, name, kind, digest, window, has_colour) -> Stack:
    axis, across, _ = _AXES[plane]
    count = values.shape[axis]

    def decode(index: int) -> Scan:
        # Reversed both, because x runs to the right, shown on the left, y to the front and z to the top.
        pixels = values[(slice(None),) * axis + (index,)][::-1, ::-1].T
        height, width = _size(values.shape, spacing, plane)
        pixels = _resized(np.ascontiguousarray(pixels), height, width)
        mm = values.shape[across] * float(spacing[across]) / width
        part = part_digest(digest, f"volume {number} {plane} {index}")
        of = f", {plane} {index + 1} of {count}"
        gray, shown = (pixels, None) if has_colour else (window.apply(pixels), window)
        return Scan(gray, pixels, name + of, kind + of, "", part, (mm, mm), shown)

    return Stack(count, decode, plane, [float(spacing[axis]) * index for index in range(count)])


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
