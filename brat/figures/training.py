"""Charts of what the model learned from, and how: training curves, and how alike the images are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from brat.classes import OTHER_COLOURS, QUIET_COLOUR
from brat.figures.charts import LEGEND, MARGIN, layout


def curves(history: Sequence[Mapping[str, float]], quantity: str) -> go.Figure:
    """One quantity of a training run, epoch by epoch, in training and on held-out slices if it was followed.

    Args:
        history: one record an epoch, with `epoch`, the quantity and perhaps `val_` and the quantity.
        quantity: "loss" or "accuracy".
    """
    figure = go.Figure()
    epochs = [int(row["epoch"]) + 1 for row in history]
    for key, title, colour, dash in (
        (quantity, "training (augmented)", OTHER_COLOURS[0], "solid"),
        (f"val_{quantity}", "held out", OTHER_COLOURS[1], "dash"),
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
        margin=MARGIN,
        height=280,
        # About seven numbers, whole ones: more are turned on their side.
        xaxis={"title": {"text": "epoch"}, "tick0": 0, "dtick": -(-len(epochs) // 7), "fixedrange": True},
        yaxis={"title": {"text": quantity}, "fixedrange": True},
        legend=LEGEND,
        showlegend=True,
    )
    return figure


def nearest_neighbours(nearest: Mapping) -> go.Figure:
    """How like its nearest neighbour each image of an audit is, and the threshold of a near-duplicate."""
    edges = np.array(nearest["edges"])
    middles = (edges[1:] + edges[:-1]) / 2
    is_duplicate = middles > nearest["threshold"]
    figure = go.Figure()
    for title, rows, colour, pattern in (
        ("near-duplicates", is_duplicate, OTHER_COLOURS[1], "/"),
        ("others", ~is_duplicate, QUIET_COLOUR, ""),
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
    return layout(figure, "correlation with the nearest other image", "images", (lowest, 1.005), None)
