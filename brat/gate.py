"""The gate before the answer: is this a slice like those that the model learned from?

A slice is described by the model's pooled features and by a few facts about the framed picture, each
part whitened on the training slices. Its score is the distance to the nearest of them (Sun et al. 2022,
"Out-of-distribution detection with deep nearest neighbors", arXiv 2204.06507) over a limit to which
nearly all slices keep that a model had not seen. Both parts are needed: the features of a network that
has only met heads say little of what is no head, and the facts know no anatomy.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

REFUSED = 0.02
"""Share of real slices that may be refused."""

_COMPONENTS = 64
"""Principal components of the pooled features that are kept."""

_REFERENCES = 1500
"""Training slices that are kept, at most."""

_UNLIKE = "Its appearance is unlike every slice that the model learned from."
_OUTLINE = "It does not have the outline of a head."
_BACKGROUND = "It has no dark background around a head."
_GREY_LEVELS = "Its grey levels are not spread as those of an MRI slice are."
_DETAIL = "It is much smoother, or much more finely patterned, than an MRI slice."

_SENTENCES = (*[_OUTLINE] * 4, *[_BACKGROUND] * 3, *[_GREY_LEVELS] * 5, *[_DETAIL] * 5)
"""What to say where a fact stands out most; in the order of `image_facts`."""

_BRIGHT = 31
"""Grey level from which a pixel of a framed slice belongs to the head, as in `brat.preprocess.find_head`."""

_BLACK = 9
"""Grey level below which it is as good as black."""

_HALF = 112
"""Pixels a side of the picture on which the outline is traced."""

_CORNER = 12
"""Pixels a side of a corner of that picture."""


@dataclass(frozen=True)
class Verdict:
    """What the gate says of one image.

    Attributes:
        score: 0 and up; 1 is the limit, 2 is twice as far from every known slice.
        known: whether the score is at most 1.
        reason: a sentence for the clinician where it is not known, else empty.
    """

    score: float
    known: bool
    reason: str


@dataclass(frozen=True, eq=False)
class Gate:
    """The training slices, thinned out, in the space where distances are taken.

    Attributes:
        fact_mean, fact_scale: float32 (k,), mean and standard deviation of the facts.
        fact_basis: float32 (k, p), whitens the standardised facts.
        feature_mean: float32 (1280,).
        feature_basis: float32 (1280, q), whitens the features.
        references: float32 (m, p + q), the facts first.
        limit: distance up to which an image is known.

    Example:
        >>> gate = Gate.load(WEIGHTS / "gate.npz")
        >>> gate.judge(classifier.predict(to_input(framed)).features, framed).known
        True
    """

    fact_mean: np.ndarray
    fact_scale: np.ndarray
    fact_basis: np.ndarray
    feature_mean: np.ndarray
    feature_basis: np.ndarray
    references: np.ndarray
    limit: float

    @classmethod
    def fit(cls, features: np.ndarray, facts: np.ndarray, limit: float) -> Gate:
        """Remember the slices that a model was trained on.

        Args:
            features: float32 (n, 1280), the model's pooled features of them.
            facts: float32 (n, k), their `image_facts`.
            limit: from `choose_limit`.

        Raises:
            ValueError: these are not the features and the facts of the same slices, two or more.
        """
        if features.ndim != 2 or facts.ndim != 2 or len(features) != len(facts) or len(features) < 2:
            raise ValueError(
                "A gate needs the features and the facts of the same slices, two or more, "
                f"not arrays of shape {features.shape} and {facts.shape}."
            )
        fact_mean, fact_scale = facts.mean(axis=0), np.maximum(facts.std(axis=0), 1e-6)
        fact_basis = _whitening((facts - fact_mean) / fact_scale, facts.shape[1])
        feature_mean = features.mean(axis=0)
        feature_basis = _whitening(features - feature_mean, _COMPONENTS)
        space = (fact_mean, fact_scale, fact_basis, feature_mean, feature_basis)
        places = _place(features, facts, *space)
        return cls(*space, references=places[_spread_out(places, _REFERENCES)], limit=float(limit))

    def distances(self, features: np.ndarray, facts: np.ndarray) -> np.ndarray:
        """Distance of each slice to the nearest reference, float32 (n,).

        Its square is the mean square of the differences in the whitened facts, plus that in the features:
        two slices drawn at random are about 2 apart.

        Args:
            features: float32 (n, 1280).
            facts: float32 (n, k).

        Raises:
            ValueError: a slice has not as many features or facts as those that the gate was fitted on.
        """
        return np.sqrt(self._squares(features, facts).sum(axis=1))

    def judge(self, features: np.ndarray, framed: np.ndarray) -> Verdict:
        """Judge one image.

        Args:
            features: float32 (1280,), `Prediction.features` of it.
            framed: uint8 (224, 224), the same image from `brat.preprocess.frame`.

        Raises:
            ValueError: as `distances`.
        """
        facts = image_facts(framed)
        by_facts, by_features = self._squares(features[np.newaxis], facts[np.newaxis])[0]
        score = float(np.sqrt(by_facts + by_features)) / self.limit
        if score <= 1:
            return Verdict(score, True, "")
        if by_features > by_facts:
            return Verdict(score, False, _UNLIKE)
        strangest = int(np.abs((facts - self.fact_mean) / self.fact_scale).argmax())
        return Verdict(score, False, _SENTENCES[strangest])

    def save(self, path: str | Path) -> None:
        """Write the gate as a NumPy archive, below 1 MB."""
        np.savez_compressed(path, **asdict(self))

    @classmethod
    def load(cls, path: str | Path) -> Gate:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
        """
        with np.load(path, allow_pickle=False) as stored:
            return cls(**{**stored, "limit": float(stored["limit"])})

    def _squares(self, features: np.ndarray, facts: np.ndarray) -> np.ndarray:
        """Squared distance to the nearest reference, by facts and by features, float32 (n, 2)."""
        wanted = (len(self.feature_mean), len(self.fact_mean))
        if (features.shape[1], facts.shape[1]) != wanted:
            raise ValueError(
                f"The gate knows slices of {wanted[0]} features and {wanted[1]} facts, "
                f"not of {features.shape[1]} and {facts.shape[1]}."
            )
        space = (self.fact_mean, self.fact_scale, self.fact_basis, self.feature_mean, self.feature_basis)
        split = self.fact_basis.shape[1]
        squares = np.empty((len(facts), 2), np.float32)
        for row, place in enumerate(_place(features, facts, *space)):
            apart = self.references - place
            nearest = apart[np.einsum("ij,ij->i", apart, apart).argmin()] ** 2
            squares[row] = nearest[:split].sum(), nearest[split:].sum()
        return squares


def out_of_fold_scores(
    fit_features: np.ndarray, fit_facts: np.ndarray, test_features: np.ndarray, test_facts: np.ndarray
) -> np.ndarray:
    """Distances, float32 (n,), of slices that a model has not seen, in that model's own space.

    Each fold's model has its own features, so a fold's distances are taken by a gate fitted on what that
    model was trained on. Whitening gives every such space the same scale; therefore the distances of all
    folds may be pooled, and the limit chosen from them holds for the model that ships.

    Args:
        fit_features, fit_facts: of the slices that the fold's model was trained on, by that model.
        test_features, test_facts: of the fold, by the same model.
    """
    return Gate.fit(fit_features, fit_facts, limit=np.inf).distances(test_features, test_facts)


def choose_limit(distances: np.ndarray, refused: float = REFUSED) -> float:
    """The smallest of these distances beyond which at most the share `refused` of them lies."""
    return float(np.quantile(distances, 1 - refused, method="higher"))


def image_facts(framed: np.ndarray) -> np.ndarray:
    """Describe a framed slice by its outline, its background, its grey levels and its detail.

    Args:
        framed: uint8 (224, 224), from `brat.preprocess.frame`.

    Returns:
        float32 (17,). Shares are given as log odds and amounts as logarithms, which spreads them evenly.
    """
    half = cv2.resize(framed, (_HALF, _HALF), interpolation=cv2.INTER_AREA)
    bright = (half >= _BRIGHT).astype(np.uint8)
    if not bright.any():
        # Nothing to trace; one pixel stands for it.
        bright[_HALF // 2, _HALF // 2] = 1
    hull = cv2.convexHull(cv2.findNonZero(bright))
    area = max(cv2.contourArea(hull), 1.0)
    _, _, width, height = cv2.boundingRect(hull)
    outline = [
        _log_odds(area / half.size),
        _log_odds(np.count_nonzero(bright) / area),
        area / (width * height),
        np.log(width / height),
    ]

    counts = np.bincount(framed.ravel(), minlength=256)
    corner = max(
        cv2.mean(half[rows, columns])[0]
        for rows in (slice(_CORNER), slice(-_CORNER, None))
        for columns in (slice(_CORNER), slice(-_CORNER, None))
    )
    background = [
        _log_odds(corner / 255),
        _log_odds(counts[:_BLACK].sum() / framed.size),
        _log_odds(counts[_BLACK:_BRIGHT].sum() / framed.size),
    ]

    shares = counts[_BRIGHT:] / max(counts[_BRIGHT:].sum(), 1)
    levels = np.arange(_BRIGHT, 256) / 255
    mean = shares @ levels
    steps = cv2.morphologyEx(half, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    grey_levels = [
        mean,
        np.sqrt(shares @ (levels - mean) ** 2),
        np.log(shares.max() + 1e-4),
        np.log(shares[-6:].sum() + 1e-4),
        _log_odds((steps[bright > 0] <= 2).mean()),
    ]

    # A Laplacian pyramid (Burt and Adelson 1983), with the cheapest filters.
    detail = []
    image = framed.astype(np.float32)
    brightness = max(float(image.mean()), 1.0)
    for _ in range(5):
        side = len(image)
        coarse = cv2.resize(image, (side // 2, side // 2), interpolation=cv2.INTER_AREA)
        lost = cv2.absdiff(image, cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR))
        detail.append(np.log(cv2.mean(lost)[0] / brightness + 1e-4))
        image = coarse
    return np.array([*outline, *background, *grey_levels, *detail], np.float32)


def _log_odds(share: float) -> float:
    share = min(max(share, 0.0), 1.0)
    return float(np.log((share + 1e-3) / (1 - share + 1e-3)))


def _whitening(centred: np.ndarray, components: int) -> np.ndarray:
    """(k, p): maps rows of zero mean onto their principal components, each of the same variance 1 / p."""
    variances, axes = np.linalg.eigh(np.cov(centred, rowvar=False, dtype=np.float64))
    kept = np.flatnonzero(variances > 1e-6 * variances[-1])[::-1][:components]
    return (axes[:, kept] / np.sqrt(variances[kept] * len(kept))).astype(np.float32)


def _place(
    features: np.ndarray,
    facts: np.ndarray,
    fact_mean: np.ndarray,
    fact_scale: np.ndarray,
    fact_basis: np.ndarray,
    feature_mean: np.ndarray,
    feature_basis: np.ndarray,
) -> np.ndarray:
    """Where slices lie, float32 (n, p + q): whitened facts and whitened features side by side."""
    by_facts = (facts - fact_mean) / fact_scale @ fact_basis
    return np.hstack([by_facts, (features - feature_mean) @ feature_basis]).astype(np.float32)


def _spread_out(places: np.ndarray, count: int) -> np.ndarray:
    """Rows that cover all places evenly: the most typical, then always the one farthest from those chosen.

    Gonzalez 1985, "Clustering to minimize the maximum intercluster distance". Rare slices are kept, and
    neighbours in a series, which say the same, are not.
    """
    chosen = [int((places**2).sum(axis=1).argmin())]
    gaps = ((places - places[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < count and gaps.max() > 0:
        chosen.append(int(gaps.argmax()))
        gaps = np.minimum(gaps, ((places - places[chosen[-1]]) ** 2).sum(axis=1))
    return np.array(chosen)
