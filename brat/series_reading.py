"""A series read slice by slice, and what its slices say together.

The model learned from single slices that people had chosen, and every figure of its card was measured on such
slices. A series holds many that nobody would have chosen, so nothing here is a probability for the patient:
what can be said is how many slices the gate lets through, what the answer is in how many of them, and whether
these lie side by side, as the slices through a tumour do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from brat import CLASSES
from brat.classifier import Prediction
from brat.gate import Verdict
from brat.pool import Readers, in_order
from brat.preprocess import Geometry
from brat.reader import Reading
from brat.scans import Scan, UnreadableScan
from brat.series import Stack

NOTHING = "There is nothing in this slice: it is of one shade all over."

_NO_TUMOR = CLASSES.index("no_tumor")


@dataclass(frozen=True, eq=False)
class SliceReading:
    """What is known of one slice.

    Attributes:
        prediction, sets, verdict, geometry: as of a `brat.reader.Reading`; None where it was not read.
        problem: why it was not read; empty where it was.
    """

    prediction: Prediction | None = None
    sets: dict[float, tuple[str, ...]] | None = None
    verdict: Verdict | None = None
    geometry: Geometry | None = None
    problem: str = ""

    @property
    def is_known(self) -> bool:
        """Whether it was read and the gate lets it through."""
        return self.prediction is not None and (self.verdict is None or self.verdict.known)

    @classmethod
    def of(cls, reading: Reading) -> SliceReading:
        """All of a reading but the model's input, of which a series holds 30 MB."""
        return cls(reading.prediction, reading.sets, reading.verdict, reading.geometry)


@dataclass(frozen=True)
class Run:
    """Neighbouring slices with one answer.

    Attributes:
        label: the answer.
        first, last: numbers of slices, from 0.
        strongest: the one of them in which the answer is likeliest.
    """

    label: str
    first: int
    last: int
    strongest: int

    def __len__(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, eq=False)
class SeriesReading:
    """The readings of a stack's slices, in its order."""

    slices: tuple[SliceReading, ...]

    @cached_property
    def known(self) -> tuple[int, ...]:
        """The slices that were read and that the gate lets through."""
        return tuple(number for number, one in enumerate(self.slices) if one.is_known)

    @cached_property
    def refused(self) -> tuple[int, ...]:
        """The slices that were read and that the gate refuses."""
        return tuple(
            n for n, one in enumerate(self.slices) if one.prediction is not None and not one.is_known
        )

    @cached_property
    def unread(self) -> tuple[int, ...]:
        """The slices that are damaged or empty."""
        return tuple(n for n, one in enumerate(self.slices) if one.prediction is None)

    @cached_property
    def shares(self) -> np.ndarray:
        """float (slices, 4): the calibrated probabilities; NaN where a slice was not read."""
        nothing = np.full(len(CLASSES), np.nan)
        rows = [nothing if one.prediction is None else one.prediction.probabilities for one in self.slices]
        return np.array(rows, float)

    @cached_property
    def most_suspicious(self) -> int:
        """Where to look first: the slice with the largest mean probability of a tumour over itself and its
        two neighbours, since a tumour shows in neighbouring slices and an error in one.

        Among slices that the gate lets through, or, where it refuses all, among all that were read; the
        middle of the stack where none was. Of equals the one that is likelier by itself.
        """
        among = self.known or self.refused
        if not among:
            return len(self.slices) // 2
        tumour = 1 - self.shares[:, _NO_TUMOR]
        counted = np.zeros(len(self.slices))
        counted[list(among)] = tumour[list(among)]
        padded = np.pad(counted, 1)
        around = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
        return max(among, key=lambda number: (round(around[number], 6), tumour[number]))

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """Neighbouring slices that the gate lets through and that have the same answer, in their order."""
        labels = [one.prediction.label if one.is_known else None for one in self.slices]
        ends = [n + 1 for n, (one, other) in enumerate(pairwise(labels)) if one != other]
        found = []
        for first, end in zip([0, *ends], [*ends, len(labels)], strict=True):
            if labels[first] is not None:
                column = self.shares[first:end, CLASSES.index(labels[first])]
                found.append(Run(labels[first], first, end - 1, first + int(column.argmax())))
        return tuple(found)

    def longest(self, label: str) -> Run | None:
        """The longest run of an answer; None where it is no slice's answer."""
        return max((run for run in self.runs if run.label == label), key=len, default=None)

    def count(self, label: str) -> int:
        """In how many slices that the gate lets through this is the answer."""
        return sum(len(run) for run in self.runs if run.label == label)

    @cached_property
    def leading(self) -> str | None:
        """The tumour with the longest run, of equals the one with more slices; "no_tumor" where no slice has
        a tumour, None where the gate lets no slice through.
        """
        if not self.known:
            return None
        tumours = [label for label in CLASSES if label != "no_tumor" and self.count(label)]
        return max(
            tumours, key=lambda label: (len(self.longest(label)), self.count(label)), default="no_tumor"
        )


def read_stack(stack: Stack, readers: Readers) -> Iterator[tuple[Scan | None, SliceReading]]:
    """Read the slices of a stack in their order, on every core; a damaged one stops nothing.

    Yields:
        Each slice, None where it is damaged, with what is known of it.
    """

    return in_order(lambda number: read_slice(stack, number, readers), range(len(stack)))


def read_slice(stack: Stack, number: int, readers: Readers) -> tuple[Scan | None, SliceReading]:
    """One slice of a stack, None where it is damaged, with what is known of it."""
    try:
        scan = stack[number]
    except UnreadableScan as error:
        return None, SliceReading(problem=str(error))
    if scan.gray.min() == scan.gray.max():
        return scan, SliceReading(problem=NOTHING)
    return scan, SliceReading.of(readers().read(scan.gray))


def spans(numbers: Sequence[int]) -> str:
    """Numbers of slices as people count them, from 1: "1 to 4, 9"."""
    numbers = sorted(numbers)
    ends = [n + 1 for n, (one, other) in enumerate(pairwise(numbers)) if other > one + 1]
    parts = [numbers[a:b] for a, b in zip([0, *ends], [*ends, len(numbers)], strict=True)] if numbers else []
    return ", ".join(
        str(part[0] + 1) if len(part) == 1 else f"{part[0] + 1} to {part[-1] + 1}" for part in parts
    )
