"""Model: how good it is, on what, and what it is for. The order of the page."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from brat.environment import WEIGHTS
from pages.parts import another_hospital, protocols, trust, visits
from pages.parts.navigation import compact_title, link_to_explanations, require_entry
from pages.parts.readings import check_model
from pages.parts.weights_files import load, missing
from pages.words import model as words

FILES = {"metrics.json": "all figures", "out_of_fold.csv": "all held-out readings"}
"""What can be downloaded."""

# Side by side, the charts end with the window; what stands below them may be scrolled to.
_STYLE = """<style>
.st-key-overview {gap: .5rem}
@media (min-width: 72rem) {
    .st-key-charts > [data-testid=stLayoutWrapper] {min-height: min(100svh - 19.5rem, 38rem)}
}
</style>"""


def overview(metrics: Mapping[str, Any], card: Mapping[str, Any] | None) -> None:
    """What to judge the model by: the headline figures, the confusion matrix and the training curves."""
    st.html(_STYLE)
    elsewhere = another_hospital.first(metrics)
    protocols.headline(metrics, another_hospital.figures(elsewhere[0]) if elsewhere else [])
    if elsewhere:
        st.markdown(elsewhere[1])
    if caveat := metrics.get("caveat"):
        st.warning(caveat)
    charts = st.container(key="charts")
    matrix, *curves = charts.columns(3, gap="medium") if "history" in metrics else [charts]
    with matrix:
        four = metrics["protocols"]["four_classes"]
        protocols.show_matrix("four_classes", four, protocols.CLASSES, fills=True)
    if curves:
        trust.training(metrics["history"], curves)
    protocols.measured_on(metrics, card)


def reliability(metrics: Mapping[str, Any]) -> None:
    if "calibration" in metrics:
        st.header(words.DOES_80_MEAN_80, anchor="calibration")
        trust.calibration(metrics["calibration"])
    if "out_of_distribution" in metrics:
        st.header(words.DOES_IT_KNOW, anchor="unknown")
        trust.out_of_distribution(metrics["out_of_distribution"])


def maps(metrics: Mapping[str, Any], is_usable: bool) -> None:
    if "localisation" in metrics["protocols"]:
        st.header(words.DOES_THE_MAP_POINT, anchor="maps")
        trust.map_quality(metrics["protocols"]["localisation"], metrics.get("maps"))
        if is_usable:
            trust.examples(WEIGHTS)


def robustness(metrics: Mapping[str, Any]) -> None:
    if "robustness" in metrics:
        st.header(words.DOES_A_CHANGE_CHANGE, anchor="robustness")
        trust.robustness(metrics["robustness"])


def by_protocol(metrics: Mapping[str, Any], card: Mapping[str, Any] | None) -> None:
    """The protocols side by side, each of them, and other hospitals by slice and by series."""
    measured = metrics["protocols"]
    st.header("Side by side", anchor=False)
    protocols.side_by_side(measured)
    if "random_split" in measured:
        protocols.why_random_is_higher(measured)
    st.header("Class by class", anchor="confusions")
    protocols.by_protocol(metrics)
    of = another_hospital.hospitals(metrics)
    if "another_hospital" in metrics or any(name.startswith("stacks_") for name in measured):
        st.header("Hospitals", anchor="another-hospital")
        another_hospital.whole_stacks(of)
        another_hospital.whole_series(of)
        another_hospital.contrast(of)
        another_hospital.single_slices(metrics)
    st.header("Sources", anchor="sources")
    protocols.by_source(measured["four_classes"])


def data(metrics: Mapping[str, Any]) -> None:
    if "audit" in metrics:
        st.header(words.HOW_MUCH_IS_DOUBLE, anchor="audit")
        trust.audit(metrics["audit"])


def show_measured(metrics: Mapping[str, Any], card: Mapping[str, Any] | None, is_usable: bool) -> None:
    """All that `metrics.json` holds; a section that was not measured is left out.

    Args:
        is_usable: whether the model can be asked for examples.
    """
    parts = {
        "Overview": lambda: overview(metrics, card),
        "Trust": lambda: reliability(metrics),
        "Maps": lambda: maps(metrics, is_usable),
        "Robustness": lambda: robustness(metrics),
        "Protocols": lambda: by_protocol(metrics, card),
        "Data and audit": lambda: data(metrics),
        "Model card": lambda: trust.show_card(card),
    }
    for tab, (name, show) in zip(st.tabs(list(parts)), parts.items(), strict=True):
        with tab, st.container(key=name.split()[0].lower()):
            show()


require_entry()
visits.stay()
compact_title()

metrics, card = (load(WEIGHTS, name) for name in ("metrics.json", "model_card.json"))

st.title(words.TITLE, anchor=False)
is_usable = check_model(WEIGHTS, anew=True)
for sentence in missing(WEIGHTS):
    st.info(sentence)
if metrics:
    show_measured(metrics, card, is_usable)
else:
    if is_usable:
        trust.examples(WEIGHTS)
    trust.show_card(card)

with st.container(horizontal=True, vertical_alignment="center"):
    link_to_explanations("What these figures mean")
    for name, content in FILES.items():
        if (WEIGHTS / name).exists():
            st.download_button(
                f"{name}: {content}",
                (WEIGHTS / name).read_bytes(),
                name,
                icon=":material/download:",
                on_click="ignore",
            )
