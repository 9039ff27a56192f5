"""Repeated measurements, what they are held against, and what is aimed at."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median, quantiles

SLACK = 1.5
"""A measurement this many times worse than its aim is a regression."""


@dataclass(frozen=True)
class Measured:
    """One thing, measured n times.

    Attributes:
        values: at least one, in `unit`.
        unit: "ms", "s", "MB", "slices/s", or what is counted.
    """

    values: tuple[float, ...]
    unit: str

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        if len(self.values) == 1:
            return self.values * 2
        first, _, third = quantiles(self.values, n=4, method="inclusive")
        return first, third

    def __str__(self) -> str:
        spread = ""
        if len(self.values) > 1:
            spread = " ({} to {}, n {})".format(*map(figure, self.quartiles), len(self.values))
        return f"{figure(self.median)} {self.unit}{spread}"


@dataclass(frozen=True)
class Aim:
    """A limit, and of what.

    Attributes:
        of: "ratio", ours / theirs; "speed", theirs / ours; "difference", ours - theirs; or "value", ours alone.
        limit: without unit, or in the measurement's.
        least: whether the limit is the least there may be rather than the most.
    """

    of: str
    limit: float
    least: bool = False

    def __str__(self) -> str:
        tail = {"ratio": " times", "speed": " times as fast", "difference": " {unit} more", "value": " {unit}"}
        return f"at {'least' if self.least else 'most'} {figure(self.limit)}{tail[self.of]}"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: what was measured.
        ours: None where it could not be measured.
        beside: what it is held against; empty where by nothing but its aim.
        theirs: None where there is nothing beside it, or where that could not be measured.
        missing: why not.
    """

    what: str
    ours: Measured | None
    beside: str = ""
    theirs: Measured | None = None
    aims: tuple[Aim, ...] = ()
    missing: str = ""

    def value(self, of: str) -> float | None:
        """The figure that an aim of this kind limits; None where a part of it was not measured."""
        if self.ours is None or (of != "value" and self.theirs is None):
            return None
        ours, theirs = self.ours.median, self.theirs.median if self.theirs else 0.0
        if of == "value":
            return ours
        return {"ratio": ours / theirs, "speed": theirs / ours, "difference": ours - theirs}[of]

    @property
    def met(self) -> bool | None:
        """Whether every aim is met; None where there is none, or it was not measured."""
        values = [self.value(aim.of) for aim in self.aims]
        if not values or None in values:
            return None
        return all(_keeps(aim, value) for aim, value in zip(self.aims, values, strict=True))

    @property
    def regressed(self) -> bool:
        """Whether an aim is missed by half.

        Times say as much of the machine as of the project: one alone, or one less another, never counts.
        """
        for aim in self.aims:
            is_time = aim.of in ("value", "difference") and self.ours and self.ours.unit in ("ms", "s")
            value = None if is_time else self.value(aim.of)
            if value is not None and not _keeps(aim, value, SLACK):
                return True
        return False


def _keeps(aim: Aim, value: float, slack: float = 1.0) -> bool:
    return value >= aim.limit / slack if aim.least else value <= aim.limit * slack


def figure(value: float) -> str:
    """A number as it is printed: two digits behind the point below 10, none from 100."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}".removesuffix(".00").removesuffix(".0")


def stopwatch(function: Callable[[], object]) -> Callable[[], float]:
    """Make a function return how long it took, in milliseconds."""

    def timed() -> float:
        begun = time.perf_counter()
        function()
        return 1000 * (time.perf_counter() - begun)

    return timed


def interleaved(
    rounds: int, unit: str, functions: dict[str, Callable[[], float]], warm_up: int = 1
) -> dict[str, Measured]:
    """Call each function once a round, so that whatever the machine does meanwhile meets them all alike.

    The order is another one in every round: what has just run decides what the processor's caches hold.

    Args:
        functions: each returns one measurement, in `unit`.
        warm_up: rounds that do not count.
    """
    draw = random.Random(0)
    values = {name: [] for name in functions}
    for turn in range(-warm_up, rounds):
        for name in draw.sample(list(functions), len(functions)):
            value = functions[name]()
            if turn >= 0:
                values[name].append(value)
    return {name: Measured(tuple(of), unit) for name, of in values.items()}


def peak_memory() -> float:
    """The most memory that this process has had resident so far, in MB."""
    try:
        # Not ru_maxrss: on Linux a process takes that over from the one that started it.
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    except FileNotFoundError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)
