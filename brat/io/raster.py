"""PNG, JPEG, BMP, TIFF and WebP: bytes -> a scan. By Pillow, and by OpenCV where Pillow drops bits.

Of colour with 16 bits a channel Pillow keeps only the high bytes; OpenCV keeps both.
"""

from __future__ import annotations

import importlib
import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from brat.io.display import finite, without_background
from brat.io.scan import MAX_PIXELS, Scan, UnreadableScan, decoding, display_window, refuse_bomb

_END_OF_JPEG = b"\xff\xd9"

_FILLING = bytes(range(1, 200))
_MORE = (_FILLING, *(b"\xff" + bytes([restart]) + _FILLING for restart in range(0xD0, 0xD8)))
"""What a picture may go on with where it is not whole: with values, or with one of the restart markers."""

# TIFF tags.
_BITS, _PHOTOMETRIC, _PLANAR, _SAMPLE_FORMAT = 258, 262, 284, 339

# OpenCV reports a damaged file on the console as well as to its caller.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


MAX_PAGES = 10_000


def count_pages(data: bytes, format: str) -> int:
    """How many pages or frames an image has, counted up to `MAX_PAGES` + 1.

    1 where its header is damaged, which opening it says.

    Args:
        format: as `brat.io.sniff.raster_format` names it.
    """
    try:
        if format == "TIFF":
            return max(_count_directories(data)[0], 1)
        with decoding(format), _refusing_bombs(), Image.open(io.BytesIO(data), formats=[format]) as image:
            return min(int(getattr(image, "n_frames", 1)), MAX_PAGES + 1)
    except UnreadableScan:
        return 1


def _count_directories(data: bytes) -> tuple[int, bool]:
    """The pages of a TIFF file by the chain of its directories, and whether the chain is whole.

    Pillow reads each, without end. TIFF 6.0, section 2. BigTIFF has 8 bytes for an offset and a number of
    entries, and 20 for an entry.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    at_first, number, entry, offset = (8, "Q", 20, "Q") if big else (4, "H", 12, "I")
    seen: set[int] = set()
    try:
        (at,) = struct.unpack_from(order + offset, data, at_first)
        while at and at not in seen and len(seen) <= MAX_PAGES:
            (entries,) = struct.unpack_from(order + number, data, at)
            seen.add(at)
            (at,) = struct.unpack_from(order + offset, data, at + struct.calcsize(number) + entries * entry)
    # A chain that leads out of the file ends there.
    except (struct.error, OverflowError):
        return len(seen), False
    return len(seen), True


def read_raster(data: bytes, format: str, page: int = 0) -> Scan:
    """Decode an image.

    Args:
        format: as `brat.io.sniff.raster_format` names it.
        page: which of its pages or frames, from 0.

    Returns:
        A scan without a name and a digest. `pixels` is luminance: uint8, uint16, int32, uint32 or float32.

    Raises:
        UnreadableScan: the image is too large, or of a rare kind.
        Exception: whatever a decoder raises over a damaged file; `brat.io.scan.decoding` turns it into
            `UnreadableScan`.
    """
    if format == "HEIF":
        _register_heif()
    with _refusing_bombs():
        if format != "JPEG" or data.rstrip(b"\0").endswith(_END_OF_JPEG):
            scan = _read(data, format, page)
            if format != "TIFF" or _count_directories(data)[1]:
                return scan
            return replace(scan, remarks=("This TIFF file breaks off: further pages of it are lost.",))
        return _read_without_end(data, page)


def _register_heif() -> None:
    """Have Pillow open HEIC, by whichever of the two packages is there.

    pi-heif is pillow-heif without its encoder, which is under the GPL.
    """
    for name in ("pi_heif", "pillow_heif"):
        with suppress(ImportError):
            importlib.import_module(name).register_heif_opener(thumbnails=False)
            return
    raise UnreadableScan(
        "This is a HEIC photo, and the package that reads them is not installed here (pi-heif). Save it as "
        'JPEG: on an iPhone choose "Most Compatible" under Settings, Camera, Formats, or open the photo on a '
        "computer and export it. An export of the scan itself is better than a photo."
    )


def _read_without_end(data: bytes, page: int) -> Scan:
    """A JPEG that does not end with the two bytes that mark its end, as browsers show it.

    They may stand farther up, as phones write something of their own after them. Whether more is lost is
    known by what a decoder makes of other bytes before the end: nothing where the picture is whole.
    """
    end = data.rfind(_END_OF_JPEG)
    if end >= 0 and (scan := _whole(data[:end], page)):
        return scan
    scan = _whole(data.removesuffix(_END_OF_JPEG[:1]), page)
    if scan is None:
        raise ValueError("the JPEG breaks off")
    return replace(scan, remarks=("The end of this JPEG file is lost. Its picture is whole.",))


def _whole(data: bytes, page: int) -> Scan | None:
    """The picture of a JPEG without its end; None where more than that is lost.

    The marks of an end in a thumbnail before the picture end none: up to there it cannot be read.
    """
    try:
        scan = _read(data + _END_OF_JPEG, "JPEG", page)
        others = [_read(data + more + _END_OF_JPEG, "JPEG", page) for more in _MORE]
    except (OSError, SyntaxError, ValueError):
        return None
    return scan if all(np.array_equal(scan.pixels, other.pixels) for other in others) else None


@contextmanager
def _refusing_bombs() -> Iterator[None]:
    """Pillow looks at the size in the header itself; its warning is taken for an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            yield
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise UnreadableScan(
                f"The image has far more than the {MAX_PIXELS // 1_000_000} million pixels that are read "
                "here. Export a single slice at its original size."
            ) from error


def _read(data: bytes, format: str, page: int) -> Scan:
    rare = UnreadableScan(
        f"The {format} file is damaged, breaks off or is of a rare kind that is not read here. "
        "Export the scan again, as PNG or DICOM, and upload the new file."
    )
    try:
        image = Image.open(io.BytesIO(data), formats=[format])
    except UnidentifiedImageError as error:
        raise rare from error
    with image:
        image.seek(page)
        refuse_bomb(*image.size)
        mode, args = image.mode, image.tile[0].args if image.tile else None
        # How the values lie in the file; `mode` is how Pillow holds them.
        rawmode = str(args[0]) if isinstance(args, tuple) else str(args or "")
        tags = getattr(image, "tag_v2", {})
        if tags.get(_PLANAR) == 2 and len(tags.get(_BITS, ())) > 1 and max(tags[_BITS]) > 8:
            # Pillow and OpenCV both take the halves of its 16-bit values for pixels of their own.
            raise rare
        # Of CMYK Pillow's high bytes must do; OpenCV reads none of it.
        deep_colour = ";16" in rawmode and mode != "CMYK" and not mode.startswith("I")
        if deep_colour and page:
            # OpenCV would decode the first one.
            raise rare
        pixels = _decode_deep_colour(data, image) if deep_colour else _decode(image)
    if mode == "I" and tags.get(_SAMPLE_FORMAT, (1,))[0] == 1:
        # Pillow has no unsigned 32-bit mode.
        pixels = pixels.view(np.uint32)
    if mode.startswith("I;16") and tags.get(_PHOTOMETRIC) == 0:
        # Pillow turns 8-bit images in which white is 0, and leaves these to us.
        pixels = np.iinfo(pixels.dtype).max - pixels
    if mode == "1":
        bits = "1-bit"
    elif pixels.dtype == np.uint8:
        bits = "8-bit"
    else:
        bits = "16-bit" if ";16" in rawmode or mode.startswith("I;16") else "32-bit"
    colour = "gray" if mode in ("1", "L", "LA", "F") or mode.startswith("I") else "colour"
    description = f"{format}, {bits} {colour}"
    if pixels.dtype == np.uint8:
        return Scan(pixels, pixels, name="", format=description, modality="", digest="")
    pixels = without_background(pixels)
    window = display_window(pixels)
    gray = window.apply(pixels)
    return Scan(gray, pixels, name="", format=description, modality="", digest="", window=window)


def _decode(image: Image.Image) -> np.ndarray:
    # A colour JPEG holds its luminance apart; the rest of it need not be unpacked.
    image.draft("L", image.size)
    if image.mode == "1":
        image = image.convert("L")
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I"):
        # In 16-bit gray, transparency is one value, and Pillow would drop half the bits to apply it.
        pixels = np.array(image)
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if image.mode == "P" or image.has_transparency_data:
        # A cut-out slice lies on nothing; black is what a scanner would have put there.
        image = image.convert("RGBA")
        background = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(background, image).convert("L")
    elif image.mode not in ("L", "F"):
        image = image.convert("RGB").convert("L")
    return finite(np.array(image))


def _decode_deep_colour(data: bytes, image: Image.Image) -> np.ndarray:
    if image.format == "PNG":
        _refuse_broken_chunks(data)
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("OpenCV could not decode the image")
    if pixels.ndim == 3:
        gray = cv2.cvtColor(np.ascontiguousarray(pixels[..., :3]), cv2.COLOR_BGR2GRAY)
        if pixels.shape[2] == 4:
            # What is transparent lies on black.
            white = np.float32(np.iinfo(pixels.dtype).max)  # type: ignore[type-var]
            gray = np.round(gray * (pixels[..., 3] / white)).astype(pixels.dtype)
        pixels = gray
    # OpenCV turns a TIFF as its tag says, but not a PNG.
    return pixels if image.format == "TIFF" else _turn(pixels, image.getexif().get(0x0112, 1))


def _refuse_broken_chunks(data: bytes) -> None:
    """OpenCV takes memory for as many bytes as a chunk says it has, up to 4 GB, and prints what is wrong."""
    # A chunk is a length, a type, the content, and the checksum of type and content.
    at = 8
    while data[at + 4 : at + 8] != b"IEND":
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big") or end >= len(data):
            raise ValueError("a PNG chunk breaks off or fails its checksum")
        at = end + 4


def _turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation (1 to 8) to an array."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.T
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
