"""What training is fed with: slices drawn by chance, varied, with the targets of the loss."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import cv2
import keras
import numpy as np
from tqdm import tqdm

from brat.classes import CLASSES
from brat.data.index import IndexedSlice
from brat.io.read import read_scan
from brat.model.preprocess import SIZE, frame, to_input
from brat.perturb.skull import without_skull
from brat.training.appearance import vary_appearance
from brat.training.augmentation import augmentation
from brat.training.network import STRIDE
from brat.training.recipe import Recipe


class Slices(keras.utils.PyDataset):
    """Batches of framed slices with their `MapLoss` targets: every slice once, in order.

    Attributes:
        size: pixels a side of the slices in a batch, a multiple of 32; may be changed between batches.
    """

    size: int = SIZE

    def __init__(self, slices: Sequence[IndexedSlice], batch_size: int = 32):
        super().__init__()
        self._batch = batch_size
        self._framed = np.empty((len(slices), SIZE, SIZE), np.uint8)
        self._masks = np.zeros((len(slices), SIZE, SIZE), np.uint8)
        self._allowed = np.array([s.allowed for s in slices])
        for row, s in enumerate(tqdm(slices, desc="reading slices", unit="slice")):
            self._framed[row], geometry = frame(read_scan(s.path).gray)
            for box in s.boxes:
                draw_tumor(self._masks[row], geometry.box_to_input(box))

    def __len__(self) -> int:
        return -(-len(self._framed) // self._batch)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        rows = np.arange(number * self._batch, min((number + 1) * self._batch, len(self._framed)))
        return self._as_batch(rows, self._framed[rows], self._masks[rows])

    def _as_batch(
        self, rows: np.ndarray, framed: np.ndarray, masks: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        if self.size != SIZE:
            framed, masks = (
                np.stack(
                    [cv2.resize(image, (self.size, self.size), interpolation=cv2.INTER_AREA) for image in of]
                )
                for of in (framed, masks)
            )
        return to_input(framed), np.concatenate([self._allowed[rows], tumor_share(masks)], axis=1)


class DrawnSlices(Slices):
    """Slices drawn with the chances of `draw_chances`, in varied appearance and pose.

    The seed, the epoch and its number settle a batch.
    """

    def __init__(self, slices: Sequence[IndexedSlice], recipe: Recipe, first_epoch: int = 0):
        super().__init__(slices, recipe.batch_size)
        self._recipe = recipe
        self._epoch = first_epoch
        self._chances = draw_chances(slices)
        self._bared: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._augment = augmentation()

    def __len__(self) -> int:
        return -(-self._recipe.slices_per_epoch // self._batch)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        draw = np.random.default_rng((self._recipe.seed, self._epoch, number))
        rows = draw.choice(len(self._framed), size=self._batch, p=self._chances)
        self._augment.set_random_seed(int(draw.integers(2**31)))
        others = draw.choice(len(self._framed), size=self._batch, p=self._chances)
        varied = []
        for row, other in zip(rows, others, strict=True):
            framed, mask = self._framed[row], self._masks[row]
            is_tumor_free = bool(self._allowed[row, _NO_TUMOR])
            # Where a tumour lies must be known, or it might go with the skull.
            share = self._recipe.bare_others if is_tumor_free else self._recipe.bare_tumors
            if draw.random() < share and (is_tumor_free or mask.any()):
                framed, mask = self._bare(row)
            varied.append(self._augment(image=vary_appearance(framed, self._framed[other], draw), mask=mask))
        framed = np.stack([slice_["image"] for slice_ in varied])
        return self._as_batch(rows, framed, np.stack([slice_["mask"] for slice_ in varied]))

    def _bare(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """`bare`, done once for each slice: to look for the brain took a seventh of an epoch."""
        if row not in self._bared:
            self._bared[row] = bare(self._framed[row], self._masks[row])
        return self._bared[row]

    def on_epoch_end(self) -> None:
        self._epoch += 1


KEPT = 0.9
"""Of a tumour, that must be left where the skull is removed."""

_NO_TUMOR = CLASSES.index("no_tumor")


def bare(framed: np.ndarray, tumor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A framed slice without its skull, framed anew; as it is where the skull cannot be removed.

    Args:
        framed: uint8 (size, size).
        tumor: uint8 (size, size), 255 in the tumour.

    Returns:
        both, uint8 (size, size) each.
    """
    brain = without_skull(framed)
    if brain is None:
        return framed, tumor
    left = np.where(brain > 0, tumor, 0).astype(np.uint8)
    if np.count_nonzero(left) < KEPT * np.count_nonzero(tumor):
        return framed, tumor
    anew, geometry = frame(brain)
    return anew, cv2.resize(geometry.crop(left), anew.shape, interpolation=cv2.INTER_LINEAR)


NO_TUMOR_SHARE = 0.33
"""Of the draws of a sequence that has slices with and without a tumour."""

_LEVELS: tuple[tuple[Callable[[IndexedSlice], Hashable], float], ...] = (
    (lambda s: s.sequence, 1.25),
    (lambda s: s.tumor, 0.0),
    (lambda s: s.label, 0.0),
    (lambda s: s.site, 0.5),
)
"""How a chance is dealt, level by level: to each value in proportion to its slices to a power."""


def draw_chances(slices: Sequence[IndexedSlice]) -> np.ndarray:
    """How likely each slice is to be drawn, float (n,), summing to 1.

    Within a sequence, slices with and without a tumour are drawn at fixed shares. Neither contrast medium nor
    the sequence then tells whether there is a tumour. Next the classes are drawn alike, and the sites of a
    class in proportion to the square roots of their slices.
    """
    chances = np.zeros(len(slices))
    _deal(slices, list(range(len(slices))), 1.0, 0, chances)
    return chances


def _deal(
    slices: Sequence[IndexedSlice], rows: list[int], chance: float, level: int, chances: np.ndarray
) -> None:
    if level == len(_LEVELS):
        chances[rows] = chance / len(rows)
        return
    value_of, power = _LEVELS[level]
    members: dict[Hashable, list[int]] = {}
    for row in rows:
        members.setdefault(value_of(slices[row]), []).append(row)
    weights = {value: len(those) ** power for value, those in members.items()}
    if members.keys() == {True, False}:
        weights = {True: 1 - NO_TUMOR_SHARE, False: NO_TUMOR_SHARE}
    for value, those in members.items():
        _deal(slices, those, chance * weights[value] / sum(weights.values()), level + 1, chances)


def draw_tumor(mask: np.ndarray, box: tuple[float, float, float, float]) -> None:
    """Fill the ellipse inscribed in a box (x_center, y_center, width, height, pixels) with 255, in place.

    An ellipse is nearer to a tumour's outline than its box is, and stays what it is when turned.
    """
    x, y, width, height = box
    center = (round(x), round(y))
    axes = (max(1, round(width / 2)), max(1, round(height / 2)))
    cv2.ellipse(mask, center, axes, 0, 0, 360, 255, thickness=-1)


def tumor_share(masks: np.ndarray) -> np.ndarray:
    """uint8 (n, size, size) -> float32 (n, (size / 16) ** 2), each cell's share of tumour, 0 to 1."""
    side = masks.shape[1] // STRIDE
    cells = masks.reshape(-1, side, STRIDE, side, STRIDE).astype(np.float32)
    return cells.mean(axis=(2, 4)).reshape(len(masks), -1) / 255
