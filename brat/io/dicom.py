"""DICOM: bytes -> the frames of a file, as they are to be shown. By pydicom."""

from __future__ import annotations

import hashlib
import io
import math
import zlib
from collections.abc import Iterator
from copy import copy
from functools import cached_property

import numpy as np
import pydicom  # noqa: F401 (first, see `brat.io.dicom_header`)
from pydicom.datadict import dictionary_description
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame, parse_basic_offsets, parse_fragments
from pydicom.multival import MultiValue
from pydicom.pixels import apply_color_lut, pixel_array
from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from brat.io.codecs import Undecodable, decode
from brat.io.dicom_frames import MAX_FRAMES, PER_FRAME, SHARED, acquisitions, groups
from brat.io.dicom_header import (
    ORIENTATION,
    POSITION,
    SAME_PLANE,
    SPACING,
    numbers,
    position,
    read_whole,
    transfer_syntax,
)
from brat.io.dicom_values import (
    Shown,
    luminance,
    refuse_overrun,
    refuse_swapped,
    rescaled,
    shown,
    stored_bits,
    without_padding,
)
from brat.io.display import to_display, without_background
from brat.io.evidence import SEQUENCES, evidence, kinds_of, modality_of, refuse_other_modality
from brat.io.geometry import Turn, cosines_of, squared, turn
from brat.io.scan import (
    MAX_PIXELS,
    NO_PICTURE,
    Scan,
    SeveralScans,
    UnreadableScan,
    decoding,
    part_digest,
    refuse_bomb,
)

_OF_DETECTOR = ("ImagerPixelSpacing", "NominalScannedPixelSpacing")
"""How far apart pixels were where they were measured, or scanned from film: not in the patient, but of the
same shape."""

_OF_A_FRAME = tuple(
    Tag(keyword)
    for keyword in (
        *("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction", "VOILUTSequence"),
        *("RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence"),
        *(SPACING, *_OF_DETECTOR, "PixelAspectRatio", ORIENTATION, "PatientOrientation", POSITION),
    )
)
"""What may differ from frame to frame (PS3.3 C.7.6.16), and how a picture is shown."""


_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")

_NEEDED = (
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "PixelRepresentation"),
)
"""Without these (type 1 in PS3.3 C.7.6.3) stored values mean nothing."""

_NOT_OF_FLOATS = ("BitsStored", "PixelRepresentation")
"""Of these a picture of floating-point numbers has none (PS3.3 C.7.6.24)."""

_CHANNELS = {
    **dict.fromkeys(("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"), 1),
    **dict.fromkeys(("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT"), 3),
}
"""Photometric Interpretation (PS3.3 C.7.6.3.1.2) -> Samples per Pixel."""

_BEYOND = (
    "The picture in this file is longer than its header says. What is beyond that was not read, so a part of "
    "the slice may be missing."
)

_PART = "This file is one part of a longer series of frames; each part is read by itself."

_BEGIN = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51")
"""Of a picture as JPEG or JPEG-LS, and as JPEG 2000."""

_BEGIN_OF_RLE = b"\x40\0\0\0"
"""The second number of one as RLE: its first segment follows a header of 64 bytes (PS3.5 G.5)."""

_ITEM = b"\xfe\xff\x00\xe0"
"""Begins the picture where it is compressed (PS3.5 A.4)."""


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
        _refuse_byte_order(data)
        dataset = read_whole(data)
        rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
        if not any(keyword in dataset for keyword in _PIXELS):
            raise UnreadableScan(NO_PICTURE)
        _refuse_lacking(dataset)
        refuse_bomb(columns, rows)
        if "TransferSyntaxUID" not in dataset.file_meta:
            # An old export that does not say; pydicom has found out, but does not use it for the picture.
            implicit, little = dataset.original_encoding
            explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
        _refuse_unfit(dataset)
        self._dataset, self._digest = dataset, digest
        self._remarks: tuple[str, ...] = ()
        self.frames = max(int(dataset.get("NumberOfFrames") or 1), 1)
        if self.frames > MAX_FRAMES:
            raise UnreadableScan(
                f"This DICOM file says that it holds {self.frames:,} frames; {MAX_FRAMES:,} are read at most."
            )
        self._refuse_more_frames()
        if "ConcatenationUID" in dataset and numbers(dataset.get("InConcatenationTotalNumber")) != [1]:
            self._remarks += (_PART,)
        self.modality = modality_of(dataset)
        # As a number, or anybody's words could stand there.
        bits = int(dataset.get("BitsStored") or dataset.get("BitsAllocated") or 0)
        self.format = f"DICOM {self.modality}".strip() + f", {bits}-bit"

    def _refuse_more_frames(self) -> None:
        """Raises `UnreadableScan` where the picture is at least one frame longer than the header says; where
        it is at least a row longer there is a remark.
        """
        dataset = self._dataset
        syntax = dataset.file_meta.TransferSyntaxUID
        if "PixelData" not in dataset or not syntax.is_transfer_syntax:
            return
        if syntax.is_compressed and syntax != DeflatedExplicitVRLittleEndian:
            stored = _frames_in(dataset)
        else:
            bits = (
                int(dataset.Rows)
                * int(dataset.Columns)
                * int(dataset.get("SamplesPerPixel") or 1)
                * int(dataset.get("BitsAllocated") or 16)
            )
            stored, beyond = divmod(len(dataset.PixelData) * 8, bits)
            if stored == self.frames and beyond >= bits // int(dataset.Rows):
                self._remarks = (_BEYOND,)
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
        said = evidence(self._dataset, self._every_group(frame), self.modality)
        lying = _turn(header)
        if lying:
            stored = lying.apply(stored)
        inverted = self._dataset.PhotometricInterpretation == "MONOCHROME1"
        spacing = _spacing(header)
        if stored.ndim == 3:
            pixels, spacing = _squared(luminance(stored), spacing, header, lying)
            view = Shown(pixels if pixels.dtype == np.uint8 else to_display(pixels))
            inverted = False
        else:
            values, remarks = rescaled(stored, header)
            values = without_background(without_padding(values, stored, self._dataset, inverted), inverted)
            pixels, spacing = _squared(values, spacing, header, lying)
            view = shown(pixels, header, remarks)
        remarks = self._remarks + said.remarks + view.remarks
        return Scan(
            255 - view.gray if inverted else view.gray,
            pixels,
            name="",
            format=f"{self.format}, {SEQUENCES[said.sequence]}" if said.sequence else self.format,
            modality=self.modality,
            digest=self._digest if self.frames == 1 else part_digest(self._digest, f"frame {frame}"),
            spacing=spacing,
            window=view.window,
            presets=view.presets,
            inverted=inverted,
            sequence=said.sequence,
            scanner=said.scanner,
            edges=lying.edges if lying else None,
            remarks=remarks,
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

    @property
    def is_placed(self) -> bool:
        """Whether any of its frames says where it lies."""
        return any(numbers(self._header(frame).get(POSITION)) for frame in range(self.frames))

    def acquisitions(self) -> list[tuple]:
        """As `brat.io.dicom_frames.acquisitions`."""
        return acquisitions(self._dataset, self.frames)

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
                # pydicom would take the lowest bits for the value, wherever High Bit says that it ends.
                stored = pixel_array(dataset, index=frame, correct_unused_bits=False)
        except (NotImplementedError, RuntimeError, Undecodable) as error:
            # A name that is not the standard's own is what the file wanted shown.
            name = f" ({syntax.name})" if syntax.is_transfer_syntax and syntax.name != syntax else ""
            raise UnreadableScan(
                f"The DICOM picture cannot be decompressed here{name}: it is damaged, or compressed in a way "
                "that is not supported. Export it uncompressed."
            ) from error
        # RLE keeps every bit of a cell, as it is when it is not compressed; the others the value alone.
        is_cell = (
            not syntax.is_compressed
            or syntax in (DeflatedExplicitVRLittleEndian, RLELossless)
            or _ends_at_high_bit(stored, dataset)
        )
        values = stored_bits(stored, dataset, is_cell)
        if values.ndim == 2 and not kinds_of((dataset, *self._every_group(frame))):
            # What a phase map shows runs over by nature.
            refuse_swapped(stored, dataset)
            refuse_overrun(stored, values, dataset)
        stored = values
        if dataset.PhotometricInterpretation == "PALETTE COLOR":
            stored = apply_color_lut(stored, dataset)
        return stored

    def _alone(self, frame: int) -> bytes:
        """A compressed frame as a file of its own, with nothing in it but what a decoder needs."""
        whole = self._dataset
        encoded = get_frame(
            whole.PixelData, frame, number_of_frames=self.frames, extended_offsets=offsets(whole)
        )
        alone = Dataset()
        for keyword in _PICTURE:
            if keyword in whole:
                alone[keyword] = copy(whole[keyword])
        if whole.file_meta.TransferSyntaxUID == RLELossless:
            # All of a cell, see `stored_bits`.
            alone.BitsStored, alone.HighBit = alone.BitsAllocated, alone.BitsAllocated - 1
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
        for source in groups(self._dataset, PER_FRAME, frame):
            _take(source, header)
        return header

    @cached_property
    def _of_all(self) -> Dataset:
        """What is said of all frames; looked for once, however many there are."""
        header = Dataset()
        for source in (self._dataset, *groups(self._dataset, SHARED)):
            _take(source, header)
        return header

    def _every_group(self, frame: int) -> list[Dataset]:
        """The items that speak of a frame: those of all frames, then its own."""
        return [*groups(self._dataset, SHARED), *groups(self._dataset, PER_FRAME, frame)]


def _frames_in(dataset: Dataset) -> int:
    """How many frames a compressed picture has: by a table of offsets, or by how its pieces begin."""
    extended = offsets(dataset)
    tables = len(parse_basic_offsets(dataset.PixelData)), len(extended[0]) // 8 if extended else 0
    begins = [dataset.PixelData[place + 8 : place + 16] for place in parse_fragments(dataset.PixelData)[1]]
    if dataset.file_meta.TransferSyntaxUID == RLELossless:
        return max(*tables, sum(begin.endswith(_BEGIN_OF_RLE) for begin in begins))
    return max(*tables, sum(begin.startswith(_BEGIN) for begin in begins))


def _ends_at_high_bit(stored: np.ndarray, dataset: Dataset) -> bool:
    """Whether compressed values were not moved down to the lowest bit, as they are when High Bit is right."""
    if stored.dtype.kind != "u":
        return False
    high = int(dataset.get("HighBit", 0))
    is_above = int(dataset.BitsStored) - 1 < high < 8 * stored.dtype.itemsize
    return is_above and bool((np.right_shift(stored, high) & 1).any())


def _take(source: Dataset, header: Dataset) -> None:
    for tag in _OF_A_FRAME:
        if tag in source:
            header[tag] = source[tag]


def offsets(dataset: Dataset) -> tuple[bytes, bytes] | None:
    """Where the frames begin, in files that keep it outside the picture (PS3.3 C.7.6.3.1.8)."""
    table, lengths = dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths")
    return (table, lengths) if table and lengths else None


def read_dicom(data: bytes, digest: str) -> Scan:
    """A file of one picture.

    Raises:
        UnreadableScan: there is none, there are several, or it is no MR.
    """
    file = Dicom(data, digest)
    refuse_other_modality(file.modality)
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
            dataset = read_whole(data, [Tag("PixelData")])
            return hashlib.sha256(dataset.PixelData).hexdigest()
    except UnreadableScan:
        return hashlib.sha256(data).hexdigest()


def _spacing(header: Dataset) -> tuple[float, float] | None:
    spacing = numbers(header.get(SPACING))
    if len(spacing) != 2 or not all(0 < mm < math.inf for mm in spacing):
        return None
    return spacing[0], spacing[1]


def _refuse_lacking(dataset: Dataset) -> None:
    """Raises `UnreadableScan` where the header lacks what the picture cannot do without, or where what it has
    means nothing.
    """
    is_float = "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset
    needed = [keyword for keyword in _NEEDED if not (is_float and keyword in _NOT_OF_FLOATS)]
    # Of these all but Pixel Representation are above 0.
    missing = [
        keyword
        for keyword in needed
        if dataset.get(keyword) in (None, "")
        or (keyword != "PixelRepresentation" and not dataset[keyword].value)
    ]
    if missing:
        names = ", ".join(dictionary_description(keyword) for keyword in missing)
        raise UnreadableScan(
            f"The header of this DICOM file does not say how its picture is stored (it lacks {names}). "
            "Export it again from the PACS or the scanner."
        )
    allocated, stored = int(dataset.BitsAllocated), int(dataset.get("BitsStored") or dataset.BitsAllocated)
    channels = int(dataset.SamplesPerPixel)
    odd = {
        "BitsAllocated": allocated != 1 and (allocated % 8 or not 0 < allocated <= 64),
        "BitsStored": not 0 < stored <= allocated,
        "PixelRepresentation": dataset.get("PixelRepresentation", 0) not in (0, 1),
        "PhotometricInterpretation": _CHANNELS.get(str(dataset.PhotometricInterpretation)) != channels,
    }
    if wrong := [keyword for keyword in odd if odd[keyword]]:
        names = ", ".join(dictionary_description(keyword) for keyword in wrong)
        raise UnreadableScan(
            f"What the header of this DICOM file says of how its picture is stored does not fit ({names}). "
            "Export it again from the PACS or the scanner."
        )


def _refuse_byte_order(data: bytes) -> None:
    """Raises `UnreadableScan` where the header names another order of bytes than the file's own.

    pydicom takes such a file for one without a picture.
    """
    stream = io.BytesIO(data)
    syntax = transfer_syntax(stream)
    # A dataset begins with an element of group 8.
    begin = stream.read(2)
    if syntax is None or begin not in (b"\x08\0", b"\0\x08") or not syntax.is_transfer_syntax:
        return
    if syntax.is_little_endian != (begin == b"\x08\0"):
        named, found = ("little", "big") if syntax.is_little_endian else ("big", "little")
        raise UnreadableScan(
            f"The header of this DICOM file says that its bytes lie in {named} endian order ({syntax.name}), "
            f"but they lie in {found} endian order: its transfer syntax does not fit. Export it again from "
            "the PACS or the scanner."
        )


def _refuse_unfit(dataset: Dataset) -> None:
    """Raises `UnreadableScan` where the header names another compression than the picture's own."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if "PixelData" not in dataset or not syntax.is_transfer_syntax or syntax.name == syntax:
        return
    is_compressed = syntax.is_compressed and syntax != DeflatedExplicitVRLittleEndian
    content = dataset.PixelData
    if is_compressed != content.startswith(_ITEM):
        named = f"compressed ({syntax.name})" if is_compressed else f"not compressed ({syntax.name})"
        found = "is not" if is_compressed else "is compressed"
        raise UnreadableScan(
            f"The header of this DICOM file says that its picture is {named}, but it {found}: its transfer "
            "syntax does not fit. Export it again from the PACS or the scanner."
        )


def _turn(header: Dataset) -> Turn | None:
    lying = turn(numbers(header.get(ORIENTATION)))
    letters = header.get("PatientOrientation")
    return lying or (turn(cosines_of(letters)) if isinstance(letters, MultiValue) else None)


_LONGEST = 20
"""Times that a pixel may be longer than wide; beyond that the header does not mean what it says."""


def _squared(
    pixels: np.ndarray, spacing: tuple[float, float] | None, header: Dataset, lying: Turn | None
) -> tuple[np.ndarray, tuple[float, float] | None]:
    """The picture with square pixels, and their spacing, where it is known; as it is where the header says
    what no pixel is.

    Args:
        pixels: as they lie once they are turned.
        spacing: of rows and of columns, as they are stored.
    """
    down, across = spacing or _aspect(header)
    if max(down, across) > _LONGEST * min(down, across):
        return pixels, None
    if lying and lying.transpose:
        down, across = across, down
    pixels, side = squared(pixels, down, across)
    return pixels, (side, side) if spacing else None


def _aspect(header: Dataset) -> tuple[float, float]:
    """How high a pixel is, and how wide (PS3.3 C.7.6.3.1.7)."""
    for keyword in (*_OF_DETECTOR, "PixelAspectRatio"):
        ratio = numbers(header.get(keyword))
        if len(ratio) == 2 and all(0 < side < math.inf for side in ratio):
            return ratio[0], ratio[1]
    return 1, 1


def refuse_deflated_bomb(data: bytes) -> None:
    """pydicom inflates the whole of a deflated file, up to 1,000 times its size, before it looks at it.

    Raises:
        UnreadableScan: it inflates to far more than the largest image.
    """
    size = 0
    for piece in _inflated(data):
        size += len(piece)
        if piece is not data and size > 4 * MAX_PIXELS:
            raise UnreadableScan(
                "The DICOM file is far larger than a slice once it is unpacked. "
                "Export a single slice at its original size."
            )


def count_items(data: bytes) -> int:
    """How many items of sequences a DICOM file may have (PS3.5 7.5): how often their tag is in it."""
    return sum(
        max(piece.count(b"\xfe\xff\x00\xe0"), piece.count(b"\xff\xfe\xe0\x00")) for piece in _inflated(data)
    )


def _inflated(data: bytes) -> Iterator[bytes]:
    """A deflated file in pieces, any other as it is."""
    stream = io.BytesIO(data)
    if transfer_syntax(stream) != DeflatedExplicitVRLittleEndian:
        yield data
        return
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    rest = data[stream.tell() :]
    while rest:
        yield inflater.decompress(rest, 2**24)
        rest = inflater.unconsumed_tail
