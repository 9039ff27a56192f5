"""Part of Review: the samples that a visitor can open."""

from __future__ import annotations

import streamlit as st

from brat.io.samples import Sample, load_sample_series, load_samples
from pages.parts.open_scan import take_sample
from pages.words import review as words

POPOVER = "samples-open"
"""Key of the popover that holds them once a scan is open."""


def _take(sample: Sample) -> None:
    # Open, it would cover what was chosen.
    if POPOVER in st.session_state:
        st.session_state[POPOVER] = False
    take_sample(sample)


def show_samples(key: str) -> None:
    """A picture and a button for each sample.

    Args:
        key: of the container, and the beginning of the buttons' keys.
    """
    st.caption(words.SAMPLES_ARE)
    with st.container(horizontal=True, key=key):
        for sample in (*load_samples(), *load_sample_series()):
            with st.container(width=150):
                st.image(sample.thumbnail, width=150, alt="")
                st.button(
                    sample.title,
                    key=f"{key}-{sample.name}",
                    on_click=_take,
                    args=(sample,),
                    width="stretch",
                )
