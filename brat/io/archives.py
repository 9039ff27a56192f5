"""Archives: what is in a ZIP archive or a gzip file, in memory and within limits."""

from __future__ import annotations

import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath

from brat.io import files as limits
from brat.io.files import File, damaged_gzip, too_much_unpacked
from brat.io.names import clean_entry
from brat.io.scan import UnreadableScan

MAX_FILES = 10_000
"""Files in one archive, or in one folder."""

MAX_ENTRY = 200_000_000
"""Bytes of one file in an archive: it lies in memory, and again in the process that opens it."""

_CHUNK = 1 << 20
_PIECE = 1 << 18

# What zipfile and the decoders behind it raise over an archive that they cannot read.
_DAMAGED = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, NotImplementedError, OSError, RuntimeError, ValueError),
)
_OF_SYSTEMS = ("__MACOSX", "Thumbs.db", "desktop.ini")


def members(archive: File, left: int | None = None) -> Iterator[File]:
    """The files in a ZIP archive, but for those that systems leave there.

    Args:
        left: bytes that may come out; `brat.io.files.MAX_UNPACKED` by default.

    Raises:
        UnreadableScan: the archive is damaged, locked, empty or too large.
    """
    source = io.BytesIO(archive.source) if isinstance(archive.source, bytes) else archive.source
    left = limits.MAX_UNPACKED if left is None else left
    try:
        with zipfile.ZipFile(source) as opened:
            entries = [entry for entry in opened.infolist() if not is_leftover(entry.filename)]
            if len(entries) > MAX_FILES:
                raise UnreadableScan(
                    f"The archive holds {len(entries):,} files; {MAX_FILES:,} are read at most. Split it."
                )
            if not entries:
                raise UnreadableScan("There is no file in this archive. Pack the scans again.")
            for entry in entries:
                if entry.flag_bits & 1:
                    raise UnreadableScan("The archive is locked by a password. Pack it again without one.")
                content = io.BytesIO()
                with opened.open(entry) as packed:
                    # Counted as it comes out: the size that the archive gives may be a lie.
                    while chunk := packed.read(_CHUNK):
                        content.write(chunk)
                        left -= len(chunk)
                        if left < 0:
                            raise too_much_unpacked()
                        if content.tell() > MAX_ENTRY:
                            raise _too_large_entry()
                yield File(f"{archive.name}/{clean_entry(entry.filename)}", content.getvalue())
    except UnreadableScan:
        raise
    except _DAMAGED as error:
        raise UnreadableScan(
            "The archive is damaged, breaks off, or is packed in a way that is not read here. Pack it again."
        ) from error


def out_of_gzip(file: File, most: int) -> File:
    """The file with what gzip packed in it.

    Args:
        most: bytes that may come out.

    Raises:
        UnreadableScan: the packing is damaged, or more comes out.
    """
    try:
        content = gunzipped(file.read(), max(min(most, MAX_ENTRY), 1))
    except (zlib.error, EOFError) as error:
        raise damaged_gzip() from error
    if content is None:
        raise _too_large_entry() if most > MAX_ENTRY else too_much_unpacked()
    return File(file.name, content)


def _too_large_entry() -> UnreadableScan:
    return UnreadableScan(
        f"A file in this archive has over {MAX_ENTRY // 1_000_000:,} MB. Unpack it, and give that file by "
        "itself."
    )


def gunzipped(data: bytes, most: int) -> bytes | None:
    """What gzip packed, of all members of the file: bgzip writes one for every 64 kB (RFC 1952, 2.2).

    Zeros that fill the file up are passed over, as `gzip` does.

    Args:
        most: bytes that may come out.

    Returns:
        None where more comes out.

    Raises:
        zlib.error: it is damaged.
        EOFError: it breaks off.
    """
    # Into one buffer, which its value shares: there may be no memory for a second one.
    content, begin = io.BytesIO(), 0
    while begin < len(data) and (data[begin] or data[begin:].strip(b"\0")):
        inflater = zlib.decompressobj(31)
        while not inflater.eof:
            # In pieces, or what follows a member would be copied for each of thousands.
            piece = data[begin : begin + _PIECE]
            if not piece:
                raise EOFError("the gzip stream breaks off")
            # What comes out, too: of zeros 1,000 times as much does, and would be there twice.
            chunk = inflater.decompress(piece, _CHUNK)
            while chunk:
                content.write(chunk)
                if content.tell() > most:
                    return None
                # Once it is at its end it would count what follows twice.
                chunk = b"" if inflater.eof else inflater.decompress(inflater.unconsumed_tail, _CHUNK)
            begin += len(piece) - len(inflater.unused_data)
    return content.getvalue()


def is_leftover(name: str) -> bool:
    """Whether an entry of an archive is passed over: a folder, or a file that is hidden or a system's own.

    So is a DICOMDIR: the files that it lists are in the archive anyway.
    """
    path = PurePosixPath(name)
    return name.endswith("/") or any(map(is_hidden, path.parts)) or path.name == "DICOMDIR"


def is_hidden(part: str) -> bool:
    """Whether a file or folder of this name is hidden, or one that macOS or Windows makes for itself."""
    # Some archives have paths that lead upwards; they are names here, and lead nowhere.
    return (part.startswith(".") and part != "..") or part in _OF_SYSTEMS
