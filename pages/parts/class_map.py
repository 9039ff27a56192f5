"""Part of Review: the scan with the map of where its answer comes from, by the method that was chosen."""

from __future__ import annotations

import streamlit as st

from brat.classes import CLASS_NAMES, CLASSES
from brat.io.scan import Scan
from brat.model.explain import METHODS, MissingPackage, grad_cam
from brat.model.files import ModelError
from pages.parts.failures import tell
from pages.parts.readings import Enhancement, enhanced, read, slow_map
from pages.viewer import viewer
from pages.words import review as words


@st.fragment
def show_map(scan: Scan, enhancement: Enhancement) -> None:
    """The viewer; maps of the slow methods are made only on demand."""
    reading = read(scan, enhancement)
    prediction = reading.prediction
    picture = st.container()
    method = st.segmented_control(
        "How the map is made",
        METHODS,
        default=METHODS[0],
        required=True,
        key="method",
        help=words.METHOD_HELP,
    )
    maps = {label: grad_cam(prediction, label) for label in CLASSES}
    if method != METHODS[0]:
        label = st.selectbox(
            "Map of",
            CLASSES,
            index=CLASSES.index(prediction.label),
            format_func=CLASS_NAMES.__getitem__,
            key=f"slow-class-{scan.digest}",
        )
        try:
            maps = {label: slow_map(method, label, scan, enhancement)}
        except MissingPackage as error:
            st.info(str(error))
            method = METHODS[0]
        except (ModelError, FileNotFoundError) as error:
            tell("model", error, st.warning)
            method = METHODS[0]
    with picture:
        viewer(
            enhanced(scan, enhancement),
            maps,
            reading.geometry,
            prediction.label,
            name=scan.name,
            method=method,
            key="viewer",
        )
