import numpy as np
import pytest
from calibration_cases import honest

from brat.classes import CLASSES
from brat.evaluation.fit_calibration import fit_calibration
from brat.model.calibration import DEFAULT_LEVEL, LEVELS, Calibration, membership, softmax

UNEVEN = {0.9: (0.3, 0.2, 0.5, 0.6), 0.95: (0.1, 0.1, 0.2, 0.5), 0.99: (0.0, 0.0, 0.0, 0.1)}
CALIBRATION = Calibration(1.7, UNEVEN, 12, "abc", "2026-01-02T03:04:05+00:00")


def test_apply_takes_one_slice_or_many():
    logits = np.array([[1, 2, 3, 4], [1e4, 0, 0, -1e4]], np.float32)
    many = CALIBRATION.apply(logits)
    assert many.dtype == np.float32
    np.testing.assert_allclose(many, softmax(logits.astype(float) / 1.7), rtol=1e-6)
    np.testing.assert_array_equal(many[0], CALIBRATION.apply(logits[0]))


def test_prediction_set_is_ordered_by_probability():
    probabilities = np.array([0.15, 0.3, 0.25, 0.3], np.float32)
    assert CALIBRATION.prediction_set(probabilities, 0.99) == (
        "meningioma",
        "no_tumor",
        "pituitary",
        "glioma",
    )
    assert CALIBRATION.prediction_set(np.array([0.15, 0.05, 0.75, 0.05])) == ("pituitary", "glioma")


def test_set_is_empty_where_no_class_reaches_its_threshold():
    least = np.array(CALIBRATION.thresholds[0.9])
    assert CALIBRATION.prediction_set(np.array([0.2, 0.1, 0.3, 0.4]), 0.9) == ()
    assert membership(np.stack([least - 0.01, least]), least).tolist() == [[False] * 4, [True] * 4]


def test_set_skips_no_class():
    # Glioma reaches its own threshold; pituitary, though likelier, does not reach its own.
    inside = membership(np.array([0.2, 0.1, 0.3, 0.4]), (0.15, 0.2, 0.5, 0.35))
    assert inside.tolist() == [True, False, True, True]
    logits, labels = honest(300)
    calibration = fit_calibration(logits, labels, "")
    for level in LEVELS:
        for row in calibration.apply(logits[:50]):
            inside = calibration.prediction_set(row, level)
            likeliest = [CLASSES[k] for k in np.argsort(-row, kind="stable")]
            assert list(inside) == likeliest[: len(inside)]


def test_unknown_level_is_refused():
    with pytest.raises(KeyError):
        CALIBRATION.prediction_set(np.full(4, 0.25), 0.8)


def test_file_gives_back_what_was_saved(tmp_path):
    fitted = fit_calibration(*honest(500), "fingerprint")
    for number, calibration in enumerate((CALIBRATION, fitted)):
        calibration.save(tmp_path / f"{number}.json")
        assert Calibration.load(tmp_path / f"{number}.json") == calibration
    assert (fitted.slices, fitted.source) == (500, "fingerprint")
    with pytest.raises(FileNotFoundError):
        Calibration.load(tmp_path / "none.json")


def test_default_level_is_one_that_is_fitted():
    assert DEFAULT_LEVEL in LEVELS
