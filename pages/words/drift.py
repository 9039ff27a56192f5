"""Words of what changes from month to month, on the History page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from brat.store.drift import FALSE_ALARMS, Chart, Month
from pages.words.numbers import share

HELP = (
    "The model's figures: what was measured on held-out slices, whose mix of classes and sequences need not "
    "be yours. The first months: what was usual here when you began."
)
FIGURE = "Control chart: the value of each month, what is expected, and the limits."
NO_FIGURES = "This model was not measured: there is nothing to compare with but the first months."
NOTHING_TO_COMPARE = "Nothing is known of this to compare with, so that it has no limits."


def of_cases(cases: int, others: int) -> str:
    """Args: others: cases that another model has read, or this one otherwise calibrated."""
    left_out = (
        f" {others} that another model, or this one under another calibration, has read are left out."
        if others
        else ""
    )
    return f"{cases} case{'s' * (cases != 1)} of the model that is in use.{left_out}"


def how(least: int) -> str:
    return (
        "If nothing has changed, a month lies between the dashed limits (p-chart and X-bar chart; Shewhart "
        f"1931). They are as wide as lets about 1 of {1 / FALSE_ALARMS:.0f} such months cross any limit in "
        "any of the charts; more do where several slices are of one patient. "
        f"Open circles are not judged: fewer than {least} cases, or a part of the first months."
    )


def too_few_at_first(scans: int, first: int) -> str:
    return f"The first months make a reference once they hold {first} scans; so far there are {scans}."


def none_judged(least: int) -> str:
    return f"No month is judged yet: it takes {least} cases in a month."


def calm(month: str) -> str:
    return f"{month}: no limit is crossed."


def alarm(month: str, crossed: Sequence[str]) -> str:
    return f"**{month} crosses a limit.** {'; '.join(crossed)}. The charts are under *From month to month*."


def crossing(name: str, chart: Chart, month: Month) -> str:
    """Read as glioma: 62.0 % of 50 cases (limits 14.0 to 54.0 %)."""
    assert month.limits is not None
    low, high = (value_of(chart, limit) for limit in month.limits)
    return f"{name}: {value_of(chart, month.value)} in {month.cases} cases (limits {low} to {high})"


def value_of(chart: Chart, value: float) -> str:
    """A value as it is read: a share, and of the unlikeness the score."""
    return f"{math.exp(value):.2f}" if chart.measure == "unlikeness" else share(value)
