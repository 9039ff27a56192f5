"""What is open in Review, for the visitor's session, and how it gets there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx

from brat import log
from brat.io.door import group_into_series, load
from brat.io.files import File
from brat.io.intake import Item, SeveralPanels
from brat.io.samples import Sample
from brat.io.scan import UnreadableScan
from brat.io.series import Series, Stack, left_out_in_words
from brat.io.workers import owner
from pages import arrivals
from pages.words import open_scan as words

STATE = ("scan", "data", "frame", "sample", "series", "problem", "item")
"""In `st.session_state`: the open scan, the bytes of the file that it was read from, where one can say so,
and which frame of it, from 0, where it has several; the sample that it is; the open series, which is behind
the scan where both are; what could not be opened last, and why; where scan or series came from."""

BACK = "back-to-series"
"""Key of the button that leads from a slice to its series."""


def start() -> None:
    """Nothing is open yet, where this session has not been here before."""
    for name in STATE:
        st.session_state.setdefault(name, None)
    st.session_state.setdefault("uploads", 0)


def upload_key() -> str:
    """Of the widget that takes files, another one after each drop: what was dropped is not added to."""
    return f"upload-{st.session_state.uploads}"


def dropped(key: str) -> list[File]:
    """What was dropped on a widget for files, as its callback finds it.

    On a busy server Streamlit calls the callback of one drop again, where the run that followed was cut
    short; what was taken already is not taken twice.

    Streamlit forgets its own copy: it would keep that of every drop as long as the session lasts.
    """
    owner.set(session_id())
    taken = st.session_state.setdefault("taken", set())
    uploads = [upload for upload in st.session_state[key] if upload.file_id not in taken]
    taken |= {upload.file_id for upload in uploads}
    if uploads:
        arrivals.taken()
    files = [File(upload.name, upload.getvalue()) for upload in uploads]
    context = get_script_run_ctx()
    # Only this manager can forget a file.
    if context and isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        for upload in uploads:
            context.uploaded_file_mgr.remove_file(context.session_id, upload.file_id)
    return files


def session_id() -> str | None:
    """Whose places for the reading of files are counted; None outside of a visitor's session."""
    context = get_script_run_ctx()
    return context.session_id if context else None


def take_upload(key: str) -> None:
    """Take what was dropped, for `open_arrived`.

    Args:
        key: of the widget.
    """
    if files := dropped(key):
        st.session_state.uploads += 1
        st.session_state.problem = None
        _take(files)


def take_sample(sample: Sample) -> None:
    _take([File(sample.file.name, sample.file.read_bytes())], sample)


def _take(files: Sequence[File], sample: Sample | None = None) -> None:
    # A callback opens nothing: the page would stand as it was, dimmed, until a volume is read. What has
    # arrived stays until it is open, because a run may be cut short.
    before, _ = st.session_state.get("arrived") or ((), None)
    st.session_state.arrived = ([*before, *files], None if before else sample)


def arrived() -> list[str]:
    """Names of the files that were taken and are not open yet."""
    files, _ = st.session_state.get("arrived") or ((), None)
    return [file.name for file in files]


def open_arrived() -> None:
    """Open what was taken: a scan or a series here, several of either in the worklist."""
    files, sample = st.session_state.arrived
    owner.set(session_id())
    items = group_into_series(files)
    if len(items) == 1:
        open_item(items[0])
        if sample:
            st.session_state.sample = sample
    else:
        st.session_state.handed_over = items
    st.session_state.arrived = None


def open_item(item: Item) -> None:
    """Open a scan or a series, or say why it cannot be and leave what is open.

    A picture with several slices goes to the worklist, which lists them.
    """
    owner.set(session_id())
    try:
        if item.is_series or item.problem:
            opened, data = load(item), None
        else:
            data = item.files[0].read()
            file = File(item.name, data)
            opened = load(Item(item.name, (file,), part=item.part, copies=item.copies))
    except SeveralPanels as page:
        st.session_state.handed_over = list(page.items)
        return
    except UnreadableScan as error:
        log.refusal(error)
        st.session_state.problem = words.not_read(item.name, str(error))
        return
    is_series = isinstance(opened, Series)
    if item.part:
        # The file is the whole page: what is made of a slice and its file cannot be made of it.
        data = None
    _open(scan=None if is_series else opened, data=data, series=opened if is_series else None, item=item)


def open_slice(stack: Stack, number: int) -> None:
    """Open one slice of the open series by itself, with the series behind it."""
    try:
        scan = stack[number]
        data = stack.files[number].read() if stack.files else None
        frame = stack.frames[number] if stack.frames else None
    except UnreadableScan as error:
        log.refusal(error)
        st.session_state.problem = words.not_read(words.slice_number(number + 1), str(error))
        return
    state = st.session_state
    # A report of the slice says it, too.
    said = left_out_in_words(len(state.series.left_out))
    scan = replace(scan, remarks=(*said, *scan.remarks))
    _open(scan=scan, data=data, frame=frame, series=state.series, item=state.item)


def show_remarks(remarks: Sequence[str], left_out: Sequence[str] = ()) -> None:
    """What is to be known beside the answer: what was not read, and what the file says against it.

    Args:
        remarks: of a scan or a series.
        left_out: names of files that are copies.
    """
    lines = list(remarks)
    if left_out:
        lines.append(words.left_out(left_out))
    if lines:
        st.warning("\n\n".join(lines), icon=":material/info:")


def back_to_series() -> None:
    state = st.session_state
    _open(series=state.series, item=state.item)


def _open(**opened: object) -> None:
    for name in STATE:
        st.session_state[name] = opened.get(name)
