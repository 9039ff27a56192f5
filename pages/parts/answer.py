"""Part of Review: the answer, what qualifies it, and the probability of every class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import streamlit as st

from brat.classes import CLASS_COLOURS, CLASS_NAMES, CLASSES
from brat.model.calibration import DEFAULT_LEVEL
from brat.model.reader import REFER_FROM, UNSURE, Reading, is_alone_and_unsure
from brat.wording import ALONE_AND_UNSURE, percent
from pages.parts.widget_memory import remember, restore
from pages.words import review as words
from pages.words.numbers import unbroken


def show_answer(uploaded: Reading, enhanced: Reading | None, digest: str) -> bool:
    """The answer, how far it can be trusted, and the bars of every class.

    Args:
        uploaded: the reading of the scan as uploaded.
        enhanced: the reading of the enhanced scan, if that is to be shown first.
        digest: `Scan.digest` of the scan.

    Returns:
        False where the answer is withheld, because the scan is not like those that the model knows.
    """
    shown = enhanced or uploaded
    title = "Reading of the enhanced scan" if enhanced else "Reading"
    label, confidence = shown.prediction.label, shown.prediction.confidence
    if shown.ood is not None and not shown.ood.in_distribution:
        st.warning(words.unlike(shown.ood.reason))
        key = f"anyway-{digest}"
        restore(key, False)
        if not st.toggle(words.SHOW_ANYWAY, key=key, on_change=remember, args=(key,)):
            st.caption(words.FOUR_ANSWERS)
            return False
        title += words.OF_UNKNOWN
    if confidence < UNSURE:
        title += ": unsure"
    st.html(
        f'<section class="answer" style="border-color:{CLASS_COLOURS[label]}">'
        f"<p>{title}</p>"
        f"<h2>{CLASS_NAMES[label]}<span>{percent(confidence)}</span></h2></section>"
    )
    _show_doubt(uploaded, enhanced)
    return True


@st.fragment
def _show_doubt(uploaded: Reading, enhanced: Reading | None) -> None:
    """What qualifies the answer, and the bars of every class."""
    shown = enhanced or uploaded
    if shown.sets:
        _show_set(shown)
    else:
        st.caption(words.NOT_CALIBRATED)
    if shown.ood is None:
        st.caption(words.NOT_CHECKED)
    elif shown.ood.in_distribution:
        st.caption(words.like(shown.ood.score))
    if site := shown.site:
        st.caption(words.recalibrated(site.site, site.slices, site.fitted[:10]))
    readings = {"as uploaded": uploaded.prediction.by_class()}
    if enhanced:
        before = uploaded.prediction
        st.markdown(
            unbroken(words.before(CLASS_NAMES[before.label], percent(before.confidence)))
            + (words.SAME if before.label == shown.prediction.label else words.CHANGED)
        )
        readings = {"enhanced": enhanced.prediction.by_class(), **readings}
    st.html(_bars(readings))
    if shown.sets:
        restore("level", DEFAULT_LEVEL)
        st.segmented_control(
            "Certainty of the set",
            list(shown.sets),
            required=True,
            format_func=percent,
            key="level",
            help=words.CERTAINTY_HELP,
            on_change=remember,
            args=("level",),
        )
    st.caption(words.CAVEAT)


def _show_set(shown: Reading) -> None:
    """The prediction set, at the level that was chosen."""
    restore("level", DEFAULT_LEVEL)
    level = st.session_state["level"]
    classes = shown.sets[level]
    st.markdown(words.in_set(percent(level), _names(classes) if classes else "no class"))
    if len(classes) == 0 or len(classes) >= REFER_FROM:
        st.markdown(words.REFER)
    elif len(classes) > 1:
        st.markdown(words.NOT_APART)
    elif is_alone_and_unsure(classes, shown.prediction.confidence):
        st.markdown(unbroken(ALONE_AND_UNSURE))


def _names(classes: Sequence[str]) -> str:
    """Glioma or meningioma."""
    first, *others = (CLASS_NAMES[name] for name in classes)
    return " or ".join([first, *(name.lower() for name in others)])


def _bars(readings: Mapping[str, Mapping[str, float]]) -> str:
    """A table of the probability of each class, with a bar for each reading, as HTML.

    The browser draws it alone: a library for charts would hold up the first answer. A bar that is pointed
    at, or in focus, says its value to a tenth of a per cent.

    Args:
        readings: one or two readings, name -> class -> probability; the bars of the second are paler.
    """
    rows = []
    for label in CLASSES:
        for number, (title, probabilities) in enumerate(readings.items()):
            cells = [] if number else [f'<th scope="row" rowspan="{len(readings)}">{CLASS_NAMES[label]}</th>']
            if len(readings) > 1:
                cells.append(f"<td>{title}</td>")
            style = f"width:{probabilities[label]:.1%}; background-color:{CLASS_COLOURS[label]}"
            value = escape(f"{CLASS_NAMES[label]}, {title}: {percent(probabilities[label], 1)}")
            bar = f'class="bar{" pale" * number}" tabindex="0" aria-label="{value}" data-value="{value}"'
            cells.append(f'<td {bar}><div style="{style}"></div></td>')
            cells.append(f"<td>{escape(percent(probabilities[label]))}</td>")
            rows.append(f"<tr>{''.join(cells)}</tr>")
    return f'<table class="bars" aria-label="Probability of each class">{"".join(rows)}</table>'
