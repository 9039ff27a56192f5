"""A prediction and one Grad-CAM, beside the usual ways to make them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.machine import CORES
from benchmarks.measure import Aim, Row, interleaved, stopwatch
from benchmarks.slices import make_slice
from brat import CLASSES, WEIGHTS
from brat.classifier import Classifier
from brat.explain import grad_cam
from brat.preprocess import prepare

WAYS = {"model.predict, tf-keras-vis": 25, "model(x), GradientTape": 10, "tf.function, GradientTape": 3}
TORCH = "PyTorch, torchcam"


def rows(short: bool) -> Iterator[Row]:
    model_input, _ = prepare(make_slice(0))
    classifier = Classifier(threads=min(4, CORES))

    def ours() -> np.ndarray:
        prediction = classifier.predict(model_input)
        return grad_cam(prediction, prediction.label)

    ways = {"ours": ours}
    missing = {}
    if _installed("tensorflow", "tf_keras_vis"):
        ways |= keras_ways(model_input)
        for name in WAYS:
            if np.abs(ways[name]() - ours()).max() > 0.01:
                raise RuntimeError(f"{name} makes another map")
    else:
        missing = dict.fromkeys(WAYS, "not installed")
    if _installed("torch", "torchvision", "torchcam"):
        ways[TORCH] = torch_way(model_input)
    else:
        missing[TORCH] = "not installed"
    functions = {name: stopwatch(way) for name, way in ways.items()}
    measured = interleaved(5 if short else 25, "ms", functions, warm_up=2)
    for name, limit in {**WAYS, TORCH: None}.items():
        aims = (Aim("speed", limit, least=True),) if limit else ()
        what = "Prediction and one Grad-CAM"
        yield Row(what, measured["ours"], name, measured.get(name), aims, missing.get(name, ""))


def _installed(*packages: str) -> bool:
    return all(importlib.util.find_spec(package) for package in packages)


def keras_ways(model_input: np.ndarray) -> dict[str, Callable[[], np.ndarray]]:
    """Three ways, on the same weights: each takes nothing and returns the map of the answer, peak at 1."""
    import keras
    import tensorflow as tf
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.utils.scores import CategoricalScore

    layer = "dropout"
    model = keras.models.load_model(WEIGHTS / "model.keras")
    logits = keras.Model(model.inputs, model.get_layer("logits").output)
    both = keras.Model(model.inputs, [model.get_layer(layer).output, logits.output, model.output["probabilities"]])
    batch = tf.constant(model_input[np.newaxis])
    gradcam = Gradcam(logits, clone=False)

    def reference() -> np.ndarray:
        answer = int(model.predict(model_input[np.newaxis], verbose=0)["probabilities"].argmax())
        score = CategoricalScore(answer)
        options = {"penultimate_layer": layer, "seek_penultimate_conv_layer": False, "expand_cam": False}
        return gradcam(score, model_input[np.newaxis], **options)[0]

    def tape(image):
        with tf.GradientTape() as record:
            features, scores, probabilities = both(image)
            best = tf.reduce_max(scores, axis=-1)
        weights = tf.reduce_mean(record.gradient(best, features), axis=(1, 2), keepdims=True)
        cam = tf.nn.relu(tf.reduce_sum(weights * features, axis=-1))[0]
        return cam / tf.reduce_max(cam), probabilities

    graph = tf.function(tape)
    functions = reference, lambda: tape(batch)[0].numpy(), lambda: graph(batch)[0].numpy()
    return dict(zip(WAYS, functions, strict=True))


def torch_way(model_input: np.ndarray) -> Callable[[], np.ndarray]:
    """torchcam's Grad-CAM on torchvision's MobileNetV2 with four classes; what its weights are costs no time."""
    import torch
    from torchcam.methods import GradCAM
    from torchvision.models import mobilenet_v2

    model = mobilenet_v2(weights=None, num_classes=len(CLASSES)).eval()
    extractor = GradCAM(model, target_layer="features")
    batch = torch.from_numpy(np.repeat(model_input.transpose(2, 0, 1)[np.newaxis], 3, axis=1))

    def run() -> np.ndarray:
        scores = model(batch)
        return extractor(int(scores.argmax()), scores)[0].numpy()

    return run
