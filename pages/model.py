"""Model: how good it is, on what, and what it is for. The order of the page, and what it says in short."""

import json
from pathlib import Path

import streamlit as st

from brat.environment import WEIGHTS
from brat.model.calibration import DEFAULT_LEVEL
from pages.parts import protocols, trust
from pages.parts.navigation import require_entry
from pages.words import model as words

FILES = {
    "metrics.json": "every figure of this page",
    "out_of_fold.csv": "every held-out reading",
}
"""What can be downloaded."""


@st.cache_data
def load(path: Path, modified: float):
    return json.loads(path.read_text())


def loaded(name: str):
    return load(WEIGHTS / name, (WEIGHTS / name).stat().st_mtime)


def in_short(metrics: dict) -> None:
    """A sentence a section, with the way to it."""
    made = metrics["protocols"]
    said = [
        ("Confusions", "confusions", protocols.worst_confusion(made["four_classes"])),
        ("Sources", "sources", protocols.uneven_sources(made["four_classes"]["by_site"])),
    ]
    if found := metrics.get("calibration"):
        middle = found["sets"][str(DEFAULT_LEVEL)]
        values = (found["after"]["ece"], middle["coverage"], middle["share/1"])
        says = words.calibration(*(entry["value"] for entry in values))
        said.append(("Probabilities", "calibration", says))
    if found := metrics.get("out_of_distribution"):
        images, refused = trust.gate_totals(found)
        says = words.gate(refused / images, images, found["refused"]["value"])
        said.append(("Out-of-distribution check", "out-of-distribution", says))
    if found := made.get("localisation"):
        says = words.maps(found["metrics"]["pointing"]["value"], found["metrics"]["chance"]["value"])
        said.append(("Maps", "maps", says))
    if found := metrics.get("robustness"):
        said.append(("Changed scans", "robustness", trust.worst_change(found)))
    if (found := metrics.get("audit")) and (leak := trust.leaks(found)):
        said.append(("Data", "audit", leak))
    st.markdown("\n".join(f"- [{title}](#{anchor}): {says}" for title, anchor, says in said))


require_entry()

metrics = loaded("metrics.json")
card = loaded("model_card.json")
made = metrics["protocols"]

st.title(words.TITLE, anchor=False)
protocols.headline(metrics, card)

st.header("Protocols side by side", anchor=False)
protocols.side_by_side(made)
if "random_split" in made:
    protocols.why_random_is_higher(made)

st.header("In short", anchor=False)
in_short(metrics)

st.header("What it confuses", anchor="confusions")
protocols.by_protocol(metrics)

st.header("Source by source", anchor="sources")
protocols.by_source(made["four_classes"])

if "calibration" in metrics:
    st.header(words.DOES_80_MEAN_80, anchor="calibration")
    trust.calibration(metrics["calibration"])

if "out_of_distribution" in metrics:
    st.header(words.DOES_IT_KNOW, anchor="out-of-distribution")
    trust.gate(metrics["out_of_distribution"])

if "localisation" in made:
    st.header(words.DOES_THE_MAP_POINT, anchor="maps")
    trust.map_quality(made["localisation"], metrics.get("maps"))
    trust.examples(WEIGHTS)

if "robustness" in metrics:
    st.header(words.DOES_A_CHANGE_CHANGE, anchor="robustness")
    trust.robustness(metrics["robustness"])

if "audit" in metrics:
    st.header(words.HOW_MUCH_IS_DOUBLE, anchor="audit")
    trust.audit(metrics["audit"])

st.header("Training", anchor=False)
trust.training(metrics["history"])

st.header("Model card", anchor=False)
trust.model_card(card)

with st.container(horizontal=True):
    for name, content in FILES.items():
        if (WEIGHTS / name).exists():
            st.download_button(
                f"{name}: {content}",
                (WEIGHTS / name).read_bytes(),
                name,
                icon=":material/download:",
                on_click="ignore",
            )
