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

from brat.classes import CLASSES
from brat.io.scan import Scan, UnreadableScan
from brat.io.series import Stack
from brat.model.classifier import Prediction
from brat.model.out_of_distribution import OodResult
from brat.model.pool import Readers, in_order
from brat.model.preprocess import Geometry
from brat.model.reader import Reading

NOTHING = "There is nothing in this slice: it is of one shade all over."


@dataclass(frozen=True, eq=False)
class SliceReading:
    """What is known of one slice.

    Attributes:
        prediction, sets, ood, geometry: as of a `brat.model.reader.Reading`; None where it
        was not read. problem: why it was not read; empty where it was.
    """

    prediction: Prediction | None = None
    sets: dict[float, tuple[str, ...]] | None = None
    ood: OodResult | None = None
    geometry: Geometry | None = None
    problem: str = ""

    @property
    def is_known(self) -> bool:
        """Whether it was read and the gate lets it through."""
        return self.prediction is not None and (self.ood is None or self.ood.in_distribution)

    @classmethod
    def of(cls, reading: Reading) -> SliceReading:
        """All of a reading but the model's input, of which a series holds 30 MB."""
        return cls(reading.prediction, reading.sets, reading.ood, reading.geometry)


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
    """The readings of a stack's slices, in its order.

    Attributes:
        positions: as of the stack: millimetres along it; None where they are not known.
    """

    slices: tuple[SliceReading, ...]
    positions: tuple[float, ...] | None = None

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
        """Where to look first.

        The likeliest slice of the leading tumour's longest run: a tumour shows in neighbouring slices, and
        single ones at the base of the skull are often called likelier than any through a tumour. Where no
        slice has a tumour, the one in which it is least unlikely. Where the gate lets none through, and the
        model's answers mean nothing, the middle one of those that were read, or of the stack.
        """
        if not self.known:
            among = self.refused or range(len(self.slices))
            return among[len(among) // 2]
        if self.leading == "no_tumor":
            return min(self.known, key=self.shares[:, CLASSES.index("no_tumor")].__getitem__)
        return self.longest(self.leading).strongest

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
        """The longest run of an answer, of equals the one with the likeliest slice; None where it is no
        slice's answer.
        """
        column = self.shares[:, CLASSES.index(label)]
        return max(
            (run for run in self.runs if run.label == label),
            key=lambda run: (len(run), column[run.strongest]),
            default=None,
        )

    def length(self, run: Run) -> float | None:
        """Millimetres from a run's first slice to its last; None where it is not known."""
        return None if self.positions is None else abs(self.positions[run.last] - self.positions[run.first])

    @cached_property
    def gaps(self) -> tuple[int, ...]:
        """The slices after which one may be missing: the next lies half as far again as is usual, or more."""
        steps = np.abs(np.diff(self.positions if self.positions is not None else ()))
        return tuple(int(n) for n in np.flatnonzero(steps > 1.5 * np.median(steps))) if len(steps) else ()

    def count(self, label: str) -> int:
        """In how many slices that the gate lets through this is the answer."""
        return sum(len(run) for run in self.runs if run.label == label)

    @cached_property
    def with_tumour(self) -> int:
        """In how many slices that the gate lets through the answer is a tumour."""
        return len(self.known) - self.count("no_tumor")

    @cached_property
    def tumours(self) -> tuple[str, ...]:
        """Those that are some slice's answer: first the one with the longest run, or with more slices."""
        found = [label for label in CLASSES if label != "no_tumor" and self.count(label)]
        return tuple(
            sorted(found, key=lambda label: (len(self.longest(label)), self.count(label)), reverse=True)
        )

    @property
    def leading(self) -> str | None:
        """The first of the tumours; "no_tumor" without one, None where the gate lets no slice through."""
        if not self.known:
            return None
        return self.tumours[0] if self.tumours else "no_tumor"


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
