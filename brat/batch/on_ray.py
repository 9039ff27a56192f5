"""The engine of a cluster: Ray Data, with a pool of actors that each hold the model.

Only numbers of shards pass through Ray. An actor reads its rows from the folder of the batch, which all nodes
share, and puts the result there, so that a shard is done or not whatever happens to an actor, a node or the
driver. Ray's own checkpoints are not used.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import ray

from brat.batch.results import do_shard, pending
from brat.batch.shard import ReadingProcess
from brat.environment import WEIGHTS

_BLOCKS = 1000
"""Into which the shards are dealt; an actor has one at a time."""


class _ShardReader:
    def __init__(self, folder: str, weights: str):
        self._folder, self._process = Path(folder), ReadingProcess(weights)

    def __call__(self, batch: pa.Table) -> pa.Table:
        rows = [do_shard(self._folder, shard, self._process) for shard in batch["shard"].to_pylist()]
        return batch.append_column("rows", pa.array(rows, pa.int64()))


def run(
    folder: Path, weights: str | Path = WEIGHTS, processes: int | None = None, address: str | None = None
) -> Iterator[tuple[int, int]]:
    """Read the shards that are not done, on all nodes of a cluster.

    Args:
        folder: at the same path on all nodes; so is `weights`.
        processes: actors, with one core each; as many as the cluster has cores by default.
        address: of the cluster; by default the one that we are part of, or a new one on this computer.

    Yields:
        As `brat.batch.local.run`.
    """
    folder, weights = folder.absolute(), Path(weights).absolute()
    shards = pending(folder, ReadingProcess(weights).model)
    if not shards:
        return
    if not ray.is_initialized():
        ray.init(address=address, include_dashboard=False, log_to_driver=False)
    actors = min(processes or int(ray.cluster_resources()["CPU"]), len(shards))
    data = ray.data.from_items(
        [{"shard": shard} for shard in shards], override_num_blocks=min(len(shards), _BLOCKS)
    ).map_batches(
        _ShardReader,
        fn_constructor_args=(str(folder), str(weights)),
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=actors),
    )
    for row in data.iter_rows():
        yield len(shards), row["rows"]
