"""Where a reading comes from: class activation maps, colour maps, blending.

Grad-CAM comes free with every prediction (see `brat.training.network`). Grad-CAM++ and Score-CAM go through
tf-keras-vis and need TensorFlow, which is imported only when one of them is asked for.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from brat.classes import CLASSES
from brat.environment import WEIGHTS
from brat.model.classifier import Prediction
from brat.model.files import KERAS, ModelFolder
from brat.model.out_of_distribution import OodResult
from brat.model.preprocess import Geometry

_FINAL_FEATURES = "dropout"
"""The Keras model's layer whose output the maps weigh; when not training, dropout passes its input on."""

METHODS = ("Grad-CAM", "Grad-CAM++", "Score-CAM")

_KNOTS = np.array([1, 4, 1], np.float32) / 6
"""A cubic B-spline at its knots."""

COLOUR_MAPS = {
    "Inferno": cv2.COLORMAP_INFERNO,
    "Viridis": cv2.COLORMAP_VIRIDIS,
    "Cividis": cv2.COLORMAP_CIVIDIS,
    "Jet": cv2.COLORMAP_JET,
}
"""All but Jet are perceptually uniform. Jet shows edges that are not there; many people are used to it."""


OPACITY = 0.6
"""Of a map that is laid over a scan in a file."""

_progress: ContextVar[Callable[[float], None]] = ContextVar("_progress", default=lambda share: None)
"""Told how far Score-CAM is, in this thread."""


class MissingPackage(RuntimeError):
    """A method needs a package that this installation lacks; the message says which."""


def grad_cam(prediction: Prediction, label: str) -> np.ndarray:
    """Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391) of one class, at no cost.

    Grad-CAM weights the last feature maps by the mean gradient of the class's logit and clips at zero.
    Behind a 1 x 1 convolution and a global average those weights are the convolution's own (divided by
    the number of cells), so the result is the class map itself, smoothed by `finer`.

    Args:
        label: one of `brat.CLASSES`.

    Returns:
        float32 (28, 28) in [0, 1] with its peak at 1; all 0 where the smoothed map is nowhere above zero.
    """
    return _to_unit(finer(prediction.maps[..., CLASSES.index(label)]))


def finer(cam: np.ndarray) -> np.ndarray:
    """A map on a grid twice as fine, smoothed: neighbouring cells see much of the same, and differ by noise.

    The strongest cell is often beside the tumour's middle, which lies between cells. The weights of a cubic
    B-spline at its knots smooth, cubic convolution fills in; `docs/experiments.md` has what it gains.

    Args:
        cam: float32 (n, n), before it is clipped at zero where that can be had.

    Returns:
        float32 (2 n, 2 n), covering the same square.
    """
    smooth = cv2.sepFilter2D(cam, cv2.CV_32F, _KNOTS, _KNOTS, borderType=cv2.BORDER_REPLICATE)
    return cv2.resize(smooth, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)


def why_unmarked(prediction: Prediction, ood: OodResult | None) -> str:
    """Why a slice stands without a map until somebody asks for one; empty where it has one.

    Page, saved pictures, reports and overlays all go by it.

    Args:
        ood: None where there was no check.
    """
    if ood is not None and not ood.in_distribution:
        return "No map: of a slice unlike those that the model knows it says nothing."
    if prediction.label == "no_tumor":
        return "No map: that of no tumour would cover the whole brain."
    return ""


def reference_cam(
    method: str,
    model_input: np.ndarray,
    label: str,
    weights: Path = WEIGHTS,
    on_progress: Callable[[float], None] = lambda share: None,
) -> np.ndarray:
    """A class activation map by tf-keras-vis, on the Keras model.

    Grad-CAM++ is Chattopadhyay et al. 2018 (arXiv 1710.11063), Score-CAM Wang et al. 2020 (arXiv
    1910.01279). On the logits, as in the papers.

    Args:
        method: one of `METHODS`.
        model_input: float32 (224, 224, 1) in [-1, 1].
        label: one of `brat.CLASSES`.
        weights: the folder of `model.keras`.
        on_progress: called with the share that is done, 0 to 1: with 0 before and after the packages and the
            model are loaded, and by Score-CAM after each batch. What it raises ends the making of the map.

    Returns:
        float32 (28, 28) in [0, 1], smoothed by `finer`. Score-CAM runs the model once for each of its 1280
        feature maps, which takes 10 to 20 s on two cores.

    Raises:
        MissingPackage: tensorflow or tf-keras-vis is not installed.
        FileNotFoundError: there is no `model.keras` in the folder.
        ModelError: it is damaged, or is not the one of the folder's manifest.
    """
    require_packages(method)
    on_progress(0)
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus
    from tf_keras_vis.scorecam import Scorecam
    from tf_keras_vis.utils.scores import CategoricalScore

    model = _keras_logits(ModelFolder(weights).read(KERAS))
    on_progress(0)
    explainer = {"Grad-CAM": Gradcam, "Grad-CAM++": GradcamPlusPlus, "Score-CAM": Scorecam}[method]
    told = _progress.set(on_progress)
    try:
        cams = explainer(model, clone=False)(
            CategoricalScore(CLASSES.index(label)),
            model_input[np.newaxis],
            penultimate_layer=_FINAL_FEATURES,
            seek_penultimate_conv_layer=False,
            expand_cam=False,
            normalize_cam=False,
        )
    finally:
        _progress.reset(told)
    return _to_unit(finer(np.asarray(cams, np.float32)[0]))


def require_packages(method: str) -> None:
    """Raises `MissingPackage` where the method, one of `METHODS`, cannot be had by `reference_cam`."""
    if not reference_available():
        raise MissingPackage(
            f"{method} needs the full installation, with TensorFlow and tf-keras-vis; this one has neither. "
            "Grad-CAM works without them."
        )


def reference_available() -> bool:
    """Whether tensorflow and tf-keras-vis are installed; imports neither."""
    return all(importlib.util.find_spec(name) for name in ("tensorflow", "tf_keras_vis"))


@lru_cache(maxsize=2)
def _keras_logits(content: bytes) -> Any:
    """Args: content: of `model.keras`."""
    import keras

    class Told(keras.callbacks.Callback):
        def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
            _progress.get()((batch + 1) / self.params["steps"])

    class Watched(keras.Model):
        """Says how far it is: Score-CAM asks for all its predictions at once."""

        def predict(self, x: Any, **options: Any) -> Any:
            return super().predict(x, **options, callbacks=[Told()])

    # Score-CAM predicts in batches and would draw a progress bar for each map.
    keras.utils.disable_interactive_logging()
    # Keras reads a model from a file only. In a folder of its own nobody exchanges it after the check.
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / KERAS
        file.write_bytes(content)
        serving = keras.models.load_model(file)
    return Watched(serving.inputs, serving.get_layer("logits").output)


def _to_unit(values: np.ndarray) -> np.ndarray:
    clipped = np.maximum(values, 0, dtype=np.float32)
    peak = clipped.max()
    return clipped / peak if peak > 0 else clipped


def onto_scan(cam: np.ndarray, geometry: Geometry) -> np.ndarray:
    """float32 (n, n) in [0, 1] on the model's input -> float32 (height, width) in [0, 1] on the scan."""
    return geometry.to_scan(cam)


def blend(gray: np.ndarray, cam: np.ndarray, opacity: float, colour_map: str = "Inferno") -> np.ndarray:
    """Lay a map over a scan.

    The weight of the colour at a pixel is `opacity` times the value of the map. Where the map is 0 the scan
    stays as it was.

    Args:
        gray: uint8 (height, width).
        cam: float32 (height, width) in [0, 1].
        opacity: 0 (scan only) to 1.
        colour_map: one of `COLOUR_MAPS`.

    Returns:
        uint8 (height, width, 3), RGB.
    """
    # Integers, with each level's colour weighted once: four times as fast as floats, and within one shade.
    levels = np.linspace(0, 1, 256)[:, np.newaxis, np.newaxis]
    weighted = np.round(_colours(colour_map) * (opacity * levels)).astype(np.uint8)
    level = cv2.convertScaleAbs(cam, alpha=255)
    mixed = cv2.applyColorMap(level, weighted)
    hidden = cv2.multiply(gray, level, scale=opacity / 255)
    return cv2.add(mixed, cv2.cvtColor(cv2.subtract(gray, hidden), cv2.COLOR_GRAY2RGB), dst=mixed)


def colourise(values: np.ndarray, colour_map: str = "Inferno") -> np.ndarray:
    """float (...) in [0, 1], two-dimensional -> uint8 (..., 3), RGB."""
    level = np.clip(np.round(values * 255), 0, 255).astype(np.uint8)
    return cv2.applyColorMap(level, _colours(colour_map))


def overlay(
    gray: np.ndarray, prediction: Prediction, ood: OodResult | None, geometry: Geometry
) -> np.ndarray:
    """A scan with the map of its answer, or unmarked where `why_unmarked` says so.

    Args:
        gray: uint8 (height, width).
        geometry: where the model's input lies on it.

    Returns:
        uint8 (height, width, 3), RGB.
    """
    if why_unmarked(prediction, ood):
        return cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB)
    return blend(gray, onto_scan(grad_cam(prediction, prediction.label), geometry), OPACITY)


def as_png(gray: np.ndarray) -> bytes:
    """uint8 (height, width) -> a PNG file."""
    # A page draws it at every click, and OpenCV is four times as fast as Pillow.
    return cv2.imencode(".png", gray)[1].tobytes()


@lru_cache
def _colours(colour_map: str) -> np.ndarray:
    """The colours of the 256 levels, uint8 (256, 1, 3), RGB; OpenCV computes them anew at each use."""
    bgr = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, np.newaxis], COLOUR_MAPS[colour_map])
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
