"""Model: how good it is, on what, and what it is for. The order of the page, and what it says in short."""

import json
from pathlib import Path

import streamlit as st

from brat.environment import WEIGHTS
from pages.parts import protocols, trust
from pages.words import model as words


@st.cache_data
def load(path: Path, modified: float):
    return json.loads(path.read_text())


def loaded(name: str):
    return load(WEIGHTS / name, (WEIGHTS / name).stat().st_mtime)


def in_short(metrics: dict) -> None:
    """A sentence a section, with the way to it."""
    made = metrics["protocols"]
    said = [
        (words.CONFUSIONS, "confusions", protocols.worst_confusion(made["four_classes"])),
        (words.SOURCES, "sources", protocols.uneven_sources(made["four_classes"]["by_site"])),
    ]
    if found := metrics.get("calibration"):
        middle = found["sets"]["0.95"]
        values = (found["after"]["ece"], middle["coverage"], middle["share/1"])
        says = words.calibration(*(entry["value"] for entry in values))
        said.append((words.PROBABILITIES, "calibration", says))
    if found := metrics.get("gate"):
        images, refused = trust.gate_totals(found)
        says = words.gate(refused / images, images, found["refused"]["value"])
        said.append((words.GATE, "gate", says))
    if found := made.get("localisation"):
        says = words.maps(found["metrics"]["pointing"]["value"], found["metrics"]["chance"]["value"])
        said.append((words.MAPS, "maps", says))
    if found := metrics.get("robustness"):
        said.append((words.CHANGED_SCANS, "robustness", trust.worst_change(found)))
    if (found := metrics.get("audit")) and (leak := trust.leaks(found)):
        said.append((words.DATA, "audit", leak))
    st.markdown("\n".join(f"- [{title}](#{anchor}): {says}" for title, anchor, says in said))


# The first visitor of a fresh server who comes by this page's own address gets here past app.py.
if "entered" not in st.session_state:
    st.switch_page("app.py")

metrics = loaded("metrics.json")
card = loaded("model_card.json")
made = metrics["protocols"]

st.title(words.TITLE, anchor=False)
protocols.headline(metrics, card)

st.header(words.SIDE_BY_SIDE, anchor=False)
protocols.side_by_side(made)
if "random_split" in made:
    protocols.why_random_is_higher(made)

st.header(words.IN_SHORT, anchor=False)
in_short(metrics)

st.header(words.WHAT_IT_CONFUSES, anchor="confusions")
protocols.by_protocol(metrics)

st.header(words.SOURCE_BY_SOURCE, anchor="sources")
protocols.by_source(made["four_classes"])

if "calibration" in metrics:
    st.header(words.DOES_80_MEAN_80, anchor="calibration")
    trust.calibration(metrics["calibration"])

if "gate" in metrics:
    st.header(words.DOES_IT_KNOW, anchor="gate")
    trust.gate(metrics["gate"])

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

st.header(words.TRAINING, anchor=False)
trust.training(metrics["history"])

st.header(words.MODEL_CARD, anchor=False)
trust.model_card(card)

with st.container(horizontal=True):
    for name, what in words.FILES.items():
        if (WEIGHTS / name).exists():
            st.download_button(
                f"{name}: {what}",
                (WEIGHTS / name).read_bytes(),
                name,
                icon=":material/download:",
                on_click="ignore",
            )
