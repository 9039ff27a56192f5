"""The engine of one computer: processes that each hold the model, and take one shard after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from brat.batch.results import do_shard, pending
from brat.batch.shard import ReadingProcess
from brat.environment import CORES, WEIGHTS
from brat.pacs.archive import Archive


def run(
    folder: Path,
    weights: str | Path = WEIGHTS,
    processes: int | None = None,
    part: tuple[int, int] = (1, 1),
    archive: Callable[[str], Archive] | None = None,
) -> Iterator[tuple[int, int]]:
    """Read the shards that are not done.

    Where one cannot be read, because an archive does not answer, the others that have begun are ended first.

    Args:
        processes: how many read at once, on one core each; as many as there are cores by default.
        part: of `brat.batch.results.pending`.
        archive: of `brat.batch.shard.read_shard`.

    Yields:
        Number of shards that were to do, and the rows of one that is done now.

    Raises:
        brat.pacs.archive.PacsError, FileNotFoundError, RuntimeError, ValueError: as
            `brat.batch.results.do_shard` and `pending`.
    """
    with ReadingProcess(weights) as first:
        shards = pending(folder, first.reads_with, part)
    is_over = threading.Event()
    own = threading.local()
    all_of_them: list[ReadingProcess] = []

    def read(shard: int) -> int | None:
        if is_over.is_set():
            return None
        # A thread only waits for its process, and writes what it says.
        if not hasattr(own, "process"):
            own.process = ReadingProcess(weights)
            all_of_them.append(own.process)
        return do_shard(folder, shard, own.process, archive)

    with ThreadPoolExecutor(max(1, min(processes or CORES, len(shards)))) as pool:
        try:
            for future in as_completed([pool.submit(read, shard) for shard in shards]):
                rows = future.result()
                if rows is not None:
                    yield len(shards), rows
        except KeyboardInterrupt:
            is_over.set()
            for process in all_of_them:
                process.stop()
            raise
        finally:
            is_over.set()
            pool.shutdown(cancel_futures=True)
            for process in all_of_them:
                process.close()
