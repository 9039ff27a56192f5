"""The worklist as a table for export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from brat.classes import CLASSES
from brat.model.worklist_rows import Row


def records(
    rows: Sequence[Row], model: str, opinions: Mapping[str, Any] | None = None, names: bool = False
) -> list[dict[str, Any]]:
    """Rows for export: one flat record each, without anything that identifies the patient.

    Args:
        model: `Classifier.digest` of the model that read them.
        opinions: `Row.slice_digest` -> the stored case, with `verdict` and `seen`; None where there is no
            store.
        names: whether to add the names of the files, which may hold names of patients.
    """
    levels = sorted({level for row in rows for level in row.sets or ()})
    exported = []
    for row in rows:
        record: dict[str, Any] = {"number": row.number}
        if names:
            record["file"] = row.item.name
        probabilities = row.probabilities or (None,) * len(CLASSES)
        record |= {
            "scan": row.digest,
            "format": row.format,
            "slice": row.slice,
            "slices": row.slices,
            "read": row.label,
            **{name: p and round(p, 6) for name, p in zip(CLASSES, probabilities, strict=True)},
            **{f"set_{level:g}": " ".join((row.sets or {}).get(level, ())) for level in levels},
            "in_distribution": row.in_distribution,
            "ood_score": row.ood_score and round(row.ood_score, 6),
            "problem": row.problem or row.reason,
            "sequence": row.sequence,
            "remarks": " ".join(row.remarks),
        }
        if opinions is not None:
            case = opinions.get(row.slice_digest)
            record |= {"verdict": case.verdict if case else "", "seen": (case.seen or "") if case else ""}
        exported.append(record | {"model": model})
    return exported
