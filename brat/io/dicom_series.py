"""DICOM -> a series: of the files of one stack, or of the frames of one file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace

from brat.io.dicom import Dicom, pixel_digest
from brat.io.evidence import refuse_other_modality
from brat.io.files import File
from brat.io.panels import refuse_page
from brat.io.read import decode_scan
from brat.io.scan import Scan, decoding
from brat.io.series import ACQUIRED, Series, Stack, first_readable, left_out_in_words, under_one_window

_UNORDERED = (
    "The frames of this file lie in planes that are not parallel, or do not all say where they lie. They are "
    "shown in the order in which they are stored."
)

_MIXED = (
    "The frames of this file are of different echoes, times, weightings or types, and are shown as one "
    "series."
)


def decode_slice(file: File) -> Scan:
    """A file of one slice; as `brat.io.read.decode_scan`, and a page of several is refused."""
    scan = decode_scan(file.read(), file.name)
    refuse_page(scan.gray)
    return scan


def _digest(file: File, pixels: bool) -> str:
    return pixel_digest(file.read()) if pixels else hashlib.sha256(file.read()).hexdigest()


def series_of_files(
    name: str,
    files: Sequence[File],
    positions: Sequence[float | None],
    *,
    decode: Callable[[File], Scan] = decode_slice,
    digest: Callable[[File, bool], str] = _digest,
) -> Series:
    """A series with a file for each slice.

    Args:
        name: what to call it.
        files: in order.
        positions: of each file, millimetres along the normal of its plane; None where it does not say.
        decode: reads a file of one slice, as `decode_slice` does.
        digest: SHA-256, hexadecimal, of a file; of its stored picture where the second argument is true.

    Raises:
        UnreadableScan: no slice of it can be read.
    """
    digests = [digest(file, False) for file in files]
    distinct = _without_copies(files, positions, digest)
    left_out = tuple(file.name for index, file in enumerate(files) if index not in distinct)
    files, positions = [files[index] for index in distinct], [positions[index] for index in distinct]
    volumes = _volumes(positions)

    def decoded(index: int) -> Scan:
        return decode(files[index])

    first = first_readable(decoded, len(files))
    shown, window = under_one_window(decoded, len(files), first)

    def cut(plane: str, volume: int) -> Stack:
        slices = volumes[volume]
        return Stack(
            len(slices),
            lambda number: shown(slices[number]),
            positions=_from_first([positions[index] for index in slices]),
            files=[files[index] for index in slices],
        )

    return Series(
        name=name,
        format=f"{first.format}, {_size(volumes, 'slices')}",
        modality=first.modality,
        digest=hashlib.sha256(" ".join(digests).encode()).hexdigest(),
        planes=(ACQUIRED,),
        volumes=len(volumes),
        window=window,
        presets=first.presets,
        cut=cut,
        left_out=left_out,
        remarks=left_out_in_words(len(left_out)) + first.remarks,
    )


def series_of_frames(name: str, source: File) -> Series:
    """A series with a frame of one file for each slice.

    Args:
        name: what to call it.
        source: the file.

    Raises:
        UnreadableScan: the file is damaged, is no MR, or no frame of it can be read.
    """
    data = source.read()
    digest = hashlib.sha256(data).hexdigest()
    with decoding("DICOM"):
        file = Dicom(data, digest)
        refuse_other_modality(file.modality)
        places = file.positions()
        kinds = file.acquisitions()
    order = list(range(file.frames))
    remarks: tuple[str, ...] = ()
    # Where all have one place, as in a film, frames stay as they are stored.
    if places and len(set(places)) > 1:
        order.sort(key=lambda frame: (round(places[frame], 3), kinds[frame]))
    elif not places and file.is_placed:
        remarks = (_UNORDERED,)
    positions = [places[frame] if places else None for frame in order]
    volumes = _volumes(positions)
    for volume in volumes:
        is_again = len({positions[index] for index in volume}) < len(volume)
        if is_again and len({kinds[order[index]] for index in volume}) > 1:
            remarks += (_MIXED,)

    def decode(index: int) -> Scan:
        with decoding("DICOM"):
            scan = file.scan(order[index])
        refuse_page(scan.gray)
        return scan

    first = first_readable(decode, file.frames)
    shown, window = under_one_window(decode, file.frames, first)

    def cut(plane: str, volume: int) -> Stack:
        frames = volumes[volume]
        prefix = f"{name}, volume {volume + 1}" if len(volumes) > 1 else name

        def named(number: int) -> Scan:
            return replace(shown(frames[number]), name=f"{prefix}, {number + 1} of {len(frames)}")

        return Stack(
            len(frames),
            named,
            positions=_from_first([positions[index] for index in frames]),
            files=[source] * len(frames),
            frames=[order[index] for index in frames],
        )

    return Series(
        name=name,
        format=f"{first.format}, {_size(volumes, 'frames')}",
        modality=file.modality,
        digest=digest,
        planes=(ACQUIRED,),
        volumes=len(volumes),
        window=window,
        presets=first.presets,
        cut=cut,
        remarks=remarks + first.remarks,
    )


def _without_copies(
    files: Sequence[File], positions: Sequence[float | None], digest: Callable[[File, bool], str]
) -> list[int]:
    """The numbers of the files without those that show the same pixels at the same place as another.

    Empty slices at the end of several volumes are the same too. So where every place has as many slices, and
    would not without the copies, they stay.
    """
    of_position: dict[float, list[int]] = {}
    for index, position in enumerate(positions):
        if position is not None:
            of_position.setdefault(round(position, 3), []).append(index)
    copies = set()
    for indices in of_position.values():
        seen: set[str] = set()
        for index in indices if len(indices) > 1 else ():
            pixels = digest(files[index], True)
            if pixels in seen:
                copies.add(index)
            seen.add(pixels)
    before = {len(indices) for indices in of_position.values()}
    after = {len([index for index in indices if index not in copies]) for indices in of_position.values()}
    if len(before) == 1 and len(after) > 1:
        return list(range(len(files)))
    return [index for index in range(len(files)) if index not in copies]


def _volumes(positions: Sequence[float | None]) -> list[Sequence[int]]:
    """Which slices, of those in order of position, make up each volume.

    What was acquired again in the same places, at another time or with another weighting, is a volume of its
    own. Where positions are not known, or not every one has as many slices, all of them are one volume.
    """
    of_position: dict[float, list[int]] = {}
    for index, position in enumerate(positions):
        if position is None:
            return [range(len(positions))]
        of_position.setdefault(round(position, 3), []).append(index)
    times = {len(slices) for slices in of_position.values()}
    if len(times) > 1 or len(of_position) == 1:
        return [range(len(positions))]
    return list(zip(*of_position.values(), strict=True))


def _size(volumes: Sequence[Sequence[int]], unit: str) -> str:
    return f"{len(volumes[0])} {unit}" + (f", {len(volumes)} volumes" if len(volumes) > 1 else "")


def _from_first(positions: Sequence[float | None]) -> list[float] | None:
    """Millimetres from the first slice; None where they are not known, or all of several are one."""
    known = [position for position in positions if position is not None]
    if len(known) < len(positions) or len(set(known)) == 1 < len(known):
        return None
    return [position - known[0] for position in known]
