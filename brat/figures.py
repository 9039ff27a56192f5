"""Plotly figures, all of them, from plain data. Colours of text and grid are left to the page's theme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from brat import CLASS_COLOURS, CLASS_NAMES, CLASSES

_MARGIN = {"l": 0, "r": 0, "t": 8, "b": 0}
# Every read-out is printed on the figures; dragging would only fight with scrolling on a phone.
CONFIG = {"displayModeBar": False, "staticPlot": False, "scrollZoom": False, "responsive": True}


def confidence_bars(readings: Mapping[str, Sequence[float]]) -> go.Figure:
    """Probability of each class, one bar a reading.

    Args:
        readings: one or two readings, name -> probabilities (4,) in the order of `CLASSES`; the first is
            drawn solid, the second hatched.
    """
    figure = go.Figure()
    names = [CLASS_NAMES[name] for name in CLASSES]
    for number, (title, probabilities) in enumerate(readings.items()):
        figure.add_bar(
            x=list(probabilities),
            y=names,
            orientation="h",
            name=title,
            text=[percent(p) for p in probabilities],
            textposition="outside",
            cliponaxis=False,
            marker={
                "color": [CLASS_COLOURS[name] for name in CLASSES],
                "pattern": {"shape": "/" if number else "", "fillmode": "replace"},
            },
            hovertemplate="%{y}: %{x:.1%}<extra>" + title + "</extra>",
        )
    figure.update_layout(
        margin=_MARGIN,
        height=60 + 40 * len(CLASSES) * len(readings),
        barmode="group",
        bargap=0.35,
        showlegend=len(readings) > 1,
        legend={"orientation": "h", "y": -0.05, "traceorder": "normal"},
        xaxis={"range": [0, 1.18], "visible": False, "fixedrange": True},
        yaxis={"autorange": "reversed", "tickfont": {"size": 15}, "fixedrange": True, "ticklabelstandoff": 6},
    )
    return figure


def confusion(matrix: np.ndarray, normalised: bool) -> go.Figure:
    """Confusion matrix: rows are what the slice is, columns what was read.

    Args:
        matrix: counts, (4, 4).
        normalised: show each row's shares instead of counts.
    """
    matrix = np.asarray(matrix, float)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    text = [[percent(v) for v in row] for row in shares] if normalised else matrix.astype(int).astype(str)
    names = [CLASS_NAMES[name] for name in CLASSES]
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=names,
            y=names,
            text=text,
            texttemplate="%{text}",
            textfont={"size": 15},
            colorscale="Blues",
            zmin=0,
            zmax=1,
            showscale=False,
            xgap=2,
            ygap=2,
            hovertemplate="is %{y}, read as %{x}: %{text}<extra></extra>",
        )
    )
    figure.update_layout(
        margin={"l": 0, "r": 0, "t": 30, "b": 0},
        height=360,
        xaxis={"title": {"text": "read as"}, "side": "top", "fixedrange": True},
        yaxis={"title": {"text": "is"}, "autorange": "reversed", "fixedrange": True},
    )
    return figure


def curves(history: Sequence[Mapping[str, float]], quantity: str) -> go.Figure:
    """One quantity of a training run, epoch by epoch, in training and, where it was kept, in validation.

    Args:
        history: one record an epoch, with `epoch`, the quantity and perhaps `val_` and the quantity.
        quantity: "loss" or "accuracy".
    """
    figure = go.Figure()
    epochs = [int(row["epoch"]) + 1 for row in history]
    for key, title, colour, dash in (
        (quantity, "training (augmented)", "#0072B2", "solid"),
        (f"val_{quantity}", "validation", "#D55E00", "dash"),
    ):
        if all(key in row for row in history):
            figure.add_scatter(
                x=epochs,
                y=[row[key] for row in history],
                name=title,
                mode="lines+markers",
                line={"color": colour, "dash": dash},
            )
    figure.update_layout(
        margin=_MARGIN,
        height=280,
        xaxis={"title": {"text": "epoch"}, "dtick": 1, "fixedrange": True},
        yaxis={"title": {"text": quantity}, "fixedrange": True},
        legend={"orientation": "h", "y": 1.15},
        showlegend=True,
    )
    return figure


def percent(share: float) -> str:
    """0.914 -> "91 %"; what would round to all or nothing is said as more or less than that."""
    if 0.995 <= share < 1:
        return "> 99 %"
    if 0 < share < 0.005:
        return "< 1 %"
    return f"{share:.0%}".replace("%", " %")
