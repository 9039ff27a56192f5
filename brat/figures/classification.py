"""Charts of how often the answer is right: confusion matrix, ROC and precision-recall curves, sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from brat.classes import CLASS_COLOURS, CLASS_NAMES, CLASSES, OTHER_COLOURS, QUIET_COLOUR
from brat.figures.charts import COLOURS, DASHES, NAMES, SYMBOLS, error_bars, layout
from brat.wording import percent


def confusion(
    matrix: Sequence[Sequence[float]] | np.ndarray, normalised: bool, classes: Sequence[str] = CLASSES
) -> go.Figure:
    """Confusion matrix: rows are what the slice is, columns what was read.

    Args:
        matrix: counts, (k, k).
        normalised: show each row's shares instead of counts.
        classes: the k classes, of `brat.CLASSES` or "tumor".
    """
    counts = np.asarray(matrix, float)
    of_row = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    text = (
        [[percent(value) for value in row] for row in of_row]
        if normalised
        else counts.astype(int).astype(str)
    )
    # Broken over two lines, or a phone would write them slanted.
    names = [NAMES[name].replace(" ", "<br>") for name in classes]
    figure = go.Figure(
        go.Heatmap(
            z=of_row,
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
        height=300,
        xaxis={"title": {"text": "read as"}, "side": "top", "tickangle": 0, "fixedrange": True},
        yaxis={"title": {"text": "is"}, "autorange": "reversed", "fixedrange": True},
    )
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
    for (name, curve), dash in zip(curves.items(), DASHES, strict=False):
        figure.add_scatter(
            x=curve[key]["x"],
            y=curve[key]["y"],
            name=NAMES[name],
            mode="lines",
            line={"color": COLOURS[name], "dash": dash},
        )
    if point:
        figure.add_scatter(
            x=[point[0]],
            y=[point[1]],
            name="in the app",
            mode="markers",
            marker={"size": 12, "color": OTHER_COLOURS[1], "symbol": "diamond"},
        )
    return layout(figure, across, up, (-0.01, 1.01), (0, 1.02))


def sites(by_site: Mapping[str, Mapping[str, Mapping]]) -> go.Figure:
    """Sensitivity for each class in each source, with its interval, class by class.

    Args:
        by_site: site -> class -> `slices` and `metrics`, see `brat.evaluation.protocols.four_classes`.
    """
    figure = go.Figure()
    rows = 0
    for name, symbol in zip(CLASSES, SYMBOLS, strict=True):
        cells = {site: labels[name] for site, labels in by_site.items() if name in labels}
        rows += len(cells)
        estimates = [cell["metrics"]["sensitivity"] for cell in cells.values()]
        figure.add_scatter(
            x=[entry["value"] for entry in estimates],
            y=[f"<b>{CLASS_NAMES[name]}</b>, {cell['slices']:,}<br>{site}" for site, cell in cells.items()],
            error_x=error_bars(estimates, CLASS_COLOURS[name]),
            mode="markers",
            marker={"color": CLASS_COLOURS[name], "symbol": symbol, "size": 10},
            hovertemplate="%{x:.1%}<extra></extra>",
        )
    figure = layout(figure, "sensitivity; beside each class its slices", "", None, None)
    figure.update_layout(height=60 + 44 * rows, showlegend=False)
    figure.update_yaxes(autorange="reversed", tickfont={"size": 12})
    figure.update_xaxes(tickformat=".0%")
    return figure
