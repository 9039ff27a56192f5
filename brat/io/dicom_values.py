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

from brat.io.dicom_header import numbers
from brat.io.display import finite, is_out_of_range, stretch
from brat.io.scan import WINDOW_LOST, UnreadableScan, Window, display_window
from brat.io.wrapped import is_wrapped

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

_SHADES = 3
"""Where a window leaves no more, hardly anything is to be seen."""

_FEW = 0.02
"""Share of what is above the lowest value that must have other shades than these."""


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
    bits = int(dataset.BitsStored)
    high = int(dataset.get("HighBit", bits - 1)) if is_cell else bits - 1
    if not bits - 1 <= high < cell or not 0 < bits < cell:
        return stored
    # Up to the end of the cell, so that what is above falls out, and down again, which keeps the sign.
    return np.right_shift(np.left_shift(stored, cell - 1 - high), cell - bits)


def refuse_overrun(stored: np.ndarray, values: np.ndarray, dataset: Dataset) -> None:
    """To be called with the values of one channel, before they are rescaled.

    Args:
        stored: as a decoder gives them.
        values: of `stored_bits`.

    Raises:
        UnreadableScan: the values ran over the highest one that the header names, and went on from 0.
    """
    if stored.dtype.kind != "u":
        return
    bits = int(dataset.BitsStored)
    goes_beyond = bits < 8 * stored.dtype.itemsize and bool(np.right_shift(stored, bits).any())
    if bits != 8 and not (bits > 8 and goes_beyond):
        return
    if is_wrapped(np.right_shift(values, bits - 8).astype(np.uint8)):
        raise UnreadableScan(
            f"The values of this picture ran over {bits} bits, which is what its header names (Bits Stored): "
            "what is brighter than white starts again at black. Export it again from the PACS or the scanner."
        )


def refuse_swapped(stored: np.ndarray, dataset: Dataset) -> None:
    """To be called with the values as a decoder gives them.

    Raises:
        UnreadableScan: they go beyond the bits that the header names, and do not with their bytes swapped.
    """
    if stored.dtype.kind != "u" or not 8 < int(dataset.BitsStored) < 8 * stored.dtype.itemsize:
        return
    bits = int(dataset.BitsStored)
    if np.right_shift(stored, bits).any() and not np.right_shift(stored.byteswap(), bits).any():
        raise UnreadableScan(
            "The bytes of each value in this DICOM file lie the other way round than its header says: its "
            "transfer syntax does not fit. Export it again from the PACS or the scanner."
        )


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
        looked_up = _looked_up(stored, header.ModalityLUTSequence[0])
        if looked_up is not None:
            return looked_up[0].astype(np.float32), ()
        return finite(stored), (
            "The table in the header that makes the values comparable (Modality LUT) cannot be used. The "
            "values are shown as they are stored.",
        )
    slope, intercept = (
        # Nothing is said where the element is empty.
        (numbers(header.get(keyword)) or [math.nan])[0] if header.get(keyword) not in (None, "") else default
        for keyword, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
    )
    unusable = (
        "The rescale slope or intercept in the header is no number, 0, or far too large or small. The values "
        "are shown as they are stored.",
    )
    if not math.isfinite(slope) or not math.isfinite(intercept) or slope == 0:
        return finite(stored), unusable
    if slope == 1 and intercept == 0:
        return finite(stored), ()
    exact = stored.astype(np.float64)
    # In place: each copy costs as much time as the arithmetic.
    exact *= slope
    exact += intercept
    values = exact.astype(np.float32)
    if is_out_of_range(values) and not is_out_of_range(stored):
        return finite(stored), unusable
    return finite(values), ()


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
        looked_up = _looked_up(pixels, header.VOILUTSequence[0])
        if looked_up is None:
            remarks += ("The table in the header (VOI LUT) cannot be used.",)
        elif _is_lost(gray := stretch(looked_up[0], 0, looked_up[1]), pixels):
            remarks += (
                "Under the table in the header (VOI LUT) hardly anything is to be seen. It is not used.",
            )
        else:
            return Shown(gray, remarks=remarks)
    if presets:
        gray = presets[0].apply(pixels)
        if not _is_lost(gray, pixels):
            return Shown(gray, presets[0], presets, remarks)
        remarks += (WINDOW_LOST,)
    elif header.get("WindowWidth") is not None:
        remarks += (
            "The window in the header cannot be used. The values are shown from the lowest to the highest.",
        )
    window = display_window(pixels)
    return Shown(window.apply(pixels), window, presets, remarks)


def _is_lost(gray: np.ndarray, pixels: np.ndarray) -> bool:
    """Whether a window leaves one shade, or hardly any, of values that differ."""
    above = (pixels > pixels.min()).view(np.uint8)
    counts = np.sort(cv2.calcHist([gray], [0], above, [256], [0, 256]).ravel())
    inside = counts.sum()
    if not inside or gray.min() == gray.max():
        return bool(inside)
    return bool(counts[-_SHADES:].sum() > (1 - _FEW) * inside) and len(np.unique(pixels[::2, ::2])) > _MANY


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


def _looked_up(pixels: np.ndarray, item: Dataset) -> tuple[np.ndarray, float] | None:
    """Values in a table (PS3.3 C.11.1.1 and C.11.2.1.1), and the highest in it; None where it
    cannot be used.

    pydicom 3.0 wraps the index round where the table has 8-bit values.
    """
    described, data = list(item.get("LUTDescriptor") or []), item.get("LUTData")
    if len(described) != 3 or not data or (isinstance(data, bytes) and len(data) % 2):
        return None
    entries, first = int(described[0]) or 2**16, int(described[1])
    if isinstance(data, bytes):
        table = np.frombuffer(data, np.uint8 if len(data) in (entries, entries + 1) else np.uint16)
    else:
        table = np.atleast_1d(np.array(data, np.uint16))
    if len(table) < entries:
        return None
    return table[np.clip(np.round(pixels).astype(int) - first, 0, entries - 1)], float(table.max())
