import numpy as np
import pytest
from PIL import Image

from brat.classes import CLASSES
from brat.data.index import IndexedSlice
from brat.environment import WEIGHTS
from brat.evaluation.robustness import measure
from brat.model.classifier import Classifier
from brat.model.preprocess import prepare
from brat.perturb.changes import CHANGES

NEUTRAL = {
    "brightness": 0.0,
    "contrast": 1.0,
    "gamma": 1.0,
    "noise": 0.0,
    "blur": 0.0,
    "rotation": 0,
    "crop": 0.0,
}


@pytest.mark.parametrize("name", CHANGES)
def test_levels_change_the_scan_and_the_neutral_one_does_not(make_head, name):
    gray = make_head()
    change = CHANGES[name]
    for level in change.levels:
        changed = change.apply(gray, level)
        assert changed.dtype == np.uint8
        assert changed.ndim == 2
        if level == NEUTRAL.get(name, 0 if name == "CLAHE" else None):
            assert np.abs(changed.astype(int) - gray).max() <= 1
        else:
            assert changed.shape != gray.shape or (changed != gray).any()


def test_measure_counts_what_the_model_reads(make_head, tmp_path):
    gray = make_head()
    path = tmp_path / "head.png"
    Image.fromarray(gray).save(path)
    read = Classifier().predict(prepare(gray)[0]).label
    other = next(name for name in CLASSES if name != read)
    slices = [
        IndexedSlice(path, f"{label}", "made", label, label != "no_tumor", label, label, 0)
        for label in (read, other)
    ]
    measured = measure([(WEIGHTS, slices)])
    assert set(measured) == set(CHANGES)
    rotation = measured["rotation"]
    assert rotation["levels"] == list(CHANGES["rotation"].levels)
    assert rotation["accuracy"][rotation["levels"].index(0)]["value"] == 0.5
