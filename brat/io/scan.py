"""The words of `brat.io`: a scan, its window, the limits on its size, and the errors of unreadable files.

Nothing here reads a file.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from brat.io.display import display_range, stretch
from brat.io.wrapped import is_wrapped

MAX_PIXELS = 25_000_000
"""Larger images are refused from their header: no MRI slice is, and a hosted app has about 1 GB of memory."""

MAX_SIDE = 8_000
"""Pixels. A long strip is framed in a square, and costs the memory of its length squared."""

MIN_SIDE = 64
"""Pixels. Below this the model's 224 x 224 input would be mostly invented."""

_NEARLY_FULL = 65_000
"""A value of 16 bits that is reached where values ran over."""


NO_PICTURE = (
    "This DICOM file has no picture in it: it is a report, a plan or an index, or its picture was cut off. "
    "Upload an image of the series."
)

WINDOW_LOST = (
    "Under the window in the header hardly anything is to be seen. The values are shown from the lowest to "
    "the highest instead."
)
"""A remark on a scan whose file names a window that is not used."""


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
        if self.function != "LINEAR_EXACT" and width >= 1:
            # The standard's LINEAR counts whole values: a width of 1 has no slope. Below 1 there is none.
            center, width = center - 0.5, max(width - 1, 1e-6)
        return stretch(pixels, center - width / 2, center + width / 2)


def display_window(pixels: np.ndarray) -> Window:
    """What `brat.io.display.to_display` shows, as a window: for values whose file names none."""
    low, high = display_range(pixels)
    return Window((low + high) / 2, high - low)


@dataclass(frozen=True, eq=False)
class Scan:
    """One image as uploaded.

    Attributes:
        gray: uint8 (height, width), 0 to 255, upright, dark background as displayed.
        pixels: (height, width), the full-range values behind `gray`: the file's own numbers for
            rasters, rescaled modality values for DICOM and NIfTI; luminance where it had colour.
        name: the file's name, as given.
        format: of the file, for people: "PNG, 16-bit gray", "DICOM MR, 12-bit".
        modality: the DICOM modality code ("MR", "CT", ...), empty where the file does not say.
        digest: SHA-256, hexadecimal, of the file's bytes; of one slice of a file of many, or of another
            window, of its file's digest and that choice. The key of every cache.
        base_digest: the digest under the window that was shown at first; empty where that window is shown.
        spacing: millimetres from one row to the next and from one column to the next (DICOM Pixel
            Spacing, which names them in this order); None where the file does not say.
        window: what `gray` shows of `pixels`; None where another window makes no sense, as in colour.
        presets: the windows that the file itself suggests, the first of which is shown at first.
        inverted: whether the lowest value is shown white.
        sequence: by its header, of `brat.io.evidence.SEQUENCES` ("t1ce", "flair"); empty where that does not
            say it.
        scanner: which kind of scanner made it, by its header: "Siemens Skyra 3 T"; empty where that does not
            say it.
        edges: what of the patient lies at the left, top, right and bottom edge, see `brat.io.geometry.Edges`;
            None where the file does not say, so that left and right are not known.
        remarks: sentences to stand beside the answer: what was not read, what was shown in another way than
            the file asks for, and what its header says against it. They hold no words of the file.
    """

    gray: np.ndarray
    pixels: np.ndarray
    name: str
    format: str
    modality: str
    digest: str
    spacing: tuple[float, float] | None = None
    window: Window | None = None
    presets: tuple[Window, ...] = ()
    inverted: bool = False
    base_digest: str = ""
    sequence: str = ""
    scanner: str = ""
    edges: tuple[str, str, str, str] | None = None
    remarks: tuple[str, ...] = ()

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


def checked(scan: Scan) -> Scan:
    """The scan, if there is something in it to read.

    Raises:
        UnreadableScan: it is too small, of one value all over, or its values ran over.
    """
    refuse_small(scan)
    # By its values: a window may leave one shade of them.
    if is_empty(scan):
        shade = {0: "black", 255: "white"}.get(int(scan.gray[0, 0]), "one shade of gray")
        raise UnreadableScan(
            f"The image is {shade} all over: there is nothing in it to read. "
            "Check the window it was exported with."
        )
    refuse_wrapped(scan)
    return scan


def refuse_small(scan: Scan) -> None:
    """Raises `UnreadableScan` where a scan has fewer than `MIN_SIDE` pixels a side."""
    if min(scan.width, scan.height) < MIN_SIDE:
        raise UnreadableScan(
            f"The image is only {scan.width} x {scan.height} pixels. "
            f"Upload the scan itself, at least {MIN_SIDE} pixels a side, not a thumbnail."
        )


def is_empty(scan: Scan) -> bool:
    """Whether there is nothing in a scan: one value all over."""
    return bool(scan.pixels.min() == scan.pixels.max())


def refuse_wrapped(scan: Scan) -> None:
    """To be called with a scan of 8 or 16 bits; nothing happens over others.

    Raises:
        UnreadableScan: its values ran over the highest one and went on from 0.
    """
    pixels = scan.pixels
    if pixels.dtype == np.uint16 and pixels.max() >= _NEARLY_FULL:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.dtype == np.uint8 and is_wrapped(pixels):
        bits = 8 * scan.pixels.dtype.itemsize
        raise UnreadableScan(
            f"The values of this image ran over when it was exported to {bits} bits: what is brighter than "
            "white starts again at black. Export it with a window"
            + (", or with 16 bits." if bits == 8 else ".")
        )


def refuse_bomb(width: int, height: int) -> None:
    """To be called with the size that a header gives, before anything is decoded.

    Raises:
        UnreadableScan: this is more than `MAX_PIXELS`, or a side more than `MAX_SIDE`.
    """
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise UnreadableScan(
            f"The image is {width:,} x {height:,} pixels, more than the {MAX_PIXELS // 1_000_000} million, "
            f"or {MAX_SIDE:,} a side, that are read here. Export a single slice at its original size."
        )


@contextmanager
def decoding(format: str) -> Iterator[None]:
    """Turns whatever a decoder raises over a damaged file into `UnreadableScan`, with the cause chained.

    Warnings about odd files are dropped: nobody would see them.

    Args:
        format: of the file, for the sentence: "PNG", "DICOM", "NIfTI".
    """
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            # Filters are shared by all threads, and one may outlive its block: let it be a narrow one.
            warnings.filterwarnings("ignore", module=r"(PIL|pydicom)\b")
            yield
    except UnreadableScan:
        raise
    # Three libraries and the decoders behind them report damage through whatever they trip over first:
    # struct.error, zlib.error, SyntaxError, KeyError, RecursionError, MemoryError and a dozen others.
    except Exception as error:
        raise UnreadableScan(
            f"The {format} file is damaged or breaks off before the image is complete. "
            "Copy or export it again and upload the new file."
        ) from error
