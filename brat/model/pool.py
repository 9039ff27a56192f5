"""Read many scans in parallel, each on one core.

Two predictions side by side, on a core each, are faster than two in turn on both cores: a prediction on two
cores takes more than half as long as on one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from brat.environment import CORES, WEIGHTS
from brat.model.reader import Reader

T = TypeVar("T")
R = TypeVar("R")


class Readers:
    """One reader for each thread that calls; each works on one core.

    All are of the model as it was loaded first: a folder that is exchanged meanwhile, or damaged, would else
    give a series the answers of two models, under the name of one.

    Example:
        >>> readers = Readers()
        >>> readings = in_order(lambda scan: readers().read(scan.gray), scans)
    """

    def __init__(self, weights: str | Path = WEIGHTS, as_shipped: bool = False):
        """Args: weights, as_shipped: as for `Reader`."""
        self._weights, self._as_shipped = weights, as_shipped
        self._own = threading.local()
        self._first: Reader | None = None
        self._loading = threading.Lock()

    def __call__(self) -> Reader:
        """This thread's reader.

        Raises:
            FileNotFoundError: there is no model in the folder.
            brat.model.files.ModelError: see `Reader`.
        """
        if not hasattr(self._own, "reader"):
            with self._loading:
                if self._first is None:
                    self._first = Reader(self._weights, threads=1, as_shipped=self._as_shipped)
                    self._own.reader = self._first
                else:
                    self._own.reader = self._first.again(threads=1)
        return self._own.reader


def in_order(work: Callable[[T], R], items: Iterable[T], workers: int = CORES) -> Iterator[R]:
    """Apply `work` to several items at once and yield the results in the order of the items.

    Only a few items are started ahead of the one that is due, so memory does not grow with their number. When
    the iterator is closed, started items are finished and the rest is left.

    Args:
        work: called on threads of a pool; its exceptions are raised where its result is due.
        workers: number of threads.
    """
    with ThreadPoolExecutor(workers) as pool:
        ahead: deque[Future[R]] = deque()
        for item in items:
            ahead.append(pool.submit(work, item))
            if len(ahead) > 4 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
