"""Part of History: how far clinicians and the model agree in the cases that are shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd
import streamlit as st

from brat.classes import CLASSES
from brat.figures.agreement import over_time
from brat.figures.classification import confusion
from brat.store.agreement import Agreement, agreement, agreement_by
from brat.store.cases import Case
from pages.parts.captioned_figures import figure, table
from pages.words import history as words

LEAST = 20
"""Cases with a class from the clinician: below this the interval of kappa would span most of its range."""


def show_agreement(cases: Sequence[Case], version: Callable[[Case], str]) -> None:
    """How far the clinicians' classes are the model's: overall, over time and by model version.

    Args:
        version: names the model of a case.
    """
    overall = agreement(cases)
    st.header("Agreement with the model", anchor=False)
    if not overall.cases:
        st.markdown(words.NO_AGREEMENT)
        return
    if overall.cases < LEAST:
        st.markdown(words.too_few(overall.agreed, overall.cases, LEAST))
        return
    matrix, numbers = st.columns([3, 2], gap="large")
    with matrix:
        matrix_chart = confusion(overall.matrix, normalised=False)
        matrix_chart.update_yaxes(title_text="clinician sees")
        matrix_chart.update_traces(hovertemplate="seen: %{y}, read: %{x}: %{text}<extra></extra>")
        figure(
            matrix_chart,
            "agreement",
            words.MATRIX,
            words.matrix(overall.agreed, _apart(overall)),
            pd.DataFrame(
                {"seen": seen, "read": read, "cases": overall.matrix[i, j]}
                for i, seen in enumerate(CLASSES)
                for j, read in enumerate(CLASSES)
            ),
        )
    with numbers:
        st.metric("Agreed", words.agreed(overall.agreed, overall.cases, with_share=False), border=True)
        st.metric(
            "Cohen's kappa",
            f"{overall.kappa.value:.2f}" if overall.kappa else "undefined",
            words.interval(overall.kappa.low, overall.kappa.high) if overall.kappa else None,
            delta_color="off",
            delta_arrow="off",
            border=True,
            help=words.KAPPA_HELP,
        )
        st.caption(words.left_out(overall.unsure) + words.LEANING)
    months = agreement_by(cases, lambda case: f"{case.time:%Y-%m}")
    st.subheader("Over time", anchor=False)
    enough = {name: group for name, group in months.items() if group.cases >= LEAST}
    figure(
        over_time(enough), "months", words.MONTHS_FIGURE, words.KAPPA_CAPTION, _numbers_of("Month", months)
    )
    st.table(_in_words("Month", months), border="horizontal")
    models = agreement_by(cases, version)
    st.subheader("By model version", anchor=False)
    table(_in_words("Model", models), "models", words.KAPPA_CAPTION, _numbers_of("Model", models))


def _apart(group: Agreement) -> dict[tuple[str, str], int]:
    """What is seen and what was read, where they differ -> in how many cases."""
    return {
        (seen, read): int(group.matrix[i, j])
        for i, seen in enumerate(CLASSES)
        for j, read in enumerate(CLASSES)
        if i != j and group.matrix[i, j]
    }


def _in_words(column: str, groups: Mapping[str, Agreement]) -> pd.DataFrame:
    """The agreement in each group, as it is read."""
    return pd.DataFrame(
        {
            column: list(groups),
            "Agreed": [words.agreed(group.agreed, group.cases) for group in groups.values()],
            "Unsure": [str(group.unsure) for group in groups.values()],
            "Kappa": [_kappa(group) for group in groups.values()],
        }
    ).set_index(column)


def _numbers_of(column: str, groups: Mapping[str, Agreement]) -> pd.DataFrame:
    """The same as numbers."""
    return pd.DataFrame(
        {
            column.lower(): name,
            "cases": group.cases,
            "agreed": group.agreed,
            "unsure": group.unsure,
            "kappa": group.kappa and group.kappa.value,
            "low": group.kappa and group.kappa.low,
            "high": group.kappa and group.kappa.high,
        }
        for name, group in groups.items()
    )


def _kappa(group: Agreement) -> str:
    """0.84 (0.71 to 0.93)."""
    if group.cases < LEAST:
        return words.fewer_than(LEAST)
    return words.kappa(*group.kappa) if group.kappa else "undefined"
