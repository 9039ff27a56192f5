"""Part of the Model page: what a hospital should expect whose scans the model was not trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import streamlit as st

from pages.parts.captioned_figures import table
from pages.words import another_hospital as words
from pages.words.numbers import decimal, estimate

COLUMNS = {
    "sensitivity": "Tumour found",
    "right_class": "Right class",
    "specificity_brain": "No tumour, brain",
    "specificity_base": "No tumour, base and neck",
    "auc": "AUC, brain",
    "confidently_wrong": "Wrong above 90 %",
}
"""The measures of a stack of slices, and their headings."""


def figures(measured: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """The headline figures of the first hospital that the model has not met: title, and estimate.

    Args:
        measured: `another_hospital` of `metrics.json`: source -> "without" -> protocols; may be empty.
    """
    for protocols in measured.values():
        for title, entry in _stacks(protocols["without"]):
            return [
                (words.tumour_found(title), entry["metrics"]["sensitivity"]),
                (words.brain_right(title), entry["metrics"]["specificity_brain"]),
            ]
    return []


def another_hospital(source: str, protocols: Mapping[str, Mapping[str, Any]]) -> None:
    """A sentence, and the figures by sequence.

    Args:
        protocols: of the source, of `metrics.json`.
    """
    stacks = dict(_stacks(protocols))
    if not stacks:
        return
    title, entry = next(iter(stacks.items()))
    st.markdown(words.expect(source, title, entry["clusters"], entry["metrics"]))
    by_sequence(source, protocols)


def by_sequence(key: str, protocols: Mapping[str, Mapping[str, Any]]) -> None:
    """The figures of whole stacks by sequence.

    Args:
        key: tells this table from others on the page.
        protocols: of `metrics.json`; those of `stacks_` and a sequence are shown.
    """
    stacks = dict(_stacks(protocols))
    st.subheader("Stacks by sequence", anchor=False)
    shown = pd.DataFrame(
        [
            {
                "Sequence": title,
                "Slices": f"{entry['slices']:,}",
                **{
                    heading: (decimal if name == "auc" else estimate)(entry["metrics"][name])
                    for name, heading in COLUMNS.items()
                },
            }
            for title, entry in stacks.items()
        ]
    ).set_index("Sequence")
    rows = pd.DataFrame(
        [
            {"sequence": title, "measure": name, **entry["metrics"][name]}
            for title, entry in stacks.items()
            for name in COLUMNS
        ]
    )
    table(shown, f"stacks-{key}", words.CAPTION, rows)


def _stacks(protocols: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, entry in protocols.items():
        if name.startswith("stacks_"):
            yield entry["title"].removesuffix(", whole stacks"), entry
