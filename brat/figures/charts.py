"""Plotly figures, all of them, from plain data. Colours of text and grid are left to the page's theme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap

import numpy as np
import plotly.graph_objects as go

from brat.classes import CLASS_COLOURS, CLASS_NAMES, CLASSES, OTHER_COLOURS, QUIET_COLOUR
from brat.wording import percent

NAMES = {**CLASS_NAMES, "tumor": "Tumour"}
"""The classes, and a tumour of whichever class, as they are written for people."""

_MARGIN = {"l": 0, "r": 0, "t": 8, "b": 0}
_COLOURS = {**CLASS_COLOURS, "tumor": OTHER_COLOURS[0]}
_DASHES = ("solid", "dash", "dot", "dashdot")
_SYMBOLS = ("circle", "square", "diamond", "cross")

# A bin of fewer slices says too little to be joined to its neighbours.
_FULL_BIN = 20

# Every read-out is printed on the figures; dragging would only fight with scrolling on a phone.
CONFIG = {"displayModeBar": False, "staticPlot": False, "scrollZoom": False, "responsive": True}


def confusion(
    matrix: Sequence[Sequence[float]], normalised: bool, classes: Sequence[str] = CLASSES
) -> go.Figure:
    """Confusion matrix: rows are what the slice is, columns what was read.

    Args:
        matrix: counts, (k, k).
        normalised: show each row's shares instead of counts.
        classes: the k classes, of `brat.CLASSES` or "tumor".
    """
    matrix = np.asarray(matrix, float)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    text = [[percent(v) for v in row] for row in shares] if normalised else matrix.astype(int).astype(str)
    # Broken over two lines, or a phone would write them slanted.
    names = [NAMES[name].replace(" ", "<br>") for name in classes]
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=names,
            y=names,
            text=text,
            texttemplate="%{text}",
            textfont={"size": 15},
            # From a tint, not from white, which would glare on a dark page.
            colorscale=[[0, "#BCD5E6"], [1, "#003F66"]],
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
        xaxis={"title": {"text": "read as"}, "side": "top", "tickangle": 0, "fixedrange": True},
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
        (quantity, "training (augmented)", OTHER_COLOURS[0], "solid"),
        (f"val_{quantity}", "validation", OTHER_COLOURS[1], "dash"),
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


def reliability(before: Mapping[str, Sequence], after: Mapping[str, Sequence]) -> go.Figure:
    """Reliability diagram: how often readings of a given confidence are right.

    Args:
        before, after: `confidence`, `accuracy` and `count` a bin, see `brat.evaluation.reliability`;
            None where a bin is empty.
    """
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", name="perfect", line={"color": QUIET_COLOUR, "dash": "dot"}
    )
    for title, bars, colour, symbol, dash in (
        ("before calibration", before, OTHER_COLOURS[1], "x", "dash"),
        ("after", after, OTHER_COLOURS[0], "circle", "solid"),
    ):
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
    figure = _plot(figure, "confidence", "share right", (0, 1.02), (0, 1.03))
    figure.update_layout(legend={"orientation": "v", "x": 1, "xanchor": "right", "y": 0.03})
    return figure


def roc(curves: Mapping[str, Mapping], operating_point: tuple[float, float] | None = None) -> go.Figure:
    """ROC curves, each class against the rest, from `brat.evaluation.results.curves`.

    Args:
        curves: class, of `brat.CLASSES` or "tumor" -> its curves.
        operating_point: 1 - specificity and sensitivity of the answers that the app gives.
    """
    figure = _class_curves(curves, "roc", "1 - specificity", "sensitivity", operating_point)
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": QUIET_COLOUR, "dash": "dot", "width": 1},
        name="chance",
    )
    figure.update_layout(legend={"orientation": "v", "x": 1, "xanchor": "right", "y": 0.03})
    return figure


def precision_recall(
    curves: Mapping[str, Mapping], operating_point: tuple[float, float] | None = None
) -> go.Figure:
    """Precision-recall curves, each class against the rest, from `brat.evaluation.results.curves`.

    Args:
        curves: class, of `brat.CLASSES` or "tumor" -> its curves.
        operating_point: sensitivity and precision of the answers that the app gives.
    """
    figure = _class_curves(curves, "precision_recall", "sensitivity (recall)", "precision", operating_point)
    figure.update_layout(legend={"orientation": "v", "x": 0.02, "xanchor": "left", "y": 0.03})
    return figure


def _class_curves(
    curves: Mapping[str, Mapping], key: str, across: str, up: str, point: tuple[float, float] | None
) -> go.Figure:
    figure = go.Figure()
    for (name, curve), dash in zip(curves.items(), _DASHES, strict=False):
        figure.add_scatter(
            x=curve[key]["x"],
            y=curve[key]["y"],
            name=NAMES[name],
            mode="lines",
            line={"color": _COLOURS[name], "dash": dash},
        )
    if point:
        figure.add_scatter(
            x=[point[0]],
            y=[point[1]],
            name="in the app",
            mode="markers",
            marker={"size": 12, "color": OTHER_COLOURS[1], "symbol": "diamond"},
        )
    return _plot(figure, across, up, (-0.01, 1.01), (0, 1.02))


def coverage(sets: Mapping[str, Mapping[str, Mapping]]) -> go.Figure:
    """How often prediction sets hold the truth, by class, beside what their level promises.

    Args:
        sets: level, such as "0.95" -> `coverage/CLASS` -> an estimate, see
            `brat.evaluation.reliability.measure_calibration`.
            A class that was not measured is left out.
    """
    figure = go.Figure()
    levels = [percent(float(level)) for level in sets]
    lowest = 0.8
    for name, symbol, shift in zip(CLASSES, _SYMBOLS, (-0.24, -0.08, 0.08, 0.24), strict=True):
        held = [entry[f"coverage/{name}"] for entry in sets.values()]
        if any(entry["value"] is None for entry in held):
            continue
        lowest = min(lowest, *(entry["low"] - 0.01 for entry in held))
        figure.add_scatter(
            x=[place + shift for place in range(len(held))],
            y=[entry["value"] for entry in held],
            error_y=_bars(held, CLASS_COLOURS[name]),
            name=CLASS_NAMES[name],
            mode="markers",
            marker={"color": CLASS_COLOURS[name], "symbol": symbol, "size": 9},
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
    figure = _plot(figure, "set", "share that holds the truth", None, (lowest, 1.005))
    figure.update_xaxes(tickvals=list(range(len(levels))), ticktext=levels)
    return figure


def sites(by_site: Mapping[str, Mapping[str, Mapping]]) -> go.Figure:
    """Sensitivity for each class in each source, with its interval, class by class.

    Args:
        by_site: site -> class -> `slices` and `metrics`, see `brat.evaluation.protocols.four_classes`.
    """
    figure = go.Figure()
    rows = 0
    for name, symbol in zip(CLASSES, _SYMBOLS, strict=True):
        cells = {site: labels[name] for site, labels in by_site.items() if name in labels}
        rows += len(cells)
        found = [cell["metrics"]["sensitivity"] for cell in cells.values()]
        figure.add_scatter(
            x=[entry["value"] for entry in found],
            y=[
                f"<b>{CLASS_NAMES[name]}</b>, {cell['slices']:,} slices<br>{site}"
                for site, cell in cells.items()
            ],
            error_x=_bars(found, CLASS_COLOURS[name]),
            mode="markers",
            marker={"color": CLASS_COLOURS[name], "symbol": symbol, "size": 10},
            hovertemplate="%{x:.1%}<extra></extra>",
        )
    figure = _plot(figure, "sensitivity", "", None, None)
    figure.update_layout(height=60 + 44 * rows, showlegend=False)
    figure.update_yaxes(autorange="reversed", tickfont={"size": 12})
    figure.update_xaxes(tickformat=".0%")
    return figure


def _bars(estimates: Sequence[Mapping[str, float]], colour: str) -> dict:
    """Error bars from estimates with `value`, `low` and `high`."""
    return {
        "array": [entry["high"] - entry["value"] for entry in estimates],
        "arrayminus": [entry["value"] - entry["low"] for entry in estimates],
        "color": colour,
        "thickness": 1,
    }


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
        error_y=_bars(change["accuracy"], OTHER_COLOURS[0]),
        hovertemplate="%{x}: %{y:.1%}<extra></extra>",
    )
    floor = min(0.5, *(entry["low"] for entry in change["accuracy"]))
    figure = _plot(figure, f"{name}: {change['unit']}", "accuracy", None, (floor, 1))
    figure.update_layout(height=220, showlegend=False)
    # Levels stand evenly, as names: what matters is how many steps a scan can take.
    figure.update_xaxes(type="category", title={"font": {"size": 13}})
    figure.update_yaxes(tickformat=".0%")
    return figure


def nearest_neighbours(nearest: Mapping) -> go.Figure:
    """How like its nearest neighbour each image of an audit is, and the threshold of a near-duplicate."""
    edges = np.array(nearest["edges"])
    middles = (edges[1:] + edges[:-1]) / 2
    twin = middles > nearest["threshold"]
    figure = go.Figure()
    for title, rows, colour, pattern in (
        ("near-duplicates", twin, OTHER_COLOURS[1], "/"),
        ("others", ~twin, QUIET_COLOUR, ""),
    ):
        figure.add_bar(
            x=middles[rows],
            y=np.array(nearest["counts"])[rows],
            width=np.diff(edges)[rows],
            name=title,
            marker={"color": colour, "pattern": {"shape": pattern}},
        )
    figure.add_vline(x=nearest["threshold"], line={"dash": "dash", "color": QUIET_COLOUR})
    lowest = edges[np.flatnonzero(nearest["counts"])[0]]
    return _plot(figure, "correlation with the nearest other image", "images", (lowest, 1.005), None)


def place_in_words(cam: np.ndarray) -> str:
    """Where a map is brightest, for those who cannot see it: "brightest at the upper left", or "empty".

    Args:
        cam: float (height, width); left and right are the picture's, not the patient's.
    """
    if cam.max() <= 0:
        return "empty"
    row, column = np.unravel_index(np.argmax(cam), cam.shape)
    up = ("upper", "", "lower")[3 * row // cam.shape[0]]
    across = ("left", "", "right")[3 * column // cam.shape[1]]
    place = " ".join(word for word in (up, across) if word)
    return f"brightest at the {place}" if place else "brightest in the middle"


def _plot(figure: go.Figure, across: str, up: str, x_range, y_range) -> go.Figure:
    figure.update_layout(
        margin=_MARGIN,
        height=340,
        # Broken where a phone would cut it off.
        xaxis={"title": {"text": "<br>".join(wrap(across, 32))}, "range": x_range, "fixedrange": True},
        yaxis={"title": {"text": up}, "range": y_range, "fixedrange": True},
        legend={"orientation": "h", "y": 1.12},
    )
    return figure
