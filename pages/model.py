"""Model: how good it is, on what, and what it is for. The order of the page, and what it says in short."""

import json
from pathlib import Path

import streamlit as st

from brat import WEIGHTS
from pages import protocols, trust
from pages.exhibits import share


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
        middle = found["sets"]["0.95"]
        says = (
            f"Off by {share(found['after']['ece']['value'])} on average. The 95 % set holds the truth in "
            f"{share(middle['coverage']['value'])} and names one class only in "
            f"{share(middle['share/1']['value'])}."
        )
        said.append(("Probabilities", "calibration", says))
    if found := metrics.get("gate"):
        images, refused = trust.gate_totals(found)
        says = (
            f"{share(refused / images)} of {images:,} pictures that are no brain MRI slice are refused, and "
            f"{share(found['refused']['value'])} of real slices."
        )
        said.append(("Gate", "gate", says))
    if found := made.get("localisation"):
        says = (
            f"The brightest place lies in the tumour's box in {share(found['metrics']['pointing']['value'])} "
            f"of correctly read slices; by chance in {share(found['metrics']['chance']['value'])}."
        )
        said.append(("Maps", "maps", says))
    if found := metrics.get("robustness"):
        said.append(("Changed scans", "robustness", trust.worst_change(found)))
    if (found := metrics.get("audit")) and (leak := trust.leaks(found)):
        said.append(("Data", "audit", leak))
    st.markdown("\n".join(f"- [{title}](#{anchor}): {says}" for title, anchor, says in said))


# The first visitor of a fresh server who comes by this page's own address gets here past app.py.
if "entered" not in st.session_state:
    st.switch_page("app.py")

metrics = loaded("metrics.json")
card = loaded("model_card.json")
made = metrics["protocols"]

st.title("How good is the model?", anchor=False)
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
    st.header("Does 80\u00a0% mean 80\u00a0%?", anchor="calibration")
    trust.calibration(metrics["calibration"])

if "gate" in metrics:
    st.header("Does it know what it does not know?", anchor="gate")
    trust.gate(metrics["gate"])

if "localisation" in made:
    st.header("Does the map point at the tumour?", anchor="maps")
    trust.map_quality(made["localisation"], metrics.get("maps"))
    trust.examples(WEIGHTS)

if "robustness" in metrics:
    st.header("Does a small change of the scan change the answer?", anchor="robustness")
    trust.robustness(metrics["robustness"])

if "audit" in metrics:
    st.header("How much of the data is double?", anchor="audit")
    trust.audit(metrics["audit"])

st.header("Training", anchor=False)
trust.training(metrics["history"])

st.header("Model card", anchor=False)
trust.model_card(card)

with st.container(horizontal=True):
    for name, what in (
        ("metrics.json", "every figure of this page"),
        ("out_of_fold.csv", "the held-out reading of every slice"),
    ):
        if (WEIGHTS / name).exists():
            st.download_button(
                f"{name}: {what}",
                (WEIGHTS / name).read_bytes(),
                name,
                icon=":material/download:",
                on_click="ignore",
            )
