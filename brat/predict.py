"""Files and folders -> a record for each slice, with what the model reads in it.

Files are opened when their turn comes, and only a few at a time: memory does not grow with their number.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from brat import log
from brat.io import sniff
from brat.io.door import group_into_series, load
from brat.io.files import File
from brat.io.folders import Skipped, files_at
from brat.io.intake import Item, SeveralPanels
from brat.io.names import clean_name
from brat.io.scan import Scan, UnreadableScan
from brat.io.series import Series
from brat.io.workers import Account, pool
from brat.model.calibration import DEFAULT_LEVEL
from brat.model.explain import overlay, why_unmarked
from brat.model.pool import Readers, in_order
from brat.model.reader import Reader, Reading
from brat.model.series_reading import NOTHING

Record = dict[str, Any]
"""Of one slice, ready for JSON: `path`; of a series also `series` and `slice`, from 1; where it holds several
volumes also `volume`, from 1, and `volumes`; of a picture with several slices also `panel`, from 1, and
`panels`; then what was read, or `error`. `model` is the SHA-256 of the model, `recalibrated` says for which
site and when, or is None. `remarks` are sentences on what was not read, or not shown as the file asks for;
`left_out`, of the first slice of a series, names the files that are copies."""


@dataclass(frozen=True)
class _Slice:
    """One slice, before it is decoded.

    Attributes:
        entry: the number of what it came from among all that there is to read, from 1.
        place: the part of its record that says where it came from.
        remarks: on what it came from.
        decode: reads it; raises `UnreadableScan` where it cannot be.
    """

    entry: int
    place: Record
    decode: Callable[[], Scan]
    remarks: tuple[str, ...] = ()


def find_files(paths: Iterable[str]) -> tuple[list[File], list[Skipped]]:
    """The files that paths stand for, each one once, and what is skipped.

    Args:
        paths: of files, folders and DICOMDIR indices.

    Raises:
        ValueError: there are no scans in one of the folders.
    """
    # By their paths: two names may look alike once they are cleaned.
    files: dict[Path | str, File] = {}
    skipped: list[Skipped] = []
    for path in paths:
        entries = list(files_at(path))
        scans = {
            entry.source.absolute() if isinstance(entry.source, Path) else path: entry
            for entry in entries
            if isinstance(entry, File)
        }
        passed_over = [entry for entry in entries if isinstance(entry, Skipped)]
        if not scans:
            reasons = "".join(f"\n  {clean_name(entry.path)}: {entry.reason}" for entry in passed_over[:10])
            raise ValueError(f"There are no scans in {clean_name(path)}.{reasons}")
        files |= scans
        skipped += passed_over
    times: Counter[str] = Counter()
    distinct = []
    for file in files.values():
        times[file.name] += 1
        again = times[file.name] > 1
        distinct.append(file._replace(name=f"{file.name} ({times[file.name]})") if again else file)
    return distinct, skipped


def sort_files(files: Sequence[File], seconds: float | None = None) -> list[Item | File]:
    """What there is to read, in the order of its first files: scans, series, and archives as they are.

    Args:
        seconds: of `brat.io.door.group_into_series`.
    """
    place = {file.name: number for number, file in enumerate(files)}
    archives = {file.name: file for file in files if _is_archive(file)}
    items = group_into_series((file for file in files if file.name not in archives), seconds)
    entries: list[Item | File] = [*archives.values(), *items]
    return sorted(entries, key=lambda entry: min(place[file.name] for file in _files(entry)))


def read_entries(
    entries: Sequence[Item | File], weights: str | Path, overlays: Path | None = None
) -> Iterator[tuple[int, Record]]:
    """Read every slice, several at once.

    Args:
        entries: of `sort_files`.
        weights: the folder of the model.
        overlays: a folder, to which the map of each slice is written as PNG.

    Yields:
        The number of the entry, from 1, and the record of a slice of it, in order.

    Raises:
        FileNotFoundError: there is no model in the folder.
    """
    # It starts while the model is loaded.
    pool.warm()
    readers = Readers(weights)

    def read(job: _Slice) -> list[tuple[int, Record]]:
        return [(job.entry, record) for record in _read(readers(), job, overlays)]

    for records in in_order(read, _slices(entries)):
        yield from records


def _is_archive(file: File) -> bool:
    try:
        return sniff.is_zip(file.read(4))
    except UnreadableScan:
        return False


def _files(entry: Item | File) -> tuple[File, ...]:
    return entry.files if isinstance(entry, Item) else (entry,)


def _slices(entries: Iterable[Item | File]) -> Iterator[_Slice]:
    # Archives are opened one after another, and what they take is counted together.
    drop = Account()
    for number, entry in enumerate(entries, 1):
        for item in group_into_series([entry], drop=drop) if isinstance(entry, File) else [entry]:
            yield from _slices_of(item, number)


def _slices_of(item: Item, entry: int) -> Iterator[_Slice]:
    """Of a volume the slices of its first plane; of several volumes those of the first."""
    place: Record
    if not item.is_series:
        place = {"path": item.name} | ({"left_out": list(item.copies)} if item.copies else {})
        yield _Slice(entry, place, partial(_load_scan, item))
        return
    try:
        series = load(item)
        assert isinstance(series, Series)
        stack = series.stack()
    except UnreadableScan as error:
        for name in [file.name for file in item.files] if item.positions else [item.name]:
            yield _Slice(entry, {"path": name}, partial(_refuse, str(error)))
        return
    for number in range(len(stack)):
        place = {"path": stack.files[number].name if stack.files else item.name}
        if len(stack) > 1:
            place |= {"series": item.name, "slice": number + 1}
        if series.volumes > 1:
            place |= {"volume": 1, "volumes": series.volumes}
        if series.left_out and not number:
            place |= {"left_out": list(series.left_out)}
        yield _Slice(entry, place, partial(stack.__getitem__, number), series.remarks)


def _load_scan(item: Item) -> Scan:
    scan = load(item)
    assert isinstance(scan, Scan)
    return scan


def _refuse(problem: str) -> Scan:
    raise UnreadableScan(problem)


def _read(reader: Reader, job: _Slice, overlays: Path | None) -> list[Record]:
    """One record; of a picture with several slices one for each."""
    begun = time.perf_counter()
    try:
        scan = job.decode()
    except SeveralPanels as page:
        return [record for item in page.items for record in _read(reader, _panel_of(item, job), overlays)]
    except UnreadableScan as error:
        log.refusal(error)
        return [{**job.place, "error": str(error)}]
    if scan.gray.min() == scan.gray.max():
        return [{**job.place, "error": NOTHING}]
    reading = reader.read(scan.gray)
    seconds = time.perf_counter() - begun
    if overlays:
        _write_overlay(overlays, job.place["path"], scan, reading)
    record = {
        "model": reader.classifier.digest,
        "recalibrated": str(reading.site) if reading.site else None,
        "calibrated": reading.is_calibrated,
        "sequence": scan.sequence or None,
        "remarks": list(dict.fromkeys(job.remarks + scan.remarks)),
        "label": reading.prediction.label,
        "probabilities": reading.prediction.by_class(),
        "prediction_set": list(reading.sets[DEFAULT_LEVEL]) if reading.sets else None,
        "in_distribution": reading.ood.in_distribution if reading.ood else None,
        "ood_score": round(reading.ood.score, 3) if reading.ood else None,
        "seconds": round(seconds, 4),
    }
    return [job.place | record]


def _panel_of(item: Item, job: _Slice) -> _Slice:
    assert item.part is not None
    place = job.place | {"panel": item.part.number, "panels": item.part.count}
    return _Slice(job.entry, place, partial(_load_scan, item))


def _write_overlay(folder: Path, path: str, scan: Scan, reading: Reading) -> None:
    prediction, ood = reading.prediction, reading.ood
    shown = "unmarked" if why_unmarked(prediction, ood) else prediction.label
    # The digest keeps apart scans of the same name from different folders.
    target = folder / f"{Path(path).stem[:60]}-{scan.digest[:8]}-{shown}.png"
    Image.fromarray(overlay(scan.gray, prediction, ood, reading.geometry)).save(target)
