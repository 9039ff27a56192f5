"""A series read slice by slice, and the readings of its slices taken together.

The model learned from single slices that people had chosen, and every figure of its card was measured on such
slices. A series holds many slices that nobody would have chosen, so nothing here is a probability for the
patient. It counts how many slices are in distribution, how many of them have which answer, and whether
these are neighbours, as the slices through a tumour are; `brat.model.series_rule` says where to look.
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
from brat.model.series_rule import suspicious_runs
from brat.model.site import SiteCalibration

NOTHING = "There is nothing in this slice: it is of one shade all over."


@dataclass(frozen=True, eq=False)
class SliceReading:
    """The reading of one slice.

    Attributes:
        prediction, sets, ood, geometry: as in `brat.model.reader.Reading`; None where it was not read.
        site: likewise; None where no recalibration was used, too.
        problem: why it was not read; empty where it was.
    """

    prediction: Prediction | None = None
    sets: dict[float, tuple[str, ...]] | None = None
    ood: OodResult | None = None
    geometry: Geometry | None = None
    problem: str = ""
    site: SiteCalibration | None = None

    @property
    def is_known(self) -> bool:
        """Whether it was read and is in distribution."""
        return self.prediction is not None and (self.ood is None or self.ood.in_distribution)

    @classmethod
    def of(cls, reading: Reading) -> SliceReading:
        """A reading without the model's input, which would take 30 MB for a series."""
        return cls(reading.prediction, reading.sets, reading.ood, reading.geometry, site=reading.site)


@dataclass(frozen=True)
class Run:
    """Neighbouring slices with one answer.

    Attributes:
        label: the answer.
        first, last: numbers of slices, from 0.
        strongest: the number of the slice in which the answer is likeliest.
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
        positions: of the slices along the stack, in millimetres; None where they are not known.
    """

    slices: tuple[SliceReading, ...]
    positions: tuple[float, ...] | None = None

    @cached_property
    def known(self) -> tuple[int, ...]:
        """Numbers of the slices that were read and are in distribution."""
        return tuple(number for number, reading in enumerate(self.slices) if reading.is_known)

    @cached_property
    def refused(self) -> tuple[int, ...]:
        """Numbers of the slices that were read and are out of distribution."""
        return tuple(
            number
            for number, reading in enumerate(self.slices)
            if reading.prediction is not None and not reading.is_known
        )

    @cached_property
    def unread(self) -> tuple[int, ...]:
        """Numbers of the slices that are damaged or empty."""
        return tuple(number for number, reading in enumerate(self.slices) if reading.prediction is None)

    @cached_property
    def probabilities(self) -> np.ndarray:
        """float (slices, 4): the calibrated probabilities; NaN where a slice was not read."""
        unread = np.full(len(CLASSES), np.nan)
        rows = [
            unread if reading.prediction is None else reading.prediction.probabilities
            for reading in self.slices
        ]
        return np.array(rows, float)

    @cached_property
    def _any_tumor(self) -> np.ndarray:
        """How likely any tumour is in each slice, float (n,)."""
        return 1 - self.probabilities[:, CLASSES.index("no_tumor")]

    @cached_property
    def most_suspicious(self) -> int:
        """The number of the slice to look at first.

        It is the slice of the longest suspicious run in which any tumour is likeliest; where the rule picks
        out none, the likeliest of the longest run of the leading tumour. A tumour shows in neighbouring
        slices, while a single slice at the base of the skull often gets a higher probability than any slice
        through a tumour. Where no slice has a tumour, it is the slice with the lowest probability of no
        tumour. Where no slice is in distribution, the answers mean nothing, and it is the middle one of the
        slices that were read, or of the stack.
        """
        if self.suspicious:
            return max(self.suspicious[0], key=self._any_tumor.__getitem__)
        leading = self.leading
        if leading is None:
            candidates = self.refused or range(len(self.slices))
            return candidates[len(candidates) // 2]
        if leading == "no_tumor":
            return min(self.known, key=self.probabilities[:, CLASSES.index("no_tumor")].__getitem__)
        run = self.longest(leading)
        assert run is not None, "Some slice has the leading answer."
        return run.strongest

    @cached_property
    def suspicious(self) -> tuple[range, ...]:
        """Runs of slices that the rule picks out, as ranges of their numbers; the longest first.

        A slice that is out of distribution, or was not read, ends a run.
        """
        is_known = [reading.is_known for reading in self.slices]
        found = suspicious_runs(np.where(is_known, self._any_tumor, np.nan))
        return tuple(sorted(found, key=len, reverse=True))

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """Neighbouring slices that are in distribution and have the same answer, in their order."""
        labels = [
            reading.prediction.label if reading.prediction and reading.is_known else None
            for reading in self.slices
        ]
        ends = [n + 1 for n, (label, following) in enumerate(pairwise(labels)) if label != following]
        runs = []
        for first, end in zip([0, *ends], [*ends, len(labels)], strict=True):
            if (label := labels[first]) is not None:
                column = self.probabilities[first:end, CLASSES.index(label)]
                runs.append(Run(label, first, end - 1, first + int(column.argmax())))
        return tuple(runs)

    def longest(self, label: str) -> Run | None:
        """The longest run of an answer; None where no slice has it.

        Of runs of one length it is the one with the likeliest slice.
        """
        column = self.probabilities[:, CLASSES.index(label)]
        return max(
            (run for run in self.runs if run.label == label),
            key=lambda run: (len(run), column[run.strongest]),
            default=None,
        )

    def length(self, run: Run) -> float | None:
        """Length of a run in millimetres, from its first slice to its last; None where it is not known."""
        return None if self.positions is None else abs(self.positions[run.last] - self.positions[run.first])

    @cached_property
    def gaps(self) -> tuple[int, ...]:
        """Numbers of the slices after which a slice may be missing.

        The step to the next slice is there more than 1.5 times the median step.
        """
        steps = np.abs(np.diff(self.positions if self.positions is not None else ()))
        return tuple(int(n) for n in np.flatnonzero(steps > 1.5 * np.median(steps))) if len(steps) else ()

    def count(self, label: str) -> int:
        """Number of slices in distribution with this answer."""
        return sum(len(run) for run in self.runs if run.label == label)

    @cached_property
    def with_tumour(self) -> int:
        """Number of slices in distribution whose answer is a tumour."""
        return len(self.known) - self.count("no_tumor")

    @cached_property
    def tumours(self) -> tuple[str, ...]:
        """The tumours that slices are read as: first the one with the longest run, then with more slices."""
        lengths = {label: len(run) for label in CLASSES if (run := self.longest(label))}
        lengths.pop("no_tumor", None)
        return tuple(sorted(lengths, key=lambda label: (lengths[label], self.count(label)), reverse=True))

    @property
    def leading(self) -> str | None:
        """The first of the tumours, "no_tumor" without one; None where no slice is in distribution."""
        if not self.known:
            return None
        return self.tumours[0] if self.tumours else "no_tumor"


def read_stack(stack: Stack, readers: Readers) -> Iterator[tuple[Scan | None, SliceReading]]:
    """Read the slices of a stack in their order, on every core; a damaged slice does not stop the others.

    Yields:
        Each slice, None where it is damaged, with its reading.
    """
    return in_order(lambda number: read_slice(stack, number, readers), range(len(stack)))


def read_slice(stack: Stack, number: int, readers: Readers) -> tuple[Scan | None, SliceReading]:
    """One slice of a stack, None where it is damaged, with its reading."""
    try:
        scan = stack[number]
    except UnreadableScan as error:
        return None, SliceReading(problem=str(error))
    if scan.gray.min() == scan.gray.max():
        return scan, SliceReading(problem=NOTHING)
    return scan, SliceReading.of(readers().read(scan.gray))


def said_of_slices(remarks: Sequence[Sequence[str]], of_series: Sequence[str]) -> tuple[str, ...]:
    """What is said of slices, and not of their series: "Slices 3 to 5: …".

    Args:
        remarks: `Scan.remarks` of each slice.
        of_series: `Series.remarks`.
    """
    slices: dict[str, list[int]] = {}
    for number, said in enumerate(remarks):
        for remark in dict.fromkeys(said):
            if remark not in of_series:
                slices.setdefault(remark, []).append(number)
    return tuple(
        f"Slice{'s' if len(numbers) > 1 else ''} {spans(numbers)}: {remark}"
        for remark, numbers in slices.items()
    )


def spans(numbers: Sequence[int]) -> str:
    """Numbers of slices in words, counted from 1: "1 to 4, 9"."""
    numbers = sorted(numbers)
    ends = [n + 1 for n, (number, following) in enumerate(pairwise(numbers)) if following > number + 1]
    parts = [numbers[a:b] for a, b in zip([0, *ends], [*ends, len(numbers)], strict=True)] if numbers else []
    return ", ".join(
        str(part[0] + 1) if len(part) == 1 else f"{part[0] + 1} to {part[-1] + 1}" for part in parts
    )
