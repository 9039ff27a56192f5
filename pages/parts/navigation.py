"""The pages of the app, and the way into it for those who open a page by its own address."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from brat import log
from pages.parts.login import require_login

_ENTERED = "entered"

# A picture of our own: for an icon by name the browser would ask a server of Google's.
_ICON = Path(__file__).parents[1] / "icon.png"

EXPLAINING = ("docs/figures.md", "docs/model-card.md")
"""Of these `setup.py` puts copies into a wheel."""


def set_up() -> None:
    """Title, icon and width. Call this before the pages are registered, each of which has an icon by name."""
    st.set_page_config(page_title="BraTum Scans", page_icon=_ICON, layout="wide")


def enter() -> StreamlitPage:
    """Register the pages with Streamlit; return the one that the visitor asked for. Only for `app.py`."""
    log.start("app")
    require_login()
    st.session_state[_ENTERED] = True
    return _register()


def require_entry() -> None:
    """Send a visitor through `app.py` who has got to a page past it. Every page calls this first.

    Until `st.navigation` is called once in a server, Streamlit takes each file in `pages/` for an app page
    and runs it by itself. That happens to the first visitor of a fresh server who opens `/model`. The page
    then registers the navigation and runs again, this time through `app.py`, which opens the same page.
    """
    if _ENTERED not in st.session_state:
        set_up()
        _register()
        st.rerun()


def _register() -> StreamlitPage:
    return st.navigation(
        [
            st.Page("pages/review.py", title="Review", icon=":material/image_search:", default=True),
            st.Page("pages/worklist.py", title="Worklist", icon=":material/list:"),
            st.Page("pages/history.py", title="History", icon=":material/history:"),
            st.Page("pages/validate.py", title="Validate", icon=":material/fact_check:"),
            st.Page("pages/model.py", title="Model", icon=":material/monitoring:"),
            st.Page("pages/about.py", title="About", icon=":material/info:"),
            # Led to by the Model page.
            st.Page("pages/explained.py", title="Explained", icon=":material/help:", visibility="hidden"),
        ],
        position="top",
    )


def link_to_explanations(label: str) -> None:
    """A link to what `docs/` says of the figures and of the model, in a tab beside this one."""
    st.link_button(label, "explained", icon=":material/help:")


def compact_title() -> None:
    """Let the title take little of the first screen, which is for what follows it; headings are no larger."""
    st.html(
        "<style>[data-testid=stMainBlockContainer] {padding-top: 3.75rem}"
        " h1 {padding: 0 0 .25rem !important; font-size: 1.75rem !important}"
        " h2 {font-size: 1.45rem !important} h3 {font-size: 1.25rem !important}</style>"
    )
