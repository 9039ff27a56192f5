"""The out-of-distribution check: is this image like the slices that the model learned from?

A slice is described in three parts: facts about the framed picture, how its edges run, and the model's pooled
features. Each part is whitened on the slices that the model learned from. The score is the distance to the
nearest of these slices (Sun et al. 2022, "Out-of-distribution detection with deep nearest neighbors", arXiv
2204.06507), divided by a limit. Nearly all slices that a model has not seen lie within the limit. The
features alone are not enough: a network that has only met heads says little about an image without a head.

`brat.evaluation.fit_out_of_distribution` fits a detector.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from brat.model.files import ModelError

_UNLIKE = "Its appearance is unlike every slice that the model learned from."
_EDGES = "Its contours do not run as those of a head do."
_OUTLINE = "It does not have the outline of a head."
_BACKGROUND = "It has no dark background around a head."
_GREY_LEVELS = "Its grey levels are not spread as those of an MRI slice are."
_DETAIL = "It is much smoother, or much more finely patterned, than an MRI slice."

_SENTENCES = (*[_OUTLINE] * 4, *[_BACKGROUND] * 3, *[_GREY_LEVELS] * 5, *[_DETAIL] * 5)
"""The reason to give where one fact stands out most; in the order of `image_facts`, without the edges."""

_DAMAGED = (
    "The out-of-distribution detector of the model is damaged: an array of it is missing, has another shape, "
    "or holds numbers that are not finite. Copy the model's folder again, or fit it again with `brat "
    "results`."
)

_PARTS = 3
"""A description has three parts, see `split_parts`."""

_BRIGHT = 31
"""Grey level from which a pixel of a framed slice belongs to the head, as in
`brat.model.preprocess.find_head`."""

_BLACK = 9
"""Grey level below which a pixel counts as black."""

_HALF = 112
"""Side in pixels of the coarser image on which the outline is traced and edges are counted."""

_CORNER = 12
"""Side in pixels of a corner of that image."""

_TILES = 4
_DIRECTIONS = 8
"""Edges are counted in each of 4 x 4 tiles, by direction in steps of 22.5 degrees."""

_TILE = np.kron(
    np.arange(0, _TILES**2 * _DIRECTIONS, _DIRECTIONS, dtype=np.int32).reshape(_TILES, _TILES),
    np.ones((_HALF // _TILES, _HALF // _TILES), np.int32),
)
"""int32 (112, 112): index of the first count of each pixel's tile."""


@dataclass(frozen=True)
class OodResult:
    """The result of the check for one image.

    Attributes:
        score: 0 and up; 1 is the limit, 2 is twice as far from every known slice.
        in_distribution: whether the score is at most 1.
        reason: a sentence for the clinician where it is not, else empty.
    """

    score: float
    in_distribution: bool
    reason: str


@dataclass(frozen=True, eq=False)
class OodDetector:
    """A thinned-out set of the slices that a model learned from, in the space where distances are taken.

    Attributes:
        means: of each part, float32 (k,).
        scales: standard deviations of each part, float32 (k,).
        bases: of each part, float32 (k, p); it whitens a standardised part and weighs it.
        references: float32 (m, sum of p), the parts side by side.
        limit: the distance up to which an image counts as known.

    Example:
        >>> detector = OodDetector.load(WEIGHTS / "out_of_distribution.npz")
        >>> detector.judge(classifier.predict(to_input(framed)).features, framed).in_distribution
        True
    """

    means: tuple[np.ndarray, ...]
    scales: tuple[np.ndarray, ...]
    bases: tuple[np.ndarray, ...]
    references: np.ndarray
    limit: float

    def distances(self, features: np.ndarray, facts: np.ndarray) -> np.ndarray:
        """Distance of each slice to the nearest reference, float32 (n,).

        Its square is a sum over the parts: the mean square of the differences in whitened components, times
        the part's weight. Two slices drawn at random are about the square root of 11 apart.

        Args:
            features: float32 (n, 1280), the model's pooled features.
            facts: float32 (n, 145), from `image_facts`.

        Raises:
            ValueError: the detector was fitted to another number of features or facts.
        """
        return np.sqrt(self._squares(features, facts).sum(axis=1))

    def judge(self, features: np.ndarray, framed: np.ndarray) -> OodResult:
        """Judge one image.

        Args:
            features: float32 (1280,), `Prediction.features` of it.
            framed: uint8 (224, 224), the same image from `brat.model.preprocess.frame`.

        Raises:
            ValueError: as `distances`.
        """
        facts = image_facts(framed)
        by_part = self._squares(features[np.newaxis], facts[np.newaxis])[0]
        score = float(np.sqrt(by_part.sum())) / self.limit
        if score <= 1:
            return OodResult(score, True, "")
        part = int(by_part.argmax())
        if part > 0:
            return OodResult(score, False, (_EDGES, _UNLIKE)[part - 1])
        strangeness = np.abs((facts[: len(_SENTENCES)] - self.means[0]) / self.scales[0])
        return OodResult(score, False, _SENTENCES[int(strangeness.argmax())])

    def save(self, path: str | Path) -> None:
        """Write the detector as a NumPy archive, below 1 MB."""
        parts = {
            f"{name}_{part}": array
            for name in ("means", "scales", "bases")
            for part, array in enumerate(getattr(self, name))
        }
        np.savez_compressed(path, references=self.references, limit=self.limit, **parts)

    @classmethod
    def load(cls, path: str | Path) -> OodDetector:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ModelError: as `from_bytes`.
        """
        return cls.from_bytes(Path(path).read_bytes())

    @classmethod
    def from_bytes(cls, content: bytes) -> OodDetector:
        """Read the content of a file that `save` wrote. Nothing in it is unpickled.

        Raises:
            ModelError: it is no such content, an array has another shape than it must, or a number is not
                finite.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as stored:
                means, scales, bases = (
                    tuple(stored[f"{name}_{part}"] for part in range(_PARTS))
                    for name in ("means", "scales", "bases")
                )
                detector = cls(means, scales, bases, stored["references"], float(stored["limit"]))
            is_sound = detector._is_sound()
        except (ValueError, TypeError, KeyError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
            raise ModelError(_DAMAGED) from error
        if not is_sound:
            raise ModelError(_DAMAGED)
        return detector

    def _is_sound(self) -> bool:
        """Whether every array has its type and shape, and every number is in range."""
        arrays = (*self.means, *self.scales, *self.bases, self.references)
        if not all(array.dtype == np.float32 and np.isfinite(array).all() for array in arrays):
            return False
        sizes = [len(_SENTENCES), _TILES**2 * _DIRECTIONS, self.means[2].size]
        components = [basis.shape[-1] for basis in self.bases if basis.ndim == 2]
        return (
            all(mean.shape == (size,) for mean, size in zip(self.means, sizes, strict=True))
            and all(scale.shape == (size,) for scale, size in zip(self.scales, sizes, strict=True))
            and all((scale > 0).all() for scale in self.scales)
            and [basis.shape for basis in self.bases] == list(zip(sizes, components, strict=False))
            and len(self.references) > 0
            and self.references.shape == (len(self.references), sum(components))
            and 0 < self.limit < np.inf
        )

    def coordinates(self, features: np.ndarray, facts: np.ndarray) -> list[np.ndarray]:
        """Where slices lie in the space of distances: float32 (n, p) for each part."""
        return [
            ((part - mean) / scale @ basis).astype(np.float32)
            for part, mean, scale, basis in zip(
                split_parts(features, facts), self.means, self.scales, self.bases, strict=True
            )
        ]

    def _squares(self, features: np.ndarray, facts: np.ndarray) -> np.ndarray:
        """Squared distance to the nearest reference, split by parts, float32 (n, 3)."""
        known = len(self.means[2]), len(self.means[0]) + len(self.means[1])
        if (features.shape[1], facts.shape[1]) != known:
            raise ValueError(
                f"The out-of-distribution detector knows slices of {known[0]} features and {known[1]} facts, "
                f"not of {features.shape[1]} and {facts.shape[1]}."
            )
        parts = self.coordinates(features, facts)
        begins = np.cumsum([0, *(part.shape[1] for part in parts[:-1])])
        squares = np.empty((len(facts), len(parts)), np.float32)
        for row, place in enumerate(np.hstack(parts)):
            apart = self.references - place
            nearest = apart[np.einsum("ij,ij->i", apart, apart).argmin()]
            squares[row] = np.add.reduceat(nearest**2, begins)
        return squares


def split_parts(features: np.ndarray, facts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three parts of each slice's description: 17 facts about the picture, 128 about edges, features."""
    return facts[:, : len(_SENTENCES)], facts[:, len(_SENTENCES) :], features


def image_facts(framed: np.ndarray) -> np.ndarray:
    """Describe a framed slice by its outline, background, grey levels and detail, and by how its edges run.

    Args:
        framed: uint8 (224, 224), from `brat.model.preprocess.frame`.

    Returns:
        float32 (145,): 17 facts, shares as log odds and amounts as logarithms, which spreads them evenly;
        then 128 shares of the edges, by tile and direction.
    """
    half = cv2.resize(framed, (_HALF, _HALF), interpolation=cv2.INTER_AREA)
    bright = (half >= _BRIGHT).astype(np.uint8)
    if not bright.any():
        # Nothing to trace; one pixel stands for it.
        bright[_HALF // 2, _HALF // 2] = 1
    counts = cv2.calcHist([framed], [0], None, [256], [0, 256]).ravel().astype(int)
    facts = [*_outline(bright), *_background(half, counts), *_grey_levels(half, bright, counts)]
    return np.concatenate([facts, _detail(framed), _edges(framed)]).astype(np.float32)


def _outline(bright: np.ndarray) -> list[float]:
    """Share of the convex hull, of the bright in the hull, of the hull in its box; the box's proportion."""
    # The outlines of its pieces have the same hull as all its pixels, and are few.
    outlines, _ = cv2.findContours(bright, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    hull = cv2.convexHull(np.concatenate(outlines))
    area = max(cv2.contourArea(hull), 1.0)
    _, _, width, height = cv2.boundingRect(hull)
    return [
        _log_odds(area / bright.size),
        _log_odds(cv2.countNonZero(bright) / area),
        area / (width * height),
        np.log(width / height),
    ]


def _background(half: np.ndarray, counts: np.ndarray) -> list[float]:
    """The brightest corner's mean, and the shares of black and of dark grey."""
    ends = slice(_CORNER), slice(-_CORNER, None)
    corner = max(cv2.mean(half[rows, columns])[0] for rows in ends for columns in ends)
    return [
        _log_odds(corner / 255),
        _log_odds(counts[:_BLACK].sum() / counts.sum()),
        _log_odds(counts[_BLACK:_BRIGHT].sum() / counts.sum()),
    ]


def _grey_levels(half: np.ndarray, bright: np.ndarray, counts: np.ndarray) -> list[float]:
    """Of the bright: mean, spread, the commonest level's share, that of white, and that of flat places."""
    frequencies = counts[_BRIGHT:] / max(counts[_BRIGHT:].sum(), 1)
    levels = np.arange(_BRIGHT, 256) / 255
    mean = frequencies @ levels
    steps = cv2.morphologyEx(half, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    return [
        mean,
        np.sqrt(frequencies @ (levels - mean) ** 2),
        np.log(frequencies.max() + 1e-4),
        np.log(frequencies[-6:].sum() + 1e-4),
        _log_odds(float(np.mean(steps[bright > 0] <= 2))),
    ]


def _detail(framed: np.ndarray) -> list[float]:
    """How much there is of detail of 1, 2, 4, 8 and 16 pixels, for the brightness that there is.

    A Laplacian pyramid (Burt and Adelson 1983, doi 10.1109/TCOM.1983.1095851) with the cheapest filters.
    """
    image: np.ndarray = framed.astype(np.float32)
    brightness = max(cv2.mean(image)[0], 1.0)
    detail = []
    for _ in range(5):
        side = len(image)
        coarse = cv2.resize(image, (side // 2, side // 2), interpolation=cv2.INTER_AREA)
        lost = cv2.absdiff(image, cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR))
        detail.append(np.log(cv2.mean(lost)[0] / brightness + 1e-4))
        image = coarse
    return detail


def _edges(framed: np.ndarray) -> np.ndarray:
    """(128,): roots of the shares of all edges by tile and direction.

    Histograms of oriented gradients (Dalal and Triggs 2005, doi 10.1109/CVPR.2005.177), of large tiles.
    """
    smooth = cv2.GaussianBlur(framed, (3, 3), 0.8)
    # Every other pixel is enough to count.
    across = np.ascontiguousarray(cv2.Sobel(smooth, cv2.CV_32F, 1, 0)[::2, ::2])
    down = np.ascontiguousarray(cv2.Sobel(smooth, cv2.CV_32F, 0, 1)[::2, ::2])
    strength, angle = cv2.cartToPolar(across, down)
    # The remainder of a division by a power of two, which NumPy works out five times as fast this way.
    direction = (angle * np.float32(_DIRECTIONS / np.pi)).astype(np.int32) & (_DIRECTIONS - 1)
    counts = np.bincount((_TILE + direction).ravel(), strength.ravel(), _TILES**2 * _DIRECTIONS)
    return np.sqrt(counts / max(counts.sum(), 1.0))


def _log_odds(share: float) -> float:
    share = min(max(share, 0.0), 1.0)
    return float(np.log((share + 1e-3) / (1 - share + 1e-3)))
