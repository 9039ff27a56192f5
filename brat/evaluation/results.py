"""All results of a cross-validated model, from the readings of its runs -> the files in `weights/`.

Nothing is trained here. Measurements that take minutes (changed slices, slow maps) are kept beside the runs
and reused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from tqdm import tqdm

from brat.classes import CLASSES
from brat.data.audit import audit
from brat.data.index import (
    FOLDS,
    IndexedSlice,
    Split,
    fingerprint,
    read_index,
    split,
    without_near_duplicates,
)
from brat.data.near_duplicates import near_duplicate_share
from brat.data.sources import source_for
from brat.evaluation import robustness
from brat.evaluation.crossval import deal_at_random, pooled, write_out_of_fold
from brat.evaluation.fit_calibration import fit_calibration, fit_temperature
from brat.evaluation.fit_out_of_distribution import (
    choose_limit,
    describe_copies,
    fit_detector,
    out_of_fold_distances,
)
from brat.evaluation.localisation import compare_methods
from brat.evaluation.metrics import NO_TUMOR, means, with_intervals
from brat.evaluation.other_images import other_images
from brat.evaluation.protocols import (
    TUMORS,
    among_tumors,
    four_classes,
    protocols,
    read_history,
    same_source_rows,
    three_tumors_rows,
    write_json,
)
from brat.evaluation.readings import Readings, read_slices
from brat.evaluation.reliability import measure_calibration
from brat.io.read import read_scan
from brat.model.calibration import softmax
from brat.model.classifier import Classifier
from brat.model.files import CALIBRATION, DETECTOR, ModelFolder, update_manifest
from brat.model.out_of_distribution import image_facts
from brat.model.preprocess import frame, to_input

CURVE_POINTS = 100
"""Points of a curve, at most."""

MAPPED_A_FOLD = 5
"""Slices of each fold whose maps are made in every way: Score-CAM takes 10 to 20 s for one."""

CHANGED_A_FOLD = 120
"""Slices of each fold that are changed in every way."""

# A path of the machine that measured, and pairs of images that are not ours to show.
_NOT_FOR_THE_PAGE = ("source", "examples", "label_conflicts")


def write_results(data: str | Path, runs: str | Path, weights: str | Path) -> dict:
    """Write `metrics.json`, `calibration.json`, `out_of_distribution.npz` and `out_of_fold.csv` beside the
    weights, and the manifest again.

    Args:
        data: the index file that `runs` was made with.
        runs: the folder of `brat.evaluation.crossval.crossval` and `random_split`.
        weights: the folder of the model that ships, trained with the same recipe.

    Raises:
        FileNotFoundError: a fold has not been run.
        ValueError: the model was trained on other data.
        ModelError: the model is damaged, or is not the one of its folder's manifest.
    """
    runs, weights = Path(runs), Path(weights)
    slices = read_index(data)
    prints = fingerprint(slices)
    card = json.loads((weights / "model_card.json").read_text())
    if card["data_fingerprint"] != prints:
        raise ValueError(f"The model in {weights} was trained on other data than {data}.")
    folder = ModelFolder(weights)
    readings = pooled(runs, slices)
    write_out_of_fold(readings, weights / "out_of_fold.csv")

    logits = readings.logits
    folds = np.array([s.fold for s in readings.slices])
    # Only where the class is known is there something to fit to, or to be right about.
    known = np.array([bool(s.label) for s in readings.slices])
    named = readings.take(np.flatnonzero(known))
    labels = np.array([CLASSES.index(s.label) for s in named.slices])
    clusters = [s.cluster for s in named.slices]
    # Where a slice was made and how: the levels of the prediction sets are to hold in each.
    groups = [f"{s.source}/{s.sequence or 'unknown'}" for s in named.slices]
    fit_calibration(logits[known], labels, prints, groups).save(weights / "calibration.json")
    probabilities = _calibrated(logits, folds, known, labels)

    by_protocol = protocols(readings, probabilities)
    results = {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "data_fingerprint": prints,
        "model_sha256": Classifier(weights).digest,
        "folds": sorted(set(folds.tolist())),
        "protocols": by_protocol,
        "out_of_distribution": _out_of_distribution(runs, slices, weights),
        "curves": curves(labels, probabilities[known]),
        **_protocol_curves(readings.slices, probabilities, by_protocol),
        "calibration": measure_calibration(logits[known], labels, folds[known], clusters, groups),
        "robustness": _cached(runs / "robustness.json", lambda: _robustness(runs, slices)),
        "maps": _cached(runs / "maps.json", lambda: _maps(runs, slices)),
        "audit": {k: v for k, v in audit(data).findings.items() if k not in _NOT_FOR_THE_PAGE},
        "history": read_history(weights),
    }
    update_manifest(folder, (CALIBRATION, DETECTOR))
    if (runs / "random" / "readings.npz").exists():
        parts = deal_at_random(Path(data), card["recipe"]["seed"])
        dealt = Readings.load(runs / "random" / "readings.npz", parts.test)
        epochs = json.loads((runs / "random" / "model_card.json").read_text())["recipe"]["epochs"]
        by_protocol["random_split"] = {
            "epochs": epochs,
            **_random_split(parts, dealt, readings, probabilities),
        }
        dealt_labels = np.array([CLASSES.index(s.label) for s in dealt.slices])
        results["curves_random_split"] = curves(dealt_labels, softmax(dealt.logits))
    if elsewhere := _another_hospital(runs, slices, readings, probabilities):
        results["another_hospital"] = elsewhere
    files = ("calibration.json", "out_of_distribution.npz", "out_of_fold.csv")
    results["files"] = {name: hashlib.sha256((weights / name).read_bytes()).hexdigest() for name in files}
    write_json(results, weights / "metrics.json")
    return results


def _another_hospital(
    runs: Path, slices: Sequence[IndexedSlice], unseen: Readings, probabilities: np.ndarray
) -> dict[str, dict]:
    """For each source that a model was trained without: what it reads there, and what cross-validation does.

    Both are measured on the same slices. The second is what it gains to have a hospital's own patients in
    training. Probabilities of the first are not calibrated, as there is nothing to calibrate to.
    """
    measured = {}
    for run in sorted(runs.glob("without-*")):
        if not (run / "readings.npz").exists():
            continue
        source = run.name.removeprefix("without-")
        read = Readings.load(run / "readings.npz", slices)
        rows = np.array([row for row, s in enumerate(unseen.slices) if s.source == source], int)
        measured[source] = {
            "without": protocols(read, softmax(read.logits)),
            "with": protocols(unseen.take(rows), probabilities[rows]),
        }
    return measured


def _calibrated(logits: np.ndarray, folds: np.ndarray, known: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Probabilities, float (n, 4), each fold's by a temperature fitted to the other folds."""
    probabilities = np.empty_like(logits)
    for fold in np.unique(folds):
        others = folds[known] != fold
        temperature = fit_temperature(logits[known][others], labels[others])
        probabilities[folds == fold] = softmax(logits[folds == fold], temperature)
    return probabilities


def _random_split(parts: Split, dealt: Readings, unseen: Readings, unseen_probabilities: np.ndarray) -> dict:
    """The random split, and the same test images read by models that have not seen their patients."""
    row_of = {s.path: row for row, s in enumerate(unseen.slices)}
    leak_free = unseen_probabilities[[row_of[s.path] for s in parts.test]]
    seen = [s.path for s in (*parts.train, *parts.validation)]
    return {
        "title": "As in the original work: a random split",
        "what": f"A random tenth of the {source_for('random_split')} names, whatever their patients; "
        "the rest is trained on.",
        "near_duplicates": near_duplicate_share([s.path for s in parts.test], seen),
        **four_classes(parts.test, softmax(dealt.logits)),
        "same_slices_leak_free": four_classes(parts.test, leak_free),
    }


def curves(
    labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str] = CLASSES
) -> dict[str, dict]:
    """ROC and precision-recall curves of the classes that occur, one against the rest, thinned."""
    return {
        name: _binary_curves(labels == k, probabilities[:, k])
        for k, name in enumerate(classes)
        if k in labels
    }


def _protocol_curves(
    slices: Sequence[IndexedSlice], probabilities: np.ndarray, by_protocol: dict
) -> dict[str, dict]:
    """Curves of tumour against none, with the app's operating point, and of the three tumours."""
    result: dict[str, dict] = {}
    if "same_source" in by_protocol:
        rows = same_source_rows(slices)
        tumor = np.array([slices[row].tumor for row in rows], bool)
        measured = by_protocol["same_source"]["metrics"]
        result["curves_same_source"] = {
            **_binary_curves(tumor, 1 - probabilities[rows, NO_TUMOR]),
            "operating_point": {key: measured[key]["value"] for key in ("sensitivity", "specificity")},
        }
    if "three_tumors" in by_protocol:
        rows = three_tumors_rows(slices)
        labels = np.array([TUMORS.index(slices[row].label) for row in rows])
        result["curves_three_tumors"] = curves(labels, among_tumors(probabilities[rows]), TUMORS)
    return result


def _binary_curves(truth: np.ndarray, score: np.ndarray) -> dict:
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_curve

    false, true, _ = roc_curve(truth, score)
    precision, recall, _ = precision_recall_curve(truth, score)
    return {
        "roc": _thin(false, true),
        "precision_recall": _thin(recall[::-1], precision[::-1]),
        "average_precision": float(average_precision_score(truth, score)),
        "prevalence": float(truth.mean()),
    }


def _thin(x: np.ndarray, y: np.ndarray) -> dict[str, list[float]]:
    # As many points along the curve as it has length, so that steep parts keep theirs.
    length = np.concatenate([[0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    rows = np.unique(np.searchsorted(length, np.linspace(0, length[-1], CURVE_POINTS)))
    return {"x": x[rows].round(5).tolist(), "y": y[rows].round(5).tolist()}


def _out_of_distribution(runs: Path, slices: Sequence[IndexedSlice], weights: Path) -> dict:
    """Fit the detector of the model that ships, and measure it: each fold by the limit of the others."""
    facts = {
        s.file: image_facts(frame(read_scan(s.path).gray)[0])
        for s in tqdm(slices, desc="describing slices", unit="slice", disable=None)
    }

    def facts_of(readings: Readings) -> np.ndarray:
        return np.stack([facts[s.file] for s in readings.slices])

    def learned_from(folder: Path, readings: Readings) -> tuple[np.ndarray, np.ndarray]:
        features, changed = _copies(runs, Classifier(folder), readings.slices)
        return np.concatenate([readings.features, features]), np.concatenate([facts_of(readings), changed])

    distances: list[np.ndarray] = []
    folds: list[int] = []
    clusters: list[str] = []
    for fold in range(FOLDS):
        run = runs / f"fold-{fold}"
        seen = Readings.load(run / "train_readings.npz", slices)
        unseen = Readings.load(run / "readings.npz", slices)
        distances.append(out_of_fold_distances(*learned_from(run, seen), unseen.features, facts_of(unseen)))
        folds += [fold] * len(unseen.slices)
        clusters += [s.cluster for s in unseen.slices]
    pooled_distances, of_fold = np.concatenate(distances), np.array(folds)
    refused = np.zeros(len(of_fold))
    for fold in range(FOLDS):
        limit = choose_limit(pooled_distances[of_fold != fold])
        refused[of_fold == fold] = pooled_distances[of_fold == fold] > limit

    classifier = Classifier(weights)
    known = read_slices(classifier, trained_on(weights, slices))
    detector = fit_detector(*learned_from(weights, known), choose_limit(pooled_distances))
    detector.save(weights / "out_of_distribution.npz")
    refused_by_kind: dict[str, list[bool]] = {}
    for _, kind, gray in other_images():
        framed, _ = frame(gray)
        result = detector.judge(classifier.predict(to_input(framed)).features, framed)
        refused_by_kind.setdefault(kind, []).append(not result.in_distribution)
    return {
        "limit": detector.limit,
        "slices": len(refused),
        "refused": with_intervals(means({"share": refused}), clusters)["share"],
        "others": {
            kind: {"images": len(refusals), "refused": sum(refusals)}
            for kind, refusals in refused_by_kind.items()
        },
    }


def _copies(
    runs: Path, classifier: Classifier, slices: Sequence[IndexedSlice]
) -> tuple[np.ndarray, np.ndarray]:
    """`describe_copies` of the slices that a model learned from, kept under the model's hash."""
    path = runs / f"copies-{classifier.digest[:16]}.npz"
    if not path.exists():
        features, facts = describe_copies(classifier, slices)
        np.savez_compressed(path, features=features, facts=facts)
    with np.load(path) as stored:
        return stored["features"], stored["facts"]


def trained_on(weights: Path, slices: Sequence[IndexedSlice]) -> list[IndexedSlice]:
    """The slices that a model was trained on, by its card."""
    card = json.loads((weights / "model_card.json").read_text())
    parts = split(slices, card["test_fold"], card["validation_fold"], card.get("held_out", ()))
    return without_near_duplicates(parts).train


def _robustness(runs: Path, slices: Sequence[IndexedSlice]) -> dict:
    draw = np.random.default_rng(0)
    models = []
    for fold in range(FOLDS):
        labelled = [s for s in slices if s.fold == fold and s.label]
        rows = draw.choice(len(labelled), size=min(CHANGED_A_FOLD, len(labelled)), replace=False)
        models.append((runs / f"fold-{fold}", [labelled[row] for row in sorted(rows)]))
    return {"slices": sum(len(chosen) for _, chosen in models), "changes": robustness.measure(models)}


def _maps(runs: Path, slices: Sequence[IndexedSlice]) -> dict:
    """Pointing game and energy of every method on the same slices, correctly read and with a box."""
    draw = np.random.default_rng(0)
    models = []
    for fold in range(FOLDS):
        run = runs / f"fold-{fold}"
        readings = Readings.load(run / "readings.npz", slices)
        read = readings.logits.argmax(axis=1)
        correct = [row for row, s in enumerate(readings.slices) if s.boxes and s.allowed[read[row]]]
        rows = draw.choice(correct, size=min(MAPPED_A_FOLD, len(correct)), replace=False)
        models.append((run, readings.take(np.sort(rows))))
    clusters = [s.cluster for _, readings in models for s in readings.slices]
    return {
        "slices": len(clusters),
        "methods": {
            method: with_intervals(means(values), clusters)
            for method, values in compare_methods(models).items()
        },
    }


def _cached(path: Path, measure: Callable[[], dict]) -> dict:
    if not path.exists():
        write_json(measure(), path)
    return json.loads(path.read_text())
