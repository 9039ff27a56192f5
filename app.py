"""Entry of the app: page set-up and navigation. Start it with `streamlit run app.py`."""

import streamlit as st

from pages.parts.navigation import enter

st.set_page_config(page_title="BraTum Scans", page_icon=":material/neurology:", layout="wide")
enter().run()
