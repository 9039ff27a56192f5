"""Parts of the Model page: whole series of a hospital, and the same slices before and after contrast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from brat.model.series_reading import RULE_LEAST
from pages.parts.captioned_figures import table
from pages.words import whole_series as words
from pages.words.numbers import estimate

SHOWN_LEAST = str(RULE_LEAST)
"""The rules that are shown; those with other least probabilities are in the CSV file."""


def whole_series(source: str, protocols: Mapping[str, Mapping[str, Any]]) -> None:
    """Patients found and false runs, by sequence and by the length that makes a run.

    Args:
        protocols: of the source, of `metrics.json`; those of `series_` and a sequence are shown.
    """
    series = {
        entry["title"].removesuffix(", runs of slices"): entry
        for name, entry in protocols.items()
        if name.startswith("series_")
    }
    if not series:
        return
    rows = pd.DataFrame(
        [
            {"sequence": title, "measure": measure, "slices_in_a_row": length, "least": least, **values}
            for title, entry in series.items()
            for name, values in entry["metrics"].items()
            for measure, length, least in [name.split("/")]
        ]
    )
    shown = pd.DataFrame(
        [
            {
                "Sequence": title,
                "Slices in a row": length,
                "Patients": f"{entry['clusters']:,}",
                "Patients found": estimate(entry["metrics"][f"found/{length}/{SHOWN_LEAST}"]),
                "False runs a patient": words.number(entry["metrics"][f"false_runs/{length}/{SHOWN_LEAST}"]),
            }
            for title, entry in series.items()
            for length in sorted({name.split("/")[1] for name in entry["metrics"]})
            if f"found/{length}/{SHOWN_LEAST}" in entry["metrics"]
        ]
    ).set_index("Sequence")
    st.subheader("Whole series", anchor=False)
    table(shown, f"whole-series-{source}", words.caption(float(SHOWN_LEAST)), rows)


def contrast(protocols: Mapping[str, Mapping[str, Any]]) -> None:
    """What contrast alone does to slices without a tumour."""
    if pairs := protocols.get("contrast_pairs"):
        before, after = (pairs["metrics"][f"specificity_{when}"] for when in ("before", "after"))
        st.markdown(words.contrast(pairs["slices"], pairs["clusters"], estimate(before), estimate(after)))
