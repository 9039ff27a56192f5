"""The out-of-distribution check: is this picture an MRI slice of a head at all?

A support vector machine with a Gaussian kernel (Cortes and Vapnik 1995, doi 10.1007/BF00994018) tells slices
that the model learned from, from pictures that are none: CT, other parts of the body, photographs, text. To
learn from examples of what is to be refused is outlier exposure (Hendrycks, Mazeika and Dietterich 2019,
arXiv 1812.04606). It looks at means and spreads of two early stages of the network, where texture and
contrast still show; the last stage has learned to see tumours, and says little about a picture without a
head.

`brat.evaluation.fit_out_of_distribution` fits a detector.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from brat.model.files import ModelError

_DAMAGED = (
    "The out-of-distribution detector of the model is damaged: an array of it is missing, has another shape, "
    "or holds numbers that are not finite. Copy the model's folder again, or fit it again with `brat "
    "results`."
)


@dataclass(frozen=True)
class OodResult:
    """The result of the check for one image.

    Attributes:
        score: above 0; 1 is the limit. Its logarithm is the distance from the limit, in margins of the
            support vector machine.
        in_distribution: whether the score is at most 1.
        reason: a sentence for the clinician where it is not, else empty.
    """

    score: float
    in_distribution: bool
    reason: str


@dataclass(frozen=True, eq=False)
class OodDetector:
    """A support vector machine on what the network's early stages show of a picture.

    Attributes:
        mean, scale: float32 (k,), by which appearances are standardised.
        supports: float32 (m, k), the standardised support vectors.
        weights: float32 (m,): above 0 for pictures to refuse, below 0 for slices of heads.
        kinds: str (m,): what each picture to refuse is, such as "a CT"; empty for slices.
        gamma: of the kernel, exp(-gamma * squared distance).
        intercept: added to the weighted sum of kernels.
        limit: the sum up to which an image counts as a slice.

    Example:
        >>> detector = OodDetector.load(WEIGHTS / "out_of_distribution.npz")
        >>> detector.judge(classifier.predict(to_input(framed)).appearance).in_distribution
        True
    """

    mean: np.ndarray
    scale: np.ndarray
    supports: np.ndarray
    weights: np.ndarray
    kinds: np.ndarray
    gamma: float
    intercept: float
    limit: float

    def decisions(self, appearances: np.ndarray) -> np.ndarray:
        """How far each picture lies on the side of what is to be refused, in margins, float (n,).

        Args:
            appearances: float32 (n, k), from `brat.model.classifier.Prediction.appearance`.

        Raises:
            ValueError: the detector was fitted to another number of features.
        """
        return self._pulls(appearances).sum(axis=1) + self.intercept

    def judge(self, appearance: np.ndarray) -> OodResult:
        """Judge one image.

        Args:
            appearance: float32 (k,), `Prediction.appearance` of it.

        Raises:
            ValueError: as `decisions`.
        """
        pulls = self._pulls(appearance[np.newaxis])[0]
        score = float(np.exp(pulls.sum() + self.intercept - self.limit))
        if score <= 1:
            return OodResult(score, True, "")
        by_kind = {kind: pulls[self.kinds == kind].sum() for kind in set(self.kinds.tolist()) - {""}}
        nearest = max(sorted(by_kind), key=by_kind.__getitem__)
        return OodResult(
            score, False, f"To the model it looks more like {nearest} than like an MRI slice of a head."
        )

    def _pulls(self, appearances: np.ndarray) -> np.ndarray:
        """What each support vector adds to each picture's decision, (n, m)."""
        if appearances.shape[1] != len(self.mean):
            raise ValueError(
                f"The out-of-distribution detector knows pictures of {len(self.mean)} features, not of "
                f"{appearances.shape[1]}."
            )
        places = (appearances - self.mean) / self.scale
        squares = (places**2).sum(axis=1)[:, np.newaxis] + (self.supports**2).sum(axis=1)
        apart = np.maximum(squares - 2 * places @ self.supports.T, 0)
        return np.exp(-self.gamma * apart) * self.weights

    def save(self, path: str | Path) -> None:
        """Write the detector as a NumPy archive, below 1 MB."""
        # Half precision moves a decision by less than a hundredth of a margin.
        np.savez_compressed(path, **{**vars(self), "supports": self.supports.astype(np.float16)})

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
                detector = cls(
                    stored["mean"],
                    stored["scale"],
                    stored["supports"].astype(np.float32),
                    stored["weights"],
                    stored["kinds"],
                    float(stored["gamma"]),
                    float(stored["intercept"]),
                    float(stored["limit"]),
                )
            is_sound = detector._is_sound()
        except (ValueError, TypeError, KeyError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
            raise ModelError(_DAMAGED) from error
        if not is_sound:
            raise ModelError(_DAMAGED)
        return detector

    def _is_sound(self) -> bool:
        """Whether every array has its type and shape, and every number is in range."""
        features, count = len(self.mean), len(self.weights)
        shapes = {
            "mean": (features,),
            "scale": (features,),
            "supports": (count, features),
            "weights": (count,),
        }
        return (
            all(
                getattr(self, name).shape == shape
                and getattr(self, name).dtype == np.float32
                and bool(np.isfinite(getattr(self, name)).all())
                for name, shape in shapes.items()
            )
            and bool((self.scale > 0).all())
            and self.kinds.shape == (count,)
            and self.kinds.dtype.kind == "U"
            and bool(((self.kinds != "") == (self.weights > 0)).all())
            and set(np.sign(self.weights)) == {-1, 1}
            and 0 < self.gamma < np.inf
            and bool(np.isfinite([self.intercept, self.limit]).all())
        )
