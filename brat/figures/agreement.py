"""The picture of how far clinicians and the model agree over time."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from brat.classes import OTHER_COLOURS
from brat.store.agreement import Agreement


def over_time(months: Mapping[str, Agreement]) -> go.Figure:
    """Cohen's kappa and its 95 % interval, a point for each month in which it is defined.

    Args:
        months: "2026-11" -> the agreement of that month, in order.
    """
    shown = {month: found for month, found in months.items() if found.kappa is not None}
    figure = go.Figure(
        go.Scatter(
            x=list(shown),
            y=[found.kappa for found in shown.values()],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [found.high - found.kappa for found in shown.values()],
                "arrayminus": [found.kappa - found.low for found in shown.values()],
                "thickness": 1.5,
                "width": 6,
            },
            text=[f"{found.agreed} of {found.cases}" for found in shown.values()],
            mode="lines+markers",
            line={"dash": "dot", "color": OTHER_COLOURS[0]},
            marker={"size": 9},
            hovertemplate="%{x}: kappa %{y:.2f}, %{text} agree<extra></extra>",
        )
    )
    lowest = min((found.low for found in shown.values()), default=0)
    figure.update_xaxes(type="category", fixedrange=True)
    figure.update_yaxes(title_text="kappa", range=[min(lowest, 0) - 0.05, 1.05], fixedrange=True)
    figure.update_layout(margin={"l": 0, "r": 0, "t": 8, "b": 0}, height=260)
    return figure
