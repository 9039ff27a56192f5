"""Fit the network to an index of slices and export it: Keras file, LiteRT file, model card, history."""

from __future__ import annotations

import csv
import hashlib
import json
import platform
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import keras

from brat.classes import CLASSES
from brat.data.index import (
    LeakError,
    Split,
    count_classes,
    fingerprint,
    read_index,
    read_indexes,
    split,
    without_masses,
    without_near_duplicates,
)
from brat.model.files import KERAS, MODEL, ModelFolder, update_manifest, write_manifest
from brat.model.preprocess import SIZE
from brat.training.batches import DrawnSlices, Slices
from brat.training.network import SMALL, MapLoss, accuracy, build, hand_over
from brat.training.recipe import Recipe

FOLLOWED = 400
"""Slices of the test side, at most, that are read after each epoch; thousands took a third of its time."""


def train(
    data: str | Path | Sequence[str | Path],
    backbone: str | Path,
    out: str | Path,
    test_fold: int | None = 0,
    validation_fold: int | None = None,
    recipe: Recipe | None = None,
    resume: bool = False,
    held_out: Sequence[str] = (),
    start_from: str | Path | None = None,
    tensorboard: str | Path | None = None,
) -> Path:
    """Train one model and write it to `out`.

    Args:
        data: an index file or a folder, or several of them, see `brat.data.index.read_indexes`.
        backbone: "imagenet" or a weights file; not used where training starts from a model.
        out: a folder for `model.keras`, `model.tflite`, `model_card.json`, `history.csv` and, while
            training runs, a checkpoint.
        test_fold: never trained on, nor what lies near it. None holds out nothing, for the model that ships
            once cross-validation has measured its recipe.
        validation_fold: the weights of its best epoch are kept. None trains on it too and keeps the
            last epoch's, for a recipe that has already proved itself on a validation fold. The history then
            follows the test fold instead, and nothing is chosen by it.
        resume: go on from the checkpoint in `out`.
        held_out: groups of the index, such as patients, that are not trained on, nor what is nearly the same.
        start_from: the folder of a model to go on from, with its `model.keras`. An epoch then draws as many
            slices as there are to train on, where the recipe has more.
        tensorboard: a folder for the events that TensorBoard shows.

    Raises:
        LeakError: the same group stands on both sides of the split, or the model that training starts from
            has learned from a fold or a group that is held out now.
        FileExistsError: `out` holds a run and `resume` is off.
        FileNotFoundError: there is no `model.keras` to start from.
        ModelError: that file is damaged, or is not the one of its folder's manifest.
        ValueError: the run in `out` was made with other data, folds or recipe; or the model to start from has
            another network.
    """
    indexes = [data] if isinstance(data, str | Path) else data
    slices = read_indexes(indexes)
    if start_from is not None:
        _refuse_seen(Path(start_from), indexes, test_fold, validation_fold, held_out)
    parts = without_near_duplicates(split(slices, test_fold, validation_fold, held_out))
    recipe = recipe or Recipe()
    if start_from is not None:
        # The recipe's epoch would show each of a few cases a hundred times.
        recipe = replace(recipe, slices_per_epoch=min(recipe.slices_per_epoch, len(parts.train)))
    about = {
        "data_fingerprint": fingerprint(slices),
        **({"index_fingerprints": _prints(indexes)} if len(indexes) > 1 else {}),
        "test_fold": test_fold,
        "validation_fold": validation_fold,
        "held_out": sorted(held_out),
    }
    return fit(parts, about, backbone, out, recipe, resume, start_from, tensorboard)


def fit(
    parts: Split,
    about: dict,
    backbone: str | Path,
    out: str | Path,
    recipe: Recipe,
    resume: bool = False,
    start_from: str | Path | None = None,
    tensorboard: str | Path | None = None,
) -> Path:
    """Train one model on a split that is already made; arguments and exceptions else as for `train`.

    Args:
        about: what tells this split from others, for the model card.
    """
    out = Path(out)
    parts = without_masses(parts)
    start = None if start_from is None else _start_of(Path(start_from))
    plan = {
        **about,
        "backbone": _describe_backbone(backbone) if start is None else {"name": start.name},
        **({} if start is None else {"start_from": start.described}),
        "recipe": asdict(recipe),
    }
    done = _open_run(out, plan, resume)
    keras.utils.set_random_seed(recipe.seed)
    training, serving = _compiled(backbone, recipe, start=start)
    batches = DrawnSlices(parts.train, recipe, first_epoch=len(done))
    # The test side is followed for the report alone. A run that was begun without this goes on without: its
    # history has no column for it.
    followed = parts.validation or parts.test[:: -(-len(parts.test) // FOLLOWED) or 1]
    is_followed = bool(followed) and (not done or "val_loss" in done[0])
    held_out = Slices(followed) if is_followed else None
    # Without a full-size epoch behind it, training goes on from the small network's end, which is restored.
    if recipe.small_epochs and len(done) <= recipe.small_epochs:
        small, _ = _compiled(backbone, recipe, SMALL, start)
        epochs = range(len(done), recipe.small_epochs)
        keepers = _keepers(out, "small_checkpoint", tensorboard)
        _run_epochs(small, SMALL, batches, held_out, epochs, keepers)
        _carry_over(small, training)
    callbacks = _keepers(out, "checkpoint", tensorboard)
    best = out / "best.weights.h5"
    if parts.validation:
        full = done[recipe.small_epochs :]
        callbacks.append(
            keras.callbacks.ModelCheckpoint(
                str(best),
                monitor="val_loss",
                save_best_only=True,
                save_weights_only=True,
                initial_value_threshold=min((float(row["val_loss"]) for row in full), default=None),
            )
        )
    epochs = range(max(len(done), recipe.small_epochs), recipe.epochs)
    _run_epochs(training, SIZE, batches, held_out, epochs, callbacks)
    if best.exists():
        training.load_weights(best)
    hand_over(training, serving)
    card = {
        **plan,
        "classes": list(CLASSES),
        "trained": datetime.now(UTC).isoformat(timespec="seconds"),
        "train_slices": count_classes(parts.train),
        "validation_slices": count_classes(parts.validation),
        "test_slices": count_classes(parts.test),
        "sources": sorted({s.source for s in parts.train}),
        "boxes": sum(bool(s.boxes) for s in parts.train),
        "versions": {
            "python": platform.python_version(),
            "backend": keras.backend.backend(),
            **{p: version(p) for p in ("keras", "albumentations", "opencv-python-headless", "numpy")},
        },
    }
    export(serving, out, card)
    return out


def _keepers(out: Path, checkpoint: str, tensorboard: str | Path | None) -> list[keras.callbacks.Callback]:
    """What writes each epoch down and keeps what is needed to go on."""
    keepers = [
        keras.callbacks.CSVLogger(str(out / "history.csv"), append=True),
        keras.callbacks.BackupAndRestore(str(out / checkpoint), delete_checkpoint=False),
    ]
    if tensorboard is not None:
        keepers.append(keras.callbacks.TensorBoard(str(tensorboard), write_graph=False))
    return keepers


class _Start(NamedTuple):
    """A model to go on from.

    Attributes:
        name: of its folder.
        described: for the card: the folder's name, the hash of `model.keras`, and what it was trained on.
        model: the serving model.
    """

    name: str
    described: dict
    model: keras.Model


def _start_of(folder: Path) -> _Start:
    if not (folder / KERAS).is_file():
        raise FileNotFoundError(
            f"There is no {KERAS} in {folder}: training goes on from that file, which `brat train` writes "
            "beside model.tflite. Name a folder that has it."
        )
    checked = ModelFolder(folder)
    model = load_keras(checked)
    before = _card_of(folder)
    kept = (
        "data_fingerprint",
        "index_fingerprints",
        "test_fold",
        "validation_fold",
        "held_out",
        "sources",
        "start_from",
    )
    described = {
        "name": folder.resolve().name,
        "sha256": checked.records[KERAS].sha256,
        **{name: before[name] for name in kept if name in before},
    }
    return _Start(described["name"], described, model)


def load_keras(folder: ModelFolder) -> keras.Model:
    """The serving model of a folder, not compiled.

    Raises:
        FileNotFoundError: there is no `model.keras`.
        ModelError: that file is damaged, or is not the one of the folder's manifest.
    """
    content = folder.read(KERAS)
    with tempfile.NamedTemporaryFile(suffix=f"-{KERAS}") as file:
        # The bytes that were checked.
        file.write(content)
        file.flush()
        return keras.models.load_model(file.name, compile=False)


def _card_of(folder: Path) -> dict:
    card = folder / "model_card.json"
    return json.loads(card.read_text(encoding="utf-8")) if card.exists() else {}


def _prints(indexes: Sequence[str | Path]) -> list[str]:
    return [fingerprint(read_index(index)) for index in indexes]


def _refuse_seen(
    folder: Path,
    indexes: Sequence[str | Path],
    test_fold: int | None,
    validation_fold: int | None,
    held_out: Sequence[str],
) -> None:
    """Raise `LeakError` where a fold or a group is held out that the model in a folder has learned from.

    It is known by the fingerprints of the indexes: of the model itself, and of what it went on from in turn.
    """
    known = {fingerprint(slices): slices for slices in map(read_index, indexes)}
    ancestor = _card_of(folder)
    while ancestor:
        own = ancestor.get("test_fold")
        learned = {ancestor.get("data_fingerprint"), *ancestor.get("index_fingerprints", ())}
        met = [s for prints in learned.intersection(known) for s in known[prints]]
        # By its own validation fold an epoch may be chosen again.
        also = {own, ancestor.get("validation_fold")}
        folds = ((test_fold, {own}), (validation_fold, also))
        seen = [fold for fold, unseen in folds if fold is not None and fold not in unseen]
        if met and seen:
            only = "none" if own is None else f"{own} or none"
            raise LeakError(
                f"The model in {folder} has learned from fold {seen[0]} of this data: a figure there "
                f"would be memory. Hold out {only}, for the test and for validation."
            )
        unmet = ancestor.get("held_out", ())
        if groups := {s.group for s in met if s.group in held_out and s.group not in unmet and s.fold != own}:
            raise LeakError(
                f"The model in {folder} has learned from {min(groups)}, which is to be held out. Start from "
                "a model that was trained without it, or do not hold it out."
            )
        ancestor = ancestor.get("start_from") or {}


def _compiled(
    backbone: str | Path, recipe: Recipe, size: int = SIZE, start: _Start | None = None
) -> tuple[keras.Model, keras.Model]:
    try:
        training, serving = build(backbone, size, start.model if start else None)
    except ValueError as error:
        if start is None:
            raise
        raise ValueError(
            f"The {KERAS} in {start.name} has another network than this version trains. Start from a model "
            "that this version has trained."
        ) from error
    training.compile(
        optimizer=_optimizer(recipe),
        loss=MapLoss(recipe.locate, recipe.confine),
        metrics=[accuracy],
        # XLA on a CPU made a step fifteen times slower than TensorFlow's own kernels.
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
    )
    return training, serving


def _carry_over(before: keras.Model, after: keras.Model) -> None:
    """Weights and the optimizer's moments, from the small network to the full-size one."""
    after.set_weights(before.get_weights())
    after.optimizer.build(after.trainable_variables)
    for old, new in zip(before.optimizer.variables, after.optimizer.variables, strict=True):
        new.assign(old)


def _run_epochs(
    model: keras.Model,
    size: int,
    batches: DrawnSlices,
    held_out: Slices | None,
    epochs: range,
    callbacks: list[keras.callbacks.Callback],
) -> None:
    """What `Model.fit` does, without its input pipeline.

    Under load TensorFlow's now and then waited for ever at the end of an epoch: the iterator was torn down by
    a thread that held Python's lock, while the pipeline's own thread needed it to finish.
    """
    batches.size = size
    if held_out is not None:
        held_out.size = size
    # The checkpoint can only be restored into optimizer and metrics that exist.
    model.optimizer.build(model.trainable_variables)
    model.test_on_batch(*batches[0])
    run = keras.callbacks.CallbackList(
        callbacks, add_progbar=True, model=model, verbose=1, epochs=epochs.stop, steps=len(batches)
    )
    run.on_train_begin()
    for epoch in epochs:
        run.on_epoch_begin(epoch)
        seen = _Means()
        for step in range(len(batches)):
            run.on_train_batch_begin(step)
            batch = batches[step]
            seen.add(model.train_on_batch(*batch, return_dict=True), len(batch[0]))
            run.on_train_batch_end(step, seen.values)
        batches.on_epoch_end()
        logs = seen.values
        if held_out is not None:
            watched = _Means()
            for step in range(len(held_out)):
                batch = held_out[step]
                watched.add(model.test_on_batch(*batch, return_dict=True), len(batch[0]))
            logs |= {f"val_{name}": value for name, value in watched.values.items()}
        run.on_epoch_end(epoch, logs)
    run.on_train_end()


class _Means:
    """Running means over the slices of an epoch; Keras forgets its own from batch to batch here."""

    def __init__(self) -> None:
        self._sums: Counter[str] = Counter()
        self._slices = 0

    def add(self, values: dict[str, float], slices: int) -> None:
        self._sums.update({name: float(value) * slices for name, value in values.items()})
        self._slices += slices

    @property
    def values(self) -> dict[str, float]:
        return {name: total / self._slices for name, total in self._sums.items()}


def _open_run(out: Path, plan: dict, resume: bool) -> list[dict[str, str]]:
    """Make or reopen a run's folder; return the rows of its history so far."""
    marker, history = out / "plan.json", out / "history.csv"
    if marker.exists():
        if not resume:
            raise FileExistsError(
                f"{out} already holds a run. Add --resume to go on with it, or name another folder."
            )
        if json.loads(marker.read_text()) != plan:
            raise ValueError(
                f"{out} holds a run with other data, folds, backbone or recipe: name another folder."
            )
        if history.exists():
            with history.open(newline="") as handle:
                return list(csv.DictReader(handle))
    out.mkdir(parents=True, exist_ok=True)
    marker.write_text(json.dumps(plan, indent=2))
    return []


def _describe_backbone(backbone: str | Path) -> dict[str, str]:
    if str(backbone) == "imagenet":
        return {"name": "imagenet"}
    return {
        "name": Path(backbone).name,
        "sha256": hashlib.sha256(Path(backbone).read_bytes()).hexdigest(),
    }


def _optimizer(recipe: Recipe) -> keras.optimizers.Optimizer:
    steps = recipe.epochs * -(-recipe.slices_per_epoch // recipe.batch_size)
    warm_up = int(recipe.warm_up * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=recipe.learning_rate / 100,
        decay_steps=steps - warm_up,
        warmup_target=recipe.learning_rate,
        warmup_steps=warm_up,
    )
    return keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay)


def export(serving: keras.Model, out: Path, card: dict) -> None:
    """Write `model.keras`, the LiteRT file with the same three outputs, and the card with their hashes.

    Only TensorFlow can write the LiteRT file; on another backend it is left out, and `export_again` adds it.
    """
    serving.save(out / "model.keras")
    names = ["model.keras"]
    if keras.backend.backend() == "tensorflow":
        (out / "model.tflite").write_bytes(to_litert(serving))
        names.append("model.tflite")
    for name in names:
        card[name] = {
            "sha256": hashlib.sha256((out / name).read_bytes()).hexdigest(),
            "bytes": (out / name).stat().st_size,
        }
    (out / "model_card.json").write_text(json.dumps(card, indent=2) + "\n")
    # A calibration or a detector that lies here is of another model, and is not listed.
    write_manifest(out, names)


def export_again(folder: str | Path) -> None:
    """Write the LiteRT file of the `model.keras` in a folder, and its hash into the card.

    Raises:
        RuntimeError: Keras runs on another backend than TensorFlow.
        FileNotFoundError: there is no `model.keras`.
        ModelError: a file is damaged, or is not the one of the folder's manifest.
    """
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError("The LiteRT file is written by TensorFlow: set KERAS_BACKEND=tensorflow.")
    folder = Path(folder)
    if not (folder / KERAS).exists():
        raise FileNotFoundError(f"There is no model.keras in {folder}.")
    checked = ModelFolder(folder)
    # What is fitted to the model stays, and what is damaged now is not listed as whole.
    for name in checked.records.keys() - {MODEL}:
        checked.read(name)
    card = json.loads((folder / "model_card.json").read_text())
    export(load_keras(checked), folder, card)
    update_manifest(checked, (KERAS, MODEL))


def to_litert(serving: keras.Model) -> bytes:
    """Convert a serving model to a float32 LiteRT flatbuffer for one slice."""
    import tensorflow as tf

    return tf.lite.TFLiteConverter.from_keras_model(serving).convert()
