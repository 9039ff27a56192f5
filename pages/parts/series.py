"""Part of Review: a series, read slice by slice, with the slices beside what they say together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from brat import log
from brat.classes import CLASS_NAMES, CLASSES
from brat.io.scan import Scan, UnreadableScan
from brat.io.series import ACQUIRED, Series, Stack
from brat.model.calibration import DEFAULT_LEVEL
from brat.model.explain import as_png, grad_cam
from brat.model.files import ModelError
from brat.model.pool import Readers
from brat.model.preprocess import Geometry
from brat.model.series_reading import SeriesReading, SliceReading, read_stack, said_of_slices
from pages.parts.class_map import first_map
from pages.parts.failures import tell
from pages.parts.readings import chosen
from pages.parts.weights_files import load
from pages.parts.widget_memory import memory, remembered
from pages.parts.windows import choose_window
from pages.viewer import ViewerSlice, Withheld, stack_viewer, window_shown, window_values
from pages.words import series as words

PLANES = {"acquired": "As acquired", "axial": "Axial", "coronal": "Coronal", "sagittal": "Sagittal"}

STRETCHED = 1.5
"""How many times as wide one way as the other a view's voxels must be for the page to say so."""


@st.cache_resource(show_spinner=False)
def readers(weights: Path) -> Readers:
    return Readers(weights)


_VIEWS = 3
"""That are kept of a visit, because the pictures of a large series take 20 MB."""


def place(*view: object) -> dict:
    """What was read and drawn of a view, as long as the visit lasts.

    What it is for fills it, with its progress on the page.

    Args:
        view: model, series, plane, volume and window.
    """
    places = memory().setdefault("series-read", {})
    # Those that were asked for last stand last.
    places[view] = held = places.pop(view, {})
    while len(places) > _VIEWS:
        del places[next(iter(places))]
    return held


def show_series(series: Series, plane: str, volume: int, on_open: Callable[[Stack, int], None]) -> None:
    """Read a series and show it.

    Args:
        series, plane, volume: of `choose_view`.
        on_open: called with a stack and the number of a slice that the visitor wants to see by itself.
    """
    try:
        stack = series.stack(plane, volume)
        apart, times = stretch(series, plane, volume)
    except UnreadableScan as error:
        log.refusal(error)
        st.error(str(error))
        return
    if times >= STRETCHED:
        st.caption(words.stretched(apart, times))
    held = place(chosen(), series.digest, plane, volume, str(series.window))
    if "reading" not in held:
        try:
            held |= read(stack)
        # Each thread loads a model of its own, and the files may be other ones by now.
        except (ModelError, FileNotFoundError) as error:
            tell("model", error)
            return
    reading = held["reading"]
    with st.container(key="reading"):
        answer, picture, details = st.columns(3, gap="large")
    with answer:
        st.header(words.heading(reading), anchor=False)
    of = f"{series.digest}-{plane}-{volume}-{series.window}"

    with picture:
        stack_viewer(
            held["slices"],
            reading.most_suspicious,
            of=of,
            strip=words.strip(reading),
            aim=reading.most_suspicious,
            aim_name=words.suspicious(reading),
            values_of=partial(values_of, stack),
            on_open=partial(on_open, stack),
            key="stack",
        )
    with details:
        said = said_of_slices(held["said"], series.remarks)
        # A volume says so itself.
        if series.planes == (ACQUIRED,) and not any(slice_.edges for slice_ in held["slices"]):
            said += (words.NO_SIDES,)
        show_findings(reading, said)
    show_numbers(reading)


def choose_view(series: Series) -> tuple[Series, str, int]:
    """Ask for plane, volume and window, each where there are several.

    Returns:
        The series as shown with that window, the plane, and the volume from 0.
    """
    plane, volume = f"plane-{series.digest}", f"volume-{series.digest}"
    if len(series.planes) > 1:
        st.segmented_control(
            "View",
            series.planes,
            required=True,
            format_func=PLANES.__getitem__,
            label_visibility="collapsed",
            **remembered(plane, series.planes[0]),
        )
    if series.volumes > 1:
        st.number_input("Volume", 1, series.volumes, width=160, **remembered(volume, 1))
    view = st.session_state.get(plane, series.planes[0]), st.session_state.get(volume, 1) - 1
    if series.window:
        window = choose_window(series.window, series.presets, series.digest)
        series = series.windowed(window) if window != series.window else series
    return series, *view


def stretch(series: Series, plane: str, volume: int) -> tuple[float, float]:
    """How many millimetres lie between the slices that a view is put together from, and how many times as
    many as between its pixels the other way; (0, 1) where it is not put together.
    """
    places = [series.stack(other, volume).positions for other in series.planes if other != plane]
    steps = [place[1] - place[0] for place in places if place is not None and len(place) > 1]
    return (max(steps), max(steps) / min(steps)) if steps else (0.0, 1.0)


def read(stack: Stack) -> dict:
    """The readings and the pictures of a stack, with a bar that says how far it is."""
    count = len(stack)
    bar = st.progress(0.0, words.reading(0, count))
    readings, slices, said, size = [], [], [], (256, 256)
    for number, (scan, reading) in enumerate(read_stack(stack, readers(chosen())), 1):
        # A damaged slice is as large as its neighbour, so that nothing moves when it passes by.
        size = scan.gray.shape if scan else size
        readings.append(reading)
        said.append(scan.remarks if scan else ())
        slices.append(shown(scan, reading, size))
        # Each message costs the page a moment.
        if number % 8 == 0:
            bar.progress(number / count, words.reading(number, count))
    bar.empty()
    return {"reading": SeriesReading(tuple(readings), stack.positions), "slices": slices, "said": said}


def shown(scan: Scan | None, read: SliceReading, size: tuple[int, int] = (256, 256)) -> ViewerSlice:
    """A slice as the viewer shows it; black, of that height and width, where it is damaged."""
    if read.prediction is None:
        gray = scan.gray if scan else np.zeros(size, np.uint8)
        height, width = gray.shape
        nowhere = Geometry(0, 0, max(height, width), width, height)
        name = scan.name if scan else ""
        return ViewerSlice(as_png(gray), nowhere, {}, "", name, "Not read", read.problem, mark="unread")
    assert scan is not None
    assert read.geometry is not None
    prediction, ood = read.prediction, read.ood
    picture, probabilities = as_png(scan.gray), prediction.probabilities
    maps = {label: grad_cam(prediction, label) for label in CLASSES}
    first, is_marked = first_map(prediction, ood)
    if ood and not ood.in_distribution:
        # The answer is withheld, and with it the maps, until they are asked for.
        return ViewerSlice(
            picture,
            read.geometry,
            maps={},
            label="",
            name=scan.name,
            answer=words.UNLIKE,
            doubt=ood.reason,
            probabilities=probabilities,
            spacing=scan.spacing,
            edges=scan.edges,
            values=window_shown(scan),
            mark="refused",
            withheld=Withheld(
                maps,
                prediction.label,
                words.all_the_same(prediction.label, prediction.confidence),
                first,
            ),
        )
    return ViewerSlice(
        picture,
        read.geometry,
        maps=maps,
        first=first,
        is_marked=is_marked,
        spacing=scan.spacing,
        edges=scan.edges,
        values=window_shown(scan),
        label=prediction.label,
        name=scan.name,
        answer=words.answer(prediction.label, prediction.confidence),
        doubt=words.doubt(
            DEFAULT_LEVEL,
            (read.sets or {}).get(DEFAULT_LEVEL),
            prediction.confidence,
            ood.score if ood else None,
        ),
        probabilities=probabilities,
    )


def values_of(stack: Stack, number: int) -> Mapping[str, Any] | None:
    """The values of a slice for the viewer; None where it has none, or its file is gone."""
    try:
        return window_values(stack[number])
    except UnreadableScan as error:
        # The viewer goes on with the picture's 8 bits.
        log.refusal(error)
        return None


def show_findings(read: SeriesReading, said: Sequence[str]) -> None:
    """What the slices say one class after the other, how that was made, and what it does not know.

    Args:
        said: what their files say against some of them.
    """
    st.markdown(words.HOW)
    st.markdown("\n".join(f"- {sentence}" for sentence in (*words.findings(read), *said)))
    metrics = load(chosen(), "metrics.json") or {}
    with st.expander(words.HOW_OFTEN):
        st.markdown(words.how_often(metrics.get("protocols", {})))
    st.caption(words.CARE)


@st.fragment
def show_numbers(read: SeriesReading) -> None:
    """Every slice in a table, once somebody asks for it."""
    if not st.toggle("Every slice as numbers", **remembered("series-numbers", False)):
        return
    # Tables are loaded once somebody wants one.
    import pandas as pd

    from pages.parts.captioned_figures import numbers

    rows = pd.DataFrame(
        {
            "slice": number,
            "mm": None if read.positions is None else read.positions[number - 1],
            "read": slice_reading.prediction.label if slice_reading.prediction else None,
            **{name: read.probabilities[number - 1, place] for place, name in enumerate(CLASSES)},
            "known": slice_reading.is_known,
            "distance": slice_reading.ood.score if slice_reading.ood else None,
            "problem": slice_reading.problem,
        }
        for number, slice_reading in enumerate(read.slices, 1)
    )
    rounded = {name: st.column_config.NumberColumn(CLASS_NAMES[name], format="percent") for name in CLASSES}
    st.dataframe(
        rows.assign(read=rows["read"].map(CLASS_NAMES)),
        hide_index=True,
        alt=words.TABLE,
        column_config={
            "slice": "Slice",
            "mm": "mm",
            "read": "Answer",
            "known": "Like known slices",
            "problem": "Why it was not read",
            **rounded,
            "distance": st.column_config.NumberColumn("Distance", format="%.2f"),
        },
    )
    numbers("series", words.TABLE, rows)
