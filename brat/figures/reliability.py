"""Charts of how far an answer can be trusted: reliability, coverage, and accuracy on changed scans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from brat.classes import CLASS_COLOURS, CLASS_NAMES, CLASSES, OTHER_COLOURS, QUIET_COLOUR
from brat.figures.charts import SYMBOLS, error_bars, layout
from brat.wording import percent

# A bin of fewer slices says too little to be joined to its neighbours.
_FULL_BIN = 20


def reliability(
    before: Mapping[str, Sequence],
    after: Mapping[str, Sequence] | None,
    titles: tuple[str, str] = ("before calibration", "after"),
) -> go.Figure:
    """Reliability diagram: how often readings of a given confidence are right.

    Args:
        before, after: `confidence`, `accuracy` and `count` a bin, see `brat.evaluation.reliability`;
            None where a bin is empty. Without `after` only `before` is drawn.
        titles: of both.
    """
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", name="perfect", line={"color": QUIET_COLOUR, "dash": "dot"}
    )
    for title, bars, colour, symbol, dash in (
        (titles[0], before, OTHER_COLOURS[1], "x", "dash"),
        (titles[1], after, OTHER_COLOURS[0], "circle", "solid"),
    ):
        if bars is None:
            continue
        rows = [row for row, count in enumerate(bars["count"]) if count]
        full = [row for row in rows if bars["count"][row] >= _FULL_BIN]
        figure.add_scatter(
            x=[bars["confidence"][row] for row in full],
            y=[bars["accuracy"][row] for row in full],
            mode="lines",
            line={"color": colour, "dash": dash},
            showlegend=False,
            hoverinfo="skip",
        )
        figure.add_scatter(
            x=[bars["confidence"][row] for row in rows],
            y=[bars["accuracy"][row] for row in rows],
            customdata=[bars["count"][row] for row in rows],
            name=title,
            mode="markers",
            # A bin of two or three slices says little and should look it.
            marker={
                "symbol": symbol,
                "size": [3 + 4 * np.log10(bars["count"][row]) for row in rows],
                "color": colour,
            },
            hovertemplate="confidence %{x:.0%}, right %{y:.0%}, %{customdata} slices<extra></extra>",
        )
    return layout(figure, "confidence", "share right", (0, 1.02), (0, 1.03))


def coverage(sets: Mapping[str, Mapping[str, Mapping]]) -> go.Figure:
    """How often prediction sets hold the truth, by class, beside what their level promises.

    Args:
        sets: level, such as "0.95" -> `coverage/CLASS` -> an estimate, see
            `brat.evaluation.reliability.measure_calibration`. A class that was not measured is left out.
    """
    figure = go.Figure()
    levels = [percent(float(level)) for level in sets]
    lowest = 0.8
    for name, symbol, shift in zip(CLASSES, SYMBOLS, (-0.24, -0.08, 0.08, 0.24), strict=True):
        held = [entry[f"coverage/{name}"] for entry in sets.values()]
        if any(entry["value"] is None for entry in held):
            continue
        lowest = min(lowest, *(entry["low"] - 0.01 for entry in held))
        figure.add_scatter(
            x=[place + shift for place in range(len(held))],
            y=[entry["value"] for entry in held],
            error_y=error_bars(held, CLASS_COLOURS[name]),
            name=CLASS_NAMES[name],
            mode="markers",
            marker={"color": CLASS_COLOURS[name], "symbol": symbol, "size": 9},
            # Most stand at the upper edge.
            cliponaxis=False,
            hovertemplate=CLASS_NAMES[name] + ": %{y:.1%}<extra></extra>",
        )
    for place, level in enumerate(sets):
        promised = float(level)
        line = {"color": QUIET_COLOUR, "dash": "dot"}
        figure.add_shape(
            type="line", x0=place - 0.42, x1=place + 0.42, y0=promised, y1=promised, line=line, layer="below"
        )
    # The promise has a name in the legend though shapes have none.
    figure.add_scatter(x=[None], y=[None], mode="lines", name="promised", line=line)
    figure = layout(figure, "set", "share that holds the truth", None, (lowest, 1.005))
    figure.update_xaxes(tickvals=list(range(len(levels))), ticktext=levels)
    return figure


def robustness(change: Mapping, name: str, unchanged: float) -> go.Figure:
    """Accuracy against one change, with its interval, from `brat.evaluation.robustness.measure`.

    Args:
        change: `unit`, `levels` and `accuracy`, an estimate a level.
        name: what is changed.
        unchanged: accuracy on the same slices as they are, for the reference line.
    """
    figure = go.Figure()
    levels = [f"{level:g}" for level in change["levels"]]
    figure.add_scatter(
        x=levels,
        y=[unchanged] * len(levels),
        mode="lines",
        line={"color": QUIET_COLOUR, "dash": "dot"},
        hovertemplate="unchanged: %{y:.1%}<extra></extra>",
    )
    figure.add_scatter(
        x=levels,
        y=[entry["value"] for entry in change["accuracy"]],
        mode="lines+markers",
        line={"color": OTHER_COLOURS[0]},
        error_y=error_bars(change["accuracy"], OTHER_COLOURS[0]),
        hovertemplate="%{x}: %{y:.1%}<extra></extra>",
    )
    floor = min(0.5, *(entry["low"] for entry in change["accuracy"]))
    figure = layout(figure, f"{name}: {change['unit']}", "", None, (floor, 1))
    figure.update_layout(height=220, showlegend=False)
    # Levels stand evenly, as names: what matters is how many steps a scan can take.
    figure.update_xaxes(type="category", title={"font": {"size": 13}})
    figure.update_yaxes(tickformat=".0%")
    return figure
