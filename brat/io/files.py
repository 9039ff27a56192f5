"""A file under its name: in memory, or on disk and read when asked for."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from brat.io.names import clean_name
from brat.io.scan import UnreadableScan

MAX_UNPACKED = 500_000_000
"""Bytes that come out of one archive, or out of one file packed by gzip: a hosted app has about 1 GB of
memory."""

# A DICOM header is parsed in many small reads; a larger buffer would read more of the disk than the header.
_BUFFER = 4096


class _Fields(NamedTuple):
    name: str
    source: bytes | Path
    is_packed: bool = False


class File(_Fields):
    """A file.

    Attributes:
        name: for people: its path as given, or its place in an archive; cleaned, see `brat.io.names`.
        source: its bytes, or its path.
        is_packed: whether gzip packs it. `open` and `read` then give what is inside.
    """

    __slots__ = ()

    def __new__(cls, name: str, source: bytes | Path, is_packed: bool = False) -> File:
        return super().__new__(cls, clean_name(name), source, is_packed)

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
            UnreadableScan: as `open`; or more comes out of gzip than `MAX_UNPACKED`.
        """
        if isinstance(self.source, bytes) and not self.is_packed:
            return self.source if size < 0 else self.source[:size]
        with self.open() as stream:
            if size >= 0 or not self.is_packed:
                return stream.read(size)
            content = stream.read(MAX_UNPACKED + 1)
        if len(content) > MAX_UNPACKED:
            raise too_much_unpacked()
        return content

    def _opened(self) -> BinaryIO:
        if isinstance(self.source, bytes):
            return io.BytesIO(self.source)
        return self.source.open("rb", buffering=_BUFFER)


def damaged_gzip() -> UnreadableScan:
    return UnreadableScan("The gzip archive is damaged or breaks off. Pack it again, or give what is in it.")


def too_much_unpacked() -> UnreadableScan:
    return UnreadableScan(f"The archive unpacks to over {MAX_UNPACKED // 1_000_000:,} MB. Split it.")
