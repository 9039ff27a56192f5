"""Fit the network to an index of slices and export it: Keras file, LiteRT file, model card, history."""

from __future__ import annotations

import csv
import hashlib
import json
import platform
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import cv2
import keras
import numpy as np
from tqdm import tqdm

from brat import CLASSES
from brat.appearance import vary_appearance
from brat.datasets import Slice, Split, count_classes, fingerprint, read_index, split, without_twins
from brat.enhance import augmentation
from brat.network import MAP_SIZE, MapLoss, accuracy, build
from brat.preprocess import SIZE, frame, to_input
from brat.scans import read_scan


@dataclass(frozen=True)
class Recipe:
    """What can be chosen about a training run; it goes into the model card.

    Attributes:
        epochs: of `slices_per_epoch` draws each.
        learning_rate: the peak, reached after `warm_up` of the steps; a cosine takes it to zero.
        weight_decay: of AdamW (Loshchilov and Hutter, arXiv 1711.05101).
        coarse_epochs: the first epochs, at stride 32, see `brat.network.build`.
        frozen_blocks: see `brat.network.build`.
        balance: see `draw_chances`.
        appearance: whether grey levels are varied as well, see `brat.appearance`.
        locate, confine: weights of the two map losses, see `brat.network.MapLoss`.
        seed: of the weights, the draws and the augmentation.
    """

    epochs: int = 10
    slices_per_epoch: int = 3600
    batch_size: int = 32
    learning_rate: float = 7e-4
    warm_up: float = 0.1
    weight_decay: float = 1e-3
    coarse_epochs: int = 0
    frozen_blocks: int = -1
    balance: str = "sequence"
    appearance: bool = True
    locate: float = 0.3
    confine: float = 0.2
    seed: int = 0


class Slices(keras.utils.PyDataset):
    """Batches of framed slices with their `MapLoss` targets.

    With a recipe: augmented, and drawn with the chances of `draw_chances`; every batch is settled by the
    seed, its epoch and its number. Without: all slices once.
    """

    def __init__(self, slices: Sequence[Slice], recipe: Recipe | None = None, first_epoch: int = 0):
        super().__init__()
        self._recipe = recipe
        self._epoch = first_epoch
        self._batch = recipe.batch_size if recipe else 32
        self._framed = np.empty((len(slices), SIZE, SIZE), np.uint8)
        self._masks = np.zeros((len(slices), SIZE, SIZE), np.uint8)
        self._allowed = np.array([s.allowed for s in slices])
        for row, s in enumerate(tqdm(slices, desc="reading slices", unit="slice")):
            self._framed[row], geometry = frame(read_scan(s.path).gray)
            for box in s.boxes:
                draw_tumor(self._masks[row], geometry.box_to_input(box))
        self._chances = draw_chances(slices, recipe.balance) if recipe else None
        self._augment = augmentation() if recipe else None

    def __len__(self) -> int:
        count = self._recipe.slices_per_epoch if self._recipe else len(self._framed)
        return -(-count // self._batch)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        if self._recipe is None:
            rows = np.arange(number * self._batch, min((number + 1) * self._batch, len(self._framed)))
            framed, masks = self._framed[rows], self._masks[rows]
        else:
            draw = np.random.default_rng((self._recipe.seed, self._epoch, number))
            rows = draw.choice(len(self._framed), size=self._batch, p=self._chances)
            self._augment.set_random_seed(int(draw.integers(2**31)))
            others = draw.choice(len(self._framed), size=self._batch, p=self._chances)
            made = [
                self._augment(image=self._vary(row, other, draw), mask=self._masks[row])
                for row, other in zip(rows, others, strict=True)
            ]
            framed = np.stack([one["image"] for one in made])
            masks = np.stack([one["mask"] for one in made])
        return to_input(framed), np.concatenate([self._allowed[rows], tumor_share(masks)], axis=1)

    def _vary(self, row: int, other: int, draw: np.random.Generator) -> np.ndarray:
        framed = self._framed[row]
        return vary_appearance(framed, self._framed[other], draw) if self._recipe.appearance else framed

    def on_epoch_end(self) -> None:
        self._epoch += 1


NO_TUMOR_SHARE = 0.45
"""Of the draws of a sequence in which there are slices with and without a tumour."""


def draw_chances(slices: Sequence[Slice], balance: str) -> np.ndarray:
    """How likely each slice is to be drawn, float (n,), summing to 1.

    Args:
        balance: "sequence" draws tumour and none equally often within each sequence, so that neither contrast
            medium nor sequence tells whether there is one; then the classes alike, and the sites within a
            class in proportion to the square roots of their slices. "class" draws the classes alike and the
            sites as above, whatever the sequence.

    Raises:
        ValueError: `balance` is neither.
    """
    if balance == "class":
        levels = [(lambda s: s.label, 0.0), (lambda s: s.site, 0.5)]
    elif balance == "sequence":
        levels = [(lambda s: s.sequence, 0.75), (lambda s: s.tumor, None), (lambda s: s.label, 0.0), (lambda s: s.site, 0.5)]
    else:
        raise ValueError(f"Slices are drawn by sequence or by class, not by {balance!r}.")
    chances = np.zeros(len(slices))
    _share_out(slices, np.arange(len(slices)), 1.0, levels, chances)
    return chances


def _share_out(slices, rows, chance, levels, chances) -> None:
    """Deal a chance to rows, level by level: among a level's values by their counts to a power."""
    if not levels:
        chances[rows] = chance / len(rows)
        return
    (value_of, power), *rest = levels
    members: dict = {}
    for row in rows:
        members.setdefault(value_of(slices[row]), []).append(row)
    if power is None and len(members) == 2:
        weights = {True: 1 - NO_TUMOR_SHARE, False: NO_TUMOR_SHARE}
    else:
        weights = {value: len(found) ** (power or 0.0) for value, found in members.items()}
    for value, found in members.items():
        share = weights[value] / sum(weights[v] for v in members)
        _share_out(slices, np.array(found), chance * share, rest, chances)


def draw_tumor(mask: np.ndarray, box: tuple[float, float, float, float]) -> None:
    """Fill the ellipse inscribed in a box (x_center, y_center, width, height, pixels) with 255, in place.

    An ellipse is nearer to a tumour's outline than its box is, and stays what it is when turned.
    """
    x, y, width, height = box
    center = (round(x), round(y))
    axes = (max(1, round(width / 2)), max(1, round(height / 2)))
    cv2.ellipse(mask, center, axes, 0, 0, 360, 255, thickness=-1)


def tumor_share(masks: np.ndarray) -> np.ndarray:
    """uint8 (n, 224, 224) -> float32 (n, 14 * 14), each cell's share of tumour, 0 to 1."""
    cell = SIZE // MAP_SIZE
    cells = masks.reshape(-1, MAP_SIZE, cell, MAP_SIZE, cell).astype(np.float32)
    return cells.mean(axis=(2, 4)).reshape(len(masks), -1) / 255


def train(
    data: str | Path,
    backbone: str | Path,
    out: str | Path,
    test_fold: int | None = 0,
    validation_fold: int | None = None,
    recipe: Recipe | None = None,
    resume: bool = False,
) -> Path:
    """Train one model and write it to `out`.

    Args:
        data: an index file or a folder, see `brat.datasets.read_index`.
        backbone: "imagenet" or a weights file.
        out: a folder for `model.keras`, `model.tflite`, `model_card.json`, `history.csv` and, while
            training runs, a checkpoint.
        test_fold: never trained on, nor what lies near it. None holds out nothing, for the model that ships
            once cross-validation has measured its recipe.
        validation_fold: the weights of its best epoch are kept. None trains on it too and keeps the
            last epoch's, for a recipe that has already proved itself on a validation fold.
        resume: go on from the checkpoint in `out`.

    Raises:
        LeakError: the same group stands on both sides of the split.
        FileExistsError: `out` holds a run and `resume` is off.
        ValueError: the run in `out` was made with other data, folds or recipe.
    """
    slices = read_index(data)
    parts = without_twins(split(slices, test_fold, validation_fold))
    about = {
        "data_fingerprint": fingerprint(slices),
        "test_fold": test_fold,
        "validation_fold": validation_fold,
    }
    return fit(parts, about, backbone, out, recipe or Recipe(), resume)


def fit(
    parts: Split, about: dict, backbone: str | Path, out: str | Path, recipe: Recipe, resume: bool = False
) -> Path:
    """Train one model on a split that is already made; arguments and exceptions else as for `train`.

    Args:
        about: what tells this split from others, for the model card.
    """
    out = Path(out)
    plan = {**about, "backbone": _describe_backbone(backbone), "recipe": asdict(recipe)}
    done = _open_run(out, plan, resume)
    keras.utils.set_random_seed(recipe.seed)
    training, serving = _compiled(backbone, recipe)
    best = out / "best.weights.h5"
    callbacks = [
        keras.callbacks.CSVLogger(str(out / "history.csv"), append=resume),
        keras.callbacks.BackupAndRestore(str(out / "checkpoint"), delete_checkpoint=False),
    ]
    if parts.validation:
        watched = min((float(row["val_loss"]) for row in done), default=None)
        callbacks.insert(
            0,
            keras.callbacks.ModelCheckpoint(
                str(best),
                monitor="val_loss",
                save_best_only=True,
                save_weights_only=True,
                initial_value_threshold=watched,
            ),
        )
    batches = Slices(parts.train, recipe, first_epoch=len(done))
    validation = Slices(parts.validation) if parts.validation else None
    begun = len(done)
    if begun < recipe.coarse_epochs:
        coarse, _ = _compiled(backbone, recipe, coarse=True)
        _run_epochs(coarse, batches, validation, range(begun, recipe.coarse_epochs), callbacks)
        begun = recipe.coarse_epochs
        _carry_over(coarse, training)
        # The checkpoint of the coarse network is restored into no other.
        shutil.rmtree(out / "checkpoint", ignore_errors=True)
    _run_epochs(training, batches, validation, range(begun, recipe.epochs), callbacks)
    if best.exists():
        training.load_weights(best)
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


def _compiled(
    backbone: str | Path, recipe: Recipe, coarse: bool = False
) -> tuple[keras.Model, keras.Model]:
    training, serving = build(backbone, coarse=coarse, frozen_blocks=recipe.frozen_blocks)
    training.compile(
        optimizer=_optimizer(recipe),
        loss=MapLoss(recipe.locate, recipe.confine),
        metrics=[accuracy],
        # XLA on a CPU made a step fifteen times slower than TensorFlow's own kernels.
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
    )
    return training, serving


def _carry_over(before: keras.Model, after: keras.Model) -> None:
    """Weights and the optimizer's moments, from the coarse network to the fine one."""
    after.set_weights(before.get_weights())
    after.optimizer.build(after.trainable_variables)
    for old, new in zip(before.optimizer.variables, after.optimizer.variables, strict=True):
        new.assign(old)


def _run_epochs(
    model: keras.Model,
    batches: Slices,
    validation: Slices | None,
    epochs: range,
    callbacks: list[keras.callbacks.Callback],
) -> None:
    """What `Model.fit` does, without its input pipeline.

    Under load TensorFlow's now and then waited for ever at the end of an epoch: the iterator was torn down by
    a thread that held Python's lock, while the pipeline's own thread needed it to finish.
    """
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
        if validation is not None:
            watched = _Means()
            for step in range(len(validation)):
                batch = validation[step]
                watched.add(model.test_on_batch(*batch, return_dict=True), len(batch[0]))
            logs |= {f"val_{name}": value for name, value in watched.values.items()}
        run.on_epoch_end(epoch, logs)
    run.on_train_end()


class _Means:
    """Running means over the slices of an epoch; Keras forgets its own from batch to batch here."""

    def __init__(self):
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


def export_again(folder: str | Path) -> None:
    """Write the LiteRT file of the `model.keras` in a folder, and its hash into the card.

    Raises:
        RuntimeError: Keras runs on another backend than TensorFlow.
        FileNotFoundError: there is no `model.keras`.
    """
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError("The LiteRT file is written by TensorFlow: set KERAS_BACKEND=tensorflow.")
    folder = Path(folder)
    if not (folder / "model.keras").exists():
        raise FileNotFoundError(f"There is no model.keras in {folder}.")
    card = json.loads((folder / "model_card.json").read_text())
    export(keras.models.load_model(folder / "model.keras"), folder, card)


def to_litert(serving: keras.Model) -> bytes:
    """Convert a serving model to a float32 LiteRT flatbuffer for one slice."""
    import tensorflow as tf

    return tf.lite.TFLiteConverter.from_keras_model(serving).convert()
