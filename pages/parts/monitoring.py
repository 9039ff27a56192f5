"""Whether the app can read, for the monitor of a server."""

from __future__ import annotations

import numpy as np
import streamlit as st

from brat import log, metrics
from brat.io import door
from brat.io.files import File
from brat.io.intake import Item
from brat.io.samples import load_samples
from brat.model.reader import Reader


@st.cache_resource(show_spinner=False)
def start_monitoring() -> None:
    """Once in a server."""
    log.start("app")
    metrics.start(_ready)


def _ready() -> None:
    """Read a sample as an upload is read, with the model as it lies on the disk now."""
    sample = load_samples()[0].file
    scan = door.load(Item(sample.name, (File(sample.name, sample.read_bytes()),)))
    prediction = Reader().read(np.asarray(scan.gray)).prediction
    if not np.isfinite(prediction.probabilities).all():
        raise RuntimeError("the model gives no probabilities")
