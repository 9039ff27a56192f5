"""A site's slices, read by one or more models, without copies and what a model was trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from brat.classes import CLASSES
from brat.data.index import IndexedSlice, deal_folds
from brat.data.labelled import LabelledFile, open_slice
from brat.data.near_duplicates import hashes, is_known, thumbnail_of_framed
from brat.data.trained_on import read_hashes
from brat.io.folders import Skipped
from brat.io.scan import UnreadableScan
from brat.io.workers import pool
from brat.model.files import ModelFolder
from brat.model.pool import Readers, in_order
from brat.model.preprocess import frame, to_input
from brat.model.reader import Reader

if TYPE_CHECKING:
    from brat.store.cases import Case

COPY = "the same picture was given before"
TWO_LABELS = "the same picture was given under two labels"
_NAMED = 10
"""Reasons that are given, each with a file that has it, where no file can be measured."""

NEAR = "it is nearly the same as a slice that the model was trained on"


@dataclass(frozen=True, eq=False)
class ModelOutputs:
    """What one model says of n slices.

    Attributes:
        logits: float (n, 4).
        decisions: float (n,), how far the out-of-distribution check's decision lies above the limit that
            ships: above 0 is refused. NaN where the model has no check.
    """

    logits: np.ndarray
    decisions: np.ndarray


@dataclass(frozen=True, eq=False)
class SiteReadings:
    """A site's slices, and what each model says of them.

    Attributes:
        slices: with `cluster` the patient, or the file where nothing tells the patient, under a number.
        by: what the clusters are: "patient", "file", or "patient where it is known, else file"; of kept
            verdicts "scan".
        outputs: of each model.
        left_out: every file that was not measured, and why.
        copies_sought: whether every model has a list of what it was trained on.
    """

    slices: list[IndexedSlice]
    by: str
    outputs: list[ModelOutputs]
    left_out: list[Skipped]
    copies_sought: bool


@dataclass(frozen=True, eq=False)
class _Read:
    file: LabelledFile
    digest: str
    thumb: np.ndarray
    outputs: list[tuple[np.ndarray, float]]


def read_site(
    files: Iterable[LabelledFile | Skipped],
    models: Sequence[str | Path],
    on_read: Callable[[int], None] = lambda _: None,
) -> SiteReadings:
    """Read every slice with every model, several slices at once.

    Args:
        files: of `brat.data.labelled`.
        models: folders of models.
        on_read: called with the number of files that are done.

    Raises:
        FileNotFoundError, ModelError: as `brat.model.reader.Reader`.
        ValueError: no slice is left to measure; the message says why, a line for each reason.
    """
    # Processes that read files start while the models are loaded.
    pool.warm()
    readers = [Readers(model, as_shipped=True) for model in models]
    known = [read_hashes(ModelFolder(model)) for model in models]

    def work(file: LabelledFile | Skipped) -> _Read | Skipped:
        return file if isinstance(file, Skipped) else _read(file, readers)

    read: list[_Read] = []
    left_out: list[Skipped] = []
    for number, one in enumerate(in_order(work, files), 1):
        if isinstance(one, Skipped):
            left_out.append(one)
        else:
            read.append(one)
        on_read(number)
    read = _distinct(read, left_out)
    for of_model in known:
        if of_model is not None and read:
            copies = is_known(hashes(np.stack([one.thumb for one in read])), of_model)
            left_out += [Skipped(one.file.name, NEAR) for one, copy in zip(read, copies, strict=True) if copy]
            read = [one for one, copy in zip(read, copies, strict=True) if not copy]
    if not read:
        if not left_out:
            raise ValueError("There is no slice to measure the model on: no file is there.")
        raise ValueError(f"There is no slice to measure the model on.{_reasons(left_out)}")
    by, clusters = _clusters([one.file for one in read])
    labels = [one.file.label for one in read]
    folds = deal_folds(clusters, labels)
    slices = [
        _slice(one.file.name, one.file.label, cluster, fold)
        for one, cluster, fold in zip(read, clusters, folds, strict=True)
    ]
    outputs = [
        ModelOutputs(
            np.stack([one.outputs[k][0] for one in read]), np.array([one.outputs[k][1] for one in read])
        )
        for k in range(len(models))
    ]
    return SiteReadings(slices, by, outputs, left_out, all(one is not None for one in known))


ANOTHER_CALIBRATION = "read under another calibration"
"""Why a kept case is left out: its probabilities are not those that would be given now."""
UNSURE_OF = "the clinician is unsure of it"
SEVERAL_SEEN = "clinicians see different classes in it"


def verdicts(cases: Iterable[Case], reader: Reader) -> SiteReadings:
    """The kept cases of one model as a site's readings: what the clinician sees is the label.

    A scan has the class of `brat.data.kept_cases.what_is_seen`. It is left out, and named, where there is
    none, or where no case of it was read under the reader's recalibration. Clusters are scans: the store
    knows no patients, and has no list of what the model was trained on to look in.

    Args:
        cases: the latest first, as `brat.store.cases.find` returns them.
        reader: of that model.

    Raises:
        ValueError: no case has a class from the clinician.
    """
    # It needs what the store needs, which measuring files does not.
    from brat.data.kept_cases import CONTESTED, UNSURE, what_is_seen

    temperature = reader.calibration.temperature if reader.calibration else 1.0
    used = reader.site.digest if reader.site else ""
    of_scan: dict[str, list[Case]] = {}
    for case in cases:
        of_scan.setdefault(case.scan, []).append(case)
    labels: dict[str, str] = {}
    shown: list[Case] = []
    left_out: list[Skipped] = []
    for scan, those in of_scan.items():
        told = what_is_seen(those)
        own = [case for case in those if case.recalibration == used]
        if reason := {UNSURE: UNSURE_OF, CONTESTED: SEVERAL_SEEN}.get(
            told, "" if own else ANOTHER_CALIBRATION
        ):
            left_out.append(Skipped(scan[:12], reason))
        else:
            labels[scan] = told
            shown.append(own[0])
    if not shown:
        counts = Counter(entry.reason for entry in left_out)
        why = "".join(f"\n  {count:,}: {reason}" for reason, count in counts.items())
        raise ValueError(f"There is no kept case of this model in which clinicians agree on the class.{why}")
    clusters = [f"scan-{number:05d}" for number in range(1, len(shown) + 1)]
    slices = [
        _slice(scan[:12], label, cluster, fold)
        for (scan, label), cluster, fold in zip(
            labels.items(), clusters, deal_folds(clusters, [*labels.values()]), strict=True
        )
    ]
    shares = np.array([[getattr(case, name) for name in CLASSES] for case in shown])
    # The logits but for a constant, which no probability depends on.
    logits = temperature * np.log(np.maximum(shares, 1e-12))
    scores = [np.nan if case.ood_score is None else float(case.ood_score) for case in shown]
    outputs = ModelOutputs(logits, np.log(np.maximum(scores, 1e-12)))
    return SiteReadings(slices, "scan", [outputs], left_out, copies_sought=False)


def _read(file: LabelledFile, readers: Sequence[Readers]) -> _Read | Skipped:
    try:
        scan = open_slice(file.item)
    except UnreadableScan as error:
        return Skipped(file.name, str(error))
    framed, _ = frame(scan.gray)
    model_input = to_input(framed)
    outputs = []
    for of_thread in readers:
        reader = of_thread()
        prediction = reader.classifier.predict(model_input)
        appearance = prediction.appearance[np.newaxis]
        detector = reader.detector
        decision = float(detector.decisions(appearance)[0]) - detector.limit if detector else np.nan
        outputs.append((prediction.maps.mean(axis=(0, 1)), decision))
    return _Read(file, scan.slice_digest, thumbnail_of_framed(framed), outputs)


def _reasons(left_out: Sequence[Skipped]) -> str:
    """A line for each reason, with the first file that has it and how many more do."""
    by_reason: dict[str, list[str]] = {}
    for entry in left_out:
        by_reason.setdefault(entry.reason, []).append(entry.path)
    lines = [
        f"{first}{f' and {len(others):,} more' if others else ''}: {reason}"
        for reason, (first, *others) in by_reason.items()
    ]
    if len(lines) > _NAMED:
        lines[_NAMED:] = [f"and {len(lines) - _NAMED:,} more"]
    return "".join(f"\n  {line}" for line in lines)


def _distinct(read: Sequence[_Read], left_out: list[Skipped]) -> list[_Read]:
    """Each picture once; none where its labels disagree."""
    by_digest: dict[str, list[_Read]] = {}
    for one in read:
        by_digest.setdefault(one.digest, []).append(one)
    kept = []
    for same in by_digest.values():
        agree = len({one.file.label for one in same}) == 1
        kept += same[:1] if agree else []
        left_out += [Skipped(one.file.name, COPY if agree else TWO_LABELS) for one in same[agree:]]
    return kept


def _clusters(files: Sequence[LabelledFile]) -> tuple[str, list[str]]:
    """What the clusters are, and that of each file.

    A table may name the patients of some files alone. A file whose patient only its header tells is then of
    the patient whom the table names for others with that header; where it names several, as for what an
    anonymiser wrote, the header tells nothing.
    """
    named: dict[str, set[str]] = {}
    for file in files:
        if file.header and file.patient != file.header:
            named.setdefault(file.header, set()).add(file.patient)

    def patient_of(file: LabelledFile) -> str:
        if file.patient != file.header:
            return file.patient
        same = named.get(file.header, {file.header})
        return next(iter(same)) if len(same) == 1 else ""

    patients = [patient_of(file) for file in files]
    known = set(filter(None, patients))
    # One patient for all is what an anonymiser writes.
    if len(known) == 1 and len(files) > 1:
        known = set()
    numbers = {patient: number for number, patient in enumerate(sorted(known), 1)}
    clusters = [
        f"patient-{numbers[patient]:05d}" if patient in numbers else f"file-{number:05d}"
        for number, patient in enumerate(patients, 1)
    ]
    of_patients = sum(patient in numbers for patient in patients)
    if of_patients in (0, len(files)):
        return ("patient" if of_patients else "file"), clusters
    return "patient where it is known, else file", clusters


def _slice(name: str, label: str, cluster: str, fold: int) -> IndexedSlice:
    tumor = label != "no_tumor"
    return IndexedSlice(Path(name), name, "site", label, tumor, cluster, cluster, fold)
