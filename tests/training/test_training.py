"""Training on a few made slices: what it writes, that it continues, what it refuses."""

import json
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from brat.classes import CLASSES
from brat.data.index import LeakError, read_index
from brat.model.classifier import Classifier
from brat.model.preprocess import SIZE

keras = pytest.importorskip("keras", reason="needs the full installation")

from brat.training import fit as training  # noqa: E402
from brat.training.network import MAP_SIZE, MapLoss, accuracy, build  # noqa: E402
from tests.factories.indexes import index_of_blobs  # noqa: E402

TINY = training.Recipe(epochs=2, slices_per_epoch=8, batch_size=4)


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
    training.train(index_path, backbone, out, test_fold=0, validation_fold=1, recipe=TINY)
    return index_path, out


@pytest.fixture(scope="module")
def uninterrupted(backbone, tmp_path_factory):
    """A run of three epochs, with no fold held out; without its LiteRT file, which `trained` has."""
    index_path = index_of_blobs(tmp_path_factory.mktemp("data"))
    out = tmp_path_factory.mktemp("whole")
    with without_litert():
        training.train(index_path, backbone, out, None, None, replace(TINY, epochs=3))
    return index_path, out


@contextmanager
def without_litert():
    """Leaves out the conversion to LiteRT, on which a tiny run spends more time than on learning."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(training, "to_litert", lambda serving: b"")
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


def test_litert_equals_keras(trained):
    _, out = trained
    model_input = np.random.default_rng(1).uniform(-1, 1, (SIZE, SIZE, 1)).astype(np.float32)
    served = Classifier(out).predict(model_input)
    kept = keras.models.load_model(out / "model.keras").predict(model_input[np.newaxis], verbose=0)
    for name in ("probabilities", "maps", "features"):
        np.testing.assert_allclose(getattr(served, name), kept[name][0], atol=1e-4)


def test_will_not_overwrite_or_mix_runs(trained, backbone):
    index_path, out = trained
    with pytest.raises(FileExistsError, match="--resume"):
        training.train(index_path, backbone, out, test_fold=0, validation_fold=1, recipe=TINY)
    with pytest.raises(ValueError, match="name another folder"):
        training.train(index_path, backbone, out, 0, 1, recipe=replace(TINY, seed=5), resume=True)


def test_interrupted_run_continues_where_it_stopped(uninterrupted, backbone, tmp_path, monkeypatch):
    """Stopped in the second epoch and resumed, a run ends with the weights of one that was never stopped."""
    index, whole = uninterrupted
    parts, recipe = tmp_path / "parts", replace(TINY, epochs=3)

    def stop_before_second_epoch(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(keras.callbacks.CSVLogger, "on_epoch_begin", stop_before_second_epoch)
        with pytest.raises(KeyboardInterrupt):
            training.train(index, backbone, parts, None, None, recipe)
    assert not (parts / "model.keras").exists()
    assert len((parts / "history.csv").read_text().splitlines()) == 2
    with without_litert():
        training.train(index, backbone, parts, None, None, recipe, resume=True)
    assert len((parts / "history.csv").read_text().splitlines()) == 4
    kept, continued = (keras.models.load_model(p / "model.keras").get_weights() for p in (whole, parts))
    for one, other in zip(kept, continued, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)


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
    training._run_epochs(model, Batches([batch(4), batch(2)]), Batches([batch(3), batch(1)]), range(1), [log])
    header, row = (tmp_path / "history.csv").read_text().splitlines()
    found = dict(zip(header.split(","), map(float, row.split(",")), strict=True))
    # The first loss goes to the batch that only builds the metrics.
    assert found == {"epoch": 0, "loss": (1 * 4 + 4 * 2) / 6, "val_loss": (7 * 3 + 9 * 1) / 4}


def test_trains_on_every_fold_where_none_is_held_out(uninterrupted):
    _, out = uninterrupted
    card = json.loads((out / "model_card.json").read_text())
    assert card["test_fold"] is None
    assert card["train_slices"] == {**dict.fromkeys(CLASSES, 4), "tumor_of_unknown_class": 4}
    assert not any(card["test_slices"].values())


def test_refuses_a_leak(index, backbone, tmp_path):
    leaking = index.read_text().replace(",glioma-1.png,glioma-1.png,1,", ",glioma-0.png,glioma-1.png,1,")
    assert leaking != index.read_text()
    index.write_text(leaking)
    with pytest.raises(LeakError, match="both sides"):
        training.train(index, backbone, tmp_path / "out", 0, None, TINY)
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
    # Without a box, nothing is asked of the map's place.
    target[0, 4:] = 0
    assert float(with_map(target, inside)) == pytest.approx(float(with_map(target, outside)), abs=1e-5)


def test_accuracy_counts_any_allowed_class():
    target = np.zeros((2, 4 + MAP_SIZE**2), np.float32)
    target[0, :3] = 1
    target[1, 3] = 1
    maps = np.zeros((2, MAP_SIZE, MAP_SIZE, 4), np.float32)
    maps[..., 2] = 1
    assert np.asarray(accuracy(target, maps)).tolist() == [1, 0]


def test_every_class_and_site_gets_its_share(index):
    slices = [replace(s, source="a" if s.fold else "b") for s in read_index(index)]
    chances = training.draw_chances(slices, site_balance=0.0)
    assert chances.sum() == pytest.approx(1)
    for label in (*CLASSES, ""):
        for source in "ab":
            share = sum(
                c for c, s in zip(chances, slices, strict=True) if (s.label, s.source) == (label, source)
            )
            assert share == pytest.approx(1 / 5 / 2)


def test_batches_are_settled_by_the_seed(index):
    slices = read_index(index)
    first, again = (training.Slices(slices, TINY)[1] for _ in range(2))
    other = training.Slices(slices, replace(TINY, seed=3))[1]
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert (first[0] != other[0]).any()
    assert first[0].shape == (4, SIZE, SIZE, 1)
    assert first[1].shape == (4, 4 + MAP_SIZE**2)


def test_the_tumour_moves_with_its_cells():
    mask = np.zeros((SIZE, SIZE), np.uint8)
    training.draw_tumor(mask, (SIZE * 0.25, SIZE * 0.75, 32, 16))
    share = training.tumor_share(mask[np.newaxis]).reshape(MAP_SIZE, MAP_SIZE)
    rows, columns = np.nonzero(share)
    assert abs((share * np.arange(MAP_SIZE)[:, None]).sum() / share.sum() + 0.5 - 0.75 * MAP_SIZE) < 0.1
    assert abs((share * np.arange(MAP_SIZE)).sum() / share.sum() + 0.5 - 0.25 * MAP_SIZE) < 0.1
    assert share.max() <= 1
    assert len(rows) == len(columns) < 20


def test_last_stage_keeps_what_it_saw_at_stride_32(backbone):
    """Dilation samples the same grid: every second cell of the new maps is the old backbone's output."""
    base = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3))
    base.load_weights(backbone)
    _, serving = build(backbone)
    assert serving.output["maps"].shape == (None, MAP_SIZE, MAP_SIZE, 4)
    assert serving.output["features"].shape == (None, 1280)
    assert serving.count_params() == base.count_params() + 1280 * 4
