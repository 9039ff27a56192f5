"""History: the kept cases, how far clinicians and the model agree in them, and the way to delete one."""

from __future__ import annotations

import pandas as pd
import streamlit as st
from sqlalchemy import Engine

from brat.classes import CLASS_NAMES, CLASSES
from brat.figures import charts as figures
from brat.figures.agreement import over_time
from brat.figures.charts import percent
from brat.store.agreement import Agreement, agreement, agreement_by
from brat.store.cases import Case, StoreError, choices, find, picture_of, remove, to_csv
from pages.parts.exhibits import figure, table
from pages.parts.store import is_on, store
from pages.words import history as words
from pages.words.verdict import VERDICTS

# Of a hash, what tells one from another for the eye.
_SHORT = 8


def show_filters(engine: Engine) -> dict:
    """What to search for, as arguments of `brat.store.cases.find`."""
    search = st.text_input(
        words.SEARCH,
        placeholder=words.SEARCH_HINT,
        key="history-search",
    )
    with st.expander(words.FILTER):
        verdict, label, model, reader = st.columns(4)
        since, until, _ = st.columns([1, 1, 2])
        return {
            "search": search,
            "verdicts": verdict.multiselect(words.VERDICT, list(VERDICTS), format_func=VERDICTS.get),
            "labels": label.multiselect(words.CLASS, CLASSES, format_func=CLASS_NAMES.get),
            "models": model.multiselect(
                words.MODEL, choices(engine, "model"), format_func=lambda one: one[:_SHORT]
            ),
            "readers": reader.multiselect(
                words.READER, choices(engine, "reader"), format_func=lambda name: name or words.NO_NAME
            ),
            "since": since.date_input(words.FROM, value=None, format="YYYY-MM-DD"),
            "until": until.date_input(words.TO, value=None, format="YYYY-MM-DD"),
        }


def show_cases(cases: list[Case]) -> Case | None:
    """The table; the case that is selected in it."""
    shown = pd.DataFrame(
        {
            words.TIME: [f"{case.time:%Y-%m-%d %H:%M}" for case in cases],
            words.READ: [CLASS_NAMES[case.label] for case in cases],
            words.PROBABILITY: [getattr(case, case.label) for case in cases],
            words.VERDICT: [VERDICTS[case.verdict] for case in cases],
            words.SEEN: [CLASS_NAMES.get(case.seen, "") for case in cases],
            words.NOTE: [case.note for case in cases],
            words.READER: [case.reader for case in cases],
            words.SCAN: [case.scan[:_SHORT] for case in cases],
            words.MODEL: [case.model[:_SHORT] for case in cases],
        }
    )
    # A row's number says nothing of another list of cases, where it would select another case.
    rows = st.dataframe(
        shown,
        key=f"cases-{hash(tuple(case.id for case in cases))}",
        hide_index=True,
        column_config={
            words.PROBABILITY: st.column_config.ProgressColumn(min_value=0, max_value=1, format="percent")
        },
        on_select="rerun",
        selection_mode="single-row",
        alt=words.TABLE,
    ).selection.rows
    return cases[rows[0]] if rows else None


def show_case(engine: Engine, case: Case) -> None:
    """All that is kept of one case."""
    with st.container(border=True, key="case"):
        text, picture = st.columns([3, 1]) if case.pictured else (st.container(), None)
        if picture:
            picture.image(picture_of(engine, case.id), width="stretch", alt=words.PICTURE)
        sets = words.sets({float(level): classes for level, classes in sorted(case.sets.items())})
        facts = {
            words.READ: ", ".join(
                f"{CLASS_NAMES[name].lower()} {percent(getattr(case, name))}" for name in CLASSES
            ),
            words.SETS: sets or words.NO_SETS,
            words.GATE: words.gate(case.gate_known, case.gate_score),
            words.VERDICT: VERDICTS[case.verdict].lower()
            + (words.sees(CLASS_NAMES[case.seen].lower()) if case.seen else ""),
            words.SCAN: f"{case.kind}, {case.width} x {case.height}, {case.scan}",
            words.MODEL: case.model,
        }
        text.markdown("\n".join(f"- **{title}:** {fact}" for title, fact in facts.items()))
        if case.note:
            # As it was typed: a note is no Markdown.
            text.text(case.note)
        with text.popover(words.DELETE, icon=":material/delete:"):
            st.markdown(words.wiped(case.pictured))
            if st.button(words.DELETE_FOR_GOOD, key="delete"):
                remove(engine, case.id)
                st.rerun()


def kappa(found: Agreement) -> str:
    """0.84 (0.71 to 0.93)."""
    if found.kappa is None:
        return words.UNDEFINED
    return words.kappa(found.kappa, found.low, found.high)


def show_agreement(cases: list[Case]) -> None:
    """How far the clinicians' classes are the model's: overall, over time and by model version."""
    found = agreement(cases)
    st.header(words.AGREEMENT, anchor=False)
    if not found.cases:
        st.markdown(words.NO_AGREEMENT)
        return
    matrix, numbers = st.columns([3, 2], gap="large")
    with matrix:
        drawn = figures.confusion(found.matrix, normalised=False)
        drawn.update_yaxes(title_text=words.CLINICIAN_SEES)
        drawn.update_traces(hovertemplate=f"{words.HOVER}<extra></extra>")
        figure(
            drawn,
            "agreement",
            words.MATRIX,
            words.matrix(found.agreed, apart(found)),
            pd.DataFrame(
                {"seen": one, "read": other, "cases": found.matrix[i, j]}
                for i, one in enumerate(CLASSES)
                for j, other in enumerate(CLASSES)
            ),
        )
    with numbers:
        st.metric(words.AGREED, words.agreed(found.agreed, found.cases, with_share=False), border=True)
        st.metric(
            words.KAPPA,
            words.UNDEFINED if found.kappa is None else f"{found.kappa:.2f}",
            None if found.kappa is None else words.interval(found.low, found.high),
            delta_color="off",
            delta_arrow="off",
            border=True,
            help=words.KAPPA_HELP,
        )
        st.caption(words.left_out(found.unsure) + words.LEANING)
    months = agreement_by(cases, lambda case: f"{case.time:%Y-%m}")
    st.subheader(words.OVER_TIME, anchor=False)
    figure(
        over_time(months), "months", words.MONTHS_FIGURE, words.KAPPA_CAPTION, numbers_of(words.MONTH, months)
    )
    st.table(in_words(words.MONTH, months), border="horizontal")
    models = agreement_by(cases, lambda case: case.model[:_SHORT])
    st.subheader(words.BY_MODEL, anchor=False)
    table(in_words(words.MODEL, models), "models", words.KAPPA_CAPTION, numbers_of(words.MODEL, models))


def apart(found: Agreement) -> dict[tuple[str, str], int]:
    """What is seen and what was read, where they differ -> in how many cases."""
    return {
        (seen, read): int(found.matrix[i, j])
        for i, seen in enumerate(CLASSES)
        for j, read in enumerate(CLASSES)
        if i != j and found.matrix[i, j]
    }


def in_words(column: str, groups: dict[str, Agreement]) -> pd.DataFrame:
    """The agreement in each group, as it is read."""
    return pd.DataFrame(
        {
            column: list(groups),
            words.AGREED: [words.agreed(found.agreed, found.cases) for found in groups.values()],
            words.UNSURE: [str(found.unsure) for found in groups.values()],
            words.KAPPA_SHORT: [kappa(found) for found in groups.values()],
        }
    ).set_index(column)


def numbers_of(column: str, groups: dict[str, Agreement]) -> pd.DataFrame:
    """The same as numbers."""
    return pd.DataFrame(
        {
            column.lower(): group,
            "cases": found.cases,
            "agreed": found.agreed,
            "unsure": found.unsure,
            "kappa": found.kappa,
            "low": found.low,
            "high": found.high,
        }
        for group, found in groups.items()
    )


def show(engine: Engine) -> None:
    conditions = show_filters(engine)
    cases = find(engine, **conditions)
    if not cases:
        st.markdown(words.NONE_FOUND if any(conditions.values()) else words.NONE_KEPT)
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            words.found(len(cases)),
            width="stretch",
        )
        st.download_button(
            words.EXPORT,
            to_csv(cases),
            "cases.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
        )
    selected = show_cases(cases)
    if selected:
        show_case(engine, selected)
    show_agreement(cases)


# The first visitor of a fresh server who comes by this page's own address gets here past app.py.
if "entered" not in st.session_state:
    st.switch_page("app.py")

st.title(words.TITLE, anchor=False)
if is_on():
    try:
        show(store())
    except StoreError as error:
        st.error(str(error))
else:
    st.info(words.OFF)
    st.markdown(words.TURN_ON)
    # Without a language, whose colours have too little contrast.
    st.code(words.ENTRY, language=None, wrap_lines=True)
