"""A prediction and one Grad-CAM, beside the usual ways to make them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.measure import Row, installed, interleaved, stopwatch
from benchmarks.slices import make_slice
from brat.classes import CLASSES
from brat.environment import WEIGHTS
from brat.model.classifier import Classifier
from brat.model.explain import grad_cam
from brat.model.preprocess import prepare

KERAS = {"model.predict, tf-keras-vis": 25, "model(x), GradientTape": 10, "tf.function, GradientTape": 3}
TORCH = "PyTorch, torchcam"


def rows(short: bool) -> Iterator[Row]:
    model_input, _ = prepare(make_slice(0))
    classifier = Classifier()

    def ours() -> np.ndarray:
        prediction = classifier.predict(model_input)
        return grad_cam(prediction, prediction.label)

    ways = {"ours": ours}
    if installed("tensorflow", "tf_keras_vis"):
        ways |= dict(zip(KERAS, keras_ways(model_input), strict=True))
    prediction = classifier.predict(model_input)
    cam = np.maximum(prediction.maps[..., CLASSES.index(prediction.label)], 0)
    for name, way in ways.items():
        # Ours is smoothed beside what it is compared in.
        if name != "ours" and np.abs(way() - cam / cam.max()).max() > 0.01:
            raise RuntimeError(f"{name} makes another map")
    if installed("torch", "torchvision", "torchcam"):
        ways[TORCH] = torch_way(model_input)
    functions = {name: stopwatch(way) for name, way in ways.items()}
    measured = interleaved(5 if short else 25, "ms", functions, warm_up=2)
    for name in (*KERAS, TORCH):
        aims = {"speed": KERAS[name]} if name in KERAS else {}
        missing = "" if name in ways else "not installed"
        yield Row("Prediction and one Grad-CAM", measured["ours"], name, measured.get(name), aims, missing)


def keras_ways(model_input: np.ndarray) -> tuple[Callable[[], np.ndarray], ...]:
    """In the order of `KERAS`: functions that predict and return the answer's map, (14, 14), with peak 1."""
    import keras
    import tensorflow as tf
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.utils.scores import CategoricalScore

    model = keras.models.load_model(WEIGHTS / "model.keras")
    final, logits = (model.get_layer(name).output for name in ("dropout", "logits"))
    every = keras.Model(model.inputs, [final, logits, model.output["probabilities"]])
    gradcam = Gradcam(keras.Model(model.inputs, logits), clone=False)
    options = {"penultimate_layer": "dropout", "seek_penultimate_conv_layer": False, "expand_cam": False}
    batch = model_input[np.newaxis]
    constant = tf.constant(batch)

    def reference() -> np.ndarray:
        answer = model.predict(batch, verbose=0)["probabilities"].argmax()
        return gradcam(CategoricalScore(int(answer)), batch, **options)[0]

    def by_tape(image):
        with tf.GradientTape() as tape:
            features, scores, probabilities = every(image)
            best = tf.reduce_max(scores)
        weights = tf.reduce_mean(tape.gradient(best, features), axis=(1, 2), keepdims=True)
        cam = tf.nn.relu(tf.reduce_sum(weights * features, axis=-1))[0]
        return cam / tf.reduce_max(cam), probabilities

    graph = tf.function(by_tape)
    return reference, lambda: by_tape(constant)[0].numpy(), lambda: graph(constant)[0].numpy()


def torch_way(model_input: np.ndarray) -> Callable[[], object]:
    """torchvision's MobileNetV2 with random weights, which take as long as trained ones."""
    import torch
    from torchcam.methods import GradCAM
    from torchvision.models import mobilenet_v2

    model = mobilenet_v2(weights=None, num_classes=len(CLASSES)).eval()
    extractor = GradCAM(model, target_layer="features")
    batch = torch.from_numpy(np.repeat(model_input.transpose(2, 0, 1)[np.newaxis], 3, axis=1))

    def run() -> object:
        scores = model(batch)
        return extractor(int(scores.argmax()), scores)

    return run
