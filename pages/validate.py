"""Validate: how the model reads slices of the site's own, beside the figures that ship."""

import streamlit as st

from brat.environment import WEIGHTS, missing_package
from brat.model.files import ModelError
from brat.store.database import StoreError
from pages import arrivals
from pages.parts import visits
from pages.parts.failures import tell
from pages.parts.login import person
from pages.parts.navigation import compact_title, require_entry
from pages.parts.readings import check_model
from pages.parts.store import is_on
from pages.parts.validation import (
    FILES,
    VERDICTS,
    choose_second,
    given_files,
    kind_of,
    measure_files,
    measure_verdicts,
    show,
)
from pages.parts.widget_memory import remembered
from pages.words import validate as words
from pages.words.markdown import sentence


def ask() -> str:
    """Ask for slices, and measure them where that is asked for. Returns which kind is chosen."""
    kinds = [FILES, VERDICTS] if is_on() and person() else [FILES]
    kind = FILES
    if len(kinds) > 1:
        kind = st.segmented_control("Measure on", kinds, required=True, **remembered("validate-kind", FILES))
    given, problem = None, ""
    against = None
    if kind == FILES:
        try:
            given = given_files()
        except ValueError as error:
            problem = str(error)
        against = choose_second()
    else:
        st.caption(words.VERDICTS_NOTE)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        site = st.text_input(words.SITE, **remembered("validate-site", ""))
        wanted = st.button("Measure", key="validate-measure")
    if not wanted:
        return kind
    if problem:
        st.error(sentence(problem))
        return kind
    st.session_state.pop("validation", None)
    try:
        with st.spinner("Measuring …"):
            st.session_state.validation = (
                measure_files(*given, site, against) if given else measure_verdicts(site)
            )
    except ValueError as error:
        # A line for each reason.
        st.error("\n\n".join(map(sentence, str(error).splitlines())))
    except (ModelError, FileNotFoundError) as error:
        tell("model", error)
    except StoreError as error:
        tell("store", error)
    return kind


require_entry()
visits.go_on()
compact_title()

st.title("Validate", anchor=False)
st.markdown(words.INTRODUCTION)
arrivals.show_forgotten()
if check_model(WEIGHTS):
    try:
        kind = ask()
        # What was measured on files does not stand under a note on verdicts: it comes back with its own kind.
        if (measured := st.session_state.get("validation")) and kind_of(measured) == kind:
            show(measured)
    except ModuleNotFoundError as error:
        if not (advice := missing_package(error.name or "")):
            raise
        st.info(advice)
# What was measured is kept, too.
visits.watch(takes_files=False)
