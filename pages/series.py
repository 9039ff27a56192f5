"""Part of Review: a series, read slice by slice, with the slices beside what they say together."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import streamlit as st

from brat import CLASSES
from brat.explain import as_png, grad_cam
from brat.pool import Readers
from brat.preprocess import Geometry
from brat.scans import Scan, UnreadableScan
from brat.series import Series, Stack
from brat.series_reading import SeriesReading, SliceReading, read_stack
from pages.viewer import Slice, stack_viewer
from pages.windows import choose_window
from pages.words import series as words

LEVEL = 0.95
"""Of the prediction set that is shown."""


@st.cache_resource(show_spinner=False)
def readers() -> Readers:
    return Readers()


# Of a large series the pictures take 20 MB. What the place is for fills it, with its progress on the page.
@st.cache_resource(max_entries=4, show_spinner=False)
def place(digest: str, plane: str, volume: int, window: str) -> dict:
    return {}


def show_series(series: Series, on_open: Callable[[Stack, int], None]) -> None:
    """Read a series and show it.

    Args:
        on_open: called with a stack and the number of a slice that the reader wants to see by itself.
    """
    with st.container(horizontal=True, vertical_alignment="bottom"):
        plane = series.planes[0]
        if len(series.planes) > 1:
            plane = st.segmented_control(
                words.PLANE,
                series.planes,
                default=plane,
                required=True,
                format_func=words.PLANES.get,
                key=f"plane-{series.digest}",
            )
        volume = 0
        if series.volumes > 1:
            volume = st.number_input(
                words.VOLUME, 1, series.volumes, key=f"volume-{series.digest}", width=160
            )
            volume -= 1
        if series.window:
            window = choose_window(series.window, series.presets, series.digest)
            if window != series.window:
                series = series.windowed(window)
    try:
        stack = series.stack(plane, volume)
    except UnreadableScan as error:
        st.error(str(error))
        return
    held = place(series.digest, plane, volume, str(series.window))
    if "reading" not in held:
        held |= read(stack)
    with st.container(key="reading"):
        answer, picture = st.columns(2, gap="large")
    with answer:
        show_reading(held["reading"])
    with picture:
        stack_viewer(
            held["slices"],
            held["reading"].most_suspicious,
            of=f"{series.digest}-{plane}-{volume}-{series.window}",
            strip=words.strip(held["reading"]),
            on_open=lambda number: on_open(stack, number),
            key="stack",
        )
    show_numbers(held["reading"])


def read(stack: Stack) -> dict:
    """The readings and the pictures of a stack, with a bar that says how far it is."""
    count = len(stack)
    bar = st.progress(0.0, words.reading(0, count))
    readings, slices = [], []
    for number, (scan, one) in enumerate(read_stack(stack, readers()), 1):
        readings.append(one)
        slices.append(shown(scan, one))
        # Each message costs the page a moment.
        if number % 8 == 0:
            bar.progress(number / count, words.reading(number, count))
    bar.empty()
    return {"reading": SeriesReading(tuple(readings)), "slices": slices}


def shown(scan: Scan | None, read: SliceReading) -> Slice:
    """A slice as the viewer shows it."""
    if read.prediction is None:
        gray = scan.gray if scan else np.zeros((256, 256), np.uint8)
        height, width = gray.shape
        nowhere = Geometry(0, 0, max(height, width), width, height)
        name = scan.name if scan else ""
        return Slice(as_png(gray), nowhere, {}, "", name, words.NOT_READ, read.problem, mark="unread")
    prediction, verdict = read.prediction, read.verdict
    facts = {
        "picture": as_png(scan.gray),
        "geometry": read.geometry,
        "name": scan.name,
        "shares": prediction.probabilities,
    }
    if not read.is_known:
        doubt = verdict.reason
        return Slice(**facts, maps={}, label="", answer=words.UNLIKE, doubt=doubt, mark="refused")
    return Slice(
        **facts,
        maps={label: grad_cam(prediction, label) for label in CLASSES},
        label=prediction.label,
        answer=words.answer(prediction.label, prediction.confidence),
        doubt=words.doubt(LEVEL, (read.sets or {}).get(LEVEL), verdict and verdict.score),
    )


def show_reading(read: SeriesReading) -> None:
    """What the slices say together, how that was made, and what it does not know."""
    st.header(words.heading(read), anchor=False)
    st.markdown(words.HOW)
    st.markdown("\n".join(f"- {sentence}" for sentence in words.findings(read)))
    st.caption(words.UNKNOWN)


@st.fragment
def show_numbers(read: SeriesReading) -> None:
    """Every slice in a table, once somebody asks for it."""
    if not st.toggle(words.EVERY_SLICE, key="series-numbers"):
        return
    # Tables are loaded once somebody wants one.
    import pandas as pd

    from pages.exhibits import numbers

    rows = pd.DataFrame(
        {
            "slice": number,
            "read": one.prediction.label if one.prediction else None,
            **{name: read.shares[number - 1, place] for place, name in enumerate(CLASSES)},
            "known": one.is_known,
            "distance": one.verdict.score if one.verdict else None,
            "problem": one.problem,
        }
        for number, one in enumerate(read.slices, 1)
    )
    st.dataframe(rows, hide_index=True, alt=words.TABLE)
    numbers("series", words.TABLE, rows)
