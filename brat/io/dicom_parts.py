"""What a report takes over from a DICOM file: its header, small, and its picture.

Made where the file is read, so that nothing else takes it apart.
"""

from __future__ import annotations

import io
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import pydicom  # noqa: F401 (first, see `brat.io.dicom_header`)
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.utils import get_expected_length
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from brat.io.dicom import count_items, offsets, refuse_deflated_bomb
from brat.io.dicom_frames import COLUMNS, MAX_FRAMES, PER_FRAME, SHARED, groups, places
from brat.io.dicom_header import numbers, read_header, read_whole
from brat.io.files import File
from brat.io.scan import UnreadableScan, decoding

MAX_ITEMS = 5_000
"""Items of sequences in a header, at most: a slice has some dozens."""

OF_A_FRAME = 100
"""Items of sequences for each frame of a file of several, at most: a scanner writes some dozens."""

MAX_OF_FRAMES = 100_000
"""Items of sequences for all frames of a file, at most, however many it names: they cost some seconds."""

MAX_HEADER = 256_000
"""Bytes of a header that is passed on; that of a slice has some thousands."""

_MAX_VALUE = 16_000
"""Bytes of one value that is passed on."""

_OF_BYTES = ("OB", "OD", "OF", "OL", "OV", "OW", "UN")


class Parts(NamedTuple):
    """Of a DICOM file.

    Attributes:
        header: a DICOM file without a picture, uncompressed, of at most `MAX_HEADER` bytes; without elements
            where the file has more items than its slices have, or no header that is as short. Of the
            functional groups it has those of all frames and of the first.
        syntax: the transfer syntax of the file.
        picture: the stored picture as it is in the file; empty where it was not asked for.
        vr: its value representation.
        places: of a file of frames, where each lies, from `brat.io.dicom_frames.places`; of any other no row.
    """

    header: bytes
    syntax: str
    picture: bytes
    vr: str
    places: np.ndarray = np.empty((0, COLUMNS))

    @property
    def is_compressed(self) -> bool:
        """Whether the picture is stored in pieces (PS3.5 A.4)."""
        return self.picture.startswith(b"\xfe\xff\x00\xe0")


def parts(
    data: bytes, keywords: Collection[str] = (), picture: bool = False, frame: int | None = None
) -> Parts:
    """Take a file apart.

    Args:
        keywords: of the elements that are wanted; all that are the standard's own by default.
        picture: whether the picture is wanted.
        frame: of which alone picture and elements are wanted, from 0; also those of its functional groups
            then. None for the whole file.

    Raises:
        UnreadableScan: the file is damaged, or has no such frame.
    """
    with decoding("DICOM"):
        refuse_deflated_bomb(data)
        # One of 8 bytes costs some 36 µs.
        if not picture and count_items(data) > _most_items(data):
            return Parts(_written(Dataset()), "", b"", "")
        source = read_whole(data, pixels=picture)
        header = Dataset()
        for tag in [*source.keys()]:
            try:
                element = source[tag]
            # A value of which nothing can be made.
            except (ValueError, TypeError, OverflowError):
                continue
            wanted = element.keyword in keywords if keywords else not tag.is_private
            if element.keyword == PER_FRAME:
                element = DataElement(tag, "SQ", element.value[:1])
            if wanted and element.VR not in _OF_BYTES:
                header[tag] = element
        named = numbers(header.get("NumberOfFrames"))
        frames = min(int(named[0]), MAX_FRAMES) if named and named[0] >= 1 else 0
        if not frames and (SHARED in source or PER_FRAME in source):
            frames = 1
        if frame is not None:
            for group in (*groups(source, SHARED), *groups(source, PER_FRAME, frame)):
                header.update({each.tag: each for each in group if each.keyword in keywords})
        # Its text is written anew, as UTF-8.
        header.decode()
        header.SpecificCharacterSet = "ISO_IR 192"
        stored = source.get_item("PixelData") if picture else None
        meta = getattr(source, "file_meta", None)
        return Parts(
            _short(header),
            str(meta.get("TransferSyntaxUID") or "") if meta else "",
            b"" if stored is None else bytes(source.PixelData) if frame is None else _picture(source, frame),
            str(source["PixelData"].VR) if stored is not None else "",
            places(source, frames),
        )


def _most_items(data: bytes) -> int:
    """How many items of sequences the header of a file may have: more for each frame that it names."""
    header = read_header(File("", data))
    frames = header.frames if header else 1
    return MAX_ITEMS + min(OF_A_FRAME * max(frames - 1, 0), MAX_OF_FRAMES)


def _picture(source: Dataset, frame: int) -> bytes:
    """One frame, stored as the file stores them."""
    frames = max(int(source.get("NumberOfFrames") or 1), 1)
    if not 0 <= frame < frames:
        raise UnreadableScan(f"This DICOM file has no frame {frame + 1}.")
    stored = source.PixelData
    if frames == 1:
        return bytes(stored)
    syntax = source.file_meta.get("TransferSyntaxUID")
    if syntax and syntax.is_compressed and syntax != DeflatedExplicitVRLittleEndian:
        return encapsulate(
            [get_frame(stored, frame, number_of_frames=frames, extended_offsets=offsets(source))]
        )
    if int(source.BitsAllocated) == 1:
        # Frames follow one another without a gap, in the middle of a byte too (PS3.5 8.1.1).
        pixels = int(source.Rows) * int(source.Columns)
        bits = np.unpackbits(np.frombuffer(stored, np.uint8), bitorder="little")
        cut = np.packbits(bits[frame * pixels : (frame + 1) * pixels], bitorder="little").tobytes()
    else:
        size = get_expected_length(source) // frames
        cut = stored[frame * size : (frame + 1) * size]
    return cut + bytes(len(cut) % 2)


def _short(header: Dataset) -> bytes:
    written = _written(header)
    for keyword in (SHARED, PER_FRAME) if len(written) > MAX_HEADER else ():
        if keyword in header:
            del header[keyword]
    written = _written(header)
    if len(written) > MAX_HEADER:
        for element in [*header]:
            if element.VR == "SQ" or len(str(element.value)) > _MAX_VALUE:
                del header[element.tag]
        written = _written(header)
    return written if len(written) <= MAX_HEADER else _written(Dataset())


def _written(header: Dataset) -> bytes:
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.preamble = bytes(128)
    buffer = io.BytesIO()
    header.save_as(buffer, enforce_file_format=False)
    return buffer.getvalue()
