"""Indexes of slices, and their splits.

An index is a CSV file with the columns `COLUMNS`, or a folder with one sub-folder for each class. For a
folder, groups of near-duplicates and folds are computed here. A split never has a group, or a fold that is
too near, on both sides.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from brat.classes import CLASSES
from brat.data.near_duplicates import has_near_duplicate, near_duplicate_groups, thumbnails
from brat.data.sources import number_in_stack, shows_mass, site_of
from brat.io.folders import walk
from brat.io.sniff import SUFFIXES

FOLDS = 5

COLUMNS = ("name", "file", "source", "label", "tumor", "group", "cluster", "fold", "near_fold", "boxes")
"""The columns of an index file. It has one row for each name of an image; `file` is relative to the index."""

SEQUENCES = ("t1ce", "t1", "t2", "flair")
"""What may stand in the column `sequence`, which an index need not have; "t1ce" is T1 after contrast."""

_CLASS_WORDS = {
    **{word + end: word for word in ("glioma", "meningioma", "pituitary") for end in ("", "tumor", "tumour")},
    **dict.fromkeys(("notumor", "notumour", "no", "none", "normal", "healthy"), "no_tumor"),
    **dict.fromkeys(("tumor", "tumour", "yes"), ""),
}
"""A folder's name, or a label, in small letters and without anything else -> its class; "" for any tumour."""


class LeakError(ValueError):
    """A split in which the same patient, or the same image, may stand on both sides."""


@dataclass(frozen=True)
class IndexedSlice:
    """One stored image.

    Attributes:
        path: where the image lies.
        file: its path relative to the index, the key by which results are stored.
        source: the collection that it belongs to, see `brat.data.sources`.
        sequence: one of `SEQUENCES`; empty where the collection does not say.
        label: one of `CLASSES`, or empty where only `tumor` is known.
        tumor: whether a tumour is in it.
        group: slices that share one must stay on one side of a split.
        cluster: slices that share one are resampled together for intervals.
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
    sequence: str = ""

    @property
    def site(self) -> str:
        """Where the slice was made, as far as is known, see `brat.data.sources.site_of`."""
        return site_of(self.source, self.file)

    @property
    def number(self) -> int | None:
        """The slice's number in its stack, from neck to vertex; None where the source does not number so."""
        return number_in_stack(self.source, self.file)

    @property
    def allowed(self) -> np.ndarray:
        """float32 (4,): 1 for each class that it may be; all three tumours where only that is known."""
        if self.label:
            return np.array([name == self.label for name in CLASSES], np.float32)
        return np.array([name != "no_tumor" for name in CLASSES], np.float32)


@dataclass(frozen=True)
class Split:
    """Slices to train on, to choose the best epoch by, and to test on."""

    train: list[IndexedSlice]
    validation: list[IndexedSlice]
    test: list[IndexedSlice]


def read_index(path: str | Path) -> list[IndexedSlice]:
    """Read an index file, or index a folder with one sub-folder for each class.

    An image with several names is returned once. It gets the label of the collection that owns it (the row
    whose `name` is its `file`), because others relabelled the copies, and the boxes of any row that has them.

    Raises:
        FileNotFoundError: there is nothing at `path`.
        ValueError: columns are missing, a row is not valid, or there is nothing to read.
    """
    path = Path(path)
    return _read_folder(path) if path.is_dir() else _read_csv(path)


def read_indexes(paths: Sequence[str | Path]) -> list[IndexedSlice]:
    """The slices of several indexes as those of one; raises as `read_index`.

    What is nearly the same in two of them is taken out of training by `without_near_duplicates` alone.

    Raises:
        ValueError: a file or a group has the same name in two of them.
    """
    slices: list[IndexedSlice] = []
    for path in paths:
        read = read_index(path)
        for attribute in ("file", "group"):
            both = {getattr(s, attribute) for s in slices} & {getattr(s, attribute) for s in read}
            if both:
                raise ValueError(
                    f"{path} has the {attribute} {min(both)!r}, as another index has. Rename one of them."
                )
        slices += read
    return slices


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read and check the rows of an index file as they stand, one for each name; raises as `read_index`."""
    # Spreadsheet programs start the files that they save with a byte order mark.
    with path.open(newline="", encoding="utf-8-sig") as handle:
        rows = list(csv.DictReader(handle))
    if not rows:
        raise ValueError(f"{path} has no rows.")
    if missing := set(COLUMNS) - set(rows[0]):
        raise ValueError(f"{path} lacks the columns {', '.join(sorted(missing))}.")
    folds = {str(k) for k in range(FOLDS)}
    for row in rows:
        where = f"{path}: {row['name']}"
        if None in row or None in row.values():
            raise ValueError(f"{where} has not as many columns as the heading.")
        if row["label"] not in ("", *CLASSES):
            raise ValueError(f"{where} has the unknown label {row['label']!r}.")
        if row.get("sequence", "") not in ("", *SEQUENCES):
            raise ValueError(f"{where} has the unknown sequence {row['sequence']!r}.")
        if row["tumor"] != str(int(row["label"] != "no_tumor")):
            raise ValueError(f"{where} is labelled {row['label']!r} but has {row['tumor']!r} under tumor.")
        if row["fold"] not in folds or not folds.issuperset(filter(None, row["near_fold"].split(";"))):
            raise ValueError(f"{where} has a fold that is not one of 0 to {FOLDS - 1}.")
        try:
            _parse_boxes(row["boxes"])
        except ValueError:
            raise ValueError(f"{where} has a box that is not four numbers: {row['boxes']!r}.") from None
    return rows


def _parse_boxes(text: str) -> tuple[tuple[float, float, float, float], ...]:
    boxes = []
    for box in filter(None, text.split(";")):
        x, y, width, height = (float(v) for v in box.split())
        boxes.append((x, y, width, height))
    return tuple(boxes)


def _read_csv(path: Path) -> list[IndexedSlice]:
    by_file: dict[str, list[dict[str, str]]] = {}
    for row in read_rows(path):
        by_file.setdefault(row["file"], []).append(row)
    slices = []
    for file, names in by_file.items():
        own = next((row for row in names if row["name"] == file), names[0])
        boxes = next((row["boxes"] for row in names if row["boxes"]), "")
        slices.append(replace(slice_of(own, path.parent), boxes=_parse_boxes(boxes)))
    return slices


def slice_of(row: Mapping[str, str], folder: Path) -> IndexedSlice:
    """A row of `read_rows`, from an index in `folder`, by itself."""
    return IndexedSlice(
        path=folder / row["file"],
        file=row["file"],
        source=row["source"],
        label=row["label"],
        tumor=row["tumor"] == "1",
        group=row["group"],
        cluster=row["cluster"],
        fold=int(row["fold"]),
        near=frozenset(int(k) for k in row["near_fold"].split(";") if k),
        boxes=_parse_boxes(row["boxes"]),
        sequence=row.get("sequence", ""),
    )


def write_index(slices: Sequence[IndexedSlice], path: str | Path) -> None:
    """Write slices as an index file that `read_index` reads back.

    Each file is written relative to the index, so that both may be moved together. Where this changes the
    `file` of a slice, results stored under the old one, and the `fingerprint`, no longer match.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, (*COLUMNS, "sequence"), lineterminator="\n")
        writer.writeheader()
        for s in slices:
            file = Path(os.path.relpath(s.path, path.parent)).as_posix()
            writer.writerow(
                {
                    "name": file,
                    "file": file,
                    "source": s.source,
                    "label": s.label,
                    "tumor": int(s.tumor),
                    "group": s.group,
                    "cluster": s.cluster,
                    "fold": s.fold,
                    "near_fold": ";".join(str(k) for k in sorted(s.near)),
                    "boxes": ";".join(" ".join(str(v) for v in box) for box in s.boxes),
                    "sequence": s.sequence,
                }
            )


def image_files(folder: Path) -> list[Path]:
    """All files under a folder with the suffix of a scan, in order."""
    paths = (path for path in walk(folder) if isinstance(path, Path))
    return [path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file()]


def folder_label(parts: Sequence[str]) -> str | None:
    """The class that the innermost class folder names, "" for any tumour; None without a class folder."""
    labels = (class_named(part) for part in reversed(parts))
    return next((label for label in labels if label is not None), None)


def class_named(text: str) -> str | None:
    """The class that a word stands for, "" for any tumour; None where it stands for none."""
    return _CLASS_WORDS.get("".join(c for c in text.lower() if c.isalpha()))


def _read_folder(folder: Path) -> list[IndexedSlice]:
    labelled = []
    for path in image_files(folder):
        label = folder_label(path.relative_to(folder).parts[:-1])
        if label is not None:
            labelled.append((path, label))
    if not labelled:
        raise ValueError(
            f"{folder} has no images in sub-folders named after the classes ({', '.join(CLASSES)})."
        )
    groups = near_duplicate_groups([path for path, _ in labelled]).tolist()
    folds = deal_folds(groups, [label for _, label in labelled])
    return [
        IndexedSlice(
            path=path,
            file=path.relative_to(folder).as_posix(),
            source=folder.resolve().name,
            label=label,
            tumor=label != "no_tumor",
            group=f"group-{group:04d}",
            cluster=f"group-{group:04d}",
            fold=fold,
        )
        for (path, label), group, fold in zip(labelled, groups, folds, strict=True)
    ]


def deal_folds(groups: Sequence[Hashable], labels: Sequence[str]) -> list[int]:
    """Deal whole groups to the folds, the largest first, each to the fold poorest in its commonest class."""
    folds = [0] * len(groups)
    filled: list[Counter[str]] = [Counter() for _ in range(FOLDS)]
    members: dict[Hashable, list[int]] = {}
    for position, group in enumerate(groups):
        members.setdefault(group, []).append(position)
    for positions in sorted(members.values(), key=len, reverse=True):
        counts = Counter(labels[p] for p in positions)
        commonest = counts.most_common(1)[0][0]
        fold = min(range(FOLDS), key=lambda k: (filled[k][commonest], filled[k].total()))
        filled[fold].update(counts)
        for position in positions:
            folds[position] = fold
    return folds


def split(
    slices: Sequence[IndexedSlice],
    test_fold: int | None,
    validation_fold: int | None,
    held_out: Collection[str] = (),
) -> Split:
    """Hold out a test fold and a validation fold, either of which may be None, with all that lies near them.

    Training slices lie in neither fold nor near either; validation slices do not lie near the test fold.

    Args:
        held_out: groups that belong to the test side, whatever their fold.

    Raises:
        LeakError: a group stands on both sides, or both folds are the same.
        ValueError: a side would be empty, or there is no such group.
    """
    if unknown := set(held_out) - {s.group for s in slices}:
        raise ValueError(f"The index has no group {min(unknown)!r} to hold out.")
    if test_fold is not None and test_fold == validation_fold:
        raise LeakError(f"Fold {test_fold} cannot be the test fold and the validation fold at once.")
    folds = {fold for fold in (test_fold, validation_fold) if fold is not None}
    test = [s for s in slices if s.fold == test_fold or s.group in held_out]
    rest = [s for s in slices if s.group not in held_out]
    validation = [s for s in rest if s.fold == validation_fold and test_fold not in s.near]
    train = [s for s in rest if s.fold not in folds and not s.near & folds]
    result = Split(train, validation, test)
    sides = ((test_fold, test), (validation_fold, validation))
    if not train or any(fold is not None and not side for fold, side in sides):
        raise ValueError(
            f"Holding out fold {test_fold} for the test and {validation_fold} for validation leaves "
            f"{len(train)} slices to train on, {len(validation)} to validate and {len(test)} to test."
        )
    refuse_leaks(train, validation)
    refuse_leaks(train + validation, test, () if test_fold is None else (test_fold,))
    return result


def split_source(slices: Sequence[IndexedSlice], source: str) -> Split:
    """Hold out a whole source as the test side, for a model that has never met its hospitals.

    Slices of other sources that share a group with the held-out ones are not trained on.

    Raises:
        ValueError: a side would be empty.
    """
    test = [s for s in slices if s.source == source]
    groups = {s.group for s in test}
    train = [s for s in slices if s.source != source and s.group not in groups]
    if not train or not test:
        sources = ", ".join(sorted({s.source for s in slices}))
        raise ValueError(f"The source {source!r} cannot be held out. The index has {sources}.")
    return Split(train, [], test)


def without_near_duplicates(parts: Split) -> Split:
    """Remove near-duplicates of other sides from training, and of the test side from validation.

    The groups of an index may come from another measure than `brat.data.near_duplicates`. Then
    near-duplicates remain between its folds. The test side stays whole, so that results remain comparable.
    """
    train, validation, test = (
        thumbnails([s.path for s in side]) for side in (parts.train, parts.validation, parts.test)
    )
    train_has_one = has_near_duplicate(train, np.concatenate([validation, test]))
    validation_has_one = has_near_duplicate(validation, test)
    return Split(
        [s for s, has_one in zip(parts.train, train_has_one, strict=True) if not has_one],
        [s for s, has_one in zip(parts.validation, validation_has_one, strict=True) if not has_one],
        parts.test,
    )


def without_masses(parts: Split) -> Split:
    """Remove from training what `brat.data.sources.shows_mass` lists.

    To learn from a mass that is called none would be to learn to overlook it.
    """
    return replace(parts, train=[s for s in parts.train if not shows_mass(s.file)])


def refuse_leaks(
    seen: Sequence[IndexedSlice], unseen: Sequence[IndexedSlice], folds: Collection[int] | None = None
) -> None:
    """Raise `LeakError` where a file, a group or a near fold stands on both sides.

    Args:
        folds: that are unseen as a whole; by default those of the unseen slices.
    """
    for attribute in ("file", "group"):
        if both := {getattr(s, attribute) for s in seen} & {getattr(s, attribute) for s in unseen}:
            raise LeakError(
                f"{len(both)} {attribute}(s) stand on both sides of the split, {min(both)!r} among them. "
                f"Give each {attribute} one fold in the index."
            )
    folds = {s.fold for s in unseen} if folds is None else set(folds)
    if near := [s for s in seen if s.near & folds]:
        raise LeakError(
            f"{len(near)} slices on the training side, {near[0].file!r} among them, lie near fold "
            f"{sorted(near[0].near & folds)[0]} and may show the same patients. Leave them out."
        )


def fingerprint(slices: Sequence[IndexedSlice]) -> str:
    """SHA-256 over every slice's file name, content, label, group and fold: it identifies training data."""
    total = hashlib.sha256()
    for s in sorted(slices, key=lambda s: s.file):
        content = hashlib.sha256(s.path.read_bytes()).hexdigest()
        total.update(f"{s.file}\0{content}\0{s.label}\0{s.tumor:d}\0{s.group}\0{s.fold}\n".encode())
    return total.hexdigest()


def count_classes(slices: Sequence[IndexedSlice]) -> dict[str, int]:
    """Number of slices of each class; `tumor_of_unknown_class` counts tumours without a known class."""
    counts = Counter(s.label or "tumor_of_unknown_class" for s in slices)
    return {name: counts[name] for name in (*CLASSES, "tumor_of_unknown_class")}
