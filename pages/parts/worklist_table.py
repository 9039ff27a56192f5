"""Part of the worklist: its rows as they are ordered, filtered and written in the table."""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import pandas as pd

from brat.classes import CLASS_NAMES, CLASSES
from brat.model.calibration import DEFAULT_LEVEL
from brat.model.reader import is_alone_and_unsure
from brat.model.worklist_rows import STATES, Row, suspicion
from brat.wording import UNSURE_ALONE, percent
from pages.parts.verdict import VERDICTS
from pages.words import worklist as words

if TYPE_CHECKING:
    from brat.store.cases import Case

Verdicts = Mapping[str, "Case"]
"""`Row.slice_digest` -> the case that was kept of it last."""


ABSENT = "–"
"""Stands in a cell that has nothing to say."""


def _most_probable(row: Row) -> float:
    return max(row.probabilities, default=0.0)


ORDERS: dict[str, Callable[[Row], tuple[Any, ...]]] = {
    "suspicion": suspicion,
    "doubt": lambda row: (
        STATES.index(row.state),
        -len((row.sets or {}).get(DEFAULT_LEVEL, ())),
        _most_probable(row),
        row.number,
    ),
    "reading": lambda row: (
        STATES.index(row.state),
        CLASSES.index(row.label) if row.label else 0,
        -_most_probable(row),
        row.number,
    ),
    "name": lambda row: (row.item.name.casefold(), row.number),
    "number": lambda row: (row.number,),
}
"""Name of an order -> the key by which it sorts."""

BY_HEADING = {
    "No.": "number",
    "Any tumour": "suspicion",
    "Reading": "reading",
    "95 % set": "doubt",
    "File": "name",
}
"""The order that a column's heading stands for."""


def select_rows(
    rows: Sequence[Row],
    verdicts: Verdicts | None,
    *,
    search: str,
    labels: Collection[str],
    states: Collection[str],
    wanted_verdicts: Collection[str],
    order: str,
) -> list[Row]:
    """The rows that meet every condition, in order. An empty condition is met by all.

    Args:
        verdicts: None where there is no store.
        search: a part of the file's name, in any case of letters.
        labels: the classes of the answer; an answer that is withheld is not looked at.
        states: of `brat.model.worklist_rows.STATES`.
        wanted_verdicts: of `brat.store.cases.VERDICTS`; the empty text stands for none.
        order: a key of `ORDERS`.
    """
    selected = [
        row
        for row in rows
        if search.strip().casefold() in row.item.name.casefold()
        and (not labels or (row.state == "known" and row.label in labels))
        and (not states or row.state in states)
        and (not wanted_verdicts or verdict_on(row, verdicts) in wanted_verdicts)
    ]
    return sorted(selected, key=ORDERS[order])


def verdict_on(row: Row, verdicts: Verdicts | None) -> str:
    """One of `brat.store.cases.VERDICTS`; empty where none was kept."""
    case = (verdicts or {}).get(row.slice_digest)
    return case.verdict if case else ""


def reading_in_words(row: Row) -> str:
    """The answer, or why there is none: "Glioma 91 %"."""
    if row.state == "known":
        return f"{CLASS_NAMES[row.label]} {percent(_most_probable(row))}"
    return "Withheld" if row.state == "refused" else "Not read"


def remark_on(row: Row) -> str:
    """Why a row has no answer, which slice of a series it speaks of, and what was not read of it."""
    of_series = words.slice_of(row.slice, row.slices) if row.slice and row.slices else ""
    return " ".join(part for part in (row.problem, row.reason, of_series, *row.remarks) if part)


def common_folder(rows: Sequence[Row]) -> str:
    """The folder or archive that all rows are in, with a slash at its end; empty where there is none."""
    folders = [row.item.name.split("/")[:-1] for row in rows]
    shared = takewhile(lambda parts: len(set(parts)) == 1, zip(*folders, strict=False))
    return "".join(f"{parts[0]}/" for parts in shared)


def as_table(
    rows: Sequence[Row], verdicts: Verdicts | None, opened: Collection[int], folder: str = ""
) -> pd.DataFrame:
    """The table as it is shown.

    Args:
        folder: of `common_folder`; it would take the place that the files' own names need.
        verdicts: None where there is no store; the table then has no such column.
        opened: numbers of the rows that were opened in Review.
    """
    columns = {
        "No.": [row.number for row in rows],
        "Scan": [_thumbnail(row) for row in rows],
        "Reading": [reading_in_words(row) for row in rows],
        "Any tumour": [percent(row.tumour) if row.state == "known" else ABSENT for row in rows],
        "File": [row.item.name.removeprefix(folder) for row in rows],
        "95 % set": [_set_in_words(row) for row in rows],
        "Like known scans": [_known_in_words(row) for row in rows],
        "Verdict": [VERDICTS.get(verdict_on(row, verdicts), ABSENT) for row in rows],
        "Opened": [row.number in opened for row in rows],
        "Remark": [remark_on(row) for row in rows],
    }
    if verdicts is None:
        del columns["Verdict"]
    return pd.DataFrame(columns)


def _thumbnail(row: Row) -> str | None:
    if not row.thumbnail:
        return None
    return "data:image/jpeg;base64," + base64.b64encode(row.thumbnail).decode()


def _set_in_words(row: Row) -> str:
    if row.state != "known" or not row.sets:
        return ABSENT
    classes = row.sets[DEFAULT_LEVEL]
    names = ", ".join(CLASS_NAMES[name].lower() for name in classes) or "no class"
    return f"{names}, {UNSURE_ALONE}" if is_alone_and_unsure(classes, _most_probable(row)) else names


def _known_in_words(row: Row) -> str:
    if row.in_distribution is None:
        return ABSENT
    return "yes" if row.in_distribution else "no"
