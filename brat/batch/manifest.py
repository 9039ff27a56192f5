"""The plan of a batch: a Parquet manifest that says what is read, in which shard, and why the rest is not.

Headers are read and no pixels, by the processes of `brat.io.door`.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydicom.dataset import Dataset

from brat import log
from brat.io.door import describe
from brat.io.files import File
from brat.io.intake import Item
from brat.io.names import clean_name
from brat.io.scan import UnreadableScan
from brat.pacs.archive import LIMIT, Archive, PacsError, Query
from brat.pacs.choice import Choice, choices_of, choose
from brat.predict import find_files, sort_files

MANIFEST = "manifest.parquet"

RESULTS = "shards"
"""The folder of the shards that are done, beside it."""

SHARD_SIZE = 1000
"""Slices of a shard, about: what a killed process has to read again."""

_BYTES_OF_SLICE = 300_000
"""By which the slices of one file are estimated."""

_ROWS_OF_GROUP = 20_000

PATIENCE = 60.0
"""Seconds of wall time that a file may take until its first answer: storage may be slow, the computer busy.
Of processor time it may take as much as anywhere, see `brat.io.workers.SECONDS`."""

KINDS = ("slice", "volume", "stack", "pair", "archive", "remote")
"""A file of one slice; a file of several; files of one DICOM series; header and picture of a NIfTI volume; a
ZIP archive; a series that lies in a DICOM archive."""

SCHEMA = pa.schema(
    [
        pa.field("unit", pa.int64(), nullable=False),
        pa.field("place", pa.int32(), nullable=False),
        pa.field("shard", pa.int32()),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("bytes", pa.int64()),
        pa.field("packed", pa.bool_(), nullable=False),
        pa.field("position", pa.float64()),
        pa.field("archive", pa.string(), nullable=False),
        pa.field("study", pa.string(), nullable=False),
        pa.field("series", pa.string(), nullable=False),
        pa.field("sequence", pa.string(), nullable=False),
        pa.field("every", pa.bool_(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)
"""A row for each file, or for each series of a DICOM archive.

unit: what is read together, numbered from 0; place: of a file in it, from 0. shard: null where it is not
read. path: absolute; empty in a DICOM archive. bytes: of the file. packed: by gzip. position: millimetres
along the normal of the slice. archive: section of the settings. sequence: of `brat.pacs.choice`, by the
header. every: whether what turns up in it is read whatever its header says. reason: why it is read, or not.
"""


@dataclass(frozen=True)
class Planned:
    """A unit of a plan: what its rows share, and its files.

    Attributes:
        size: slices, estimated; 0 where it is not read.
        files: path, bytes, whether packed, and position of each.
    """

    kind: str
    size: int
    files: tuple[tuple[str, int | None, bool, float | None], ...]
    sequence: str = ""
    reason: str = ""
    archive: str = ""
    study: str = ""
    series: str = ""


def plan(folder: Path, units: Iterable[Planned], every: bool = False, shard_size: int = SHARD_SIZE) -> int:
    """Write the manifest of a batch.

    Args:
        folder: of the batch; it is made.
        units: of `planned_files` or `planned_series`.
        every: see `SCHEMA`.
        shard_size: slices of a shard, about; a series is never split.

    Returns:
        The number of shards.

    Raises:
        FileExistsError: the folder has a manifest already, or shards that were read by another one.
        ValueError: there is nothing to read.
    """
    target = folder / MANIFEST
    if target.exists():
        raise FileExistsError(f"{folder} has a plan already. Name another folder.")
    # A shard is done when its file is there: those of another plan would be taken for this one's.
    if (folder / RESULTS).exists():
        raise FileExistsError(f"{folder} has results of an earlier plan. Name another folder.")
    rows: list[dict[str, Any]] = []
    shard, filled = 0, 0
    for number, unit in enumerate(units):
        if unit.size and filled and filled + unit.size > shard_size:
            shard, filled = shard + 1, 0
        filled += unit.size
        shared = {
            "unit": number,
            "shard": shard if unit.size else None,
            "kind": unit.kind,
            "archive": unit.archive,
            "study": unit.study,
            "series": unit.series,
            "sequence": unit.sequence,
            "every": every,
            "reason": unit.reason,
        }
        for place, (path, size, packed, position) in enumerate(unit.files):
            file = {"place": place, "path": path, "bytes": size, "packed": packed, "position": position}
            rows.append(shared | file)
    shards = max((row["shard"] + 1 for row in rows if row["shard"] is not None), default=0)
    if not shards:
        said = Counter(row["reason"] for row in rows).most_common(3)
        reasons = "".join(f"\n  {reason}: {count:,}" for reason, count in said)
        raise ValueError(f"By their headers there is nothing to read. --all reads all of it.{reasons}")
    table = pa.Table.from_pylist(rows, schema=SCHEMA.with_metadata({"brat": json.dumps({"shards": shards})}))
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(table, target, row_group_size=_ROWS_OF_GROUP)
    return shards


def write_whole(table: pa.Table, target: Path, **options: Any) -> None:
    """Write a Parquet file such that it is there as a whole or not at all, whatever stops us."""
    part = target.with_name(f".{target.name}.{os.uname().nodename}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        with part.open("wb") as stream:
            pq.write_table(table, stream, compression="zstd", **options)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def shards_of(folder: Path) -> int:
    """How many shards a batch has.

    Raises:
        FileNotFoundError: there is no manifest.
        ValueError: it is none.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"There is no plan in {folder}. `brat batch plan` makes one.")
    try:
        return int(json.loads(pq.read_schema(path).metadata[b"brat"])["shards"])
    except (pa.ArrowInvalid, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no manifest of a batch.") from error


def rows_of(folder: Path, shard: int) -> pa.Table:
    """The rows of a shard, in the order in which they are read."""
    return pq.read_table(folder / MANIFEST, filters=pc.field("shard") == shard)


def reasons(folder: Path) -> tuple[int, Counter[str]]:
    """How many units of a batch are read, and why the others are not."""
    table = pq.read_table(folder / MANIFEST, columns=["unit", "place", "shard", "reason"])
    first = table.filter(pc.field("place") == 0)
    left = first.filter(pc.field("shard").is_null())
    return first.num_rows - left.num_rows, Counter(left["reason"].to_pylist())


def planned_files(paths: Iterable[str], every: bool = False) -> Iterator[Planned]:
    """What files, folders and DICOMDIR indices hold, chosen by header.

    Pictures say nothing in a header and are read. What is in a ZIP archive is chosen when it is read.

    Args:
        every: read all MR and all pictures, whatever their header says of the sequence.

    Raises:
        ValueError: there are no scans in one of the folders.
    """
    files, skipped = find_files(paths)
    for entry in sort_files(files, PATIENCE):
        if isinstance(entry, File):
            yield _of_files("archive", [entry], Choice(True, "", "what is in it is chosen when it is read"))
        else:
            yield _of_files(_kind(entry), entry.files, _choice(entry, every), entry.positions)
            copies = [(name, None, False, None) for name in entry.copies]
            if copies:
                yield Planned("slice", 0, tuple(copies), reason="a copy of another that is here already")
    for path, reason in skipped:
        yield Planned("slice", 0, ((clean_name(path), None, False, None),), reason=reason)


def _kind(item: Item) -> str:
    if item.positions:
        return "stack"
    if len(item.files) > 1:
        return "pair"
    return "volume" if item.is_series else "slice"


def _choice(item: Item, every: bool) -> Choice:
    if item.problem:
        # Reading it says so in the results, and may find that the computer was only too busy.
        return Choice(True, "", item.problem)
    try:
        said = describe(item.files[len(item.files) // 2], PATIENCE)
    except UnreadableScan as error:
        return Choice(True, "", str(error))
    return chosen(said, every)


def chosen(said: dict[str, list[str]], every: bool) -> Choice:
    """Whether an item is read, by what `brat.io.door.describe` says of a file of it."""
    if not said:
        return Choice(True, "", "it has no header that says what it is")
    header = Dataset()
    for keyword, values in said.items():
        if values:
            setattr(header, keyword, values[0] if len(values) == 1 else values)
    choice = choose(header)
    return Choice(True, choice.sequence, "all are read") if every and not choice.read else choice


def _of_files(
    kind: str, files: Iterable[File], choice: Choice, positions: tuple[float | None, ...] = ()
) -> Planned:
    described: list[tuple[str, int | None, bool, float | None]] = []
    for place, file in enumerate(files):
        position = positions[place] if positions else None
        if not isinstance(file.source, Path):
            choice = Choice(False, "", "a pipe gives its content only once")
            described.append((file.name, None, False, position))
            continue
        path = str(file.source.absolute())
        if not _is_utf8(path):
            choice, path = Choice(False, "", "its name is no UTF-8: rename it"), clean_name(path)
        size = file.source.stat().st_size if file.source.is_file() else None
        described.append((path, size, file.is_packed, position))
    size = max(len(described), sum(size or 0 for _, size, _, _ in described) // _BYTES_OF_SLICE)
    return Planned(kind, size if choice.read else 0, tuple(described), choice.sequence, choice.reason)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def planned_series(archive: Archive, studies: Iterable[str], every: bool = False) -> Iterator[Planned]:
    """The series of studies in a DICOM archive, chosen by the header of one instance of each.

    Raises:
        brat.pacs.archive.PacsError: the archive does not answer.
    """
    for study in dict.fromkeys(studies):
        for entry, choice in choices_of(archive, study):
            is_read = choice.read or (every and entry.modality == "MR" and not entry.problem)
            yield Planned(
                "remote",
                (entry.count or 1) if is_read else 0,
                (("", None, False, None),),
                choice.sequence,
                choice.reason,
                archive.name,
                study,
                entry.series,
            )


def studies_between(first: date, last: date, search: Callable[[Query], list[Any]]) -> Iterator[str]:
    """Study Instance UIDs of the MR studies of some days; a search that gives too many is halved.

    Args:
        first, last: days, both included.
        search: `Archive.studies`.

    Raises:
        ValueError: one day has as many studies as a search gives at most.
    """
    days = f"{first:%Y%m%d}-{last:%Y%m%d}" if last > first else f"{first:%Y%m%d}"
    found = search(Query(date=days, modality="MR"))
    if len(found) < LIMIT:
        for entry in found:
            if entry.problem:
                log.failure("archive", PacsError(entry.problem))
            else:
                yield entry.study
    elif first == last:
        raise ValueError(
            f"On {first:%Y-%m-%d} there are {LIMIT} MR studies or more, and a search gives no more. Have the "
            "archive list their UIDs, and name the list with --studies."
        )
    else:
        middle = first + (last - first) // 2
        yield from studies_between(first, middle, search)
        yield from studies_between(middle + timedelta(days=1), last, search)
