"""Model input -> `Prediction`, by LiteRT. TensorFlow is not imported."""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from brat.classes import CLASSES
from brat.environment import CORES, WEIGHTS
from brat.model.files import MODEL, ModelError, ModelFolder


@dataclass(frozen=True, eq=False)
class Prediction:
    """One reading.

    Attributes:
        probabilities: float32 (4,), summing to 1, in the order of `brat.CLASSES`.
        maps: float32 (14, 14, 4), the class maps, unclipped; their means are the logits.
        features: float32 (1280,), the pooled features.
        appearance: float32 (192,), means and spreads of two early stages, for the out-of-distribution check.
    """

    probabilities: np.ndarray
    maps: np.ndarray
    features: np.ndarray
    appearance: np.ndarray

    @property
    def label(self) -> str:
        return CLASSES[int(self.probabilities.argmax())]

    @property
    def confidence(self) -> float:
        """Probability of `label`, 0 to 1."""
        return float(self.probabilities.max())

    def by_class(self) -> dict[str, float]:
        return {name: float(p) for name, p in zip(CLASSES, self.probabilities, strict=True)}


class Classifier:
    """The shipped network behind a lock, so that sessions may share one.

    Example:
        >>> classifier = Classifier()
        >>> model_input, geometry = prepare(read_scan("slice.png").gray)
        >>> classifier.predict(model_input).label
        'no_tumor'
    """

    def __init__(self, weights: str | Path | ModelFolder = WEIGHTS, threads: int | None = None):
        """Load `model.tflite` from a folder.

        Args:
            weights: the folder.
            threads: number of threads for one prediction; by default `CORES`, four at most.

        Raises:
            FileNotFoundError: there is no model in the folder.
            ModelError: the model is damaged, or is not the one of the folder's manifest.
        """
        folder = weights if isinstance(weights, ModelFolder) else ModelFolder(weights)
        self._content = folder.read(MODEL)
        self.digest = folder.records[MODEL].sha256
        try:
            self._begin(threads)
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{MODEL} in {folder.path} is no LiteRT model that can be run here.") from error

    def _begin(self, threads: int | None) -> None:
        self._interpreter = Interpreter(model_content=self._content, num_threads=threads or min(4, CORES))
        self._run = self._interpreter.get_signature_runner()
        self._lock = threading.Lock()

    def again(self, threads: int | None = None) -> Classifier:
        """The same model once more, behind a lock of its own, whatever lies in its folder by now."""
        another = copy.copy(self)
        another._begin(threads)
        return another

    def predict(self, model_input: np.ndarray) -> Prediction:
        """Read one slice.

        Args:
            model_input: float32 (224, 224, 1) in [-1, 1], from `brat.model.preprocess.prepare`.
        """
        with self._lock:
            outputs = self._run(image=model_input[np.newaxis])
            # The runner returns copies, so the next call cannot change this answer.
            return Prediction(
                probabilities=outputs["probabilities"][0],
                maps=outputs["maps"][0],
                features=outputs["features"][0],
                appearance=outputs["appearance"][0],
            )
