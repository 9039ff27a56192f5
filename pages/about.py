"""About: how to read a reading, and what not to read into it."""

import json

import streamlit as st

from brat.environment import WEIGHTS
from brat.figures.charts import percent
from brat.io.samples import load_samples
from pages.parts.configuration import identified
from pages.words import about as words

# The first visitor of a fresh server who comes by this page's own address gets here past app.py.
if "entered" not in st.session_state:
    st.switch_page("app.py")

metrics = json.loads((WEIGHTS / "metrics.json").read_text())


def estimate(entry: dict) -> str:
    return words.estimate(*(percent(entry[key]) for key in ("value", "low", "high")))


right = estimate(metrics["protocols"]["four_classes"]["metrics"]["accuracy"])
covered = ""
if "calibration" in metrics:
    covered = words.covered(estimate(metrics["calibration"]["sets"]["0.95"]["coverage"]))

st.title(words.TITLE, anchor=False)
st.warning(words.WARNING)
text = st.container(width=820)
text.markdown(
    words.BODY.format(right=right, covered=covered, identified=words.IDENTIFIED if identified() else "")
)
for sample in load_samples():
    text.markdown(words.sample(sample.title, sample.origin, sample.licence))
text.markdown(words.METHODS)
