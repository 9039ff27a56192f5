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


def confusion(
    matrix: Sequence[Sequence[float]], normalised: bool, classes: Sequence[str] = CLASSES
) -> go.Figure:
    """Confusion matrix: rows are what the slice is, columns what was read.

    Args:
        matrix: counts, (k, k).
        normalised: show each row's shares instead of counts.
        classes: the k classes.
    """
    matrix = np.asarray(matrix, float)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    text = [[percent(v) for v in row] for row in shares] if normalised else matrix.astype(int).astype(str)
    names = [CLASS_NAMES[name] for name in classes]
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


def reliability(before: Mapping[str, Sequence], after: Mapping[str, Sequence]) -> go.Figure:
    """Reliability diagram: how often readings of a given confidence are right.

    Args:
        before, after: `confidence`, `accuracy` and `count` a bin, see `brat.calibration.reliability`; None
            where a bin is empty.
    """
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", name="perfect", line={"color": "#888888", "dash": "dot"}
    )
    for title, bars, colour, symbol in (
        ("before calibration", before, "#D55E00", "x"),
        ("after", after, "#0072B2", "circle"),
    ):
        rows = [row for row, count in enumerate(bars["count"]) if count]
        figure.add_scatter(
            x=[bars["confidence"][row] for row in rows],
            y=[bars["accuracy"][row] for row in rows],
            customdata=[bars["count"][row] for row in rows],
            name=title,
            mode="lines+markers",
            # A bin of two or three slices says little and should look it.
            marker={
                "symbol": symbol,
                "size": [3 + 4 * np.log10(bars["count"][row]) for row in rows],
                "color": colour,
            },
            line={"color": colour},
            hovertemplate="confidence %{x:.0%}, right %{y:.0%}, %{customdata} slices<extra></extra>",
        )
    return _plot(figure, "confidence", "share right", (0, 1), (0, 1))


def roc(curves: Mapping[str, Mapping]) -> go.Figure:
    """ROC curves, one class against the rest, from `brat.report.curves`."""
    return _class_curves(curves, "roc", "1 - specificity", "sensitivity")


def precision_recall(curves: Mapping[str, Mapping]) -> go.Figure:
    """Precision-recall curves, one class against the rest, from `brat.report.curves`."""
    return _class_curves(curves, "precision_recall", "sensitivity (recall)", "precision")


def _class_curves(curves: Mapping[str, Mapping], key: str, across: str, up: str) -> go.Figure:
    figure = go.Figure()
    for name, dash in zip(CLASSES, ("solid", "dash", "dot", "dashdot"), strict=True):
        figure.add_scatter(
            x=curves[name][key]["x"],
            y=curves[name][key]["y"],
            name=CLASS_NAMES[name],
            mode="lines",
            line={"color": CLASS_COLOURS[name], "dash": dash},
        )
    return _plot(figure, across, up, (-0.01, 1.01), (0, 1.02))


def robustness(change: Mapping, name: str) -> go.Figure:
    """Accuracy against one change, with its interval, from `brat.robustness.measure`.

    Args:
        change: `unit`, `levels` and `accuracy`, an estimate a level.
        name: what is changed.
    """
    middle = [entry["value"] for entry in change["accuracy"]]
    figure = go.Figure(
        go.Scatter(
            x=[str(level) for level in change["levels"]],
            y=middle,
            mode="lines+markers",
            line={"color": "#0072B2"},
            error_y={
                "array": [entry["high"] - entry["value"] for entry in change["accuracy"]],
                "arrayminus": [entry["value"] - entry["low"] for entry in change["accuracy"]],
                "color": "#0072B2",
                "thickness": 1,
            },
            hovertemplate="%{x}: %{y:.1%}<extra></extra>",
        )
    )
    figure = _plot(figure, f"{name}: {change['unit']}", "accuracy", None, (0.4, 1))
    figure.update_layout(height=240, showlegend=False)
    return figure


def nearest_neighbours(nearest: Mapping) -> go.Figure:
    """How like its nearest neighbour each image of an audit is, and the threshold of a near-duplicate."""
    edges = np.array(nearest["edges"])
    middles = (edges[1:] + edges[:-1]) / 2
    twin = middles > nearest["threshold"]
    figure = go.Figure()
    for title, rows, colour in (("near-duplicates", twin, "#D55E00"), ("others", ~twin, "#888888")):
        figure.add_bar(
            x=middles[rows],
            y=np.array(nearest["counts"])[rows],
            width=np.diff(edges)[rows],
            name=title,
            marker={"color": colour},
        )
    figure.add_vline(x=nearest["threshold"], line={"dash": "dash"})
    return _plot(figure, "correlation with the nearest other image", "images", None, None)


def _plot(figure: go.Figure, across: str, up: str, x_range, y_range) -> go.Figure:
    figure.update_layout(
        margin=_MARGIN,
        height=340,
        xaxis={"title": {"text": across}, "range": x_range, "fixedrange": True},
        yaxis={"title": {"text": up}, "range": y_range, "fixedrange": True},
        legend={"orientation": "h", "y": 1.12},
    )
    return figure
