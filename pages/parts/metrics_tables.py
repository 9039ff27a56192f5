"""What `metrics.json` holds, as tidy tables: one number a row, as it was measured, for the CSV downloads.

An estimate becomes the columns `value`, `low` and `high`, the last two the ends of its 95 % interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd


def protocols(measured: Mapping[str, Mapping]) -> pd.DataFrame:
    """Every measure of every protocol that is of the whole, not of one class."""
    rows = [
        {
            "protocol": name,
            "slices": entry["slices"],
            "clusters": entry["clusters"],
            "test_slices_with_near_duplicate_in_training": entry.get("near_duplicates"),
            "measure": measure,
            **estimate,
        }
        for name, entry in measured.items()
        for measure, estimate in entry["metrics"].items()
        if "/" not in measure
    ]
    return pd.DataFrame(rows)


def of_classes(metrics: Mapping[str, Mapping], measures: Sequence[str]) -> pd.DataFrame:
    """The measures of a protocol that are of one class, such as `recall/glioma`."""
    keys = [(key, *key.split("/")) for key in metrics if key.count("/") == 1]
    rows = [
        {"measure": measure, "class": name, **metrics[key]}
        for key, measure, name in keys
        if measure in measures
    ]
    return pd.DataFrame(rows)


def confusion(metrics: Mapping[str, Mapping]) -> pd.DataFrame:
    """The confusion matrix of a protocol, in slices."""
    keys = [(key, *key.split("/")[1:]) for key in metrics if key.startswith("confusion/")]
    return pd.DataFrame([{"is": truth, "read_as": read, **metrics[key]} for key, truth, read in keys])


def sites(by_site: Mapping[str, Mapping]) -> pd.DataFrame:
    """Sensitivity for each class in each source."""
    rows = [
        {
            "source": site,
            "class": name,
            "slices": cell["slices"],
            "clusters": cell["clusters"],
            **cell["metrics"]["sensitivity"],
        }
        for site, labels in by_site.items()
        for name, cell in labels.items()
    ]
    return pd.DataFrame(rows)


def curves(by_class: Mapping[str, Mapping], kind: str, across: str, up: str) -> pd.DataFrame:
    """The points of one kind of curve of every class."""
    rows = [
        {"class": name, across: x, up: y}
        for name, curve in by_class.items()
        for x, y in zip(curve[kind]["x"], curve[kind]["y"], strict=True)
    ]
    return pd.DataFrame(rows)


def reliability(measured: Mapping) -> pd.DataFrame:
    """The bins of the reliability diagram that hold slices."""
    rows = [
        {"calibration": when, "confidence": confidence, "share_right": right, "slices": count}
        for when in ("before", "after")
        for confidence, right, count in zip(
            *(measured[when]["bins"][key] for key in ("confidence", "accuracy", "count")), strict=True
        )
        if count
    ]
    return pd.DataFrame(rows)


def prediction_sets(sets: Mapping[str, Mapping]) -> pd.DataFrame:
    """Everything that is measured of the prediction sets of each level."""
    rows = [
        {"level": float(level), "measure": measure, **estimate}
        for level, entry in sets.items()
        for measure, estimate in entry.items()
    ]
    return pd.DataFrame(rows)


def out_of_distribution(measured: Mapping) -> pd.DataFrame:
    """How many pictures of each kind there were, and how many the out-of-distribution check refused."""
    rows = [{"kind": kind, **counts} for kind, counts in measured["others"].items()]
    return pd.DataFrame(rows)


def maps(measured: Mapping) -> pd.DataFrame:
    """How well the maps of each method lie in the boxes."""
    rows = [
        {
            "method": method,
            "slices": entry.get("slices", measured["slices"]),
            "measure": measure,
            **entry[measure],
        }
        for method, entry in measured["methods"].items()
        for measure in ("pointing", "energy")
    ]
    return pd.DataFrame(rows)


def robustness(measured: Mapping) -> pd.DataFrame:
    """Accuracy at every level of every change."""
    rows = [
        {"change": name, "unit": change["unit"], "level": level, **estimate}
        for name, change in measured["changes"].items()
        for level, estimate in zip(change["levels"], change["accuracy"], strict=True)
    ]
    return pd.DataFrame(rows)


def nearest(measured: Mapping) -> pd.DataFrame:
    """How many images have their nearest other image at what correlation."""
    edges = measured["edges"]
    return pd.DataFrame({"from": edges[:-1], "to": edges[1:], "images": measured["counts"]})


def near_duplicates(matrix: Mapping) -> pd.DataFrame:
    """The share of the names of each set (a collection, a split) that have a near-duplicate in each set."""
    rows = [
        {
            "of": first,
            "names": matrix["names"][i],
            "with_near_duplicate_in": second,
            "exact": matrix["exact"][i][j],
            "near": matrix["near"][i][j],
        }
        for i, first in enumerate(matrix["of"])
        for j, second in enumerate(matrix["of"])
    ]
    return pd.DataFrame(rows)
