"""Files as they are dropped, any number of any kind -> what can be opened: scans and series.

The one door for many files, as `brat.scans` is for one. Archives are unpacked, the DICOM files of one series
put in order; only headers are read, and the rest when an item is opened.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import lzma
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from brat.scans import SUFFIXES, Scan, UnreadableScan, checked, decode_scan, is_dicom, read_scan, reading
from brat.series import Series, Stack

OPENED = (*SUFFIXES, ".nii", ".gz", ".hdr", ".img", ".zip")
"""What a file dialog offers, and a folder is searched for."""

MAX_FILES = 10_000
MAX_UNPACKED = 600_000_000
"""Of an archive: files, and bytes in all, which stay in memory. 500 slices of 512 x 512 have 260 MB."""

_ZIP = b"PK\x03\x04"
_GZIP = b"\x1f\x8b"

# What zipfile and the decoders behind it raise over an archive that they cannot read.
_DAMAGED = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, NotImplementedError, OSError, RuntimeError, ValueError),
)
_PASSED_OVER = ("DICOMDIR", "Thumbs.db", "desktop.ini")
_CHUNK = 1 << 20


class File(NamedTuple):
    """A file and what it is called; its bytes, or where it lies."""

    name: str
    source: bytes | Path

    def read(self, size: int = -1) -> bytes:
        """Its bytes, or the first of them.

        Raises:
            UnreadableScan: it is not there, or may not be read.
        """
        if isinstance(self.source, bytes):
            return self.source if size < 0 else self.source[:size]
        try:
            with self.source.open("rb") as opened:
                return opened.read(size)
        except OSError as error:
            raise UnreadableScan(
                f"The file could not be opened ({error.strerror}). Check its place and its permissions."
            ) from None


@dataclass(frozen=True, eq=False)
class Item:
    """Something that can be opened: one scan, or the files of one series.

    Attributes:
        name: what to call it.
        files: one, or those of a series in order of position.
        is_series: whether it has more than one slice.
        problem: why it cannot be opened, where that is known already.
    """

    name: str
    files: tuple[File, ...]
    is_series: bool = False
    problem: str = ""


class _Header(NamedTuple):
    """Of a DICOM file: what its series is, and where it lies in it.

    Attributes:
        series: its UID, rows and columns, which all slices of a stack share.
        plane: cosines of its rows and of its columns; empty where the file does not say.
        along: millimetres along the normal of the plane; None where the file does not say.
        location: what the scanner calls it, millimetres.
        number: of the slice in its series.
        frames: how many pictures it holds.
    """

    series: tuple
    plane: tuple[float, ...]
    along: float | None
    location: float | None
    number: int | None
    frames: int


def sort_out(files: Iterable[File]) -> list[Item]:
    """What the files hold, in the order in which they came; those of one series are one item.

    Args:
        files: in memory or on disk. Archives of the ZIP format are unpacked into memory.
    """
    items: list[Item | list] = []
    # Of a series, the stacks of parallel slices: a localiser's views share nothing but its number.
    stacks: dict[tuple, list[list[tuple[_Header, File]]]] = {}
    for file in _paired(_unpacked(files)):
        if isinstance(file, Item):
            items.append(file)
            continue
        try:
            header = _header(file)
            is_volume = header is None and _is_volume(file)
        except UnreadableScan as error:
            items.append(Item(file.name, (file,), problem=str(error)))
            continue
        if header is None or header.frames > 1 or not all(header.series):
            items.append(Item(file.name, (file,), is_series=is_volume or bool(header and header.frames > 1)))
            continue
        known = stacks.setdefault(header.series, [])
        stack = next((stack for stack in known if _is_parallel(stack[0][0].plane, header.plane)), None)
        if stack is None:
            stack = []
            known.append(stack)
            items.append(stack)
        stack.append((header, file))
    return [item if isinstance(item, Item) else _item(item) for item in items]


def load(item: Item) -> Scan | Series:
    """Open an item.

    Raises:
        UnreadableScan: it cannot be read.
    """
    if item.problem:
        raise UnreadableScan(item.problem)
    data = item.files[0].read()
    if len(item.files) > 1 and not is_dicom(data):
        return _of_pair(item)
    if len(item.files) > 1:
        return _of_files(item)
    if is_dicom(data):
        return _of_frames(data, item.name) if item.is_series else read_scan(data, item.name)
    from brat.nifti import is_nifti, read_nifti

    if is_nifti(data):
        return read_nifti(data, item.name, hashlib.sha256(data).hexdigest())
    return read_scan(data, item.name)


def _of_files(item: Item) -> Series:
    digests = [hashlib.sha256(file.read()).hexdigest() for file in item.files]
    digest = hashlib.sha256(" ".join(digests).encode()).hexdigest()
    count = len(item.files)

    def decode(index: int) -> Scan:
        file = item.files[index]
        return decode_scan(file.read(), file.name)

    # One in which there is something speaks for all.
    first = _first_readable(decode, count)
    headers = [_header(file) for file in item.files]
    positions = _from_first([header and header.along for header in headers])
    stack = Stack(count, decode, positions=positions, source=lambda index: item.files[index].read())
    kind = f"{first.kind}, {count} slices"
    planes = (stack.plane,)
    return Series(
        item.name, kind, first.modality, digest, planes, 1, first.window, first.presets, lambda *_: stack
    )


def _of_pair(item: Item) -> Series:
    from brat.nifti import read_nifti

    header, picture = (file.read() for file in item.files)
    digests = " ".join(hashlib.sha256(content).hexdigest() for content in (header, picture))
    return read_nifti(header, item.name, hashlib.sha256(digests.encode()).hexdigest(), picture)


def _of_frames(data: bytes, name: str) -> Series:
    from brat.dicom import Dicom

    digest = hashlib.sha256(data).hexdigest()
    with reading("DICOM"):
        file = Dicom(data, digest)
        places = file.positions()
    order = list(range(file.frames))
    if places:
        order.sort(key=places.__getitem__)

    def decode(index: int) -> Scan:
        with reading("DICOM"):
            scan = file.scan(order[index])
        return replace(scan, name=f"{name}, {index + 1} of {file.frames}")

    first = _first_readable(decode, file.frames)
    positions = _from_first([places[frame] for frame in order]) if places else None
    stack = Stack(file.frames, decode, positions=positions)
    kind = f"{file.kind}, {file.frames} frames"
    return Series(
        name, kind, file.modality, digest, (stack.plane,), 1, first.window, first.presets, lambda *_: stack
    )


def _first_readable(decode: Callable[[int], Scan], count: int) -> Scan:
    for index in range(count):
        try:
            return checked(decode(index))
        except UnreadableScan as error:
            problem = error
    raise problem


def _unpacked(files: Iterable[File]) -> Iterator[File | Item]:
    """The files, and in place of each archive what is in it."""
    for file in files:
        try:
            head = file.read(len(_ZIP))
            if head == _ZIP:
                yield from _of_archive(file)
            elif head.startswith(_GZIP) and is_dicom(_gunzipped(file.read(1 << 16), 140)):
                yield File(file.name.removesuffix(".gz"), _of_gzip(file))
            else:
                yield file
        except UnreadableScan as error:
            yield Item(file.name, (file,), problem=str(error))


def _of_archive(file: File) -> Iterator[File]:
    source = io.BytesIO(file.source) if isinstance(file.source, bytes) else file.source
    left = MAX_UNPACKED
    try:
        with zipfile.ZipFile(source) as archive:
            entries = [entry for entry in archive.infolist() if not _is_passed_over(entry.filename)]
            if len(entries) > MAX_FILES:
                raise UnreadableScan(
                    f"The archive holds {len(entries):,} files; {MAX_FILES:,} are read at most. Split it."
                )
            if not entries:
                raise UnreadableScan("There is no file in this archive. Pack the scans again.")
            for entry in entries:
                if entry.flag_bits & 1:
                    raise UnreadableScan("The archive is locked by a password. Pack it again without one.")
                content = bytearray()
                with archive.open(entry) as packed:
                    # By what comes out, and not by the size that the archive gives.
                    while chunk := packed.read(_CHUNK):
                        content += chunk
                        left -= len(chunk)
                        if left < 0:
                            raise UnreadableScan(
                                f"The archive unpacks to over {MAX_UNPACKED // 1_000_000:,} MB. Split it."
                            )
                yield File(f"{file.name}/{entry.filename}", bytes(content))
    except UnreadableScan:
        raise
    except _DAMAGED as error:
        raise UnreadableScan(
            "The archive is damaged, breaks off, or is packed in a way that is not read here. Pack it again."
        ) from error


def _of_gzip(file: File) -> bytes:
    content = _gunzipped(file.read(), MAX_UNPACKED + 1)
    if len(content) > MAX_UNPACKED:
        raise UnreadableScan(
            f"The file unpacks to over {MAX_UNPACKED // 1_000_000:,} MB. Export a single slice."
        )
    return content


def _gunzipped(data: bytes, size: int) -> bytes:
    """As much of it, up to a size, as can be unpacked: what breaks off is for the reader to find out."""
    with contextlib.suppress(zlib.error):
        return zlib.decompressobj(31).decompress(data, size)
    return b""


def _paired(files: Iterable[File | Item]) -> Iterator[File | Item]:
    """The files, with header and picture of a NIfTI pair as one item."""
    from brat.nifti import is_header

    files = list(files)
    places = {_stem(file.name, ".img"): file for file in files if isinstance(file, File)}
    places.pop("", None)
    pictures = {}
    for file in files:
        stem = _stem(file.name, ".hdr") if isinstance(file, File) else ""
        with contextlib.suppress(UnreadableScan):
            if stem in places and is_header(file.read(1 << 16)):
                pictures[id(file)] = places[stem]
    taken = {id(picture) for picture in pictures.values()}
    for file in files:
        if id(file) in pictures:
            yield Item(file.name, (file, pictures[id(file)]), is_series=True)
        elif id(file) not in taken:
            yield file


def _stem(name: str, suffix: str) -> str:
    """The name without its suffix, packed or not; empty where it has another."""
    name = name.lower().removesuffix(".gz")
    return name.removesuffix(suffix) if name.endswith(suffix) else ""


def _is_passed_over(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return name.endswith("/") or hidden or path.name in _PASSED_OVER


def _is_volume(file: File) -> bool:
    from brat.nifti import is_nifti

    return is_nifti(file.read(65536))


def _header(file: File) -> _Header | None:
    """None where it is not DICOM, or so damaged that opening it will say more."""
    if not is_dicom(file.read(140)):
        return None
    import pydicom

    from brat.dicom import numbers, position, refuse_deflated_bomb

    try:
        with reading("DICOM"):
            data = file.read()
            refuse_deflated_bomb(data)
            found = pydicom.dcmread(
                io.BytesIO(data), force=True, stop_before_pixels=True, specific_tags=_TAGS
            )
            plane = numbers(found.get("ImageOrientationPatient"))
            return _Header(
                series=(
                    str(found.get("SeriesInstanceUID") or ""),
                    int(found.get("Rows") or 0),
                    int(found.get("Columns") or 0),
                ),
                plane=tuple(plane) if len(plane) == 6 and all(map(math.isfinite, plane)) else (),
                along=position(found),
                location=_number(found.get("SliceLocation")),
                number=_number(found.get("InstanceNumber")),
                frames=int(found.get("NumberOfFrames") or 1),
            )
    except UnreadableScan:
        return None


_TAGS = [
    *("SeriesInstanceUID", "Rows", "Columns", "NumberOfFrames", "InstanceNumber", "SliceLocation"),
    *("ImagePositionPatient", "ImageOrientationPatient"),
]


def _number(value) -> float | None:
    from brat.dicom import numbers

    found = numbers(value)
    return found[0] if len(found) == 1 and math.isfinite(found[0]) else None


def _is_parallel(one: Sequence[float], other: Sequence[float]) -> bool:
    from brat.dicom import SAME_PLANE

    return len(one) == len(other) and all(abs(a - b) <= SAME_PLANE for a, b in zip(one, other, strict=True))


def _order(members: Sequence[tuple[_Header, File]]) -> Callable[[tuple[_Header, File]], tuple]:
    """By what all of them say of where they lie; those of one place by their number, and then by name."""
    headers = [header for header, _ in members]
    if all(header.along is not None for header in headers):
        field = "along"
    elif all(header.location is not None for header in headers):
        field = "location"
    else:
        field = "number"

    def key(member: tuple[_Header, File]) -> tuple:
        header, file = member
        place = getattr(header, field)
        numbers = (math.inf if number is None else number for number in (place, header.number))
        return (*numbers, _natural(file.name))

    return key


def _natural(name: str) -> list:
    """Such that IM9 stands before IM10."""
    parts = re.split(r"([0-9]+)", name)
    return [(int(part), part) if place % 2 else (0, part) for place, part in enumerate(parts)]


def _from_first(places: Sequence[float | None]) -> list[float] | None:
    if None in places:
        return None
    return [place - places[0] for place in places]


def _item(members: list[tuple[_Header, File]]) -> Item:
    files = tuple(file for _, file in sorted(members, key=_order(members)))
    if len(files) == 1:
        return Item(files[0].name, files)
    folders = {str(PurePosixPath(file.name).parent) for file in files}
    folder = folders.pop() if len(folders) == 1 else "."
    name = folder if folder != "." else f"{files[0].name} and {len(files) - 1} more"
    return Item(name, files, is_series=True)
