"""DICOM: bytes -> the frames of a file, as they are to be shown. By pydicom."""

from __future__ import annotations

import hashlib
import io
import math
import zlib
from functools import cached_property

import cv2
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame, parse_basic_offsets
from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from brat.io.codecs import Undecodable, decode
from brat.io.dicom_header import (
    ORIENTATION,
    POSITION,
    SAME_PLANE,
    SPACING,
    numbers,
    position,
    transfer_syntax,
)
from brat.io.display import display_range, finite, stretch, to_display
from brat.io.scan import (
    MAX_PIXELS,
    Scan,
    SeveralScans,
    UnreadableScan,
    Window,
    decoding,
    part_digest,
    refuse_bomb,
)

# fmt: off
_MODALITIES = {
    "BI", "CR", "CT", "DG", "DX", "ES", "GM", "HC", "HD", "IO", "IVOCT", "IVUS", "KER", "LS", "MG", "MR",
    "NM", "OCT", "OP", "OPM", "OPT", "OT", "PT", "PX", "RF", "RG", "RTIMAGE", "SC", "SEG", "SM", "ST", "TG",
    "US", "XA", "XC",
}
"""PS3.3 C.7.3.1.1.1, of pictures: what else stands there may be anybody's words, and is not passed on."""

_WINDOW_NAMES = {
    "abdomen", "angio", "bone", "brain", "contrast", "default", "harder", "liver", "lung", "mediastinum",
    "narrow", "normal", "original", "sinuses", "softer", "spine", "stroke", "subdural", "temporal", "vessel",
    "wide",
}
# fmt: on
"""The explanation of a window is free text; of these it is passed on."""

_OF_A_FRAME = (
    *("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction", "VOILUTSequence"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence"),
    *(SPACING, ORIENTATION, POSITION),
)
"""What may differ from frame to frame (PS3.3 C.7.6.16), and how a picture is shown."""


_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")

MAX_FRAMES = 10_000

_PICTURE = (
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
)
"""What a decoder needs to know."""


class Dicom:
    """One DICOM file with at least one picture; frames are decoded when asked for. Threads may share it.

    Attributes:
        frames: how many.
        modality: its code, such as "MR"; empty where the file does not say, or says something else.
        format: for people: "DICOM MR, 12-bit".
    """

    def __init__(self, data: bytes, digest: str):
        """Read the header.

        Args:
            digest: SHA-256 of `data`.

        Raises:
            UnreadableScan: there is no picture in it, or a far too large one.
        """
        refuse_deflated_bomb(data)
        dataset = pydicom.dcmread(io.BytesIO(data), force=True)
        rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
        if not rows or not columns or not any(keyword in dataset for keyword in _PIXELS):
            raise UnreadableScan(
                "This DICOM file has no picture in it: it is a report, a plan or an index, or its picture "
                "was cut off. Upload an image of the series."
            )
        refuse_bomb(columns, rows)
        if "TransferSyntaxUID" not in dataset.file_meta:
            # An old export that does not say; pydicom has found out, but does not use it for the picture.
            implicit, little = dataset.original_encoding
            explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
        self._dataset, self._digest = dataset, digest
        self.frames = max(int(dataset.get("NumberOfFrames") or 1), 1)
        if self.frames > MAX_FRAMES:
            raise UnreadableScan(
                f"This DICOM file says that it holds {self.frames:,} frames; {MAX_FRAMES:,} are read at most."
            )
        self._refuse_more_frames()
        code = str(dataset.get("Modality") or "")
        self.modality = code if code in _MODALITIES else ""
        # As a number, or anybody's words could stand there.
        bits = int(dataset.get("BitsStored") or dataset.get("BitsAllocated") or 0)
        self.format = f"DICOM {self.modality}".strip() + f", {bits}-bit"

    def _refuse_more_frames(self) -> None:
        """Raises `UnreadableScan` where the picture is at least one frame longer than the header says."""
        dataset = self._dataset
        syntax = dataset.file_meta.TransferSyntaxUID
        if "PixelData" not in dataset or not syntax.is_transfer_syntax:
            return
        if syntax.is_compressed and syntax != DeflatedExplicitVRLittleEndian:
            stored = len(parse_basic_offsets(dataset.PixelData))
        else:
            bits = (
                int(dataset.Rows)
                * int(dataset.Columns)
                * int(dataset.get("SamplesPerPixel") or 1)
                * int(dataset.get("BitsAllocated") or 16)
            )
            stored = len(dataset.PixelData) * 8 // bits
        if stored > self.frames:
            raise UnreadableScan(
                f"This DICOM file names {self.frames} frame{'s' if self.frames > 1 else ''} and holds "
                f"{stored}: which of them is meant is not known. Export the series again."
            )

    def scan(self, frame: int = 0) -> Scan:
        """A frame, 0 to `frames` - 1.

        Raises:
            UnreadableScan: it cannot be decompressed.
        """
        header = self._header(frame)
        stored = self._stored(frame)
        window: Window | None = None
        presets: tuple[Window, ...] = ()
        inverted = False
        if stored.ndim == 3:
            pixels = _luminance(stored)
            gray = pixels if pixels.dtype == np.uint8 else to_display(pixels)
        else:
            pixels = _rescaled(stored, header)
            if header.get("VOILUTSequence"):
                gray = _apply_voi_lut(pixels, header.VOILUTSequence[0])
            else:
                presets = _windows(header)
                window = presets[0] if presets else display_window(pixels)
                gray = window.apply(pixels)
            inverted = self._dataset.PhotometricInterpretation == "MONOCHROME1"
            gray = 255 - gray if inverted else gray
        return Scan(
            gray,
            pixels,
            name="",
            format=self.format,
            modality=self.modality,
            digest=self._digest if self.frames == 1 else part_digest(self._digest, f"frame {frame}"),
            spacing=_spacing(header),
            window=window,
            presets=presets,
            inverted=inverted,
        )

    def positions(self) -> list[float] | None:
        """Millimetres along the normal of the frames' plane, one for each frame.

        None where the file does not say, or where the frames are not parallel.
        """
        headers = [self._header(frame) for frame in range(self.frames)]
        places = [place for header in headers if (place := position(header)) is not None]
        if len(places) < self.frames:
            return None
        planes = np.array([numbers(header.get(ORIENTATION)) for header in headers])
        return places if np.ptp(planes, axis=0).max() <= SAME_PLANE else None

    def _stored(self, frame: int) -> np.ndarray:
        """The values as they are stored; (rows, columns, 3) RGB where there is colour."""
        dataset = self._dataset
        syntax = dataset.file_meta.TransferSyntaxUID
        try:
            if (
                syntax.is_transfer_syntax
                and syntax.is_compressed
                and syntax != DeflatedExplicitVRLittleEndian
            ):
                stored = decode(self._alone(frame))
            else:
                stored = pixel_array(dataset, index=frame)
        except (NotImplementedError, RuntimeError, Undecodable) as error:
            # A name that is not the standard's own is what the file wanted shown.
            name = f" ({syntax.name})" if syntax.is_transfer_syntax and syntax.name != syntax else ""
            raise UnreadableScan(
                f"The DICOM picture cannot be decompressed here{name}: it is damaged, or compressed in a way "
                "that is not supported. Export it uncompressed."
            ) from error
        if dataset.PhotometricInterpretation == "PALETTE COLOR":
            stored = apply_color_lut(stored, dataset)
        return stored

    def _alone(self, frame: int) -> bytes:
        """A compressed frame as a file of its own, with nothing in it but what a decoder needs."""
        whole = self._dataset
        offsets = _offsets(whole)
        encoded = get_frame(whole.PixelData, frame, number_of_frames=self.frames, extended_offsets=offsets)
        alone = Dataset()
        for keyword in _PICTURE:
            if keyword in whole:
                alone[keyword] = whole[keyword]
        alone.PixelData = encapsulate([encoded])
        alone["PixelData"].VR = "OB"
        alone.SOPClassUID, alone.SOPInstanceUID = SecondaryCaptureImageStorage, "2.25.1"
        alone.file_meta = FileMetaDataset()
        alone.file_meta.TransferSyntaxUID = whole.file_meta.TransferSyntaxUID
        written = io.BytesIO()
        alone.save_as(written, enforce_file_format=True)
        return written.getvalue()

    def _header(self, frame: int) -> Dataset:
        """What is said of one frame: by itself, by all of them together, or by the file."""
        header = Dataset()
        header.update(self._of_all)
        for source in self._groups("PerFrame", frame):
            _take(source, header)
        return header

    @cached_property
    def _of_all(self) -> Dataset:
        """What is said of all frames; looked for once, however many there are."""
        header = Dataset()
        for source in (self._dataset, *self._groups("Shared", 0)):
            _take(source, header)
        return header

    def _groups(self, whose: str, index: int) -> list[Dataset]:
        """The first item of each functional group."""
        items = self._dataset.get(f"{whose}FunctionalGroupsSequence") or []
        if index >= len(items):
            return []
        return [element.value[0] for element in items[index] if element.VR == "SQ" and element.value]


def _take(source: Dataset, header: Dataset) -> None:
    for keyword in _OF_A_FRAME:
        if keyword in source:
            header[keyword] = source[keyword]


def _offsets(dataset: Dataset) -> tuple[bytes, bytes] | None:
    """Where the frames begin, in files that keep it outside the picture (PS3.3 C.7.6.3.1.8)."""
    table, lengths = dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths")
    return (table, lengths) if table and lengths else None


def read_dicom(data: bytes, digest: str) -> Scan:
    """A file of one picture.

    Raises:
        UnreadableScan: there is none, or there are several.
    """
    file = Dicom(data, digest)
    if file.frames > 1:
        raise SeveralScans(
            f"This DICOM file holds {file.frames} frames, and a single slice is wanted here. "
            "Open it on the Review page, or export the slice as a file of its own."
        )
    return file.scan()


def pixel_digest(data: bytes) -> str:
    """SHA-256, hexadecimal, of the stored picture of a file; of the whole file where it is damaged."""
    try:
        with decoding("DICOM"):
            refuse_deflated_bomb(data)
            dataset = pydicom.dcmread(io.BytesIO(data), force=True, specific_tags=["PixelData"])
            return hashlib.sha256(dataset.PixelData).hexdigest()
    except UnreadableScan:
        return hashlib.sha256(data).hexdigest()


def _spacing(header: Dataset) -> tuple[float, float] | None:
    spacing = numbers(header.get(SPACING))
    if len(spacing) != 2 or not all(0 < mm < math.inf for mm in spacing):
        return None
    return spacing[0], spacing[1]


def _luminance(rgb: np.ndarray) -> np.ndarray:
    if rgb.dtype not in (np.uint8, np.uint16):
        rgb = stretch(rgb, rgb.min(), rgb.max())
    return cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)


def display_window(pixels: np.ndarray) -> Window:
    """What `brat.io.display.to_display` shows, as a window: for values whose file names none."""
    low, high = display_range(pixels)
    return Window((low + high) / 2, high - low)


def _rescaled(stored: np.ndarray, header: Dataset) -> np.ndarray:
    """Modality values (PS3.3 C.11.1), as narrow as they are exact: a slice's worth of float64 is 2 MB."""
    slope, intercept = header.get("RescaleSlope", 1), header.get("RescaleIntercept", 0)
    if "ModalityLUTSequence" not in header and slope == 1 and intercept == 0:
        return finite(stored)
    return finite(apply_modality_lut(stored, header).astype(np.float32, copy=False))


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


def refuse_deflated_bomb(data: bytes) -> None:
    """pydicom inflates the whole of a deflated file, up to 1,000 times its size, before it looks at it.

    Raises:
        UnreadableScan: it inflates to far more than the largest image.
    """
    stream = io.BytesIO(data)
    if transfer_syntax(stream) != DeflatedExplicitVRLittleEndian:
        return
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    rest, size = data[stream.tell() :], 0
    while rest:
        size += len(inflater.decompress(rest, 2**24))
        rest = inflater.unconsumed_tail
        if size > 4 * MAX_PIXELS:
            raise UnreadableScan(
                "The DICOM file is far larger than a slice once it is unpacked. "
                "Export a single slice at its original size."
            )


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
