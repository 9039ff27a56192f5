"""Find exact duplicates and near-duplicates in a collection, across its splits, and between collections.

An audit works on *names*, because one image may have several names, each with a label of its own. A name
belongs to a collection: an index's `source`; in a folder the first sub-folder, or the folder itself where
that is a split or a class. It may belong to a split: its innermost folder called train, test, validation or
the like.

Two names are *exact* duplicates where their files decode to the same pixels, and *near*-duplicates where
their images are close enough by `brat.data.near_duplicates`. Every exact duplicate is also a near-duplicate.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from brat.classes import CLASSES
from brat.data.index import folder_label, image_files, read_rows
from brat.data.near_duplicates import NEAR_DUPLICATE, nearest, similar_pairs, thumbnail
from brat.figures.audit import draw_audit
from brat.io.read import read_scan
from brat.io.scan import UnreadableScan

SPLITS = ("train", "validation", "test")

_SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}

_LADDER = (0.0, 0.001, 0.002, 0.003, 0.01, 0.02, 0.03, 0.04)
"""Distances from the threshold, on either side, at which example pairs are chosen."""

_EXAMPLES = 8


@dataclass(frozen=True)
class Name:
    """One name of an image.

    Attributes:
        name: its path in the collection.
        path: where the image lies.
        collection: see the module.
        split: one of `SPLITS`, or empty.
        label: one of `CLASSES`, empty for a tumour of unknown class, None where it is not labelled.
        fold, near: as in `brat.data.index.IndexedSlice`; None and empty in a folder.
    """

    name: str
    path: Path
    collection: str
    split: str
    label: str | None
    fold: int | None = None
    near: frozenset[int] = frozenset()

    @property
    def place(self) -> str:
        """Collection and split, for people: `source/test`."""
        return f"{self.collection}/{self.split}" if self.split else self.collection


@dataclass(frozen=True)
class Audit:
    """The findings of an audit.

    Attributes:
        findings: plain data, as written to JSON. Shares are of names, 0 to 1. Its matrices hold `of` (the
            sets of names), `names` (how many each has), and `exact` and `near`, where [i][j] is the share of
            set i with a duplicate in set j; a name is never its own duplicate. `folds` has [i] instead: the
            share of fold i with a duplicate among the slices that `brat.data.index.split` trains on when i is
            the test fold.
        paths: of every name among the examples.
    """

    findings: dict
    paths: dict[str, Path]


def audit(source: str | Path) -> Audit:
    """Audit an index file or a folder of images; about 2 ms a file, and a few hundred bytes of memory a pair.

    Files that cannot be read are listed and left out.

    Raises:
        FileNotFoundError: there is nothing at `source`.
        ValueError: it is not an index, or holds no image that can be read.
    """
    source = Path(source)
    listed = _names_in_folder(source) if source.is_dir() else _names_in_index(source)
    image_of, thumbs, unreadable = _read({name.path for name in listed})
    names = [name for name in listed if name.path in image_of]
    if not names:
        raise ValueError(f"{source} has no image that can be read.")
    images = np.array([image_of[name.path] for name in names])
    duplicates = _Duplicates(images, *similar_pairs(thumbs))
    neighbour, similarity = nearest(thumbs) if len(thumbs) > 1 else (np.empty(0, int), np.empty(0))
    conflicts = _label_conflicts(names, duplicates)
    examples = {
        "threshold": _threshold_examples(names, images, neighbour, similarity),
        "across_splits": _split_examples(names, duplicates),
        "labels": [example for conflict in conflicts for example in conflict["examples"]],
    }
    edges = np.round(np.linspace(0, 1, 101), 2)
    counts, _ = np.histogram(np.clip(similarity, 0, 1), edges)
    findings = {
        "source": str(source),
        "names": len(names),
        "files": len({name.path for name in names}),
        "images": len(thumbs),
        "unreadable": [
            {"name": name.name, "why": unreadable[name.path]} for name in listed if name.path in unreadable
        ],
        "threshold": NEAR_DUPLICATE,
        "collections": duplicates.matrix(_sets([name.collection for name in names])),
        "splits": _split_matrices(names, duplicates),
        "folds": _fold_matrix(names, duplicates),
        "label_conflicts": conflicts,
        "nearest": {
            "edges": edges.tolist(),
            "counts": counts.tolist(),
            "threshold": NEAR_DUPLICATE,
        },
        "examples": examples,
    }
    shown = {pair[side] for pairs in examples.values() for pair in pairs for side in ("left", "right")}
    return Audit(findings, {name.name: name.path for name in names if name.name in shown})


def write_audit(
    source: str | Path, json_file: str | Path | None = None, picture_file: str | Path | None = None
) -> str:
    """Audit, write the files that are asked for, and return the findings as text; raises as `audit`.

    The picture shows images of the collections and is bound by their licences.
    """
    audited = audit(source)
    if json_file:
        Path(json_file).write_text(json.dumps(audited.findings, indent=2) + "\n", encoding="utf-8")
    if picture_file:
        draw_audit(audited.findings, audited.paths).save(picture_file)
    return describe(audited.findings)


def _names_in_index(path: Path) -> list[Name]:
    return [
        Name(
            name=row["name"],
            path=path.parent / row["file"],
            collection=row["source"],
            split=_split_of(row["name"].split("/")[:-1]),
            label=row["label"],
            fold=int(row["fold"]),
            near=frozenset(int(k) for k in row["near_fold"].split(";") if k),
        )
        for row in read_rows(path)
    ]


def _names_in_folder(folder: Path) -> list[Name]:
    own = folder.resolve().name
    names = []
    for path in image_files(folder):
        relative = path.relative_to(folder)
        parts = relative.parts[:-1]
        plain = bool(parts) and not _split_of(parts[:1]) and folder_label(parts[:1]) is None
        names.append(
            Name(
                name=relative.as_posix(),
                path=path,
                collection=parts[0] if plain else own,
                split=_split_of(parts),
                label=folder_label(parts),
            )
        )
    return names


def _split_of(parts: Sequence[str]) -> str:
    return next((_SPLIT_FOLDERS[p.lower()] for p in reversed(parts) if p.lower() in _SPLIT_FOLDERS), "")


def _read(paths: set[Path]) -> tuple[dict[Path, int], np.ndarray, dict[Path, str]]:
    """Number files by the pixels that they decode to.

    Returns:
        The image number of each file, a thumbnail for each image, and why the other files cannot be read.
    """
    image_of: dict[Path, int] = {}
    numbers: dict[bytes, int] = {}
    thumbs: list[np.ndarray] = []
    unreadable: dict[Path, str] = {}
    for path in tqdm(sorted(paths), desc="reading slices", unit="slice", disable=None):
        try:
            gray = read_scan(path).gray
        except UnreadableScan as error:
            unreadable[path] = str(error)
            continue
        digest = hashlib.sha256(str(gray.shape).encode() + gray.tobytes()).digest()
        if digest not in numbers:
            numbers[digest] = len(thumbs)
            thumbs.append(thumbnail(gray))
        image_of[path] = numbers[digest]
    return image_of, np.array(thumbs), unreadable


class _Duplicates:
    """The image numbers of the names, and the pairs of images that are duplicates, exact or near."""

    def __init__(self, images: np.ndarray, left: np.ndarray, right: np.ndarray, similarity: np.ndarray):
        itself = np.arange(images.max() + 1)
        self.images = images
        # Every image makes a pair with itself: that is how two names of one image meet.
        self.left = np.concatenate([itself, left])
        self.right = np.concatenate([itself, right])
        self.similarity = np.concatenate([np.ones(len(itself)), similarity])

    def has_duplicate(self, first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which names of the first set have an exact duplicate in the second, and which a near-duplicate.

        A name is not its own duplicate.

        Args:
            first, second: bool (n,), the two sets of names.

        Returns:
            Two bool arrays, exact and near, with a value for each True of `first`.
        """
        exact = np.bincount(self.images[second], minlength=self.images.max() + 1)
        near = np.bincount(self.left, exact[self.right]) + np.bincount(self.right, exact[self.left])
        near -= exact  # The pair of an image with itself counted it from both sides.
        images, itself = self.images[first], second[first]
        return exact[images] > itself, near[images] > itself

    def matrix(self, sets: Mapping[Any, np.ndarray]) -> dict:
        """Share of every set that has a duplicate in every set, see `Audit`."""
        fractions = [[self.fractions(first, second) for second in sets.values()] for first in sets.values()]
        return {
            "of": list(sets),
            "names": [int(members.sum()) for members in sets.values()],
            "exact": [[exact for exact, _ in row] for row in fractions],
            "near": [[near for _, near in row] for row in fractions],
        }

    def fractions(self, first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
        """Fractions of the names of one set with a duplicate in another, exact and near."""
        exact, near = self.has_duplicate(first, second)
        return round(float(exact.mean()), 4), round(float(near.mean()), 4)


def _sets(keys: Sequence[Any], order: Sequence[Any] | None = None) -> dict[Any, np.ndarray]:
    of_names = np.array(keys)
    return {key: of_names == key for key in (order or sorted(set(keys))) if key in keys}


def _split_matrices(names: Sequence[Name], duplicates: _Duplicates) -> dict[str, dict]:
    matrices = {}
    for collection, inside in _sets([name.collection for name in names]).items():
        sets = _sets([name.split for name in names], order=SPLITS)
        sets = {split: members & inside for split, members in sets.items() if (members & inside).any()}
        if sets:
            matrices[collection] = duplicates.matrix(sets)
    return matrices


def _fold_matrix(names: Sequence[Name], duplicates: _Duplicates) -> dict | None:
    if names[0].fold is None:
        return None
    tested = _sets([name.fold for name in names])
    trained = {
        fold: ~members & np.array([fold not in name.near for name in names])
        for fold, members in tested.items()
    }
    fractions = [duplicates.fractions(tested[fold], trained[fold]) for fold in tested]
    return {
        "of": list(tested),
        "names": [int(members.sum()) for members in tested.values()],
        "exact": [exact for exact, _ in fractions],
        "near": [near for _, near in fractions],
    }


def _label_conflicts(names: Sequence[Name], duplicates: _Duplicates) -> list[dict]:
    """Duplicates that no single label fits, grouped by their places and labels."""
    fits: dict[str | None, set[str]] = {label: {label} for label in CLASSES}
    fits[""] = set(CLASSES) - {"no_tumor"}
    labels = list(fits)
    clash = np.array([[row.isdisjoint(column) for column in fits.values()] for row in fits.values()])
    given = np.zeros((duplicates.images.max() + 1, len(labels)), bool)
    names_of = defaultdict(list)
    for name, image in zip(names, duplicates.images, strict=True):
        if name.label is not None:
            given[image, labels.index(name.label)] = True
            names_of[image].append(name)
    pairs = np.flatnonzero(((given[duplicates.left] @ clash) & given[duplicates.right]).any(axis=1))
    conflicting: dict[tuple, dict[tuple[str, str], float]] = defaultdict(dict)
    for pair in pairs[np.argsort(-duplicates.similarity[pairs], kind="stable")]:
        left, right = duplicates.left[pair], duplicates.right[pair]
        for left_name in names_of[left]:
            for right_name in names_of[right]:
                if fits[left_name.label].isdisjoint(fits[right_name.label]):
                    a, b = sorted(
                        (left_name, right_name), key=lambda name: (name.place, name.label, name.name)
                    )
                    key = ("exact" if left == right else "near", a.place, a.label, b.place, b.label)
                    conflicting[key][a.name, b.name] = float(duplicates.similarity[pair])
    conflicts = [
        {
            "kind": kind,
            "left": {"place": place, "label": label, "names": len({a for a, _ in pairs})},
            "right": {"place": other_place, "label": other_label, "names": len({b for _, b in pairs})},
            "examples": [_example(a, b, similarity) for (a, b), similarity in list(pairs.items())[:2]],
        }
        for (kind, place, label, other_place, other_label), pairs in conflicting.items()
    ]
    return sorted(conflicts, key=lambda c: (c["kind"], -c["left"]["names"] - c["right"]["names"]))


def _example(left: str, right: str, similarity: float) -> dict:
    return {
        "left": left,
        "right": right,
        "similarity": round(min(similarity, 1.0), 4),
        "near_duplicates": similarity > NEAR_DUPLICATE,
    }


def _threshold_examples(
    names: Sequence[Name], images: np.ndarray, neighbour: np.ndarray, similarity: np.ndarray
) -> list[dict]:
    """Pairs of nearest neighbours on both sides of the threshold, the most similar first."""
    first = {image: name.name for name, image in zip(reversed(names), images[::-1], strict=True)}
    pairs = {(min(i, j), max(i, j)): s for i, (j, s) in enumerate(zip(neighbour, similarity, strict=True))}
    chosen: set[tuple[int, int]] = set()
    for sign in (1, -1):
        side = {pair for pair, s in pairs.items() if (s > NEAR_DUPLICATE) == (sign == 1)}
        for step in _LADDER:
            if left := side - chosen:
                aim = NEAR_DUPLICATE + sign * step
                chosen.add(min(left, key=lambda pair: (abs(pairs[pair] - aim), pair)))
    examples = [_example(first[i], first[j], float(pairs[i, j])) for i, j in chosen]
    return sorted(examples, key=lambda example: (-example["similarity"], example["left"]))


def _split_examples(names: Sequence[Name], duplicates: _Duplicates) -> list[dict]:
    """Duplicates in two splits of one collection, from the most similar to the least."""
    names_of = defaultdict(list)
    for name, image in zip(names, duplicates.images, strict=True):
        if name.split:
            names_of[image].append(name)
    examples = []
    for left, right, similarity in zip(duplicates.left, duplicates.right, duplicates.similarity, strict=True):
        for left_name in names_of.get(left, ()):
            for right_name in names_of.get(right, ()):
                if left_name.collection == right_name.collection and left_name.split < right_name.split:
                    examples.append(_example(left_name.name, right_name.name, float(similarity)))
    examples.sort(key=lambda example: (-example["similarity"], example["left"]))
    shown = min(_EXAMPLES, len(examples))
    return [examples[len(examples) * k // shown] for k in range(shown)]


def describe(findings: dict) -> str:
    """The findings of an audit as text for the terminal."""
    lines = [
        f"{findings['source']}: {findings['names']:,} names, {findings['files']:,} files, "
        f"{findings['images']:,} different images",
        f"exact: decodes to the same pixels.  near: the framed heads, at 32 x 32, correlate above "
        f"{findings['threshold']} (exact ones included).",
    ]
    if unreadable := findings["unreadable"]:
        lines += ["", f"{len(unreadable):,} names cannot be read and are left out:"]
        lines += [f"  {file['name']}: {file['why']}" for file in unreadable[:5]]
    collections = findings["collections"]
    inside = [np.diagonal(collections[kind]) for kind in ("exact", "near")]
    lines += ["", "Share of names with a duplicate in the same collection"]
    lines += _table(collections, ("exact", "near"), _percent(*inside))
    for collection, matrix in findings["splits"].items():
        lines += [
            "",
            f"{collection}: share of names with a duplicate in the split above the column, near (exact)",
        ]
        lines += _matrix_table(matrix)
    if len(collections["of"]) > 1:
        lines += ["", "Share of names with a duplicate in the collection above, near (exact)"]
        lines += _matrix_table(collections)
    if folds := findings["folds"]:
        lines += ["", "Share of a fold's names with a duplicate in the training set when that fold is tested"]
        lines += _table(folds, ("exact", "near"), _percent(folds["exact"], folds["near"]))
    lines += [
        "",
        "Labels that disagree for duplicates" + ("" if findings["label_conflicts"] else ": none"),
    ]
    for conflict in findings["label_conflicts"]:
        sides = [
            f"{conflict[side]['names']:,} in {conflict[side]['place']} "
            f"labelled {conflict[side]['label'] or 'only as a tumour'}"
            for side in ("left", "right")
        ]
        example = conflict["examples"][0]
        lines.append(f"  {conflict['kind']}: {', '.join(sides)}")
        lines.append(f"    {example['similarity']:.3f}  {example['left']}  {example['right']}")
    return "\n".join(lines)


def _percent(*columns: Iterable[float]) -> list[list[str]]:
    return [[f"{100 * share:.1f} %" for share in row] for row in zip(*columns, strict=True)]


def _matrix_table(matrix: dict) -> list[str]:
    cells = [
        [f"{100 * near:.1f} % ({100 * exact:.1f} %)" for near, exact in zip(*rows, strict=True)]
        for rows in zip(matrix["near"], matrix["exact"], strict=True)
    ]
    return _table(matrix, matrix["of"], cells)


def _table(matrix: dict, heads: Sequence[str], cells: list[list[str]]) -> list[str]:
    rows = [["", "names", *heads]]
    for row_name, count, values in zip(matrix["of"], matrix["names"], cells, strict=True):
        rows.append([str(row_name), f"{count:,}", *values])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(["", row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
