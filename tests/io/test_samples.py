from __future__ import annotations

import json

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.encaps import generate_frames

from brat.classes import CLASS_NAMES, CLASSES
from brat.data.held_out import HELD_OUT
from brat.data.index import read_index
from brat.environment import WEIGHTS
from brat.io.files import File
from brat.io.intake import group_into_series, load
from brat.io.read import read_scan
from brat.io.samples import FOLDER, load_sample_series, load_samples
from brat.io.series import Series
from brat.model.preprocess import find_head
from brat.model.reader import Reader
from tools.phantoms import APART, COUNT, ICBM, SPACING
from tools.samples import ORIGIN, in_series, is_read_wrong, plane_of

SAMPLES = {sample.name: sample for sample in load_samples()}
ALL = {sample.name: sample for sample in (*load_samples(), *load_sample_series())}
OF_PATIENTS = {name: sample for name, sample in SAMPLES.items() if sample.patient}


@pytest.fixture(scope="module")
def stored(data_index):
    """File of the index -> slice."""
    return {one.file: one for one in read_index(data_index)}


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_sample_is_complete_and_readable(sample):
    assert all((sample.name, sample.title, sample.origin, sample.licence, sample.source))
    assert sample.label in CLASSES
    assert sample.plane in ("axial", "coronal", "sagittal")
    assert sample.plane in sample.title
    scan = read_scan(sample.file)
    assert min(scan.gray.shape) >= 384
    left, top, right, bottom = find_head(scan.gray)
    share = (right - left) * (bottom - top) / scan.gray.size
    assert 0.3 < share <= 1, "the head fills the picture"


@pytest.mark.parametrize("sample", ALL.values(), ids=ALL)
def test_thumbnail_is_small_and_of_the_sample(sample):
    small = read_scan(sample.thumbnail).gray
    assert max(small.shape) == 300
    if not sample.is_series:
        gray = read_scan(sample.file).gray
        again = cv2.resize(gray, small.shape[::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(again.astype(int) - small).mean() < 3


def opened_series(sample):
    (item,) = group_into_series([File(sample.file.name, sample.file)])
    opened = load(item)
    assert isinstance(opened, Series)
    return opened


def test_two_a_class_a_healthy_head_as_picture_and_as_dicom_and_as_series():
    shown = [sample for sample in OF_PATIENTS.values() if sample.name != "read-wrong"]
    assert sorted(s.label for s in shown) == sorted(2 * [c for c in CLASSES if c != "no_tumor"])
    assert len({sample.patient for sample in shown}) == len(shown)
    healthy = [sample for sample in SAMPLES.values() if sample.label == "no_tumor"]
    assert sorted(sample.file.suffix for sample in healthy) == [".dcm", ".png"]
    assert not any(sample.patient for sample in healthy)
    stack = opened_series(ALL["head-series"]).stack()
    assert len(stack) == COUNT
    assert np.diff(stack.positions) == pytest.approx([APART] * (COUNT - 1))
    # The face is up and the neck first, as in any axial series; each slice holds the head.
    assert all((one.gray > 40).mean() > 0.15 for one in stack)


def test_a_series_of_a_held_out_patient_is_the_index_s_own_slices_in_order(stored):
    tumour, healthy = load_sample_series()
    assert (tumour.label, healthy.label) == ("glioma", "no_tumor")
    assert tumour.patient in HELD_OUT
    assert (tumour.origin, tumour.licence) == (ORIGIN, "CC BY 4.0; see LICENCES.md")
    slices = [stored[name] for name in tumour.source.split(", ")]
    assert slices == in_series(held_out_slices_of(stored))
    assert {(one.source, one.group, one.label) for one in slices} == {("figshare", tumour.patient, "glioma")}
    assert len(slices) == len({one.file for one in slices}) == 7
    dataset = pydicom.dcmread(tumour.file)
    frames = list(generate_frames(dataset.PixelData, number_of_frames=dataset.NumberOfFrames))
    # A frame is padded to an even length.
    assert [frame.rstrip(b"\0") for frame in frames] == [one.path.read_bytes() for one in slices]
    assert dataset.PatientIdentityRemoved == "YES"
    assert not dataset.PatientBirthDate
    stack = opened_series(tumour).stack()
    assert len(stack) == 7
    # The collection says of no slice where it lies.
    assert stack.positions is None
    for scan, one in zip(stack, slices, strict=True):
        assert np.abs(scan.gray.astype(int) - read_scan(one.path).gray).max() <= 1


def held_out_slices_of(stored):
    return [one for one in stored.values() if one.source == "figshare" and one.group in HELD_OUT]


def test_nothing_else_lies_in_the_folder():
    files = {sample.file for sample in ALL.values()} | {sample.thumbnail for sample in ALL.values()}
    files |= {FOLDER / "samples.json", FOLDER / "LICENCES.md"}
    assert {path for path in FOLDER.rglob("*") if path.is_file()} == files
    assert sum(path.stat().st_size for path in files) < 1_500_000


def test_patients_are_held_out_and_the_others_are_none(stored):
    assert OF_PATIENTS
    for sample in SAMPLES.values():
        assert sample.patient in HELD_OUT if sample.label != "no_tumor" else not sample.patient
    assert set(HELD_OUT) <= {one.group for one in stored.values()}
    assert all(one.source in ("figshare", "sartaj") for one in stored.values() if one.group in HELD_OUT)


@pytest.mark.parametrize("sample", OF_PATIENTS.values(), ids=OF_PATIENTS)
def test_slices_of_patients_are_the_index_s_own(sample, stored):
    one = stored[sample.source]
    assert sample.file.read_bytes() == one.path.read_bytes()
    assert (one.source, one.group, one.label) == ("figshare", sample.patient, sample.label)
    assert plane_of(one) == sample.plane


@pytest.mark.parametrize("sample", OF_PATIENTS.values(), ids=OF_PATIENTS)
def test_the_title_says_the_class_and_whether_the_model_reads_it_wrong(sample):
    """After a new model, `python -m tools.samples` writes them again."""
    reading = Reader().read(read_scan(sample.file).gray)
    assert sample.is_read_wrong == is_read_wrong(sample.label, reading)
    assert sample.title == f"{CLASS_NAMES[sample.label]}, {sample.plane}" + (
        ", read wrong" if sample.is_read_wrong else ""
    )


def test_the_model_that_ships_was_not_trained_on_the_patients():
    card = json.loads((WEIGHTS / "model_card.json").read_text(encoding="utf-8"))
    if "held_out" not in card:
        pytest.skip("the model in weights/ is older than the samples, and has seen their patients")
    assert set(HELD_OUT) <= set(card["held_out"])


def test_licences_name_every_source():
    text = (FOLDER / "LICENCES.md").read_text(encoding="utf-8")
    assert "provided that the above copyright notice appear in all" in text
    assert "Copyright (C) 1993-2009 Louis Collins" in text
    assert "Copyright 2006-2010, Chris Rorden" in text
    assert "https://doi.org/10.6084/m9.figshare.1512427" in text
    assert "https://creativecommons.org/licenses/by/4.0/" in text
    assert all("LICENCES.md" in sample.licence for sample in ALL.values())
    assert all(f"`{sample.file.name}`" in text for sample in ALL.values() if sample.file.suffix != ".jpg")
    for sample in OF_PATIENTS.values():
        assert sample.file.suffix == ".jpg"
        assert (sample.origin, sample.licence) == (ORIGIN, "CC BY 4.0; see LICENCES.md")


def test_the_dicom_file_is_anonymous_and_windowed():
    file = ALL["mni-axial"].file
    dataset = pydicom.dcmread(file)
    assert (dataset.Modality, dataset.BitsStored, dataset.get("NumberOfFrames", 1)) == ("MR", 12, 1)
    assert dataset.PatientIdentityRemoved == "YES"
    assert not dataset.PatientBirthDate
    assert "not a patient" in str(dataset.PatientName).lower()
    assert "not a patient" in dataset.SeriesDescription
    assert dataset.PixelSpacing == [SPACING, SPACING]
    assert dataset.RescaleSlope == 0.5
    full = ICBM.window * 800
    assert dataset.WindowWidth == full + 1
    scan = read_scan(file)
    assert scan.pixels.max() > 1, "rescaled values, not the display's"
    expected = np.round(np.clip(scan.pixels / full, 0, 1) * 255)
    assert np.abs(scan.gray - expected).max() <= 1
