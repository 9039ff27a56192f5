"""Parts of the Model page: how far an answer can be trusted, what was learned from, and what it is for.

Each part is made from its entry of `metrics.json` or of the model card.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from brat.figures import reliability as reliability_charts
from brat.figures import training as training_charts
from brat.figures.maps import place_in_words
from brat.io.read import read_scan
from brat.io.samples import load_samples
from brat.model.calibration import DEFAULT_LEVEL
from brat.model.explain import blend, grad_cam, onto_scan
from brat.model.reader import Reader
from pages.parts import metrics_tables
from pages.parts.captioned_figures import chart, figure, numbers, table
from pages.words import trust as words
from pages.words.numbers import estimate, share

SIZES = {
    "No class": "share/0",
    "One class": "share/1",
    "Two": "share/2",
    "Three": "share/3",
    "All four": "share/4",
}
"""How many classes a prediction set names, and the key of that share in `metrics.json`."""

MATTERS = 0.03
"""A change that costs less accuracy than this is shown on demand only."""


def calibration(measured: Mapping) -> None:
    """Reliability, and what the prediction sets hold."""
    before, after, sets = measured["before"]["ece"], measured["after"]["ece"], measured["sets"]
    st.markdown(words.calibration(after, measured["temperature"], before))
    left, right = st.columns(2, gap="large")
    with left:
        # The last bin holds most slices, and says how far the surest readings can be trusted.
        bins = measured["after"]["bins"]
        figure(
            reliability_charts.reliability(measured["before"]["bins"], measured["after"]["bins"]),
            "reliability",
            "Reliability diagram",
            words.surest(bins),
            metrics_tables.reliability(measured),
        )
    with right:
        rows = metrics_tables.prediction_sets(sets)
        of_class = rows[rows["measure"].str.startswith("coverage/")].dropna()
        below = of_class.assign(gap=of_class["value"] - of_class["level"]).sort_values("gap").iloc[0]
        figure(
            reliability_charts.coverage(sets),
            "coverage",
            words.COVERAGE,
            words.furthest_below(below["measure"].split("/")[1], below["level"], below["value"])
            if below["gap"] < 0
            else words.AS_PROMISED,
            rows,
        )
    shown = pd.DataFrame(
        {
            "Holds the truth": [estimate(entry["coverage"]) for entry in sets.values()],
            "Classes in it": [f"{entry['size']['value']:.2f}" for entry in sets.values()],
            **{
                title: [share(entry[key]["value"]) for entry in sets.values()]
                for title, key in SIZES.items()
                if all(key in entry for entry in sets.values())
            },
        },
        index=[words.level(float(level)) for level in sets],
    )
    table(shown, "prediction-sets", words.SETS, rows)
    if by_group := measured.get("sets_by_group", {}).get(str(DEFAULT_LEVEL)):
        by_group_shown = pd.DataFrame(
            {
                "Slices": [f"{entry['slices']:,}" for entry in by_group.values()],
                "Holds the truth": [estimate(entry["coverage"]) for entry in by_group.values()],
                "Classes in it": [f"{entry['size']['value']:.2f}" for entry in by_group.values()],
            },
            index=[words.group(name) for name in by_group],
        )
        caption = words.sets_by_group(DEFAULT_LEVEL)
        table(by_group_shown, "sets-by-group", caption, _rows_by_group(by_group))


def out_of_distribution(measured: Mapping) -> None:
    """What the out-of-distribution check refuses."""
    images, refused = refused_totals(measured)
    through = [
        words.let_through(kind, entry["images"] - entry["refused"], entry["images"])
        for kind, entry in measured["others"].items()
        if entry["refused"] < entry["images"]
    ]
    st.markdown(
        words.out_of_distribution(
            measured["slices"],
            measured["refused"],
            measured.get("refused_without_skull"),
            images,
            refused / images,
            through,
        )
    )
    if by_group := measured.get("refused_by_group"):
        caption = words.refused_by_group(by_group)
        numbers("refused-by-group", caption, _rows_by_group(by_group))
    numbers("out-of-distribution", words.BY_KIND, metrics_tables.out_of_distribution(measured))


def _measures(entry: Mapping) -> Iterator[tuple[str, Mapping]]:
    """Name and estimate of what was measured of a group: one estimate, or several by name."""
    if "value" in entry:
        yield "refused", {key: entry[key] for key in ("value", "low", "high")}
    else:
        estimates = ((key, value) for key, value in entry.items() if key != "slices")
        # A class that a group has no slice of was not measured there.
        yield from ((key, value) for key, value in estimates if value["value"] is not None)


def _rows_by_group(groups: Mapping[str, Mapping]) -> pd.DataFrame:
    """What was measured of each source and sequence.

    Args:
        groups: "SOURCE/SEQUENCE" -> `slices` and what was measured.
    """
    return pd.DataFrame(
        [
            {"group": name, "slices": entry["slices"], "measure": measure, **values}
            for name, entry in groups.items()
            for measure, values in _measures(entry)
        ]
    )


def refused_totals(measured: Mapping) -> tuple[int, int]:
    """How many pictures are no brain MRI slice, and how many of them are refused."""
    others = measured["others"].values()
    return sum(entry["images"] for entry in others), sum(entry["refused"] for entry in others)


def map_quality(localisation: Mapping, maps: Mapping | None) -> None:
    """How well the maps lie in the boxes, by every method that was measured."""
    pointing, energy, chance = (localisation["metrics"][name] for name in ("pointing", "energy", "chance"))
    st.markdown(words.maps(localisation["slices"], pointing, energy, chance))
    if by_source := localisation.get("by_source"):
        rows = pd.DataFrame(
            [
                {"source": source, "slices": entry["slices"], "measure": name, **values}
                for source, entry in by_source.items()
                for name, values in entry["metrics"].items()
            ]
        )
        pointing_of = {source: entry["metrics"]["pointing"] for source, entry in by_source.items()}
        numbers("maps-by-source", words.maps_by_source(pointing_of), rows)
    if not maps:
        return
    methods = maps["methods"]
    shown = pd.DataFrame(
        {
            "Slices": [f"{entry.get('slices', maps.get('slices')):,}" for entry in methods.values()],
            "Brightest place in the box": [estimate(entry["pointing"]) for entry in methods.values()],
            "Sum in the box": [estimate(entry["energy"]) for entry in methods.values()],
        },
        index=list(methods),
    )
    points = {method: entry["pointing"]["value"] for method, entry in methods.items()}
    best = [method for method, value in points.items() if value == max(points.values())]
    table(shown, "maps", words.best_map(best), metrics_tables.maps(maps))


@st.cache_data(show_spinner="Reading the samples …")
def read_examples(weights: Path, modified: float) -> list[tuple]:
    """The samples with a tumour: name, scan, scan with the map of its class, and words for each."""
    reader = Reader(weights)
    examples = []
    for sample in load_samples():
        if sample.label == "no_tumor":
            continue
        gray = read_scan(sample.file).gray
        reading = reader.read(gray)
        answer = reading.prediction
        cam = onto_scan(grad_cam(answer, sample.label), reading.geometry)
        where = place_in_words(cam)
        caption = words.example(sample.title, answer.label, answer.confidence)
        examples.append(
            (sample.name, gray, blend(gray, cam, 0.6), caption, words.example_map(sample.label, where))
        )
    return examples


def examples(weights: Path) -> None:
    """The model that ships, on samples that may be shown."""
    st.subheader("Examples", anchor=False)
    st.markdown(words.EXAMPLES_ARE)
    samples = read_examples(weights, max(file.stat().st_mtime for file in weights.iterdir()))
    for start in range(0, len(samples), 3):
        for column, shown in zip(st.columns(3), samples[start : start + 3], strict=False):
            name, scan, mapped, caption, alt = shown
            with column, st.container(key=f"example-{name}"):
                with st.container(horizontal=True, gap="xsmall", wrap=False):
                    st.image(scan, width="stretch", alt="The scan")
                    st.image(mapped, width="stretch", alt=alt)
                st.caption(caption)


def robustness(measured: Mapping) -> None:
    """Accuracy under every change; those that cost little only on demand."""
    unchanged = unchanged_accuracy(measured)
    lost = {
        name: unchanged - min(entry["value"] for entry in change["accuracy"])
        for name, change in measured["changes"].items()
    }
    names = sorted(lost, key=lost.__getitem__, reverse=True)
    heavy, light = [n for n in names if lost[n] >= MATTERS], [n for n in names if lost[n] < MATTERS]
    st.markdown(words.robustness(measured["slices"], unchanged))

    def draw(names: Sequence[str]) -> None:
        for start in range(0, len(names), 3):
            for column, name in zip(st.columns(3), names[start : start + 3], strict=False):
                with column:
                    drawn = reliability_charts.robustness(measured["changes"][name], name, unchanged)
                    chart(drawn, f"robustness-{name}", words.against(name, lost[name]))

    draw(heavy)
    if light:
        with st.expander(words.cost_little(len(light), MATTERS)):
            draw(light)
    costs = {name: lost[name] for name in names}
    numbers("robustness", words.lost(costs), metrics_tables.robustness(measured))


def unchanged_accuracy(measured: Mapping) -> float:
    """Of the slices as they are: a step of 0 changes nothing, whatever is changed."""
    rows = metrics_tables.robustness(measured)
    return rows.loc[rows["level"] == 0, "value"].iloc[0]


def audit(measured: Mapping) -> None:
    """How like each other the images are, and what stands on both sides of the usual split."""
    st.markdown(words.audit(measured["names"], measured["images"], leaks(measured)))
    near = measured["nearest"]
    rows = metrics_tables.nearest(near)
    duplicates = rows.loc[(rows["from"] + rows["to"]) / 2 > near["threshold"], "images"].sum()
    figure(
        training_charts.nearest_neighbours(near),
        "nearest-images",
        words.NEAREST,
        words.duplicates(duplicates, rows["images"].sum(), near["threshold"]),
        rows,
    )
    with st.expander("Between collections and splits"):
        for title, matrix in {"collections": measured["collections"], **measured["splits"]}.items():
            table(
                pd.DataFrame(
                    [[share(value) for value in row] for row in matrix["near"]],
                    index=matrix["of"],
                    columns=matrix["of"],
                ),
                f"near-duplicates-{title}",
                words.duplicates_between(title if title in measured["splits"] else None),
                metrics_tables.near_duplicates(matrix),
            )


def leaks(measured: Mapping) -> str | None:
    """How much of a collection's test split has a near-duplicate in its training split."""
    sentences = []
    for name, matrix in measured["splits"].items():
        if {"train", "test"} <= set(matrix["of"]):
            test, train = matrix["of"].index("test"), matrix["of"].index("train")
            sentences.append(words.leak(name, matrix["near"][test][train]))
    return " ".join(sentences) or None


def training(history: Sequence[Mapping], columns: Sequence[DeltaGenerator]) -> None:
    """The curves of the run that made the model that ships, and of held-out slices where they were recorded.

    Args:
        columns: two, for accuracy and loss.
    """
    rows = pd.DataFrame(history)
    for column, quantity in zip(columns, ("accuracy", "loss"), strict=True):
        ends = {
            key: [f"{rows[key].iloc[place]:.2f}" for place in (0, -1)]
            for key in (quantity, f"val_{quantity}")
            if key in rows and rows[key].notna().all()
        }
        with column:
            figure(
                training_charts.curves(history, quantity),
                f"training-{quantity}",
                words.curve(quantity),
                words.goes(ends[quantity], ends.get(f"val_{quantity}", ()), len(rows)),
                rows[["epoch", *ends]],
                fills=True,
            )


def show_card(card: Mapping | None) -> None:
    """The model card, where there is one."""
    if card:
        st.header("Model card", anchor=False)
        model_card(card)


def model_card(card: Mapping) -> None:
    """What the model is, what it learned from and what it is for."""
    recipe, slices = card["recipe"], card["train_slices"]
    st.markdown(
        words.card(
            megabytes=card["model.tflite"]["bytes"] / 1e6,
            trained=card["trained"][:10],
            backbone=card["backbone"]["name"],
            epochs=recipe["epochs"],
            a_epoch=recipe["slices_per_epoch"],
            slices=slices,
            sources=card["sources"],
            boxes=card["boxes"],
        )
    )
    with st.expander("The full model card"):
        st.json(card)
