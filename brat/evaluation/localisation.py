"""Does the map lie where the tumour is?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from brat.classes import CLASSES
from brat.data.index import IndexedSlice
from brat.evaluation.metrics import NO_TUMOR
from brat.evaluation.readings import Readings
from brat.io.read import read_scan
from brat.model.classifier import Classifier
from brat.model.explain import METHODS, finer, reference_cam
from brat.model.preprocess import SIZE, frame, prepare, to_input

LARGER = 320
"""Pixels a side of the larger input on which maps are tried."""

_EARLIER = "block_12_add"
"""The layer before MobileNetV2's last stage; no map loss has pulled at its output directly."""


def localisation(readings: Readings) -> dict[str, np.ndarray]:
    """Where Grad-CAM points on slices with boxes; each box is filled as the rectangle that it is.

    The map is that of the slice's class, or of its likeliest tumour where the class is unknown.

    Returns:
        `pointing`, bool (n,), and `energy`, float (n,), see `point`; `chance`, float (n,): the boxes' share
        of the head, which a map of noise would score.
    """
    judged = [
        point(finer(maps[..., mapped_class(s, maps)]), boxes)
        for s, maps, boxes in zip(readings.slices, readings.maps, readings.boxes, strict=True)
    ]
    chance = [
        min(1.0, fill_boxes(boxes).mean() / max(head, 1e-6))
        for head, boxes in zip(readings.heads, readings.boxes, strict=True)
    ]
    return {
        "pointing": np.array([hit for hit, _ in judged], bool),
        "energy": np.array([energy for _, energy in judged]),
        "chance": np.array(chance),
    }


def compare_methods(models: Sequence[tuple[Path, Readings]]) -> dict[str, dict[str, np.ndarray]]:
    """The same slices' maps by each of `brat.model.explain.METHODS`, and Grad-CAM made in two other ways.

    What tf-keras-vis makes is clipped at zero before it is smoothed, which widens it; ours after.

    Args:
        models: folders of models, each with readings of slices with boxes that it has not seen. Score-CAM
            takes 10 to 20 s a slice.

    Returns:
        For each way `pointing`, bool (n,), and `energy`, float (n,).
    """
    judged: dict[str, list[tuple[bool, float]]] = {}
    with tqdm(total=sum(len(r.slices) for _, r in models), desc="mapping", unit="slice", disable=None) as bar:
        for folder, readings in models:
            ways = _ways(folder)
            for s, maps, boxes in zip(readings.slices, readings.maps, readings.boxes, strict=True):
                gray, label = read_scan(s.path).gray, mapped_class(s, maps)
                for name, way in ways.items():
                    judged.setdefault(name, []).append(point(way(gray, label), boxes))
                bar.update()
    return {
        name: {
            "pointing": np.array([hit for hit, _ in pairs], bool),
            "energy": np.array([energy for _, energy in pairs]),
        }
        for name, pairs in judged.items()
    }


def _ways(folder: Path) -> dict[str, Callable[[np.ndarray, int], np.ndarray]]:
    """Ways to make a map of one model: scan, uint8 (height, width), and class -> float32 (n, n), smoothed."""
    classifier = Classifier(folder)
    earlier, larger = _at_layer(folder, _EARLIER), _at_larger_input(folder)

    def free(gray: np.ndarray, label: int) -> np.ndarray:
        return finer(classifier.predict(prepare(gray)[0]).maps[..., label])

    def by_library(method: str) -> Callable[[np.ndarray, int], np.ndarray]:
        return lambda gray, label: reference_cam(method, prepare(gray)[0], CLASSES[label], folder)

    return {
        METHODS[0]: free,
        **{method: by_library(method) for method in METHODS[1:]},
        f"{METHODS[0]} one stage earlier": lambda gray, label: finer(earlier(gray, label)),
        f"{METHODS[0]} at an input of {LARGER}": lambda gray, label: finer(larger(gray, label)),
    }


def _at_layer(folder: Path, layer: str) -> Callable[[np.ndarray, int], np.ndarray]:
    """Grad-CAM on what a layer of the backbone gives out."""
    import keras
    import tensorflow as tf

    serving = keras.models.load_model(folder / "model.keras")
    (base,) = (layer for layer in serving.layers if isinstance(layer, keras.Model))
    probe = keras.Model(base.input, [base.get_layer(layer).output, base.outputs[0]])
    (head,) = serving.get_layer("maps").get_weights()

    def cam(gray: np.ndarray, label: int) -> np.ndarray:
        model_input = prepare(gray)[0]
        with tf.GradientTape() as tape:
            early, final = probe(np.repeat(model_input[np.newaxis], 3, axis=-1))
            logit = tf.reduce_mean(final @ head[0, 0, :, label, np.newaxis])
        weights = tf.reduce_mean(tape.gradient(logit, early), axis=(1, 2), keepdims=True)
        return tf.reduce_sum(weights * early, axis=-1).numpy()[0]

    return cam


def _at_larger_input(folder: Path) -> Callable[[np.ndarray, int], np.ndarray]:
    """Grad-CAM of the same weights on a finer picture of the head: (20, 20)."""
    import keras

    from brat.training.network import build

    _, serving = build(None, LARGER)
    serving.set_weights(keras.models.load_model(folder / "model.keras").get_weights())

    def cam(gray: np.ndarray, label: int) -> np.ndarray:
        framed, _ = frame(gray, LARGER)
        return np.asarray(serving(to_input(framed)[np.newaxis])["maps"])[0, ..., label]

    return cam


def mapped_class(s: IndexedSlice, maps: np.ndarray) -> int:
    """Whose map is judged: the slice's class, or its likeliest tumour where only that is known."""
    return CLASSES.index(s.label) if s.label else int(maps.mean(axis=(0, 1))[:NO_TUMOR].argmax())


def point(cam: np.ndarray, boxes: np.ndarray) -> tuple[bool, float]:
    """Judge a map, clipped at zero and enlarged to 224 x 224, by the boxes.

    Args:
        cam: float32 (n, n), covering the model's input, as it is drawn.
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
    """float (k, 4) boxes in input pixels -> bool (224, 224), true for pixels with their centre in any."""
    centres = np.arange(SIZE) + 0.5
    inside = np.zeros((SIZE, SIZE), bool)
    for x, y, width, height in boxes:
        inside |= np.outer(abs(centres - y) < height / 2, abs(centres - x) < width / 2)
    return inside
