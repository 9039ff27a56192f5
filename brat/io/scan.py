"""Bytes in, `Scan` out: the one door for untrusted input.

Raster images are decoded by Pillow (16-bit colour by OpenCV, because Pillow keeps only its high
bytes), DICOM by pydicom. Whatever cannot be read raises `UnreadableScan` with a sentence that tells
a clinician what to do.
"""

from __future__ import annotations

import hashlib
import io
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".dcm", ".dicom", ".ima")
"""What a folder is searched for and a file dialog offers. How a file is read, its content decides."""

MAX_PIXELS = 25_000_000
"""Larger images are refused from their header: no MRI slice is, and a hosted app has about 1 GB of memory."""

MAX_SIDE = 8_000
"""Pixels. A long strip is framed in a square, and costs the memory of its length squared."""

MIN_SIDE = 64
"""Pixels. Below this the model's 224 x 224 input would be mostly invented."""

# Where a file says what it is: offset, bytes, name.
_READ = (
    (0, b"\x89PNG", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"BM", "BMP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (8, b"WEBP", "WebP"),
)
_NOT_READ = (
    (0, b"GIF8", "a GIF picture"),
    (0, b"%PDF", "a PDF document"),
    (0, b"7z\xbc\xaf", "a 7z archive"),
    (0, b"Rar!", "a RAR archive"),
    (257, b"ustar", "a TAR archive"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (4, b"ftyp", "a HEIC or AVIF photo, or a video"),
)
_OF_MANY = (
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (344, b"n+1\0", "a NIfTI volume"),
    (4, b"n+2\0", "a NIfTI volume"),
)

# TIFF tags.
_BITS, _PHOTOMETRIC, _PLANAR, _SAMPLE_FORMAT = 258, 262, 284, 339

# OpenCV reports a damaged file on the console as well as to its caller.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


class UnreadableScan(ValueError):
    """A file that cannot be read as a scan; the message is written for the clinician."""


class SeveralScans(UnreadableScan):
    """A file that may hold many slices, where one is wanted: `brat.io.intake` opens it."""


@dataclass(frozen=True)
class Window:
    """Which of a scan's values are shown from black to white (DICOM PS3.3 C.11.2.1.2).

    Attributes:
        center, width: in units of `Scan.pixels`.
        name: what it is for, in the reader's words; empty where nobody says.
        function: LINEAR, LINEAR_EXACT or SIGMOID.
    """

    center: float
    width: float
    name: str = ""
    function: str = "LINEAR_EXACT"

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """Values, of any shape, as uint8: 0 to 255."""
        center, width = self.center, self.width
        if self.function == "SIGMOID":
            return stretch(1 / (1 + np.exp(-4 * (pixels - center) / width)), 0, 1)
        if self.function != "LINEAR_EXACT":
            # The standard's LINEAR counts whole values: a width of 1 has no slope at all.
            center, width = center - 0.5, max(width - 1, 1e-6)
        return stretch(pixels, center - width / 2, center + width / 2)


@dataclass(frozen=True, eq=False)
class Scan:
    """One image as uploaded.

    Attributes:
        gray: uint8 (height, width), 0 to 255, upright, dark background as displayed.
        pixels: (height, width), the full-range values behind `gray`: the file's own numbers for
            rasters, rescaled modality values for DICOM and NIfTI; luminance where it had colour.
        name: the file's name, as given.
        kind: what was read, for people: "PNG, 16-bit gray", "DICOM MR, 12-bit".
        modality: the DICOM modality code ("MR", "CT", ...), empty where the file does not say.
        digest: SHA-256, hexadecimal, of the file's bytes; of one slice of a file of many, or of another
            window, of its file's digest and that choice. The key of every cache.
        base_digest: the digest under the window that was shown at first; empty where that window is shown.
        spacing: millimetres from one row to the next and from one column to the next (DICOM Pixel
            Spacing, which names them in this order); None where the file does not say.
        window: what `gray` shows of `pixels`; None where another window makes no sense, as in colour.
        presets: the windows that the file itself suggests, the first of which is shown at first.
        inverted: whether the lowest value is shown white.
    """

    gray: np.ndarray
    pixels: np.ndarray
    name: str
    kind: str
    modality: str
    digest: str
    spacing: tuple[float, float] | None = None
    window: Window | None = None
    presets: tuple[Window, ...] = ()
    inverted: bool = False
    base_digest: str = ""

    @property
    def slice_digest(self) -> str:
        """SHA-256, hexadecimal, of the slice, the same under every window."""
        return self.base_digest or self.digest

    def windowed(self, window: Window) -> Scan:
        """The scan as another window shows it.

        Raises:
            ValueError: it has no window.
        """
        if self.window is None:
            raise ValueError("This scan has no window to change.")
        gray = window.apply(self.pixels)
        choice = f"window {window.center:g} {window.width:g} {window.function}"
        return replace(
            self,
            gray=255 - gray if self.inverted else gray,
            window=window,
            digest=part_digest(self.digest, choice),
            base_digest=self.slice_digest,
        )

    @property
    def width(self) -> int:
        return self.gray.shape[1]

    @property
    def height(self) -> int:
        return self.gray.shape[0]


def part_digest(digest: str, choice: str) -> str:
    """The digest of a part of a file, or of another view of it, so that no two pictures share one."""
    return hashlib.sha256(f"{digest} {choice}".encode()).hexdigest()


def read_scan(source: bytes | str | Path, name: str | None = None) -> Scan:
    """Read one image: PNG, JPEG, BMP, TIFF or WebP (8 or 16 bit, any colour model), or single-frame DICOM.

    Args:
        source: the file's bytes, or its path.
        name: what to call it; the path's last part by default.

    Raises:
        UnreadableScan: the file is missing, empty, damaged, too large, too small, uniform or not an
            image. Where a decoder objected, its own error is the cause.
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
    return checked(decode_scan(data, name or "scan"))


def decode_scan(data: bytes, name: str) -> Scan:
    """`read_scan` of bytes, which takes any picture, though it is small or empty: one slice of many may be.

    Raises:
        UnreadableScan: as `read_scan`.
    """
    scan = _read(data)
    return replace(scan, name=name, digest=scan.digest or hashlib.sha256(data).hexdigest())


def checked(scan: Scan) -> Scan:
    """The scan, if there is something in it to read.

    Raises:
        UnreadableScan: it is too small, or of one shade all over.
    """
    if min(scan.width, scan.height) < MIN_SIDE:
        raise UnreadableScan(
            f"The image is only {scan.width} x {scan.height} pixels. "
            f"Upload the scan itself, at least {MIN_SIDE} pixels a side, not a thumbnail."
        )
    if scan.gray.min() == scan.gray.max():
        shade = {0: "black", 255: "white"}.get(int(scan.gray[0, 0]), "one shade of gray")
        raise UnreadableScan(
            f"The image is {shade} all over: there is nothing in it to read. "
            "Check the window it was exported with."
        )
    return scan


def _read(data: bytes) -> Scan:
    if not data:
        raise UnreadableScan("The file is empty (0 bytes). Export the scan again and upload the new file.")
    what = "DICOM" if is_dicom(data) else _says(data, _READ)
    if not what:
        if many := _says(data, _OF_MANY):
            raise SeveralScans(
                f"This is {many}, and a single slice is wanted here. Open it on the Review page, or export "
                "the slice as a file of its own."
            )
        other = _says(data, _NOT_READ)
        said = f"{other}, which is not read here" if other else "not an image, whatever its name says"
        raise UnreadableScan(f"This is {said}. Upload a PNG, JPEG, BMP, TIFF, WebP, DICOM or NIfTI file.")
    with reading(what):
        if what != "DICOM":
            return _read_raster(data, what)
        from brat.io.dicom import read_dicom

        return read_dicom(data, hashlib.sha256(data).hexdigest())


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turns what a decoder raises over a damaged file into `UnreadableScan`, with the cause chained.

    Args:
        what: the kind of file, for the sentence.
    """
    try:
        with _untrusted():
            yield
    except UnreadableScan:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableScan(
            f"The image has far more than the {MAX_PIXELS // 1_000_000} million pixels that are read here. "
            "Export a single slice at its original size."
        ) from error
    # Three libraries and the decoders behind them report damage through whatever they trip over first:
    # struct.error, zlib.error, SyntaxError, KeyError, RecursionError, MemoryError and a dozen others.
    except Exception as error:
        raise UnreadableScan(
            f"The {what} file is damaged or breaks off before the image is complete. "
            "Copy or export it again and upload the new file."
        ) from error


def _says(data: bytes, kinds: tuple[tuple[int, bytes, str], ...]) -> str:
    return next((name for offset, magic, name in kinds if data.startswith(magic, offset)), "")


def is_dicom(data: bytes) -> bool:
    """Whether a file, or its first 140 bytes, is DICOM by its content."""
    if data[128:132] == b"DICM":
        return True
    # Old exports lack the preamble: they begin with an element of group 2 or 8, which names its type
    # by two capitals or, where types are implicit, goes on with a length whose high bytes are 0. Older
    # ones still have the high byte first.
    capitals = data[4:6].isalpha() and data[4:6].isupper()
    if data[:2] == b"\0\x08":
        return capitals
    return data[:2] in (b"\x02\0", b"\x08\0") and (capitals or data[6:8] == b"\0\0")


@contextmanager
def _untrusted() -> Iterator[None]:
    """No warnings about odd files, which a page has no use for; Pillow's warning of a bomb is an error."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # Filters are shared by all threads, and one may outlive its block: let it be a narrow one.
        warnings.filterwarnings("ignore", module=r"(PIL|pydicom)\b")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def refuse_bomb(width: int, height: int) -> None:
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise UnreadableScan(
            f"The image is {width:,} x {height:,} pixels, more than the {MAX_PIXELS // 1_000_000} million, "
            f"or {MAX_SIDE:,} a side, that are read here. Export a single slice at its original size."
        )


def _read_raster(data: bytes, what: str) -> Scan:
    rare = UnreadableScan(
        f"The {what} file is damaged, breaks off or is of a rare kind that is not read here. "
        "Export the scan again, as PNG or DICOM, and upload the new file."
    )
    try:
        image = Image.open(io.BytesIO(data), formats=[what])
    except UnidentifiedImageError as error:
        raise rare from error
    with image:
        refuse_bomb(*image.size)
        frames = getattr(image, "n_frames", 1)
        mode, args = image.mode, image.tile[0].args if image.tile else ""
        rawmode = str(args if isinstance(args, str) else args[0])
        tags = image.tag_v2 if what == "TIFF" else {}
        if tags.get(_PLANAR) == 2 and len(tags.get(_BITS, ())) > 1 and max(tags[_BITS]) > 8:
            # Pillow and OpenCV both take the halves of its 16-bit values for pixels of their own.
            raise rare
        # Of CMYK Pillow's high bytes must do; OpenCV reads none of it.
        deep_colour = ";16" in rawmode and mode != "CMYK" and not mode.startswith("I")
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
    kind = f"{what}, {bits} {colour}" + (f", first of {frames} images" if frames > 1 else "")
    gray = pixels if pixels.dtype == np.uint8 else to_display(pixels)
    return Scan(gray, pixels, name="", kind=kind, modality="", digest="")


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
        alpha = pixels[..., 3] / np.float32(np.iinfo(pixels.dtype).max) if pixels.shape[2] == 4 else 1
        gray = cv2.cvtColor(np.ascontiguousarray(pixels[..., :3]), cv2.COLOR_BGR2GRAY)
        pixels = np.round(gray * alpha).astype(pixels.dtype)
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


def finite(pixels: np.ndarray) -> np.ndarray:
    """Put the darkest value where there is no number, the brightest where it is infinite."""
    if pixels.dtype.kind in "iub":
        return pixels
    known = np.isfinite(pixels)
    if known.all():
        return pixels
    low, high = (pixels[known].min(), pixels[known].max()) if known.any() else (0, 0)
    return np.nan_to_num(pixels, nan=low, posinf=high, neginf=low)


def to_display(pixels: np.ndarray) -> np.ndarray:
    """Map full-range values to uint8: the lowest to 0, the 99.9th percentile and above to 255."""
    return stretch(pixels, *display_range(pixels))


def display_range(pixels: np.ndarray) -> tuple[float, float]:
    """What is shown black and what white where nobody has said it: the lowest value, the 99.9th percentile.

    The percentile keeps a few hot pixels from turning the rest of the slice black.
    """
    low, high = float(pixels.min()), float(np.percentile(pixels, 99.9))
    return low, high if high > low else float(pixels.max())


def stretch(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    if high <= low:
        return np.zeros(pixels.shape, np.uint8)
    scaled = pixels.astype(np.float32)
    # In place: at the largest size that is read, each copy costs 100 MB.
    scaled -= low
    scaled *= 255 / (high - low)
    np.clip(np.round(scaled, out=scaled), 0, 255, out=scaled)
    return scaled.astype(np.uint8)
