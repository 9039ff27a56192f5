"""Explained: what `docs/` says of the figures of the Model page, and of the model."""

import streamlit as st

from brat.environment import ROOT
from pages.parts import visits
from pages.parts.navigation import EXPLAINING, compact_title, require_entry

require_entry()
visits.stay()
compact_title()
with st.container(width=820):
    for file in EXPLAINING:
        st.markdown((ROOT / file).read_text(encoding="utf-8"))
