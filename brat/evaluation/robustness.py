"""How accuracy holds when a scan is changed a little, see `brat.perturb.changes`.

The scan itself is changed, and then goes the usual way.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from brat.classes import CLASSES
from brat.data.index import IndexedSlice
from brat.evaluation.metrics import means, with_intervals
from brat.io.read import read_scan
from brat.model.classifier import Classifier
from brat.model.preprocess import prepare
from brat.perturb.changes import CHANGES


def measure(models: Sequence[tuple[Path, Sequence[IndexedSlice]]]) -> dict[str, dict]:
    """Measure accuracy over the four classes at every level of every change.

    Args:
        models: folders of models, each with slices of known class that it has not seen.

    Returns:
        For each of `CHANGES`: `unit`, `levels`, and `accuracy`: for each level an estimate with its interval.
    """
    right: dict[tuple[str, int], list[bool]] = {
        (name, level): [] for name, change in CHANGES.items() for level in range(len(change.levels))
    }
    clusters = [s.cluster for _, slices in models for s in slices]
    with tqdm(total=len(clusters), desc="changing slices", unit="slice", disable=None) as bar:
        for folder, slices in models:
            classifier = Classifier(folder)
            for s in slices:
                gray = read_scan(s.path).gray
                truth = CLASSES.index(s.label)
                for name, change in CHANGES.items():
                    for position, level in enumerate(change.levels):
                        prediction = classifier.predict(prepare(change.apply(gray, level))[0])
                        right[name, position].append(bool(prediction.probabilities.argmax() == truth))
                bar.update()
    return {
        name: {
            "unit": change.unit,
            "levels": list(change.levels),
            "accuracy": [_accuracy(right[name, k], clusters) for k in range(len(change.levels))],
        }
        for name, change in CHANGES.items()
    }


def _accuracy(right: Sequence[bool], clusters: Sequence[str]) -> dict[str, float | None]:
    return with_intervals(means({"accuracy": np.array(right, float)}), clusters)["accuracy"]
