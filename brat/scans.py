"""Bytes in, `Scan` out: the one door for untrusted input.

Raster images are decoded by Pillow (16-bit colour by OpenCV, because Pillow keeps only its high
bytes), DICOM by pydicom. Whatever cannot be read raises `UnreadableScan` with a sentence that tells
a clinician what to do.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".dcm", ".dicom", ".ima")
"""What a folder is searched for and a file dialog offers; content, not the suffix, decides how a file is read."""

MAX_PIXELS = 25_000_000
"""Larger images are refused from their header: no MRI slice is, and a hosted app has about 1 GB of memory."""

MIN_SIDE = 64
"""Pixels. Below this the model's 224 x 224 input would be mostly invented."""

_RASTER_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
_RASTER_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*", b"RIFF")
_DICOM_GROUPS = (b"\x02\x00", b"\x08\x00")
# Pillow reports damage through whichever of these its decoder happens to meet first.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError)
_KINDS = "Upload a PNG, JPEG, BMP, TIFF, WebP or DICOM file."


class UnreadableScan(ValueError):
    """A file that cannot be read as a scan; the message is written for the clinician."""


@dataclass(frozen=True, eq=False)
class Scan:
    """One image as uploaded.

    Attributes:
        gray: uint8 (height, width), 0 to 255, upright, dark background as displayed.
        pixels: (height, width), the full-range values behind `gray`: the file's own integers for
            rasters, rescaled modality values (float64) for DICOM; luminance where it had colour.
        name: the file's name, as given.
        kind: what was read, for people: "PNG, 16-bit gray", "DICOM MR, 12-bit".
        modality: the DICOM modality code ("MR", "CT", ...), empty for rasters, which do not say.
        digest: SHA-256 of the file's bytes, hexadecimal; the key of every cache.
    """

    gray: np.ndarray
    pixels: np.ndarray
    name: str
    kind: str
    modality: str
    digest: str

    @property
    def width(self) -> int:
        return self.gray.shape[1]

    @property
    def height(self) -> int:
        return self.gray.shape[0]


def read_scan(source: bytes | str | Path, name: str | None = None) -> Scan:
    """Read one image: PNG, JPEG, BMP, TIFF or WebP (8 or 16 bit, any colour model), or single-frame DICOM.

    Args:
        source: the file's bytes, or its path.
        name: what to call it; the path's last part by default.

    Raises:
        UnreadableScan: the file is missing, empty, damaged, too large, too small, uniform or not an image.
    """
    if isinstance(source, bytes):
        data = source
    else:
        path = Path(source)
        name = name or path.name
        try:
            data = path.read_bytes()
        except IsADirectoryError:
            raise UnreadableScan("This is a folder. Give the files in it instead.") from None
        except FileNotFoundError:
            raise UnreadableScan("There is no file at this path. Check its spelling.") from None
        except OSError as error:
            raise UnreadableScan(
                f"The file could not be opened ({error.strerror}). Check its permissions."
            ) from None
    if not data:
        raise UnreadableScan(
            "The file is empty (0 bytes). Export the scan again and upload the new file."
        )
    if data[128:132] == b"DICM" or (data[:2] in _DICOM_GROUPS and data[2:4] != b"\0\0"):
        pixels, gray, kind, modality = _read_dicom(data)
    else:
        pixels, gray, kind = _read_raster(data)
        modality = ""
    if min(gray.shape) < MIN_SIDE:
        raise UnreadableScan(
            f"The image is only {gray.shape[1]} x {gray.shape[0]} pixels. "
            f"Upload the scan itself, at least {MIN_SIDE} pixels a side, not a thumbnail."
        )
    if gray.min() == gray.max():
        shade = {0: "black", 255: "white"}.get(int(gray[0, 0]), "one shade of gray")
        raise UnreadableScan(
            f"The image is {shade} all over: there is nothing in it to read. "
            "Check the window it was exported with."
        )
    return Scan(gray, pixels, name or "scan", kind, modality, hashlib.sha256(data).hexdigest())


def _refuse_bomb(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise UnreadableScan(
            f"The image is {width:,} x {height:,} pixels, more than the {MAX_PIXELS // 1_000_000} million "
            "that are read here. Export a single slice at its original size."
        )


def _damaged(what: str) -> UnreadableScan:
    return UnreadableScan(
        f"The {what} file is damaged or breaks off before the image is complete. "
        "Copy or export it again and upload the new file."
    )


def _read_raster(data: bytes) -> tuple[np.ndarray, np.ndarray, str]:
    try:
        with warnings.catch_warnings():
            # The header check below refuses far smaller images than Pillow's warning is about.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=_RASTER_FORMATS)
    except Image.DecompressionBombError:
        raise UnreadableScan(
            f"The image has more than the {MAX_PIXELS // 1_000_000} million pixels that are read here. "
            "Export a single slice at its original size."
        ) from None
    except UnidentifiedImageError:
        if data.startswith(_RASTER_MAGIC):
            raise _damaged("image") from None
        raise UnreadableScan(
            f"This is not an image, whatever its name says. {_KINDS}"
        ) from None
    except _DAMAGE:
        raise _damaged("image") from None
    with image:
        _refuse_bomb(*image.size)
        frames = getattr(image, "n_frames", 1)
        mode = image.mode
        deep_colour = _is_deep_colour(image)
        inverted = mode in ("I;16", "I;16B") and image.format == "TIFF" and image.tag_v2.get(262) == 0
        orientation = image.getexif().get(0x0112, 1)
        try:
            pixels = _decode_deep_colour(data) if deep_colour else _decode(image)
        except (*_DAMAGE, cv2.error):
            raise _damaged(image.format) from None
        if deep_colour and orientation != 1:
            # Only `_decode` sees the image through Pillow, which knows the eight orientations.
            pixels = _turn(pixels, orientation)
    if inverted:
        pixels = np.iinfo(pixels.dtype).max - pixels
    bits = "16-bit" if deep_colour or mode.startswith("I") else "32-bit" if mode == "F" else "8-bit"
    colour = "gray" if mode in ("1", "L", "LA", "F") or mode.startswith("I") else "colour"
    kind = f"{image.format}, {bits} {colour}" + (f", first of {frames} images" if frames > 1 else "")
    if pixels.dtype == np.uint8:
        return pixels, pixels, kind
    return pixels, _to_display(pixels), kind


def _is_deep_colour(image: Image.Image) -> bool:
    args = image.tile[0].args if image.tile else ()
    rawmode = args if isinstance(args, str) else args[0] if args else ""
    return ";16" in str(rawmode) and not image.mode.startswith("I")


def _decode(image: Image.Image) -> np.ndarray:
    if image.mode == "1":
        image = image.convert("L")
    image = ImageOps.exif_transpose(image)
    if image.mode == "P" or image.has_transparency_data:
        # A cut-out slice lies on nothing; black is what a scanner would have put there.
        image = image.convert("RGBA")
        background = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(background, image).convert("L")
    elif image.mode not in ("L", "F") and not image.mode.startswith("I"):
        image = image.convert("RGB").convert("L")
    return _finite(np.array(image))


def _decode_deep_colour(data: bytes) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("OpenCV could not decode the image")
    if pixels.ndim == 2:
        return pixels
    alpha = pixels[..., 3:4] / np.iinfo(pixels.dtype).max if pixels.shape[2] == 4 else 1.0
    gray = cv2.cvtColor(np.ascontiguousarray(pixels[..., :3]), cv2.COLOR_BGR2GRAY)
    return np.round(gray * np.squeeze(alpha)).astype(pixels.dtype)


def _turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation (1 to 8) to an array."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.T
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _finite(pixels: np.ndarray) -> np.ndarray:
    return np.nan_to_num(pixels, posinf=0, neginf=0) if pixels.dtype.kind == "f" else pixels


def _to_display(pixels: np.ndarray) -> np.ndarray:
    """Map full-range values to uint8: the lowest to 0, the 99.9th percentile and above to 255.

    The percentile keeps a few hot pixels from turning the rest of the slice black.
    """
    low, high = float(pixels.min()), float(np.percentile(pixels, 99.9))
    if high <= low:
        high = float(pixels.max())
    return _stretch(pixels, low, high)


def _stretch(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    if high <= low:
        return np.zeros(pixels.shape, np.uint8)
    scaled = (pixels.astype(np.float32) - low) * (255 / (high - low))
    return np.clip(np.round(scaled), 0, 255).astype(np.uint8)


def _read_dicom(data: bytes) -> tuple[np.ndarray, np.ndarray, str, str]:
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        dataset = pydicom.dcmread(io.BytesIO(data), force=True)
        rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
        frames = int(dataset.get("NumberOfFrames") or 1)
        modality = str(dataset.get("Modality") or "")
    except (InvalidDicomError, *_DAMAGE, AttributeError):
        raise _damaged("DICOM") from None
    if not rows or not columns or "PixelData" not in dataset:
        raise UnreadableScan(
            "This DICOM file has no picture in it: it is a report, a plan or an index, or its picture "
            "was cut off. Upload an image of the series."
        )
    _refuse_bomb(columns, rows)
    if frames > 1:
        raise UnreadableScan(
            f"This DICOM file holds {frames} frames, and one slice at a time is read here. "
            "Export the slice that you want read as a file of its own."
        )
    try:
        pixels, gray = _decode_dicom(dataset)
    except (NotImplementedError, RuntimeError) as error:
        syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
        raise UnreadableScan(
            "The DICOM picture is compressed in a way that is not read here"
            + (f" ({syntax.name})" if syntax else "")
            + ". Export it uncompressed."
        ) from error
    except (*_DAMAGE, AttributeError):
        raise _damaged("DICOM") from None
    bits = dataset.get("BitsStored") or dataset.get("BitsAllocated")
    return pixels, gray, f"DICOM {modality}".strip() + f", {bits}-bit", modality


def _decode_dicom(dataset) -> tuple[np.ndarray, np.ndarray]:
    """Modality rescale, VOI window (PS3.3 C.11.1 and C.11.2) and polarity, by pydicom."""
    from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut

    stored = dataset.pixel_array
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        stored = apply_color_lut(stored, dataset)
    if stored.ndim == 3:
        deep = stored if stored.dtype in (np.uint8, np.uint16) else _stretch(stored, stored.min(), stored.max())
        pixels = cv2.cvtColor(np.ascontiguousarray(deep), cv2.COLOR_RGB2GRAY)
        return pixels, pixels if pixels.dtype == np.uint8 else _to_display(pixels)
    pixels = _finite(apply_modality_lut(stored, dataset).astype(np.float64))
    if "VOILUTSequence" in dataset:
        shown = apply_voi_lut(np.round(pixels).astype(np.int64), dataset)
        gray = _stretch(shown, 0, float(np.asarray(shown).max()))
    elif dataset.get("WindowCenter") is not None and dataset.get("WindowWidth") is not None:
        # The window's own ends, so that a slice which fills only part of it keeps its place in it.
        low, high = apply_voi_lut(np.array([[-1e9, 1e9]]), dataset)[0]
        gray = _stretch(apply_voi_lut(pixels, dataset), low, high)
    else:
        gray = _to_display(pixels)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        gray = 255 - gray
    return pixels, gray
