"""What is open in Review, for the visitor's session, and how it gets there."""

from __future__ import annotations

import streamlit as st

from brat.samples import Sample
from brat.scans import Scan, UnreadableScan, read_scan
from pages.words import opened as words


# Few, because the largest scan that is read takes 125 MB.
@st.cache_resource(max_entries=8, show_spinner=False)
def decoded(data: bytes, name: str) -> Scan:
    return read_scan(data, name)


def start() -> None:
    """Nothing is open yet, where this session has not been here before."""
    for name in ("scan", "data", "sample", "problem"):
        st.session_state.setdefault(name, None)


def take(data: bytes, name: str, sample: Sample | None = None) -> None:
    """Open a file, or say why it cannot be read and leave what is open."""
    try:
        st.session_state.scan = decoded(data, name)
        st.session_state.data = data
        st.session_state.sample = sample
        st.session_state.problem = None
    except UnreadableScan as error:
        st.session_state.problem = words.not_read(name, str(error))


def take_upload() -> None:
    upload = st.session_state.upload
    if upload is None:
        st.session_state.problem = None
        return
    take(upload.getvalue(), upload.name)


def take_sample(sample: Sample) -> None:
    take(sample.file.read_bytes(), sample.file.name, sample)
