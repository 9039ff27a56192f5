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

from brat.classes import CLASSES
from brat.data.audit import audit
from brat.data.index import (
    FOLDS,
    IndexedSlice,
    Split,
    fingerprint,
    read_index,
)
from brat.data.near_duplicates import near_duplicate_share
from brat.data.sources import shows_mass, source_for
from brat.data.trained_on import card_for
from brat.evaluation import robustness
from brat.evaluation.crossval import deal_at_random, plan_of, pooled, write_out_of_fold
from brat.evaluation.fit_calibration import fit_calibration, fit_cautious_temperature
from brat.evaluation.localisation import compare_methods
from brat.evaluation.metrics import NO_TUMOR, means, with_intervals
from brat.evaluation.other_images import other_images, outside_images
from brat.evaluation.out_of_distribution import fit_and_measure
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
from brat.evaluation.readings import Readings
from brat.evaluation.reliability import measure_calibration
from brat.model.calibration import softmax
from brat.model.classifier import Classifier
from brat.model.files import CALIBRATION, DETECTOR, KERAS, MODEL, ModelFolder, update_manifest

CURVE_POINTS = 100
"""Points of a curve, at most."""

MAPPED = 25
"""Slices whose maps are made in every way, shared by the folds: Score-CAM takes 10 to 20 s for one."""

CHANGED = 600
"""Slices that are changed in every way, shared by the folds."""

# A path of the machine that measured, and pairs of images that are not ours to show.
_NOT_FOR_THE_PAGE = ("source", "examples", "label_conflicts")


def write_results(
    data: str | Path, runs: str | Path, weights: str | Path, outside: str | Path | None = None
) -> dict:
    """Write `metrics.json`, `calibration.json`, `out_of_distribution.npz` and `out_of_fold.csv` beside the
    weights, and the manifest again.

    Args:
        data: the index file that `runs` was made with.
        runs: the folder of `brat.evaluation.crossval.crossval` and `random_split`.
        weights: the folder of the model that ships, trained with the same recipe.
        outside: a folder of pictures that must be refused, see `brat.evaluation.other_images.outside_images`.

    Raises:
        FileNotFoundError: no fold has been run.
        ValueError: the model was trained on other data; or that of a fold or without a source on other data,
            on what it holds out, or by another recipe.
        ModelError: the model is damaged, or is not the one of its folder's manifest.
    """
    runs, weights = Path(runs), Path(weights)
    slices = read_index(data)
    prints = fingerprint(slices)
    card = card_for(weights, data, prints)
    for run, holds_out, name in [
        *((runs / f"fold-{fold}", "test_fold", fold) for fold in _folds(runs)),
        *((run, "held_out_source", source) for source, run in _without(runs).items()),
    ]:
        plan = plan_of(run)
        if (plan["data_fingerprint"], plan.get(holds_out), plan["recipe"]) != (prints, name, card["recipe"]):
            raise ValueError(
                f"The run {run.name} in {runs} was made with other data, another side or another recipe than "
                f"the model in {weights}. Run `brat crossval` for it again, in another folder."
            )
    folder = ModelFolder(weights)
    readings = pooled(runs, slices, _folds(runs))
    write_out_of_fold(readings, weights / "out_of_fold.csv")

    logits = readings.logits
    folds = np.array([s.fold for s in readings.slices])
    # Only where the class is known is there something to fit to, or to be right about.
    known = np.array([bool(s.label) for s in readings.slices])
    named = readings.take(np.flatnonzero(known))
    labels = np.array([CLASSES.index(s.label) for s in named.slices])
    clusters = np.array([s.cluster for s in named.slices])
    # A label that a visible mass contradicts says nothing of how sure to be.
    sound = np.array([not shows_mass(s.file) for s in named.slices])
    # Where a slice was made and how: the levels of the prediction sets are to hold in each.
    groups = np.array([f"{s.source}/{s.sequence or 'unknown'}" for s in named.slices])
    # Patients whom the model was never to meet are not met by its thresholds, either.
    never_met = card.get("held_out", ())
    met = np.array([s.group not in never_met for s in named.slices])
    fitted_to = met & sound
    fitted = fit_calibration(logits[known][fitted_to], labels[fitted_to], prints, groups[fitted_to].tolist())
    fitted.save(weights / "calibration.json")
    sound_rows = np.flatnonzero(known)[sound]
    probabilities = _calibrated(logits, folds, sound_rows, labels[sound], groups[sound])

    by_protocol = protocols(readings, probabilities)
    others = [*other_images(), *(outside_images(Path(outside)) if outside else ())]
    results = {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "data_fingerprint": prints,
        "model_sha256": Classifier(weights).digest,
        "folds": sorted(set(folds.tolist())),
        "protocols": by_protocol,
        "out_of_distribution": fit_and_measure(runs, slices, weights, others, never_met),
        "curves": curves(labels, probabilities[known]),
        **_protocol_curves(readings.slices, probabilities, by_protocol),
        "calibration": measure_calibration(
            logits[sound_rows],
            labels[sound],
            folds[sound_rows],
            clusters[sound].tolist(),
            groups[sound].tolist(),
        ),
        "robustness": _cached(runs / "robustness.json", lambda: _robustness(runs, slices)),
        **_maps_of_all_ways(runs, slices),
        "audit": {k: v for k, v in audit(data).findings.items() if k not in _NOT_FOR_THE_PAGE},
        "history": _with_held_out(read_history(weights), runs),
    }
    update_manifest(folder, (CALIBRATION, DETECTOR))
    if (runs / "random" / "readings.npz").exists():
        parts = deal_at_random(Path(data), card["recipe"]["seed"])
        dealt = Readings.load(runs / "random" / "readings.npz", parts.test)
        by_protocol["random_split"] = {
            "epochs": int(plan_of(runs / "random")["recipe"]["epochs"]),
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


def _without(runs: Path) -> dict[str, Path]:
    """Source -> the run without it, of those that have read it."""
    read = sorted(path.parent for path in runs.glob("without-*/readings.npz"))
    return {run.name.removeprefix("without-"): run for run in read}


def _another_hospital(
    runs: Path, slices: Sequence[IndexedSlice], unseen: Readings, probabilities: np.ndarray
) -> dict[str, dict]:
    """For each source that a model was trained without: what it reads there, and what cross-validation does.

    Both are measured on the same slices, those of the folds that have been read; maps on those of them that
    each reads rightly. The second is what it gains to have a hospital's own patients in
    training. Probabilities of the first are not calibrated, as there is nothing to calibrate to.
    """
    measured = {}
    is_read = {s.file for s in unseen.slices}
    for source, run in _without(runs).items():
        read = Readings.load(run / "readings.npz", slices)
        read = read.take([row for row, s in enumerate(read.slices) if s.file in is_read])
        rows = np.array([row for row, s in enumerate(unseen.slices) if s.source == source], int)
        measured[source] = {
            "without": protocols(read, softmax(read.logits)),
            "with": protocols(unseen.take(rows), probabilities[rows]),
        }
    return measured


def _calibrated(
    logits: np.ndarray, folds: np.ndarray, rows: np.ndarray, labels: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """Probabilities, float (n, 4), each fold's by a temperature fitted to the other folds.

    Args:
        rows: int (k,), those whose class is known.
        labels, groups: of these k.
    """
    probabilities = np.empty_like(logits)
    for fold in np.unique(folds):
        others = folds[rows] != fold
        temperature = fit_cautious_temperature(logits[rows][others], labels[others], groups[others])
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


def _folds(runs: Path, holding: str = "readings.npz") -> list[int]:
    """The folds that have been read, or whose folder holds another file.

    There may be fewer than all: while training goes on, or where readings were kept without their model.

    Raises:
        FileNotFoundError: there is none.
    """
    folds = [fold for fold in range(FOLDS) if (runs / f"fold-{fold}" / holding).exists()]
    if not folds:
        raise FileNotFoundError(f"No fold in {runs} has {holding}: run `brat crossval` first.")
    return folds


def _with_held_out(history: list[dict[str, float]], runs: Path) -> list[dict[str, float]]:
    """The curves of the model that ships, with those of held-out slices.

    They are the mean of the folds that recorded them, in as many epochs: the model itself has held out a few
    patients at most, whose curves stand only where no fold has any.
    """
    folds = [read_history(runs / f"fold-{fold}") for fold in _folds(runs)]
    recorded = [f for f in folds if len(f) == len(history) and all("val_loss" in row for row in f)]
    if not recorded:
        return history
    return [
        row | {key: float(np.mean([f[epoch][key] for f in recorded])) for key in ("val_accuracy", "val_loss")}
        for epoch, row in enumerate(history)
    ]


def _robustness(runs: Path, slices: Sequence[IndexedSlice]) -> dict:
    draw = np.random.default_rng(0)
    models = []
    folds = _folds(runs, MODEL)
    for fold in folds:
        labelled = [s for s in slices if s.fold == fold and s.label]
        rows = draw.choice(len(labelled), size=min(CHANGED // len(folds), len(labelled)), replace=False)
        models.append((runs / f"fold-{fold}", [labelled[row] for row in sorted(rows)]))
    return {"slices": sum(len(chosen) for _, chosen in models), "changes": robustness.measure(models)}


def _maps(runs: Path, slices: Sequence[IndexedSlice]) -> dict:
    """Pointing game and energy of every method on the same slices, correctly read and with a box."""
    draw = np.random.default_rng(0)
    models = []
    folds = _folds(runs, KERAS)
    for fold in folds:
        run = runs / f"fold-{fold}"
        readings = Readings.load(run / "readings.npz", slices)
        read = readings.logits.argmax(axis=1)
        boxed = enumerate(readings.slices)
        correct = np.array([row for row, s in boxed if s.boxes and s.allowed[read[row]]], int)
        rows = draw.choice(correct, size=min(MAPPED // len(folds), len(correct)), replace=False)
        models.append((run, readings.take(np.sort(rows))))
    clusters = [s.cluster for _, readings in models for s in readings.slices]
    return {
        "slices": len(clusters),
        "methods": {
            method: with_intervals(means(values), clusters)
            for method, values in compare_methods(models).items()
        },
    }


def _maps_of_all_ways(runs: Path, slices: Sequence[IndexedSlice]) -> dict:
    """`maps`, measured or kept; nothing of models in int8, which have no gradients."""
    kept = runs / "maps.json"
    if not kept.exists() and not any(runs.glob(f"fold-*/{KERAS}")):
        return {}
    return {"maps": _cached(kept, lambda: _maps(runs, slices))}


def _cached(path: Path, measure: Callable[[], dict]) -> dict:
    if not path.exists():
        write_json(measure(), path)
    return json.loads(path.read_text())
