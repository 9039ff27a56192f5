"""Part of Review: the scan with the map of where its answer comes from, by the method that was chosen."""

from __future__ import annotations

import numpy as np
import streamlit as st

from brat.classes import CLASS_NAMES, CLASSES
from brat.io.scan import Scan
from brat.model.classifier import Prediction
from brat.model.explain import METHODS, MissingPackage, grad_cam, why_unmarked
from brat.model.files import ModelError
from brat.model.out_of_distribution import OodResult
from brat.model.reader import Reading
from pages.parts.enhancement import for_viewer, take
from pages.parts.failures import tell
from pages.parts.readings import Enhancement, read
from pages.parts.slow_maps import show_making, slow_map
from pages.parts.widget_memory import remember, restore
from pages.viewer import viewer, window_values
from pages.words import review as words

_KEY = "viewer"
_CANCELLED = "slow-map-cancelled"


def likeliest_tumour(prediction: Prediction) -> str:
    """The tumour with the highest probability, whatever the answer is."""
    probabilities = prediction.by_class()
    return max((name for name in CLASSES if name != "no_tumor"), key=probabilities.__getitem__)


def first_map(prediction: Prediction, ood: OodResult | None) -> tuple[str, bool]:
    """The class whose map is shown first, and whether it is shown before it is asked for.

    Args:
        ood: of the check; None where there was none.
    """
    is_tumour = prediction.label != "no_tumor"
    return (
        prediction.label if is_tumour else likeliest_tumour(prediction),
        not why_unmarked(prediction, ood),
    )


def show_map(scan: Scan, enhancement: Enhancement, *, is_shown: bool) -> None:
    """The viewer; maps of the slow methods are made only on demand.

    Args:
        is_shown: whether there is an answer that the map could belong to.
    """
    reading = read(scan, enhancement)
    picture = st.container()
    method, maps = _maps(scan, enhancement, reading) if is_shown else (METHODS[0], {})
    first, is_marked = first_map(reading.prediction, reading.ood)
    with picture:
        viewer(
            scan.gray,
            maps,
            reading.geometry,
            reading.prediction.label if is_shown else "",
            name=scan.name,
            of=scan.digest,
            method=method,
            first=first,
            is_marked=is_marked,
            spacing=scan.spacing,
            edges=scan.edges,
            values=window_values(scan),
            enhancement=for_viewer(enhancement),
            on_enhance=_take,
            key=_KEY,
        )


def _take() -> None:
    take(_KEY)


def _maps(scan: Scan, enhancement: Enhancement, reading: Reading) -> tuple[str, dict[str, np.ndarray]]:
    """By which method, and each map that it made; Grad-CAM until one of the slow methods is through."""
    prediction = reading.prediction
    if st.session_state.pop(_CANCELLED, False):
        st.session_state["method"] = METHODS[0]
        remember("method")
    restore("method", METHODS[0])
    method = st.segmented_control(
        "How the map is made",
        METHODS,
        required=True,
        key="method",
        help=words.METHOD_HELP,
        on_change=remember,
        args=("method",),
    )
    assert method is not None  # required
    at_no_cost = {label: grad_cam(prediction, label) for label in CLASSES}
    if method == METHODS[0]:
        return method, at_no_cost
    key = f"slow-class-{scan.digest}"
    restore(key, first_map(prediction, reading.ood)[0])
    label = st.selectbox(
        "Map of", CLASSES, format_func=CLASS_NAMES.__getitem__, key=key, on_change=remember, args=(key,)
    )
    try:
        making = slow_map(method, label, scan, enhancement)
    except MissingPackage as error:
        st.info(str(error))
    except (ModelError, FileNotFoundError) as error:
        tell("model", error, st.warning)
    else:
        if making.cam is not None:
            return method, {label: making.cam}
        show_making(making, method, _cancel)
    return METHODS[0], at_no_cost


def _cancel() -> None:
    st.session_state[_CANCELLED] = True
