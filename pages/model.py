"""Model: how good it is, on what, and what it is for. The order of the page, and what it says in short."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from brat.environment import WEIGHTS
from brat.model.calibration import DEFAULT_LEVEL
from pages.parts import protocols, trust
from pages.parts.another_hospital import another_hospital
from pages.parts.navigation import require_entry
from pages.parts.readings import check_model
from pages.parts.weights_files import load, missing
from pages.words import model as words

FILES = {
    "metrics.json": "every figure of this page",
    "out_of_fold.csv": "every held-out reading",
}
"""What can be downloaded."""


def in_short(metrics: Mapping[str, Any]) -> None:
    """A sentence for each section, with the way to it."""
    measured = metrics["protocols"]
    four_classes = measured["four_classes"]
    lines = [
        ("Confusions", "confusions", protocols.worst_confusion(four_classes)),
        ("Sources", "sources", protocols.uneven_sources(four_classes["by_site"])),
    ]
    if calibration := metrics.get("calibration"):
        sets = calibration["sets"][str(DEFAULT_LEVEL)]
        values = (calibration["after"]["ece"], sets["coverage"], sets["share/1"])
        lines.append(
            ("Probabilities", "calibration", words.calibration(*(entry["value"] for entry in values)))
        )
    if check := metrics.get("out_of_distribution"):
        images, refused = trust.refused_totals(check)
        sentence = words.out_of_distribution(refused / images, images, check["refused"]["value"])
        lines.append(("Unknown pictures", "unknown", sentence))
    if localisation := measured.get("localisation"):
        pointing, chance = (localisation["metrics"][name]["value"] for name in ("pointing", "chance"))
        lines.append(("Maps", "maps", words.maps(pointing, chance)))
    if robustness := metrics.get("robustness"):
        lines.append(("Changed scans", "robustness", trust.worst_change(robustness)))
    if (audit := metrics.get("audit")) and (leak := trust.leaks(audit)):
        lines.append(("Data", "audit", leak))
    st.markdown("\n".join(f"- [{title}](#{anchor}): {sentence}" for title, anchor, sentence in lines))


def show_measured(metrics: Mapping[str, Any], card: Mapping[str, Any] | None, is_usable: bool) -> None:
    """All that `metrics.json` holds; a section that was not measured is left out.

    Args:
        is_usable: whether the model can be asked for examples.
    """
    measured = metrics["protocols"]
    if "another_hospital" in metrics:
        st.header("Another hospital", anchor="another-hospital")
        another_hospital(metrics["another_hospital"])
        st.header("Hospitals that it knows", anchor="known-hospitals")
    if caveat := metrics.get("caveat"):
        st.warning(caveat)
    protocols.headline(metrics, card)

    st.header("Protocols side by side", anchor=False)
    protocols.side_by_side(measured)
    if "random_split" in measured:
        protocols.why_random_is_higher(measured)

    st.header("In short", anchor=False)
    in_short(metrics)

    st.header("What it confuses", anchor="confusions")
    protocols.by_protocol(metrics)

    st.header("Source by source", anchor="sources")
    protocols.by_source(measured["four_classes"])

    if "calibration" in metrics:
        st.header(words.DOES_80_MEAN_80, anchor="calibration")
        trust.calibration(metrics["calibration"])

    if "out_of_distribution" in metrics:
        st.header(words.DOES_IT_KNOW, anchor="unknown")
        trust.out_of_distribution(metrics["out_of_distribution"])

    if "localisation" in measured:
        st.header(words.DOES_THE_MAP_POINT, anchor="maps")
        trust.map_quality(measured["localisation"], metrics.get("maps"))
        if is_usable:
            trust.examples(WEIGHTS)

    if "robustness" in metrics:
        st.header(words.DOES_A_CHANGE_CHANGE, anchor="robustness")
        trust.robustness(metrics["robustness"])

    if "audit" in metrics:
        st.header(words.HOW_MUCH_IS_DOUBLE, anchor="audit")
        trust.audit(metrics["audit"])

    if "history" in metrics:
        st.header("Training", anchor=False)
        trust.training(metrics["history"])


require_entry()

metrics, card = (load(WEIGHTS, name) for name in ("metrics.json", "model_card.json"))

st.title(words.TITLE, anchor=False)
is_usable = check_model(WEIGHTS)
for sentence in missing(WEIGHTS):
    st.info(sentence)
if metrics:
    show_measured(metrics, card, is_usable)
elif is_usable:
    trust.examples(WEIGHTS)
if card:
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
