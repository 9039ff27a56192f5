"""The control chart of one measure, month by month."""

from __future__ import annotations

import math

import plotly.graph_objects as go

from brat.classes import OTHER_COLOURS, QUIET_COLOUR
from brat.figures.charts import layout
from brat.store.drift import Chart

_LEAST_TOP = 0.05
"""Of an axis of shares, whose ticks are whole per cent: on a shorter one several would have one name."""

_TICK = {"symbol": "line-ew", "size": 24, "line": {"color": QUIET_COLOUR, "width": 2}}
"""A limit of one month: between months that have none, it has no line."""


def control_chart(chart: Chart) -> go.Figure:
    """Each month's value between its limits; those that cross one are diamonds.

    The unlikeness is drawn as the score whose logarithm is the mean; all else as shares.
    """
    of_score = chart.measure == "unlikeness"

    def drawn(value: float | None) -> float | None:
        return math.exp(value) if of_score and value is not None else value

    form = ":.2f" if of_score else ":.1%"
    names = [month.name for month in chart.months]
    figure = go.Figure()
    for end, title in ((0, "lower limit"), (1, "upper limit")):
        figure.add_scatter(
            x=names,
            y=[drawn(month.limits[end]) if month.limits else None for month in chart.months],
            mode="lines+markers",
            marker=_TICK,
            name=title,
            line={"color": QUIET_COLOUR, "dash": "dash", "shape": "hvh"},
            showlegend=False,
            hovertemplate=f"%{{x}}: {title} %{{y{form}}}<extra></extra>",
        )
    if chart.reference:
        figure.add_scatter(
            x=names,
            y=[drawn(chart.reference.value)] * len(names),
            mode="lines",
            name="expected",
            line={"color": QUIET_COLOUR, "dash": "dot"},
            hoverinfo="skip",
        )
    figure.add_scatter(
        x=names,
        y=[drawn(month.value) for month in chart.months],
        customdata=[month.cases for month in chart.months],
        mode="lines+markers",
        name="month",
        # No month at 0 % is half a circle.
        cliponaxis=False,
        line={"color": OTHER_COLOURS[0]},
        marker={
            "size": [14 if month.is_alarm else 9 for month in chart.months],
            "symbol": [_symbol(chart, number) for number in range(len(names))],
            "color": [OTHER_COLOURS[int(month.is_alarm)] for month in chart.months],
            "opacity": 1,
        },
        hovertemplate=f"%{{x}}: %{{y{form}}} of %{{customdata}} cases<extra></extra>",
    )
    figure = layout(figure, "month", "score" if of_score else "share", None, None)
    figure.update_xaxes(type="category")
    figure.update_yaxes(rangemode="tozero", tickformat=form[1:] if of_score else ".0%")
    if not of_score:
        figure.update_yaxes(autorangeoptions_include=_LEAST_TOP)
    figure.update_layout(height=280, showlegend=False)
    return figure


def _symbol(chart: Chart, number: int) -> str:
    """Full where a month is judged, open where it is not, a diamond where it crosses a limit."""
    month = chart.months[number]
    return "diamond" if month.is_alarm else "circle" if month.limits else "circle-open"
