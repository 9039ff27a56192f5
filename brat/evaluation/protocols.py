"""Protocols: sets of slices, and the metrics that are measured on each -> metrics.json.

The entry of a protocol holds its title, a sentence on what it measures, its numbers of slices and clusters,
and its metrics with their intervals (see `brat.evaluation.metrics`).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from brat.classes import CLASSES
from brat.data.index import IndexedSlice, fingerprint, read_index
from brat.data.near_duplicates import hashes, is_known, thumbnails
from brat.data.sources import shows_mass, source_for
from brat.data.trained_on import read_hashes
from brat.evaluation.localisation import localisation
from brat.evaluation.metrics import NO_TUMOR, classification, detection, entry, means
from brat.evaluation.readings import Readings, read_slices
from brat.evaluation.stacks import stack_protocols
from brat.model.calibration import softmax
from brat.model.classifier import Classifier
from brat.model.files import ModelFolder
from brat.model.reader import Reader

TUMORS = CLASSES[:NO_TUMOR]


def evaluate(data: str | Path, weights: str | Path, fold: int) -> dict:
    """Measure a model on a fold that it was not trained on and write `metrics.json` beside its weights.

    Args:
        data: an index file or a folder, see `brat.data.index.read_index`.
        weights: the folder of the model, with its `model_card.json` and `history.csv`.
        fold: the fold to test on.

    Returns:
        The content of `metrics.json`.

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
    # A model without one source has learned from the others in every fold.
    unseen = card.get("test_fold")
    if fold != unseen:
        raise ValueError(
            f"The model in {weights} was trained on fold {fold}. It can be measured on "
            f"{'no fold' if unseen is None else f'fold {unseen} alone'}."
        )
    classifier = Classifier(weights)
    readings = read_slices(classifier, [s for s in slices if s.fold == fold])
    results = {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "data_fingerprint": prints,
        "model_sha256": classifier.digest,
        "folds": [fold],
        "protocols": protocols(readings, softmax(readings.logits)),
        "history": read_history(weights),
    }
    write_json(results, weights / "metrics.json")
    return results


def evaluate_elsewhere(data: str | Path, weights: str | Path, source: str) -> dict:
    """Measure a model on a source that it was not trained on, and add it to `metrics.json`.

    The probabilities are those that the app shows, calibrated where the folder has a calibration. What is
    nearly the same as a slice that the model was trained on is left out, where the folder has the hashes of
    these (`brat hashes`).

    Args:
        data: an index file with slices of the source.
        weights: the folder of the model, with its `model_card.json`.
        source: the name of the source in the index.

    Returns:
        What `metrics.json` gets as `another_hospital/SOURCE`: `without`, the protocols that the source has
        slices for, and `left_out`, the number of slices that were left out.

    Raises:
        ValueError: the model was trained on the source; the index has no slice of it, or all are left out; or
            `metrics.json` lacks the model's own figures, without which the pages show none.
        ModelError: the model or the hashes beside it are damaged, or are not those of its folder's manifest.
    """
    weights = Path(weights)
    card = json.loads((weights / "model_card.json").read_text())
    learned = card
    while learned:
        # What it went on from has learned, too.
        if source in learned.get("sources", ()):
            raise ValueError(f"The model in {weights} was trained on {source}.")
        learned = learned.get("start_from")
    slices = [s for s in read_index(data) if s.source == source]
    if not slices:
        raise ValueError(f"{data} has no slice of {source!r}.")
    path = weights / "metrics.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    if "protocols" not in results:
        raise ValueError(
            f"{path} has no figures of the model's own yet. Measure them first: `brat evaluate --fold`, or "
            "`brat results`."
        )
    reader = Reader(weights)
    of_source, known = len(slices), read_hashes(ModelFolder(weights))
    if known is not None:
        copies = is_known(hashes(thumbnails([s.path for s in slices])), known)
        slices = [s for s, copy in zip(slices, copies, strict=True) if not copy]
    if not slices:
        raise ValueError(
            f"Every slice of {source!r} is nearly the same as one that the model was trained on."
        )
    readings = read_slices(reader.classifier, slices)
    temperature = reader.calibration.temperature if reader.calibration else 1.0
    measured = protocols(readings, softmax(readings.logits, temperature))
    added = {"without": measured, "left_out": of_source - len(slices)}
    results.setdefault("another_hospital", {})[source] = added
    write_json(results, path)
    return added


def write_json(content: dict, path: Path) -> None:
    """Write a JSON file; raises ValueError for NaN, which JSON does not know."""
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def summary(results: dict) -> str:
    """The README's table of the model's results, in Markdown, from the content of `metrics.json`."""
    entries = results["protocols"]

    rows = [
        (
            "Four classes, all sources",
            "four_classes",
            (("accuracy", "accuracy"), ("balanced accuracy", "balanced_accuracy")),
        ),
        (
            "Tumour or none, one source",
            "same_source",
            (("sensitivity", "sensitivity"), ("specificity", "specificity")),
        ),
        ("Three tumours, one source", "three_tumors", (("balanced accuracy", "balanced_accuracy"),)),
        ("Map's peak in the tumour's box", "localisation", (("of correctly read slices", "pointing"),)),
    ]
    lines = [
        "| on patients that the model has not seen | with 95 % intervals | slices |",
        "|---|---|---|",
        *(
            f"| Another hospital ({source}): {entry['title']} | {figures} | {entry['slices']:,} |"
            for source, measured in results.get("another_hospital", {}).items()
            for entry, figures in _elsewhere(measured["without"])
        ),
    ]
    for title, key, names in rows:
        if key in entries:
            figures = ", ".join(f"{word} {_estimate(entries[key], name)}" for word, name in names)
            lines.append(f"| {title} | {figures} | {entries[key]['slices']:,} |")
    return "\n".join(lines)


def _elsewhere(measured: dict) -> Iterator[tuple[dict, str]]:
    """Entries of a hospital that was not trained on, and their figures: whole stacks, or what there is."""
    words = {"sensitivity": "sensitivity", "specificity_brain": "specificity in the brain"}
    shown = [(found, words) for key, found in measured.items() if key.startswith("stacks_")]
    if not shown and "same_source" in measured:
        words = {"sensitivity": "sensitivity", "specificity": "specificity"}
        shown = [(measured["same_source"], words)]
    elif not shown and "four_classes" in measured:
        shown = [(measured["four_classes"], {"accuracy": "accuracy"})]
    for found, words in shown:
        yield found, ", ".join(f"{word} {_estimate(found, name)}" for name, word in words.items())


def _estimate(entry: dict, name: str) -> str:
    value, low, high = (entry["metrics"][name][key] for key in ("value", "low", "high"))
    return f"{value:.1%} ({low:.1%} to {high:.1%})".replace("%", " %")


def read_history(folder: Path) -> list[dict[str, float]]:
    """The curves of a training run: one record for each epoch, from `history.csv`."""
    with (folder / "history.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    return [{k: float(v) for k, v in row.items() if v not in ("", "NA")} for row in rows]


def protocols(readings: Readings, probabilities: np.ndarray) -> dict[str, dict]:
    """Every protocol that the readings have slices for.

    Args:
        readings: of slices that the model has not seen.
        probabilities: float (n, 4), of these readings.
    """
    slices = readings.slices

    known = _rows(slices, lambda s: bool(s.label))
    one_source, tumors = same_source_rows(slices), three_tumors_rows(slices)
    read = probabilities.argmax(axis=1)
    boxed = np.array([row for row, s in enumerate(slices) if s.boxes and s.allowed[read[row]]], int)
    candidates = {
        "four_classes": (
            "Four classes",
            "Slices whose class is known, from every source.",
            lambda: four_classes([slices[row] for row in known], probabilities[known]),
            len(known) > 0,
        ),
        "same_source": (
            "Tumour or none, one source",
            f"Slices of {source_for('same_source')} with and without a tumour: "
            "recognising the scanner does not help here.",
            lambda: same_source([slices[row] for row in one_source], probabilities[one_source]),
            len({slices[row].tumor for row in one_source}) == 2,
        ),
        "three_tumors": (
            "Three tumours, one source",
            f"Slices of {source_for('three_tumors')}, the answer taken among the three tumours only.",
            lambda: three_tumors([slices[row] for row in tumors], probabilities[tumors]),
            len(tumors) > 0,
        ),
        "localisation": (
            "Map against tumour box",
            "Grad-CAM on correctly read slices in which a box was drawn round the tumour.",
            lambda: map_in_box(readings.take(boxed)),
            len(boxed) > 0,
        ),
    }
    entries = {
        name: {"title": title, "what": description, **measure()}
        for name, (title, description, measure, has_slices) in candidates.items()
        if has_slices
    }
    return {**entries, **stack_protocols(slices, probabilities)}


def four_classes(slices: Sequence[IndexedSlice], probabilities: np.ndarray) -> dict:
    """Metrics of the four classes; `by_site` holds the sensitivity for each class at each site."""
    labels = np.array([CLASSES.index(s.label) for s in slices])
    overall = entry(slices, lambda weights: classification(labels, probabilities, weights))
    return {**overall, "by_site": _by_site(slices, probabilities.argmax(axis=1) == labels)}


def _by_site(slices: Sequence[IndexedSlice], right: np.ndarray) -> dict[str, dict]:
    """Site -> class -> how often its slices are read as what they are. Args: right: bool (n,)."""
    by_site: dict[str, dict] = {}
    for site, label in sorted({(s.site, s.label) for s in slices}):
        rows = [row for row, s in enumerate(slices) if (s.site, s.label) == (site, label)]
        chosen = [slices[row] for row in rows]
        by_site.setdefault(site, {})[label] = entry(chosen, means({"sensitivity": right[rows]}))
    return by_site


def same_source(slices: Sequence[IndexedSlice], probabilities: np.ndarray) -> dict:
    """Metrics of tumour against none.

    Where `brat.data.sources.shows_mass` contradicts labels, `without_masses` has the same metrics without
    these slices; the difference of the two numbers of slices is how many they are.
    """
    measured = _detection(slices, probabilities)
    rows = _rows(slices, lambda s: not shows_mass(s.file))
    if len(rows) < len(slices):
        measured["without_masses"] = _detection([slices[row] for row in rows], probabilities[rows])
    return measured


def _detection(slices: Sequence[IndexedSlice], probabilities: np.ndarray) -> dict:
    tumor = np.array([s.tumor for s in slices], bool)
    return entry(slices, lambda weights: detection(tumor, probabilities, weights))


def three_tumors(slices: Sequence[IndexedSlice], probabilities: np.ndarray) -> dict:
    """Metrics of the three tumour classes, given that there is a tumour.

    `by_site` is as of `four_classes`; `by_patient` has the same metrics of patients, each of whom is read by
    the mean of the probabilities of all slices with one tumour.
    """
    labels = np.array([TUMORS.index(s.label) for s in slices])
    given = among_tumors(probabilities)
    first: dict[tuple[str, str], int] = {}
    patient = np.array([first.setdefault((s.cluster, s.label), len(first)) for s in slices], int)
    one_each = np.unique(patient, return_index=True)[1]
    sums = np.stack([np.bincount(patient, column) for column in given.T], axis=1)
    of_patients = sums / np.bincount(patient)[:, np.newaxis]
    return {
        **entry(slices, lambda weights: classification(labels, given, weights, TUMORS)),
        "by_site": _by_site(slices, given.argmax(axis=1) == labels),
        "by_patient": entry(
            [slices[row] for row in one_each],
            lambda weights: classification(labels[one_each], of_patients, weights, TUMORS),
        ),
    }


def same_source_rows(slices: Sequence[IndexedSlice]) -> np.ndarray:
    """int (k,): rows of the slices on which tumour against none is measured."""
    source = source_for("same_source")
    return _rows(slices, lambda s: s.source == source)


def three_tumors_rows(slices: Sequence[IndexedSlice]) -> np.ndarray:
    """int (k,): rows of the slices on which the three tumours are measured."""
    source = source_for("three_tumors")
    return _rows(slices, lambda s: s.source == source and s.label in TUMORS)


def _rows(slices: Sequence[IndexedSlice], wanted: Callable[[IndexedSlice], bool]) -> np.ndarray:
    return np.array([row for row, s in enumerate(slices) if wanted(s)], int)


def among_tumors(probabilities: np.ndarray) -> np.ndarray:
    """float (n, 4) -> (n, 3): the probabilities of the tumours, given that there is a tumour."""
    tumors = probabilities[:, :NO_TUMOR]
    return tumors / tumors.sum(axis=1, keepdims=True)


def map_in_box(readings: Readings) -> dict:
    """How well Grad-CAM points at the tumour, see `brat.evaluation.localisation`; `by_source` holds the same
    of each source.
    """
    measured = localisation(readings)
    by_source = {}
    for source in sorted({s.source for s in readings.slices}):
        rows = [row for row, s in enumerate(readings.slices) if s.source == source]
        of_source = {name: values[rows] for name, values in measured.items()}
        by_source[source] = entry([readings.slices[row] for row in rows], means(of_source))
    return {**entry(readings.slices, means(measured)), "by_source": by_source}
