"""Model: how good it is, on what, and what it is for."""

import json

import pandas as pd
import streamlit as st

from brat import CLASS_NAMES, CLASSES, WEIGHTS
from brat.figures import (
    CONFIG,
    confusion,
    curves,
    nearest_neighbours,
    precision_recall,
    reliability,
    robustness,
    roc,
)

TUMORS = CLASSES[:3]


@st.cache_data
def load(name: str, _modified: float):
    return json.loads((WEIGHTS / name).read_text())


def loaded(name: str):
    return load(name, (WEIGHTS / name).stat().st_mtime)


def share(value: float) -> str:
    return f"{value:.1%}".replace("%", " %")


def estimate(entry: dict) -> str:
    """91.4 % (88.0 % to 94.0 %), as people write it."""
    if entry["value"] is None:
        return "not measured"
    return f"{share(entry['value'])} ({share(entry['low'])} to {share(entry['high'])})"


def headline(metrics: dict) -> None:
    four = metrics["protocols"]["four_classes"]
    figures = [
        ("Balanced accuracy, four classes", four["metrics"]["balanced_accuracy"]),
        ("Accuracy, four classes", four["metrics"]["accuracy"]),
    ]
    if same := metrics["protocols"].get("same_source"):
        figures += [
            ("Sensitivity, tumour or none", same["metrics"]["sensitivity"]),
            ("Specificity, tumour or none", same["metrics"]["specificity"]),
        ]
    for column, (title, entry) in zip(st.columns(len(figures)), figures, strict=True):
        column.metric(title, share(entry["value"]), border=True)
        column.caption(f"95 % interval {share(entry['low'])} to {share(entry['high'])}")
    st.caption(
        f"Four classes: {four['slices']:,} slices in {four['clusters']:,} clusters (about a patient in one "
        f"plane each)"
        + (f"; tumour or none: {same['slices']:,} slices of one source" if same else "")
        + ". Each was read by a model that was trained on no slice of the same patient, as far as the "
        f"collections tell patients apart. Measured {metrics['written'][:10]}. Intervals: bootstrap over "
        "clusters."
    )


def table(rows: pd.DataFrame, name: str) -> None:
    """A table, and the same as a CSV file."""
    st.dataframe(rows, width="stretch")
    st.download_button(
        "Download as CSV", rows.to_csv().encode(), f"{name}.csv", "text/csv", key=f"csv-{name}"
    )


def class_table(entry: dict, classes: tuple[str, ...]) -> pd.DataFrame:
    columns = {
        "Sensitivity (recall)": "recall",
        "Precision": "precision",
        "F1": "f1",
        "AUC against the rest": "auc",
    }
    return pd.DataFrame(
        {
            title: [estimate(entry["metrics"][f"{key}/{name}"]) for name in classes]
            for title, key in columns.items()
        },
        index=[CLASS_NAMES[name] for name in classes],
    )


def site_table(entry: dict) -> pd.DataFrame:
    rows = [
        {
            "Source": site,
            "Class": CLASS_NAMES[label],
            "Slices": cell["slices"],
            "Sensitivity": estimate(cell["metrics"]["sensitivity"]),
        }
        for site, labels in entry["by_site"].items()
        for label, cell in labels.items()
    ]
    return pd.DataFrame(rows).set_index("Source")


def show_confusion(entry: dict, classes: tuple[str, ...], key: str) -> None:
    style = st.segmented_control(
        "Show", ["Counts", "Share of each row"], default="Counts", required=True, key=f"matrix-{key}"
    )
    matrix = [[entry["metrics"][f"confusion/{t}/{r}"]["value"] for r in classes] for t in classes]
    st.plotly_chart(
        confusion(matrix, style != "Counts", classes), config=CONFIG, key=f"confusion-{key}-{style}"
    )


def show_map_quality(place: dict, maps: dict | None) -> None:
    pointing, energy, chance = (place["metrics"][name] for name in ("pointing", "energy", "chance"))
    st.markdown(
        f"On {place['slices']:,} correctly read slices with a box round the tumour, the peak of the Grad-CAM "
        f"map lies in the box in **{estimate(pointing)}**, and **{estimate(energy)}** of the map's sum does. "
        f"The box covers {estimate(chance)} of the head, which is what a map of noise would score. The maps "
        "were trained with such boxes from these sources; on scans from elsewhere they may point less well."
    )
    if maps:
        rows = pd.DataFrame(
            {
                "Peak in the box": [estimate(m["pointing"]) for m in maps["methods"].values()],
                "Sum in the box": [estimate(m["energy"]) for m in maps["methods"].values()],
            },
            index=list(maps["methods"]),
        )
        st.markdown(f"All three methods on the same {maps['slices']} slices:")
        table(rows, "maps")


def show_random_split(protocols: dict) -> None:
    usual, honest = protocols["random_split"], protocols["four_classes"]
    accuracy, macro = (usual["metrics"][name] for name in ("accuracy", "macro_f1"))
    st.markdown(
        f"Split at random, as is usual, {usual['epochs']} epochs of the same recipe score an accuracy "
        f"of **{estimate(accuracy)}** and a "
        f"macro F1 of {estimate(macro)} on {usual['slices']:,} slices of the `sartaj` collection, against "
        f"{estimate(honest['metrics']['accuracy'])} above. But **{share(usual['twins'])}** of those test "
        "slices have a near-duplicate among the slices trained on: the score measures memory as well. "
        "(The work that this project grew from reported an accuracy of 0.88 and a macro F1 of 0.89 on such "
        "a split.)"
    )


def show_calibration(found: dict) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        st.plotly_chart(reliability(found["before"]["bins"], found["after"]["bins"]), config=CONFIG)
    with right:
        st.markdown(
            f"Expected calibration error {estimate(found['before']['ece'])} before and "
            f"**{estimate(found['after']['ece'])}** after temperature scaling "
            f"(temperature {found['temperature']:.2f}). Every fold's readings are scaled by a temperature "
            "fitted to the other folds."
        )
        rows = pd.DataFrame(
            {
                "Holds the truth": [estimate(s["coverage"]) for s in found["sets"].values()],
                "Classes in the set": [f"{s['size']['value']:.2f}" for s in found["sets"].values()],
                "One class only": [share(s["share/1"]["value"]) for s in found["sets"].values()],
            },
            index=[f"{float(level):.0%} set".replace("%", " %") for level in found["sets"]],
        )
        table(rows, "prediction-sets")


def show_gate(gate: dict) -> None:
    others = gate["others"].values()
    images, refused = sum(o["images"] for o in others), sum(o["refused"] for o in others)
    st.markdown(
        f"Before the answer the app asks whether a picture is like the slices that the model learned from. "
        f"Of {gate['slices']:,} slices it had not seen it refused {estimate(gate['refused'])}; of "
        f"{images:,} other pictures **{share(refused / images)}**. Some of these kinds were looked at while "
        "the gate was designed, so expect a little less of others."
    )
    rows = pd.DataFrame(
        [
            {"Kind": kind, "Pictures": o["images"], "Refused": o["refused"]}
            for kind, o in gate["others"].items()
        ]
    ).set_index("Kind")
    table(rows, "gate")


def show_card(card: dict) -> None:
    recipe = card["recipe"]
    training = card["train_slices"]
    names = {**CLASS_NAMES, "tumor_of_unknown_class": "tumour of unknown class"}
    counts = ", ".join(f"{count:,} {names[name].lower()}" for name, count in training.items())
    st.markdown(
        f"""
**What it is.** MobileNetV2 1.0 with its last stage at stride 16 and class maps as its head;
{card["model.tflite"]["bytes"] / 1e6:.1f} MB; trained {card["trained"][:10]} from the weights
`{card["backbone"]["name"]}` for {recipe["epochs"]} epochs of {recipe["slices_per_epoch"]:,} slices.

**What it learned from.** {sum(training.values()):,} slices from the public collections
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


# The first visitor of a fresh server who comes by this page's own address gets here past app.py.
if "entered" not in st.session_state:
    st.switch_page("app.py")

metrics = loaded("metrics.json")
card = loaded("model_card.json")
protocols = metrics["protocols"]

st.title("How good is the model?", anchor=False)
headline(metrics)

if "random_split" in protocols:
    st.header("Why others report more", anchor=False)
    show_random_split(protocols)

st.header("What it confuses", anchor=False)
show_confusion(protocols["four_classes"], CLASSES, "four")

st.header("Class by class", anchor=False)
table(class_table(protocols["four_classes"], CLASSES), "classes")
st.caption("95 % intervals in brackets.")

st.header("Source by source", anchor=False)
st.markdown(
    "A class that comes mostly from one scanner can be told by the scanner. Where its sensitivity is much "
    "lower in another source, that may be why."
)
table(site_table(protocols["four_classes"]), "sources")

if three := protocols.get("three_tumors"):
    st.header("Which tumour, where there is one", anchor=False)
    st.markdown(
        f"{three['what']} Balanced accuracy **{estimate(three['metrics']['balanced_accuracy'])}** on "
        f"{three['slices']:,} slices."
    )
    show_confusion(three, TUMORS, "three")

if "curves" in metrics:
    st.header("At other thresholds", anchor=False)
    left, right = st.columns(2, gap="large")
    left.plotly_chart(roc(metrics["curves"]), config=CONFIG)
    right.plotly_chart(precision_recall(metrics["curves"]), config=CONFIG)

if "calibration" in metrics:
    st.header("Does 80 % mean 80 %?", anchor=False)
    show_calibration(metrics["calibration"])

if "gate" in metrics:
    st.header("Does it know what it does not know?", anchor=False)
    show_gate(metrics["gate"])

if place := protocols.get("localisation"):
    st.header("Does the map point at the tumour?", anchor=False)
    show_map_quality(place, metrics.get("maps"))

if "robustness" in metrics:
    st.header("Does a small change of the scan change the answer?", anchor=False)
    st.markdown(f"Accuracy on {metrics['robustness']['slices']:,} held-out slices, changed on purpose.")
    changes = list(metrics["robustness"]["changes"].items())
    for start in range(0, len(changes), 3):
        for column, (name, change) in zip(st.columns(3), changes[start : start + 3], strict=False):
            column.plotly_chart(robustness(change, name), config=CONFIG, key=f"robustness-{name}")

if "audit" in metrics:
    st.header("How much of the data is double?", anchor=False)
    st.markdown(
        f"Of {metrics['audit']['images']:,} different images, the nearest other image of each, by the "
        "correlation of their framed thumbnails. Above the threshold they count as near-duplicates and never "
        "stand on both sides of a split here."
    )
    st.plotly_chart(nearest_neighbours(metrics["audit"]["nearest"]), config=CONFIG)

st.header("Training", anchor=False)
left, right = st.columns(2, gap="large")
left.plotly_chart(curves(metrics["history"], "loss"), config=CONFIG)
right.plotly_chart(curves(metrics["history"], "accuracy"), config=CONFIG)
st.caption(
    "Training slices are augmented and drawn with every class equally often, so training accuracy is not "
    "comparable with the figures above."
)

st.header("Model card", anchor=False)
show_card(card)
st.download_button("Download all figures (JSON)", (WEIGHTS / "metrics.json").read_bytes(), "metrics.json")
