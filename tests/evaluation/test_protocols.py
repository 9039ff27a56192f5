"""Protocols: what is counted of which slices, and by whom."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from brat.classes import CLASSES
from brat.data.index import IndexedSlice
from brat.evaluation import metrics
from brat.evaluation.protocols import map_in_box, same_source, three_tumors
from brat.evaluation.readings import Readings


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch):
    monkeypatch.setattr(metrics, "RESAMPLES", 20)


def slice_at(file: str, label: str, cluster: str, source: str = "figshare") -> IndexedSlice:
    return IndexedSlice(Path(file), file, source, label, label != "no_tumor", cluster, cluster, 0)


def test_three_tumours_are_counted_by_slice_by_patient_and_by_site():
    """One patient has three slices, of which one is read surely and wrongly; the others have one each."""
    rows = [
        # patient, number of the file (from 1841 on it is the second hospital's), truth, glioma, meningioma
        ("a", 1, "glioma", 0.9, 0.0),
        ("a", 2, "glioma", 0.9, 0.0),
        ("a", 3, "glioma", 0.1, 0.8),
        ("b", 4, "meningioma", 0.1, 0.6),
        ("c", 1900, "glioma", 0.2, 0.5),
    ]
    slices = [slice_at(f"figshare/{number}.png", label, cluster=name) for name, number, label, *_ in rows]
    probabilities = np.array([[glioma, other, 0.05, 0.95 - glioma - other] for *_, glioma, other in rows])
    found = three_tumors(slices, probabilities)
    assert found["slices"] == 5
    assert found["metrics"]["accuracy"]["value"] == pytest.approx(3 / 5)
    of_patients = found["by_patient"]
    assert (of_patients["slices"], of_patients["clusters"]) == (3, 3)
    assert of_patients["metrics"]["accuracy"]["value"] == pytest.approx(2 / 3)
    assert of_patients["metrics"]["recall/glioma"]["value"] == pytest.approx(1 / 2)
    first, second = (found["by_site"][f"figshare, {site} hospital"] for site in ("first", "second"))
    assert first["glioma"]["metrics"]["sensitivity"]["value"] == pytest.approx(2 / 3)
    assert first["meningioma"]["metrics"]["sensitivity"]["value"] == 1
    assert second["glioma"]["metrics"]["sensitivity"]["value"] == 0


def test_maps_are_measured_in_each_source():
    """In one source the map peaks in the box, in the other beside it."""
    maps = np.full((2, 14, 14, len(CLASSES)), -0.1, np.float32)
    maps[:, 3, 3, 0] = 1
    boxes = [np.array([[x, x, 40, 40]], np.float32) for x in (56, 180)]
    slices = [
        slice_at(f"{source}/1.png", "glioma", cluster=source, source=source) for source in ("figshare", "lgg")
    ]
    found = map_in_box(Readings(slices, maps, np.full(2, 0.5, np.float32), boxes))
    assert found["metrics"]["pointing"]["value"] == 0.5
    of_source = {
        source: entry["metrics"]["pointing"]["value"] for source, entry in found["by_source"].items()
    }
    assert of_source == {"figshare": 1, "lgg": 0}


def test_slices_whose_label_a_mass_contradicts_are_measured_both_ways(monkeypatch):
    monkeypatch.setattr("brat.evaluation.protocols.shows_mass", {"a mass"}.__contains__)
    slices = [
        slice_at("a tumour", "glioma", "one", "br35h"),
        slice_at("a mass", "no_tumor", "two", "br35h"),
        slice_at("healthy", "no_tumor", "three", "br35h"),
        slice_at("another", "no_tumor", "four", "br35h"),
    ]
    none = np.array([0.1, 0.2, 0.9, 0.9])
    probabilities = np.column_stack([1 - none, 0 * none, 0 * none, none])
    measured = same_source(slices, probabilities)
    assert (measured["slices"], measured["without_masses"]["slices"]) == (4, 3)
    assert measured["metrics"]["specificity"]["value"] == pytest.approx(2 / 3)
    assert measured["without_masses"]["metrics"]["specificity"]["value"] == 1
    assert "without_masses" not in same_source([slices[0], *slices[2:]], probabilities[[0, 2, 3]])
