"""Folders, and what a DICOMDIR lists -> the files that may be scans, and why the others are skipped."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from brat.io import sniff
from brat.io.archives import MAX_FILES, is_hidden
from brat.io.door import listed
from brat.io.files import MAX_UNPACKED, File
from brat.io.intake import Item
from brat.io.names import clean_name
from brat.io.scan import UnreadableScan

NO_SCAN = "it is no scan by its name or its content"
"""The reason of a file that is not even tried."""

_NO_FOLDER = "There is no such folder among those that may be read here. Check the spelling."


class Skipped(NamedTuple):
    """A file or folder that is not read.

    Attributes:
        path: as it was given or found.
        reason: why, for people; no sentence of its own.
    """

    path: str
    reason: str


def files_at(path: str) -> Iterator[File | Skipped]:
    """What a path stands for: the file, the files that a DICOMDIR lists, or all scans in a folder.

    A path that leads nowhere is given on: reading the file says so.

    Raises:
        UnreadableScan: the path is empty. As a folder it would be the current one.
    """
    if not path:
        raise UnreadableScan("The path is empty. Name a file or a folder.")
    place = Path(path)
    if place.is_dir():
        yield from scans_in(place)
    elif place.is_file() and place.name.upper() == "DICOMDIR":
        yield from _listed(place)
    elif place.exists() and not place.is_file():
        # A pipe gives its bytes only once.
        with place.open("rb") as stream:
            yield File(path, stream.read(MAX_UNPACKED + 1))
    else:
        yield File(path, place)


def scans_in(folder: Path, root: Path | None = None) -> Iterator[File | Skipped]:
    """The scans below a folder, known by their names or their contents, in order of their paths.

    Args:
        folder: it is searched with `walk`.
        root: a link to a file is followed only where it leads below this folder; `folder` by default.

    Yields:
        Each scan, named by its path, and each file that is skipped. Of a DICOMDIR, the files that it lists
        and that are missing.
    """
    within = (root or folder).resolve()
    for path in walk(folder):
        if isinstance(path, Skipped):
            yield path
            continue
        name = str(path)
        if path.is_symlink() and not path.resolve().is_relative_to(within):
            yield Skipped(name, "it is a link out of the folder")
        elif not path.is_file():
            # A pipe would be waited for without end.
            yield Skipped(name, "it is no file")
        elif path.name.upper() == "DICOMDIR":
            yield from (entry for entry in _listed(path) if isinstance(entry, Skipped))
        else:
            try:
                # What a link leads to, so that a link that is turned round afterwards is not followed.
                place = path.resolve() if path.is_symlink() else path
                status = place.lstat()
            except OSError as error:
                yield Skipped(name, f"it could not be opened ({error.strerror})")
                continue
            yield _judged(File(name, place, identity=(status.st_dev, status.st_ino)), name)


def scans_among(
    files: Sequence[File], listed: Callable[[File], list[tuple[str, ...]]]
) -> tuple[list[File], list[Skipped]]:
    """Of the files of a folder, named from it on, as a browser gives them: the scans, and what is skipped.

    As of `scans_in`: hidden files are passed over, and of a DICOMDIR counts what is missing.

    Args:
        listed: reads a DICOMDIR, as `brat.io.door.listed` does.
    """
    scans: list[File] = []
    skipped: list[Skipped] = []
    given = {file.name.lower() for file in files}
    for file in files:
        path = PurePosixPath(file.name)
        if path.name.upper() == "DICOMDIR":
            skipped += _missing(file, given, listed)
        elif not any(map(is_hidden, path.parts)):
            entry = _judged(file, file.name)
            if isinstance(entry, Skipped):
                skipped.append(entry)
            else:
                scans.append(entry)
    return scans, skipped


def _judged(file: File, path: str) -> File | Skipped:
    """The file, if it may be a scan by its name or its content. Args: path: as it was found."""
    try:
        head = file.read(sniff.HEAD)
    except UnreadableScan as error:
        return Skipped(path, str(error))
    if sniff.may_be_scan(head, path):
        return file
    content = sniff.unpacked_head(head) if sniff.is_gzip(head) else head
    known = sniff.not_read(content) or sniff.other_volume(content, path)
    return Skipped(path, f"it is {known}, which is not read here" if known else NO_SCAN)


def _missing(
    index: File, given: Collection[str], listed: Callable[[File], list[tuple[str, ...]]]
) -> Iterator[Skipped]:
    """What a DICOMDIR lists and is not there. Args: given: names in lower case."""
    try:
        entries = listed(index)
    except UnreadableScan as error:
        yield Skipped(index.name, str(error))
        return
    if not entries:
        yield Skipped(index.name, "it lists no files")
    for parts in entries:
        named = PurePosixPath(index.name).parent.joinpath(*parts)
        if str(named).lower() not in given:
            yield Skipped(clean_name(str(named)), "DICOMDIR lists it, but it is not there")


def scans_within(folder: str, root: str | Path) -> tuple[list[File], list[Skipped]]:
    """The scans in a folder and below it, and what is skipped there, named from the folder on.

    Args:
        folder: a path as typed, absolute or from the root.
        root: nothing outside it is read, nor said to exist.

    Raises:
        UnreadableScan: there is no such folder within the root, or too much in it, or nothing.
    """
    try:
        within = Path(root).expanduser().resolve()
        top = (within / Path(folder.strip()).expanduser()).resolve()
        if not (top.is_relative_to(within) and top.is_dir()):
            raise UnreadableScan(_NO_FOLDER)
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, UnreadableScan):
            raise
        raise UnreadableScan(_NO_FOLDER) from error
    files: list[File] = []
    skipped: list[Skipped] = []
    for entry in scans_in(top, within):
        if isinstance(entry, Skipped):
            skipped.append(Skipped(clean_name(_from(top, Path(entry.path))), entry.reason))
            continue
        if len(files) == MAX_FILES:
            raise UnreadableScan(f"The folder holds more than {MAX_FILES:,} scans. Choose a part of it.")
        assert isinstance(entry.source, Path)
        # Named by the place where it was found, which may be a link.
        files.append(entry._replace(name=clean_name(_from(top, Path(entry.name)))))
    if not files:
        raise UnreadableScan("There is no scan in this folder, nor below it.")
    return files, skipped


def _from(top: Path, path: Path) -> str:
    return path.relative_to(top.parent).as_posix() if path.is_relative_to(top.parent) else path.name


def walk(folder: Path) -> Iterator[Path | Skipped]:
    """All files below a folder, and pipes and the like, in order of their paths.

    Hidden files are passed over, with those that macOS and Windows make for themselves. Links to folders are
    not followed: they may lead in a circle. These, and folders that cannot be opened, come as `Skipped`.
    """
    try:
        with os.scandir(folder) as entries:
            inside = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        yield Skipped(str(folder), f"the folder could not be opened ({error.strerror})")
        return
    for entry in inside:
        path = folder / entry.name
        if is_hidden(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from walk(path)
        elif entry.is_symlink() and entry.is_dir():
            yield Skipped(str(path), "it is a link to a folder")
        else:
            yield path


def _listed(path: Path) -> Iterator[File | Skipped]:
    folder = path.parent
    try:
        entries = listed(File(str(path), path))
    except UnreadableScan as error:
        yield Skipped(str(path), str(error))
        return
    if not entries:
        yield Skipped(str(path), "it lists no files")
    for parts in entries:
        named = folder.joinpath(*parts)
        # Discs are often copied, or mounted, with names in lower case.
        places = (named, folder.joinpath(*map(str.lower, parts)))
        inside = [place for place in places if place.resolve().is_relative_to(folder.resolve())]
        present = [place for place in inside if place.is_file()]
        if present:
            yield File(str(present[0]), present[0])
        elif inside:
            yield Skipped(str(named), f"{path.name} lists it, but it is not there")
        else:
            yield Skipped(str(named), f"{path.name} lists it, but it is outside of its folder")


def skipped_items(skipped: Iterable[Skipped]) -> list[Item]:
    """Items for what was skipped in a folder, so that a list says why; the files that are no scans in one."""
    no_scans, items = [], []
    for path, reason in skipped:
        if reason == NO_SCAN:
            no_scans.append(path)
        else:
            items.append(Item(path, (), problem=f"{reason[0].upper()}{reason[1:]}."))
    if no_scans:
        others = f" and {len(no_scans) - 1:,} more" if len(no_scans) > 1 else ""
        items.append(Item(f"{no_scans[0]}{others}", (), problem="By name and content this is no scan."))
    return items
