"""A trained model in integers of 8 bits, which reads in about half the time: for batches.

Calibration, prediction sets and the out-of-distribution check belong to the answers of the model that they
were fitted to. Those of the quantized one are a little different, so all are fitted to it anew.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from brat.data.index import IndexedSlice, fingerprint, read_index
from brat.data.trained_on import card_for, trained_on
from brat.io.read import read_scan
from brat.model.files import KERAS, MODEL, ModelFolder, write_manifest
from brat.model.preprocess import prepare
from brat.training.fit import load_keras

EXAMPLES = 20
"""Training slices of each source, sequence and class, at most, from which the ranges of the network's inner
values are learned."""


def quantize(data: str | Path, weights: str | Path, out: str | Path) -> Path:
    """Write a model in int8 to a folder of its own.

    Weights and inner values become int8 (Jacob et al. 2018, arXiv 1712.05877). The input and all outputs stay
    float32, so that nothing around the model changes.

    Args:
        data: the index that the model was trained with.
        weights: the folder of the model, with `model.keras` and `model_card.json`.
        out: gets `model.tflite`, `model_card.json`, the manifest, and the history of the training. There is
            no `model.keras`, and so no Grad-CAM++.

    Raises:
        FileNotFoundError: there is no `model.keras`.
        FileExistsError: there is a model in `out`.
        ModelError: a file is damaged, or is not the one of the folder's manifest.
        ValueError: the model was trained on other data.
        RuntimeError: Keras runs on another backend than TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError("Models are quantized by TensorFlow: set KERAS_BACKEND=tensorflow.")
    weights, out = Path(weights), Path(out)
    if (out / MODEL).exists():
        raise FileExistsError(f"{out} already holds a model: name another folder.")
    folder = ModelFolder(weights)
    model = load_keras(folder)
    slices = read_index(data)
    card = card_for(weights, data, fingerprint(slices))
    examples = choose_examples(trained_on(weights, slices))
    content = to_int8(model, np.stack([prepare(read_scan(s.path).gray)[0] for s in examples]))
    out.mkdir(parents=True, exist_ok=True)
    (out / MODEL).write_bytes(content)
    # The rest of the card says what the model has learned from.
    del card[KERAS]
    card[MODEL] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    card["quantized"] = {"to": "int8", "from": folder.records[KERAS].sha256, "examples": len(examples)}
    (out / "model_card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    shutil.copy(weights / "history.csv", out)
    write_manifest(out, (MODEL,))
    return out


def choose_examples(slices: Sequence[IndexedSlice]) -> list[IndexedSlice]:
    """Up to `EXAMPLES` slices of each source, sequence and class by chance; the same ones every time."""
    groups: dict[tuple[str, str, str], list[IndexedSlice]] = {}
    for s in slices:
        groups.setdefault((s.source, s.sequence, s.label), []).append(s)
    draw = np.random.default_rng(0)
    chosen = []
    for _, group in sorted(groups.items()):
        chosen += [group[row] for row in draw.permutation(len(group))[:EXAMPLES]]
    return chosen


def to_int8(model: keras.Model, examples: np.ndarray) -> bytes:
    """Convert a serving model to an int8 LiteRT flatbuffer for one slice, with float32 input and outputs.

    Args:
        examples: float32 (n, 224, 224, 1) in [-1, 1], model inputs.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([example[np.newaxis]] for example in examples)
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
        # What spreads and softmax have no integers for.
        tf.lite.OpsSet.TFLITE_BUILTINS,
    ]
    return bytes(converter.convert())
