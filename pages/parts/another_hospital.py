"""Part of the Model page: whole stacks and series, of hospitals new to the model and known to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import streamlit as st

from brat.model import series_rule
from pages.parts.captioned_figures import table
from pages.words import another_hospital as words
from pages.words.numbers import decimal, estimate, share

COLUMNS = {
    "sensitivity": "Tumour found",
    "sensitivity_small": "Small ones",
    "right_class": "Right class",
    "specificity_brain": "No tumour, brain",
    "specificity_base": "Base and neck",
    "auc": "AUC, brain",
    "confidently_wrong": "Wrong above 90 %",
}
"""The measures of a stack of slices, and their headings."""

RULE = f"{series_rule.LENGTH}/{series_rule.LEAST}"
"""The rule that Review uses, which is shown; the others are in the CSV file."""

Protocols = Mapping[str, Mapping[str, Any]]
"""Entries of `metrics.json`; those of whole stacks, whole series and contrast are named so."""


def hospitals(metrics: Mapping[str, Any]) -> dict[str, Protocols]:
    """Hospital, as the tables name it -> its protocols; those that are new to the model come first."""
    new = metrics.get("another_hospital", {})
    return {
        **{f"{source}, new": entries["without"] for source, entries in new.items()},
        "known": metrics["protocols"],
    }


def first(metrics: Mapping[str, Any]) -> tuple[Mapping[str, Any], str] | None:
    """What is measured of the first new hospital, and what another one should expect; None without one."""
    for source, entries in metrics.get("another_hospital", {}).items():
        known = dict(_named(entries.get("with", {}), "stacks_"))
        for sequence, entry in _named(entries["without"], "stacks_"):
            found, called = (
                [
                    share(value if name == "sensitivity" else 1 - value)
                    for of in (entry, known.get(sequence))
                    if of and (value := of["metrics"][name]["value"]) is not None
                ]
                for name in ("sensitivity", "specificity_brain")
            )
            return entry, words.expect(source, sequence, found, called)
    return None


def figures(measured: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The headline figures of a hospital: title, and estimate.

    Args:
        measured: the entry of its stacks.
    """
    return [
        ("Another hospital: sensitivity", measured["metrics"]["sensitivity"]),
        ("Another hospital: specificity, brain", measured["metrics"]["specificity_brain"]),
    ]


def whole_stacks(of: Mapping[str, Protocols]) -> None:
    """How slices are read, by hospital and sequence.

    Args:
        of: what `hospitals` returns, as for the other parts here.
    """
    stacks = _of_all(of, "stacks_")
    if not stacks:
        return
    st.subheader("Slice by slice", anchor=False)
    shown = [
        {
            "Hospital": hospital,
            "Sequence": sequence,
            "Slices": f"{entry['slices']:,}",
            **{
                heading: (decimal if name == "auc" else estimate)(entry["metrics"][name])
                for name, heading in COLUMNS.items()
            },
        }
        for hospital, sequence, entry in stacks
    ]
    rows = [
        {"hospital": hospital, "sequence": sequence, "measure": name, **entry["metrics"][name]}
        for hospital, sequence, entry in stacks
        for name in COLUMNS
    ]
    table(pd.DataFrame(shown).set_index("Hospital"), "stacks", words.STACKS, pd.DataFrame(rows))


def whole_series(of: Mapping[str, Protocols]) -> None:
    """Patients found and false runs, by hospital and sequence."""
    series = _of_all(of, "series_")
    if not series:
        return
    st.subheader("Series by series", anchor=False)
    shown = [
        {
            "Hospital": hospital,
            "Sequence": sequence,
            "Patients": f"{entry['clusters']:,}",
            "Patients found": estimate(entry["metrics"][f"found/{RULE}"]),
            "False runs a patient": words.number(entry["metrics"][f"false_runs/{RULE}"]),
        }
        for hospital, sequence, entry in series
    ]
    rows = [
        {
            "hospital": hospital,
            "sequence": sequence,
            "measure": measure,
            "slices_in_a_row": length,
            "least": least,
            **values,
        }
        for hospital, sequence, entry in series
        for name, values in entry["metrics"].items()
        for measure, length, least in [name.split("/")]
    ]
    table(
        pd.DataFrame(shown).set_index("Hospital"),
        "whole-series",
        words.runs(series_rule.LENGTH, series_rule.LEAST),
        pd.DataFrame(rows),
    )


def single_slices(metrics: Mapping[str, Any]) -> None:
    """How hospitals are read of which there are no stacks: new to the model, and known to it.

    Args:
        metrics: content of `metrics.json`.
    """
    collections = {
        source: entries
        for source, entries in metrics.get("another_hospital", {}).items()
        if not any(_named(entries["without"], "stacks_")) and "four_classes" in entries["without"]
    }
    if not collections:
        return
    st.subheader("Single slices", anchor=False)
    headings = {"without": "New", "with": "Known"}
    shown = [
        {
            "Hospital": source,
            "Slices": f"{entries['without']['four_classes']['slices']:,}",
            **{
                heading: estimate(entries[key]["four_classes"]["metrics"]["accuracy"])
                if key in entries
                else "not measured"
                for key, heading in headings.items()
            },
        }
        for source, entries in collections.items()
    ]
    rows = [
        {"hospital": f"{source}, {heading.lower()}", "protocol": name, "measure": measure, **values}
        for source, entries in collections.items()
        for key, heading in headings.items()
        for name, measures in (
            ("four_classes", ("accuracy", "recall/no_tumor")),
            ("same_source", ("sensitivity", "specificity", "auc")),
        )
        if name in entries.get(key, {})
        for measure in measures
        for values in (entries[key][name]["metrics"][measure],)
    ]
    table(pd.DataFrame(shown).set_index("Hospital"), "single-slices", words.SINGLE, pd.DataFrame(rows))


def contrast(of: Mapping[str, Protocols]) -> None:
    """What contrast alone does to slices without a tumour."""
    pairs = {
        hospital: protocols["contrast_pairs"]
        for hospital, protocols in of.items()
        if "contrast_pairs" in protocols
    }
    if not pairs:
        return
    st.subheader("Contrast alone", anchor=False)
    shown = [
        {
            "Hospital": hospital,
            "Slices": f"{entry['slices']:,}",
            "Patients": f"{entry['clusters']:,}",
            "Before": estimate(entry["metrics"]["specificity_before"]),
            "After": estimate(entry["metrics"]["specificity_after"]),
        }
        for hospital, entry in pairs.items()
    ]
    rows = [
        {"hospital": hospital, "measure": name, **entry["metrics"][name]}
        for hospital, entry in pairs.items()
        for name in ("specificity_before", "specificity_after")
    ]
    table(pd.DataFrame(shown).set_index("Hospital"), "contrast", words.CONTRAST, pd.DataFrame(rows))


def _of_all(of: Mapping[str, Protocols], prefix: str) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Hospital, sequence and entry of the protocols whose name begins so."""
    return [
        (hospital, sequence, entry)
        for hospital, protocols in of.items()
        for sequence, entry in _named(protocols, prefix)
    ]


def _named(protocols: Protocols, prefix: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Sequence and entry of the protocols whose name begins so."""
    for name, entry in protocols.items():
        if name.startswith(prefix):
            yield entry["title"].partition(", ")[0], entry
