"""Entry of the app: page set-up and navigation. Start it with `streamlit run app.py`."""

from pathlib import Path

import streamlit as st

from brat.io.workers import pool
from pages.parts.dark_room import darken
from pages.parts.monitoring import start_monitoring
from pages.parts.navigation import enter

# A picture of our own: for an icon by name the browser would ask a server of Google's.
ICON = Path(__file__).parent / "pages" / "icon.png"

st.set_page_config(page_title="BraTum Scans", page_icon=ICON, layout="wide")
start_monitoring()
# The first file need not wait for a process that reads it.
pool.warm()
page = enter()
darken()
page.run()
