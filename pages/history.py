"""History: the kept cases, how far clinicians and the model agree in them, and the way to delete one."""

from __future__ import annotations

import pandas as pd
import streamlit as st
from sqlalchemy import Engine
from streamlit.delta_generator import DeltaGenerator

from brat.classes import CLASS_NAMES, CLASSES
from brat.store.cases import (
    Case,
    choices,
    find,
    log_damaged,
    picture_of,
    record_export,
    remove,
    to_csv,
    trail,
)
from brat.store.database import StoreError
from brat.wording import percent
from pages.parts import visits
from pages.parts.agreement import show_agreement
from pages.parts.drift import show_drift
from pages.parts.failures import on_demand, tell
from pages.parts.login import Person, person
from pages.parts.navigation import compact_title, require_entry
from pages.parts.readings import chosen
from pages.parts.store import is_on, store
from pages.parts.verdict import VERDICTS
from pages.parts.widget_memory import memory, remembered, unfolds
from pages.words import history as words
from pages.words import login as login_words

_SHORT = 8
"""Digits of a hash that are shown."""

_MOST = 99.4
"""Per cent of a bar: more would round to 100 %."""

_BY_ANSWER = ("search", "verdicts", "labels")
"""Conditions that choose cases by what was read or seen in them: statistics of what they leave would say
what was asked for."""


_SELECTED = "history-selected"
"""In the memory: number of the case whose row is selected; in the session: as the table was drawn last."""

_FILTERS = ("verdicts", "labels", "models", "observers", "since", "until")


def show_filters(engine: Engine) -> dict:
    """The conditions to search by, as arguments of `brat.store.cases.find`."""
    search = st.text_input(
        "Search",
        placeholder=words.SEARCH_HINT,
        **remembered("history-search", ""),
    )
    lists = {"models": choices(engine, "model"), "observers": choices(engine, "observer")}
    _forget_what_is_gone(lists)
    # What chooses among the cases is not to be hidden from who comes back to it.
    is_open = unfolds("history-open", [f"history-{name}" for name in _FILTERS])
    with st.expander("Filter", expanded=is_open):
        verdict, label, model, observer = st.columns(4)
        since, until, _ = st.columns([1, 1, 2])
        return {
            "search": search,
            "verdicts": verdict.multiselect(
                "Verdict",
                list(VERDICTS),
                format_func=VERDICTS.__getitem__,
                **remembered("history-verdicts", []),
            ),
            "labels": label.multiselect(
                "Class, read or seen",
                CLASSES,
                format_func=CLASS_NAMES.__getitem__,
                **remembered("history-labels", []),
            ),
            "models": model.multiselect(
                "Model",
                lists["models"],
                format_func=lambda digest: digest[:_SHORT],
                **remembered("history-models", []),
            ),
            "observers": observer.multiselect(
                "Observer",
                lists["observers"],
                format_func=lambda name: name or "no name given",
                **remembered("history-observers", []),
            ),
            "since": since.date_input(
                "From", value=None, format="YYYY-MM-DD", **remembered("history-since", None)
            ),
            "until": until.date_input(
                "To", value=None, format="YYYY-MM-DD", **remembered("history-until", None)
            ),
        }


def _forget_what_is_gone(lists: dict[str, list[str]]) -> None:
    """Of models and observers some may have no case any more, and Streamlit takes no choice among others."""
    for name, offered in lists.items():
        for state in (memory(), st.session_state):
            if chosen_before := state.get(f"history-{name}"):
                state[f"history-{name}"] = [one for one in chosen_before if one in offered]


def show_cases(cases: list[Case]) -> Case | None:
    """Show the table. Returns the case that is selected in it."""
    shown = pd.DataFrame(
        {
            "Time (UTC)": [f"{case.time:%Y-%m-%d %H:%M}" for case in cases],
            "Read": [CLASS_NAMES[case.label] for case in cases],
            # A number, so that its heading sorts; what would round to certainty stands as 99 %.
            "Probability": [min(100 * getattr(case, case.label), _MOST) for case in cases],
            "Verdict": [VERDICTS[case.verdict] for case in cases],
            "Seen": [CLASS_NAMES[case.seen] if case.seen else "" for case in cases],
            "Note": [case.note for case in cases],
            "Observer": [case.observer for case in cases],
            "Scan": [case.scan[:_SHORT] for case in cases],
            "Model": [case.model[:_SHORT] for case in cases],
        }
    )
    # Another list of cases gets another widget: the number of a selected row would mean another case there.
    key = f"cases-{hash(tuple(case.id for case in cases))}"
    chosen_before = memory().get(_SELECTED)
    # After a reload the table has been drawn once before the choice is known.
    if key not in st.session_state or st.session_state.get(_SELECTED) != chosen_before:
        selected = [place for place, case in enumerate(cases) if case.id == chosen_before]
        st.session_state[key] = {"selection": {"rows": selected}}
    st.session_state[_SELECTED] = chosen_before

    def remember_selected() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        memory()[_SELECTED] = cases[rows[0]].id if rows else None

    rows = st.dataframe(
        shown,
        key=key,
        hide_index=True,
        column_config={
            "Probability": st.column_config.ProgressColumn(min_value=0, max_value=100, format="%.0f %%")
        },
        on_select=remember_selected,
        selection_mode="single-row",
        alt=words.TABLE,
    ).selection.rows
    return cases[rows[0]] if rows else None


def show_trail(place: DeltaGenerator, engine: Engine, case: Case) -> None:
    """Who did what with a case, and when."""
    with place.expander("Trail"):
        for act in trail(engine, case.id):
            st.markdown(
                words.act(
                    when=f"{act.time:%Y-%m-%d %H:%M} UTC",
                    action=act.action,
                    person=act.person,
                    verified=act.verified,
                    read=CLASS_NAMES.get(act.label, ""),
                    seen=CLASS_NAMES.get(act.seen or "", ""),
                    changed=act.changed,
                )
            )


def show_case(engine: Engine, case: Case, who: Person) -> None:
    """All that is kept of one case."""
    with st.container(border=True, key="case"):
        text, picture = st.columns([3, 1]) if case.pictured else (st.container(), None)
        if picture and (png := picture_of(engine, case.id)):
            picture.image(png, width="stretch", alt="The scan")
        sets = words.sets({float(level): classes for level, classes in sorted(case.sets.items())})
        facts = {
            "Read": ", ".join(
                f"{CLASS_NAMES[name].lower()} {percent(getattr(case, name))}" for name in CLASSES
            ),
            "Sets": sets or "none",
            "Like known scans": words.likeness(case.in_distribution, case.ood_score),
            "Verdict": VERDICTS[case.verdict].lower()
            + (words.sees(CLASS_NAMES[case.seen].lower()) if case.seen else ""),
            "Scan": words.scan(case.format, case.width, case.height, case.window, case.scan),
            "Model": case.model,
            **({"Recalibration": case.recalibration} if case.recalibration else {}),
        }
        text.markdown("\n".join(f"- **{title}:** {fact}" for title, fact in facts.items()))
        if case.note:
            # As it was typed: a note is no Markdown.
            text.text(case.note)
        show_trail(text, engine, case)
        if not who.is_admin:
            text.caption(login_words.ONLY_ADMIN)
            return
        with text.popover("Delete …", icon=":material/delete:"):
            st.markdown(words.wiped(case.pictured))
            if st.button("Delete for good", key="delete"):
                remove(engine, case.id, person=who.name, verified=who.verified)
                st.rerun()


def show(engine: Engine, who: Person) -> None:
    if not who.verified:
        st.caption(login_words.NOT_VERIFIED)
    alarm = st.container()
    conditions = show_filters(engine)
    damaged: list[int] = []
    cases = find(engine, **conditions, on_damaged=damaged.append)
    if damaged:
        for case in damaged:
            log_damaged(case)
        st.warning(words.damaged(damaged))
    if not cases:
        st.markdown(words.NONE_FOUND if any(conditions.values()) else words.NONE_KEPT)
        return

    def export() -> bytes:
        record_export(engine, cases, person=who.name, verified=who.verified)
        return to_csv(cases)

    with st.container(horizontal=True, vertical_alignment="center"):
        # Not to the right edge: the table's own tools appear there, over what stands above it.
        st.markdown(words.count(len(cases)), width="content")
        if who.is_admin:
            st.download_button(
                "Export as CSV",
                on_demand(export, "store"),
                "cases.csv",
                "text/csv",
                icon=":material/download:",
                on_click="ignore",
            )
    selected = show_cases(cases)
    if selected:
        show_case(engine, selected, who)
    counted = cases
    if any(conditions[name] for name in _BY_ANSWER):
        others = {name: value for name, value in conditions.items() if name not in _BY_ANSWER}
        counted = find(engine, **others, on_damaged=lambda _: None)
        st.caption(words.counted(len(counted)))
    show_agreement(counted, lambda case: case.model[:_SHORT])
    show_drift(counted, chosen(), alarm)


require_entry()
visits.stay()

compact_title()
st.title("History", anchor=False)
if is_on():
    try:
        # Nobody: a login that ended while the page was open.
        if who := person():
            show(store(), who)
    except StoreError as error:
        tell("store", error)
else:
    st.info(words.OFF)
    st.markdown(words.TURN_ON)
    # Without a language, whose colours have too little contrast.
    st.code(words.ENTRY, language=None, wrap_lines=True)
