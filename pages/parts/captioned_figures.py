"""A figure or a table on a page, with a caption and its numbers as a CSV file."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from brat.figures.charts import CONFIG
from pages.words import numbers as words

# Streamlit writes axes in a gray of 3.7 to 1 on a light page, and keeps columns side by side however large
# the text; WCAG 2.1 asks for 4.5 to 1, and for text that holds at twice its size.
_STYLE = """<style>
.stPlotlyChart svg text:not(.heatmaplayer text, .hoverlayer text) {fill: currentColor !important}
.stColumn:has(.stPlotlyChart, .stTable) {min-width: min(100%, 20rem)}
</style>"""

# Streamlit indents the first column after the names of the rows less than its heading.
_UNDER_ITS_HEADING = "<style>.stTable th + td {padding-left: 1rem !important}</style>"


def chart(drawn: go.Figure, name: str, alt: str, *, fills: bool = False) -> None:
    """A figure alone. `numbers` is to follow it, with the caption and the numbers that are drawn.

    Args:
        name: in the session.
        alt: the kind of figure, for a screen reader.
        fills: whether it is as high as its column leaves it; else it is as high as it was drawn.
    """
    st.html(_STYLE)
    st.plotly_chart(drawn, height="stretch" if fills else "content", config=CONFIG, key=name, alt=alt)


def figure(
    drawn: go.Figure, name: str, alt: str, caption: str, rows: pd.DataFrame, *, fills: bool = False
) -> None:
    """A figure with its caption and its numbers.

    Args:
        name: of the CSV file and, in the session, of the figure.
        alt: the kind of figure, for a screen reader; the caption follows it as text.
        caption: what is to be seen, in words.
        rows: every number drawn.
        fills: as for `chart`.
    """
    chart(drawn, f"figure-{name}", alt, fills=fills)
    numbers(name, caption, rows)


def table(shown: pd.DataFrame, name: str, caption: str, rows: pd.DataFrame) -> None:
    """A table of words and rounded numbers, with its caption and the numbers as they were measured."""
    st.html(_UNDER_ITS_HEADING)
    st.table(shown, border="horizontal")
    numbers(name, caption, rows)


def numbers(name: str, caption: str, rows: pd.DataFrame) -> None:
    """A caption, and beside it a quiet way to the numbers."""
    with st.container(horizontal=True, vertical_alignment="center", wrap=False):
        st.caption(words.unbroken(caption), width="stretch")
        st.download_button(
            "CSV",
            rows.to_csv(index=False).encode(),
            f"{name}.csv",
            "text/csv",
            key=f"csv-{name}",
            help=words.csv_help(name),
            type="tertiary",
            icon=":material/download:",
            on_click="ignore",
        )
