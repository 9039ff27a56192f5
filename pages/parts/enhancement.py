"""Part of Review: previews of CLAHE and brightness, and the choice to read the enhanced scan instead."""

from __future__ import annotations

import streamlit as st

from brat.io.scan import Scan
from brat.model.explain import as_png
from pages.parts.readings import PLAIN, Enhancement, enhanced
from pages.words import review as words

# Where the two sliders start.
_CLIP_LIMIT = 2.0
_CHANGE = 15  # per cent of full scale


def chosen_to_read() -> Enhancement:
    """With which enhancement the scan is to be read."""
    return _chosen() if st.session_state.get("read_enhanced") else PLAIN


def _chosen() -> Enhancement:
    """What is set under "Enhance"."""
    state = st.session_state
    return Enhancement(
        clip_limit=state.get("clip_limit", _CLIP_LIMIT) if state.get("clahe") else None,
        change=state.get("change", _CHANGE) / 100 if state.get("brightness") else None,
    )


@st.fragment
def show_enhancement(scan: Scan, read_with: Enhancement) -> None:
    """Previews of CLAHE and brightness. Runs the page again where its reading is to follow them.

    Args:
        read_with: with which enhancement the page has read the scan.
    """
    st.subheader("Enhance", anchor=False)
    equalised, brightened, original = st.columns(3)
    with equalised:
        if st.toggle("CLAHE", key="clahe", help="Contrast-limited adaptive histogram equalisation"):
            st.slider("Clip limit", 1.0, 8.0, _CLIP_LIMIT, 0.5, key="clip_limit")
            show_preview(scan, Enhancement(clip_limit=_chosen().clip_limit))
        else:
            st.caption(words.CLAHE_DOES)
    with brightened:
        if st.toggle("Brightness", key="brightness"):
            st.slider("Change, % of full scale", -50, 50, _CHANGE, 5, key="change")
            show_preview(scan, Enhancement(change=_chosen().change))
        else:
            st.caption(words.BRIGHTNESS_DOES)
    if _chosen() != PLAIN:
        with original:
            st.markdown("As uploaded")
            show_preview(scan, PLAIN)
        st.toggle("Read the enhanced scan instead", key="read_enhanced", help=words.READ_ENHANCED_HELP)
    if chosen_to_read() != read_with:
        st.rerun()


def show_preview(scan: Scan, enhancement: Enhancement) -> None:
    """The scan as a picture, without a map."""
    alt = words.preview(scan.name, *enhancement)
    st.image(as_png(enhanced(scan, enhancement)), width="stretch", alt=alt)
