"""Protocols: which slices a model is asked about, and what is reported of them -> metrics.json.

A protocol's entry holds its title, what it measures in a sentence, how many slices and clusters it
counts, and its metrics with their intervals (see `brat.metrics`).
"""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from brat import CLASSES
from brat.classifier import Classifier
from brat.datasets import Slice, fingerprint, read_index
from brat.localisation import localisation
from brat.metrics import classification, detection, mean, softmax, with_intervals
from brat.readings import Readings, read_slices

SAME_SOURCE = "br35h"
"""The source that has slices with and without a tumour, so that recognising the source does not help."""


def evaluate(data: str | Path, weights: str | Path, fold: int) -> dict:
    """Measure a model on a fold that it was not trained on and write `metrics.json` beside its weights.

    Args:
        data: an index file or a folder, see `brat.datasets.read_index`.
        weights: the folder of the model, with its `model_card.json` and `history.csv`.
        fold: the fold to test on.

    Returns:
        What was written.

    Raises:
        ValueError: the model's card says that it was trained on this fold, or on other data.
    """
    weights = Path(weights)
    slices = read_index(data)
    card = json.loads((weights / "model_card.json").read_text())
    prints = fingerprint(slices)
    if card["data_fingerprint"] != prints:
        raise ValueError(
            f"{weights} was trained on other data than {data}: whether fold {fold} was among it is unknown."
        )
    if fold != card["test_fold"]:
        raise ValueError(
            f"The model in {weights} was trained on fold {fold}; it has not seen fold {card['test_fold']}."
        )
    classifier = Classifier(weights)
    readings = read_slices(classifier, [s for s in slices if s.fold == fold])
    report = {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "data_fingerprint": prints,
        "model_sha256": classifier.digest,
        "fold": fold,
        "protocols": report_protocols(readings, softmax(readings.logits)),
        "history": read_history(weights),
    }
    (weights / "metrics.json").write_text(json.dumps(report, indent=1) + "\n")
    return report


def report_protocols(readings: Readings, probabilities: np.ndarray) -> dict[str, dict]:
    """Every protocol that the readings have slices for.

    Args:
        readings: of slices that the model has not seen.
        probabilities: float (n, 4), of these readings.
    """
    protocols = {
        "four_classes": (
            "Four classes",
            "Slices whose class is known, from every source.",
            _classes(readings, probabilities, lambda s: bool(s.label)),
        ),
        "same_source": (
            "Tumour or none, one source",
            f"Slices of {SAME_SOURCE} with and without a tumour: recognising the scanner does not help here.",
            _detection(readings, probabilities, lambda s: s.source == SAME_SOURCE),
        ),
        "localisation": (
            "Map against tumour box",
            "Grad-CAM on correctly read slices in which a box was drawn round the tumour.",
            _localisation(readings, probabilities),
        ),
    }
    return {
        name: {"title": title, "what": what, **entry}
        for name, (title, what, entry) in protocols.items()
        if entry
    }


def read_history(folder: Path) -> list[dict[str, float]]:
    """The training run's curves: one record an epoch, of what `history.csv` knows of it."""
    with (folder / "history.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    return [{k: float(v) for k, v in row.items() if v not in ("", "NA")} for row in rows]


def _classes(readings: Readings, probabilities: np.ndarray, wanted) -> dict | None:
    rows = np.array([wanted(s) for s in readings.slices], bool)
    if not rows.any():
        return None
    chosen = [s for s, row in zip(readings.slices, rows, strict=True) if row]
    labels = np.array([CLASSES.index(s.label) for s in chosen])
    return _entry(chosen, lambda weights: classification(labels, probabilities[rows], weights))


def _detection(readings: Readings, probabilities: np.ndarray, wanted) -> dict | None:
    rows = np.array([wanted(s) for s in readings.slices], bool)
    chosen = [s for s, row in zip(readings.slices, rows, strict=True) if row]
    tumor = np.array([s.tumor for s in chosen], bool)
    if tumor.all() or not tumor.any():
        return None
    return _entry(chosen, lambda weights: detection(tumor, probabilities[rows], weights))


def _localisation(readings: Readings, probabilities: np.ndarray) -> dict | None:
    read = probabilities.argmax(axis=1)
    rows = [row for row, s in enumerate(readings.slices) if s.boxes and s.allowed[read[row]]]
    if not rows:
        return None
    chosen = readings.take(rows)
    measured = localisation(chosen)

    def metric(weights):
        return {name: mean(values, weights) for name, values in measured.items()}

    return _entry(chosen.slices, metric)


def _entry(slices: list[Slice], metric) -> dict:
    clusters = [s.cluster for s in slices]
    return {
        "slices": len(slices),
        "clusters": len(set(clusters)),
        "metrics": with_intervals(metric, clusters),
    }
