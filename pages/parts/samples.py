"""Part of Review: the samples that a visitor can open."""

from __future__ import annotations

import streamlit as st

from brat.io.intake import load
from brat.io.samples import Sample, load_sample_series, load_samples
from brat.io.series import Series
from brat.model.explain import as_png
from pages.parts.open_scan import item_of, take_sample
from pages.words import review as words


@st.cache_resource(show_spinner=False)
def _thumbnails() -> dict[str, bytes]:
    """Name of a sample -> a small PNG of it, of the middle slice of a series."""
    return {sample.name: _thumbnail(sample) for sample in (*load_samples(), *load_sample_series())}


def _thumbnail(sample: Sample) -> bytes:
    opened = load(item_of(sample))
    if isinstance(opened, Series):
        stack = opened.stack()
        opened = stack[len(stack) // 2]
    return as_png(opened.gray, longest=300)


def show_samples(key: str) -> None:
    """A picture and a button for each sample.

    Args:
        key: of the container, and the beginning of the buttons' keys.
    """
    pictures = _thumbnails()
    st.caption(words.SAMPLES_ARE)
    with st.container(horizontal=True, key=key):
        for sample in (*load_samples(), *load_sample_series()):
            with st.container(width=150):
                st.image(pictures[sample.name], width=150, alt="")
                st.button(
                    sample.title,
                    key=f"{key}-{sample.name}",
                    on_click=take_sample,
                    args=(sample,),
                    width="stretch",
                )
