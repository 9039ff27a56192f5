"""Model: how good it is, on what, and what it is for."""

import json

import pandas as pd
import streamlit as st

from brat import CLASS_NAMES, CLASSES, WEIGHTS
from brat.figures import CONFIG, confusion, curves


@st.cache_data
def load(name: str, _modified: float):
    return json.loads((WEIGHTS / name).read_text())


def loaded(name: str):
    return load(name, (WEIGHTS / name).stat().st_mtime)


def estimate(entry: dict) -> str:
    """0.914 (0.88 to 0.94), as people write it."""
    if entry["value"] is None:
        return "not measured"
    return f"{entry['value']:.1%} ({entry['low']:.1%} to {entry['high']:.1%})".replace("%", " %")


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
        column.metric(title, f"{entry['value']:.1%}".replace("%", " %"), border=True)
        column.caption(f"95 % interval {entry['low']:.1%} to {entry['high']:.1%}".replace("%", " %"))
    st.caption(
        f"On {four['slices']:,} slices in {four['clusters']} clusters (about a patient each) that the "
        f"model was not trained on, nor on anything that may show the same patients. Measured {metrics['written'][:10]}. Intervals: bootstrap over clusters."
    )


def class_table(entry: dict) -> pd.DataFrame:
    rows = {
        CLASS_NAMES[name]: {
            title: estimate(entry["metrics"][f"{key}/{name}"])
            for title, key in (
                ("Sensitivity (recall)", "recall"),
                ("Precision", "precision"),
                ("F1", "f1"),
                ("AUC against the rest", "auc"),
            )
        }
        for name in CLASSES
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def matrix(entry: dict) -> list[list[float]]:
    return [[entry["metrics"][f"confusion/{t}/{r}"]["value"] for r in CLASSES] for t in CLASSES]


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


metrics = loaded("metrics.json")
card = loaded("model_card.json")
protocols = metrics["protocols"]
four = protocols["four_classes"]

st.title("How good is the model?", anchor=False)
headline(metrics)

st.header("What it confuses", anchor=False)
style = st.segmented_control(
    "Show", ["Counts", "Share of each row"], default="Counts", required=True, key="matrix"
)
st.plotly_chart(confusion(matrix(four), style != "Counts"), config=CONFIG)

st.header("Class by class", anchor=False)
st.dataframe(class_table(four), width="stretch")
st.caption("95 % intervals in brackets.")

if place := protocols.get("localisation"):
    st.header("Does the map point at the tumour?", anchor=False)
    pointing, energy, chance = (place["metrics"][name] for name in ("pointing", "energy", "chance"))
    st.markdown(
        f"On {place['slices']:,} correctly read slices with a box round the tumour, the peak of the Grad-CAM "
        f"map lies in the box in **{estimate(pointing)}**, and **{estimate(energy)}** of the map's sum does. "
        f"The box covers {estimate(chance)} of the head, which is what a map of noise would score. The maps "
        "were trained with such boxes from these sources; on scans from elsewhere they may point less well."
    )

st.header("Training", anchor=False)
left, right = st.columns(2)
left.plotly_chart(curves(metrics["history"], "loss"), config=CONFIG)
right.plotly_chart(curves(metrics["history"], "accuracy"), config=CONFIG)
st.caption(
    "Training slices are augmented and drawn with every class equally often, so training accuracy is not "
    "comparable with the figures above."
)

st.header("Model card", anchor=False)
show_card(card)
st.download_button("Download these figures (JSON)", (WEIGHTS / "metrics.json").read_bytes(), "metrics.json")
