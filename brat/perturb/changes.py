"""The changes of a picture under which readings are measured: light, sharpness, compression, pose, framing.

Each changes the scan itself, as an export or another scanner would.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from brat.perturb.enhance import brightness, clahe


class Change(NamedTuple):
    """One kind of change.

    Attributes:
        unit: the unit of a level, for people.
        apply: uint8 (height, width) and a level -> the changed image, uint8.
        levels: the levels at which accuracy is measured, from one end to the other.
    """

    unit: str
    apply: Callable[[np.ndarray, float], np.ndarray]
    levels: tuple[float, ...]


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
    _, encoded = cv2.imencode(".jpg", gray, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    decoded = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)
    assert decoded is not None
    return decoded


def _rotate(gray: np.ndarray, degrees: float) -> np.ndarray:
    height, width = gray.shape
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    return cv2.warpAffine(gray, turn, (width, height))


def _crop(gray: np.ndarray, share: float) -> np.ndarray:
    top, left = (round(side * share) for side in gray.shape)
    return gray[top : gray.shape[0] - top, left : gray.shape[1] - left]


def _clahe(gray: np.ndarray, clip_limit: float) -> np.ndarray:
    return clahe(gray, clip_limit) if clip_limit else gray


CHANGES: dict[str, Change] = {
    "brightness": Change("added, share of full scale", brightness, (-0.3, -0.15, 0.0, 0.15, 0.3)),
    "contrast": Change("times", _contrast, (0.5, 0.75, 1.0, 1.5, 2.0)),
    "gamma": Change("exponent", _gamma, (0.5, 0.75, 1.0, 1.5, 2.0)),
    "noise": Change("Rician, deviation as share of full scale", _noise, (0.0, 0.02, 0.05, 0.1)),
    "blur": Change("Gaussian, deviation as share of the longer side", _blur, (0.0, 0.004, 0.008, 0.016)),
    "JPEG": Change("quality", _jpeg, (95, 70, 40, 20)),
    "rotation": Change("degrees", _rotate, (-20, -10, 0, 10, 20)),
    "crop": Change("share cut off each edge", _crop, (0.0, 0.05, 0.1, 0.15)),
    "CLAHE": Change("clip limit; 0 is off", _clahe, (0, 1, 2, 4)),
}
"""The kinds of change by name."""
