"""Worklist: many scans read in the background, the most suspicious first, and the way to each of them."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from brat.classes import CLASS_NAMES, CLASSES
from brat.environment import CORES, WEIGHTS
from brat.figures.charts import percent
from brat.io.intake import Item, group_into_series
from brat.model.pool import Readers
from brat.model.worklist import STATES, Row, Worklist, files_in, records, suspicion
from brat.reports.spreadsheet import as_csv, as_xlsx
from pages.parts.configuration import setting
from pages.parts.next_scan import open_row
from pages.parts.opened import dropped
from pages.parts.store import is_on, store
from pages.words import worklist as words
from pages.words.verdict import VERDICTS

if TYPE_CHECKING:
    from brat.store.cases import Case

LEVEL = 0.95
"""Of the prediction set that is shown."""

HEIGHT = 48
"""Of a row, in pixels."""

ROWS = 12
"""Seen at a time."""

ORDERS: dict[str, Callable[[Row], tuple]] = {
    "suspicion": suspicion,
    "doubt": lambda row: (
        STATES.index(row.state),
        -len((row.sets or {}).get(LEVEL, ())),
        max(row.shares, default=0),
        row.number,
    ),
    "reading": lambda row: (
        STATES.index(row.state),
        CLASSES.index(row.label) if row.label else 0,
        -max(row.shares, default=0),
        row.number,
    ),
    "name": lambda row: (row.item.name.casefold(), row.number),
    "number": lambda row: (row.number,),
}

BY_HEADING = {
    words.NUMBER: "number",
    words.TUMOUR: "suspicion",
    words.READING: "reading",
    words.SET: "doubt",
    words.FILE: "name",
}
"""The order that a column's heading stands for."""


@st.cache_resource(show_spinner=False)
def crew() -> tuple[Readers, ThreadPoolExecutor]:
    """One pool for the lists of all visitors, as there are no more cores for more of them."""
    return Readers(), ThreadPoolExecutor(CORES, thread_name_prefix="worklist")


@st.cache_resource(show_spinner=False, scope="session", on_release=Worklist.leave)
def present(_work: Worklist) -> Worklist:
    """Has the visitor's list go on until their connection ends; called once in each connection.

    The list is there still where they soon come back, as after a moment without a network.
    """
    _work.come_back()
    return _work


@st.cache_data(show_spinner=False)
def model(modified: float) -> str:
    return crew()[0]().classifier.digest


def take_upload(work: Worklist, key: str) -> None:
    """Add what was dropped, and clear the widget: the list says what there is."""
    if files := dropped(key):
        st.session_state.worklist_drops += 1
        add(work, lambda: group_into_series(files))


def add(work: Worklist, source: Callable[[], list[Item]]) -> None:
    work.add(source)
    # Who gives it more has it read, though it was stopped before.
    work.go_on()


def show_intake(work: Worklist) -> None:
    """Where files come in."""
    key = f"worklist-upload-{st.session_state.setdefault('worklist_drops', 0)}"
    st.file_uploader(
        words.UPLOAD,
        accept_multiple_files=True,
        key=key,
        on_change=take_upload,
        args=(work, key),
        help=words.UPLOAD_HELP,
    )
    with st.expander(words.FOLDER):
        # A path is no matter of who asks: behind a proxy every visitor comes from this computer.
        root = setting("worklist", "folders")
        if not isinstance(root, str):
            st.markdown(words.FOLDERS_OFF)
            return
        with (
            st.form("worklist-folder", border=False),
            st.container(horizontal=True, vertical_alignment="bottom"),
        ):
            path = st.text_input(words.FOLDER_PATH, placeholder=root)
            if st.form_submit_button(words.FOLDER_ADD):
                add(work, lambda: group_into_series(files_in(path, root)))


def is_due(count: int) -> bool:
    """Whether the table is to be drawn again: not at every new row, lest it moves under the reader's hand."""
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
            st.button(words.GO_ON, key="worklist-go-on", icon=":material/play_arrow:", on_click=work.go_on)
        else:
            st.button(words.STOP, key="worklist-stop", icon=":material/stop:", on_click=work.stop)


def opinions(rows: Sequence[Row], digest: str) -> dict[str, Case] | None:
    """What was kept of the scans, by digest; None where there is no store, or it does not answer."""
    if not is_on():
        return None
    from brat.store.cases import StoreError, latest

    try:
        return latest(store(), {row.slice_digest for row in rows if row.slice_digest}, digest)
    except StoreError as error:
        st.warning(str(error))
        return None


def show_choices(rows: list[Row], kept: dict[str, Case] | None) -> list[Row]:
    """Search, order and filter; the rows that are left, as they are to be shown."""
    # What is set here is still set when one comes back from Review.
    lasting = {"persist_state": "session"}
    search, order, more = st.columns([4, 3, 1.5], vertical_alignment="bottom")
    wanted = search.text_input(words.SEARCH, placeholder=words.SEARCH_HINT, key="worklist-search", **lasting)
    chosen = order.selectbox(
        words.ORDER,
        list(ORDERS),
        format_func=words.ORDERS.get,
        key="worklist-order",
        help=words.ORDER_HELP,
        **lasting,
    )
    with more.popover(words.FILTER, width="stretch"):
        labels = st.multiselect(
            words.READING, CLASSES, format_func=CLASS_NAMES.get, key="worklist-labels", **lasting
        )
        states = st.multiselect(
            words.GATE, STATES, format_func=words.STATES.get, key="worklist-states", **lasting
        )
        verdicts = []
        if kept is not None:
            named = {**VERDICTS, "": words.NO_VERDICT}
            verdicts = st.multiselect(
                words.VERDICT, list(named), format_func=named.get, key="worklist-verdicts", **lasting
            )
    left = [
        row
        for row in rows
        if wanted.strip().casefold() in row.item.name.casefold()
        # What is withheld is nothing to choose by.
        and (not labels or (row.state == "known" and row.label in labels))
        and (not states or row.state in states)
        and (not verdicts or verdict_of(row, kept) in verdicts)
    ]
    return sorted(left, key=ORDERS[chosen])


def verdict_of(row: Row, kept: dict[str, Case] | None) -> str:
    """One of `brat.store.cases.VERDICTS`; empty where none was kept."""
    case = (kept or {}).get(row.slice_digest)
    return case.verdict if case else ""


def reading_of(row: Row) -> str:
    """The answer, or why there is none: "Glioma 91 %"."""
    if row.state == "known":
        return f"{CLASS_NAMES[row.label]} {percent(max(row.shares))}"
    return words.WITHHELD if row.state == "refused" else words.NOT_READ


def remark_on(row: Row) -> str:
    of_series = words.slice_of(row.slice, row.slices) if row.slice else ""
    return " ".join(part for part in (row.problem, row.reason, of_series) if part)


def as_table(rows: Sequence[Row], kept: dict[str, Case] | None) -> pd.DataFrame:
    opened = st.session_state.get("worklist_opened", ())
    columns = {
        words.NUMBER: [row.number for row in rows],
        words.PICTURE: [
            "data:image/jpeg;base64," + base64.b64encode(row.thumbnail).decode() if row.thumbnail else None
            for row in rows
        ],
        words.READING: [reading_of(row) for row in rows],
        words.TUMOUR: [100 * row.tumour if row.state == "known" else None for row in rows],
        words.FILE: [row.item.name for row in rows],
        words.SET: [set_of(row) for row in rows],
        words.GATE: [gate_of(row) for row in rows],
        words.VERDICT: [VERDICTS.get(verdict_of(row, kept), words.NOT_SAID) for row in rows],
        words.OPENED: [row.number in opened for row in rows],
        words.REMARK: [remark_on(row) for row in rows],
    }
    if kept is None:
        del columns[words.VERDICT]
    return pd.DataFrame(columns)


def set_of(row: Row) -> str:
    if row.state != "known" or not row.sets:
        return words.NOT_SAID
    return ", ".join(CLASS_NAMES[name].lower() for name in row.sets[LEVEL]) or words.NO_CLASS


def gate_of(row: Row) -> str:
    if row.known is None:
        return words.NOT_SAID
    return words.KNOWN if row.known else words.REFUSED


# Its own order, in a heading's menu, would not be that in which Review goes on.
_NOT_OFFERED = """<style>
    [data-testid="stDataFrameColumnMenu"] [role="menu"] > :nth-child(n + 2):nth-child(-n + 4)
        {display: none}
</style>"""


def show_rows(rows: list[Row], kept: dict[str, Case] | None) -> Row | None:
    """The table, in which the box of a row opens its scan and a heading sorts; the row of a chosen cell."""
    st.html(_NOT_OFFERED)
    config = st.column_config
    # Its rows are known by their places: another table must be another widget, or a late click would open
    # another scan than the one that was meant.
    key = f"worklist-{hash(tuple(row.number for row in rows))}-{turn()}"
    with st.container(key="worklist-rows"):
        chosen = st.dataframe(
            as_table(rows, kept),
            key=key,
            hide_index=True,
            height=HEIGHT * (min(len(rows), ROWS) + 1),
            row_height=HEIGHT,
            placeholder=words.NOT_SAID,
            column_config={
                words.NUMBER: config.NumberColumn(width=48),
                words.PICTURE: config.ImageColumn(width=64),
                words.READING: config.TextColumn(width=170, help=words.READING_HELP),
                words.TUMOUR: config.ProgressColumn(
                    width=130, min_value=0, max_value=100, format="%.0f %%", help=words.TUMOUR_HELP
                ),
                words.FILE: config.TextColumn(width=220),
                words.SET: config.TextColumn(width=180, help=words.SET_HELP),
                words.GATE: config.TextColumn(width=90, help=words.GATE_HELP),
                words.VERDICT: config.TextColumn(width=90),
                words.OPENED: config.CheckboxColumn(width=70),
                words.REMARK: config.TextColumn(width=420),
            },
            on_select="rerun",
            # A cell is chosen by Tab and the arrows as well: no reason to leave the page.
            selection_mode=["single-row", "single-column", "single-cell"],
            alt=words.TABLE,
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
        st.warning(words.cannot_open(row.item.name, row.problem))
        return
    st.session_state.worklist_turn += 1
    open_row(row, rows, st.session_state.worklist)
    st.switch_page("pages/review.py")


def show_ways(rows: list[Row], chosen: Row | None) -> None:
    """Into Review: from the top or from the chosen row, and by name."""
    first = chosen or next((row for row in rows if not row.problem), None)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if st.button(
            words.open_from(chosen and chosen.number),
            icon=":material/play_arrow:",
            disabled=first is None or bool(first.problem),
            key="worklist-first",
        ):
            go_to(first, rows)
        # Their numbers, because the widget gives back a copy of what is chosen.
        readable = {row.number: row for row in rows if not row.problem}
        by_name = st.selectbox(
            words.OPEN_BY_NAME,
            list(readable),
            index=None,
            format_func=lambda number: words.row(
                number, readable[number].item.name, reading_of(readable[number])
            ),
            placeholder=words.OPEN_HINT,
            key=f"worklist-open-{turn()}",
        )
    if by_name:
        go_to(readable[by_name], rows)
    if chosen:
        # In full, what the table may cut. A file's name is no Markdown.
        st.text(
            f"{words.row(chosen.number, chosen.item.name, reading_of(chosen))}\n{remark_on(chosen)}".strip()
        )


def show_unread(rows: list[Row]) -> None:
    """Every file that could not be read, with its sentence, in full."""
    unread = [row for row in rows if row.state == "unread"]
    if not unread:
        return
    with st.expander(words.unread(len(unread)), icon=":material/error:"):
        for row in unread:
            # As it is: a file's name is no Markdown.
            st.text(words.cannot_open(row.item.name, row.problem))


# By itself, so that the buttons are those of the switch again at once.
@st.fragment
def show_export(rows: list[Row], digest: str, kept: dict[str, Case] | None) -> None:
    """All rows as files, made when they are asked for."""
    ordered = sorted(rows, key=suspicion)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(words.EXPORT, width="content")
        names = st.toggle(words.NAMES, key="worklist-names", help=words.NAMES_HELP)
        table = partial(records, ordered, digest, kept, names)
        st.download_button(
            words.CSV,
            lambda: as_csv(table()),
            "worklist.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
            key="worklist-csv",
        )
        st.download_button(
            words.EXCEL,
            lambda: as_xlsx(table(), words.TITLE),
            "worklist.xlsx",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            icon=":material/download:",
            on_click="ignore",
            key="worklist-xlsx",
        )


def empty(work: Worklist) -> None:
    work.close()
    for name in ("worklist_opened", "walk"):
        st.session_state.pop(name, None)


# The first visitor of a fresh server who comes by this page's own address gets here past app.py.
if "entered" not in st.session_state:
    st.switch_page("app.py")

state = st.session_state
if "worklist" not in state:
    state.worklist = Worklist(*crew())
work = present(state.worklist)
# Dropped in Review, more than one.
if items := state.pop("handed_over", None):
    add(work, lambda: items)
if order := state.pop("worklist_sort", None):
    state["worklist-order"] = order

st.title(words.TITLE, anchor=False)
now = work.progress()
rows = work.rows()
state.worklist_drawn = (len(rows), time.monotonic())
if now.total or now.sorting:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(words.summary(rows), width="stretch")
        with st.popover(words.MORE, icon=":material/add:"):
            show_intake(work)
        st.button(
            words.EMPTY, key="worklist-empty", icon=":material/delete_sweep:", on_click=empty, args=(work,)
        )
else:
    st.markdown(words.WELCOME)
    show_intake(work)
for problem in work.problems():
    st.error(problem)
st.fragment(show_progress, run_every=1.0 if now.running else None)(work, now.running)
if not rows:
    st.stop()

digest = model((WEIGHTS / "model.tflite").stat().st_mtime)
kept = opinions(rows, digest)
shown = show_choices(rows, kept)
if shown:
    # What is chosen in the table is said above it.
    ways = st.container()
    st.caption(f"{words.shown(len(shown), len(rows))} {words.CLICK}")
    chosen = show_rows(shown, kept)
    with ways:
        show_ways(shown, chosen)
else:
    st.markdown(words.EMPTY_FILTER)
st.caption(words.CAVEAT)
show_unread(rows)
# Of half a list somebody might take the file for the whole.
if not now.running:
    show_export(rows, digest, kept)
