"""How a model reads a site's own slices: figures, their difference from those that ship, a recalibration.

Nothing here writes beside a model. Results are plain data, for JSON and for `brat.reports.validation`. No
name of a file is among them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from brat.classes import CLASSES
from brat.data.index import count_classes
from brat.data.labelled import LabelledFile
from brat.evaluation.fit_calibration import fit_calibration
from brat.evaluation.fit_out_of_distribution import REFUSED, choose_limit
from brat.evaluation.metrics import NO_TUMOR, detection, mean, means, with_intervals
from brat.evaluation.protocols import four_classes, same_source
from brat.evaluation.reliability import (
    cross_fitted_sets,
    measure_probabilities,
    measure_sets,
    surprises,
)
from brat.evaluation.site_readings import (
    ANOTHER_CALIBRATION,
    COPY,
    NEAR,
    SEVERAL_SEEN,
    TWO_LABELS,
    UNSURE_OF,
    ModelOutputs,
    SiteReadings,
    read_site,
)
from brat.io.folders import Skipped
from brat.model.calibration import DEFAULT_LEVEL, membership, softmax
from brat.model.files import ModelFolder
from brat.model.reader import Reader
from brat.model.site import SiteCalibration, fitted_to

ENOUGH = 100
"""Patients (or files) with a tumour, and as many without, from which the figures say something of a site:
a validation needs at least 100 events and 100 non-events (Vergouwe et al. 2005, doi
10.1016/j.jclinepi.2004.06.017)."""

ENOUGH_A_CLASS = 20
"""Patients (or files) of each class from which a recalibration is fitted: of 19 or fewer, the set that is to
hold the truth in 95 % would hold every class."""

ENOUGH_TO_REFUSE = 50
"""Patients (or files) from which a limit is fitted that refuses about one of them."""

_FLIPS = 10_000
_NORMAL = NormalDist()


@dataclass(frozen=True, eq=False)
class Validation:
    """What was measured at a site.

    Attributes:
        results: plain data, see `measure`.
        rows: of each file, what the model read in it, or why it was left out; with its name.
        recalibration: for this site; None where there are too few cases for any part of it.
    """

    results: dict[str, Any]
    rows: list[dict[str, Any]]
    recalibration: SiteCalibration | None


def validate(
    files: Iterable[LabelledFile | Skipped],
    weights: str | Path,
    shipped: Mapping | None,
    against: str | Path | None = None,
    site: str = "",
    on_read: Callable[[int], None] = lambda _: None,
) -> Validation:
    """Read a site's slices and measure how they are read.

    Args:
        files: of `brat.data.labelled`.
        weights: the folder of the model.
        shipped: the content of its `metrics.json`; None where it has none.
        against: the folder of a second model, measured on the same slices.
        site: what the site is called.
        on_read: called with the number of files that are done.

    Raises:
        FileNotFoundError, ModelError, ValueError: as `brat.evaluation.site_readings.read_site`.
    """
    models = [weights, *([against] if against else [])]
    readings = read_site(files, models, on_read)
    validation = measure(
        readings, Reader(weights, as_shipped=True), shipped, site, fitted_to(ModelFolder(weights))
    )
    if against:
        validation.results["against"] = side_by_side(
            readings, Reader(weights, as_shipped=True), Reader(against, as_shipped=True)
        )
    return validation


def measure(
    readings: SiteReadings,
    reader: Reader,
    shipped: Mapping | None,
    site: str = "",
    fitted_to: Mapping[str, str] | None = None,
) -> Validation:
    """Measure the first model of a site's readings.

    Args:
        reader: of that model.
        shipped, site: as for `validate`.
        fitted_to: of `brat.model.site.fitted_to`, for a recalibration; None where none is to be fitted.

    Returns:
        Results with `written`, `site`, `model_sha256`, `by`, `slices`, `clusters`, `classes`, `left_out`,
        `copies_sought`; `site_calibration`, in words, where one was read with; `enough`; `protocols`,
        as in `metrics.json`: `four_classes` where classes of tumours are known, `tumor_or_none` where there
        are both; `calibration` and `sets` where classes are known; `out_of_distribution` where the model has
        that check; `comparison` where figures of this model ship; `recalibration`.
    """
    slices, outputs = readings.slices, readings.outputs[0]
    probabilities = _probabilities(reader, outputs)
    clusters = [s.cluster for s in slices]
    protocols = _protocols(readings, probabilities)
    results: dict[str, Any] = {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "site": site,
        "model_sha256": reader.classifier.digest,
        "site_calibration": str(reader.site) if reader.site else "",
        "by": readings.by,
        "slices": len(slices),
        "clusters": len(set(clusters)),
        "classes": count_classes(slices),
        "left_out": _left_out(readings.left_out),
        "copies_sought": readings.copies_sought,
        "enough": _enough(readings),
        "protocols": protocols,
    }
    named = _named(readings)
    if len(named):
        results |= _trust(readings, named, reader, probabilities)
    if reader.detector:
        results["out_of_distribution"] = _refusals(readings, probabilities)
    # Figures of another model say nothing of this one.
    if shipped and shipped.get("model_sha256") == reader.classifier.digest:
        results["comparison"] = compare(protocols, shipped["protocols"])
    recalibration = None
    if fitted_to is not None:
        recalibration, results["recalibration"] = _recalibrate(readings, named, reader, site, fitted_to)
    return Validation(results, _rows(readings, reader, probabilities), recalibration)


def side_by_side(readings: SiteReadings, first: Reader, second: Reader) -> dict[str, Any]:
    """Two models on the same slices.

    Returns:
        `model_sha256` of the second; `protocols`, its figures; `difference`, of each measure the second's
        minus the first's, with an interval from resampling clusters for both models at once, see
        `_with_width`, and `right`, of the share of slices read as a class that they may be; `counts` of
        slices that both, the first alone, the second alone and neither read rightly; `unlike`, the `slices`
        that they read as different classes, and where there are none, `most`, the share of clusters that
        have one, at most: the exact one-sided 95 % bound, of n clusters about 3 / n; `test`, and `p`, of the
        hypothesis that neither is right more often.
    """
    ours, theirs = (
        _probabilities(reader, outputs)
        for reader, outputs in zip((first, second), readings.outputs, strict=True)
    )
    right, other = (_right(readings, probabilities) for probabilities in (ours, theirs))
    clusters = [s.cluster for s in readings.slices]
    tumor = np.array([s.tumor for s in readings.slices])
    gain = other.astype(float) - right
    read_as_tumor = (theirs.argmax(axis=1) != NO_TUMOR).astype(float) - (ours.argmax(axis=1) != NO_TUMOR)
    weighed = {
        "right": (gain, np.ones(len(gain))),
        "sensitivity": (read_as_tumor, tumor),
        "specificity": (-read_as_tumor, ~tumor),
    }
    if len(named := _named(readings)):
        # A tumour of unknown class has no part in the accuracy of four classes.
        weighed["accuracy"] = (gain, np.isin(np.arange(len(gain)), named))
    for label in CLASSES:
        of_class = np.array([s.label == label for s in readings.slices])
        weighed[f"recall/{label}"] = (gain, of_class)

    def differences(weights: np.ndarray) -> dict[str, float]:
        found = {name: mean(values, weights * rows) for name, (values, rows) in weighed.items()}
        before, after = (detection(tumor, shares, weights)["auc"] for shares in (ours, theirs))
        return found | {"auc": after - before}

    of = {name: set(np.array(clusters)[np.asarray(rows, bool)]) for name, (_, rows) in weighed.items()}
    # As in `_protocols`.
    of["auc"] = min(of["sensitivity"], of["specificity"], key=len)
    unlike = int((ours.argmax(axis=1) != theirs.argmax(axis=1)).sum())
    return {
        "model_sha256": second.classifier.digest,
        "protocols": _protocols(readings, theirs),
        "difference": _with_width(with_intervals(differences, clusters), of),
        "unlike": {"slices": unlike, "most": None if unlike else 1 - 0.05 ** (1 / len(set(clusters)))},
        "counts": {
            "both": int((right & other).sum()),
            "first": int((right & ~other).sum()),
            "second": int((~right & other).sum()),
            "neither": int((~right & ~other).sum()),
        },
        "test": "two-sided randomisation test, the sign of each cluster's difference flipped at random",
        "p": _flipped(gain, clusters),
    }


def _with_width(differences: dict, clusters: Mapping[str, set[str]]) -> dict:
    """Differences, with an interval of some width where all clusters show the same one.

    No resample differs then. The share of clusters that show another one is 1 - 0.025 ** (1 / n) at most, as
    in `_with_ends`; what such a cluster may show bounds the difference. Of a single cluster that shows none
    of -1, 0 and 1 nothing is known: it has no interval.

    Args:
        clusters: name of a measure -> the clusters that it is measured on.
    """
    widened = dict(differences)
    for name, entry in differences.items():
        value = entry["value"]
        if value is None or entry["low"] != entry["high"]:
            continue
        low = high = None
        if value in (-1, 0, 1):
            others = 1 - 0.025 ** (1 / len(clusters[name]))
            low, high = (value + others * (end - value) for end in (-1, 1))
        widened[name] = {"value": value, "low": low, "high": high}
    return widened


def _flipped(gain: np.ndarray, clusters: Sequence[str], seed: int = 0) -> float:
    """P of a randomisation test: how often clusters' differences with random signs add up to as much."""
    _, members = np.unique(clusters, return_inverse=True)
    sums = np.bincount(members, gain)
    sums = sums[sums != 0]
    draw = np.random.default_rng(seed)
    totals = np.array([(1 - 2 * draw.integers(0, 2, len(sums))) @ sums for _ in range(_FLIPS)])
    extreme = np.abs(totals) >= abs(sums.sum()) - 1e-9
    # With the one that was seen among them, as it must be for the level to hold.
    return float((extreme.sum() + 1) / (_FLIPS + 1))


def compare(protocols: Mapping[str, Mapping], shipped: Mapping[str, Mapping]) -> dict[str, Any]:
    """A site's figures beside those that ship, each with a test of the difference.

    The two are measured on other patients, so that their errors are independent: a z test of the difference,
    its standard error being what its 95 % interval reaches towards 0, over 1.96. So P is below 0.05, before
    it is adjusted, where that interval leaves out 0. P values are adjusted for their number (Holm 1979, Scand
    J Stat 6:65).

    Args:
        protocols: of `measure`.
        shipped: of `metrics.json`.

    Returns:
        `test`, and `measures`: name -> `here`, `shipped` (with `slices` and `clusters`), `difference` with
        its interval from those of both sides (Newcombe 1998, Stat Med 17:873), never beyond -1 and 1; and
        `p`; None where one of the intervals is missing or has no width.
    """
    pairs: dict[str, tuple[Mapping, Mapping, Mapping]] = {}
    four, cross = protocols.get("four_classes"), shipped.get("four_classes")
    if four and cross:
        recalls = [
            f"recall/{name}" for name in CLASSES if four["metrics"][f"recall/{name}"]["value"] is not None
        ]
        # Over fewer classes, a mean is another measure.
        overall = ["accuracy", "balanced_accuracy"] if len(recalls) == len(CLASSES) else []
        pairs |= {
            name: (four["metrics"][name], cross["metrics"][name], cross) for name in (*overall, *recalls)
        }
    two, same = protocols.get("tumor_or_none"), shipped.get("same_source")
    if two and same:
        names = ("sensitivity", "specificity", "auc")
        pairs |= {
            name: (two["metrics"][name], same["metrics"][name], same)
            for name in names
            if name in two["metrics"] and name in same["metrics"]
        }
    measures = {name: _difference(here, there, entry) for name, (here, there, entry) in pairs.items()}
    tested = sorted((one for one in measures.values() if one["p"] is not None), key=lambda one: one["p"])
    least = 0.0
    for place, one in enumerate(tested):
        least = one["p"] = min(1.0, max(least, one["p"] * (len(tested) - place)))
    return {
        "test": "two-sided z test of two independent estimates, its standard error from the side of the "
        "difference's 95 % interval that faces 0, P adjusted by Holm's method",
        "measures": measures,
    }


def _difference(here: Mapping, there: Mapping, entry: Mapping) -> dict[str, Any]:
    difference = here["value"] - there["value"]
    shipped = {**there, "slices": entry["slices"], "clusters": entry["clusters"]}
    if here["low"] is None:
        nothing = {"value": difference, "low": None, "high": None}
        return {"here": dict(here), "shipped": shipped, "difference": nothing, "p": None}
    below = math.hypot(here["value"] - here["low"], there["high"] - there["value"])
    above = math.hypot(here["high"] - here["value"], there["value"] - there["low"])
    # What reaches towards no difference: an interval at the end of a scale has little on the other side.
    reach = below if difference > 0 else above
    has_widths = all(one["high"] > one["low"] for one in (here, there))
    return {
        "here": dict(here),
        "shipped": shipped,
        "difference": {"value": difference, "low": difference - below, "high": difference + above},
        "p": 2 * (1 - _NORMAL.cdf(1.96 * abs(difference) / reach)) if has_widths else None,
    }


def _probabilities(reader: Reader, outputs: ModelOutputs) -> np.ndarray:
    """As the app shows them."""
    return reader.calibration.apply(outputs.logits) if reader.calibration else softmax(outputs.logits)


def _named(readings: SiteReadings) -> np.ndarray:
    """Rows of the slices whose class is known; none where no tumour's class is."""
    labels = {s.label for s in readings.slices}
    if labels <= {"", "no_tumor"}:
        return np.array([], int)
    return np.array([row for row, s in enumerate(readings.slices) if s.label], int)


def _protocols(readings: SiteReadings, probabilities: np.ndarray) -> dict[str, dict]:
    protocols = {}
    named = _named(readings)
    if len(named):
        chosen = [readings.slices[row] for row in named]
        measured = four_classes(chosen, probabilities[named])
        del measured["by_site"]
        of = {f"recall/{name}": {s.cluster for s in chosen if s.label == name} for name in CLASSES} | {
            "accuracy": {s.cluster for s in chosen}
        }
        protocols["four_classes"] = {**measured, "metrics": _measured_on(measured["metrics"], of)}
    if len({s.tumor for s in readings.slices}) == 2:
        of = {
            name: {s.cluster for s in readings.slices if s.tumor is tumor}
            for name, tumor in (("sensitivity", True), ("specificity", False))
        }
        # As many tumours can be held against as many others, each once: in none the other was likelier.
        of["auc"] = min(of.values(), key=len)
        two = same_source(readings.slices, probabilities)
        protocols["tumor_or_none"] = {**two, "metrics": _measured_on(two["metrics"], of)}
    return protocols


def _measured_on(metrics: dict, clusters: Mapping[str, set[str]]) -> dict:
    """As `_with_ends`; and what is measured on one cluster alone, some of it rightly, has no interval."""
    metrics = _with_ends(metrics, clusters)
    for name, members in clusters.items():
        if len(members) == 1 and metrics[name]["value"] not in (None, 0, 1):
            metrics[name] = {"value": metrics[name]["value"], "low": None, "high": None}
    return metrics


def _with_ends(metrics: dict, clusters: Mapping[str, set[str]]) -> dict:
    """Metrics, with an interval of some width where all slices, or none, are read rightly.

    No resample differs then. The end is that of the exact binomial interval of the clusters (Clopper and
    Pearson 1934, doi 10.1093/biomet/26.4.404); of a mean over classes, it is from the ends of all of them, as
    that of a difference in `compare`.

    Args:
        clusters: name of a measure -> the clusters that it is measured on.
    """
    metrics = dict(metrics)
    for name, members in clusters.items():
        value = metrics[name]["value"]
        if value in (0, 1) and members:
            reach = 0.025 ** (1 / len(members))
            low, high = (reach, 1.0) if value else (0.0, 1 - reach)
            metrics[name] = {"value": value, "low": low, "high": high}
    balanced = metrics.get("balanced_accuracy")
    if balanced and balanced["value"] in (0, 1):
        recalls = [metrics[name] for name, members in clusters.items() if "/" in name and members]
        far = "low" if balanced["value"] else "high"
        reach = math.hypot(*(one[far] - one["value"] for one in recalls)) / len(recalls)
        metrics["balanced_accuracy"] = {**balanced, far: abs(balanced["value"] - reach)}
    return metrics


def _left_out(left_out: Sequence[Skipped]) -> dict[str, int]:
    of_kind = {
        COPY: "copies",
        TWO_LABELS: "two_labels",
        NEAR: "near_training",
        ANOTHER_CALIBRATION: "other_calibration",
        UNSURE_OF: "unsure",
        SEVERAL_SEEN: "contested",
    }
    counts = Counter(of_kind.get(entry.reason, "not_read") for entry in left_out)
    return {kind: counts[kind] for kind in ("not_read", *of_kind.values())}


def _enough(readings: SiteReadings) -> dict[str, Any]:
    tumor, none = (
        len({s.cluster for s in readings.slices if s.tumor is with_tumor}) for with_tumor in (True, False)
    )
    return {"least": ENOUGH, "tumor": tumor, "no_tumor": none, "is_enough": min(tumor, none) >= ENOUGH}


def _trust(
    readings: SiteReadings, named: np.ndarray, reader: Reader, probabilities: np.ndarray
) -> dict[str, Any]:
    """Calibration and prediction sets as they ship, on slices whose class is known."""
    labels, clusters = _labels(readings, named)
    results: dict[str, Any] = {"calibration": measure_probabilities(probabilities[named], labels, clusters)}
    if reader.calibration:
        results["sets"] = {
            str(level): _measure_sets(membership(probabilities[named], least), labels, clusters)
            for level, least in reader.calibration.thresholds.items()
        }
    return results


def _measure_sets(inside: np.ndarray, labels: np.ndarray, clusters: Sequence[str]) -> dict[str, Any]:
    return _with_ends(measure_sets(inside, labels, clusters), {"coverage": set(clusters)})


def _labels(readings: SiteReadings, named: np.ndarray) -> tuple[np.ndarray, list[str]]:
    chosen = [readings.slices[row] for row in named]
    return np.array([CLASSES.index(s.label) for s in chosen], int), [s.cluster for s in chosen]


def _right(readings: SiteReadings, probabilities: np.ndarray) -> np.ndarray:
    """Whether each slice is read as a class that it may be, bool (n,)."""
    read = probabilities.argmax(axis=1)
    return np.array([s.allowed[k] > 0 for s, k in zip(readings.slices, read, strict=True)], bool)


def _refusals(readings: SiteReadings, probabilities: np.ndarray) -> dict[str, Any]:
    """What the out-of-distribution check refuses, and what that costs and saves.

    `refused`, of all slices; `right_withheld` and `wrong_withheld`, of all slices; `right` and `right_kept`,
    the share of right answers of all slices and of those that are not refused.
    """
    refused = readings.outputs[0].decisions > 0
    right = _right(readings, probabilities)
    every = np.ones(len(refused))
    counted = {
        "refused": (refused, every),
        "right_withheld": (refused & right, every),
        "wrong_withheld": (refused & ~right, every),
        "right": (right, every),
        "right_kept": (right, ~refused),
    }
    clusters = np.array([s.cluster for s in readings.slices])
    measured = with_intervals(
        lambda weights: {name: mean(values, weights * rows) for name, (values, rows) in counted.items()},
        clusters.tolist(),
    )
    return {
        "slices": len(refused),
        "counts": {
            name: int(counted[name][0].sum()) for name in ("refused", "right_withheld", "wrong_withheld")
        },
        "metrics": _with_ends(
            measured, {name: set(clusters[np.asarray(rows, bool)]) for name, (_, rows) in counted.items()}
        ),
    }


def _recalibrate(
    readings: SiteReadings, named: np.ndarray, reader: Reader, site: str, fitted_to: Mapping[str, str]
) -> tuple[SiteCalibration | None, dict[str, Any]]:
    """A recalibration for a site, and what it does on slices that it was not fitted to.

    `least` and `fewest`, the number of clusters of a class that it takes and that there are; where there are
    enough, `temperature`, `calibration` and `sets` as in `measure`, each fold's by a recalibration that was
    fitted to the other folds, and `gain`, by how much it lowers the negative log likelihood. `limit` where
    more than `REFUSED` of the slices are refused now, as `OodDetector.limit`, and `refused`, each fold's by a
    limit that was fitted to the other folds.
    """
    outputs = readings.outputs[0]
    labels, clusters = _labels(readings, named)
    of_class = [
        len({c for c, k in zip(clusters, labels, strict=True) if k == number})
        for number in range(len(CLASSES))
    ]
    found: dict[str, Any] = {"least": ENOUGH_A_CLASS, "fewest": min(of_class)}
    calibration = limit = None
    if min(of_class) >= ENOUGH_A_CLASS:
        folds = np.array([readings.slices[row].fold for row in named])
        logits = outputs.logits[named]
        calibration = fit_calibration(logits, labels, site or "this site")
        refitted, sets = cross_fitted_sets(logits, labels, folds)
        before, after = (surprises(p, labels) for p in (_probabilities(reader, outputs)[named], refitted))
        found |= {
            "temperature": calibration.temperature,
            "calibration": measure_probabilities(refitted, labels, clusters),
            "sets": {str(level): _measure_sets(inside, labels, clusters) for level, inside in sets.items()},
            "gain": with_intervals(means({"nll": before - after}), clusters)["nll"],
        }
    every = [s.cluster for s in readings.slices]
    refused = float((outputs.decisions > 0).mean())
    shipped = reader.detector.limit if reader.detector else 0.0
    if reader.detector and shipped < 0 and refused > REFUSED and len(set(every)) >= ENOUGH_TO_REFUSE:
        above = _limit_above(outputs.decisions, shipped)
        limit = shipped + above
        folds = np.array([s.fold for s in readings.slices])
        still = np.zeros(len(folds), bool)
        for fold in np.unique(folds):
            rows = folds == fold
            still[rows] = outputs.decisions[rows] > _limit_above(outputs.decisions[~rows], shipped)
        measured = with_intervals(means({"refused": still}), every)
        found |= {"limit": limit, **_with_ends(measured, {"refused": set(every)})}
    if calibration is None and limit is None:
        return None, found
    fitted = datetime.now(UTC).isoformat(timespec="seconds")
    by = "patient" if readings.by == "patient" else "file"
    count = len(named) if calibration else len(every)
    return SiteCalibration(
        site,
        count,
        len(set(clusters if calibration else every)),
        by,
        fitted,
        dict(fitted_to),
        calibration,
        limit,
    ), found


def _limit_above(decisions: np.ndarray, shipped: float) -> float:
    """How far a site's limit lies above the one that ships, fitted to decisions of `ModelOutputs`."""
    # Above 0 the machine itself takes a picture for none of a head: no limit goes beyond.
    return min(choose_limit(decisions, [""] * len(decisions)), -shipped)


def _rows(readings: SiteReadings, reader: Reader, probabilities: np.ndarray) -> list[dict[str, Any]]:
    """A record of each file, for a table."""
    measured = []
    decisions = readings.outputs[0].decisions
    for s, shares, decision in zip(readings.slices, probabilities, decisions, strict=True):
        row: dict[str, Any] = {
            "name": s.file,
            "label": s.label or "tumor",
            "cluster": s.cluster,
            "read": CLASSES[int(shares.argmax())],
            **{name: round(float(share), 6) for name, share in zip(CLASSES, shares, strict=True)},
        }
        if reader.calibration:
            row["set"] = " ".join(reader.calibration.prediction_set(shares, DEFAULT_LEVEL))
        if reader.detector:
            row["refused"] = bool(decision > 0)
        measured.append({**row, "left_out": ""})
    return measured + [{"name": entry.path, "left_out": entry.reason} for entry in readings.left_out]
