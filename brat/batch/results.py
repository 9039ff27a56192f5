"""The results of a batch: a file for each shard that is done, and all of them in one."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from brat.batch.manifest import MANIFEST, RESULTS, reasons, rows_of, shards_of, write_whole
from brat.batch.shard import SCHEMA, ReadingProcess, read_shard
from brat.pacs.archive import Archive

_MODEL, _PLAN = b"reads_with", b"plan"
"""What a result says of itself: the model and recalibration, and the SHA-256 of the manifest."""


def result_file(folder: Path, shard: int) -> Path:
    """Where the readings of a shard are, once it is done."""
    return folder / RESULTS / f"{shard:06}.parquet"


def pending(folder: Path, reads_with: str, part: tuple[int, int] = (1, 1)) -> list[int]:
    """The shards that are not done.

    Args:
        reads_with: of the `ReadingProcess` that is to read them.
        part: K and N, from 1: of every N shards the K-th.

    Raises:
        FileNotFoundError, ValueError: as `brat.batch.manifest.shards_of`; or another model has read some, or
            by another plan; or a result is damaged.
    """
    number, of = part
    done = {shard for shard in range(shards_of(folder)) if result_file(folder, shard).exists()}
    _check_plan(folder, done)
    if done and _said(folder, min(done))[_MODEL].decode() != reads_with:
        raise ValueError(
            f"Another model, or the same with another recalibration, has read a part of {folder}. Plan a "
            "batch of its own for this one."
        )
    return [shard for shard in range(number - 1, shards_of(folder), of) if shard not in done]


def _said(folder: Path, shard: int) -> dict[bytes, bytes]:
    """What a result says of itself.

    Raises:
        ValueError: it is damaged.
    """
    file = result_file(folder, shard)
    try:
        said = pq.read_schema(file).metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise ValueError(_damaged(file)) from error
    if _MODEL not in said:
        raise ValueError(_damaged(file))
    return said


def _damaged(file: Path) -> str:
    return f"{file} is damaged. Delete it: `brat batch run` then reads its shard again."


def _plan_of(folder: Path) -> bytes:
    with (folder / MANIFEST).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest().encode()


def _check_plan(folder: Path, done: Iterable[int]) -> None:
    """Raises: ValueError: a result is of another manifest, which gave its shard other files."""
    plan = _plan_of(folder)
    # A batch that was begun before results said this goes on.
    if any(_said(folder, shard).get(_PLAN, plan) != plan for shard in done):
        raise ValueError(
            f"{folder / MANIFEST} was exchanged after a part of it was read. Put the first one back, or plan "
            "a batch in another folder."
        )


def do_shard(
    folder: Path, shard: int, process: ReadingProcess, archive: Callable[[str], Archive] | None = None
) -> int:
    """Read a shard, and put its file into place; nothing where another process has done so.

    Returns:
        The number of rows.

    Raises:
        brat.pacs.archive.PacsError, RuntimeError: as `brat.batch.shard.read_shard`. The shard is not done.
    """
    target = result_file(folder, shard)
    if target.exists():
        return 0
    plan = _plan_of(folder)
    table = read_shard(rows_of(folder, shard), process, archive)
    target.parent.mkdir(exist_ok=True)
    # Another driver may have been faster, and its result may be in use.
    if target.exists():
        return 0
    write_whole(table.replace_schema_metadata({_MODEL: process.reads_with, _PLAN: plan}), target)
    return table.num_rows


class Status(NamedTuple):
    """How far a batch is.

    Attributes:
        shards, done: in all, and those that are read.
        rows: of the shards that are done.
        units: that are read, in all shards.
        left_out: why other units are not -> how many.
    """

    shards: int
    done: int
    rows: int
    units: int
    left_out: Counter[str]


def status(folder: Path) -> Status:
    """How far a batch is; raises as `merge`, but for shards that are missing."""
    shards = shards_of(folder)
    done = [shard for shard in range(shards) if result_file(folder, shard).exists()]
    _check_plan(folder, done)
    rows = sum(pq.read_metadata(result_file(folder, shard)).num_rows for shard in done)
    units, left_out = reasons(folder)
    return Status(shards, len(done), rows, units, left_out)


def merge(folder: Path, out: Path) -> tuple[int, int]:
    """Write the results of all shards into one Parquet file, in the order of the manifest.

    Returns:
        The number of rows, and of those with an error.

    Raises:
        FileNotFoundError, ValueError: as `brat.batch.manifest.shards_of`; or shards are missing or damaged,
            or were read by different models or by another plan.
    """
    shards = shards_of(folder)
    missing = [shard for shard in range(shards) if not result_file(folder, shard).exists()]
    if missing:
        raise ValueError(f"{len(missing):,} of {shards:,} shards are not done. `brat batch run` goes on.")
    _check_plan(folder, range(shards))
    models = {_said(folder, shard)[_MODEL] for shard in range(shards)}
    if len(models) > 1:
        raise ValueError(
            f"{len(models)} models, or recalibrations of one, have read parts of {folder}. Plan a batch for "
            "each."
        )
    rows = errors = 0
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with pq.ParquetWriter(part, SCHEMA, compression="zstd") as writer:
            for shard in range(shards):
                try:
                    table = pq.read_table(result_file(folder, shard)).replace_schema_metadata(None)
                except (pa.ArrowException, OSError) as error:
                    raise ValueError(_damaged(result_file(folder, shard))) from error
                writer.write_table(table)
                rows += table.num_rows
                errors += pc.sum(pc.not_equal(table["error"], "")).as_py() or 0
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    # What a killed process left half written.
    for left in (folder / RESULTS).glob(".*.parquet.*"):
        left.unlink(missing_ok=True)
    return rows, errors
