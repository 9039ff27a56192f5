"""How accuracy holds when a scan is changed a little: in light, sharpness, compression, pose and framing.

The scan itself is changed, as an export or another scanner would, and then goes the usual way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from brat.classes import CLASSES
from brat.data.index import IndexedSlice
from brat.evaluation.metrics import mean, with_intervals
from brat.io.scan import read_scan
from brat.model.classifier import Classifier
from brat.model.preprocess import prepare
from brat.perturb.enhance import brightness, clahe


def _contrast(gray: np.ndarray, factor: float) -> np.ndarray:
    return np.clip((gray.astype(np.float32) - gray.mean()) * factor + gray.mean(), 0, 255).astype(np.uint8)


def _gamma(gray: np.ndarray, exponent: float) -> np.ndarray:
    return cv2.LUT(gray, np.round(255 * (np.arange(256) / 255) ** exponent).astype(np.uint8))


def _noise(gray: np.ndarray, deviation: float) -> np.ndarray:
    # Rician, as in magnitude images (Gudbjartsson and Patz 1995, doi 10.1002/mrm.1910340618).
    draw = np.random.default_rng(0)
    real, imaginary = draw.normal(0, deviation * 255, (2, *gray.shape))
    return np.clip(np.hypot(gray + real, imaginary), 0, 255).astype(np.uint8)


def _blur(gray: np.ndarray, share: float) -> np.ndarray:
    return cv2.GaussianBlur(gray, (0, 0), share * max(gray.shape)) if share else gray


def _jpeg(gray: np.ndarray, quality: float) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", gray, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1], 0)


def _rotate(gray: np.ndarray, degrees: float) -> np.ndarray:
    height, width = gray.shape
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    return cv2.warpAffine(gray, turn, (width, height))


def _crop(gray: np.ndarray, share: float) -> np.ndarray:
    top, left = (round(side * share) for side in gray.shape)
    return gray[top : gray.shape[0] - top, left : gray.shape[1] - left]


def _clahe(gray: np.ndarray, clip_limit: float) -> np.ndarray:
    return clahe(gray, clip_limit) if clip_limit else gray


CHANGES: dict[str, tuple[str, Callable[[np.ndarray, float], np.ndarray], tuple[float, ...]]] = {
    "brightness": ("added, share of full scale", brightness, (-0.3, -0.15, 0.0, 0.15, 0.3)),
    "contrast": ("times", _contrast, (0.5, 0.75, 1.0, 1.5, 2.0)),
    "gamma": ("exponent", _gamma, (0.5, 0.75, 1.0, 1.5, 2.0)),
    "noise": ("Rician, deviation as share of full scale", _noise, (0.0, 0.02, 0.05, 0.1)),
    "blur": ("Gaussian, deviation as share of the longer side", _blur, (0.0, 0.004, 0.008, 0.016)),
    "JPEG": ("quality", _jpeg, (95, 70, 40, 20)),
    "rotation": ("degrees", _rotate, (-20, -10, 0, 10, 20)),
    "crop": ("share cut off each edge", _crop, (0.0, 0.05, 0.1, 0.15)),
    "CLAHE": ("clip limit; 0 is off", _clahe, (0, 1, 2, 4)),
}
"""What is changed: its unit, how (uint8 (height, width) and a level -> uint8 image), and the levels."""


def measure(models: Sequence[tuple[Path, Sequence[IndexedSlice]]]) -> dict[str, dict]:
    """Accuracy over the four classes at every level of every change.

    Args:
        models: folders of models, each with slices of known class that it has not seen.

    Returns:
        For each of `CHANGES`: `unit`, `levels`, and `accuracy`, an estimate with its interval a level.
    """
    right: dict[tuple[str, int], list[bool]] = {
        (name, level): [] for name, (_, _, levels) in CHANGES.items() for level in range(len(levels))
    }
    clusters = [s.cluster for _, slices in models for s in slices]
    with tqdm(total=len(clusters), desc="changing slices", unit="slice", disable=None) as bar:
        for folder, slices in models:
            classifier = Classifier(folder)
            for s in slices:
                gray = read_scan(s.path).gray
                truth = CLASSES.index(s.label)
                for name, (_, change, levels) in CHANGES.items():
                    for position, level in enumerate(levels):
                        prediction = classifier.predict(prepare(change(gray, level))[0])
                        right[name, position].append(prediction.probabilities.argmax() == truth)
                bar.update()
    return {
        name: {
            "unit": unit,
            "levels": list(levels),
            "accuracy": [_accuracy(right[name, k], clusters) for k in range(len(levels))],
        }
        for name, (unit, _, levels) in CHANGES.items()
    }


def _accuracy(right: Sequence[bool], clusters: Sequence[str]) -> dict[str, float | None]:
    values = np.array(right, float)
    return with_intervals(lambda weights: {"accuracy": mean(values, weights)}, clusters)["accuracy"]
