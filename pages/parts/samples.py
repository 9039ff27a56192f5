"""Part of Review: the samples that a visitor can open."""

from __future__ import annotations

import streamlit as st

from brat.io.samples import load_samples
from brat.io.scan import read_scan
from brat.model.explain import as_png
from pages.parts.open_scan import take_sample


@st.cache_resource(show_spinner=False)
def _thumbnails() -> dict[str, bytes]:
    """Name of a sample -> a small PNG of it."""
    scans = {sample.name: read_scan(sample.file).gray for sample in load_samples()}
    return {name: as_png(gray, longest=300) for name, gray in scans.items()}


def show_samples(key: str) -> None:
    """A picture and a button for each sample.

    Args:
        key: of the container, and the beginning of the buttons' keys.
    """
    pictures = _thumbnails()
    with st.container(horizontal=True, key=key):
        for sample in load_samples():
            with st.container(width=150):
                st.image(pictures[sample.name], width=150, alt="")
                st.button(
                    sample.title,
                    key=f"{key}-{sample.name}",
                    on_click=take_sample,
                    args=(sample,),
                    width="stretch",
                )
