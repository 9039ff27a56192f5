"""What a report takes over from a DICOM file: its header, small, and its picture.

Made where the file is read, so that nothing else takes it apart.
"""

from __future__ import annotations

import io
from collections.abc import Collection
from typing import NamedTuple

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from brat.io.dicom import count_items, refuse_deflated_bomb
from brat.io.scan import decoding

MAX_ITEMS = 5_000
"""Items of sequences in a header, at most: a slice has some dozens."""

MAX_HEADER = 256_000
"""Bytes of a header that is passed on; that of a slice has some thousands."""

_MAX_VALUE = 16_000
"""Bytes of one value that is passed on."""

_OF_BYTES = ("OB", "OD", "OF", "OL", "OV", "OW", "UN")


class Parts(NamedTuple):
    """Of a DICOM file.

    Attributes:
        header: a DICOM file without a picture, uncompressed, of at most `MAX_HEADER` bytes; without elements
            where the file has more items than a slice has, or no header that is as short.
        syntax: the transfer syntax of the file.
        picture: the stored picture as it is in the file; empty where it was not asked for.
        vr: its value representation.
    """

    header: bytes
    syntax: str
    picture: bytes
    vr: str

    @property
    def is_compressed(self) -> bool:
        """Whether the picture is stored in pieces (PS3.5 A.4)."""
        return self.picture.startswith(b"\xfe\xff\x00\xe0")


def parts(data: bytes, keywords: Collection[str] = (), picture: bool = False) -> Parts:
    """Take a file apart.

    Args:
        keywords: of the elements that are wanted; all that are the standard's own by default.
        picture: whether the picture is wanted.

    Raises:
        UnreadableScan: the file is damaged.
    """
    with decoding("DICOM"):
        refuse_deflated_bomb(data)
        # One of 8 bytes costs some 36 µs.
        if count_items(data) > MAX_ITEMS and not picture:
            return Parts(_written(Dataset()), "", b"", "")
        source = pydicom.dcmread(io.BytesIO(data), force=True, stop_before_pixels=not picture)
        header = Dataset()
        for tag in [*source.keys()]:
            try:
                element = source[tag]
            # A value of which nothing can be made.
            except (ValueError, TypeError, OverflowError):
                continue
            wanted = element.keyword in keywords if keywords else not tag.is_private
            if wanted and element.VR not in _OF_BYTES:
                header[tag] = element
        # Its text is written anew, as UTF-8.
        header.decode()
        header.SpecificCharacterSet = "ISO_IR 192"
        stored = source.get_item("PixelData") if picture else None
        meta = getattr(source, "file_meta", None)
        return Parts(
            _short(header),
            str(meta.get("TransferSyntaxUID") or "") if meta else "",
            bytes(source.PixelData) if stored is not None else b"",
            str(source["PixelData"].VR) if stored is not None else "",
        )


def _short(header: Dataset) -> bytes:
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
