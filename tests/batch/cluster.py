"""A Ray cluster of two nodes on this computer, with one logical core each, that reads a batch.

`python -m tests.batch.cluster BATCH [actor|node]`, in a process of its own, as Ray changes much of the one
that it runs in. An actor, or the second node, is killed once a quarter of the shards is done. Prints how many
shards were read, how many were to do, on how many nodes there were actors, and how many nodes are left.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from benchmarks.soak import descendants
from brat.batch.manifest import shards_of
from brat.batch.on_ray import run
from tests.batch.kills import command_of, done, wait_for

NODE = {"num_cpus": 1, "object_store_memory": 100_000_000}


def start(attempts: int = 3) -> Cluster:
    """Ray waits half a minute for a node, which a busy computer may need more than once."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = Cluster()
    for left in reversed(range(attempts)):
        try:
            cluster.add_node(**NODE)
            break
        except Exception:
            cluster.shutdown()
            if not left:
                raise
    return cluster


def actors() -> list[int]:
    return [pid for pid in descendants(os.getpid()) if command_of(pid).startswith(b"ray::MapWorker")]


def main(batch: Path, lost: str = "") -> None:
    cluster = start()
    second = cluster.add_node(**NODE)
    cluster.wait_for_nodes()
    nodes = set()

    def lose() -> None:
        wait_for(lambda: len(done(batch)) >= shards_of(batch) // 4)
        if lost == "actor":
            os.kill(actors()[0], signal.SIGKILL)
        elif lost == "node":
            cluster.remove_node(second, allow_graceful=False)

    def watch() -> None:
        wait_for(lambda: len(actors()) == 2)
        # An actor is a child of the process that stands for its node.
        nodes.update(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1] for pid in actors())

    for what in (lose, watch):
        threading.Thread(target=what, daemon=True).start()
    said = list(run(batch, address=cluster.address))
    print("cluster:", len(said), said[0][0], len(nodes), sum(node["Alive"] for node in ray.nodes()))
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
