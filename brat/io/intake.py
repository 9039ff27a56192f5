"""Files as they are dropped, any number of any kind -> what can be opened: scans and series.

The one door for many files, as `brat.io.scan` is for one. Archives are unpacked, the DICOM files of one
series put in order; only headers are read, and the rest when an item is opened.
"""

from __future__ import annotations

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

from brat.io.scan import SUFFIXES, Scan, UnreadableScan, checked, decode_scan, is_dicom, read_scan, reading
from brat.io.series import ACQUIRED, Series, Stack

OPENED = (*SUFFIXES, ".nii", ".hdr", ".img", ".gz", ".zip")
"""What a file dialog offers, and a folder is searched for."""

MAX_FILES = 10_000
MAX_UNPACKED = 500_000_000
"""Of an archive: files, and bytes in all."""

_ZIP, _GZIP = b"PK\x03\x04", b"\x1f\x8b"

# Volumes of other programs: where a file says what it is (offset, bytes), and its name in a sentence.
_VOLUMES = (
    *((0, magic, "a MINC volume, or other netCDF data") for magic in (b"CDF\x01", b"CDF\x02")),
    (0, b"\x89HDF", "a MINC volume, or other HDF5 data"),
    (0, b"\0\0\0\x01\0\0", "an MGH volume of FreeSurfer"),
    (0, b"# === DATA DESCRIPTION FILE", "the header of a PAR/REC volume of Philips"),
    (0, b"\ntype = ", "the header of an AFNI volume"),
    *((0, magic, "the header of an Analyze volume") for magic in (b"\x5c\x01\0\0", b"\0\0\x01\x5c")),
    (0, b"MATRIX7", "an ECAT volume"),
    (0, b"NRRD0", "an NRRD volume"),
    (0, b"ObjectType = Image", "a MetaImage volume"),
)
# These say nothing of themselves.
_VOLUMES_BY_NAME = {
    ".rec": "the picture of a PAR/REC volume of Philips",
    ".brik": "the picture of an AFNI volume",
}
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


def group_into_series(files: Iterable[File]) -> list[Item]:
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
    if len(item.files) > 1:
        return _of_files(item) if is_dicom(item.files[0].read(140)) else _of_pair(item)
    data = item.files[0].read()
    if is_dicom(data):
        return _of_frames(data, item.name) if item.is_series else read_scan(data, item.name)
    from brat.io.nifti import is_nifti, read_nifti

    if is_nifti(data):
        return read_nifti(data, item.name, hashlib.sha256(data).hexdigest())
    try:
        return read_scan(data, item.name)
    except UnreadableScan as error:
        if other := other_volume(data, item.name):
            raise UnreadableScan(
                f"This is {other}, which is not read here. Convert it to NIfTI (.nii) with the program that "
                "it comes from, or give the DICOM files that it was made of."
            ) from error
        if _parts(item.name)[1] == ".img":
            raise UnreadableScan(
                "This may be the picture of a volume, without its NIfTI header. Give its .hdr file together "
                "with it, or convert both to a single .nii file."
            ) from error
        raise


def other_volume(head: bytes, name: str) -> str:
    """What a volume in the format of another program is, in a sentence; empty where it is none.

    Args:
        head: the first bytes of the file.
        name: its name, by which some are known.
    """
    said = (what for offset, magic, what in _VOLUMES if head.startswith(magic, offset))
    return next(said, _VOLUMES_BY_NAME.get(_parts(name)[1], ""))


def _of_files(item: Item) -> Series:
    digests = [hashlib.sha256(file.read()).hexdigest() for file in item.files]
    digest = hashlib.sha256(" ".join(digests).encode()).hexdigest()
    count = len(item.files)

    def decode(index: int) -> Scan:
        file = item.files[index]
        return decode_scan(file.read(), file.name)

    # One in which there is something speaks for all.
    first = _first_readable(decode, count)
    places = [header and header.along for header in map(_header, item.files)]
    volumes = _volumes(places)

    def cut(plane: str, volume: int) -> Stack:
        slices = volumes[volume]
        return Stack(
            len(slices),
            lambda number: decode(slices[number]),
            positions=_from_first([places[index] for index in slices]),
            source=lambda number: item.files[slices[number]].read(),
        )

    kind = f"{first.kind}, {_size(volumes, 'slices')}"
    return Series(
        *(item.name, kind, first.modality, digest),
        *((ACQUIRED,), len(volumes), first.window, first.presets, cut),
    )


def _of_pair(item: Item) -> Series:
    from brat.io.nifti import joined, read_nifti

    data = joined(*(file.read() for file in item.files))
    return read_nifti(data, item.name, hashlib.sha256(data).hexdigest())


def _of_frames(data: bytes, name: str) -> Series:
    from brat.io.dicom import Dicom

    digest = hashlib.sha256(data).hexdigest()
    with reading("DICOM"):
        file = Dicom(data, digest)
        places = file.positions() or [None] * file.frames
    order = list(range(file.frames))
    # Of one place, as in a film, frames stay as they are stored.
    if len(set(places)) > 1:
        order.sort(key=places.__getitem__)
    volumes = _volumes([places[frame] for frame in order])

    def decode(index: int) -> Scan:
        with reading("DICOM"):
            return file.scan(order[index])

    first = _first_readable(decode, file.frames)

    def cut(plane: str, volume: int) -> Stack:
        frames = volumes[volume]
        of = f", volume {volume + 1}" if len(volumes) > 1 else ""

        def named(number: int) -> Scan:
            return replace(decode(frames[number]), name=f"{name}{of}, {number + 1} of {len(frames)}")

        return Stack(len(frames), named, positions=_from_first([places[order[index]] for index in frames]))

    kind = f"{file.kind}, {_size(volumes, 'frames')}"
    return Series(
        *(name, kind, file.modality, digest),
        *((ACQUIRED,), len(volumes), first.window, first.presets, cut),
    )


def _volumes(places: Sequence[float | None]) -> list[Sequence[int]]:
    """Which slices, of those in order of place, make up each volume.

    What was acquired again in the same places, at another time or with another weighting, is a volume of its
    own. Where places are not known, or not every one has as many slices, all of them are one.
    """
    whole = [range(len(places))]
    if None in places:
        return whole
    of_place: dict[float, list[int]] = {}
    for index, place in enumerate(places):
        of_place.setdefault(round(place, 3), []).append(index)
    times = {len(slices) for slices in of_place.values()}
    if len(times) > 1 or len(of_place) == 1:
        return whole
    return list(zip(*of_place.values(), strict=True))


def _size(volumes: Sequence[Sequence[int]], what: str) -> str:
    return f"{len(volumes[0])} {what}" + (f", {len(volumes)} volumes" if len(volumes) > 1 else "")


def _first_readable(decode: Callable[[int], Scan], count: int) -> Scan:
    for index in range(count):
        try:
            return checked(decode(index))
        except UnreadableScan as error:
            problem = error
    raise problem


def _unpacked(files: Iterable[File]) -> Iterator[File | Item]:
    """The files, in place of each archive what is in it, and nothing but NIfTI in gzip."""
    for file in files:
        left = MAX_UNPACKED
        try:
            for member in _of_archive(file) if file.read(len(_ZIP)) == _ZIP else (file,):
                if member.read(len(_GZIP)) == _GZIP and not _is_volume(member):
                    member = _out_of_gzip(member, left)
                    left -= len(member.source) if isinstance(member, File) else 0
                yield member
        except UnreadableScan as error:
            yield Item(file.name, (file,), problem=str(error))


def _out_of_gzip(file: File, most: int) -> File | Item:
    """Args: most: bytes to unpack."""
    inflater = zlib.decompressobj(31)
    problem = "The gzip archive is damaged or breaks off. Pack it again, or give what is in it."
    try:
        content = inflater.decompress(file.read(), max(most, 1))
    except zlib.error:
        return Item(file.name, (file,), problem=problem)
    if inflater.eof:
        return File(file.name, content)
    if inflater.unconsumed_tail:
        problem = f"The archive unpacks to over {MAX_UNPACKED // 1_000_000:,} MB. Split it."
    return Item(file.name, (file,), problem=problem)


def _paired(files: Iterable[File | Item]) -> Iterator[File | Item]:
    """The files, but for each header of a NIfTI pair that came with its picture (.hdr, .img) one item."""
    files = list(files)
    pairs = {".hdr": {}, ".img": {}}
    for file in files:
        stem, suffix = _parts(file.name)
        if isinstance(file, File) and suffix in pairs and (suffix == ".img" or _is_volume(file)):
            pairs[suffix][stem] = file
    for file in files:
        stem, suffix = _parts(file.name)
        pair = tuple(found[stem] for found in pairs.values() if stem in found)
        if suffix not in pairs or file not in pair or len(pair) < 2:
            yield file
        elif suffix == ".hdr":
            yield Item(file.name, pair, is_series=True)


def _parts(name: str) -> tuple[str, str]:
    """A name without its suffix, and its suffix; neither says whether it was packed by gzip."""
    path = PurePosixPath(name.lower().removesuffix(".gz"))
    return str(path.with_suffix("")) if path.name else "", path.suffix


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


def _is_passed_over(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return name.endswith("/") or hidden or path.name in _PASSED_OVER


def _is_volume(file: File) -> bool:
    from brat.io.nifti import is_nifti

    return is_nifti(file.read(65536))


def _header(file: File) -> _Header | None:
    """None where it is not DICOM, or so damaged that opening it will say more."""
    if not is_dicom(file.read(140)):
        return None
    import pydicom

    from brat.io.dicom import numbers, position, refuse_deflated_bomb

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
    from brat.io.dicom import numbers

    found = numbers(value)
    return found[0] if len(found) == 1 and math.isfinite(found[0]) else None


def _is_parallel(one: Sequence[float], other: Sequence[float]) -> bool:
    from brat.io.dicom import SAME_PLANE

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
        numbers = (getattr(header, field), header.number)
        # To a micrometre, or a rounding error would come before the number.
        return (*(math.inf if n is None else round(n, 3) for n in numbers), _natural(file.name))

    return key


def _natural(name: str) -> list:
    """Such that IM9 stands before IM10."""
    parts = re.split(r"([0-9]{1,18})", name)
    return [(int(part), part) if place % 2 else (0, part) for place, part in enumerate(parts)]


def _from_first(places: Sequence[float | None]) -> list[float] | None:
    if None in places or len(set(places)) == 1 < len(places):
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
