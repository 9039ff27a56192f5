import numpy as np
import pytest

from brat.classes import CLASSES
from brat.io.read import read_scan
from brat.io.samples import load_samples
from brat.model.calibration import Calibration
from brat.model.files import ModelFolder, update_manifest
from brat.model.reader import Reader
from tests.factories.weights import model_folder

GRAY = read_scan(load_samples()[0].file).gray


@pytest.fixture
def bare(tmp_path):
    """A model as it comes from training."""
    return model_folder(tmp_path)


def test_a_model_fresh_from_training_is_read_as_it_is(bare):
    reading = Reader(bare).read(GRAY)
    raw = Reader(bare).classifier.predict(reading.model_input)
    np.testing.assert_array_equal(reading.prediction.probabilities, raw.probabilities)
    assert reading.sets == {}
    assert not reading.is_calibrated
    assert reading.ood is None


def test_calibration_is_applied_to_the_logits(bare):
    hot = Calibration(5.0, {0.95: (0.0,) * 4}, slices=1, source="made", fitted="now")
    hot.save(bare / "calibration.json")
    update_manifest(ModelFolder(bare), ["calibration.json"])
    reading = Reader(bare).read(GRAY)
    logits = reading.prediction.maps.mean(axis=(0, 1))
    expected = np.exp(logits / 5) / np.exp(logits / 5).sum()
    np.testing.assert_allclose(reading.prediction.probabilities, expected, rtol=1e-5)
    assert set(reading.sets[0.95]) == set(CLASSES)
    assert reading.sets[0.95][0] == reading.prediction.label


def test_the_shipped_model_has_everything():
    reading = Reader().read(GRAY)
    assert set(reading.sets) == {0.9, 0.95, 0.99}
    for classes in reading.sets.values():
        assert classes[0] == reading.prediction.label
    assert reading.ood.score > 0


def test_without_a_model_it_says_so(tmp_path):
    with pytest.raises(FileNotFoundError):
        Reader(tmp_path)
