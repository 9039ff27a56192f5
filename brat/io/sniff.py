"""What a file is, by its first bytes; its name only where the bytes cannot say it."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import PurePosixPath

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".heic", ".dcm", ".dicom", ".ima")
"""Endings of files with one image."""

OPENED = (*SUFFIXES, ".nii", ".hdr", ".img", ".gz", ".zip")
"""Endings of all files that are opened. The content decides how."""

HEAD = 4096
"""Bytes. As much of a file as any function here looks at."""

# Each table: offset, bytes at this offset, what the file is.
_Table = Iterable[tuple[int, bytes, str]]

_RASTERS = (
    (0, b"\x89PNG", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"BM", "BMP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (8, b"WEBP", "WebP"),
)
_ZIP, _EMPTY_ZIP, _GZIP = b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b"
_OF_SEVERAL = (
    (0, _ZIP, "a ZIP archive"),
    (0, _EMPTY_ZIP, "a ZIP archive"),
    (0, _GZIP, "a gzip archive"),
    (344, b"n+1\0", "a NIfTI volume"),
    (4, b"n+2\0", "a NIfTI volume"),
)
_NOT_READ = (
    (0, b"GIF8", "a GIF picture"),
    (0, b"%PDF", "a PDF document"),
    (0, b"7z\xbc\xaf", "a 7z archive"),
    (0, b"Rar!", "a RAR archive"),
    (257, b"ustar", "a TAR archive"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (4, b"ftyp", "an AVIF photo, or a video"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"MATLAB", "a MATLAB file"),
)
_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
"""Brands of HEIC and HEIF (ISO/IEC 23008-12, annex B), as phones write them."""

_HOW = {
    "a PDF document": "Export the scan itself from the viewer or the PACS, as DICOM or PNG; or save the page "
    "that shows it as PNG, and upload that.",
    "a NumPy array": "In Python `brat.read(numpy.load(path))` reads one slice of it, or `PIL.Image` writes "
    "it as PNG.",
    "a MATLAB file": "In MATLAB write its image as a file: `imwrite(mat2gray(cjdata.image), 'slice.png')`, "
    "with `cjdata` for what it holds, as in the figshare collection.",
}
"""What to do with some of what is not read."""

_OTHER_VOLUMES = (
    (0, b"CDF\x01", "a MINC volume, or other netCDF data"),
    (0, b"CDF\x02", "a MINC volume, or other netCDF data"),
    (0, b"\x89HDF", "a MINC volume, or other HDF5 data"),
    (0, b"\0\0\0\x01\0\0", "an MGH volume of FreeSurfer"),
    (0, b"# === DATA DESCRIPTION FILE", "the header of a PAR/REC volume of Philips"),
    (0, b"\ntype = ", "the header of an AFNI volume"),
    (0, b"\x5c\x01\0\0", "the header of an Analyze volume"),
    (0, b"\0\0\x01\x5c", "the header of an Analyze volume"),
    (0, b"MATRIX7", "an ECAT volume"),
    (0, b"NRRD0", "an NRRD volume"),
    (0, b"ObjectType = Image", "a MetaImage volume"),
)
# The content of these has no mark of its own.
_OTHER_VOLUMES_BY_SUFFIX = {
    ".rec": "the picture of a PAR/REC volume of Philips",
    ".brik": "the picture of an AFNI volume",
}


def raster_format(head: bytes) -> str:
    """ "PNG", "JPEG", "BMP", "TIFF", "WebP" or "HEIF", as Pillow names them; empty for any other file."""
    return "HEIF" if is_heif(head) else _lookup(head, _RASTERS)


def may_have_pages(head: bytes) -> bool:
    """Whether a picture may hold several pages or frames: TIFF, and what says so in its first bytes."""
    format = raster_format(head)
    marks = {"TIFF": b"", "PNG": b"acTL", "WebP": b"ANIM", "JPEG": b"MPF\0"}
    return format in marks and marks[format] in head


def is_dicom(head: bytes) -> bool:
    """Whether a file is DICOM. Its first 140 bytes are enough."""
    if head[128:132] == b"DICM":
        return True
    # Old exports lack the preamble. They begin with an element of group 2 or 8. Its type follows as two
    # capitals; where types are implicit, its length follows, whose high bytes are 0. The oldest are
    # big-endian.
    has_type = head[4:6].isalpha() and head[4:6].isupper()
    if head[:2] == b"\0\x08":
        return has_type
    return head[:2] in (b"\x02\0", b"\x08\0") and (has_type or head[6:8] == b"\0\0")


def is_nifti(head: bytes) -> bool:
    """Whether a file is NIfTI, or the header of a NIfTI pair, packed by gzip or not."""
    if is_gzip(head):
        head = unpacked_head(head)
    return head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0")


def is_nifti_pair_header(head: bytes) -> bool:
    """Whether a file is the header of a NIfTI pair. It must be unpacked."""
    return head[344:348] == b"ni1\0" or head[4:8] == b"ni2\0"


def is_zip(head: bytes) -> bool:
    return head.startswith((_ZIP, _EMPTY_ZIP))


def is_gzip(head: bytes) -> bool:
    return head.startswith(_GZIP)


def unpacked_head(head: bytes, size: int = 1024) -> bytes:
    """The first `size` bytes inside a gzip file; empty where it is damaged."""
    try:
        return zlib.decompressobj(31).decompress(head[:HEAD], size)
    except zlib.error:
        return b""


def of_several(head: bytes) -> str:
    """What a file is that may hold several scans, as in "a ZIP archive"; empty for any other file."""
    return _lookup(head, _OF_SEVERAL)


def not_read(head: bytes) -> str:
    """What a file is that is known but not read, as in "a PDF document"; empty for any other file."""
    return _lookup(head, _NOT_READ)


def how(known: str) -> str:
    """What to do with a file of the kind that `not_read` names, in a sentence."""
    return _HOW.get(known, "Upload a PNG, JPEG, BMP, TIFF, WebP, DICOM or NIfTI file.")


def refusal(head: bytes) -> str:
    """What is said of a file that is none of those that are read."""
    known = not_read(head)
    subject = f"{known}, which is not read here" if known else "not an image, whatever its name says"
    return f"This is {subject}. {how(known)}"


def is_heif(head: bytes) -> bool:
    """Whether a file is a photo as phones write it (HEIC)."""
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF


def other_volume(head: bytes, name: str) -> str:
    """What a volume in the format of another program is, in a sentence; empty for any other file.

    Args:
        head: the first bytes of the file, unpacked.
        name: its name. Some formats are known by their ending only.
    """
    return _lookup(head, _OTHER_VOLUMES) or _OTHER_VOLUMES_BY_SUFFIX.get(suffix(name), "")


def may_be_scan(head: bytes, name: str) -> bool:
    """Whether a file found in a folder is worth opening: by its ending, or by its content.

    A file under the ending of a scan is opened even if its content is something else: its owner takes it for
    a scan, and must be told that it is none.
    """
    if suffix(name) in OPENED:
        return True
    if is_gzip(head):
        head = unpacked_head(head)
    return is_dicom(head) or is_nifti(head) or is_zip(head) or bool(raster_format(head))


def suffix(name: str) -> str:
    """The ending of a name in lower case, that before `.gz` where there is one: ".nii" of "a.nii.gz"."""
    return PurePosixPath(_without_gz(name)).suffix


def stem(name: str) -> str:
    """The name in lower case without what `suffix` returns: "a" of "a.nii.gz"."""
    return _without_gz(name).removesuffix(suffix(name))


def _without_gz(name: str) -> str:
    return name.lower().removesuffix(".gz")


def _lookup(head: bytes, table: _Table) -> str:
    return next((meaning for offset, magic, meaning in table if head.startswith(magic, offset)), "")
