"""The store of kept cases that this installation is configured for, if it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st
from streamlit.errors import StreamlitAPIException

from pages.parts.configuration import setting
from pages.words.verdict import NO_STORE

if TYPE_CHECKING:
    from sqlalchemy import Engine


def is_on() -> bool:
    """Whether `.streamlit/secrets.toml` has an entry `[connections.cases]`."""
    return setting("connections", "cases") is not None


@st.cache_resource(show_spinner=False)
def store() -> Engine:
    """The store, ready for use; only where it is on.

    Raises:
        brat.store.database.StoreError: it cannot be opened. It is tried again at the next call.
    """
    # Half a second that an installation without a store does not pay.
    from sqlalchemy.exc import SQLAlchemyError

    from brat.store.database import StoreError, prepare

    try:
        engine = st.connection("cases", type="sql", pool_pre_ping=True).engine
    except (SQLAlchemyError, StreamlitAPIException, ImportError) as error:
        raise StoreError(NO_STORE) from error
    prepare(engine)
    return engine
