"""Model input -> `Prediction`, by LiteRT. TensorFlow is not imported."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from brat.classes import CLASSES
from brat.environment import CORES, WEIGHTS, model_file


@dataclass(frozen=True, eq=False)
class Prediction:
    """One reading.

    Attributes:
        probabilities: float32 (4,), summing to 1, in the order of `brat.CLASSES`.
        maps: float32 (14, 14, 4), the class maps, unclipped; their means are the logits.
        features: float32 (1280,), the pooled features.
    """

    probabilities: np.ndarray
    maps: np.ndarray
    features: np.ndarray

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

    def __init__(self, weights: str | Path = WEIGHTS, threads: int | None = None):
        """Load `model.tflite` from a folder.

        Args:
            weights: the folder.
            threads: of one prediction; as many as there are `CORES`, up to four, by default.

        Raises:
            FileNotFoundError: there is no model in the folder.
        """
        content = model_file(weights, "model.tflite").read_bytes()
        self.digest = hashlib.sha256(content).hexdigest()
        self._interpreter = Interpreter(model_content=content, num_threads=threads or min(4, CORES))
        self._run = self._interpreter.get_signature_runner()
        self._lock = threading.Lock()

    def predict(self, model_input: np.ndarray) -> Prediction:
        """Read one slice.

        Args:
            model_input: float32 (224, 224, 1) in [-1, 1], from `brat.model.preprocess.prepare`.
        """
        with self._lock:
            outputs = self._run(image=model_input[np.newaxis])
            # The runner hands out copies, so the next session's call cannot change this one's answer.
            return Prediction(
                probabilities=outputs["probabilities"][0],
                maps=outputs["maps"][0],
                features=outputs["features"][0],
            )
