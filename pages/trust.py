"""Parts of the Model page: how far an answer can be trusted, what was learned from, and what it is for.

Each part is made from its entry of `metrics.json` or of the model card.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from brat import figures
from brat.explain import blend, grad_cam, onto_scan
from brat.figures import NAMES, percent
from brat.reader import Reader
from brat.samples import load_samples
from brat.scans import read_scan
from pages import tables
from pages.exhibits import estimate, figure, numbers, share, table

SIZES = {
    "No class": "share/0",
    "One class": "share/1",
    "Two": "share/2",
    "Three": "share/3",
    "All four": "share/4",
}
"""How many classes a prediction set names."""

MATTERS = 0.03
"""A change that costs less accuracy than this is shown on demand only."""


def calibration(found: Mapping) -> None:
    """Reliability, and what the prediction sets hold."""
    before, after, sets = found["before"]["ece"], found["after"]["ece"], found["sets"]
    st.markdown(
        "A probability is right if of a hundred slices with 80 % eighty are what the model says. The mean "
        f"gap (expected calibration error) is **{estimate(after)}**; without calibration (temperature "
        f"{found['temperature']:.2f}) it is {estimate(before)}. The **prediction set** lists the classes "
        "that cannot be ruled out; it is to hold the truth as often as its level promises. Both are fitted "
        "to other folds than those they are measured on."
    )
    left, right = st.columns(2, gap="large")
    with left:
        # The last bin holds most slices, and says how far the surest readings can be trusted.
        bins = found["after"]["bins"]
        figure(
            figures.reliability(found["before"]["bins"], found["after"]["bins"]),
            "reliability",
            "Reliability diagram",
            f"The surest {bins['count'][-1]:,.0f} of {sum(bins['count']):,.0f} slices are read with "
            f"{share(bins['confidence'][-1])} on average, and {share(bins['accuracy'][-1])} of them rightly. "
            "Small marks stand for few slices."
            if bins["count"][-1]
            else "Small marks stand for few slices.",
            tables.reliability(found),
        )
    with right:
        rows = tables.prediction_sets(sets)
        of_class = rows[rows["measure"].str.startswith("coverage/")].dropna()
        below = of_class.assign(gap=of_class["value"] - of_class["level"]).sort_values("gap").iloc[0]
        figure(
            figures.coverage(sets),
            "coverage",
            "Coverage of the prediction sets by class and level, with 95 % intervals",
            f"Furthest below its promise: {NAMES[below['measure'].split('/')[1]].lower()} in the "
            f"{percent(below['level'])} set, held in {share(below['value'])}."
            if below["gap"] < 0
            else "Every class is held as often as promised, or oftener.",
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
        index=[f"{percent(float(level))} set".replace(" ", "\u00a0") for level in sets],
    )
    table(shown, "prediction-sets", "Shares of slices, by how many classes their set names.", rows)


def gate(found: Mapping) -> None:
    """What is refused."""
    images, refused = gate_totals(found)
    through = [
        f"{kind} ({entry['images'] - entry['refused']} of {entry['images']})"
        for kind, entry in found["others"].items()
        if entry["refused"] < entry["images"]
    ]
    st.markdown(
        "Before the answer the app asks whether a picture is like the slices that the model learned from. "
        f"Of {found['slices']:,} slices it had not seen it refused {estimate(found['refused'])}; of "
        f"{images:,} other pictures **{share(refused / images)}**. "
        + (f"Let through: {', '.join(through)}. " if through else "None was let through. ")
        + "The gate was tuned on these pictures, so expect a little less of others."
    )
    shown = pd.DataFrame(
        {
            "Pictures": [f"{entry['images']:,}" for entry in found["others"].values()],
            "Refused": [f"{entry['refused']:,}" for entry in found["others"].values()],
        },
        index=[kind[0].upper() + kind[1:] for kind in found["others"]],
    )
    with st.expander(f"All {len(found['others'])} kinds of pictures"):
        table(shown, "gate", "Pictures that are no brain MRI slice, by kind.", tables.gate(found))


def gate_totals(found: Mapping) -> tuple[int, int]:
    others = found["others"].values()
    return sum(entry["images"] for entry in others), sum(entry["refused"] for entry in others)


def map_quality(place: Mapping, maps: Mapping | None) -> None:
    """How well the maps lie in the boxes, by every method that was measured."""
    pointing, energy, chance = (place["metrics"][name] for name in ("pointing", "energy", "chance"))
    st.markdown(
        f"On {place['slices']:,} correctly read slices with a box round the tumour, the brightest place of "
        f"the map lies in the box in **{estimate(pointing)}** (pointing game), and **{estimate(energy)}** of "
        f"the map's sum does (energy). The box covers {estimate(chance)} of the head, which is what a map of "
        "noise would score. **The maps were trained with such boxes from these sources; on scans from "
        "elsewhere they may point less well.**"
    )
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
    says = f"{' and '.join(best)} point{'s' if len(best) == 1 else ''} best."
    table(shown, "maps", f"Ways to make the map. {says}", tables.maps(maps))


@st.cache_data(show_spinner="Reading the samples …")
def read_examples(weights: Path, modified: float) -> list[tuple]:
    """The samples with a lesion: name, scan, scan with the map of what is drawn, and what they show."""
    reader = Reader(weights)
    made = []
    for sample in load_samples():
        if sample.intended == "no_tumor":
            continue
        gray = read_scan(sample.file).gray
        reading = reader.read(gray)
        answer = reading.prediction
        cam = onto_scan(grad_cam(answer, sample.intended), reading.geometry)
        drawn, read = NAMES[sample.intended].lower(), NAMES[answer.label].lower()
        says = (
            f"{sample.title}. Drawn like {drawn}; read as **{read}** ({percent(answer.confidence)}). "
            f"The map of {drawn} is {figures.place_in_words(cam)}."
        )
        made.append((sample.name, gray, blend(gray, cam, 0.6), says))
    return made


def examples(weights: Path) -> None:
    """The model that ships, on samples that may be shown."""
    st.subheader("Examples", anchor=False)
    st.markdown(
        "The model that ships, on the project's own samples: the scan, and the same with the Grad-CAM map of "
        "the lesion's class. The lesions are drawn into a healthy head: this is how a map looks, not a "
        "measure of how good it is."
    )
    made = read_examples(weights, max(file.stat().st_mtime for file in weights.iterdir()))
    for column, (name, scan, mapped, says) in zip(st.columns(len(made)), made, strict=True):
        with column, st.container(key=f"example-{name}"):
            with st.container(horizontal=True, gap="xsmall", wrap=False):
                st.image(scan, width="stretch", alt="The scan")
                st.image(mapped, width="stretch", alt="The scan with its map")
            st.caption(says)


def robustness(found: Mapping) -> None:
    """Accuracy under every change; those that cost little only on demand."""
    unchanged = unchanged_accuracy(found)
    lost = {
        name: unchanged - min(entry["value"] for entry in change["accuracy"])
        for name, change in found["changes"].items()
    }
    names = sorted(lost, key=lost.get, reverse=True)
    heavy, light = [n for n in names if lost[n] >= MATTERS], [n for n in names if lost[n] < MATTERS]
    st.markdown(
        f"Accuracy on {found['slices']:,} held-out slices, changed on purpose; unchanged it is "
        f"{share(unchanged)} (dotted line). {worst_change(found)}"
        + (
            f" {len(light)} of {len(names)} changes cost less than {100 * MATTERS:.0f} points."
            if light
            else ""
        )
    )

    def draw(names):
        for start in range(0, len(names), 3):
            for column, name in zip(st.columns(3), names[start : start + 3], strict=False):
                column.plotly_chart(
                    figures.robustness(found["changes"][name], name, unchanged),
                    config=figures.CONFIG,
                    key=f"robustness-{name}",
                    alt=f"Accuracy against {name}; it costs {100 * lost[name]:.0f} points at most",
                )

    draw(heavy)
    if light:
        with st.expander(f"Those that cost little: {', '.join(light)}"):
            draw(light)
    costs = ", ".join(f"{name} {100 * lost[name]:.0f}" for name in names)
    numbers("robustness", f"Points of accuracy lost at the worst step: {costs}.", tables.robustness(found))


def unchanged_accuracy(found: Mapping) -> float:
    """Of the slices as they are: a step of 0 changes nothing, whatever is changed."""
    rows = tables.robustness(found)
    return rows.loc[rows["level"] == 0, "value"].iloc[0]


def worst_change(found: Mapping) -> str:
    """The change that costs most accuracy."""
    rows = tables.robustness(found)
    worst = rows.sort_values("value").iloc[0]
    return (
        f"The worst, {worst['change']} at {worst['level']:g}, costs "
        f"{100 * (unchanged_accuracy(found) - worst['value']):.0f} points."
    )


def audit(found: Mapping) -> None:
    """How like each other the images are, and what stands on both sides of the usual split."""
    st.markdown(
        f"{found['names']:,} names, {found['images']:,} different images. "
        + (f"{leaks(found)} " if leaks(found) else "")
        + "Near-duplicates never stand on both sides of a split by patient here."
    )
    near = found["nearest"]
    rows = tables.nearest(near)
    twins = rows.loc[(rows["from"] + rows["to"]) / 2 > near["threshold"], "images"].sum()
    figure(
        figures.nearest_neighbours(near),
        "nearest-images",
        "How like its nearest other image each image is",
        f"{twins:,} of {rows['images'].sum():,} images have another that correlates with them above "
        f"{near['threshold']} (dashed) and counts as a near-duplicate; by framed thumbnails.",
        rows,
    )
    with st.expander("Between collections and splits"):
        for title, matrix in {"collections": found["collections"], **found["splits"]}.items():
            table(
                pd.DataFrame(
                    [[share(value) for value in row] for row in matrix["near"]],
                    index=matrix["of"],
                    columns=matrix["of"],
                ),
                f"twins-{title}",
                "Share of the row's names with a near-duplicate in the column"
                + (f", in the published split of {title}." if title in found["splits"] else "."),
                tables.twins(matrix),
            )


def leaks(found: Mapping) -> str | None:
    """How much of a collection's test split has a twin in its training split."""
    said = []
    for name, matrix in found["splits"].items():
        if {"train", "test"} <= set(matrix["of"]):
            test, train = matrix["of"].index("test"), matrix["of"].index("train")
            said.append(
                f"In the published split of {name}, {share(matrix['near'][test][train])} of the test images "
                "have a twin in training."
            )
    return " ".join(said) or None


def training(history: Sequence[Mapping]) -> None:
    """The curves of the run that made the model that ships."""
    rows = pd.DataFrame(history)
    for column, quantity in zip(st.columns(2, gap="large"), ("loss", "accuracy"), strict=True):
        first, last = (f"{rows[quantity].iloc[place]:.2f}" for place in (0, -1))
        with column:
            figure(
                figures.curves(history, quantity),
                f"training-{quantity}",
                f"Training curve: {quantity}",
                f"In training the {quantity} goes from {first} to {last} in {len(rows)} epochs.",
                rows[["epoch", *(key for key in (quantity, f"val_{quantity}") if key in rows)]],
            )
    st.caption(
        "Training slices are augmented and drawn with every class equally often, so training accuracy is not "
        "comparable with the figures above."
    )


def model_card(card: Mapping) -> None:
    """What the model is, what it learned from and what it is for."""
    recipe, slices = card["recipe"], card["train_slices"]
    names = {**NAMES, "tumor_of_unknown_class": "tumour of unknown class"}
    counts = ", ".join(f"{count:,} {names[name].lower()}" for name, count in slices.items())
    st.markdown(
        f"""
**What it is.** MobileNetV2 1.0 with its last stage at stride 16 and class maps as its head;
{card["model.tflite"]["bytes"] / 1e6:.1f} MB; trained {card["trained"][:10]} from the weights
`{card["backbone"]["name"]}` for {recipe["epochs"]} epochs of {recipe["slices_per_epoch"]:,} slices.

**What it learned from.** {sum(slices.values()):,} slices from the public collections
{", ".join(f"`{source}`" for source in card["sources"])}:
{counts}.
On {card["boxes"]:,} of them a box was drawn round the tumour, and the class maps were trained to lie in it.

**What it is for.** Teaching, research, and a second look at single T1-weighted contrast-enhanced slices
of adults like those it learned from, by people who can judge its answer.

**What it is not for.** Diagnosis, triage or treatment; other sequences than it learned from, other
body parts, children, tumours of other kinds (metastases, lymphoma), bleeding, stroke, inflammation: it
knows four answers and will give one of them.
"""
    )
    with st.expander("The full model card"):
        st.json(card)
