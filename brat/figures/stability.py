"""The picture of `brat.perturb.stability`: how the probability of each class moves under each kind of
change."""

from __future__ import annotations

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from brat.classes import CLASS_COLOURS, CLASS_NAMES, CLASSES, QUIET_COLOUR
from brat.perturb.stability import LEVELS, Stability

_AS_IS = "as is"

_TITLES = {
    "CLAHE": "CLAHE,<br>clip limit",
    "brightness": "Brightness,<br>% of full scale",
    "rotation": "Rotation,<br>degrees",
    "crop": "Cut off each<br>edge, %",
}
_IN_PER_CENT = ("brightness", "crop")

# As in the other figures, so that a class is told apart without its colour.
_DASHES = ("solid", "dash", "dot", "dashdot")
_SYMBOLS = ("circle", "square", "diamond", "cross")


def stability(found: Stability) -> go.Figure:
    """One panel for each kind of change, the levels side by side, a line for each class.

    A ring marks each level at which another class than that of the scan as it is comes first.
    """
    figure = make_subplots(
        rows=2,
        cols=2,
        shared_yaxes=True,
        horizontal_spacing=0.05,
        vertical_spacing=0.24,
        subplot_titles=[_TITLES[change] for change in LEVELS],
    )
    for panel, change in enumerate(LEVELS):
        cell = {"row": panel // 2 + 1, "col": panel % 2 + 1}
        steps = [step for step in found.steps if step.change == change]
        rows = [(step.level, step.probabilities, step.label) for step in steps]
        rows = sorted([(0, found.probabilities, found.label), *rows], key=lambda row: row[0])
        levels = [_level(change, level) for level, _, _ in rows]
        for place, name in enumerate(CLASSES):
            figure.add_scatter(
                x=levels,
                y=[float(probabilities[place]) for _, probabilities, _ in rows],
                name=CLASS_NAMES[name],
                legendgroup=name,
                showlegend=panel == 0,
                mode="lines+markers",
                line={"color": CLASS_COLOURS[name], "dash": _DASHES[place]},
                marker={"symbol": _SYMBOLS[place], "size": 8},
                hovertemplate=CLASS_NAMES[name] + ", %{x}: %{y:.1%}<extra></extra>",
                **cell,
            )
        flipped = [
            (x, float(row[1].max())) for x, row in zip(levels, rows, strict=True) if row[2] != found.label
        ]
        figure.add_scatter(
            x=[x for x, _ in flipped],
            y=[y for _, y in flipped],
            name="other answer",
            legendgroup="flipped",
            # Named once, in the first panel that has one, drawn or not.
            showlegend=panel == 0 and bool(found.flips),
            mode="markers",
            marker={"symbol": "circle-open", "size": 18, "color": QUIET_COLOUR, "line": {"width": 2}},
            hoverinfo="skip",
            **cell,
        )
        # Levels stand evenly, as names: what matters is how many steps the answer takes.
        figure.update_xaxes(type="category", categoryarray=levels, categoryorder="array", **cell)
    figure.update_xaxes(fixedrange=True, tickangle=0, tickfont={"size": 11})
    figure.update_yaxes(range=[-0.04, 1.06], tickformat=".0%", dtick=0.25, fixedrange=True)
    figure.update_annotations(font={"size": 13})
    figure.update_layout(
        margin={"l": 0, "r": 0, "t": 40, "b": 0},
        height=480,
        legend={"orientation": "h", "y": -0.12},
    )
    return figure


def _level(change: str, level: float) -> str:
    if not level:
        return _AS_IS
    number = 100 * level if change in _IN_PER_CENT else level
    both_ways = min(LEVELS[change]) < 0
    return (f"{number:+.0f}" if both_ways else f"{number:.0f}").replace("-", "−")
