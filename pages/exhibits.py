"""A figure or a table on a page, what it says in a sentence, and its numbers as a CSV file."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from brat.figures import CONFIG

# A line may break before an interval, but neither inside nor before a sign.
_HARD = "\u00a0"
_TO = f"{_HARD}to{_HARD}"


def share(value: float) -> str:
    """0.914 -> "91.4 %"."""
    return f"{100 * value:.1f}{_HARD}%"


def estimate(entry: Mapping[str, float | None]) -> str:
    """A share and its interval: "91.4 % (88.0 to 94.0)"."""
    if entry["value"] is None:
        return "not measured"
    return f"{share(entry['value'])} ({100 * entry['low']:.1f}{_TO}{100 * entry['high']:.1f})"


def decimal(entry: Mapping[str, float | None]) -> str:
    """What is no share, and its interval: "0.914 (0.880 to 0.940)"."""
    if entry["value"] is None:
        return "not measured"
    return f"{entry['value']:.3f} ({entry['low']:.3f}{_TO}{entry['high']:.3f})"


def figure(drawn: go.Figure, name: str, what: str, says: str, rows: pd.DataFrame) -> None:
    """A figure with its caption and its numbers.

    Args:
        name: of the CSV file and, in the session, of the figure.
        what: the kind of figure, for a screen reader; `says` follows it as text.
        says: what is to be seen, in words.
        rows: every number drawn.
    """
    st.plotly_chart(drawn, config=CONFIG, key=f"figure-{name}", alt=what)
    numbers(name, says, rows)


def table(shown: pd.DataFrame, name: str, says: str, rows: pd.DataFrame) -> None:
    """A table of words and rounded numbers, with its caption and the numbers as they were measured."""
    st.table(shown, border="horizontal")
    numbers(name, says, rows)


def numbers(name: str, says: str, rows: pd.DataFrame) -> None:
    """A caption, and beside it a quiet way to the numbers."""
    with st.container(horizontal=True, vertical_alignment="center", wrap=False):
        st.caption(says, width="stretch")
        st.download_button(
            "CSV",
            rows.to_csv(index=False).encode(),
            f"{name}.csv",
            "text/csv",
            key=f"csv-{name}",
            help=f"The numbers as they were measured: {name}.csv",
            type="tertiary",
            icon=":material/download:",
            on_click="ignore",
        )
