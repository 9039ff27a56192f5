"""Part of Review: the samples that a visitor can open."""

from __future__ import annotations

import streamlit as st

from brat.io.samples import load_sample_series, load_samples
from pages.parts.open_scan import take_sample
from pages.words import review as words


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
                    on_click=take_sample,
                    args=(sample,),
                    width="stretch",
                )
