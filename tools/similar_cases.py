"""Would the nearest slices of figshare help where an answer is wrong? Prints a table for docs/experiments.md.

Asked are slices of the fold that the model was not trained on; their neighbours are figshare slices of other
patients, of the other folds. Near is by the cosine of the pooled features.

    python -m tools.similar_cases --data index.csv --weights runs/fold-0
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from brat.classes import CLASSES
from brat.data.index import IndexedSlice, fingerprint, read_index, split
from brat.data.sources import FIGSHARE
from brat.data.trained_on import card_for
from brat.evaluation.metrics import means, with_intervals
from brat.io.read import read_scan
from brat.model.classifier import Prediction
from brat.model.reader import Reader

NEIGHBOURS = 5


def nearest(asked: np.ndarray, known: np.ndarray, count: int = NEIGHBOURS) -> np.ndarray:
    """The rows of `known` that are nearest to each row of `asked`, int (n, count), the nearest first.

    Args:
        asked, known: features, float (n, k) and (m, k).
    """
    asked, known = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (asked, known))
    return np.argsort(-(asked @ known.T), axis=1, kind="stable")[:, :count]


def measure(
    clusters: Sequence[str], truth: np.ndarray, read: np.ndarray, doubts: np.ndarray, labels: np.ndarray
) -> dict[str, dict]:
    """What neighbours say where the answer is wrong and where it is right, with intervals by cluster.

    Args:
        truth, read: str (n,), the class of each slice and the one that the model reads.
        doubts: float (n,), one minus the probability of the answer.
        labels: str (n, k), of the neighbours, the nearest first.
    """
    from sklearn.metrics import roc_auc_score

    # Of several that are as common, the nearest one's.
    commonest = np.array([Counter(row).most_common(1)[0][0] for row in labels.tolist()])
    against = (labels != read[:, np.newaxis]).mean(axis=1)
    wrong = read != truth
    where = {"wrong": wrong, "right": ~wrong}
    says = {
        "the true class": commonest == truth,
        "the answer's class": commonest == read,
        "all five the answer's class": against == 0,
    }
    names = np.asarray(clusters)
    measured = {
        f"{name}: {title}": entry
        for name, rows in where.items()
        for title, entry in with_intervals(
            means({title: values[rows] for title, values in says.items()}), names[rows].tolist()
        ).items()
    }

    def found(weights: np.ndarray) -> dict[str, float]:
        both = weights[wrong].sum() and weights[~wrong].sum()
        return {
            f"AUC of wrong answers by {name}": roc_auc_score(wrong, scores, sample_weight=weights)
            if both
            else float("nan")
            for name, scores in (("probability", doubts), ("neighbours", against))
        }

    return {**measured, **with_intervals(found, clusters)}


def _read(reader: Reader, slices: Sequence[IndexedSlice]) -> list[Prediction]:
    return [reader.read(read_scan(s.path).gray).prediction for s in tqdm(slices, desc="reading")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, metavar="INDEX.csv")
    parser.add_argument(
        "--weights", required=True, type=Path, metavar="DIR", help="of a fold that is held out"
    )
    options = parser.parse_args()
    slices = read_index(options.data)
    card = card_for(options.weights, options.data, fingerprint(slices))
    if card["test_fold"] is None:
        parser.error(f"the model in {options.weights} has no test fold: name the folder of a fold's model")
    parts = split(slices, card["test_fold"], None, card.get("held_out", ()))
    reader = Reader(options.weights)
    asked = [s for s in parts.test if s.label]
    known = [s for s in parts.train if s.source == FIGSHARE.name]
    answers = _read(reader, asked)
    features = np.stack([prediction.features for prediction in _read(reader, known)])
    rows = nearest(np.stack([prediction.features for prediction in answers]), features)
    labels = np.array([s.label for s in known])[rows]
    truth, read = np.array([s.label for s in asked]), np.array([answer.label for answer in answers])
    doubts = np.array([1 - answer.confidence for answer in answers])
    print(f"model {reader.classifier.digest[:8]}, {len(known)} figshare slices as neighbours")
    sources = sorted({s.source for s in asked})
    for title, of in [("all sources", sources), *((source, [source]) for source in sources)]:
        mine = np.array([s.source in of for s in asked])
        clusters = [s.cluster for s in asked if s.source in of]
        wrong = (read != truth)[mine]
        if not 0 < wrong.sum() < len(wrong):
            continue
        count = len({c for c, is_wrong in zip(clusters, wrong, strict=True) if is_wrong})
        print(f"\n{title}: {len(wrong)} slices, {wrong.sum()} read wrong, of {count} clusters")
        of_tumour = np.isin(truth[mine], CLASSES[:3]).mean()
        print(f"  of a tumour                                    {of_tumour:.3f}")
        entries = measure(clusters, truth[mine], read[mine], doubts[mine], labels[mine])
        for name, entry in entries.items():
            print(f"  {name:46} {entry['value']:.3f}  ({entry['low']:.3f} to {entry['high']:.3f})")


if __name__ == "__main__":
    main()
