"""Part of Review: whether a small change of the scan changes its reading; measured on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from brat.classes import CLASSES
from brat.io.scan import Scan
from brat.model.reader import Reader
from pages.parts.widget_memory import remember, restore
from pages.words import stability as words
from pages.words.numbers import unbroken

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from brat.perturb.stability import Stability


@st.cache_resource(max_entries=32, show_spinner=words.BUSY)
def _measured(digest: str, model: str, _gray: np.ndarray, _reader: Reader) -> Stability:
    from brat.perturb.stability import measure

    return measure(_reader, _gray)


@st.fragment
def show_stability(scan: Scan, reader: Reader) -> None:
    """A toggle and, where it is on, the sentence and the picture, of the scan as uploaded."""
    key = f"stability-{scan.digest}"
    restore(key, False)
    if not st.toggle(words.ASK, key=key, help=words.ASK_HELP, on_change=remember, args=(key,)):
        return
    # Charts and tables are loaded once somebody wants one.
    from brat.figures.stability import stability
    from pages.parts.captioned_figures import figure

    result = _measured(scan.digest, reader.classifier.digest, scan.gray, reader)
    st.markdown(unbroken(f"**{result.sentence()}**"))
    figure(
        stability(result),
        "stability",
        f"{words.FIGURE} {result.in_words()}",
        f"{words.CAPTION} {words.RING}" if result.flips else words.CAPTION,
        table(result),
    )


def table(result: Stability) -> pd.DataFrame:
    """Every number drawn, one reading a row; the scan as it is comes first."""
    import pandas as pd

    rows = [("none", 0.0, result.label, result.probabilities)]
    rows += [(step.change, step.level, step.label, step.probabilities) for step in result.steps]
    return pd.DataFrame(
        {
            "change": change,
            "level": level,
            "label": label,
            **dict(zip(CLASSES, map(float, probabilities), strict=True)),
        }
        for change, level, label, probabilities in rows
    )
