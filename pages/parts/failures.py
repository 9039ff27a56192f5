"""An error on a page: its sentence, and the id under which the log holds its causes."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import streamlit as st

from brat import log
from pages.words import failures as words


def tell(event: str, error: Exception, show: Callable[[str], Any] = st.error) -> None:
    """Log an error whose message is written for people, and show it.

    Args:
        event: what failed, for the log.
        show: `st.error` or `st.warning`.
    """
    show(words.with_id(str(error), log.failure(event, error)))


def on_demand(make: Callable[[], bytes], event: str) -> Callable[[], bytes]:
    """What makes the file of a download button when it is pressed, with what goes wrong logged.

    Args:
        event: what failed, for the log.
    """

    @wraps(make)
    def made() -> bytes:
        try:
            return make()
        # Streamlit says on the page that there is no file, and logs the error: its own words may hold values
        # of a header, or of the store.
        except Exception as error:
            error_id = log.failure(event, error)
        raise RuntimeError(f"The file could not be made, error {error_id}.")

    return made
