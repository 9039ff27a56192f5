"""A site's recalibration is used where it lies beside its model, and damage or a mix-up is an error."""

import json
from dataclasses import replace

import pytest

from brat.io.read import read_scan
from brat.model.calibration import Calibration
from brat.model.files import CALIBRATION, DETECTOR, ModelError, write_manifest
from brat.model.out_of_distribution import OodDetector
from brat.model.pool import Readers
from brat.model.reader import Reader
from brat.model.site import SITE, SiteCalibration
from tests.factories.samples import KNOWN
from tests.factories.weights import READ_WITH, model_folder, site_calibration


@pytest.fixture
def folder(tmp_path):
    return model_folder(tmp_path / "model", READ_WITH)


@pytest.fixture
def site(folder):
    made = site_calibration(folder)
    return replace(made, calibration=replace(made.calibration, source="St. Elsewhere"), limit=-30.0)


def test_is_read_back(site):
    assert SiteCalibration.from_bytes(site.to_bytes()) == site
    bare = replace(site, calibration=None, limit=None)
    assert SiteCalibration.from_bytes(bare.to_bytes()) == bare


def test_its_hash_is_that_of_its_file_and_of_what_it_says(site):
    assert json.loads(site.to_bytes())["sha256"] == site.digest
    assert replace(site, limit=-29.0).digest != site.digest


def test_is_used_where_it_lies_beside_the_model(folder, site):
    gray = read_scan(KNOWN.file).gray
    before = Reader(folder).read(gray)
    (folder / SITE).write_bytes(site.to_bytes())
    reader = Reader(folder)
    after = reader.read(gray)
    assert reader.site == site
    assert after.prediction.confidence < before.prediction.confidence
    assert before.ood.in_distribution
    assert not after.ood.in_distribution


def test_what_it_does_not_hold_stays(folder, site):
    (folder / SITE).write_bytes(replace(site, calibration=None, limit=None).to_bytes())
    reader = Reader(folder)
    assert reader.calibration == Calibration.load(folder / CALIBRATION)
    assert reader.detector.limit == OodDetector.load(folder / DETECTOR).limit


def test_can_be_left_out(folder, site):
    (folder / SITE).write_bytes(site.to_bytes())
    shipped = Calibration.load(folder / CALIBRATION)
    for reader in (Reader(folder, as_shipped=True), Readers(folder, as_shipped=True)()):
        assert reader.site is None
        assert reader.calibration == shipped


@pytest.mark.parametrize(
    "change",
    [
        {"limit": -0.1},
        {"site": "another"},
        {"fitted_to": {}},
        {"limit": float("nan")},
        {"slices": None},
        {"more": 1},
    ],
)
def test_a_change_is_noticed(folder, site, change):
    (folder / SITE).write_text(json.dumps(json.loads(site.to_bytes()) | change))
    with pytest.raises(ModelError, match=r"site_calibration\.json is damaged"):
        Reader(folder)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"sha256": 1}'])
def test_what_is_no_such_file_is_an_error(folder, content):
    (folder / SITE).write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        Reader(folder)


def test_of_another_model_is_an_error(folder, site):
    (folder / SITE).write_bytes(site.to_bytes())
    detector = OodDetector.load(folder / DETECTOR)
    replace(detector, limit=detector.limit + 1).save(folder / DETECTOR)
    write_manifest(folder, READ_WITH)
    with pytest.raises(ModelError, match=r"fitted to another model.*Remove it"):
        Reader(folder)


def test_a_damaged_calibration_in_it_is_an_error(site):
    wrong = replace(site, calibration=replace(site.calibration, temperature=-1.0))
    with pytest.raises(ModelError, match="damaged"):
        SiteCalibration.from_bytes(wrong.to_bytes())
