"""Indexes of slices and the splits that may be made of them.

An index is a CSV file with the columns `name, file, source, label, tumor, group, cluster, fold,
near_fold, boxes`, or a folder with one sub-folder a class, for which groups of near-duplicates and
folds are made here. A split never lets a group, or a fold that lies too near, stand on both sides.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from brat import CLASSES
from brat.preprocess import frame
from brat.scans import SUFFIXES, read_scan

FOLDS = 5

NEAR_DUPLICATE = 0.95
"""Correlation of two framed 32 x 32 thumbnails above which they count as one image."""

_CLASS_FOLDERS = {
    "glioma": "glioma",
    "gliomatumor": "glioma",
    "meningioma": "meningioma",
    "meningiomatumor": "meningioma",
    "pituitary": "pituitary",
    "pituitarytumor": "pituitary",
    "notumor": "no_tumor",
    "no": "no_tumor",
    "yes": "",
}


class LeakError(ValueError):
    """A split in which the same patient, or the same image, may stand on both sides."""


@dataclass(frozen=True)
class Slice:
    """One stored image.

    Attributes:
        path: where it lies.
        file: its path relative to the index, the key by which results are kept.
        source: the collection that owns it.
        label: one of `CLASSES`, or empty where only `tumor` is known.
        tumor: whether a tumour is in it.
        group: what must stay on one side of a split.
        cluster: what intervals are resampled over.
        fold: 0 to 4.
        near: other folds that may hold the same patient.
        boxes: tumour boxes, (x_center, y_center, width, height) in fractions of the image.
    """

    path: Path
    file: str
    source: str
    label: str
    tumor: bool
    group: str
    cluster: str
    fold: int
    near: frozenset[int] = frozenset()
    boxes: tuple[tuple[float, float, float, float], ...] = ()

    @property
    def allowed(self) -> np.ndarray:
        """float32 (4,): 1 for each class that the slice may be; the three tumours where only `tumor` is known."""
        if self.label:
            return np.array([name == self.label for name in CLASSES], np.float32)
        return np.array([name != "no_tumor" for name in CLASSES], np.float32)


@dataclass(frozen=True)
class Split:
    """Slices to train on, to choose the best epoch by, and to test on."""

    train: list[Slice]
    validation: list[Slice]
    test: list[Slice]


def read_index(path: str | Path) -> list[Slice]:
    """Read an index file, or make one of a folder with one sub-folder a class.

    An image that several names share is returned once: with the label of the collection that owns it
    (the row whose `name` is its `file`), because the copies were relabelled by others, and with the
    boxes of whichever row has them.

    Raises:
        ValueError: columns are missing, a label is unknown, or there is nothing to read.
    """
    path = Path(path)
    return _read_folder(path) if path.is_dir() else _read_csv(path)


def _read_csv(path: Path) -> list[Slice]:
    with path.open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    needed = {"name", "file", "source", "label", "tumor", "group", "cluster", "fold", "near_fold", "boxes"}
    if not rows:
        raise ValueError(f"{path} has no rows.")
    if missing := needed - set(rows[0]):
        raise ValueError(f"{path} lacks the columns {', '.join(sorted(missing))}.")
    by_file: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        if row["label"] not in ("", *CLASSES):
            raise ValueError(f"{path}: {row['name']} has the unknown label {row['label']!r}.")
        by_file.setdefault(row["file"], []).append(row)
    slices = []
    for file, names in by_file.items():
        own = next((row for row in names if row["name"] == file), names[0])
        boxes = next((row["boxes"] for row in names if row["boxes"]), "")
        slices.append(
            Slice(
                path=path.parent / file,
                file=file,
                source=own["source"],
                label=own["label"],
                tumor=own["tumor"] == "1",
                group=own["group"],
                cluster=own["cluster"],
                fold=int(own["fold"]),
                near=frozenset(int(k) for k in own["near_fold"].split(";") if k),
                boxes=tuple(tuple(float(v) for v in box.split()) for box in boxes.split(";") if box),
            )
        )
    return slices


def _read_folder(folder: Path) -> list[Slice]:
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in SUFFIXES:
            continue
        for part in reversed(path.relative_to(folder).parts[:-1]):
            key = "".join(c for c in part.lower() if c.isalpha())
            if key in _CLASS_FOLDERS:
                found.append((path, _CLASS_FOLDERS[key]))
                break
    if not found:
        raise ValueError(
            f"{folder} has no images in sub-folders named after the classes ({', '.join(CLASSES)})."
        )
    groups = near_duplicate_groups([path for path, _ in found])
    folds = _deal_folds(groups, [label for _, label in found])
    return [
        Slice(
            path=path,
            file=str(path.relative_to(folder)),
            source=folder.name,
            label=label,
            tumor=label != "no_tumor",
            group=f"group-{group:04d}",
            cluster=f"group-{group:04d}",
            fold=fold,
        )
        for (path, label), group, fold in zip(found, groups, folds, strict=True)
    ]


def near_duplicate_groups(paths: Sequence[Path]) -> np.ndarray:
    """Number images so that near-duplicates, chained, share a number.

    Two images are near-duplicates where their heads, framed and shrunk to 32 x 32, correlate above
    `NEAR_DUPLICATE`.

    Returns:
        int (n,), group numbers from 0.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    thumbnails = np.empty((len(paths), 32 * 32), np.float32)
    for row, path in enumerate(paths):
        framed, _ = frame(read_scan(path).gray)
        thumbnails[row] = cv2.resize(framed, (32, 32), interpolation=cv2.INTER_AREA).ravel()
    thumbnails -= thumbnails.mean(axis=1, keepdims=True)
    thumbnails /= np.maximum(np.linalg.norm(thumbnails, axis=1, keepdims=True), 1e-6)
    left, right = [], []
    for start in range(0, len(paths), 1024):
        rows, columns = np.nonzero(thumbnails[start : start + 1024] @ thumbnails.T > NEAR_DUPLICATE)
        left.append(rows + start)
        right.append(columns)
    edges = (np.concatenate(left), np.concatenate(right))
    graph = coo_matrix((np.ones(len(edges[0]), bool), edges), shape=(len(paths), len(paths)))
    return connected_components(graph, directed=False)[1]


def _deal_folds(groups: np.ndarray, labels: list[str]) -> np.ndarray:
    """Spread whole groups over the folds, the largest first, each to the fold poorest in its commonest class."""
    folds = np.zeros(len(groups), int)
    filled = [Counter() for _ in range(FOLDS)]
    members: dict[int, list[int]] = {}
    for position, group in enumerate(groups):
        members.setdefault(int(group), []).append(position)
    for positions in sorted(members.values(), key=len, reverse=True):
        counts = Counter(labels[p] for p in positions)
        commonest = counts.most_common(1)[0][0]
        fold = min(range(FOLDS), key=lambda k: (filled[k][commonest], filled[k].total()))
        filled[fold].update(counts)
        folds[positions] = fold
    return folds


def split(slices: Sequence[Slice], test_fold: int, validation_fold: int | None) -> Split:
    """Hold out a test fold and a validation fold, with everything that lies near either.

    Training slices lie in neither fold nor near either; validation slices do not lie near the test fold.

    Raises:
        LeakError: a group stands on both sides.
        ValueError: a side would be empty.
    """
    test = [s for s in slices if s.fold == test_fold]
    validation = [s for s in slices if s.fold == validation_fold and test_fold not in s.near]
    held_out = {test_fold, validation_fold}
    train = [s for s in slices if s.fold not in held_out and not s.near & held_out]
    result = Split(train, validation, test)
    if not train or not test or (validation_fold is not None and not validation):
        raise ValueError(
            f"Holding out fold {test_fold} for the test and {validation_fold} for validation leaves "
            f"{len(train)} slices to train on, {len(validation)} to validate and {len(test)} to test."
        )
    refuse_leaks(train, validation)
    refuse_leaks(train + validation, test)
    return result


def refuse_leaks(seen: Sequence[Slice], unseen: Sequence[Slice]) -> None:
    """Raise `LeakError` where a file, a group or a near fold stands on both sides."""
    for what, of in (("file", lambda s: s.file), ("group", lambda s: s.group)):
        if both := {of(s) for s in seen} & {of(s) for s in unseen}:
            raise LeakError(
                f"{len(both)} {what}(s) stand on both sides of the split, {min(both)!r} among them. "
                f"Give each {what} one fold in the index."
            )
    folds = {s.fold for s in unseen}
    if near := [s for s in seen if s.near & folds]:
        raise LeakError(
            f"{len(near)} slices on the training side, {near[0].file!r} among them, lie near fold "
            f"{sorted(near[0].near & folds)[0]} and may show the same patients. Leave them out."
        )


def fingerprint(slices: Sequence[Slice]) -> str:
    """SHA-256 over every slice's file name, content, label, group and fold: what a model was trained on."""
    total = hashlib.sha256()
    for s in sorted(slices, key=lambda s: s.file):
        content = hashlib.sha256(s.path.read_bytes()).hexdigest()
        total.update(f"{s.file}\0{content}\0{s.label}\0{s.tumor:d}\0{s.group}\0{s.fold}\n".encode())
    return total.hexdigest()


def count_classes(slices: Sequence[Slice]) -> dict[str, int]:
    """Slices a class; `tumor_of_unknown_class` counts those that only say that there is a tumour."""
    counts = Counter(s.label or "tumor_of_unknown_class" for s in slices)
    return {name: counts[name] for name in (*CLASSES, "tumor_of_unknown_class")}
