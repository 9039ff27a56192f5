"""Does the map lie where the tumour is?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from brat import CLASSES
from brat.datasets import Slice
from brat.explain import METHODS, reference_cam
from brat.metrics import NO_TUMOR
from brat.preprocess import SIZE, prepare
from brat.readings import Readings
from brat.scans import read_scan


def localisation(readings: Readings) -> dict[str, np.ndarray]:
    """Where Grad-CAM points on slices with boxes; each box is filled as the rectangle that it is.

    The map is that of the slice's class, or of its likeliest tumour where the class is unknown.

    Returns:
        `pointing`, bool (n,), and `energy`, float (n,), see `point`; `chance`, float (n,): the boxes' share
        of the head, which a map of noise would score.
    """
    found = [
        point(maps[..., mapped_class(s, maps)], boxes)
        for s, maps, boxes in zip(readings.slices, readings.maps, readings.boxes, strict=True)
    ]
    chance = [
        min(1.0, fill_boxes(boxes).mean() / max(head, 1e-6))
        for head, boxes in zip(readings.heads, readings.boxes, strict=True)
    ]
    return {
        "pointing": np.array([hit for hit, _ in found], bool),
        "energy": np.array([energy for _, energy in found]),
        "chance": np.array(chance),
    }


def compare_methods(models: Sequence[tuple[Path, Readings]]) -> dict[str, dict[str, np.ndarray]]:
    """The same slices' maps by each of `brat.explain.METHODS`; the slow ones take many seconds a slice.

    Args:
        models: folders of models, each with readings of slices with boxes that it has not seen.

    Returns:
        For each method `pointing`, bool (n,), and `energy`, float (n,).
    """
    found: dict[str, list[tuple[bool, float]]] = {method: [] for method in METHODS}
    with tqdm(total=sum(len(r.slices) for _, r in models), desc="mapping", unit="slice", disable=None) as bar:
        for folder, readings in models:
            for s, maps, boxes in zip(readings.slices, readings.maps, readings.boxes, strict=True):
                kind = mapped_class(s, maps)
                model_input, _ = prepare(read_scan(s.path).gray)
                for method in METHODS:
                    cam = (
                        maps[..., kind]
                        if method == METHODS[0]
                        else reference_cam(method, model_input, CLASSES[kind], folder)
                    )
                    found[method].append(point(cam, boxes))
                bar.update()
    return {
        method: {
            "pointing": np.array([hit for hit, _ in pairs], bool),
            "energy": np.array([energy for _, energy in pairs]),
        }
        for method, pairs in found.items()
    }


def mapped_class(s: Slice, maps: np.ndarray) -> int:
    """Whose map is judged: the slice's class, or its likeliest tumour where only that is known."""
    return CLASSES.index(s.label) if s.label else int(maps.mean(axis=(0, 1))[:NO_TUMOR].argmax())


def point(cam: np.ndarray, boxes: np.ndarray) -> tuple[bool, float]:
    """Judge a map, clipped at zero and enlarged to 224 x 224, by the boxes.

    Args:
        cam: float32 (n, n), covering the model's input.
        boxes: float (k, 4), x_center, y_center, width, height in pixels of the model's input.

    Returns:
        Whether the peak lies in a box (pointing game, Zhang et al. 2016, arXiv 1608.00507), and the boxes'
        share of the map's sum (energy-based pointing game, Wang et al. 2020, arXiv 1910.01279). A map that
        is nowhere above zero points at nothing.
    """
    enlarged = cv2.resize(np.maximum(cam, 0), (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    total = float(enlarged.sum())
    if total <= 0:
        return False, 0.0
    inside = fill_boxes(boxes)
    return bool(inside.flat[enlarged.argmax()]), float(enlarged[inside].sum()) / total


def fill_boxes(boxes: np.ndarray) -> np.ndarray:
    """float (k, 4) boxes in input pixels -> bool (224, 224), true inside any of them."""
    inside = np.zeros((SIZE, SIZE), bool)
    for x, y, width, height in boxes:
        top, bottom = round(max(0, y - height / 2)), round(max(0, y + height / 2))
        left, right = round(max(0, x - width / 2)), round(max(0, x + width / 2))
        inside[top : bottom + 1, left : right + 1] = True
    return inside
