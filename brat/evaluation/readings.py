"""A model's readings of many slices; all results are computed from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from brat.data.index import IndexedSlice
from brat.io.read import read_scan
from brat.model.classifier import Classifier
from brat.model.preprocess import frame, to_input


@dataclass(frozen=True, eq=False)
class Readings:
    """A model's raw outputs for a list of slices.

    Attributes:
        slices: the n slices.
        maps: float32 (n, 14, 14, 4), the class maps, unclipped.
        heads: float32 (n,), the head's share of the model's input, 0 to 1.
        boxes: for each slice its tumour boxes, float32 (k, 4), x_center, y_center, width, height in
            pixels of the model's input.
    """

    slices: list[IndexedSlice]
    maps: np.ndarray
    heads: np.ndarray
    boxes: list[np.ndarray]

    @property
    def logits(self) -> np.ndarray:
        """float32 (n, 4)."""
        return self.maps.mean(axis=(1, 2))

    def take(self, rows: Sequence[int] | np.ndarray) -> Readings:
        """The readings at these positions."""
        return Readings(
            [self.slices[row] for row in rows],
            self.maps[rows],
            self.heads[rows],
            [self.boxes[row] for row in rows],
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Readings]) -> Readings:
        """Several readings as one."""
        return cls(
            [s for part in parts for s in part.slices],
            np.concatenate([part.maps for part in parts]),
            np.concatenate([part.heads for part in parts]),
            [boxes for part in parts for boxes in part.boxes],
        )

    def save(self, path: Path) -> None:
        """Write everything but the slices themselves; their `file` names identify them."""
        counts = [len(boxes) for boxes in self.boxes]
        np.savez_compressed(
            path,
            files=np.array([s.file for s in self.slices]),
            # Half precision moves a probability by less than a thousandth, and the file is a third as large.
            maps=self.maps.astype(np.float16),
            heads=self.heads,
            boxes=np.concatenate(self.boxes),
            box_counts=counts,
        )

    @classmethod
    def load(cls, path: Path, slices: Sequence[IndexedSlice]) -> Readings:
        """Read what `save` wrote; `slices` holds at least the slices that were read.

        Raises:
            KeyError: a slice is not in `slices`.
        """
        by_file = {s.file: s for s in slices}
        with np.load(path) as stored:
            boxes = np.split(stored["boxes"], np.cumsum(stored["box_counts"])[:-1])
            slices_read = [by_file[file] for file in stored["files"]]
            return cls(slices_read, stored["maps"].astype(np.float32), stored["heads"], boxes)


def read_slices(classifier: Classifier, slices: Sequence[IndexedSlice]) -> Readings:
    """Read every slice with a model, with a progress bar."""
    maps, heads, boxes = [], [], []
    for s in tqdm(slices, desc="reading", unit="slice"):
        framed, geometry = frame(read_scan(s.path).gray)
        prediction = classifier.predict(to_input(framed))
        maps.append(prediction.maps)
        heads.append(head_share(framed))
        boxes.append(np.array([geometry.box_to_input(box) for box in s.boxes], np.float32).reshape(-1, 4))
    return Readings(
        list(slices),
        np.stack(maps),
        np.array(heads, np.float32),
        boxes,
    )


def head_share(framed: np.ndarray) -> float:
    """Share of a framed slice, uint8 (224, 224), that the convex hull of everything bright covers."""
    points = cv2.findNonZero((framed > 0.12 * 255).astype(np.uint8))
    return 0.0 if points is None else float(cv2.contourArea(cv2.convexHull(points))) / framed.size
