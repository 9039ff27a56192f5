"""Worklist: many scans read in the background, the most suspicious first, and the way to each of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from brat.classes import CLASS_NAMES, CLASSES
from brat.environment import WEIGHTS
from brat.model.worklist import Worklist
from brat.model.worklist_rows import STATES, Row, suspicion
from brat.reports.spreadsheet import as_csv, as_xlsx
from brat.reports.worklist import records
from pages import arrivals
from pages.parts import visits
from pages.parts.archive import open_linked_study, show_archive, show_return
from pages.parts.failures import on_demand, tell
from pages.parts.login import Person, person
from pages.parts.navigation import compact_title, require_entry
from pages.parts.next_scan import open_row
from pages.parts.readings import check_model
from pages.parts.store import is_on, store
from pages.parts.verdict import VERDICTS
from pages.parts.widget_memory import memory, remembered
from pages.parts.worklist_intake import empty, model_digest, own_worklist, show_intake
from pages.parts.worklist_table import (
    ABSENT,
    BY_HEADING,
    ORDERS,
    Verdicts,
    as_table,
    common_folder,
    reading_in_words,
    remark_on,
    select_rows,
)
from pages.words import worklist as words
from pages.words.markdown import literal

HEIGHT, HEADING = 48, 37
"""Of a row, and of the table's heading with its frame, in pixels."""

ROWS = 12
"""Seen at a time."""

ORDER_NAMES = {
    "suspicion": "Most suspicious first",
    "doubt": "Least certain first",
    "reading": "By reading",
    "name": "By file name",
    "number": "As given",
}

STATE_NAMES = {"known": "Yes", "refused": "No, reading withheld", "unread": "Could not be read"}
"""Whether a scan is like those that the model knows."""


def is_due(count: int) -> bool:
    """Whether to draw the table again: not at every new row, lest it moves under the visitor's hand."""
    drawn, when = st.session_state.worklist_drawn
    return count > drawn and (count >= 1.5 * drawn or time.monotonic() - when > 5)


def show_progress(work: Worklist, was_running: bool) -> None:
    """How far it is, with stop and go on; draws the page again when there is more to show."""
    now = work.progress()
    if now.running != was_running or is_due(now.done):
        st.rerun()
    if not now.running and not now.sorting and now.done == now.total:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(now.share, words.progress(now))
        if now.stopped:
            st.button("Go on", key="worklist-go-on", icon=":material/play_arrow:", on_click=work.go_on)
        else:
            st.button("Stop", key="worklist-stop", icon=":material/stop:", on_click=work.stop)


def verdicts_on(rows: Sequence[Row], digest: str) -> Verdicts | None:
    """The verdicts that were kept of the scans; None where there is no store, or it does not answer."""
    if not is_on():
        return None
    from brat.store.cases import latest
    from brat.store.database import StoreError

    try:
        return latest(store(), {row.slice_digest for row in rows if row.slice_digest}, digest)
    except StoreError as error:
        tell("store", error, st.warning)
        return None


def show_choices(rows: Sequence[Row], verdicts: Verdicts | None) -> list[Row]:
    """Search, order and filter. Returns the rows that are left, as they are to be shown."""
    left, middle, right = st.columns([4, 3, 1.5], vertical_alignment="bottom")
    search = left.text_input(
        "Search", placeholder="Part of a file's name", **remembered("worklist-search", "")
    )
    order = middle.selectbox(
        "Order",
        list(ORDERS),
        format_func=ORDER_NAMES.__getitem__,
        help=words.ORDER_HELP,
        **remembered("worklist-order", next(iter(ORDERS))),
    )
    # Closed, it would hide why there are fewer rows: what is set is known before its widgets are made.
    keys = ["worklist-labels", "worklist-states"] + ["worklist-verdicts"] * (verdicts is not None)
    is_set = any(st.session_state.get(key, memory().get(key)) for key in keys)
    with right.popover("Filter: on" if is_set else "Filter", width="stretch"):
        labels = st.multiselect(
            "Reading",
            CLASSES,
            format_func=CLASS_NAMES.__getitem__,
            **remembered("worklist-labels", []),
        )
        states = st.multiselect(
            "Like known scans",
            STATES,
            format_func=STATE_NAMES.__getitem__,
            **remembered("worklist-states", []),
        )
        wanted_verdicts = []
        if verdicts is not None:
            names = {**VERDICTS, "": "None yet"}
            wanted_verdicts = st.multiselect(
                "Verdict",
                list(names),
                format_func=names.__getitem__,
                **remembered("worklist-verdicts", []),
            )
    return select_rows(
        rows,
        verdicts,
        search=search,
        labels=labels,
        states=states,
        wanted_verdicts=wanted_verdicts,
        order=order,
    )


# The table's own sorting, in a heading's menu, would not be the order in which Review goes on.
_NO_OWN_SORTING = """<style>
    [data-testid="stDataFrameColumnMenu"] [role="menu"] > :nth-child(n + 2):nth-child(-n + 4)
        {display: none}
</style>"""


def show_rows(rows: list[Row], verdicts: Verdicts | None, folder: str) -> Row | None:
    """The table, in which the box of a row opens its scan and a heading sorts; the row of a chosen cell.

    Args:
        folder: of `common_folder`, as said above the table.
    """
    st.html(_NO_OWN_SORTING)
    config = st.column_config
    # Its rows are known by their places: another table must be another widget, or a late click would open
    # another scan than the one that was meant.
    key = f"worklist-{hash(tuple(row.number for row in rows))}-{turn()}"
    with st.container(key="worklist-rows"):
        chosen = st.dataframe(
            as_table(rows, verdicts, st.session_state.get("worklist_opened", ()), folder),
            key=key,
            hide_index=True,
            height=HEADING + HEIGHT * min(len(rows), ROWS),
            row_height=HEIGHT,
            placeholder=ABSENT,
            column_config={
                "No.": config.NumberColumn(width=48),
                "Scan": config.ImageColumn(width=64),
                "Reading": config.TextColumn(width=170, help=words.READING_HELP),
                "Any tumour": config.TextColumn(width=100, help=words.TUMOUR_HELP),
                "File": config.TextColumn(width=220),
                "95 % set": config.TextColumn(width=260, help=words.SET_HELP),
                "Like known scans": config.TextColumn(width=140, help=words.KNOWN_HELP),
                "Verdict": config.TextColumn(width=90),
                "Opened": config.CheckboxColumn(width=70),
                "Remark": config.TextColumn(width=420),
            },
            on_select="rerun",
            # A cell is chosen by Tab and the arrows as well: no reason to leave the page.
            selection_mode=["single-row", "single-column", "single-cell"],
            alt="Scans that were read",
        ).selection
    if chosen.columns:
        if order := BY_HEADING.get(chosen.columns[0]):
            st.session_state.worklist_sort = order
        st.session_state.worklist_turn += 1
        st.rerun()
    if chosen.rows:
        go_to(rows[chosen.rows[0]], rows)
    return rows[chosen.cells[0][0]] if chosen.cells else None


def turn() -> int:
    """Counts what was opened, so that what was chosen is not chosen still when one comes back."""
    return st.session_state.setdefault("worklist_turn", 0)


def go_to(row: Row, rows: list[Row]) -> None:
    """Open a row in Review, where it can be."""
    if row.problem:
        st.warning(words.cannot_open(literal(row.item.name), row.problem))
        return
    st.session_state.worklist_turn += 1
    open_row(row, rows, st.session_state.worklist)
    st.switch_page("pages/review.py")


def show_ways(rows: list[Row], chosen: Row | None) -> None:
    """Into Review: from the top or from the chosen row, and by name."""
    first = chosen or next((row for row in rows if not row.problem), None)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if (
            st.button(
                words.open_from(chosen.number if chosen else None),
                icon=":material/play_arrow:",
                disabled=first is None or bool(first.problem),
                key="worklist-first",
            )
            and first
        ):
            go_to(first, rows)
        # Their numbers, because the widget gives back a copy of what is chosen.
        readable = {row.number: row for row in rows if not row.problem}
        by_name = st.selectbox(
            "Open by name",
            list(readable),
            index=None,
            format_func=lambda number: words.row(
                number, readable[number].item.name, reading_in_words(readable[number])
            ),
            placeholder="Choose a file",
            key=f"worklist-open-{turn()}",
        )
    if by_name:
        go_to(readable[by_name], rows)
    if chosen:
        # In full, what the table may cut. A file's name is no Markdown.
        line = words.row(chosen.number, chosen.item.name, reading_in_words(chosen))
        st.text(f"{line}\n{remark_on(chosen)}".strip())


def show_unread(rows: list[Row]) -> None:
    """Every file that could not be read, with its sentence, in full."""
    unread = [row for row in rows if row.state == "unread"]
    if not unread:
        return
    with st.expander(words.unread(len(unread)), icon=":material/error:"):
        for row in unread:
            # As it is: a file's name is no Markdown.
            st.text(words.cannot_open(row.item.name, row.problem))


def _exported(
    rows: Sequence[Row], digest: str, verdicts: Verdicts | None, names: bool, who: Person
) -> list[dict[str, Any]]:
    if verdicts:
        from brat.store.cases import record_export

        record_export(store(), verdicts.values(), person=who.name, verified=who.verified)
    return records(rows, digest, verdicts, names)


# By itself, so that the buttons are those of the switch again at once.
@st.fragment
def show_export(rows: Sequence[Row], digest: str, verdicts: Verdicts | None) -> None:
    """All rows as files, made when they are asked for; with the verdicts for who may export them."""
    # Nobody: a login that ended while the page was open.
    if (who := person()) is None:
        return
    if verdicts and not who.is_admin:
        st.caption(words.NO_VERDICTS)
        verdicts = None
    ordered = sorted(rows, key=suspicion)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("Export", width="content")
        names = st.toggle("With file names", help=words.NAMES_HELP, **remembered("worklist-names", False))
        table = partial(_exported, ordered, digest, verdicts, names, who)
        st.download_button(
            "CSV",
            on_demand(lambda: as_csv(table()), "export"),
            "worklist.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
            key="worklist-csv",
        )
        st.download_button(
            "Excel",
            on_demand(lambda: as_xlsx(table(), "Worklist"), "export"),
            "worklist.xlsx",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            icon=":material/download:",
            on_click="ignore",
            key="worklist-xlsx",
        )


require_entry()

state = st.session_state
visits.go_on()
work = own_worklist()
if order := state.pop("worklist_sort", None):
    state["worklist-order"] = memory()["worklist-order"] = order

compact_title()
st.title("Worklist", anchor=False)
is_usable = check_model(WEIGHTS)
open_linked_study(work)
now = work.progress()
rows = work.rows()
state.worklist_drawn = (len(rows), time.monotonic())
if now.total or now.sorting:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(words.summary(rows), width="stretch")
        with st.popover("Add scans", icon=":material/add:", key="add-scans"):
            show_intake(work)
            show_archive(work)
        st.button(
            "Empty the list",
            key="worklist-empty",
            icon=":material/delete_sweep:",
            on_click=empty,
            args=(work,),
        )
else:
    st.markdown(words.WELCOME)
    show_intake(work)
    show_archive(work)
visits.watch()
arrivals.show()
for problem in work.problems():
    st.error(problem)
st.fragment(show_progress, run_every=1.0 if now.running else None)(work, now.running)
if not rows:
    st.stop()

digest = model_digest() if is_usable else ""
verdicts = verdicts_on(rows, digest)
if any(row.label and not row.sets for row in rows):
    st.caption(words.NOT_CALIBRATED)
if any(row.label and row.in_distribution is None for row in rows):
    st.caption(words.NOT_CHECKED)
shown = show_choices(rows, verdicts)
if shown:
    # What is chosen in the table is said above it.
    ways = st.container()
    folder = common_folder(rows)
    st.caption(f"{words.shown(len(shown), len(rows), literal(folder))} {words.CLICK}")
    chosen = show_rows(shown, verdicts, folder)
    with ways:
        show_ways(shown, chosen)
else:
    st.markdown(words.EMPTY_FILTER)
st.caption(words.CAVEAT)
show_return(rows)
show_unread(rows)
# Of half a list somebody might take the file for the whole.
if not now.running:
    show_export(rows, digest, verdicts)
