"""About: how to read a reading, and what not to read into it."""

import json

import streamlit as st

from brat.environment import WEIGHTS
from brat.io.samples import load_samples
from brat.model.calibration import DEFAULT_LEVEL
from brat.wording import percent
from pages.parts.configuration import identified
from pages.parts.navigation import require_entry
from pages.words import about as words

require_entry()

metrics = json.loads((WEIGHTS / "metrics.json").read_text())


def estimate(entry: dict) -> str:
    return words.estimate(*(percent(entry[key]) for key in ("value", "low", "high")))


right = estimate(metrics["protocols"]["four_classes"]["metrics"]["accuracy"])
covered = ""
if "calibration" in metrics:
    covered = words.covered(estimate(metrics["calibration"]["sets"][str(DEFAULT_LEVEL)]["coverage"]))

st.title("How to read a reading", anchor=False)
st.warning(words.WARNING)
text = st.container(width=820)
text.markdown(
    words.BODY.format(right=right, covered=covered, identified=words.IDENTIFIED if identified() else "")
)
for sample in load_samples():
    text.markdown(words.sample(sample.title, sample.origin, sample.licence))
text.markdown(words.METHODS)
