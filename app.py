"""Entry of the app: page set-up and navigation. Start it with `streamlit run app.py`."""

from brat.io.workers import pool
from pages.parts.dark_room import darken
from pages.parts.monitoring import start_monitoring
from pages.parts.navigation import enter, set_up

set_up()
start_monitoring()
# The first file need not wait for a process that reads it.
pool.warm()
page = enter()
darken()
page.run()
