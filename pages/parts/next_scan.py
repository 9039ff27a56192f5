"""Part of Review: the way from one scan of the worklist to the next, in the order that was shown there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from brat.model.worklist import Worklist
from brat.model.worklist_rows import Row
from pages.parts.open_scan import open_item
from pages.words import worklist as words


@dataclass
class Walk:
    """Rows of the worklist one after another.

    Attributes:
        work: the list; it holds the rows, and once it is closed there is nothing to go on to.
        numbers: of the rows that can be opened, in the order of the list when the first was opened.
        at: the place of the one that is open.
        item: what was open in Review after the last step; another one is no part of the walk.
    """

    work: Worklist
    numbers: Sequence[int]
    at: int
    item: object = None


def open_row(row: Row, shown: Sequence[Row], work: Worklist) -> None:
    """Open a row in Review, and remember the others that go before and after it."""
    numbers = [other.number for other in shown if not other.problem]
    st.session_state.walk = Walk(work, numbers, numbers.index(row.number))
    _open()


def _step(by: int) -> None:
    st.session_state.walk.at += by
    _open()


def _open() -> None:
    walk = st.session_state.walk
    row = walk.work.row(walk.numbers[walk.at])
    if row is None:
        st.session_state.walk = None
        return
    open_item(row.item)
    walk.item = st.session_state.item
    st.session_state.setdefault("worklist_opened", set()).add(row.number)


def show_next() -> None:
    """Previous, next and back to the list; nothing where what is open does not come from the worklist."""
    walk = st.session_state.get("walk")
    if walk is None or walk.item is None or st.session_state.get("item") is not walk.item:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="walk"):
        if st.button("Worklist", icon=":material/arrow_back:", key="walk-back"):
            st.switch_page("pages/worklist.py")
        st.button(
            "Previous",
            key="walk-previous",
            on_click=_step,
            args=(-1,),
            disabled=walk.at == 0,
            shortcut="P",
        )
        st.button(
            "Next",
            key="walk-next",
            on_click=_step,
            args=(1,),
            disabled=walk.at == len(walk.numbers) - 1,
            shortcut="N",
        )
        st.markdown(words.place(walk.at + 1, len(walk.numbers)), width="content")
