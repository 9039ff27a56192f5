"""The engine of a cluster: Ray Data, with a pool of actors that each hold the model.

Numbers of shards stream through Ray, and what is said of them. An actor takes its rows from the folder of the
batch, which all nodes share, and puts the result there: a shard is done or not, whatever happens to an actor,
to a node or to the driver. Neither pixels nor readings fill the object store.
Ray's own checkpoints are not used.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import ray
import ray.data
from ray.exceptions import RayError

from brat.batch.results import do_shard, pending
from brat.batch.shard import ReadingProcess
from brat.environment import WEIGHTS
from brat.pacs.archive import Archive, PacsError


class _ShardReader:
    """What an actor holds: a process with the model."""

    def __init__(
        self, folder: Path, weights: Path, reads_with: str, archive: Callable[[str], Archive] | None
    ):
        self._folder, self._archive = folder, archive
        self._process = ReadingProcess(weights)
        if self._process.reads_with != reads_with:
            raise ValueError(
                f"On {os.uname().nodename} there is another model in {weights}, or another recalibration."
            )

    def __call__(self, batch: pa.Table) -> pa.Table:
        (shard,) = batch["shard"].to_pylist()
        rows, problem = 0, ""
        try:
            rows = do_shard(self._folder, shard, self._process, self._archive)
        except PacsError as error:
            problem = str(error)
        return pa.table({"rows": [rows], "problem": [problem]})


def run(
    folder: Path,
    weights: str | Path = WEIGHTS,
    processes: int | None = None,
    part: tuple[int, int] = (1, 1),
    archive: Callable[[str], Archive] | None = None,
    address: str | None = None,
) -> Iterator[tuple[int, int]]:
    """Read the shards that are not done, on all nodes of a cluster.

    Args:
        folder, weights: at the same path on all nodes.
        processes: actors at most, with one core each; by default as many as the cluster has cores.
        part, archive: of `brat.batch.local.run`. The archive is connected to from each node.
        address: of the cluster; by default of the one that Ray finds, or of a new one on this computer.

    Yields:
        As `brat.batch.local.run`.

    Raises:
        brat.pacs.archive.PacsError, FileNotFoundError, ValueError: as `brat.batch.local.run`.
        RuntimeError: Ray cannot be reached, or gives up.
    """
    folder, weights = folder.absolute(), Path(weights).absolute()
    with ReadingProcess(weights) as first:
        reads_with = first.reads_with
    shards = pending(folder, reads_with, part)
    if not shards:
        return
    try:
        if not ray.is_initialized():
            # A cluster that is started here reports its use to Ray's makers otherwise.
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            ray.init(address, include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
        yield from _results(shards, (folder, weights, reads_with, archive), processes)
    except (RayError, ConnectionError) as error:
        raise RuntimeError(f"Ray gave up: {error}") from error


def _results(shards: list[int], held: tuple[object, ...], processes: int | None) -> Iterator[tuple[int, int]]:
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    ray.data.DataContext.get_current().enable_progress_bars = False
    actors = min(processes or int(ray.cluster_resources()["CPU"]), len(shards))
    # A block for each shard: an actor answers when it is through with its block. They are in the store from
    # the start, as tasks that put them there would wait for the cores that the actors hold.
    data = ray.data.from_items([{"shard": shard} for shard in shards], override_num_blocks=len(shards))
    answers = data.map_batches(
        _ShardReader,
        fn_constructor_args=held,
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=1,
        # No fixed size: an idle actor must make room for one whose node is gone.
        compute=ray.data.ActorPoolStrategy(
            min_size=1, max_size=actors, initial_size=actors, max_tasks_in_flight_per_actor=2
        ),
    )
    for answer in answers.iter_rows():
        if answer["problem"]:
            raise PacsError(answer["problem"])
        yield len(shards), answer["rows"]
