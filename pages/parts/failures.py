"""An error on a page: its sentence, and the id under which the log holds its causes."""

from __future__ import annotations

from collections.abc import Callable
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
