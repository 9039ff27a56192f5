"""Part of Review: the form in which the clinician says what they see; kept where there is a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import streamlit as st

from brat.classes import CLASS_NAMES, CLASSES
from pages.parts.store import is_on, store
from pages.words import verdict as words

if TYPE_CHECKING:
    from brat.io.scan import Scan
    from brat.model.reader import Reading
    from brat.store.cases import Case

# Where the reader's name outlives the form, for the next scan.
_NAME = "reader_name"


class Opinion(NamedTuple):
    """What the form says now.

    Attributes:
        verdict: one of `brat.store.cases.VERDICTS`; None where nothing was said yet.
        seen: the class that the clinician sees; None where unsure, or not said yet.
        note: the clinician's own words.
    """

    verdict: str | None
    seen: str | None
    note: str

    @property
    def printed(self) -> str:
        """As a report has it."""
        sees = CLASS_NAMES[self.seen].lower() if self.verdict == "disagree" and self.seen else ""
        return words.printed(self.verdict, sees)


def verdict_form(scan: Scan, reading: Reading, model: str) -> Opinion:
    """Let the clinician say what they see, and keep it, or change what was kept.

    Where the store is off, or does not answer, a sentence says so and the rest of the page is as it was.

    Args:
        reading: of the scan as uploaded.
        model: `Classifier.digest` of the model that read it.
    """
    of = f"{scan.digest}-{model}"
    if not is_on():
        opinion = _ask(reading, of, [])
        st.caption(words.OFF)
        return opinion
    from brat.store.cases import StoreError, keep, kept

    opinion = Opinion(None, None, "")
    try:
        earlier = kept(store(), scan.digest, model)
        _start_from(earlier, reading, of)
        opinion = _ask(reading, of, earlier)
        if (opinion.verdict or earlier) and (how := _ask_to_keep(opinion, of, earlier)):
            keep(store(), scan, reading, model, seen=opinion.seen, note=opinion.note, **how)
            st.toast(words.KEPT, icon=":material/check:")
            earlier = kept(store(), scan.digest, model)
        for case in earlier:
            st.caption(_said(case))
    except StoreError as error:
        st.warning(str(error))
    return opinion


def _start_from(earlier: list[Case], reading: Reading, of: str) -> None:
    """Fill a new form with what this reader has kept before; another reader's is only shown beneath it."""
    state = st.session_state
    if f"name-{of}" in state:
        return
    name = state.get(_NAME, "")
    own = next((case for case in earlier if case.reader == name), None)
    if own:
        state[f"verdict-{of}"] = own.verdict
        state[f"seen-{of}"] = own.seen if own.seen != reading.prediction.label else None
        state[f"note-{of}"] = own.note
    state[f"name-{of}"] = name
    state[f"picture-{of}"] = bool(own and own.pictured)


def _ask(reading: Reading, of: str, earlier: list[Case]) -> Opinion:
    label = reading.prediction.label
    verdict = st.segmented_control(
        words.ASK, list(words.VERDICTS), format_func=words.VERDICTS.get, key=f"verdict-{of}", width="stretch"
    )
    seen = label if verdict == "agree" else None
    if verdict == "disagree":
        others = [one for one in CLASSES if one != label]
        seen = st.segmented_control(
            words.ASK_SEEN, others, format_func=CLASS_NAMES.get, key=f"seen-{of}", width="stretch"
        )
    if verdict is None and not earlier:
        return Opinion(None, None, "")
    note = st.text_area(words.NOTE, key=f"note-{of}", height=68, max_chars=2000, placeholder=words.NOTE_HINT)
    return Opinion(verdict, seen, note)


def _ask_to_keep(opinion: Opinion, of: str, earlier: list[Case]) -> dict | None:
    """Who says it, and whether with the picture; None until the button is pressed."""
    name = st.text_input(words.NAME, key=f"name-{of}", max_chars=100, placeholder=words.NAME_HINT).strip()
    st.session_state[_NAME] = name
    with st.container(horizontal=True, vertical_alignment="center"):
        picture = st.checkbox(words.PICTURE, key=f"picture-{of}", help=words.PICTURE_HELP)
        pressed = st.button(
            words.REPLACE if any(case.reader == name for case in earlier) else words.KEEP,
            key=f"keep-{of}",
            disabled=opinion.verdict is None or (opinion.verdict == "disagree" and opinion.seen is None),
        )
    return {"reader": name, "picture": picture} if pressed else None


def _said(case: Case) -> str:
    return words.said(
        by=_plain(case.reader),
        when=f"{case.time:%d %b %Y, %H:%M} UTC",
        verdict=case.verdict,
        sees=CLASS_NAMES[case.seen].lower() if case.verdict == "disagree" else "",
        note=_plain(" ".join(case.note.split())),
        pictured=case.pictured,
    )


def _plain(typed: str) -> str:
    """What a reader typed, none of which is to be taken for Markdown."""
    return "".join(f"\\{sign}" if sign in r"\`*_{}[]()<>#+-.!|~$:" else sign for sign in typed)
