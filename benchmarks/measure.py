"""Repeated measurements, what they are held against, and what is aimed at."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

SLACK = 1.5
"""What is this many times worse than its aim is a regression."""

AIMS = {
    "times": (lambda ours, theirs: ours / theirs, False, "at most {} times"),
    "share": (lambda ours, theirs: ours / theirs, True, "at least {} times"),
    "speed": (lambda ours, theirs: theirs / ours, True, "at least {} times as fast"),
    "more": (lambda ours, theirs: ours - theirs, False, "at most {} {unit} more"),
    "value": (lambda ours, _: ours, False, "at most {} {unit}"),
}
"""Kind of aim -> what it limits, whether that is to be large rather than small, and the aim in words."""


@dataclass(frozen=True)
class Measured:
    """One thing, measured once or more: the values and their unit ("ms", "s", "MB" or what is counted)."""

    values: tuple[float, ...]
    unit: str

    @property
    def median(self) -> float:
        return float(np.median(self.values))

    def __str__(self) -> str:
        low, high = np.percentile(self.values, [25, 75])
        spread = f" ({figure(low)} to {figure(high)}, n {len(self.values)})" if len(self.values) > 1 else ""
        return f"{figure(self.median)} {self.unit}{spread}"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: what was measured.
        ours: None where it could not be measured.
        beside: what it is held against; empty where by nothing but its aim.
        theirs: None where there is nothing beside it, or where that could not be measured.
        aims: kind, of `AIMS` -> limit.
        missing: why something was not measured.
    """

    what: str
    ours: Measured | None
    beside: str = ""
    theirs: Measured | None = None
    aims: dict[str, float] = field(default_factory=dict)
    missing: str = ""

    def value(self, aim: str) -> float | None:
        """What an aim limits; None where a part of it was not measured."""
        if self.ours is None or (self.theirs is None and aim != "value"):
            return None
        return AIMS[aim][0](self.ours.median, self.theirs.median if self.theirs else 0)

    def holds(self, aim: str, slack: float = 1) -> bool | None:
        value, limit = self.value(aim), self.aims[aim]
        if value is None:
            return None
        return value >= limit / slack if AIMS[aim][1] else value <= limit * slack

    @property
    def met(self) -> bool | None:
        """Whether every aim holds; None where there is none, or one was not measured."""
        held = [self.holds(aim) for aim in self.aims]
        return all(held) if held and None not in held else None

    @property
    def regressed(self) -> bool:
        """Whether an aim is missed by half. A time that is no ratio tells of the machine, and never counts."""
        is_time = self.ours is not None and self.ours.unit in ("ms", "s")
        counted = [aim for aim in self.aims if not (is_time and aim in ("more", "value"))]
        return any(self.holds(aim, SLACK) is False for aim in counted)


def figure(value: float) -> str:
    """A number as it is printed, with about three digits."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}".removesuffix(".00").removesuffix(".0")


def stopwatch(function: Callable[..., object], *arguments: object) -> Callable[[], float]:
    """A function that calls this one and returns the milliseconds it took."""

    def timed() -> float:
        begun = time.perf_counter()
        function(*arguments)
        return 1000 * (time.perf_counter() - begun)

    return timed


def interleaved(
    rounds: int, unit: str, functions: dict[str, Callable[[], float]], warm_up: int = 1
) -> dict[str, Measured]:
    """Call each function once a round, so that whatever the machine does meanwhile meets them all alike.

    The order differs from round to round: what has just run decides what the processor's caches hold.

    Args:
        functions: each returns one measurement, in `unit`.
        warm_up: rounds that do not count.
    """
    draw = random.Random(0)
    values = {name: [] for name in functions}
    for _ in range(warm_up + rounds):
        for name in draw.sample(list(functions), len(functions)):
            values[name].append(functions[name]())
    return {name: Measured(tuple(of[warm_up:]), unit) for name, of in values.items()}


def peak_memory() -> float:
    """The most memory that this process has had resident so far, in MB."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss: on Linux a process takes that over from the one that started it.
        return int(status.read_text(encoding="ascii").partition("VmHWM:")[2].split()[0]) / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
