"""The results of cross-validated models: they follow from their readings, and no fold judges itself.

The shipped model stands for every fold's; nothing is trained.
"""

import csv
import hashlib
import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brat.classes import CLASSES
from brat.environment import WEIGHTS

pytest.importorskip("sklearn", reason="needs the full installation")
pytest.importorskip("keras", reason="needs the full installation")

from brat.data.index import FOLDS, fingerprint, read_index
from brat.data.near_duplicates import hashes, is_known, thumbnails
from brat.data.trained_on import trained_on, write_hashes
from brat.evaluation import results as results_module
from brat.evaluation.crossval import another_hospital, crossval, deal_at_random, pooled, random_split
from brat.evaluation.protocols import evaluate_elsewhere, read_history
from brat.model.calibration import softmax
from brat.model.files import TRAINED_ON, ModelFolder, update_manifest
from brat.training.recipe import Recipe
from tests.factories.indexes import HEADER
from tests.factories.weights import model_folder


@pytest.fixture(scope="module")
def collection(tmp_path_factory, make_head):
    """Two heads of each class a fold, unlike one another, and with them two tumours of unknown class."""
    folder = tmp_path_factory.mktemp("collection")
    draw = np.random.default_rng(0)
    rows = []
    for fold in range(FOLDS):
        for number, label in enumerate([*CLASSES, *CLASSES, "", ""]):
            name = f"{fold}-{number}.png"
            gray = make_head(160, 160).astype(float)
            gray[40:120, 40:120] *= draw.uniform(0.3, 1.2, (10, 10)).repeat(8, axis=0).repeat(8, axis=1)
            Image.fromarray(np.clip(gray, 0, 255).astype(np.uint8)).save(folder / name)
            source = "br35h" if label in ("", "no_tumor") else "figshare"
            box = "" if label == "no_tumor" else "0.5 0.5 0.2 0.2"
            tumor = int(label != "no_tumor")
            named = f"sartaj/{name}" if label else name
            rows.append(f"{named},{name},{source},{label},{tumor},{name},{name},{fold},,{box}\n")
    (folder / "index.csv").write_text(HEADER + "".join(rows))
    return folder / "index.csv"


NEVER_MET = "2-1.png"
"""A meningioma that the model that ships has not met."""

RECIPE = Recipe(**json.loads((WEIGHTS / "model_card.json").read_text())["recipe"])
"""Of the model that stands for all."""

MASS = "1-3.png"
"""A slice that is called free of tumours."""

HELD_OUT_LINE = {"fold-1": 0.5, "fold-3": 0.7}
"""Folds that were followed, and what they began with."""


def with_held_out_line(history: str, first: float | None) -> str:
    """A history whose accuracy and loss of held-out slices rise by 0.01 an epoch, or are not there."""
    header, *rows = history.splitlines()
    epochs = [row.split(",")[:3] for row in rows]
    values = ["NA" if first is None else str(first + epoch / 100) for epoch in range(len(epochs))]
    lines = [[*row, value, value] for row, value in zip(epochs, values, strict=True)]
    return "\n".join([header, *map(",".join, lines)]) + "\n"


def made_of(run: str, collection: Path) -> dict:
    """What a run's card says of its side."""
    if run == "random":
        parts = deal_at_random(collection, 0)
        everything = [*parts.train, *parts.validation, *parts.test]
        return {"data_fingerprint": fingerprint(everything), "split": "random 70/20/10, leaks"}
    kind, _, name = run.partition("-")
    if kind == "fold":
        return {"test_fold": int(name)}
    return {"held_out_source": name} if kind == "without" else {}


@pytest.fixture(scope="module")
def written(collection, tmp_path_factory):
    runs, weights = tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("weights")
    card = json.loads((WEIGHTS / "model_card.json").read_text())
    card |= {
        "data_fingerprint": fingerprint(read_index(collection)),
        "test_fold": None,
        "validation_fold": None,
        "held_out": [NEVER_MET],
    }
    names = ["random", "without-br35h", *(f"fold-{k}" for k in range(FOLDS))]
    for folder in (weights, *(runs / name for name in names)):
        model_folder(folder)
        held_out = 0.1 if folder == weights else HELD_OUT_LINE.get(folder.name)
        history = (WEIGHTS / "history.csv").read_text()
        (folder / "history.csv").write_text(with_held_out_line(history, held_out))
        (folder / "model_card.json").write_text(json.dumps(card | made_of(folder.name, collection)))
    crossval(collection, "not needed", runs, recipe=RECIPE)
    random_split(collection, "not needed", runs)
    another_hospital(collection, "not needed", runs, ["br35h"], RECIPE)
    # Slow maps are made of real models only; what was kept of them is shown as it is.
    (runs / "maps.json").write_text(json.dumps({"slices": 7, "methods": {}}))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("brat.evaluation.metrics.RESAMPLES", 20)
        patched.setattr(results_module, "CHANGED", FOLDS)
        patched.setattr(results_module, "shows_mass", MASS.__eq__)
        noise = np.random.default_rng(1).integers(0, 256, (3, 200, 200), np.uint8)
        others = [("a", "noise", gray) for gray in noise] + [("b", "text", 255 - gray // 9) for gray in noise]
        patched.setattr(results_module, "other_images", lambda: others)
        patched.setattr("brat.evaluation.out_of_distribution.shows_ct", {"0-0.png"}.__contains__)
        result = results_module.write_results(collection, runs, weights)
    return result, runs, weights


def test_the_held_out_line_is_the_mean_of_the_folds_that_have_one(written):
    result, _, weights = written
    shipped = read_history(weights)
    assert shipped[0]["val_loss"] == 0.1
    assert [row["accuracy"] for row in result["history"]] == [row["accuracy"] for row in shipped]
    for epoch, row in enumerate(result["history"]):
        assert row["val_accuracy"] == pytest.approx((0.5 + 0.7) / 2 + epoch / 100)
        assert row["val_loss"] == pytest.approx((0.5 + 0.7) / 2 + epoch / 100)


def test_writes_what_it_returns_and_names_its_files(written):
    result, _, weights = written
    assert json.loads((weights / "metrics.json").read_text()) == json.loads(json.dumps(result))
    assert set(result["files"]) == {"calibration.json", "out_of_distribution.npz", "out_of_fold.csv"}
    for name, digest in result["files"].items():
        assert hashlib.sha256((weights / name).read_bytes()).hexdigest() == digest
    assert result["folds"] == list(range(FOLDS))
    assert result["maps"]["slices"] == 7


def test_a_patient_who_is_held_out_for_good_sets_no_threshold_nor_does_a_mass_that_is_called_none(
    written, collection
):
    result, _, weights = written
    calibration = json.loads((weights / "calibration.json").read_text())
    labelled = len([s for s in read_index(collection) if s.label])
    assert calibration["slices"] == labelled - 2
    # The patient's slices are judged, as no fold's model has met them; the mass is not.
    assert result["calibration"]["slices"] == labelled - 1
    assert result["protocols"]["four_classes"]["slices"] == labelled


def test_every_slice_is_kept_once_with_its_fold(written, collection):
    _, runs, weights = written
    assert (runs / "out_of_fold.csv").read_text() == (weights / "out_of_fold.csv").read_text()
    with (weights / "out_of_fold.csv").open(newline="") as handle:
        kept = {row["path"]: row for row in csv.DictReader(handle)}
    slices = read_index(collection)
    assert set(kept) == {s.file for s in slices}
    for s in slices:
        assert (int(kept[s.file]["fold"]), kept[s.file]["label"]) == (s.fold, s.label)
        assert sum(float(kept[s.file][name]) for name in CLASSES) == pytest.approx(1, abs=1e-5)


def test_figures_follow_from_the_kept_readings(written, collection):
    result, _, weights = written
    with (weights / "out_of_fold.csv").open(newline="") as handle:
        kept = list(csv.DictReader(handle))
    known = [row for row in kept if row["label"]]
    right = np.mean([max(CLASSES, key=lambda name: float(row[name])) == row["label"] for row in known])
    four, same = (result["protocols"][name] for name in ("four_classes", "same_source"))
    assert four["metrics"]["accuracy"]["value"] == pytest.approx(right)
    assert four["slices"] == len(known)
    counts = {
        name: same["metrics"][f"confusion/{name}"]["value"] for name in ("tumor/tumor", "tumor/no_tumor")
    }
    assert sum(counts.values()) == 2 * FOLDS
    assert same["metrics"]["sensitivity"]["value"] == pytest.approx(counts["tumor/tumor"] / (2 * FOLDS))
    assert set(result["curves_same_source"]) >= {"roc", "precision_recall"}
    assert result["robustness"]["slices"] == FOLDS
    # The slice that shows CT is something to refuse, and no slice of a head.
    assert result["out_of_distribution"]["slices"] == len(kept) - 1
    assert result["out_of_distribution"]["others"]["CT within the collections"]["images"] == 1
    assert result["out_of_distribution"]["others"]["noise"]["images"] == 3
    assert (
        sum(g["slices"] for g in result["out_of_distribution"]["refused_by_group"].values()) == len(kept) - 1
    )


def test_random_split_stands_beside_the_same_slices_read_leak_free(written):
    """One model stands for all here, so both read the same."""
    result, _, _ = written
    usual = result["protocols"]["random_split"]
    leak_free = usual["same_slices_leak_free"]
    assert usual["slices"] == leak_free["slices"] == 4
    assert usual["metrics"]["accuracy"] == leak_free["metrics"]["accuracy"]
    assert 0 <= usual["near_duplicates"] <= 1


def test_detector_and_calibration_are_read_by_the_app(written, collection):
    from brat.io.read import read_scan
    from brat.model.reader import Reader

    _, _, weights = written
    reading = Reader(weights).read(read_scan(collection.parent / "0-0.png").gray)
    assert reading.ood.score < 1
    assert set(reading.sets) == {0.9, 0.95, 0.99}


def test_refuses_a_model_of_other_data(written, collection, tmp_path):
    _, runs, weights = written
    shutil.copytree(weights, tmp_path / "weights")
    card = json.loads((weights / "model_card.json").read_text())
    (tmp_path / "weights" / "model_card.json").write_text(json.dumps(card | {"data_fingerprint": "other"}))
    with pytest.raises(ValueError, match="other data"):
        results_module.write_results(collection, runs, tmp_path / "weights")


@pytest.mark.parametrize(
    ("run", "train_again", "other"),
    [
        (run, train_again, other)
        for run, train_again, side in (
            ("fold-0", crossval, {"test_fold": 1}),
            ("without-br35h", partial(another_hospital, sources=["br35h"]), {"held_out_source": "ms"}),
        )
        for other in (side, {"data_fingerprint": "other"}, {"recipe": {"epochs": 3}})
    ],
    # A function's own name would differ between processes.
    ids=lambda value: "" if callable(value) else str(value),
)
def test_runs_of_other_data_sides_or_recipes_are_not_measured(
    written, collection, tmp_path, run, train_again, other
):
    _, runs, weights = written
    shutil.copytree(runs, tmp_path / "runs")
    card = tmp_path / "runs" / run / "model_card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | other))
    with pytest.raises(ValueError, match=rf"{run} in .* other data, another side or another recipe"):
        results_module.write_results(collection, tmp_path / "runs", weights)
    with pytest.raises(ValueError, match=f"{run} holds a run of other data, another side or another recipe"):
        train_again(collection, "not needed", tmp_path / "runs", recipe=RECIPE)


def test_no_fold_is_scaled_by_its_own_slices():
    draw = np.random.default_rng(0)
    logits, folds = draw.normal(0, 3, (60, 4)), np.arange(60) % 3
    labels, rows = logits.argmax(axis=1), np.arange(60)
    groups = np.full(60, "one")
    before = results_module._calibrated(logits, folds, rows, labels, groups)
    # Wrong labels in fold 0 change how the other folds are scaled, and not how fold 0 is.
    wrong = np.where(folds == 0, (labels + 1) % 4, labels)
    after = results_module._calibrated(logits, folds, rows, wrong, groups)
    np.testing.assert_array_equal(before[folds == 0], after[folds == 0])
    assert np.abs(before[folds != 0] - after[folds != 0]).max() > 0.01


def test_thinned_curves_keep_their_ends_and_their_shape():
    x = np.linspace(0, 1, 5000)
    curve = results_module._thin(x, np.minimum(1, 20 * x))
    assert (curve["x"][0], curve["x"][-1]) == (0, 1)
    assert len(curve["x"]) <= results_module.CURVE_POINTS
    # About half of the points go to the steep twentieth, which is half of the curve's length.
    assert np.mean(np.array(curve["x"]) < 0.05) > 0.4


def test_another_hospital_stands_beside_the_same_slices_with_it_in_training(written, collection):
    """One model stands for all here; only calibration parts the two, which leaves the answers alone."""
    result, _, _ = written
    (source,) = result["another_hospital"]
    assert source == "br35h"
    of_source = [s for s in read_index(collection) if s.source == source]
    without, trained = (result["another_hospital"][source][key]["same_source"] for key in ("without", "with"))
    assert without["slices"] == trained["slices"] == len(of_source)
    for name in ("sensitivity", "specificity"):
        assert without["metrics"][name]["value"] == trained["metrics"][name]["value"]


def without_br35h(collection, runs, folds):
    """What `write_results` says of that source, of some of the folds' readings."""
    slices = read_index(collection)
    unseen = pooled(runs, slices, folds)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("brat.evaluation.metrics.RESAMPLES", 2)
        return results_module._another_hospital(runs, slices, unseen, softmax(unseen.logits))


def test_another_hospital_stands_beside_the_same_slices_before_every_fold_is_read(written, collection):
    measured = without_br35h(collection, written[1], [1, 3])["br35h"]
    without, trained = (measured[key]["same_source"] for key in ("without", "with"))
    assert without["slices"] == trained["slices"] == 2 * 4
    assert without["metrics"] == trained["metrics"]


def test_no_maps_are_measured_of_models_without_gradients_but_those_that_were_kept_stay(tmp_path):
    (tmp_path / "fold-0").mkdir()
    # Models in int8 have no model.keras.
    for name in ("readings.npz", "model.tflite"):
        (tmp_path / "fold-0" / name).touch()
    assert results_module._maps_of_all_ways(tmp_path, []) == {}
    kept = {"slices": 7, "methods": {}}
    (tmp_path / "maps.json").write_text(json.dumps(kept))
    assert results_module._maps_of_all_ways(tmp_path, []) == {"maps": kept}


def test_changed_slices_and_maps_are_shared_by_the_folds_whose_model_is_kept(
    written, collection, tmp_path, monkeypatch
):
    _, runs, _ = written
    shutil.copytree(runs, tmp_path / "runs")
    slices = read_index(collection)
    for fold in range(FOLDS):
        folder = tmp_path / "runs" / f"fold-{fold}"
        if fold > 1:
            (folder / "model.tflite").unlink()
        else:
            (folder / "model.keras").touch()
    asked = {}
    for function, module in (("measure", results_module.robustness), ("compare_methods", results_module)):
        monkeypatch.setattr(
            module, function, lambda models, name=function: asked.setdefault(name, models) and {}
        )
    monkeypatch.setattr(results_module, "CHANGED", 4)
    assert results_module._robustness(tmp_path / "runs", slices)["slices"] == 4
    assert [(run.name, {s.fold for s in chosen}) for run, chosen in asked["measure"]] == [
        ("fold-0", {0}),
        ("fold-1", {1}),
    ]
    monkeypatch.setattr(results_module, "MAPPED", 2)
    results_module._maps(tmp_path / "runs", slices)
    assert [run.name for run, _ in asked["compare_methods"]] == ["fold-0", "fold-1"]
    assert all(len(readings.slices) <= 1 for _, readings in asked["compare_methods"])
    # A fold may have no slice with a box.
    asked.clear()
    unboxed = [replace(s, boxes=()) if s.fold == 0 else s for s in slices]
    results_module._maps(tmp_path / "runs", unboxed)
    assert [len(readings.slices) for _, readings in asked["compare_methods"]] == [0, 1]


def test_a_source_that_is_not_there_cannot_be_held_out(collection, tmp_path):
    with pytest.raises(ValueError, match=r"'lgg' cannot be held out\. The index has br35h, figshare"):
        another_hospital(collection, "not needed", tmp_path, ["lgg"])


def test_a_source_that_was_trained_on_is_no_other_hospital(collection, written):
    _, _, weights = written
    with pytest.raises(ValueError, match="was trained on br35h"):
        evaluate_elsewhere(collection, weights, "br35h")


def test_what_a_model_went_on_from_has_learned_too(collection, written, tmp_path):
    _, _, weights = written
    folder = tmp_path / "weights"
    shutil.copytree(weights, folder)
    assert write_hashes(collection, folder) == len(trained_on(folder, read_index(collection))) > 0
    card = json.loads((folder / "model_card.json").read_text())
    start = {"name": "before", "sources": ["figshare"], "start_from": {"name": "first", "sources": ["br35h"]}}
    (folder / "model_card.json").write_text(json.dumps(card | {"sources": ["cases"], "start_from": start}))
    for source in ("figshare", "br35h"):
        with pytest.raises(ValueError, match=f"was trained on {source}"):
            evaluate_elsewhere(collection, folder, source)
    with pytest.raises(ValueError, match="went on from before and has learned from its slices, too"):
        write_hashes(collection, folder)


def test_a_source_that_was_not_trained_on_joins_the_results(collection, written, tmp_path):
    _, _, weights = written
    folder = tmp_path / "weights"
    shutil.copytree(weights, folder)
    card = json.loads((folder / "model_card.json").read_text()) | {"sources": ["figshare"]}
    (folder / "model_card.json").write_text(json.dumps(card))
    shipped = (folder / "metrics.json").read_text()
    before = json.loads(shipped)
    (folder / "metrics.json").unlink()
    with pytest.raises(ValueError, match="no figures of the model's own"):
        evaluate_elsewhere(collection, folder, "br35h")
    (folder / "metrics.json").write_text(shipped)
    with pytest.raises(ValueError, match="no slice of 'lgg'"):
        evaluate_elsewhere(collection, folder, "lgg")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("brat.evaluation.metrics.RESAMPLES", 20)
        measured = evaluate_elsewhere(collection, folder, "br35h")
    of_source = [s.path for s in read_index(collection) if s.source == "br35h"]
    assert measured["without"]["same_source"]["slices"] == len(of_source)
    assert measured["left_out"] == 0
    after = json.loads((folder / "metrics.json").read_text())
    assert after.pop("another_hospital")["br35h"] == json.loads(json.dumps(measured))
    before.pop("another_hospital")
    assert after == before


def test_what_a_model_was_trained_on_is_left_out_of_a_source(written, collection, tmp_path):
    folder = tmp_path / "weights"
    shutil.copytree(written[2], folder)
    card = json.loads((folder / "model_card.json").read_text()) | {"sources": ["figshare"]}
    (folder / "model_card.json").write_text(json.dumps(card))
    hashed = hashes(thumbnails([s.path for s in read_index(collection) if s.source == "br35h"]))

    def measured(known):
        np.save(folder / TRAINED_ON, known)
        update_manifest(ModelFolder(folder), (TRAINED_ON,))
        return evaluate_elsewhere(collection, folder, "br35h")

    copies = int(is_known(hashed, hashed[:1]).sum())
    assert 0 < copies < len(hashed)
    result = measured(hashed[:1])
    assert result["left_out"] == copies
    assert result["without"]["same_source"]["slices"] == len(hashed) - copies
    with pytest.raises(ValueError, match="Every slice of 'br35h' is nearly the same"):
        measured(hashed)
