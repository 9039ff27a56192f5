"""Values of a DICOM picture as they are shown: bits, padding, rescale, then a window or a table.

The order is that of PS3.4 N.2. Each step says what it could not do as the header asks.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

# First, see brat.io.dicom_header.
import pydicom  # noqa: F401
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut

from brat.io.dicom_header import numbers
from brat.io.display import finite, stretch
from brat.io.scan import Window, display_window

# fmt: off
_WINDOW_NAMES = {
    "abdomen", "angio", "bone", "brain", "contrast", "default", "harder", "liver", "lung", "mediastinum",
    "narrow", "normal", "original", "sinuses", "softer", "spine", "stroke", "subdural", "temporal", "vessel",
    "wide",
}
# fmt: on
"""The explanation of a window is free text; of these it is passed on."""

_MANY = 16
"""Values. A picture of fewer may have one shade, as a mask has."""

_FEW = 0.02
"""Share of what is above the lowest value that must have another shade than the rest."""


def luminance(rgb: np.ndarray) -> np.ndarray:
    if rgb.dtype not in (np.uint8, np.uint16):
        rgb = stretch(rgb, rgb.min(), rgb.max())
    return cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)


def stored_bits(stored: np.ndarray, dataset: Dataset, is_cell: bool) -> np.ndarray:
    """The values in the bits that hold them (PS3.5 8.1.1); others may hold an overlay, or anything.

    Args:
        is_cell: whether bits below the value's lowest one are stored too, where High Bit says so.
    """
    if stored.dtype.kind not in "iu":
        return stored
    cell = 8 * stored.dtype.itemsize
    bits = int(dataset.get("BitsStored") or dataset.BitsAllocated)
    high = int(dataset.get("HighBit", bits - 1)) if is_cell else bits - 1
    if not bits - 1 <= high < cell or not 0 < bits < cell:
        return stored
    # Up to the end of the cell, so that what is above falls out, and down again, which keeps the sign.
    return np.right_shift(np.left_shift(stored, cell - 1 - high), cell - bits)


def without_padding(values: np.ndarray, stored: np.ndarray, dataset: Dataset, inverted: bool) -> np.ndarray:
    """The values with the darkest measured one where pixels are padding (PS3.3 C.7.5.1.1.2).

    Args:
        values, stored: of the same pixels.
    """
    ends = [dataset.get(keyword) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    limits = [_as_stored(value, stored, dataset) for value in ends if isinstance(value, int)]
    if not limits or stored.dtype.kind not in "iu":
        return values
    is_padding = (stored >= min(limits)) & (stored <= max(limits))
    measured = values[~is_padding]
    if not is_padding.any() or not measured.size:
        return values
    values = values.copy()
    values[is_padding] = measured.max() if inverted else measured.min()
    return values


def _as_stored(value: int, stored: np.ndarray, dataset: Dataset) -> int:
    """A padding value as pixels have it: files write -2000 as 63536, and the other way round."""
    cell = 8 * stored.dtype.itemsize
    unsigned = np.array([value % (1 << cell)], np.dtype(f"u{stored.dtype.itemsize}"))
    return int(stored_bits(unsigned.view(stored.dtype.newbyteorder("=")), dataset, is_cell=False)[0])


def rescaled(stored: np.ndarray, header: Dataset) -> tuple[np.ndarray, tuple[str, ...]]:
    """Modality values (PS3.3 C.11.1), as narrow as they are exact, and what there is to say of them.

    A slice's worth of float64 is 2 MB.
    """
    if header.get("ModalityLUTSequence"):
        return finite(apply_modality_lut(stored, header).astype(np.float32, copy=False)), ()
    slope, intercept = (
        (numbers(header.get(keyword)) or [default])[0]
        for keyword, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
    )
    if not math.isfinite(slope) or not math.isfinite(intercept) or slope == 0:
        return finite(stored), (
            "The rescale slope or intercept in the header is no number, or 0. The values are shown as they "
            "are stored.",
        )
    if slope == 1 and intercept == 0:
        return finite(stored), ()
    return finite((stored * slope + intercept).astype(np.float32, copy=False)), ()


class Shown(NamedTuple):
    """Values as they are shown: uint8, what shows them so, what else could, and what there is to say."""

    gray: np.ndarray
    window: Window | None = None
    presets: tuple[Window, ...] = ()
    remarks: tuple[str, ...] = ()


def shown(pixels: np.ndarray, header: Dataset, remarks: tuple[str, ...]) -> Shown:
    """Values under the file's first window, or its table; under one of their own where that shows nothing."""
    presets = _windows(header)
    if header.get("VOILUTSequence"):
        gray = _apply_voi_lut(pixels, header.VOILUTSequence[0])
        if not _is_lost(gray, pixels):
            return Shown(gray, remarks=remarks)
        remarks += ("Under the table in the header (VOI LUT) hardly anything is to be seen. It is not used.",)
    if presets:
        gray = presets[0].apply(pixels)
        if not _is_lost(gray, pixels):
            return Shown(gray, presets[0], presets, remarks)
        remarks += (
            "Under the window in the header hardly anything is to be seen. The values are shown from the "
            "lowest to the highest instead.",
        )
    elif header.get("WindowWidth") is not None:
        remarks += (
            "The window in the header cannot be used. The values are shown from the lowest to the highest.",
        )
    window = display_window(pixels)
    return Shown(window.apply(pixels), window, presets, remarks)


def _is_lost(gray: np.ndarray, pixels: np.ndarray) -> bool:
    """Whether a window leaves one shade, or nearly one, of values that differ."""
    inside = gray[pixels > pixels.min()]
    if not inside.size or gray.min() == gray.max():
        return bool(inside.size)
    is_one = np.bincount(inside).max() > (1 - _FEW) * inside.size
    return bool(is_one) and len(np.unique(pixels[::2, ::2])) > _MANY


def _windows(header: Dataset) -> tuple[Window, ...]:
    names = header.get("WindowCenterWidthExplanation") or []
    names = [names] if isinstance(names, str) else list(names)
    function = str(header.get("VOILUTFunction") or "LINEAR")
    function = function if function in ("LINEAR_EXACT", "SIGMOID") else "LINEAR"
    windows = []
    pairs = zip(numbers(header.get("WindowCenter")), numbers(header.get("WindowWidth")), strict=False)
    for number, (center, width) in enumerate(pairs):
        name = str(names[number]).strip().lower() if number < len(names) else ""
        if width > 0 and math.isfinite(center) and math.isfinite(width):
            windows.append(Window(center, width, name if name in _WINDOW_NAMES else "", function))
    # Some scanners write the same one twice.
    return tuple(dict.fromkeys(windows))


def _apply_voi_lut(pixels: np.ndarray, item: Dataset) -> np.ndarray:
    """PS3.3 C.11.2.1.1. pydicom 3.0 wraps the index round where the table has 8-bit values."""
    entries, first, _ = item.LUTDescriptor
    data = item.LUTData
    if isinstance(data, bytes):
        table = np.frombuffer(data, np.uint8 if len(data) == entries else np.uint16)
    else:
        table = np.array(data, np.uint16)
    place = np.clip(np.round(pixels).astype(int) - first, 0, (entries or 2**16) - 1)
    return stretch(table[place], 0, float(table.max()))
