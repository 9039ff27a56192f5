"""Many scans read at once, each on one core: on two cores a prediction takes over half as long as on one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from brat.environment import CORES, WEIGHTS
from brat.model.reader import Reader

T = TypeVar("T")
R = TypeVar("R")


class Readers:
    """A reader for each thread that asks, each on one core.

    Example:
        >>> readers = Readers()
        >>> readings = in_order(lambda scan: readers().read(scan.gray), scans)
    """

    def __init__(self, weights: str | Path = WEIGHTS):
        """Args: weights: the folder of the model."""
        self._weights = weights
        self._own = threading.local()

    def __call__(self) -> Reader:
        """This thread's reader.

        Raises:
            FileNotFoundError: there is no model in the folder.
        """
        if not hasattr(self._own, "reader"):
            self._own.reader = Reader(self._weights, threads=1)
        return self._own.reader


def in_order(work: Callable[[T], R], items: Iterable[T], workers: int = CORES) -> Iterator[R]:
    """What `work` makes of each item, in their order, several at once.

    Only a few are begun ahead of the one that is waited for, so that what waits does not grow with the number
    of items; when the iterator is closed, what was begun is finished and the rest is left.

    Args:
        work: called on threads of a pool; what it raises is raised where its result was due.
        workers: threads.
    """
    with ThreadPoolExecutor(workers) as pool:
        ahead = deque()
        for item in items:
            ahead.append(pool.submit(work, item))
            if len(ahead) > 4 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
