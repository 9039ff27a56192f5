"""The network and its loss, in Keras operations only, so that any Keras 3 backend trains them.

MobileNetV2 1.0 (Sandler et al. 2018) with its last stage at stride 16, a 1 x 1 convolution to the four
classes, and the global average of its output: the logit of a class is the mean of its map. For such a
head Grad-CAM (Selvaraju et al. 2017) *is* the map, clipped at zero.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from brat.classes import CLASSES
from brat.model.preprocess import SIZE

STRIDE = 16
"""Pixels a side of the input for each cell of a class map."""

MAP_SIZE = SIZE // STRIDE
"""Cells a side of a class map."""

SMALL = 160
"""Pixels a side of the input in the first epochs of training."""

_EARLY_STAGES = ("block_5_add", "block_9_add")
"""Where texture and contrast still show; the out-of-distribution check sees their means and spreads."""

LABEL_SMOOTHING = 0.05
DROPOUT = 0.2


def build(
    backbone: str | Path | None, size: int = SIZE, start: keras.Model | None = None
) -> tuple[keras.Model, keras.Model]:
    """The network twice, with the same weights: to train, and to serve.

    Args:
        backbone: "imagenet", which Keras downloads; a weights file of `MobileNetV2(include_top=False)`; or
            None for random weights.
        size: pixels a side of the input, a multiple of 32.
        start: a serving model, of any size, whose weights both begin with; instead of a backbone.

    Returns:
        The training model, float32 (n, size, size, 1) in [-1, 1] -> maps (n, size / 16, size / 16, 4); and
        the serving model, the same input -> `probabilities` (n, 4), the maps, `features` (n, 1280) and
        `appearance` (n, 192). The serving model learns by `hand_over`.

    Raises:
        ValueError: `start` is another network.
    """
    base = _backbone(backbone if start is None else None, size)
    early = [base.get_layer(name).output for name in _EARLY_STAGES]
    body = keras.Model(base.inputs, [base.output, *early], name=base.name)
    if start is not None:
        body.set_weights(_body_of(start).get_weights())
    # Merged with the normalisation as it is now.
    merged = _merged(base)
    image = keras.Input((size, size, 1), name="image")
    rgb = keras.layers.Concatenate(name="gray_to_rgb")([image, image, image])
    final, *stages = body(rgb)
    maps = _head(final)
    logits = keras.layers.GlobalAveragePooling2D(name="logits")(maps)
    serving = keras.Model(
        image,
        {
            "probabilities": keras.layers.Softmax(name="probabilities")(logits),
            "maps": maps,
            "features": keras.layers.GlobalAveragePooling2D(name="features")(final),
            "appearance": keras.layers.Concatenate(name="appearance")(
                [pool(stage, axis=(1, 2)) for stage in stages for pool in (ops.mean, ops.std)]
            ),
        },
        name="bratum",
    )
    if start is not None:
        serving.get_layer("maps").set_weights(start.get_layer("maps").get_weights())
    training = keras.Model(image, _head(merged(rgb)))
    training.get_layer("maps").set_weights(serving.get_layer("maps").get_weights())
    return training, serving


def _body_of(serving: keras.Model) -> keras.Model:
    body = next((layer for layer in serving.layers if isinstance(layer, keras.Model)), None)
    if body is None:
        raise ValueError("The model has no backbone.")
    return body


def hand_over(training: keras.Model, serving: keras.Model) -> None:
    """Give the serving model what the training model has learned."""
    for learned, served in zip(training.trainable_variables, serving.trainable_variables, strict=True):
        served.assign(learned)


def _head(features: Any) -> Any:
    dropped = keras.layers.SpatialDropout2D(DROPOUT, name="dropout")(features)
    # Without a bias the maps alone make the logits, and nothing speaks that has no place.
    return keras.layers.Conv2D(len(CLASSES), 1, use_bias=False, name="maps")(dropped)


class _Normalized:
    """What a convolution computes together with the frozen batch normalisation after it.

    Its kernel is scaled and its output shifted, so that the activations are gone through twice less. What the
    kernel learns is the same.

    Attributes:
        scale, shift: of each channel of the output, float32 (channels,).
    """

    scale: Any = np.float32(1)
    shift: Any = np.float32(0)


class _NormalizedConv2D(_Normalized, keras.layers.Conv2D):
    def call(self, inputs: Any) -> Any:
        return self.convolution_op(inputs, self.kernel * self.scale) + self.shift


class _NormalizedDepthwiseConv2D(_Normalized, keras.layers.DepthwiseConv2D):
    def call(self, inputs: Any) -> Any:
        kernel = self.kernel * self.scale[..., np.newaxis]
        return (
            ops.depthwise_conv(inputs, kernel, self.strides, self.padding, dilation_rate=self.dilation_rate)
            + self.shift
        )


class _Same(keras.layers.Layer):
    def call(self, inputs: Any, mask: Any = None) -> Any:
        return inputs


_NORMALIZED: dict[Any, Any] = {
    keras.layers.Conv2D: _NormalizedConv2D,
    keras.layers.DepthwiseConv2D: _NormalizedDepthwiseConv2D,
}


def _merged(base: keras.Model) -> keras.Model:
    """The backbone, each convolution merged with the normalisation after it."""

    def replace(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, keras.layers.BatchNormalization):
            return _Same(name=layer.name)
        return _NORMALIZED.get(type(layer), type(layer)).from_config(layer.get_config())

    merged = keras.models.clone_model(base, clone_function=replace)
    for layer in base.layers:
        if type(layer) not in _NORMALIZED:
            continue
        (node,) = layer._outbound_nodes
        gamma, beta, mean, variance = (ops.convert_to_numpy(w) for w in node.operation.weights)
        twin = merged.get_layer(layer.name)
        twin.set_weights(layer.get_weights())
        twin.scale = gamma / np.sqrt(variance + node.operation.epsilon)
        twin.shift = beta - mean * twin.scale
    return merged


def _backbone(backbone: str | Path | None, size: int) -> keras.Model:
    known = "imagenet" if str(backbone) == "imagenet" else None
    base = keras.applications.MobileNetV2(include_top=False, weights=known, input_shape=(size, size, 3))
    if backbone is not None and not known:
        base.load_weights(backbone)
    config = base.get_config()
    for layer in config["layers"]:
        if layer["name"] == "block_13_pad":
            layer["config"]["padding"] = ((0, 0), (0, 0))
        elif layer["name"] == "block_13_depthwise":
            layer["config"].update(strides=(1, 1), padding="same")
        elif layer["name"] in {f"block_{n}_depthwise" for n in (14, 15, 16)}:
            # Dilation lets these see what they saw at stride 32, where their weights were learned.
            layer["config"]["dilation_rate"] = (2, 2)
    atrous = keras.Model.from_config(config)
    atrous.set_weights(base.get_weights())
    for layer in atrous.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    return atrous


class MapLoss(keras.losses.Loss):
    """Classify by the maps' means, and pull the maps of the allowed classes onto the tumour.

    With p the softmax of the logits, A the allowed classes of a slice, B the tumour's share of each cell:

        -log sum_A p                                smoothed towards the uniform distribution
        + locate x cross-entropy(B / sum B, softmax over cells of the allowed map)
        + confine x (mean over B of softplus(-e) + mean outside the tumour of softplus(e))

    where e, the evidence of a cell, is the log-sum-exp of the allowed maps. The softmax puts the peak into
    the tumour but does not feel an offset; the last term gives the sign of the map a meaning, above zero in
    the tumour and below it elsewhere, after "right for the right reasons" (Ross et al. 2017, arXiv
    1703.03717), so that the map clipped at zero is the size of the tumour. Both count only where there is
    a box.

    Called with y_true float32 (n, 4 + side * side): the allowed classes, then the tumour's share of each
    cell, row by row; and y_pred, the maps (n, side, side, 4).
    """

    def __init__(self, locate: float, confine: float):
        super().__init__(name="map_loss")
        self.locate, self.confine = locate, confine

    def call(self, y_true: Any, y_pred: Any) -> Any:
        count = len(CLASSES)
        allowed, tumor = y_true[:, :count], y_true[:, count:]
        forbidden = (allowed - 1) * 1e9
        log_p = ops.log_softmax(ops.mean(y_pred, axis=(1, 2)), axis=-1)
        classify = -(1 - LABEL_SMOOTHING) * ops.logsumexp(log_p + forbidden, axis=-1)
        classify -= LABEL_SMOOTHING * ops.mean(log_p, axis=-1)

        cells = ops.reshape(y_pred, (-1, tumor.shape[1], count))
        evidence = ops.logsumexp(cells + forbidden[:, None, :], axis=-1)
        area = ops.sum(tumor, axis=-1)
        boxed = ops.cast(area > 0, y_pred.dtype)
        target = tumor / ops.maximum(area, 1e-6)[:, None]
        locate = -ops.sum(target * ops.log_softmax(evidence, axis=-1), axis=-1)
        outside = ops.cast(tumor <= 0, y_pred.dtype)
        confine = ops.sum(target * ops.softplus(-evidence), axis=-1)
        elsewhere = ops.sum(outside * ops.softplus(evidence), axis=-1)
        confine += elsewhere / ops.maximum(ops.sum(outside, axis=-1), 1)
        return classify + boxed * (self.locate * locate + self.confine * confine)


def accuracy(y_true: Any, y_pred: Any) -> Any:
    """Share of slices whose likeliest class is allowed; arguments as for `MapLoss`."""
    best = ops.argmax(ops.mean(y_pred, axis=(1, 2)), axis=-1)
    allowed = ops.convert_to_tensor(y_true)[:, : len(CLASSES)]
    return ops.sum(allowed * ops.one_hot(best, len(CLASSES)), axis=-1)
