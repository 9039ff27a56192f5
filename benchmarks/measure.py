"""Repeated measurements, what they are compared with, and their aims."""

from __future__ import annotations

import importlib.util
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from benchmarks import ROOT

SLACK = 1.5
"""A measurement that is this many times worse than its aim is a regression."""

AIMS = {
    "times": (lambda ours, theirs: ours / theirs, False, "at most {} times"),
    "share": (lambda ours, theirs: ours / theirs, True, "at least {} times"),
    "speed": (lambda ours, theirs: theirs / ours, True, "at least {} times as fast"),
    "more": (lambda ours, theirs: ours - theirs, False, "at most {} {unit} more"),
    "value": (lambda ours, _: ours, False, "at most {} {unit}"),
}
"""Kind of aim -> the value that it limits, whether a larger value is better, and the aim in words."""

# On Linux ru_maxrss is no use: a process inherits it from its parent.
_PEAK = """
import resource, sys
if sys.platform == "linux":
    print(int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]) / 2**10)
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@dataclass(frozen=True)
class Measured:
    """The values of one measurement, repeated or not, and their unit: "ms", "s", "MB" or what is counted."""

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
        title: what is measured.
        ours, theirs: None where it was not measured.
        beside: what `theirs` is.
        aims: kind, of `AIMS` -> limit.
        missing: why something was not measured; empty where nothing is missing.
    """

    title: str
    ours: Measured | None
    beside: str = ""
    theirs: Measured | None = None
    aims: dict[str, float] = field(default_factory=dict)
    missing: str = ""

    def value(self, aim: str) -> float | None:
        """The value that an aim limits; None where a part of it was not measured."""
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
        """Whether an aim is missed by half. A time alone never counts: it depends on the machine."""
        is_time = self.ours is not None and self.ours.unit in ("ms", "s")
        counted = [aim for aim in self.aims if not (is_time and aim in ("more", "value"))]
        return any(self.holds(aim, SLACK) is False for aim in counted)


def figure(value: float) -> str:
    """A number as it is printed, with about three digits."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}".removesuffix(".00").removesuffix(".0")


def installed(*packages: str) -> bool:
    return all(importlib.util.find_spec(package) for package in packages)


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
    """Call functions in turn, so that a busy moment of the machine affects all alike.

    Each round has another order, because the processor's caches depend on the function that ran before. The
    first `warm_up` rounds do not count.

    Args:
        functions: name -> a function that measures once and returns the value.
    """
    draw = random.Random(0)
    values = {name: [] for name in functions}
    for _ in range(warm_up + rounds):
        for name in draw.sample(list(functions), len(functions)):
            values[name].append(functions[name]())
    return {name: Measured(tuple(series[warm_up:]), unit) for name, series in values.items()}


def fresh_process(program: str, *arguments: object) -> tuple[list[float], list[str], float]:
    """Run Python code in a new process.

    Returns:
        The seconds from its start to each line that it prints, the lines, and its peak memory in MB.
    """
    begun = time.perf_counter()
    command = [sys.executable, "-c", program + _PEAK, *map(str, arguments)]
    moments, lines = [], []
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            moments.append(time.perf_counter() - begun)
            lines.append(line.strip())
        errors = process.stderr.read()
    if process.returncode:
        raise RuntimeError(errors)
    return moments[:-1], lines[:-1], float(lines[-1])
