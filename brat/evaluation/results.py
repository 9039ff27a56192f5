"""All results of a cross-validated model, from the readings of its runs -> the files in `weights/`.

Nothing is trained here. Measurements that take minutes (changed slices, slow maps) are kept beside the runs
and reused.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
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
from brat.data.sources import shows_ct, source_for
from brat.data.trained_on import trained_on
from brat.evaluation import robustness
from brat.evaluation.crossval import deal_at_random, pooled, write_out_of_fold
from brat.evaluation.fit_calibration import fit_calibration, fit_cautious_temperature
from brat.evaluation.fit_out_of_distribution import (
    appearances_of,
    appearances_of_slices,
    choose_limit,
    choose_slices,
    fit_detector,
    with_copies,
    with_limit,
)
from brat.evaluation.localisation import compare_methods
from brat.evaluation.metrics import NO_TUMOR, means, with_intervals
from brat.evaluation.other_images import OUTSIDE_KINDS, as_seen, other_images, outside_images
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
from brat.model.files import CALIBRATION, DETECTOR, KERAS, ModelFolder, update_manifest
from brat.model.out_of_distribution import OodDetector

CURVE_POINTS = 100
"""Points of a curve, at most."""

MAPPED_A_FOLD = 5
"""Slices of each fold whose maps are made in every way: Score-CAM takes 10 to 20 s for one."""

CHANGED_A_FOLD = 120
"""Slices of each fold that are changed in every way."""

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
    readings = pooled(runs, slices, _folds(runs))
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
    # Patients whom the model was never to meet are not met by its thresholds, either.
    is_met = np.array([s.group not in card.get("held_out", ()) for s in readings.slices])
    met = is_met[known]
    fitted = fit_calibration(logits[known][met], labels[met], prints, np.array(groups)[met].tolist())
    fitted.save(weights / "calibration.json")
    probabilities = _calibrated(logits, folds, known, labels, np.array(groups))

    by_protocol = protocols(readings, probabilities)
    others = [*other_images(), *(outside_images(Path(outside)) if outside else ())]
    results = {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "data_fingerprint": prints,
        "model_sha256": Classifier(weights).digest,
        "folds": sorted(set(folds.tolist())),
        "protocols": by_protocol,
        "out_of_distribution": _out_of_distribution(runs, slices, weights, others, is_met),
        "curves": curves(labels, probabilities[known]),
        **_protocol_curves(readings.slices, probabilities, by_protocol),
        "calibration": measure_calibration(logits[known], labels, folds[known], clusters, groups),
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
            "epochs": _epochs(runs / "random"),
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
    `epochs` says how long it was trained.
    """
    measured = {}
    for run in sorted(runs.glob("without-*")):
        if not (run / "readings.npz").exists():
            continue
        source = run.name.removeprefix("without-")
        read = Readings.load(run / "readings.npz", slices)
        rows = np.array([row for row, s in enumerate(unseen.slices) if s.source == source], int)
        measured[source] = {
            "epochs": _epochs(run),
            "without": protocols(read, softmax(read.logits)),
            "with": protocols(unseen.take(rows), probabilities[rows]),
        }
    return measured


def _epochs(run: Path) -> int:
    """How many epochs the model of a run was trained for."""
    # Of a run that is kept without its model there is the plan alone.
    card = next(path for name in ("model_card.json", "plan.json") if (path := run / name).exists())
    return int(json.loads(card.read_text())["recipe"]["epochs"])


def _calibrated(
    logits: np.ndarray, folds: np.ndarray, known: np.ndarray, labels: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """Probabilities, float (n, 4), each fold's by a temperature fitted to the other folds.

    Args:
        known: bool (n,), whether the class is known.
        labels, groups: of those of known class.
    """
    probabilities = np.empty_like(logits)
    for fold in np.unique(folds):
        others = folds[known] != fold
        temperature = fit_cautious_temperature(logits[known][others], labels[others], groups[others])
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


def _out_of_distribution(
    runs: Path,
    slices: Sequence[IndexedSlice],
    weights: Path,
    others: Sequence[tuple[str, str, np.ndarray]],
    is_met: np.ndarray,
) -> dict:
    """Fit the detector of the model that ships, and measure it by what other detectors were not fitted to.

    Each fold's detector knows the slices of the other folds, and other pictures of the other parts only: a
    kind that is drawn by code, or a run of neighbours of a folder, is wholly in one part.

    Args:
        is_met: bool, of each slice of the folds in order, whether the limit may be set by it.
    """
    parts = np.array(_parts(others))
    decisions, judged = [], np.full(len(others), np.nan)
    measured: list[IndexedSlice] = []
    for fold in _folds(runs):
        unseen = Readings.load(runs / f"fold-{fold}" / "readings.npz", slices)
        of_slices, of_others = _decisions(runs, fold, unseen, slices, others, parts)
        decisions.append(of_slices)
        measured += unseen.slices
        judged[parts == fold] = of_others
    decision = np.concatenate(decisions)
    of_fold = np.array([s.fold for s in measured])
    groups = np.array([f"{s.source}/{s.sequence or 'unknown'}" for s in measured])
    heads = np.array([not shows_ct(s.file) for s in measured])
    refused = np.zeros(len(measured))
    for fold in _folds(runs):
        fitted = heads & (of_fold != fold)
        limit = choose_limit(decision[fitted], groups[fitted])
        refused[of_fold == fold] = decision[of_fold == fold] > limit
    limit = choose_limit(decision[heads & is_met], groups[heads & is_met])
    detector, _ = _detector(runs, weights, trained_on(weights, slices), others, np.full(len(others), True))
    with_limit(detector, limit).save(weights / "out_of_distribution.npz")

    refused_by_kind: dict[str, list[bool]] = {}
    for (_, kind, _), value in zip(others, judged, strict=True):
        if np.isnan(value):
            continue
        refused_by_kind.setdefault(kind, []).append(bool(value > limit))
    if not heads.all():
        refused_by_kind["CT within the collections"] = (refused[~heads] > 0).tolist()
    return {
        "limit": limit,
        "slices": int(heads.sum()),
        "refused": _share(refused[heads], [s for s, is_head in zip(measured, heads, strict=True) if is_head]),
        "refused_by_group": {
            group: {
                "slices": int(rows.sum()),
                **_share(refused[rows], [measured[row] for row in np.flatnonzero(rows)]),
            }
            for group in sorted(set(groups))
            for rows in [heads & (groups == group)]
        },
        "others": {
            kind: {"images": len(refusals), "refused": sum(refusals)}
            for kind, refusals in refused_by_kind.items()
        },
    }


def _folds(runs: Path) -> list[int]:
    """The folds that have been read; there may be fewer than all of them while training goes on.

    Raises:
        FileNotFoundError: there is none.
    """
    folds = [fold for fold in range(FOLDS) if (runs / f"fold-{fold}" / "readings.npz").exists()]
    if not folds:
        raise FileNotFoundError(f"No fold in {runs} has been read: run `brat crossval` first.")
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


def _share(values: np.ndarray, slices: Sequence[IndexedSlice]) -> dict:
    return with_intervals(means({"share": values}), [s.cluster for s in slices])["share"]


def _decisions(
    runs: Path,
    fold: int,
    unseen: Readings,
    slices: Sequence[IndexedSlice],
    others: Sequence[tuple[str, str, np.ndarray]],
    parts: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """What a fold's detector decides of its slices and part of the other pictures; kept beside the run."""
    run = runs / f"fold-{fold}"
    path = run / "decisions.npz"
    if not path.exists():
        learned = without_near_duplicates(split(slices, fold, None)).train
        detector, outside = _detector(runs, run, learned, others, parts != fold)
        of_part = [outside[row][0] for row in np.flatnonzero(parts == fold)]
        np.savez_compressed(
            path,
            slices=detector.decisions(unseen.appearances),
            others=detector.decisions(np.stack(of_part)) if of_part else np.empty(0),
        )
    with np.load(path) as stored:
        return stored["slices"], stored["others"]


def _parts(others: Sequence[tuple[str, str, np.ndarray]]) -> list[int]:
    """Which part each picture belongs to, 0 to 4; neighbours in a folder stay together."""
    of_kind = Counter(kind for _, kind, _ in others)
    large = sorted(kind for kind in of_kind if kind in OUTSIDE_KINDS.values())
    small = sorted(of_kind.keys() - set(large))
    seen: Counter[str] = Counter()
    parts = []
    for _, kind, _ in others:
        parts.append(seen[kind] * FOLDS // of_kind[kind] if kind in large else small.index(kind) % FOLDS)
        seen[kind] += 1
    return parts


def _detector(
    runs: Path,
    folder: Path,
    learned: Sequence[IndexedSlice],
    others: Sequence[tuple[str, str, np.ndarray]],
    is_fitted_to: np.ndarray,
) -> tuple[OodDetector, list[np.ndarray]]:
    """A detector for the model in a folder, and how each other picture and its copies appear to it."""
    classifier = Classifier(folder)
    path = runs / f"appearances-{classifier.digest[:16]}.npz"
    if not path.exists():
        heads = choose_slices([s for s in learned if not shows_ct(s.file)])
        outside = [
            appearances_of(classifier, with_copies(gray, number))
            for number, (_, _, gray) in enumerate(tqdm(others, desc="other pictures", disable=None))
        ]
        np.savez_compressed(path, slices=appearances_of_slices(classifier, heads), others=np.stack(outside))
    with np.load(path) as stored:
        known, outside = stored["slices"], list(stored["others"])
    rows = np.flatnonzero(is_fitted_to).tolist()
    kinds = [as_seen(others[row][1]) for row in rows for _ in outside[row]]
    return fit_detector(known, np.concatenate([outside[row] for row in rows]), kinds), outside


def _robustness(runs: Path, slices: Sequence[IndexedSlice]) -> dict:
    draw = np.random.default_rng(0)
    models = []
    for fold in _folds(runs):
        labelled = [s for s in slices if s.fold == fold and s.label]
        rows = draw.choice(len(labelled), size=min(CHANGED_A_FOLD, len(labelled)), replace=False)
        models.append((runs / f"fold-{fold}", [labelled[row] for row in sorted(rows)]))
    return {"slices": sum(len(chosen) for _, chosen in models), "changes": robustness.measure(models)}


def _maps(runs: Path, slices: Sequence[IndexedSlice]) -> dict:
    """Pointing game and energy of every method on the same slices, correctly read and with a box."""
    draw = np.random.default_rng(0)
    models = []
    for fold in _folds(runs):
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


def _maps_of_all_ways(runs: Path, slices: Sequence[IndexedSlice]) -> dict:
    """`maps`, measured or kept; nothing of models in int8, which have no gradients."""
    kept = runs / "maps.json"
    if not kept.exists() and not all((runs / f"fold-{fold}" / KERAS).exists() for fold in _folds(runs)):
        return {}
    return {"maps": _cached(kept, lambda: _maps(runs, slices))}


def _cached(path: Path, measure: Callable[[], dict]) -> dict:
    if not path.exists():
        write_json(measure(), path)
    return json.loads(path.read_text())
