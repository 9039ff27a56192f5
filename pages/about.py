"""About: how to read a reading, and what not to read into it."""

from collections.abc import Mapping

import streamlit as st

from brat.environment import WEIGHTS
from brat.io.samples import load_sample_series, load_samples
from brat.model.calibration import DEFAULT_LEVEL
from brat.wording import percent
from pages.parts import visits
from pages.parts.configuration import identified
from pages.parts.navigation import compact_title, require_entry
from pages.parts.readings import check_model
from pages.parts.weights_files import load, missing
from pages.words import about as words


def estimate(entry: Mapping[str, float]) -> str:
    """A measure and its interval, in per cent."""
    return words.estimate(*(percent(entry[key]) for key in ("value", "low", "high")))


require_entry()
visits.stay()

metrics = load(WEIGHTS, "metrics.json") or {}
right = covered = ""
if metrics:
    right = words.right(estimate(metrics["protocols"]["four_classes"]["metrics"]["accuracy"]))
if "calibration" in metrics:
    covered = words.covered(estimate(metrics["calibration"]["sets"][str(DEFAULT_LEVEL)]["coverage"]))

compact_title()
st.title("How to read a reading", anchor=False)
st.warning(words.WARNING)
text = st.container(width=820)
with text:
    check_model(WEIGHTS, anew=True)
for sentence in missing(WEIGHTS):
    text.info(sentence)
text.markdown(
    words.BODY.format(right=right, covered=covered, identified=words.IDENTIFIED if identified() else "")
)
for sample in (*load_samples(), *load_sample_series()):
    text.markdown(words.sample(sample.title, sample.origin, sample.licence))
text.markdown(words.METHODS)
