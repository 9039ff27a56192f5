"""The results of a batch: a file for each shard that is done, and all of them in one."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pyarrow.compute as pc
import pyarrow.parquet as pq

from brat.batch.manifest import RESULTS, reasons, rows_of, shards_of, write_whole
from brat.batch.shard import SCHEMA, ReadingProcess, read_shard
from brat.pacs.archive import Archive

_MODEL = b"reads_with"


def result_file(folder: Path, shard: int) -> Path:
    """Where the readings of a shard are, once it is done."""
    return folder / RESULTS / f"{shard:06}.parquet"


def pending(folder: Path, reads_with: str, part: tuple[int, int] = (1, 1)) -> list[int]:
    """The shards that are not done.

    Args:
        reads_with: of the `ReadingProcess` that is to read them.
        part: K and N, from 1: of every N shards the K-th.

    Raises:
        FileNotFoundError, ValueError: as `brat.batch.manifest.shards_of`; or another model has read some.
    """
    number, of = part
    done = {shard for shard in range(shards_of(folder)) if result_file(folder, shard).exists()}
    if done and _read_with(folder, min(done)) != reads_with:
        raise ValueError(
            f"Another model, or the same with another recalibration, has read a part of {folder}. Plan a "
            "batch of its own for this one."
        )
    return [shard for shard in range(number - 1, shards_of(folder), of) if shard not in done]


def _read_with(folder: Path, shard: int) -> str:
    return pq.read_schema(result_file(folder, shard)).metadata[_MODEL].decode()


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
    table = read_shard(rows_of(folder, shard), process, archive)
    target.parent.mkdir(exist_ok=True)
    write_whole(table.replace_schema_metadata({_MODEL: process.reads_with}), target)
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
    """How far a batch is; raises as `brat.batch.manifest.shards_of`."""
    shards = shards_of(folder)
    files = [file for shard in range(shards) if (file := result_file(folder, shard)).exists()]
    rows = sum(pq.read_metadata(file).num_rows for file in files)
    units, left_out = reasons(folder)
    return Status(shards, len(files), rows, units, left_out)


def merge(folder: Path, out: Path) -> tuple[int, int]:
    """Write the results of all shards into one Parquet file, in the order of the manifest.

    Returns:
        The number of rows, and of those with an error.

    Raises:
        FileNotFoundError, ValueError: as `brat.batch.manifest.shards_of`; or shards are missing, or they were
            read by different models.
    """
    shards = shards_of(folder)
    missing = [shard for shard in range(shards) if not result_file(folder, shard).exists()]
    if missing:
        raise ValueError(f"{len(missing):,} of {shards:,} shards are not done. `brat batch run` goes on.")
    models = {_read_with(folder, shard) for shard in range(shards)}
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
                table = pq.read_table(result_file(folder, shard)).replace_schema_metadata(None)
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
