"""What all charts share: names, colours, dashes, symbols, error bars and layout.

Colours of text and grid are left to the page's theme.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from brat.classes import CLASS_COLOURS, CLASS_NAMES, OTHER_COLOURS

if TYPE_CHECKING:
    import plotly.graph_objects as go

NAMES = {**CLASS_NAMES, "tumor": "Tumour"}
"""The classes, and a tumour of whichever class, as they are written for people."""

COLOURS = {**CLASS_COLOURS, "tumor": OTHER_COLOURS[0]}

DASHES = ("solid", "dash", "dot", "dashdot")
SYMBOLS = ("circle", "square", "diamond", "cross")
"""In the order of the classes, so that a class is told apart without its colour."""

LEGEND = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
"""Above the plot, which it never covers: on a narrow page it grows upwards, and the margin with it."""

MARGIN = {"l": 0, "r": 0, "t": 8, "b": 0}

# Every read-out is printed on the figures; dragging would only fight with scrolling on a phone.
CONFIG = {"displayModeBar": False, "staticPlot": False, "scrollZoom": False, "responsive": True}


def error_bars(estimates: Sequence[Mapping[str, float]], colour: str) -> dict[str, Any]:
    """Error bars from estimates with `value`, `low` and `high`."""
    return {
        "array": [entry["high"] - entry["value"] for entry in estimates],
        "arrayminus": [entry["value"] - entry["low"] for entry in estimates],
        "color": colour,
        "thickness": 1,
    }


def layout(
    figure: go.Figure,
    across: str,
    up: str,
    x_range: tuple[float, float] | None,
    y_range: tuple[float, float] | None,
) -> go.Figure:
    """Give a chart its margins, height, axes and legend; returns it.

    Args:
        across, up: titles of the axes.
        x_range, y_range: None where Plotly is to choose.
    """
    figure.update_layout(
        margin=MARGIN,
        height=340,
        # Broken where a phone would cut it off.
        xaxis={"title": {"text": "<br>".join(wrap(across, 32))}, "range": x_range, "fixedrange": True},
        yaxis={"title": {"text": up}, "range": y_range, "fixedrange": True},
        legend=LEGEND,
    )
    return figure
