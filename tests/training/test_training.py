"""Training on a few made slices: what it writes, that it continues, what it refuses."""

import csv
import json
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import numpy as np
import pytest

from brat.classes import CLASSES
from brat.cli import main
from brat.data.index import SEQUENCES, LeakError, fingerprint, read_index
from brat.io.read import read_scan
from brat.model.classifier import Classifier
from brat.model.files import ModelFolder, write_manifest
from brat.model.preprocess import SIZE, prepare

keras = pytest.importorskip("keras", reason="needs the full installation")

from brat.perturb.skull import without_skull  # noqa: E402
from brat.training import batches, fit, quantize  # noqa: E402
from brat.training.network import MAP_SIZE, SMALL, STRIDE, MapLoss, accuracy, build, hand_over  # noqa: E402
from brat.training.recipe import Recipe  # noqa: E402
from tests.factories.heads import head_with_bone  # noqa: E402
from tests.factories.indexes import index_of_blobs  # noqa: E402

TUMORS = CLASSES[:3]
TINY = Recipe(epochs=2, small_epochs=0, slices_per_epoch=8, batch_size=4)
THREE_EPOCHS = replace(TINY, epochs=3, small_epochs=1)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """An untrained backbone, as a file of the kind that `--backbone PATH` takes."""
    path = tmp_path_factory.mktemp("backbone") / "mobilenet.weights.h5"
    keras.utils.set_random_seed(0)
    keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3)).save_weights(
        path
    )
    return path


@pytest.fixture
def index(tmp_path):
    return index_of_blobs(tmp_path)


@pytest.fixture(scope="module")
def trained(backbone, tmp_path_factory):
    index_path = index_of_blobs(tmp_path_factory.mktemp("data"))
    out = tmp_path_factory.mktemp("run")
    fit.train(index_path, backbone, out, test_fold=0, validation_fold=1, recipe=TINY)
    return index_path, out


@pytest.fixture(scope="module")
def uninterrupted(backbone, tmp_path_factory):
    """A run of a small and two full-size epochs, with no fold held out; without its LiteRT file.

    Returns:
        The index, the run's folder, and for each call of the loop sides of slices and input, its epochs.
    """
    index_path = index_of_blobs(tmp_path_factory.mktemp("data"))
    out = tmp_path_factory.mktemp("whole")
    epochs_at = []
    run_epochs = fit._run_epochs

    def watch(model, size, *others):
        epochs_at.append((size, model.input_shape[1], list(others[2])))
        run_epochs(model, size, *others)

    with without_litert(), pytest.MonkeyPatch.context() as patched:
        patched.setattr(fit, "_run_epochs", watch)
        fit.train(index_path, backbone, out, None, None, THREE_EPOCHS)
    return index_path, out, epochs_at


@contextmanager
def without_litert():
    """Leaves out the conversion to LiteRT, on which a tiny run spends more time than on learning."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fit, "to_litert", lambda serving: b"")
        yield


def test_writes_everything(trained):
    _, out = trained
    card = json.loads((out / "model_card.json").read_text())
    assert card["classes"] == list(CLASSES)
    assert card["train_slices"] == {**dict.fromkeys(CLASSES, 2), "tumor_of_unknown_class": 2}
    assert (
        card["validation_slices"]
        == card["test_slices"]
        == {
            **dict.fromkeys(CLASSES, 1),
            "tumor_of_unknown_class": 1,
        }
    )
    assert card["recipe"]["epochs"] == 2
    assert set(card["versions"]) >= {"python", "keras", "albumentations"}
    history = (out / "history.csv").read_text().splitlines()
    assert len(history) == 3
    assert "val_loss" in history[0]


def test_the_test_fold_is_followed_where_there_is_no_validation_fold(index, backbone, tmp_path, monkeypatch):
    followed = []

    def run(model, size, batches, held_out, epochs, callbacks):
        followed.append(None if held_out is None else len(held_out._framed))
        # Nothing is chosen by it.
        assert not any(isinstance(one, keras.callbacks.ModelCheckpoint) for one in callbacks)

    monkeypatch.setattr(fit, "_run_epochs", run)
    monkeypatch.setattr(fit, "export", lambda serving, out, card: None)
    fit.train(index, backbone, tmp_path / "run", 0, None, TINY)
    assert followed == [sum(s.fold == 0 for s in read_index(index))]
    # A run that began without goes on without.
    (tmp_path / "run" / "history.csv").write_text("epoch,accuracy,loss\n0,0.5,1.0\n")
    fit.train(index, backbone, tmp_path / "run", 0, None, TINY, resume=True)
    assert followed[1:] == [None]
    # A part of it does, spread over the whole.
    monkeypatch.setattr(fit, "FOLLOWED", 2)
    fit.train(index, backbone, tmp_path / "capped", 0, None, TINY)
    assert 1 <= followed[2] <= 2


def test_a_run_that_goes_on_knows_its_best_epoch(index, tmp_path, monkeypatch):
    best = []

    def run(model, size, batches, held_out, epochs, callbacks):
        best.extend(one.best for one in callbacks if isinstance(one, keras.callbacks.ModelCheckpoint))

    monkeypatch.setattr(fit, "_run_epochs", run)
    monkeypatch.setattr(fit, "_compiled", lambda *_, **__: (None, None))
    for name in ("_carry_over", "hand_over", "export"):
        monkeypatch.setattr(fit, name, lambda *_: None)
    recipe = replace(THREE_EPOCHS, epochs=4)
    fit.train(index, "imagenet", tmp_path / "run", 0, 1, recipe)
    # The weights of an epoch on small slices are not kept.
    (tmp_path / "run" / "history.csv").write_text("epoch,loss,val_loss\n0,1,0.1\n1,1,0.5\n2,1,0.7\n")
    fit.train(index, "imagenet", tmp_path / "run", 0, 1, recipe, resume=True)
    assert best == [None, 0.5]


def test_litert_equals_keras(trained):
    _, out = trained
    model_input = np.random.default_rng(1).uniform(-1, 1, (SIZE, SIZE, 1)).astype(np.float32)
    served = Classifier(out).predict(model_input)
    kept = keras.models.load_model(out / "model.keras").predict(model_input[np.newaxis], verbose=0)
    for name in ("probabilities", "maps", "features"):
        np.testing.assert_allclose(getattr(served, name), kept[name][0], atol=1e-4)


def test_a_quantized_model_reads_nearly_as_the_model_does(trained, tmp_path, capsys):
    index, out = trained
    small = tmp_path / "int8"
    quantizing = ["quantize", str(out), "--data", str(index), "--out", str(small)]
    assert main(quantizing) == 0
    assert "Calibrate it before use" in capsys.readouterr().out
    card, before = (json.loads((f / "model_card.json").read_text()) for f in (small, out))
    # What a model has learned from goes along; the fold that it has not seen is the same.
    assert card["quantized"] == {"to": "int8", "from": before["model.keras"]["sha256"], "examples": 10}
    assert "model.keras" not in card
    for key in ("data_fingerprint", "test_fold", "held_out", "recipe", "train_slices"):
        assert card[key] == before[key]
    assert card["model.tflite"]["bytes"] < 0.4 * before["model.tflite"]["bytes"]
    assert (small / "history.csv").read_bytes() == (out / "history.csv").read_bytes()
    # Neither calibration nor check of the model are taken over.
    assert [*ModelFolder(small).records] == ["model.tflite"]
    float32, int8 = Classifier(out), Classifier(small)
    draw = np.random.default_rng(1)
    for s in read_index(index)[:4]:
        model_input = prepare(read_scan(s.path).gray)[0] + draw.normal(0, 0.01, (SIZE, SIZE, 1))
        kept, quantized = (each.predict(model_input.astype(np.float32)) for each in (float32, int8))
        np.testing.assert_allclose(quantized.probabilities, kept.probabilities, atol=0.05)
        assert np.corrcoef(quantized.appearance, kept.appearance)[0, 1] > 0.9
    assert main(quantizing) == 2
    assert "already holds a model" in capsys.readouterr().err
    other = index_of_blobs(tmp_path)
    other.write_text(other.read_text().replace("glioma-0", "glioma-9"))
    (tmp_path / "glioma-0.png").rename(tmp_path / "glioma-9.png")
    assert main(["quantize", str(out), "--data", str(other), "--out", str(tmp_path / "other")]) == 2
    assert "was trained on other data" in capsys.readouterr().err


def test_examples_are_drawn_from_each_source_sequence_and_class(monkeypatch, index):
    monkeypatch.setattr(quantize, "EXAMPLES", 1)
    slices = read_index(index)
    chosen = quantize.choose_examples(slices)
    assert sorted(s.label for s in chosen) == sorted([*CLASSES, ""])
    # By chance, and the same ones whichever class comes first.
    assert {s.fold for s in chosen} != {0}
    assert quantize.choose_examples(sorted(slices, key=lambda s: s.label)) == chosen
    apart = [replace(s, source=str(s.fold % 2), sequence=SEQUENCES[s.fold // 2]) for s in slices]
    assert len(quantize.choose_examples(apart)) == len(apart)


def test_will_not_overwrite_or_mix_runs(trained, backbone):
    index_path, out = trained
    with pytest.raises(FileExistsError, match="--resume"):
        fit.train(index_path, backbone, out, test_fold=0, validation_fold=1, recipe=TINY)
    with pytest.raises(ValueError, match="name another folder"):
        fit.train(index_path, backbone, out, 0, 1, recipe=replace(TINY, seed=5), resume=True)


def test_interrupted_run_continues_where_it_stopped(uninterrupted, backbone, tmp_path, monkeypatch):
    """Stopped after its small epoch and after a full-size one, a run ends as one that was never stopped."""
    index, whole, _ = uninterrupted
    parts = tmp_path / "parts"
    for stop in (1, 2):

        def stop_before_epoch(self, epoch, logs=None, stop=stop):
            if epoch == stop:
                raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(keras.callbacks.CSVLogger, "on_epoch_begin", stop_before_epoch)
            with pytest.raises(KeyboardInterrupt):
                fit.train(index, backbone, parts, None, None, THREE_EPOCHS, resume=stop > 1)
        assert not (parts / "model.keras").exists()
        assert len((parts / "history.csv").read_text().splitlines()) == 1 + stop
    with without_litert():
        fit.train(index, backbone, parts, None, None, THREE_EPOCHS, resume=True)
    assert len((parts / "history.csv").read_text().splitlines()) == 4
    kept, continued = (keras.models.load_model(p / "model.keras").get_weights() for p in (whole, parts))
    for expected, weights in zip(kept, continued, strict=True):
        np.testing.assert_allclose(weights, expected, atol=2e-3)


def test_history_holds_the_means_of_an_epoch(tmp_path):
    """Keras's `train_on_batch` and `test_on_batch` report the last batch alone."""

    class Model:
        optimizer = keras.optimizers.SGD()
        trainable_variables = ()

        def reset(self):
            self.losses = iter([0.0, 1.0, 4.0, 7.0, 9.0])

        def train_on_batch(self, x, y, return_dict=True):
            return {"loss": next(self.losses)}

        test_on_batch = train_on_batch

    class Batches(list):
        def on_epoch_end(self): ...

    def batch(size):
        return np.zeros((size, 1)), np.zeros(size)

    model = Model()
    model.reset()
    log = keras.callbacks.CSVLogger(str(tmp_path / "history.csv"))
    fit._run_epochs(
        model, SIZE, Batches([batch(4), batch(2)]), Batches([batch(3), batch(1)]), range(1), [log]
    )
    header, row = (tmp_path / "history.csv").read_text().splitlines()
    epoch = dict(zip(header.split(","), map(float, row.split(",")), strict=True))
    # The first loss goes to the batch that only builds the metrics.
    assert epoch == {"epoch": 0, "loss": (1 * 4 + 4 * 2) / 6, "val_loss": (7 * 3 + 9 * 1) / 4}


def test_trains_on_every_fold_where_none_is_held_out(uninterrupted):
    _, out, _ = uninterrupted
    card = json.loads((out / "model_card.json").read_text())
    assert card["test_fold"] is None
    assert card["train_slices"] == {**dict.fromkeys(CLASSES, 4), "tumor_of_unknown_class": 4}
    assert not any(card["test_slices"].values())


def test_refuses_a_leak(index, backbone, tmp_path):
    leaking = index.read_text().replace(",glioma-1.png,glioma-1.png,1,", ",glioma-0.png,glioma-1.png,1,")
    assert leaking != index.read_text()
    index.write_text(leaking)
    with pytest.raises(LeakError, match="both sides"):
        fit.train(index, backbone, tmp_path / "out", 0, None, TINY)
    assert not (tmp_path / "out").exists()


def test_unknown_classes_are_learned_from_through_their_sum():
    loss = MapLoss(locate=0.0, confine=0.0)
    unknown = np.zeros((1, 4 + MAP_SIZE**2), np.float32)
    unknown[0, :3] = 1
    maps = np.zeros((1, MAP_SIZE, MAP_SIZE, 4), np.float32)
    tumor, none = maps.copy(), maps.copy()
    tumor[..., 1] = 5
    none[..., 3] = 5
    assert float(loss(unknown, tumor)) < float(loss(unknown, maps)) < float(loss(unknown, none))
    other = maps.copy()
    other[..., 0] = 5
    assert float(loss(unknown, tumor)) == pytest.approx(float(loss(unknown, other)))


def test_labels_are_smoothed_towards_all_classes_alike():
    logits = np.random.default_rng(0).normal(0, 2, (4, 4)).astype(np.float32)
    maps = np.tile(logits[:, np.newaxis, np.newaxis], (1, MAP_SIZE, MAP_SIZE, 1))
    target = np.zeros((4, 4 + MAP_SIZE**2), np.float32)
    target[:, :4] = np.eye(4)
    usual = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.05)
    expected = float(usual(target[:, :4], logits))
    assert float(MapLoss(0.0, 0.0)(target, maps)) == pytest.approx(expected, rel=1e-4)


def test_map_losses_are_those_of_their_formula():
    """Of four cells the tumour fills one and half of another; two classes are allowed."""
    maps = np.random.default_rng(1).normal(0, 2, (1, 2, 2, 4)).astype(np.float32)
    tumor = np.array([1.0, 0.0, 0.5, 0.0])
    target = np.concatenate([[1, 0, 1, 0], tumor])[np.newaxis].astype(np.float32)
    evidence = np.log(np.exp(maps.reshape(4, 4)[:, [0, 2]]).sum(axis=1))
    share = tumor / 1.5
    locate = -(share @ (evidence - np.log(np.exp(evidence).sum())))
    confine = share @ np.log1p(np.exp(-evidence)) + np.log1p(np.exp(evidence))[[1, 3]].mean()
    plain, both = (float(MapLoss(*weights)(target, maps)) for weights in ((0.0, 0.0), (0.3, 0.2)))
    assert both - plain == pytest.approx(0.3 * locate + 0.2 * confine, rel=1e-4)


@pytest.mark.parametrize(("locate", "confine"), [(1.0, 0.0), (0.0, 1.0)])
def test_map_losses_pull_the_map_into_the_box(locate, confine):
    with_map, without = MapLoss(locate, confine), MapLoss(0.0, 0.0)
    target = np.zeros((1, 4 + MAP_SIZE**2), np.float32)
    target[0, 1] = 1
    box = np.zeros((MAP_SIZE, MAP_SIZE), np.float32)
    box[3:6, 8:11] = 1
    target[0, 4:] = box.ravel()
    inside = np.zeros((1, MAP_SIZE, MAP_SIZE, 4), np.float32)
    inside[0, 3:6, 8:11, 1] = 20
    outside = np.roll(inside, 6, axis=1)
    assert float(without(target, inside)) == pytest.approx(float(without(target, outside)), abs=1e-5)
    assert float(with_map(target, inside)) < float(with_map(target, outside)) - 1
    # Without a box, nothing is asked of the map's place or size.
    target[0, 4:] = 0
    for maps in (inside, outside):
        assert float(with_map(target, maps)) == pytest.approx(float(without(target, maps)), abs=1e-5)


def test_accuracy_counts_any_allowed_class():
    target = np.zeros((2, 4 + MAP_SIZE**2), np.float32)
    target[0, :3] = 1
    target[1, 3] = 1
    maps = np.zeros((2, MAP_SIZE, MAP_SIZE, 4), np.float32)
    maps[..., 2] = 1
    assert np.asarray(accuracy(target, maps)).tolist() == [1, 0]


def test_neither_sequence_nor_contrast_tells_whether_there_is_a_tumor(index):
    """However many slices without a tumour a sequence has, they are drawn at the same share."""
    known = [s for s in read_index(index) if s.label]
    after = [replace(s, sequence="t1ce") for s in known if s.label != "no_tumor" or s.fold == 0]
    before = [replace(s, sequence="t1") for s in known if s.label == "no_tumor" or s.fold == 0]
    slices = [*after, *before]
    chances = batches.draw_chances(slices)
    assert chances.sum() == pytest.approx(1)

    def share(wanted):
        return sum(chance for chance, s in zip(chances, slices, strict=True) if wanted(s))

    for sequence in ("t1ce", "t1"):
        of_sequence = share(lambda s, sequence=sequence: s.sequence == sequence)
        without = share(lambda s, sequence=sequence: s.sequence == sequence and not s.tumor)
        assert without == pytest.approx(batches.NO_TUMOR_SHARE * of_sequence)
        for label in TUMORS:
            drawn = share(lambda s, of=(sequence, label): (s.sequence, s.label) == of)
            assert drawn == pytest.approx((of_sequence - without) / 3)


def test_a_large_site_does_not_crowd_out_a_small_one(index):
    slices = [replace(s, source="small" if s.fold == 0 else "large") for s in read_index(index)]
    chances = batches.draw_chances(slices)
    of_site = {
        source: sum(c for c, s in zip(chances, slices, strict=True) if s.source == source)
        for source in ("small", "large")
    }
    assert of_site["large"] / of_site["small"] == pytest.approx(3**0.5)


def test_classes_are_drawn_alike_however_many_slices_they_have(index):
    slices = [s for s in read_index(index) if s.label == "glioma" or (s.label, s.fold) == ("pituitary", 0)]
    chances = batches.draw_chances(slices)
    assert chances.sum() == pytest.approx(1)
    (pituitary,) = (c for c, s in zip(chances, slices, strict=True) if s.label == "pituitary")
    assert pituitary == pytest.approx(1 / 2)


def test_a_sequence_with_more_slices_is_drawn_more_often_than_they_are_more(index):
    slices = [replace(s, sequence="t1" if s.fold == 0 else "flair") for s in read_index(index)]
    chances = batches.draw_chances(slices)
    many = sum(c for c, s in zip(chances, slices, strict=True) if s.sequence == "flair")
    assert many / (1 - many) == pytest.approx(3**1.25)


def test_slices_are_drawn_by_their_chances_and_varied(index, monkeypatch):
    slices = read_index(index)
    (only,) = (row for row, s in enumerate(slices) if s.file == "pituitary-2.png")
    monkeypatch.setattr(batches, "draw_chances", lambda slices: np.eye(len(slices))[only])
    varied = []
    monkeypatch.setattr(batches, "vary_appearance", lambda framed, *_: varied.append(framed) or framed)
    drawn = batches.DrawnSlices(slices, replace(TINY, bare_tumors=0.0))
    _, targets = drawn[0]
    np.testing.assert_array_equal(targets[:, :4], [slices[only].allowed] * 4)
    assert len(varied) == 4
    np.testing.assert_array_equal(varied, [drawn._framed[only]] * 4)


def test_batches_are_settled_by_the_seed(index):
    slices = read_index(index)
    first, again = (batches.DrawnSlices(slices, TINY)[1] for _ in range(2))
    other = batches.DrawnSlices(slices, replace(TINY, seed=3))[1]
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert (first[0] != other[0]).any()
    assert first[0].shape == (4, SIZE, SIZE, 1)
    assert first[1].shape == (4, 4 + MAP_SIZE**2)


def test_no_slice_of_an_epoch_is_left_out(index):
    slices = read_index(index)
    every = batches.Slices(slices, batch_size=8)
    read = np.concatenate([every[number][1][:, :4] for number in range(len(every))])
    np.testing.assert_array_equal(read, [s.allowed for s in slices])
    assert len(batches.DrawnSlices(slices, replace(TINY, slices_per_epoch=9))) == 3


def test_the_learning_rate_rises_to_its_peak_and_falls_to_zero_by_the_last_step():
    recipe = replace(TINY, epochs=10, slices_per_epoch=38, learning_rate=0.01, weight_decay=0.02)
    optimizer = fit._optimizer(recipe)
    rates = [float(optimizer._learning_rate(step)) for step in (0, 5, 10, 55, 100)]
    assert rates == pytest.approx([0.0001, 0.00505, 0.01, 0.005, 0], abs=1e-5)
    assert optimizer.weight_decay == 0.02


def test_each_batch_and_each_epoch_is_drawn_anew(index):
    slices = read_index(index)
    drawn = batches.DrawnSlices(slices, TINY)
    first, second = drawn[0][0], drawn[1][0]
    assert (first != second).any()
    drawn.on_epoch_end()
    later = drawn[0][0]
    assert (later != first).any()
    # A run that goes on draws what it would have drawn.
    assert (batches.DrawnSlices(slices, TINY, first_epoch=1)[0][0] == later).all()


def test_the_tumour_moves_with_its_cells():
    mask = np.zeros((SIZE, SIZE), np.uint8)
    batches.draw_tumor(mask, (SIZE * 0.25, SIZE * 0.75, 32, 16))
    share = batches.tumor_share(mask[np.newaxis]).reshape(MAP_SIZE, MAP_SIZE)
    rows, columns = np.nonzero(share)
    assert abs((share * np.arange(MAP_SIZE)[:, None]).sum() / share.sum() + 0.5 - 0.75 * MAP_SIZE) < 0.1
    assert abs((share * np.arange(MAP_SIZE)).sum() / share.sum() + 0.5 - 0.25 * MAP_SIZE) < 0.1
    assert share.max() <= 1
    assert len(rows) == len(columns) < 20


def test_the_skull_goes_and_the_tumour_stays_where_it_is():
    framed = head_with_bone(SIZE, SIZE)[0]
    tumor = np.zeros((SIZE, SIZE), np.uint8)
    batches.draw_tumor(tumor, (SIZE * 0.4, SIZE * 0.6, 30, 20))
    framed[tumor > 0] = 250
    anew, moved = batches.bare(framed, tumor)
    assert anew.shape == moved.shape == (SIZE, SIZE)
    # The brain fills the frame, its tumour grows with it, and what was bright is the tumour alone.
    assert np.count_nonzero(moved) > 1.2 * np.count_nonzero(tumor)
    assert anew[moved > 128].mean() > 220
    assert anew[moved == 0].max() < 220


def test_a_skull_stays_where_the_tumour_would_go_with_it():
    framed = head_with_bone(SIZE, SIZE)[0]
    tumor = np.zeros((SIZE, SIZE), np.uint8)
    batches.draw_tumor(tumor, (SIZE * 0.5, SIZE * 0.1, 60, 40))
    anew, moved = batches.bare(framed, tumor)
    assert anew is framed
    assert moved is tumor


def test_a_slice_whose_brain_cannot_be_told_from_the_rest_stays_as_it_is(make_head):
    framed, tumor = make_head(SIZE, SIZE), np.zeros((SIZE, SIZE), np.uint8)
    batches.draw_tumor(tumor, (SIZE * 0.5, SIZE * 0.5, 30, 20))
    assert batches.bare(framed, tumor) == (framed, tumor)


@pytest.mark.parametrize(("stay", "is_bared"), [(93, True), (87, False)])
def test_a_skull_goes_where_nine_tenths_of_the_tumour_stay(stay, is_bared):
    framed = head_with_bone(SIZE, SIZE)[0]
    brain = without_skull(framed) > 0
    tumor = np.zeros((SIZE, SIZE), np.uint8)
    for where, count in ((brain, stay), (~brain, 100 - stay)):
        tumor.flat[np.flatnonzero(where)[:count]] = 255
    anew, _ = batches.bare(framed, tumor)
    assert (anew is not framed) == is_bared


@pytest.mark.parametrize("shares", [(1.0, 0.0), (0.0, 1.0)])
def test_skulls_are_removed_of_slices_whose_tumour_is_known_or_none(index, monkeypatch, shares):
    slices = read_index(index)
    drawn = batches.DrawnSlices(slices, replace(TINY, bare_tumors=shares[0], bare_others=shares[1]))
    rows, looked, bare_of = [], [], drawn._bare
    monkeypatch.setattr(batches, "bare", lambda *both: looked.append(both) or both)
    monkeypatch.setattr(drawn, "_bare", lambda row: rows.append(row) or bare_of(row))
    is_free = np.concatenate([drawn[number][1][:, CLASSES.index("no_tumor")] for number in range(8)]) > 0
    assert 0 < is_free.sum() < len(is_free)
    has_tumor = [bool(drawn._masks[row].any()) for row in rows]
    assert has_tumor == ([True] * (~is_free).sum() if shares[0] else [False] * is_free.sum())
    # The brain is looked for once in each slice, however often that is drawn.
    assert len(looked) == len({*rows}) < len(rows)


def test_a_mass_that_is_called_none_is_not_learned_from(index, tmp_path, monkeypatch):
    called_free = [s for s in read_index(index) if not s.tumor and s.fold != 0]
    monkeypatch.setattr("brat.data.index.shows_mass", called_free[0].file.__eq__)
    monkeypatch.setattr(fit, "without_near_duplicates", lambda parts: parts)
    learned = []

    class Enough(Exception):
        pass

    def note(slices, *_, **__):
        learned.extend(slices)
        raise Enough

    monkeypatch.setattr(fit, "DrawnSlices", note)
    monkeypatch.setattr(fit, "_compiled", lambda *_, **__: (None, None))
    with pytest.raises(Enough):
        fit.train(index, "imagenet", tmp_path / "out", 0, None, TINY)
    assert {s.file for s in learned if not s.tumor} == {s.file for s in called_free[1:]}
    assert any(s.tumor for s in learned)


def test_last_stage_keeps_what_it_saw_at_stride_32(backbone):
    """Dilation samples the same grid: every second cell of the new maps is the old backbone's output."""
    base = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3))
    base.load_weights(backbone)
    _, serving = build(backbone)
    image = np.random.default_rng(0).uniform(-1, 1, (1, SIZE, SIZE, 3)).astype(np.float32)
    final, *_ = next(layer for layer in serving.layers if isinstance(layer, keras.Model))(image)
    maps, before = np.asarray(final), np.asarray(base(image))
    # Untrained layers leave little of a signal.
    much = before.max()
    np.testing.assert_allclose(maps[:, 1::2, 1::2] / much, before / much, atol=1e-4)
    # The cells between are not copies.
    assert np.abs(maps[:, ::2, ::2] - maps[:, 1::2, 1::2]).max() > 0.01 * much


def test_what_serves_reads_as_what_was_trained(tmp_path):
    random = np.random.default_rng(0)
    network = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3))
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            # Scale, shift, mean and variance, as data would leave them.
            ranges = ((0.5, 1.5), (0, 1), (-0.1, 0.1), (0.3, 1))
            layer.set_weights(
                [random.uniform(*limits, w.shape) for limits, w in zip(ranges, layer.weights, strict=True)]
            )
    network.save_weights(tmp_path / "backbone.weights.h5")
    training, serving = build(tmp_path / "backbone.weights.h5")
    image = random.uniform(-1, 1, (2, SIZE, SIZE, 1)).astype(np.float32)
    before = serving.predict(image, verbose=0)["maps"]
    np.testing.assert_allclose(training.predict(image, verbose=0), before, atol=1e-3)

    targets = np.zeros((2, len(CLASSES) + MAP_SIZE**2), np.float32)
    targets[:, 0] = 1
    training.compile("sgd", MapLoss(0, 0))
    training.train_on_batch(image, targets)
    hand_over(training, serving)
    after = serving.predict(image, verbose=0)["maps"]
    np.testing.assert_allclose(training.predict(image, verbose=0), after, atol=1e-3)
    assert np.abs(after - before).max() > 1e-2


def test_a_small_batch_is_the_same_slices_made_smaller(index):
    full, small = (batches.DrawnSlices(read_index(index), TINY) for _ in range(2))
    small.size = SMALL
    (image, target), (smaller, same) = full[0], small[0]
    side = SMALL // STRIDE
    assert smaller.shape == (4, SMALL, SMALL, 1)
    assert same.shape == (4, 4 + side**2)
    np.testing.assert_allclose(smaller.mean((1, 2)), image.mean((1, 2)), atol=0.01)
    np.testing.assert_array_equal(same[:, :4], target[:, :4])
    np.testing.assert_allclose(same[:, 4:].mean(1), target[:, 4:].mean(1), atol=0.005)


def test_the_first_epochs_are_small(uninterrupted):
    _, out, epochs_at = uninterrupted
    assert epochs_at == [(SMALL, SMALL, [0]), (SIZE, SIZE, [1, 2])]
    assert len((out / "history.csv").read_text().splitlines()) == 4


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A model to go on from: nothing was learned, and the card says from which folds it was.

    Returns:
        The index of its data, and its folder.
    """
    index_path = index_of_blobs(tmp_path_factory.mktemp("data"))
    out = tmp_path_factory.mktemp("start")
    card = {
        "data_fingerprint": fingerprint(read_index(index_path)),
        "test_fold": 0,
        "validation_fold": 1,
        "held_out": [],
        "sources": ["made"],
    }
    with without_litert():
        fit.export(build(None)[1], out, card)
    return index_path, out


@pytest.fixture(scope="module")
def fine_tuned(start, tmp_path_factory):
    """A model fine-tuned for one epoch at a learning rate of 0, with its events for TensorBoard.

    Returns:
        Its folder, and that of the events.
    """
    index_path, before = start
    folder = tmp_path_factory.mktemp("fine")
    out, events = folder / "run", folder / "events"
    still = replace(TINY, epochs=1, slices_per_epoch=4, learning_rate=0.0)
    with without_litert():
        fit.train(index_path, "imagenet", out, 0, None, still, start_from=before, tensorboard=events)
    return out, events


def test_fine_tuning_goes_on_from_the_models_weights_and_says_so(start, fine_tuned):
    (_, before), (out, _) = start, fine_tuned
    kept, tuned = (keras.models.load_model(run / "model.keras").get_weights() for run in (before, out))
    for expected, weights in zip(kept, tuned, strict=True):
        np.testing.assert_array_equal(weights, expected)
    of_start, card = (json.loads((run / "model_card.json").read_text()) for run in (before, out))
    assert card["start_from"] == {
        "name": before.name,
        "sha256": of_start["model.keras"]["sha256"],
        **{
            name: of_start[name]
            for name in ("data_fingerprint", "test_fold", "validation_fold", "held_out", "sources")
        },
    }
    assert card["backbone"] == {"name": before.name}


def test_tensorboard_shows_the_epochs(fine_tuned):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    from tensorboard.util.tensor_util import make_ndarray

    out, folder = fine_tuned
    written = events.EventAccumulator(str(folder / "train"), {"tensors": 0}).Reload()
    (row,) = csv.DictReader((out / "history.csv").open(newline=""))
    (point,) = written.Tensors("epoch_loss")
    assert point.step == 0
    assert make_ndarray(point.tensor_proto) == pytest.approx(float(row["loss"]), rel=1e-4)


def test_a_fold_that_the_start_learned_from_cannot_be_held_out(start, fine_tuned, tmp_path):
    index_path, before = start
    for folder in (before, fine_tuned[0]):
        with pytest.raises(LeakError, match=r"learned from fold 2 of this data.*Hold out 0 or none"):
            fit.train(index_path, "imagenet", tmp_path / "out", 2, None, TINY, start_from=folder)
        with pytest.raises(LeakError, match="learned from fold 3"):
            fit.train(index_path, "imagenet", tmp_path / "out", 0, 3, TINY, start_from=folder)
    # The best epoch of the first was chosen by fold 1: that may be done again, but it is no test.
    with pytest.raises(LeakError, match="learned from fold 1"):
        fit.train(index_path, "imagenet", tmp_path / "out", 1, None, TINY, start_from=before)
    assert not (tmp_path / "out").exists()


def card_of(prints, test_fold=None, validation_fold=None, held_out=(), start_from=None):
    card = {
        "data_fingerprint": prints,
        "test_fold": test_fold,
        "validation_fold": validation_fold,
        "held_out": [*held_out],
    }
    return card if start_from is None else {**card, "start_from": start_from}


# What the start held out, what is asked for, and what of it the start has learned from.
BEFORE = {
    "its own test fold": (card_of("HERE", 0, 1), (0, None, ()), ""),
    "its own folds": (card_of("HERE", 0, 1), (0, 1, ()), ""),
    "its own test fold, to choose an epoch by": (card_of("HERE", 0, 1), (None, 0, ()), ""),
    "its own validation fold, again": (card_of("HERE", 0, 1), (None, 1, ()), ""),
    "its own validation fold, as a test": (card_of("HERE", 0, 1), (1, None, ()), "fold 1"),
    "another test fold": (card_of("HERE", 0, 1), (2, None, ()), "fold 2"),
    "another validation fold": (card_of("HERE", 0, 1), (0, 2, ()), "fold 2"),
    "none": (card_of("HERE"), (None, None, ()), ""),
    "a fold, where it held out none": (card_of("HERE"), (0, None, ()), "fold 0 of.* Hold out none,"),
    "a patient of its own": (card_of("HERE", 0, 1, ["glioma-2.png"]), (0, 1, ["glioma-2.png"]), ""),
    "a patient of its test fold": (card_of("HERE", 0, 1), (None, None, ["glioma-0.png"]), ""),
    "a patient of its validation fold": (
        card_of("HERE", 0, 1),
        (None, None, ["glioma-1.png"]),
        "glioma-1.png",
    ),
    "another patient": (card_of("HERE", 0, 1, ["glioma-2.png"]), (0, 1, ["glioma-3.png"]), "glioma-3.png"),
    "other data": (card_of("elsewhere", 0), (2, 3, ["glioma-1.png"]), ""),
    "other data, and this with it": (
        {**card_of("both", 0), "index_fingerprints": ["elsewhere", "HERE"]},
        (2, None, ()),
        "fold 2",
    ),
    "what its own start held out": (card_of("elsewhere", start_from=card_of("HERE", 0)), (0, None, ()), ""),
    "what its own start met": (card_of("elsewhere", start_from=card_of("HERE", 0)), (2, None, ()), "fold 2"),
    "what the first of them met": (
        card_of("elsewhere", start_from=card_of("elsewhere", start_from=card_of("HERE", 0))),
        (2, None, ()),
        "fold 2",
    ),
    "a patient whom its own start met": (
        card_of("HERE", 0, None, ["glioma-2.png"], card_of("HERE", 0)),
        (0, None, ["glioma-2.png"]),
        "glioma-2.png",
    ),
}


@pytest.mark.parametrize("case", BEFORE)
def test_what_a_start_or_its_own_start_has_learned_from_is_not_held_out(case, index, tmp_path, monkeypatch):
    card, (test_fold, validation_fold, held_out), refused = BEFORE[case]
    text = json.dumps(card).replace("HERE", fingerprint(read_index(index)))
    before = tmp_path / "before"
    before.mkdir()
    (before / "model_card.json").write_text(text)
    monkeypatch.setattr(fit, "without_near_duplicates", lambda parts: parts)
    monkeypatch.setattr(fit, "fit", lambda *_: "fitted")
    options = {"held_out": held_out, "start_from": before}
    expected = pytest.raises(LeakError, match=f"learned from {refused}") if refused else nullcontext()
    with expected:
        trained = fit.train(index, "imagenet", tmp_path / "out", test_fold, validation_fold, TINY, **options)
        assert trained == "fitted"


def test_the_card_says_what_a_start_and_its_own_start_were_trained_on(tmp_path, monkeypatch):
    card = card_of("both", 0, 1, ["glioma-2.png"], card_of("elsewhere", 3))
    card |= {"index_fingerprints": ["one", "other"], "sources": ["made"]}
    (tmp_path / "model.keras").touch()
    write_manifest(tmp_path, ["model.keras"])
    (tmp_path / "model_card.json").write_text(json.dumps(card | {"recipe": {}}))
    monkeypatch.setattr(fit, "load_keras", lambda folder: None)
    described = fit._start_of(tmp_path).described
    assert described.pop("sha256")
    assert described == {"name": tmp_path.name, **card}


def test_other_data_than_the_starts_may_be_held_out(start, tmp_path, monkeypatch):
    """What the model has not met; and of both together, what it has met in neither."""
    index_path, before = start
    folder = tmp_path / "new"
    folder.mkdir()
    other = index_of_blobs(folder)
    text = other.read_text()
    for name in {row.split(",")[0] for row in text.splitlines()[1:]}:
        (folder / name).rename(folder / f"new-{name}")
        text = text.replace(f"{name},{name},made", f"new-{name},new-{name},made").replace(
            f",{name},{name},", f",new-{name},new-{name},"
        )
    other.write_text(text)
    given = []
    monkeypatch.setattr(fit, "without_near_duplicates", lambda parts: parts)
    monkeypatch.setattr(fit, "fit", lambda parts, about, *_: given.append((parts, about)))
    fit.train(other, "imagenet", tmp_path / "out", 2, 3, TINY, start_from=before)
    fit.train([other, index_path], "imagenet", tmp_path / "out", 0, None, TINY, start_from=before)
    (alone, _), (both, about) = given
    assert (len(alone.train), len(both.train), len(both.test)) == (10, 30, 10)
    assert len(about["index_fingerprints"]) == 2
    with pytest.raises(LeakError):
        fit.train([other, index_path], "imagenet", tmp_path / "out", 2, None, TINY, start_from=before)


def test_a_patient_whom_the_start_learned_from_cannot_be_held_out(start, fine_tuned, tmp_path, monkeypatch):
    index_path, before = start
    groups = {fold: [s.group for s in read_index(index_path) if s.fold == fold] for fold in (0, 2)}
    for folder in (before, fine_tuned[0]):
        with pytest.raises(LeakError, match=rf"learned from {groups[2][0]}, which is to be held out"):
            fit.train(
                index_path,
                "imagenet",
                tmp_path / "out",
                0,
                None,
                TINY,
                held_out=groups[2][:1],
                start_from=folder,
            )
    # Of its test fold it has learned nothing.
    monkeypatch.setattr(fit, "fit", lambda parts, about, *_: about)
    about = fit.train(
        index_path, "imagenet", tmp_path / "out", None, None, TINY, held_out=groups[0][:1], start_from=before
    )
    assert about["held_out"] == groups[0][:1]


def test_an_epoch_of_fine_tuning_draws_no_more_slices_than_there_are(start, tmp_path, monkeypatch):
    index_path, before = start
    recipes = []
    monkeypatch.setattr(fit, "without_near_duplicates", lambda parts: parts)
    monkeypatch.setattr(fit, "fit", lambda parts, about, backbone, out, recipe, *_: recipes.append(recipe))
    large = replace(TINY, slices_per_epoch=3600)
    for recipe, start_from in ((large, before), (TINY, before), (large, None)):
        fit.train(index_path, "imagenet", tmp_path / "out", 0, None, recipe, start_from=start_from)
    count = len(fit.split(fit.read_index(index_path), 0, None).train)
    assert [recipe.slices_per_epoch for recipe in recipes] == [count, TINY.slices_per_epoch, 3600]
    assert count > TINY.slices_per_epoch


def test_fine_tuning_says_which_file_it_needs(index, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "model.tflite").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"There is no model\.keras in .*bare"):
        fit.train(index, "imagenet", tmp_path / "out", 0, None, TINY, start_from=bare)
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(bare / "model.keras")
    write_manifest(bare, ["model.tflite", "model.keras"])
    with pytest.raises(ValueError, match="another network"):
        fit.train(index, "imagenet", tmp_path / "out", 0, None, TINY, start_from=bare)


def test_the_command_fine_tunes_at_a_tenth_of_the_rate(monkeypatch, tmp_path):
    given = []
    monkeypatch.setattr(fit, "train", lambda *data, **options: given.append((data, options)) or tmp_path)
    command = ["train", "--data", "a.csv", "b.csv", "--out", "run"]
    assert main(command) == 0
    assert main([*command, "--start-from", "weights", "--tensorboard", "events"]) == 0
    (_, plain), (data, tuned) = given
    assert data == (["a.csv", "b.csv"], "imagenet", "run")
    assert (plain["start_from"], plain["tensorboard"]) == (None, None)
    assert (tuned["start_from"], tuned["tensorboard"]) == ("weights", "events")
    assert plain["recipe"].learning_rate == Recipe().learning_rate
    assert tuned["recipe"].learning_rate == pytest.approx(Recipe().learning_rate / 10)
