"""Files as they are given, any number of any kind -> what can be opened: scans and series.

The one way in for many files, as `brat.io.read` is for one. Archives are unpacked, and the DICOM files of one
series put in order. Only headers are read, and the rest when an item is opened.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from brat.io import archives, sniff
from brat.io import files as limits
from brat.io.files import File
from brat.io.panels import Panel, find_panels, refuse_page
from brat.io.raster import count_pages
from brat.io.read import read_scan
from brat.io.scan import NO_PICTURE, Scan, SeveralScans, UnreadableScan, checked, part_digest
from brat.io.series import Series, left_out_in_words

if TYPE_CHECKING:
    from brat.io.dicom_header import Header
    from brat.io.workers import Account

_TOO_MANY_PLANES = (
    "The slices of this series lie in more directions than any scanner makes. Give the slices of one view by "
    "themselves."
)
_BEYOND = (
    "The slices of a series in this archive lie in more directions than any scanner makes, and what comes "
    "after them was not read. Give the slices of one view by themselves."
)
_NESTED = "This is an archive in an archive. Unpack the outer one, and give this one by itself."


@dataclass(frozen=True, eq=False)
class Item:
    """Something that can be opened: one scan, or the files of one series.

    Attributes:
        name: what to call it.
        files: one, or those of a series in order of position; of a NIfTI pair the header, then the picture.
        is_series: whether it has more than one slice.
        problem: why it cannot be opened, where that is known already.
        positions: of a series of files, where each of them lies, millimetres along the normal of its plane;
            None where it does not say.
        part: which of the slices on a picture it is; None where it is all of its files.
        copies: names of files that are left out, because they are the same images (SOP Instance UID).
        drop: what the files that were given together may still take; None where nobody counts.
    """

    name: str
    files: tuple[File, ...]
    is_series: bool = False
    problem: str = ""
    positions: tuple[float | None, ...] = ()
    part: Part | None = None
    copies: tuple[str, ...] = ()
    drop: Account | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Part:
    """One of several slices on a picture.

    Attributes:
        panel: where on the picture it is.
        number, count: which it is, from 1, of how many.
        left_out: how many further parts of the picture are not read, because they are faint or small.
    """

    panel: Panel
    number: int
    count: int
    left_out: int = 0


class SeveralPanels(SeveralScans):
    """One picture holds several slices, as a film sheet does.

    Attributes:
        items: one for each of them, row by row.
    """

    def __init__(self, items: Sequence[Item]):
        super().__init__(
            f"This picture holds {len(items)} slices beside each other, and none of them is chosen for you. "
            "Read each by itself: drop the picture on the Review page, which lists them, or cut them apart."
        )
        self.items = tuple(items)


class Entry(NamedTuple):
    """What one file is, before it is known which files belong together.

    Attributes:
        file: as it was given, or what was unpacked of it.
        problem: why it cannot be opened, where that is known already.
        header: of a DICOM file; None where it is damaged, or this is none.
        is_series: whether it has more than one slice.
        is_nifti_header: whether it is NIfTI, and so may be the header of a pair.
    """

    file: File
    problem: str = ""
    header: Header | None = None
    is_series: bool = False
    is_nifti_header: bool = False


_MAX_PLANES = 400
"""Directions in which the slices of one series may lie. A rotating projection has a hundred."""

_COMPARED = 64
"""Of one series, the planes with which a slice is compared that lies in none of them exactly."""


class _Stack(NamedTuple):
    """Files of one series that lie in parallel planes, and the names of those that are there already."""

    members: list[tuple[Header, File]]
    copies: list[str]


class _Planes:
    """The slices of one series, in stacks of parallel ones: a localiser's views share only its number."""

    def __init__(self) -> None:
        self.stacks: list[_Stack] = []
        self._by_plane: dict[tuple[float, ...], _Stack] = {}
        self._known: dict[int, set[tuple[object, ...]]] = {}

    @property
    def are_too_many(self) -> bool:
        return len(self.stacks) > _MAX_PLANES

    def add(self, header: Header, file: File) -> _Stack | None:
        """Put a slice to those that it is parallel to. Returns the stack, where this began a new one.

        Once there are too many, all of them are refused, and no slice is compared any more.
        """
        if self.are_too_many:
            return None
        plane = tuple(round(cosine, 2) for cosine in header.plane)
        stack = self._by_plane.get(plane)
        if stack is None or not header.is_parallel(stack.members[0][0]):
            near = self.stacks[:_COMPARED]
            stack = next((one for one in near if header.is_parallel(one.members[0][0])), None)
        new = stack is None
        if stack is None:
            stack = _Stack([], [])
            self.stacks.append(stack)
        self._by_plane.setdefault(plane, stack)
        # A slice that was given twice counts once; some files share what names a slice, and lie apart.
        known = self._known.setdefault(id(stack), set())
        place = (header.instance, header.position, header.location, header.number)
        if not header.instance or place not in known:
            stack.members.append((header, file))
            known.add(place)
        else:
            stack.copies.append(file.name)
        return stack if new else None


def group_into_series(files: Iterable[File]) -> list[Item]:
    """What the files hold, in the order in which they came; those of one series are one item.

    Everything is read in this process: `brat.io.door` does the same for files that are not trusted.

    Args:
        files: in memory or on disk. ZIP archives are unpacked into memory.
    """
    left = limits.MAX_UNPACKED

    def entries() -> Iterator[Entry]:
        nonlocal left
        for file in files:
            for entry in examine(file, left):
                if entry.file.source is not file.source and isinstance(entry.file.source, bytes):
                    left -= len(entry.file.source)
                yield entry

    return group(entries())


def group(entries: Iterable[Entry]) -> list[Item]:
    """The items that files make up, of what is known of each.

    Files of several frames, or of no series, that name one instance are compared. No other file is read.
    """
    items: list[Item | _Stack] = []
    series: dict[tuple[object, ...], _Planes] = {}
    alone: dict[tuple[object, ...], int] = {}
    for entry in _paired(entries):
        if isinstance(entry, Item):
            items.append(entry)
        elif entry.header is None or entry.problem:
            items.append(Item(entry.file.name, (entry.file,), entry.is_series, entry.problem))
        elif not entry.header.is_slice:
            header = entry.header
            image = (header.series, header.frames, header.patient, header.instance)
            known = alone.setdefault(image, len(items)) if header.instance else len(items)
            again = items[known] if known < len(items) else None
            if isinstance(again, Item) and _is_copy(entry.file, again.files[0]):
                items[known] = replace(again, copies=(*again.copies, entry.file.name))
            else:
                items.append(Item(entry.file.name, (entry.file,), entry.is_series))
        else:
            if stack := series.setdefault(_series_of(entry.header), _Planes()).add(entry.header, entry.file):
                items.append(stack)
    endless = {id(stack) for planes in series.values() if planes.are_too_many for stack in planes.stacks[1:]}
    first = {id(planes.stacks[0]) for planes in series.values() if planes.are_too_many}
    grouped = []
    for item in items:
        if isinstance(item, Item):
            grouped.append(item)
        elif id(item) in first:
            _, file = item.members[0]
            grouped.append(Item(file.name, (file,), problem=_TOO_MANY_PLANES))
        elif id(item) not in endless:
            grouped.append(replace(_item(item.members), copies=tuple(item.copies)))
    return _distinct(grouped)


def _is_copy(file: File, other: File) -> bool:
    """Whether two files have the same content: some name one instance, and show different things."""
    try:
        return file.read() == other.read()
    except UnreadableScan:
        # Opening it says why.
        return False


def examine(file: File, left: int) -> Iterator[Entry]:
    """What a file is; of an archive, what each file in it is.

    NIfTI stays in gzip. So does a file on disk: it is unpacked whenever it is read, and takes no memory.

    Args:
        left: bytes that may still be unpacked.
    """
    read = 0
    series: defaultdict[tuple[object, ...], _Planes] = defaultdict(_Planes)
    try:
        head = file.read(sniff.HEAD)
        if not sniff.is_zip(head):
            yield _entry(file, head, left)
            return
        for member in archives.members(file, left):
            left -= len(member.source) if isinstance(member.source, bytes) else 0
            entry = _entry(member, member.read(sniff.HEAD), left)
            if entry.file is not member and isinstance(entry.file.source, bytes):
                left -= len(entry.file.source)
            read += not entry.problem
            yield entry
            if entry.header and entry.header.is_slice:
                planes = series[_series_of(entry.header)]
                planes.add(entry.header, entry.file)
                if planes.are_too_many:
                    yield Entry(file, _BEYOND)
                    return
    except UnreadableScan as error:
        yield Entry(file, broken_off(error, read))


def _series_of(header: Header) -> tuple[object, ...]:
    """Two patients are two items, whatever is said of their series."""
    return *header.series, *header.patient


def broken_off(error: UnreadableScan, read: int) -> str:
    """Why an archive was read no further, and that what was read looks like all of it.

    Args:
        read: number of files that came out of it before.
    """
    if not read:
        return str(error)
    files = "file" if read == 1 else f"{read:,} files"
    return f"{error} Only its first {files} can be opened: a series among them may lack slices."


def _entry(file: File, head: bytes, left: int) -> Entry:
    try:
        if sniff.is_gzip(head) and not sniff.is_nifti(head):
            if isinstance(file.source, Path):
                file = file._replace(is_packed=True)
            else:
                file = archives.out_of_gzip(file, left)
            head = file.read(sniff.HEAD)
        if sniff.is_zip(head):
            return Entry(file, _NESTED)
        is_nifti = sniff.is_nifti(head)
        if not sniff.is_dicom(head):
            problem = "" if is_nifti else _no_scan(head, file.name)
            return Entry(file, problem, None, is_nifti or _has_pages(file, head), is_nifti)
        header = _header(file)
        if header and not all(header.series[1:]):
            _refuse_pictureless(file)
    except UnreadableScan as error:
        return Entry(file, str(error))
    is_slice = header is not None and header.is_slice
    is_series = not is_slice and (
        (header is not None and header.frames > 1) or is_nifti or _has_pages(file, head)
    )
    return Entry(file, header=header, is_series=is_series, is_nifti_header=is_nifti)


_SMALL = 100_000
"""Bytes of a report, a plan or an index."""

_PICTURES = tuple(bytes.fromhex(tag) for tag in ("e07f1000", "7fe00010", "e07f0800", "e07f0900"))
"""Tags of elements that hold a picture: that of numbers in both orders of bytes."""


def _refuse_pictureless(file: File) -> None:
    """Raises `UnreadableScan` where a small DICOM file in memory, without rows or columns, has no picture.

    An archive may hold thousands of them, each of which would be asked for by itself.
    """
    data = file.source
    if isinstance(data, bytes) and len(data) <= _SMALL and not any(tag in data for tag in _PICTURES):
        raise UnreadableScan(NO_PICTURE)


def _no_scan(head: bytes, name: str) -> str:
    """What is said of a file that is no scan by its first bytes; empty where it must be opened to know.

    An archive may hold thousands of them, each of which would be asked for by itself.
    """
    # Of what these names promise, more can be said than that it is no scan.
    if (
        not head
        or sniff.raster_format(head)
        or sniff.of_several(head)
        or sniff.suffix(name) in (".img", ".zip")
    ):
        return ""
    return _other_volume(head, name) or sniff.refusal(head)


def _other_volume(head: bytes, name: str) -> str:
    volume = sniff.other_volume(head, name)
    return volume and (
        f"This is {volume}, which is not read here. Convert it to NIfTI (.nii) with the program that "
        "it comes from, or give the DICOM files that it was made of."
    )


def load(item: Item) -> Scan | Series:
    """Open an item; what is opened says which files were left out.

    Raises:
        SeveralPanels: it is one picture with several slices.
        UnreadableScan: it cannot be read.
    """
    return with_copies(_load(item), item.copies)


def with_copies(opened: Scan | Series, copies: tuple[str, ...]) -> Scan | Series:
    """What is opened, with the names of files that are copies of it added to what it says was left out."""
    if not copies:
        return opened
    if isinstance(opened, Scan):
        return replace(opened, remarks=left_out_in_words(len(copies)) + opened.remarks)
    left_out = copies + opened.left_out
    said = left_out_in_words(len(opened.left_out))
    remarks = left_out_in_words(len(left_out)) + opened.remarks[len(said) :]
    return replace(opened, left_out=left_out, remarks=remarks)


def _load(item: Item) -> Scan | Series:
    if item.problem:
        raise UnreadableScan(item.problem)
    if item.positions:
        from brat.io.dicom_series import series_of_files

        return series_of_files(item.name, item.files, item.positions)
    if len(item.files) > 1:
        return _of_pair(item)
    data = item.files[0].read()
    if sniff.is_dicom(data):
        if not item.is_series:
            return _only_slice(item, read_scan(data, item.files[0].name))
        from brat.io.dicom_series import series_of_frames

        return series_of_frames(item.name, item.files[0])
    if sniff.is_nifti(data):
        # nibabel is slow to import, and pictures do not need it.
        from brat.io.nifti import read_nifti

        return read_nifti(data, item.name, hashlib.sha256(data).hexdigest())
    if item.is_series:
        from brat.io.pages import series_of_pages

        return series_of_pages(item.name, data)
    try:
        scan = read_scan(data, item.files[0].name)
    except UnreadableScan as error:
        if problem := _other_volume(data, item.name):
            raise UnreadableScan(problem) from error
        if sniff.suffix(item.name) == ".img":
            raise UnreadableScan(
                "This may be the picture of a volume, without its NIfTI header. Give its .hdr file together "
                "with it, or convert both to a single .nii file."
            ) from error
        raise
    return _only_slice(item, scan)


def _only_slice(item: Item, scan: Scan) -> Scan:
    """The scan, if it is one slice; that part of it which the item names.

    Raises:
        SeveralPanels: it holds several, and the item names none.
        UnreadableScan: it holds several that cannot be told apart.
    """
    if item.part:
        panel = item.part.panel
        part = replace(
            scan,
            gray=np.ascontiguousarray(panel.cut(scan.gray)),
            pixels=np.ascontiguousarray(panel.cut(scan.pixels)),
            name=item.name,
            digest=part_digest(scan.digest, f"panel {panel.left} {panel.top} {panel.right} {panel.bottom}"),
            # How the page lies is not how each slice on it does.
            edges=None,
            remarks=_of_page(item.part) + scan.remarks,
        )
        within = find_panels(part.gray)
        # An inset was looked for on the page.
        if within.panels or within.is_mixed:
            raise UnreadableScan(
                "This part of the page seems to hold several slices that cannot be told apart. Export each "
                "as a picture of its own."
            )
        return checked(part)
    page = find_panels(scan.gray)
    if not page.panels:
        refuse_page(scan.gray, page)
        return replace(scan, name=item.name)
    count = len(page.panels)
    raise SeveralPanels(
        [
            replace(
                item,
                name=f"{item.name}, panel {number} of {count}",
                part=Part(panel, number, count, page.left_out),
            )
            for number, panel in enumerate(page.panels, 1)
        ]
    )


def _of_page(part: Part) -> tuple[str, ...]:
    if not part.left_out:
        return ()
    parts = "1 further part" if part.left_out == 1 else f"{part.left_out} further parts"
    return (f"On this page {parts} with little in {'it' if part.left_out == 1 else 'them'} was not read.",)


def only_scan(opened: Sequence[Scan | Series]) -> Scan:
    """What was opened, where it is a single slice.

    Raises:
        SeveralScans: it is none, or there are several.
    """
    if len(opened) == 1 and isinstance(opened[0], Scan):
        return opened[0]
    raise SeveralScans("This file holds several slices, and one is wanted here. Export it by itself.")


def _of_pair(item: Item) -> Series:
    from brat.io.nifti import joined, read_nifti

    header, picture = item.files
    data = joined(header.read(), picture.read())
    return read_nifti(data, item.name, hashlib.sha256(data).hexdigest())


def _has_pages(file: File, head: bytes) -> bool:
    """Whether a file is a picture of several pages or frames."""
    format = sniff.raster_format(head) if sniff.may_have_pages(head) else ""
    return bool(format) and count_pages(file.read(), format) > 1


def _header(file: File) -> Header | None:
    from brat.io.dicom_header import read_header

    return read_header(file)


def _paired(entries: Iterable[Entry]) -> Iterator[Entry | Item]:
    """The entries, but one item for each header of a NIfTI pair (.hdr) that came with its picture (.img)."""
    entries = list(entries)
    headers: dict[str, Entry] = {}
    pictures: dict[str, Entry] = {}
    for entry in entries:
        if entry.problem:
            continue
        suffix = sniff.suffix(entry.file.name)
        if suffix == ".img":
            pictures[sniff.stem(entry.file.name)] = entry
        elif suffix == ".hdr" and entry.is_nifti_header:
            headers[sniff.stem(entry.file.name)] = entry
    for entry in entries:
        stem = sniff.stem(entry.file.name)
        header, picture = headers.get(stem), pictures.get(stem)
        if entry.problem or header is None or picture is None:
            yield entry
        elif entry is header:
            yield Item(entry.file.name, (header.file, picture.file), is_series=True)
        elif entry is not picture:
            yield entry


def _item(members: Sequence[tuple[Header, File]]) -> Item:
    members = sorted(members, key=_order(members))
    files = tuple(file for _, file in members)
    if len(files) == 1:
        return Item(files[0].name, files)
    folders = {str(PurePosixPath(file.name).parent) for file in files}
    folder = folders.pop() if len(folders) == 1 else "."
    name = folder if folder != "." else f"{files[0].name} and {len(files) - 1} more"
    positions = tuple(header.position for header, _ in members)
    return Item(name, files, is_series=True, positions=positions)


def _order(members: Sequence[tuple[Header, File]]) -> Callable[[tuple[Header, File]], tuple]:
    """By the position that all of them give; those of one place by their number, and then by name."""
    headers = [header for header, _ in members]
    if all(header.position is not None for header in headers):
        attribute = "position"
    elif all(header.location is not None for header in headers):
        attribute = "location"
    else:
        attribute = "number"

    def key(member: tuple[Header, File]) -> tuple:
        header, file = member
        values = (getattr(header, attribute), header.number)
        # To a micrometre, or a rounding error would come before the number.
        return (*(math.inf if value is None else round(value, 3) for value in values), _natural(file.name))

    return key


def _natural(name: str) -> list[tuple[int, str]]:
    """Such that IM9 stands before IM10."""
    parts = re.split(r"([0-9]{1,18})", name)
    return [(int(part), part) if place % 2 else (0, part) for place, part in enumerate(parts)]


def _distinct(items: Sequence[Item]) -> list[Item]:
    """The items, with a number added to the names of several series that lie in one folder."""
    times = Counter(item.name for item in items if item.positions)
    numbers: Counter[str] = Counter()
    renamed = []
    for item in items:
        if item.positions and times[item.name] > 1:
            numbers[item.name] += 1
            item = replace(item, name=f"{item.name}, series {numbers[item.name]}")
        renamed.append(item)
    return renamed
