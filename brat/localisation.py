"""Does the map lie where the tumour is?"""

from __future__ import annotations

import cv2
import numpy as np

from brat import CLASSES
from brat.metrics import NO_TUMOR
from brat.preprocess import SIZE
from brat.readings import Readings


def localisation(readings: Readings) -> dict[str, np.ndarray]:
    """Where Grad-CAM points on slices with boxes; each box is filled as the rectangle that it is.

    The map is that of the slice's class, or of its likeliest tumour where the class is unknown, clipped
    at zero and enlarged to 224 x 224.

    Returns:
        `pointing`, bool (n,): the map's peak lies in a box (pointing game, Zhang et al. 2016, arXiv
        1608.00507); `energy`, float (n,): the boxes' share of the map's sum (energy-based pointing game,
        Wang et al. 2020, arXiv 1910.01279), 0 where the map is empty; `chance`, float (n,): the boxes'
        share of the head.
    """
    pointing, energy, chance = [], [], []
    for s, maps, head, boxes in zip(
        readings.slices, readings.maps, readings.heads, readings.boxes, strict=True
    ):
        logits = maps.mean(axis=(0, 1))
        kind = CLASSES.index(s.label) if s.label else int(logits[:NO_TUMOR].argmax())
        cam = cv2.resize(np.maximum(maps[..., kind], 0), (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
        inside = fill_boxes(boxes)
        total = cam.sum()
        pointing.append(total > 0 and inside.flat[cam.argmax()])
        energy.append(cam[inside].sum() / total if total > 0 else 0.0)
        chance.append(min(1.0, inside.mean() / max(head, 1e-6)))
    return {
        "pointing": np.array(pointing, bool),
        "energy": np.array(energy),
        "chance": np.array(chance),
    }


def fill_boxes(boxes: np.ndarray) -> np.ndarray:
    """float (k, 4) boxes in input pixels -> bool (224, 224), true inside any of them."""
    inside = np.zeros((SIZE, SIZE), bool)
    for x, y, width, height in boxes:
        top, bottom = round(max(0, y - height / 2)), round(max(0, y + height / 2))
        left, right = round(max(0, x - width / 2)), round(max(0, x + width / 2))
        inside[top : bottom + 1, left : right + 1] = True
    return inside
