"""Part of the worklist: the visitor's own list, and how files come into it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import streamlit as st

from brat.environment import CORES, WEIGHTS
from brat.io.door import group_into_series, listed
from brat.io.folders import scans_among, scans_within, skipped_items
from brat.io.intake import Item
from brat.model.pool import Readers
from brat.model.worklist import Worklist
from pages.parts.configuration import setting
from pages.parts.open_scan import dropped, session_id
from pages.parts.readings import reader
from pages.parts.widget_memory import remembered, unfolds
from pages.words import worklist as words


@st.cache_resource(show_spinner=False)
def _shared_readers() -> tuple[Readers, ThreadPoolExecutor]:
    """One pool for the lists of all visitors; each list has half of it at most."""
    return Readers(), ThreadPoolExecutor(2 * CORES, thread_name_prefix="worklist")


@st.cache_resource(show_spinner=False, scope="session", on_release=Worklist.leave)
def _while_connected(number: int, _work: Worklist) -> Worklist:
    """Let the list go on until the visitor's connection ends. Streamlit calls it once in each connection.

    After a reload the list of the visit before takes the place of another one: each has its number.

    The list is still there where the visitor soon comes back, as after a moment without a network.
    """
    _work.come_back()
    return _work


def own_worklist() -> Worklist:
    """The visitor's list, with what was dropped in Review."""
    state = st.session_state
    if "worklist" not in state:
        state.worklist = Worklist(*_shared_readers(), asking=session_id())
    work = _while_connected(id(state.worklist), state.worklist)
    if items := state.pop("handed_over", None):
        _add(work, lambda: items)
    return work


def model_digest() -> str:
    """`Classifier.digest` of the model that reads the list."""
    return reader(WEIGHTS).classifier.digest


def show_intake(work: Worklist) -> None:
    """Where files come in."""
    key = f"worklist-upload-{st.session_state.setdefault('worklist_drops', 0)}"
    st.file_uploader(
        words.UPLOAD,
        accept_multiple_files=True,
        key=key,
        on_change=_take_upload,
        args=(work, key),
        help=words.UPLOAD_HELP,
    )
    key = f"worklist-folder-{st.session_state.worklist_drops}"
    st.file_uploader(
        words.UPLOAD_FOLDER,
        accept_multiple_files="directory",
        key=key,
        on_change=_take_folder,
        args=(work, key),
        help=words.UPLOAD_FOLDER_HELP,
    )
    with st.expander("A folder of this computer", expanded=unfolds("worklist-open", ["worklist-path"])):
        # A path is no matter of who asks: behind a proxy every visitor comes from this computer.
        root = setting("worklist", "folders")
        if not isinstance(root, str):
            st.markdown(words.FOLDERS_OFF)
            return
        with st.container(key="entering-folder", horizontal=True, vertical_alignment="bottom"):
            path = st.text_input("Path of the folder", placeholder=root, **remembered("worklist-path", ""))
            if st.button("Add", key="worklist-folder"):
                _add(work, lambda: _items_in(path, root))


def _items_in(folder: str, root: str) -> list[Item]:
    files, skipped = scans_within(folder, root)
    return [*group_into_series(files), *skipped_items(skipped)]


def empty(work: Worklist) -> None:
    """Forget all that is in the list, and what was opened from it."""
    work.close()
    for name in ("worklist_opened", "walk"):
        st.session_state.pop(name, None)


def _take_upload(work: Worklist, key: str) -> None:
    """Add what was dropped, and clear the widget: the list says what there is."""
    if files := dropped(key):
        st.session_state.worklist_drops += 1
        _add(work, lambda: group_into_series(files))


def _take_folder(work: Worklist, key: str) -> None:
    """As `_take_upload`, of a folder: what is no scan in it is named in one row."""
    if files := dropped(key):
        st.session_state.worklist_drops += 1
        scans, skipped = scans_among(files, listed)
        _add(work, lambda: [*group_into_series(scans), *skipped_items(skipped)])


def _add(work: Worklist, source: Callable[[], Iterable[Item]]) -> None:
    work.add(source)
    # A list that was stopped goes on when it is given more.
    work.go_on()
