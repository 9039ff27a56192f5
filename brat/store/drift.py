"""Drift: whether the cases of a month are as the model's own figures say, or as the first months were.

Two control charts (Shewhart 1931, "Economic Control of Quality of Manufactured Product"):

- Shares, such as that of refused scans: a p-chart. Its limits are exact, of the beta-binomial distribution of
  the next month's count given the reference's (Menzefricke 2002, Commun Stat Theory Methods 31:1423), because
  a normal distribution does not hold for few cases and rare events.
- Means, such as that of confidence: an X-bar chart, with the spread of single cases in the reference.

Both allow for how few cases a reference has. Some fifteen charts are judged each month, and with limits of
three sigma each, one of them would be crossed by chance in up to 4 of 100 months. So limits are the wider the
more charts there are (Bonferroni): the chance that any is crossed in a month is to be `FALSE_ALARMS`. It was
simulated, see docs/figures.md: shares keep well below their part, as counts are whole numbers, and
confidences, which are skewed, are above it.

Cases are taken to be independent: where a month holds several slices of one patient, more months than these
cross a limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from brat.classes import CLASSES

if TYPE_CHECKING:
    from brat.model.site import SiteCalibration
    from brat.store.cases import Case

FALSE_ALARMS = 0.01
"""The chance that a month in which nothing has changed crosses any limit of any chart."""

FIRST = 100
"""Cases of the first months that make a reference: of fewer the limits would be too wide to see anything."""


class Share(NamedTuple):
    """What part of the independent cases of a reference had a property.

    Attributes:
        value: 0 to 1.
        of: how many cases.
    """

    value: float
    of: int


class Level(NamedTuple):
    """A quantity in the cases of a reference.

    Attributes:
        value: its mean.
        spread: its standard deviation from case to case.
        of: how many independent cases.
    """

    value: float
    spread: float
    of: int


Reference = Share | Level


@dataclass(frozen=True)
class Month:
    """One point of a chart.

    Attributes:
        name: "2026-11", in UTC.
        cases: how many count in it.
        value: share or mean.
        limits: the lower and the upper one; None where the month is not judged: it has too few cases, is a
            part of the reference, or there is none.
    """

    name: str
    cases: int
    value: float
    limits: tuple[float, float] | None

    @property
    def is_alarm(self) -> bool:
        """Whether a limit is crossed."""
        if self.limits is None:
            return False
        low, high = self.limits
        return not low <= self.value <= high


@dataclass(frozen=True)
class Chart:
    """A measure, month by month.

    Attributes:
        measure: "refused", "unlikeness" (the mean logarithm of the score, 0 at the limit), "confidence",
            "agreed"; or "read/", "sequence/" or "scanner/" and a class, a code or a kind of scanner, which is
            empty where it is not known.
        reference: what the months are compared with; None where there is nothing.
        months: in order, those without a case left out.
    """

    measure: str
    reference: Reference | None
    months: tuple[Month, ...]


def charts(
    cases: Iterable[Case], references: Mapping[str, Reference], least: int, after: str = ""
) -> list[Chart]:
    """The chart of every measure.

    A scan that several observers have seen counts once, but for `agreed`, in which every verdict counts.

    Args:
        cases: of one model.
        references: measure -> what to compare with, see `of_metrics` and `first_months`.
        least: months of fewer cases are not judged.
        after: the last month of the reference itself; it and those before it are not judged.
    """
    months = _by_month(cases)
    measures = [*("refused", "unlikeness", "confidence", "agreed"), *(f"read/{name}" for name in CLASSES)]
    for family in ("sequence", "scanner"):
        found = {f"{family}/{getattr(case, family)}" for month in months.values() for case in month}
        measures += sorted(found | {key for key in references if key.startswith(f"{family}/")})
    compared = {measure: _reference(references, measure) for measure in measures}
    values = {
        measure: {name: _values(measure, of_month) for name, of_month in months.items()}
        for measure in measures
    }

    def is_judged(measure: str, name: str) -> bool:
        return compared[measure] is not None and len(values[measure][name]) >= least and name > after

    judged = {name: sum(is_judged(measure, name) for measure in measures) for name in months}
    made = []
    for measure, reference in compared.items():
        points = tuple(
            Month(
                name,
                len(of_month),
                float(np.mean(of_month)),
                limits(reference, len(of_month), judged[name])
                if reference and is_judged(measure, name)
                else None,
            )
            for name, of_month in values[measure].items()
            if of_month
        )
        if points:
            made.append(Chart(measure, reference, points))
    return made


def first_months(cases: Iterable[Case]) -> tuple[dict[str, Reference], str]:
    """The reference that the first months make which together hold `FIRST` scans, and the last of them.

    Returns:
        Measure -> share or mean, and a month; nothing and an empty name where there are not as many yet.
    """
    first: list[Case] = []
    months = _by_month(cases)
    while len(_once(first)) < FIRST:
        if not months:
            return {}, ""
        last = next(iter(months))
        first += months.pop(last)
    references: dict[str, Reference] = {}
    names = ["refused", "agreed", *(f"read/{label}" for label in CLASSES)]
    names += sorted({f"{family}/{getattr(case, family)}" for family in _FAMILIES for case in first})
    for measure in names:
        if values := _values(measure, first):
            references[measure] = Share(float(np.mean(values)), len(values))
    for measure in ("unlikeness", "confidence"):
        if len(values := _values(measure, first)) > 1:
            references[measure] = Level(float(np.mean(values)), float(np.std(values, ddof=1)), len(values))
    return references, last


def of_metrics(metrics: Mapping[str, Any], site: SiteCalibration | None = None) -> dict[str, Reference]:
    """What a model's `metrics.json` leads one to expect; a measure that it does not hold is left out.

    Its slices are of few patients: a reference has as many independent cases as there are clusters.

    Args:
        site: a recalibration that is in use. What it changes was not measured with it, and is left out.
    """
    references: dict[str, Reference] = {}
    classes = metrics["protocols"].get("four_classes")
    if classes is None:
        return references
    of = classes["clusters"]
    figures = {name: entry["value"] for name, entry in classes["metrics"].items()}
    references["agreed"] = Share(figures["accuracy"], of)
    for read in CLASSES:
        count = sum(figures[f"confusion/{truth}/{read}"] for truth in CLASSES)
        references[f"read/{read}"] = Share(count / classes["slices"], of)
    if check := metrics.get("out_of_distribution"):
        if site is None or site.limit is None:
            references["refused"] = Share(check["refused"]["value"], of)
        counts: dict[str, int] = {}
        for group, entry in check["refused_by_group"].items():
            sequence = group.rpartition("/")[2].replace("unknown", "")
            counts[sequence] = counts.get(sequence, 0) + entry["slices"]
        for sequence, count in counts.items():
            references[f"sequence/{sequence}"] = Share(count / sum(counts.values()), of)
    if "calibration" in metrics and (site is None or site.calibration is None):
        references["confidence"] = _confidence(metrics["calibration"]["after"]["bins"], of)
    return references


def _confidence(bins: Mapping[str, Sequence[float | None]], of: int) -> Level:
    """The mean confidence, and its spread, from the bins of a reliability diagram, which are of one width.

    Within a bin it is taken to be spread evenly.
    """
    filled = [(n, mean) for n, mean in zip(bins["count"], bins["confidence"], strict=True) if n and mean]
    counts, means = (np.array(column, float) for column in zip(*filled, strict=True))
    mean = float(np.average(means, weights=counts))
    width = 1 / len(bins["count"])
    return Level(mean, math.sqrt(float(np.average((means - mean) ** 2, weights=counts)) + width**2 / 12), of)


def limits(reference: Reference, cases: int, charts: int) -> tuple[float, float]:
    """Between which share or mean of a number of cases lies, if nothing has changed.

    Args:
        charts: how many are judged in that month: `FALSE_ALARMS` is shared out among them.
    """
    tail = FALSE_ALARMS / charts / 2
    if isinstance(reference, Level):
        sigmas = -NormalDist().inv_cdf(tail)
        half = sigmas * reference.spread * math.sqrt(1 / cases + 1 / reference.of)
        return reference.value - half, reference.value + half
    # Jeffreys' prior, with the cases of the reference.
    hits = reference.value * reference.of + 0.5
    misses = (1 - reference.value) * reference.of + 0.5
    log = math.lgamma
    at = [
        math.exp(
            log(cases + 1) - log(k + 1) - log(cases - k + 1)
            + log(k + hits) + log(cases - k + misses) - log(cases + hits + misses)
            + log(hits + misses) - log(hits) - log(misses)
        )
        for k in range(cases + 1)
    ]  # fmt: skip
    # Up to a limit lies more than the tail, beyond it no more.
    low = int((np.cumsum(at) <= tail).sum())
    high = cases - int((np.cumsum(at[::-1]) <= tail).sum())
    return low / cases, high / cases


_FAMILIES = ("sequence", "scanner")

_OF_A_CASE: dict[str, Callable[[Case], float | None]] = {
    "refused": lambda case: None if case.in_distribution is None else not case.in_distribution,
    "unlikeness": lambda case: math.log(case.ood_score) if case.ood_score else None,
    "confidence": lambda case: getattr(case, case.label),
    "agreed": lambda case: None if case.seen is None else case.seen == case.label,
}


def _values(measure: str, cases: Sequence[Case]) -> list[float]:
    """A measure of each case; what it does not have is left out."""
    family, slash, name = measure.partition("/")
    if slash:
        attribute = "label" if family == "read" else family
        return [float(getattr(case, attribute) == name) for case in _once(cases)]
    found = map(_OF_A_CASE[measure], cases if measure == "agreed" else _once(cases))
    return [float(value) for value in found if value is not None]


def _once(cases: Sequence[Case]) -> list[Case]:
    """The case of each scan that was kept last."""
    return list({case.scan: case for case in sorted(cases, key=lambda case: case.time)}.values())


def _by_month(cases: Iterable[Case]) -> dict[str, list[Case]]:
    months: dict[str, list[Case]] = {}
    for case in sorted(cases, key=lambda case: case.time):
        months.setdefault(f"{case.time:%Y-%m}", []).append(case)
    return months


def _reference(references: Mapping[str, Reference], measure: str) -> Reference | None:
    """What a measure is compared with; of a sequence or a scanner that the reference lacks, with none."""
    if measure in references or "/" not in measure:
        return references.get(measure)
    family = measure.partition("/")[0]
    others = [reference for key, reference in references.items() if key.startswith(f"{family}/")]
    return Share(0.0, others[0].of) if others else None
