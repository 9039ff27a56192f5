"""What a collection repeats: exact and near-duplicates inside it, across its splits, and between collections.

An audit works on *names*, because one image may have several and each may be labelled anew. A name belongs
to a collection (an index's `source`; in a folder the first sub-folder, or the folder itself where that is a
split or a class) and to a split (its innermost folder called train, test, validation or the like). Two
names are *exact* twins where their files decode to the same pixels, and *near* twins where
`brat.twins` says so; every exact twin is also a near one.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from brat import CLASSES
from brat.datasets import folder_label, image_files, read_rows
from brat.preprocess import frame
from brat.scans import UnreadableScan, read_scan
from brat.twins import NEAR_DUPLICATE, nearest, similar_pairs, thumbnail

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

_EXAMPLE_OFFSETS = (0.04, 0.03, 0.02, 0.01, 0.003, 0.002, 0.001, 0, 0, -0.001, -0.002, -0.003, -0.01, -0.02, -0.03, -0.05)
"""From the threshold, where the picture shows a pair: the first half counts as near-duplicates."""


@dataclass(frozen=True)
class Name:
    """One name of an image.

    Attributes:
        name: its path in the collection.
        path: where the image lies.
        collection: see the module.
        split: one of `SPLITS`, or empty.
        label: one of `CLASSES`, empty for a tumour of unknown class, None where nothing is said.
        fold, near: as in `brat.datasets.Slice`; None and empty in a folder.
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
        """Collection and split, for people: `sartaj/test`."""
        return f"{self.collection}/{self.split}" if self.split else self.collection


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        report: plain data, as written to JSON. Shares are of names, 0 to 1. Its matrices hold `of` (the
            sets of names), `names` (how many each has), and `exact` and `near`, where [i][j] is the share
            of set i with a twin, other than itself, in set j. In `folds`, j stands for what
            `brat.datasets.split` trains on when fold i is the test fold.
        paths: of every name that the report's examples give.
    """

    report: dict
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
    twins = _Twins(images, *similar_pairs(thumbs))
    index, similarity = nearest(thumbs) if len(thumbs) > 1 else (np.empty(0, int), np.empty(0))
    conflicts = _label_conflicts(names, twins)
    examples = {
        "threshold": _threshold_examples(names, images, index, similarity),
        "across_splits": _split_examples(names, twins),
        "labels": [example for conflict in conflicts for example in conflict["examples"]],
    }
    counts, edges = np.histogram(np.clip(similarity, 0, 1), bins=100, range=(0, 1))
    report = {
        "source": str(source),
        "names": len(names),
        "files": len({name.path for name in names}),
        "images": len(thumbs),
        "unreadable": [
            {"name": name.name, "why": unreadable[name.path]} for name in listed if name.path in unreadable
        ],
        "threshold": NEAR_DUPLICATE,
        "collections": twins.matrix(_sets([name.collection for name in names])),
        "splits": _split_matrices(names, twins),
        "folds": _fold_matrix(names, twins),
        "label_conflicts": conflicts,
        "nearest": {
            "edges": edges.round(2).tolist(),
            "counts": counts.tolist(),
            "threshold": NEAR_DUPLICATE,
        },
        "examples": examples,
    }
    shown = {pair[side] for pairs in examples.values() for pair in pairs for side in ("left", "right")}
    return Audit(report, {name.name: name.path for name in names if name.name in shown})


def write_audit(
    source: str | Path, json_file: str | Path | None = None, picture_file: str | Path | None = None
) -> str:
    """Audit, write what is asked for, and return the report for the terminal; raises as `audit`.

    The picture shows images of the collections and is bound by their licences.
    """
    found = audit(source)
    if json_file:
        Path(json_file).write_text(json.dumps(found.report, indent=2) + "\n", encoding="utf-8")
    if picture_file:
        draw_audit(found).save(picture_file)
    return describe(found.report)


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
    """Number files by what they decode to.

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


class _Twins:
    """Who is whose twin: image numbers of the names, and the pairs of images that are near-duplicates."""

    def __init__(self, images: np.ndarray, left: np.ndarray, right: np.ndarray, similarity: np.ndarray):
        from scipy.sparse import coo_array

        count = images.max() + 1
        itself = np.arange(count)
        self.images = images
        # Every image is its own twin: that is how two names of one image meet.
        self.left = np.concatenate([itself, left])
        self.right = np.concatenate([itself, right])
        self.similarity = np.concatenate([np.ones(count), similarity])
        rows, columns = np.concatenate([self.left, right]), np.concatenate([self.right, left])
        self._near = coo_array((np.ones(len(rows), int), (rows, columns)), shape=(count, count)).tocsr()

    def with_twin(self, of: np.ndarray, within: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of some names have an exact twin, and which a near one, other than themselves, among others.

        Args:
            of, within: bool (n,), the two sets of names.

        Returns:
            Two bool arrays, a value for each True of `of`.
        """
        counts = np.bincount(self.images[within], minlength=self._near.shape[0])
        asked, itself = self.images[of], within[of].astype(int)
        return counts[asked] > itself, (self._near @ counts)[asked] > itself

    def matrix(self, sets: dict[Hashable, np.ndarray]) -> dict:
        """Shares of every set with twins in every set, see `Audit`."""
        shares = [[self._shares(of, within) for within in sets.values()] for of in sets.values()]
        return {
            "of": list(sets),
            "names": [int(of.sum()) for of in sets.values()],
            "exact": [[exact for exact, _ in row] for row in shares],
            "near": [[near for _, near in row] for row in shares],
        }

    def _shares(self, of: np.ndarray, within: np.ndarray) -> tuple[float, float]:
        exact, near = self.with_twin(of, within)
        return round(float(exact.mean()), 4), round(float(near.mean()), 4)
