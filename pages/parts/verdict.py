"""Part of Review: the form in which the clinician says what they see; kept where there is a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import streamlit as st

from brat.classes import CLASS_NAMES, CLASSES
from brat.io.names import clean_name, clean_note
from pages.parts.failures import tell
from pages.parts.login import person
from pages.parts.store import is_on, store
from pages.parts.widget_memory import memory, remembered
from pages.words import login as login_words
from pages.words import verdict as words
from pages.words.markdown import literal

if TYPE_CHECKING:
    from brat.io.scan import Scan
    from brat.model.reader import Reading
    from brat.store.cases import Case

VERDICTS = {"agree": "Agree", "disagree": "Disagree", "unsure": "Unsure"}
"""The verdicts of `brat.store.cases`, as they are shown."""

# Where the name outlives the form, for the next scan.
NAME = "observer_name"

_FIELDS = {"verdict": None, "seen": None, "note": "", "name": "", "picture": False}
"""The controls of the form and how each begins; the form is remembered while another page is shown."""


# The browser asks before the page is left while this stands on it, see pages/viewer/whole_page.js.
_UNSAVED = '<span class="brat-unsaved"></span>'


class Opinion(NamedTuple):
    """What the form says now.

    Attributes:
        verdict: one of `brat.store.cases.VERDICTS`; None as long as none is chosen.
        seen: the class that the clinician sees; None where unsure, and as long as none is chosen.
        note: the clinician's own words.
    """

    verdict: str | None
    seen: str | None
    note: str

    @property
    def printed(self) -> str:
        """As the report prints it."""
        sees = CLASS_NAMES[self.seen].lower() if self.verdict == "disagree" and self.seen else ""
        return words.printed(self.verdict, sees)


def verdict_form(scan: Scan, reading: Reading, model: str) -> Opinion:
    """Let the clinician say what they see, and keep it, or change what was kept.

    A verdict holds for the scan under every window. Where the store is off, or does not answer, a sentence
    says so and the rest of the page stays as it was.

    Args:
        scan: as it is shown.
        reading: of the scan as uploaded.
        model: `Classifier.digest` of the model that read it.
    """
    # Under another window the model may give another answer, and to agree then means something else.
    of = f"{scan.slice_digest}-{model}-{reading.prediction.label}"
    if not is_on():
        _start_from([], reading, of)
        opinion = _ask(reading, of, [])
        st.caption(words.OFF)
        if opinion.verdict or opinion.note:
            st.html(_UNSAVED)
        return opinion
    from brat.store.cases import cases_of, keep, window_text
    from brat.store.database import StoreError

    opinion, unsaved = Opinion(None, None, ""), st.empty()
    try:
        earlier = cases_of(store(), scan.slice_digest, model)
        _start_from(earlier, reading, of)
        opinion = _ask(reading, of, earlier)
        if is_unsaved(opinion, of, earlier):
            unsaved.html(_UNSAVED + words.UNSAVED)
        if (opinion.verdict or earlier) and (request := _ask_to_keep(opinion, of, earlier)):
            unsaved.empty()
            keep(
                store(),
                scan,
                reading,
                model,
                seen=opinion.seen,
                note=opinion.note,
                observer=request.observer,
                picture=request.picture,
                verified=bool(who := person()) and who.verified,
                takes_nameless=_is_of_nobody(of),
            )
            st.toast(words.KEPT, icon=":material/check:")
            earlier = cases_of(store(), scan.slice_digest, model)
        for case in earlier:
            st.caption(_in_words(case, window_text(scan.window)))
    except StoreError as error:
        tell("store", error, st.warning)
    return opinion


def _start_from(earlier: list[Case], reading: Reading, of: str) -> None:
    """Fill a new form with what this observer has kept before; another's is only shown beneath it."""
    who = person()
    name = who.name if who and who.verified else memory().get(NAME, "")
    own = next((case for case in earlier if case.observer == name), None)
    said = _said(own, reading) if own else {}
    # Remembered as what was typed is: after a reload the form must know as what it began.
    memory().setdefault(f"start-{of}", {**_FIELDS, "name": name, **said})


def _is_of_nobody(of: str) -> bool:
    """Whether the form began without a name, and so with what was kept without one."""
    return not memory()[f"start-{of}"]["name"]


def _field(field: str, of: str) -> dict[str, Any]:
    """Key and callback of a control of the form, which is set as it was left, or as it begins."""
    return remembered(f"{field}-{of}", memory()[f"start-{of}"][field])


def _said(case: Case, reading: Reading) -> dict[str, object]:
    """A kept case as the form has it."""
    agrees = case.seen == reading.prediction.label
    return {
        "verdict": "unsure" if case.seen is None else "agree" if agrees else "disagree",
        "seen": None if agrees else case.seen,
        "note": case.note,
        "picture": case.pictured,
    }


def is_unsaved(opinion: Opinion, of: str, earlier: list[Case]) -> bool:
    """Whether the form says something that this observer's kept case does not."""
    if opinion.verdict is None:
        return bool(opinion.note)
    state, start = st.session_state, memory()[f"start-{of}"]
    # As the store has them: what it leaves out of a note or writes out of a name is no change.
    name = clean_name(state.get(f"name-{of}", start["name"]).strip(), 100)
    own = next((case for case in earlier if case.observer == name), None)
    said = (opinion.seen, clean_note(opinion.note), state.get(f"picture-{of}", start["picture"]))
    return own is None or said != (own.seen, own.note, own.pictured)


def _ask(reading: Reading, of: str, earlier: list[Case]) -> Opinion:
    label = reading.prediction.label
    verdict = st.segmented_control(
        "Your verdict",
        list(VERDICTS),
        format_func=VERDICTS.__getitem__,
        width="stretch",
        help=words.KEYS_HELP,
        **_field("verdict", of),
    )
    seen = label if verdict == "agree" else None
    if verdict == "disagree":
        others = [name for name in CLASSES if name != label]
        seen = st.segmented_control(
            words.ASK_SEEN,
            others,
            format_func=CLASS_NAMES.__getitem__,
            width="stretch",
            **_field("seen", of),
        )
    if verdict is None and not earlier:
        return Opinion(None, None, "")
    note = st.text_area(
        "Note",
        height=68,
        max_chars=2000,
        placeholder=words.NOTE_HINT,
        **_field("note", of),
    )
    return Opinion(verdict, seen, note)


class _Request(NamedTuple):
    """Who keeps the verdict, and whether with the picture."""

    observer: str
    picture: bool


def _ask_to_keep(opinion: Opinion, of: str, earlier: list[Case]) -> _Request | None:
    """None until the button is pressed."""
    who = person()
    if who and who.verified:
        name = clean_name(who.name, 100)
        st.session_state[f"name-{of}"] = name
        st.text_input("Your name", value=name, key=f"login-{of}", disabled=True)
    else:
        name = st.text_input(
            "Your name",
            max_chars=100,
            placeholder="Optional",
            help=login_words.NOT_VERIFIED,
            **_field("name", of),
        )
        name = clean_name(name.strip(), 100)
    memory()[NAME] = name
    with st.container(horizontal=True, vertical_alignment="center"):
        # Whose name comes later goes on with the case that had none.
        names = {name, ""} if _is_of_nobody(of) else {name}
        missing = ""
        if opinion.verdict is None:
            missing = words.FIRST_VERDICT
        elif opinion.verdict == "disagree" and opinion.seen is None:
            missing = words.FIRST_SEEN
        picture = st.checkbox("Keep the picture too", help=words.PICTURE_HELP, **_field("picture", of))
        pressed = st.button(
            "Replace" if any(case.observer in names for case in earlier) else "Keep",
            key=f"keep-{of}",
            disabled=bool(missing),
            help=missing or None,
        )
    return _Request(name, picture) if pressed else None


def _in_words(case: Case, shown: str) -> str:
    """Args: shown: the window that is shown now."""
    return words.stored_verdict(
        by=literal(case.observer),
        when=f"{case.time:%d %b %Y, %H:%M} UTC",
        window=case.window if case.window != shown else "",
        verdict=case.verdict,
        sees=CLASS_NAMES[case.seen].lower() if case.seen and case.verdict == "disagree" else "",
        note=literal(case.note),
        pictured=case.pictured,
    )
