"""The colours of the classes: the same everywhere, of nothing else, and never the only difference."""

from __future__ import annotations

import ast
import tomllib

import numpy as np
import pytest

from brat.classes import CLASS_COLOURS, CLASSES, OTHER_COLOURS, QUIET_COLOUR
from brat.figures.classification import precision_recall, roc, sites
from brat.figures.reliability import coverage, reliability
from brat.figures.stability import stability
from brat.figures.training import curves as training_curves
from brat.figures.training import nearest_neighbours
from brat.perturb.stability import LEVELS, Stability, Step
from tests.factories.paths import ROOT

SOURCES = [
    file
    for folder in ("brat", "pages", "benchmarks")
    for file in (ROOT / folder).rglob("*.*")
    if file.suffix in (".py", ".js", ".css", ".html")
]


def test_they_are_written_in_one_place():
    assert len(SOURCES) > 60
    for colour in (*CLASS_COLOURS.values(), *OTHER_COLOURS, QUIET_COLOUR):
        found = [file for file in SOURCES if colour.lower() in file.read_text(encoding="utf-8").lower()]
        assert found == [ROOT / "brat" / "classes.py"]


def luminance(colour: str) -> float:
    """WCAG 2.1's relative luminance."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def background(scheme: str) -> str:
    return tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["theme"][scheme][
        "backgroundColor"
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("colour", [*OTHER_COLOURS, *CLASS_COLOURS.values()])
def test_they_stand_out_from_the_page(colour, scheme):
    high, low = sorted((luminance(colour), luminance(background(scheme))), reverse=True)
    # WCAG 2.1, 1.4.11; the class colours are a standard palette, and their names stand beside them.
    assert (high + 0.05) / (low + 0.05) >= (3 if colour in OTHER_COLOURS else 2.5)


def curves() -> dict:
    points = {"x": [0, 0.5, 1], "y": [0, 0.8, 1]}
    return {name: {"roc": points, "precision_recall": points} for name in CLASSES}


def estimate(value: float) -> dict:
    return {"value": value, "low": value - 0.05, "high": value + 0.05}


def drawn():
    """Every figure that shows classes, by name."""
    yield "roc", roc(curves())
    yield "precision-recall", precision_recall(curves())
    held = {f"coverage/{name}": estimate(0.9) for name in CLASSES}
    yield "coverage", coverage({"0.9": held, "0.95": held})
    cell = {"slices": 10, "clusters": 5, "metrics": {"sensitivity": estimate(0.8)}}
    yield "sites", sites({"one": dict.fromkeys(CLASSES, cell)})
    shares = np.array([0.7, 0.1, 0.1, 0.1], np.float32)
    steps = tuple(Step(change, level, shares, "glioma") for change in LEVELS for level in LEVELS[change])
    yield "stability", stability(Stability(shares, "glioma", steps))


@pytest.mark.parametrize(("name", "figure"), [*drawn()], ids=[name for name, _ in drawn()])
def test_no_class_is_told_by_its_colour_alone(name, figure):
    looks = {}
    labels = {colour: label for label, colour in CLASS_COLOURS.items()}
    for trace in figure.data:
        colour = trace.line.color or trace.marker.color
        if colour in labels:
            looks.setdefault(labels[colour], set()).add((trace.line.dash, trace.marker.symbol))
    assert set(looks) == set(CLASSES)
    assert all(len(one) == 1 for one in looks.values())
    assert len(set(map(frozenset, looks.values()))) == len(CLASSES)


def others():
    """Every figure that tells apart by colour what is of no class, by name."""
    bins = {"confidence": [0.5, 0.9], "accuracy": [0.4, 0.9], "count": [30, 40]}
    yield "reliability", reliability(bins, bins)
    yield "training", training_curves([{"epoch": 0, "loss": 1, "val_loss": 2}], "loss")
    nearest = {"edges": [0, 0.5, 0.9, 1], "counts": [3, 2, 1], "threshold": 0.8}
    yield "nearest-images", nearest_neighbours(nearest)


@pytest.mark.parametrize(("name", "figure"), [*others()], ids=[name for name, _ in others()])
def test_nothing_else_is_told_by_its_colour_alone(name, figure):
    looks = {}
    for trace in figure.data:
        if trace.type == "bar":
            colour, look = trace.marker.color, trace.marker.pattern.shape
        else:
            colour = trace.line.color or trace.marker.color
            look = (trace.mode, trace.line.dash, trace.marker.symbol)
        looks.setdefault(colour, set()).add(look)
    assert len(looks) > 1
    seen = [look for one in looks.values() for look in one]
    assert len(seen) == len(set(seen))


def called(tree: ast.AST) -> dict[str, list[ast.Call]]:
    """Every call below, by the last part of its name."""
    calls = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            calls.setdefault(name, []).append(node)
    return calls


def without_numbers(file: str, source: str) -> list[tuple[str, str]]:
    """Charts that bypass `pages.parts.captioned_figures`, or are followed by neither words nor a CSV file."""
    tree = ast.parse(source)
    bare = [
        (file, "plotly_chart") for _ in called(tree).get("plotly_chart", []) if file != "captioned_figures.py"
    ]
    for part in tree.body:
        calls = called(part)
        if "chart" in calls and "numbers" not in calls:
            bare.append((file, getattr(part, "name", "")))
    return bare


def test_every_chart_has_words_and_numbers():
    chart = "def draw():\n    chart(drawn, name, what)\n"
    assert without_numbers("a.py", f"st.plotly_chart(drawn)\n{chart}") == [
        ("a.py", "plotly_chart"),
        ("a.py", "draw"),
    ]
    assert not without_numbers("a.py", f"{chart}    numbers(name, says, rows)\n")
    pages = (ROOT / "pages").rglob("*.py")
    assert not [bare for page in pages for bare in without_numbers(page.name, page.read_text("utf-8"))]


def test_every_picture_and_table_has_words():
    bare = []
    for page in (ROOT / "pages").rglob("*.py"):
        calls = called(ast.parse(page.read_text(encoding="utf-8")))
        for kind in ("plotly_chart", "image", "dataframe"):
            for node in calls.get(kind, []):
                alt = {keyword.arg: keyword.value for keyword in node.keywords}.get("alt")
                # An empty text passes over a picture that the control below it names; no chart is one.
                empty = isinstance(alt, ast.Constant) and not alt.value
                if alt is None or (empty and kind == "plotly_chart"):
                    bare.append((page.name, node.lineno, kind))
    assert not bare


def test_the_picture_has_a_dark_room_of_its_own_in_either_theme():
    dark = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["theme"]["dark"]
    css = (ROOT / "pages" / "viewer" / "viewer.css").read_text()
    for name in ("primary", "background", "text"):
        assert f"--st-{name}-color: {dark[name + 'Color'].lower()};" in css
