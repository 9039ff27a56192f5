"""Part of Review: whether a small change of the scan changes its reading; measured on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from brat.classes import CLASSES
from brat.io.scan import Scan
from brat.model.reader import Reader
from pages.words import stability as words

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from brat.perturb.stability import Stability


@st.cache_resource(max_entries=32, show_spinner=words.BUSY)
def measured(digest: str, model: str, _gray: np.ndarray, _reader: Reader) -> Stability:
    from brat.perturb.stability import measure

    return measure(_reader, _gray)


@st.fragment
def show_stability(scan: Scan, reader: Reader) -> None:
    """A toggle and, where it is on, the sentence and the picture, of the scan as uploaded."""
    if not st.toggle(words.ASK, key=f"stability-{scan.digest}", help=words.ASK_HELP):
        return
    # Charts and tables are loaded once somebody wants one.
    from brat.figures.stability import stability
    from pages.parts.captioned_figures import figure

    found = measured(scan.digest, reader.classifier.digest, scan.gray, reader)
    st.markdown(f"**{found.sentence()}**")
    figure(
        stability(found),
        "stability",
        f"{words.FIGURE} {found.in_words()}",
        f"{words.CAPTION} {words.RING}" if found.flips else words.CAPTION,
        table(found),
    )


def table(found: Stability) -> pd.DataFrame:
    """Every number drawn, one reading a row; the scan as it is comes first."""
    import pandas as pd

    rows = [("none", 0, found.label, found.probabilities)]
    rows += [(step.change, step.level, step.label, step.probabilities) for step in found.steps]
    return pd.DataFrame(
        {
            "change": change,
            "level": level,
            "label": label,
            **dict(zip(CLASSES, map(float, shares), strict=True)),
        }
        for change, level, label, shares in rows
    )
