"""DICOMDIR: the index of the files on a disc (PS3.10, PS3.3 F).

The records are read as they are stored. `pydicom.fileset.FileSet` follows their offsets, without end where a
damaged index lists them in a circle, and leaves out the files that are missing.
"""

from __future__ import annotations

import io

import pydicom
from pydicom.multival import MultiValue

from brat.io.dicom import refuse_deflated_bomb
from brat.io.files import File
from brat.io.scan import UnreadableScan, decoding

MAX_SIZE = 100_000_000
"""Bytes. A record takes some hundreds."""


def listed(index: File) -> list[tuple[str, ...]]:
    """Where the files that an index lists are, from its own folder on: folders, then a name.

    They may lead anywhere: it is for the caller to stay in the folder.

    Raises:
        UnreadableScan: the index is damaged, or too large, or no index.
    """
    data = index.read(MAX_SIZE + 1)
    if len(data) > MAX_SIZE:
        raise UnreadableScan(f"The DICOMDIR has over {MAX_SIZE // 1_000_000} MB. Give the folder instead.")
    with decoding("DICOMDIR"):
        refuse_deflated_bomb(data)
        dataset = pydicom.dcmread(io.BytesIO(data), specific_tags=["DirectoryRecordSequence"])
        records = dataset.get("DirectoryRecordSequence") or []
        places = [record.get("ReferencedFileID") for record in records]
        parts = [tuple(place if isinstance(place, MultiValue) else [place]) for place in places if place]
        # Two records may stand for one file.
        return list(dict.fromkeys(tuple(str(part).replace("\0", "") for part in place) for place in parts))
