"""A file under its name: in memory, or on disk and read when asked for."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from brat.io.names import clean_name
from brat.io.scan import UnreadableScan

MAX_UNPACKED = 500_000_000
"""Bytes that come out of the archives of one drop, and bytes of one file, unpacked: a hosted app has about
1 GB of memory."""

# A DICOM header is parsed in many small reads; a larger buffer would read more of the disk than the header.
_BUFFER = 4096


class _Fields(NamedTuple):
    name: str
    source: bytes | Path
    is_packed: bool = False
    identity: tuple[int, int] | None = None


class File(_Fields):
    """A file.

    Attributes:
        name: for people: its path as given, or its place in an archive; cleaned, see `brat.io.names`.
        source: its bytes, or its path.
        is_packed: whether gzip packs it. `open` and `read` then give what is inside.
        identity: device and number of the file that was listed in a folder. Another file at its path, or a
            link there, is not opened. None where a path was given by name: it is followed.
    """

    __slots__ = ()

    def __new__(
        cls, name: str, source: bytes | Path, is_packed: bool = False, identity: tuple[int, int] | None = None
    ) -> File:
        return super().__new__(cls, clean_name(name), source, is_packed, identity)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The content as a stream.

        Raises:
            UnreadableScan: there is no such file, it may not be read, or its gzip packing is damaged.
        """
        try:
            with self._opened() as stream:
                if self.is_packed:
                    with gzip.open(stream) as unpacked:
                        yield cast(BinaryIO, unpacked)
                else:
                    yield stream
        except IsADirectoryError:
            raise UnreadableScan("This is a folder. Give the files in it instead.") from None
        except FileNotFoundError:
            raise UnreadableScan(
                "The file could not be opened: there is no file at this path. Check its spelling."
            ) from None
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise damaged_gzip() from error
        except OSError as error:
            raise UnreadableScan(
                f"The file could not be opened ({error.strerror}). Check its place and its permissions."
            ) from None

    def read(self, size: int = -1) -> bytes:
        """The content, or the first `size` bytes of it.

        Raises:
            UnreadableScan: as `open`; or it has more than `MAX_UNPACKED`.
        """
        if isinstance(self.source, bytes) and not self.is_packed:
            # A pipe is read no further.
            if size < 0 and len(self.source) > MAX_UNPACKED:
                raise too_large()
            return self.source if size < 0 else self.source[:size]
        with self.open() as stream:
            if size >= 0:
                return stream.read(size)
            # A sparse file is read as fast as memory is filled.
            if not self.is_packed and os.fstat(stream.fileno()).st_size > MAX_UNPACKED:
                raise too_large()
            content = stream.read(MAX_UNPACKED + 1)
        if len(content) > MAX_UNPACKED:
            raise too_much_unpacked() if self.is_packed else too_large()
        return content

    def _opened(self) -> BinaryIO:
        if isinstance(self.source, bytes):
            return io.BytesIO(self.source)
        if self.identity is None:
            return self.source.open("rb", buffering=_BUFFER)
        return open(self.source, "rb", buffering=_BUFFER, opener=self._open_listed)

    def _open_listed(self, path: str, flags: int) -> int:
        # A pipe in place of the file would not open before somebody writes to it.
        only_file = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            descriptor = os.open(path, flags | only_file)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _exchanged() from error
        # A folder on the way may have become a link: what is opened then is another file.
        status = os.fstat(descriptor)
        if (status.st_dev, status.st_ino) != self.identity:
            os.close(descriptor)
            raise _exchanged()
        return descriptor


class Unpacked(bytes):
    """What came out of an archive; counted as long as it lies in memory."""

    total = 0

    def __new__(cls, content: bytes) -> Unpacked:
        new = super().__new__(cls, content)
        # Between reading the total and writing it nothing may be called: another thread could get its turn.
        size = len(new)
        Unpacked.total += size
        return new

    def __del__(self) -> None:
        size = len(self)
        Unpacked.total -= size


def _exchanged() -> UnreadableScan:
    return UnreadableScan(
        "Another file lies at this place than when the folder was searched. Search it again."
    )


def too_large() -> UnreadableScan:
    return UnreadableScan(
        f"The file has over {MAX_UNPACKED // 1_000_000:,} MB, the most that is read of one. Split it, or "
        "export the series at a lower resolution."
    )


def damaged_gzip() -> UnreadableScan:
    return UnreadableScan("The gzip archive is damaged or breaks off. Pack it again, or give what is in it.")


def too_much_unpacked() -> UnreadableScan:
    return UnreadableScan(f"The archive unpacks to over {MAX_UNPACKED // 1_000_000:,} MB. Split it.")
