"""The gate before the answer: is this a slice like those that the model learned from?

A slice is described in three parts: facts about the framed picture, how its edges run, and the model's
pooled features; each part is whitened on the slices that the model learned from. The score is the distance
to the nearest of these (Sun et al. 2022, "Out-of-distribution detection with deep nearest neighbors", arXiv
2204.06507) over a limit to which nearly all slices keep that a model had not seen. The features are not
enough: a network that has only met heads says little of what is no head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from brat.data.index import IndexedSlice
from brat.io.scan import read_scan
from brat.model.classifier import Classifier
from brat.model.preprocess import frame, to_input

REFUSED = 0.02
"""Share of real slices that may be refused."""

_COMPONENTS = (17, 24, 48)
"""Principal components that are kept of the facts, of the edges and of the features."""

_WEIGHTS = (4.0, 1.0, 0.5)
"""What the parts weigh; chosen, as the components were, by how many of `brat.evaluation.other_images` are
refused."""

_REFERENCES = 1000
"""Slices that are remembered, at most."""

_UNLIKE = "Its appearance is unlike every slice that the model learned from."
_EDGES = "Its contours do not run as those of a head do."
_OUTLINE = "It does not have the outline of a head."
_BACKGROUND = "It has no dark background around a head."
_GREY_LEVELS = "Its grey levels are not spread as those of an MRI slice are."
_DETAIL = "It is much smoother, or much more finely patterned, than an MRI slice."

_SENTENCES = (*[_OUTLINE] * 4, *[_BACKGROUND] * 3, *[_GREY_LEVELS] * 5, *[_DETAIL] * 5)
"""What to say where a fact stands out most; in the order of `image_facts`, which has the edges after them."""

_BRIGHT = 31
"""Grey level from which a pixel of a framed slice belongs to the head, as in
`brat.model.preprocess.find_head`."""

_BLACK = 9
"""Grey level below which it is as good as black."""

_HALF = 112
"""Pixels a side of the coarser picture on which the outline is traced and edges are counted."""

_CORNER = 12
"""Pixels a side of a corner of that picture."""

_TILES = 4
_DIRECTIONS = 8
"""Edges are counted by direction, in eighths of half a turn, in each of 4 x 4 tiles."""

_TILE = np.kron(
    np.arange(0, _TILES**2 * _DIRECTIONS, _DIRECTIONS, dtype=np.int32).reshape(_TILES, _TILES),
    np.ones((_HALF // _TILES, _HALF // _TILES), np.int32),
)
"""(112, 112): where in the counts those of a pixel's tile begin."""


@dataclass(frozen=True)
class OodResult:
    """What the gate says of one image.

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
    """The slices that a model learned from, thinned out, in the space where distances are taken.

    Attributes:
        means: of each part, float32 (k,).
        scales: of each part, standard deviations, float32 (k,).
        bases: of each part, float32 (k, p), whitens it after standardising, and weighs it.
        references: float32 (m, sum of p), the parts side by side.
        limit: distance up to which an image is known.

    Example:
        >>> gate = OodDetector.load(WEIGHTS / "out_of_distribution.npz")
        >>> gate.judge(classifier.predict(to_input(framed)).features, framed).in_distribution
        True
    """

    means: tuple[np.ndarray, ...]
    scales: tuple[np.ndarray, ...]
    bases: tuple[np.ndarray, ...]
    references: np.ndarray
    limit: float

    @classmethod
    def fit(cls, features: np.ndarray, facts: np.ndarray, limit: float) -> OodDetector:
        """Remember the slices that a model learned from.

        With `describe_copies` of them beside them, slices in other light, at other angles or cut closer are
        refused less often.

        Args:
            features: float32 (n, 1280), the model's pooled features of them.
            facts: float32 (n, 145), their `image_facts`.
            limit: from `choose_limit`.

        Raises:
            ValueError: these are not the features and the facts of the same slices, two or more.
        """
        if features.ndim != 2 or facts.ndim != 2 or len(features) != len(facts) or len(features) < 2:
            raise ValueError(
                "A gate needs the features and the facts of the same slices, two or more, "
                f"not arrays of shape {features.shape} and {facts.shape}."
            )
        parts = _parts(features, facts)
        means = tuple(part.mean(axis=0) for part in parts)
        # Pooled features share one scale; most of them are nearly always 0, and must not be blown up.
        scales = (*(np.maximum(part.std(axis=0), 1e-6) for part in parts[:2]), np.ones_like(means[2]))
        bases = tuple(
            _whitening((part - mean) / scale, components) * np.float32(weight**0.5)
            for part, mean, scale, components, weight in zip(
                parts, means, scales, _COMPONENTS, _WEIGHTS, strict=True
            )
        )
        gate = cls(means, scales, bases, np.empty((0, 0), np.float32), float(limit))
        places = np.hstack(gate._place(features, facts))
        return replace(gate, references=places[_spread_out(places, _REFERENCES)])

    def distances(self, features: np.ndarray, facts: np.ndarray) -> np.ndarray:
        """Distance of each slice to the nearest reference, float32 (n,).

        Its square is the weighted sum over the parts of the mean square of the differences in whitened
        components: two slices drawn at random are about the square root of 11 apart.

        Args:
            features: float32 (n, 1280).
            facts: float32 (n, 145).

        Raises:
            ValueError: a slice has not as many features or facts as those that the gate was fitted on.
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
        """Write the gate as a NumPy archive, below 1 MB."""
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
        """
        with np.load(path, allow_pickle=False) as stored:
            means, scales, bases = (
                tuple(stored[f"{name}_{part}"] for part in range(len(_COMPONENTS)))
                for name in ("means", "scales", "bases")
            )
            return cls(means, scales, bases, stored["references"], float(stored["limit"]))

    def _place(self, features: np.ndarray, facts: np.ndarray) -> list[np.ndarray]:
        """Where slices lie, each part whitened: float32 (n, p) each."""
        return [
            ((part - mean) / scale @ basis).astype(np.float32)
            for part, mean, scale, basis in zip(
                _parts(features, facts), self.means, self.scales, self.bases, strict=True
            )
        ]

    def _squares(self, features: np.ndarray, facts: np.ndarray) -> np.ndarray:
        """Squared distance to the nearest reference, split by parts, float32 (n, 3)."""
        known = len(self.means[2]), len(self.means[0]) + len(self.means[1])
        if (features.shape[1], facts.shape[1]) != known:
            raise ValueError(
                f"The gate knows slices of {known[0]} features and {known[1]} facts, "
                f"not of {features.shape[1]} and {facts.shape[1]}."
            )
        parts = self._place(features, facts)
        begins = np.cumsum([0, *(part.shape[1] for part in parts[:-1])])
        squares = np.empty((len(facts), len(parts)), np.float32)
        for row, place in enumerate(np.hstack(parts)):
            apart = self.references - place
            nearest = apart[np.einsum("ij,ij->i", apart, apart).argmin()]
            squares[row] = np.add.reduceat(nearest**2, begins)
        return squares


def out_of_fold_scores(
    fit_features: np.ndarray, fit_facts: np.ndarray, test_features: np.ndarray, test_facts: np.ndarray
) -> np.ndarray:
    """Distances, float32 (n,), of slices that a model has not seen, in that model's own space.

    Each fold's model has features of its own, so a fold's distances are taken by a gate fitted to what that
    model learned from. Whitening gives every such space the same scale; therefore the distances of all folds
    may be pooled, and the limit chosen from them holds for the model that ships.

    Args:
        fit_features, fit_facts: what `OodDetector.fit` takes, of the fold's model.
        test_features, test_facts: of the fold, by the same model.
    """
    return OodDetector.fit(fit_features, fit_facts, limit=np.inf).distances(test_features, test_facts)


def choose_limit(distances: np.ndarray, refused: float = REFUSED) -> float:
    """The smallest of these distances beyond which at most the share `refused` of them lies."""
    return float(np.quantile(distances, 1 - refused, method="higher"))


def describe_copies(classifier: Classifier, slices: Sequence[IndexedSlice]) -> tuple[np.ndarray, np.ndarray]:
    """What `OodDetector.fit` takes, of a copy of each slice changed as another scanner or
    export might have.

    Each copy has one change: in light, sharpness, compression, pose or framing
    (`brat.evaluation.robustness.CHANGES`, the strongest levels left out).

    Returns:
        features, float32 (n, 1280), and facts, float32 (n, 145).
    """
    from tqdm import tqdm

    features, facts = [], []
    for number, s in enumerate(tqdm(slices, desc="changing slices", unit="slice", disable=None)):
        framed, _ = frame(_changed(read_scan(s.path).gray, number))
        features.append(classifier.predict(to_input(framed)).features)
        facts.append(image_facts(framed))
    return np.stack(features), np.stack(facts)


def _changed(gray: np.ndarray, number: int) -> np.ndarray:
    from brat.evaluation.robustness import CHANGES

    _, change, levels = list(CHANGES.values())[number % len(CHANGES)]
    low, high = sorted((levels[1], levels[-2]))
    return change(gray, np.random.default_rng(number).uniform(low, high))


def image_facts(framed: np.ndarray) -> np.ndarray:
    """Describe a framed slice by its outline, background, grey levels and detail, and by how its edges run.

    Args:
        framed: uint8 (224, 224), from `brat.model.preprocess.frame`.

    Returns:
        float32 (145,): 17 facts, shares as log odds and amounts as logarithms, which spreads them evenly;
        then how much of all edges runs in each tile and direction.
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
    shares = counts[_BRIGHT:] / max(counts[_BRIGHT:].sum(), 1)
    levels = np.arange(_BRIGHT, 256) / 255
    mean = shares @ levels
    steps = cv2.morphologyEx(half, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    return [
        mean,
        np.sqrt(shares @ (levels - mean) ** 2),
        np.log(shares.max() + 1e-4),
        np.log(shares[-6:].sum() + 1e-4),
        _log_odds(np.mean(steps[bright > 0] <= 2)),
    ]


def _detail(framed: np.ndarray) -> list[float]:
    """How much there is of detail of 1, 2, 4, 8 and 16 pixels, for the brightness that there is.

    A Laplacian pyramid (Burt and Adelson 1983, doi 10.1109/TCOM.1983.1095851) with the cheapest filters.
    """
    image = framed.astype(np.float32)
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


def _parts(features: np.ndarray, facts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return facts[:, : len(_SENTENCES)], facts[:, len(_SENTENCES) :], features


def _whitening(centred: np.ndarray, components: int) -> np.ndarray:
    """(k, p): maps rows of zero mean onto their principal components, each of the same variance 1 / p."""
    variances, axes = np.linalg.eigh(np.cov(centred, rowvar=False, dtype=np.float64))
    kept = np.flatnonzero(variances > 1e-6 * variances[-1])[::-1][:components]
    return (axes[:, kept] / np.sqrt(variances[kept] * len(kept))).astype(np.float32)


def _spread_out(places: np.ndarray, count: int) -> np.ndarray:
    """Rows that cover all places evenly: the most typical, then always the one farthest from those chosen.

    Gonzalez 1985, "Clustering to minimize the maximum intercluster distance". Rare slices are kept;
    neighbours in a series, which say the same, are not.
    """
    chosen = [int((places**2).sum(axis=1).argmin())]
    gaps = ((places - places[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < count and gaps.max() > 0:
        chosen.append(int(gaps.argmax()))
        gaps = np.minimum(gaps, ((places - places[chosen[-1]]) ** 2).sum(axis=1))
    return np.array(chosen)
