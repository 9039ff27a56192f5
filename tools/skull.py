"""What the skull does to the answers: slices of each fold with it and without, read by the fold's own model.

Taken are the slices in which a brain can be told from the rest; with a tumour, those where it is outlined and
stays in the brain. Prints a table for docs/experiments.md, and writes every probability.

    python -m tools.skull --data index.csv --runs runs --out without-skull.csv
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from brat.classes import CLASSES
from brat.data.index import FOLDS, IndexedSlice, fingerprint, read_index
from brat.data.trained_on import card_for
from brat.evaluation.metrics import NO_TUMOR, means, with_intervals
from brat.io.read import read_scan
from brat.model.classifier import Classifier
from brat.model.preprocess import frame, to_input
from brat.perturb.skull import without_skull
from brat.training.batches import KEPT, draw_tumor
from brat.wording import decimal


def pairs(slices: Sequence[IndexedSlice]) -> Iterator[tuple[IndexedSlice, np.ndarray, np.ndarray]]:
    """Each slice whose skull can be removed, framed as it is and without, uint8 (size, size) each."""
    for s in slices:
        gray = read_scan(s.path).gray
        brain = without_skull(gray)
        if brain is not None and (not s.tumor or _keeps_tumor(brain, s)):
            yield s, frame(gray)[0], frame(brain)[0]


def _keeps_tumor(brain: np.ndarray, s: IndexedSlice) -> bool:
    height, width = brain.shape
    tumor = np.zeros_like(brain)
    for x, y, across, down in s.boxes:
        draw_tumor(tumor, (x * width, y * height, across * width, down * height))
    return bool(tumor.any()) and np.count_nonzero(brain[tumor > 0]) >= KEPT * np.count_nonzero(tumor)


def measure(slices: Sequence[IndexedSlice], probabilities: np.ndarray) -> dict[str, dict[str, dict]]:
    """Of slices with a tumour how many are found, of the others how many are called free, with intervals.

    Args:
        probabilities: float (n, 2, 4), of each slice with its skull and without.

    Returns:
        `{"found": {"with skull": ..., "without": ...}, "specificity": ...}`, by `with_intervals`.
    """
    has_tumor = np.array([s.tumor for s in slices])
    calls_none = probabilities.argmax(axis=2) == NO_TUMOR
    measured = {}
    for name, rows, right in (("found", has_tumor, ~calls_none), ("specificity", ~has_tumor, calls_none)):
        if rows.any():
            both = {"with skull": right[rows, 0], "without": right[rows, 1]}
            clusters = [s.cluster for s, is_one in zip(slices, rows, strict=True) if is_one]
            measured[name] = with_intervals(means(both), clusters)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, metavar="INDEX.csv")
    parser.add_argument("--runs", required=True, type=Path, metavar="DIR", help="of `brat crossval`")
    parser.add_argument("--folds", type=int, nargs="+", default=range(FOLDS), metavar="K")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.csv")
    options = parser.parse_args()
    slices = read_index(options.data)
    prints = fingerprint(slices)
    taken, read = [], []
    for fold in options.folds:
        run = options.runs / f"fold-{fold}"
        if card_for(run, options.data, prints)["test_fold"] != fold:
            parser.error(f"the model in {run} has learned from fold {fold}")
        classifier = Classifier(run)
        of_fold = [s for s in slices if s.fold == fold]
        for s, *both in pairs(tqdm(of_fold, desc=f"fold {fold}", disable=None)):
            taken.append(s)
            read.append([classifier.predict(to_input(framed)).probabilities for framed in both])
    probabilities = np.array(read)
    with options.out.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(["path", "fold", "tumor", "skull", *CLASSES])
        for s, rows in zip(taken, probabilities, strict=True):
            for skull, row in zip(("with", "without"), rows, strict=True):
                writer.writerow([s.file, s.fold, int(s.tumor), skull, *(f"{p:.6f}" for p in row)])
    groups = np.array([f"{s.source} {s.sequence}".strip() for s in taken])
    for title in ["all", *sorted(set(groups))]:
        rows = np.flatnonzero((groups == title) | (title == "all"))
        print(f"\n{title}: {len(rows)} slices")
        for name, entries in measure([taken[row] for row in rows], probabilities[rows]).items():
            for skull, entry in entries.items():
                print(f"  {name:12} {skull:11} {decimal(entry)}")


if __name__ == "__main__":
    main()
