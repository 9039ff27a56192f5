"""Cross-validation: a model reads only slices whose patients, near-duplicates and neighbours it has not seen.

The raw readings of each run are kept beside its model, so that all results can be computed again without
training. The random split of the original work, which leaks, is repeated for comparison.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from brat.classes import CLASSES
from brat.data.index import (
    FOLDS,
    IndexedSlice,
    Split,
    fingerprint,
    read_index,
    read_rows,
    slice_of,
    split_source,
    without_near_duplicates,
)
from brat.data.sources import source_for
from brat.evaluation.readings import Readings, read_slices
from brat.model.calibration import softmax
from brat.model.classifier import Classifier
from brat.training.fit import fit, train
from brat.training.recipe import Recipe


def crossval(
    data: str | Path,
    backbone: str | Path,
    out: str | Path,
    folds: Sequence[int] = range(FOLDS),
    recipe: Recipe | None = None,
) -> None:
    """Train one model for each fold and read the fold with it; finished work is not repeated.

    Args:
        data: an index file or a folder, see `brat.data.index.read_index`.
        backbone: "imagenet" or a weights file.
        out: a folder. `fold-K/` gets the files of `brat.training.fit.train` and the readings of the test
            fold (`readings.npz`). `out_of_fold.csv` is written once every fold is done.
        folds: the folds to do now.
        recipe: the recipe for every fold.

    Raises:
        ValueError: a fold was done with other data, another test fold or another recipe.
    """
    out, recipe = Path(out), recipe or Recipe()
    slices = read_index(data)
    prints = fingerprint(slices)
    for fold in folds:
        run = out / f"fold-{fold}"
        if not _is_done(run, {"data_fingerprint": prints, "test_fold": fold, "recipe": asdict(recipe)}):
            train(data, backbone, run, fold, None, recipe, resume=True)
        _read(run, [s for s in slices if s.fold == fold])
    if all((out / f"fold-{fold}" / "readings.npz").exists() for fold in range(FOLDS)):
        write_out_of_fold(pooled(out, slices), out / "out_of_fold.csv")


def another_hospital(
    data: str | Path,
    backbone: str | Path,
    out: str | Path,
    sources: Sequence[str],
    recipe: Recipe | None = None,
) -> None:
    """Train a model without each source in turn and read the source with it, into `out/without-SOURCE`.

    This is what a hospital may expect whose scans were not trained on. Finished work is not repeated.

    Args:
        data, backbone, recipe: as for `crossval`.
        out: a folder. `without-SOURCE/` gets the files of `brat.training.fit.train` and `readings.npz`, of
            every slice of the source.
        sources: names of sources of the index.

    Raises:
        ValueError: the index has no such source, or no other; or the run of a source was done with other data
            or another recipe.
    """
    slices, recipe = read_index(data), recipe or Recipe()
    prints = fingerprint(slices)
    for source in sources:
        run = Path(out) / f"without-{source}"
        parts = split_source(slices, source)
        about = {"data_fingerprint": prints, "held_out_source": source}
        if not _is_done(run, about | {"recipe": asdict(recipe)}):
            fit(without_near_duplicates(parts), about, backbone, run, recipe, resume=True)
        _read(run, parts.test)


def random_split(
    data: str | Path, backbone: str | Path, out: str | Path, recipe: Recipe | None = None
) -> Split:
    """Repeat the original work's protocol into `out/random`: the leak is left in, to be measured.

    The names of one collection, with the labels that they have there, are dealt at random: 70 % to train on,
    20 % to choose the epoch by, 10 % to test on.

    Args:
        data: an index file that names the collection's slices.
    """
    recipe = recipe or Recipe()
    run = Path(out) / "random"
    parts = deal_at_random(Path(data), recipe.seed)
    everything = [*parts.train, *parts.validation, *parts.test]
    about = {"data_fingerprint": fingerprint(everything), "split": "random 70/20/10, leaks"}
    if not _is_done(run, about):
        fit(parts, about, backbone, run, recipe, resume=True)
    _read(run, parts.test)
    return parts


def deal_at_random(index: Path, seed: int) -> Split:
    """The names of the random split's collection as slices of their own, dealt 70 : 20 : 10."""
    collection = source_for("random_split")
    named = [
        replace(slice_of(row, index.parent), file=row["name"])
        for row in read_rows(index)
        if row["name"].startswith(f"{collection}/")
    ]
    order = np.random.default_rng(seed).permutation(len(named))
    train, validation, test = np.split(order, [round(0.7 * len(named)), round(0.9 * len(named))])
    return Split(*([named[row] for row in side] for side in (train, validation, test)))


def pooled(out: str | Path, slices: Sequence[IndexedSlice], folds: Sequence[int] = range(FOLDS)) -> Readings:
    """The out-of-fold readings of `crossval`, of all the folds together.

    Raises:
        FileNotFoundError: a fold has not been read yet.
    """
    return Readings.concatenate(
        [Readings.load(Path(out) / f"fold-{k}" / "readings.npz", slices) for k in folds]
    )


def write_out_of_fold(readings: Readings, path: Path) -> None:
    """Write the uncalibrated probabilities of each slice as a CSV file for people."""
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(["path", "fold", "label", "tumor", *CLASSES])
        for s, row in zip(readings.slices, softmax(readings.logits), strict=True):
            writer.writerow([s.file, s.fold, s.label, int(s.tumor), *(f"{p:.6f}" for p in row)])


def plan_of(run: str | Path) -> dict:
    """What a run was made of: its model card, or its plan where it is kept without its model."""
    run = Path(run)
    card = next(path for name in ("model_card.json", "plan.json") if (path := run / name).exists())
    return json.loads(card.read_text(encoding="utf-8"))


def _is_done(run: Path, about: dict) -> bool:
    """Whether a model was trained, or its readings were kept without it.

    Raises:
        ValueError: its plan says otherwise than `about`.
    """
    if not ((run / "model.tflite").exists() or (run / "readings.npz").exists()):
        return False
    plan = plan_of(run)
    if any(plan.get(name) != value for name, value in about.items()):
        raise ValueError(
            f"{run} holds a run of other data, another side or another recipe: name another folder."
        )
    return True


def _read(run: Path, slices: Sequence[IndexedSlice]) -> None:
    if not (run / "readings.npz").exists():
        read_slices(Classifier(run), slices).save(run / "readings.npz")
