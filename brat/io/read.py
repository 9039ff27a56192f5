"""One file -> one `Scan`. Its content decides how it is read, not its name.

Whatever cannot be read raises `UnreadableScan`, with a sentence that tells a clinician what to do.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from brat.io import sniff
from brat.io.files import File
from brat.io.raster import MAX_PAGES, count_pages, read_raster
from brat.io.scan import Scan, SeveralScans, UnreadableScan, checked, decoding


def read_scan(source: bytes | str | Path, name: str | None = None) -> Scan:
    """Read one image: PNG, JPEG, BMP, TIFF or WebP (8 or 16 bit, any colour model), or single-frame DICOM.

    Args:
        source: the file's bytes, or its path.
        name: what to call it; the path's last part by default.

    Raises:
        SeveralScans: the file holds a volume, several frames or pages, or it is an archive.
        UnreadableScan: the file is missing, empty, damaged, too large, too small, uniform or not an
            image. Where a decoder objected, its own error is the cause.
    """
    if not isinstance(source, bytes):
        path = Path(source)
        name = name or path.name
        source = File(name, path).read()
    return checked(decode_scan(source, name or "scan"))


def decode_scan(data: bytes, name: str) -> Scan:
    """As `read_scan`, but takes small and uniform images too: one slice of a series may be empty.

    Raises:
        SeveralScans, UnreadableScan: as `read_scan`.
    """
    digest = hashlib.sha256(data).hexdigest()
    return replace(_decode(data, digest), name=name, digest=digest)


def _decode(data: bytes, digest: str) -> Scan:
    if not data:
        raise UnreadableScan("The file is empty (0 bytes). Export the scan again and upload the new file.")
    if sniff.is_dicom(data):
        # pydicom takes half a second to import, and pictures do not need it.
        from brat.io.dicom import read_dicom

        with decoding("DICOM"):
            return read_dicom(data, digest)
    if format := sniff.raster_format(data):
        pages = count_pages(data, format) if sniff.may_have_pages(data[: sniff.HEAD]) else 1
        if pages > 1:
            count = f"{pages}" if pages <= MAX_PAGES else f"over {MAX_PAGES:,}"
            raise SeveralScans(
                f"This {format} file holds {count} pages, and a single slice is wanted here. Open it on the "
                "Review page, or export the slice as a file of its own."
            )
        with decoding(format):
            return read_raster(data, format)
    if several := sniff.of_several(data):
        raise SeveralScans(
            f"This is {several}, and a single slice is wanted here. Open it on the Review page, or export "
            "the slice as a file of its own."
        )
    raise UnreadableScan(sniff.refusal(data))
