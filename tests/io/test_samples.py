from __future__ import annotations

import filecmp

import numpy as np
import pydicom
import pytest

from brat.classes import CLASSES
from brat.io.read import read_scan
from brat.io.samples import FOLDER, load_samples
from brat.model.preprocess import find_head
from tools.phantoms import CH2, COLIN, DRAWN, PLAIN, SPACING, Cut, cut_slice, make

SAMPLES = {sample.name: sample for sample in load_samples()}
REACH = 46
"""Millimetres from a lesion's centre beyond which nothing may have changed."""


def grays(name: str) -> np.ndarray:
    return read_scan(SAMPLES[name].file).gray.astype(int)


def distance(shape: tuple[int, int], centre: tuple[float, float]) -> np.ndarray:
    down, right = np.indices(shape)
    return np.hypot((right + 0.5) * SPACING - centre[0], (down + 0.5) * SPACING - centre[1])


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_sample_is_complete_and_readable(sample):
    assert all((sample.name, sample.title, sample.origin, sample.licence))
    assert sample.intended in CLASSES
    assert sample.drawn == (sample.intended != "no_tumor")
    assert sample.drawn == ("drawn in (not a patient)" in sample.title)
    scan = read_scan(sample.file)
    assert min(scan.gray.shape) >= 400
    assert max(scan.gray.shape) <= 512
    left, top, right, bottom = find_head(scan.gray)
    share = (right - left) * (bottom - top) / scan.gray.size
    assert 0.5 < share < 0.97, "the head fills the picture, with black left round it"


def test_every_class_is_suggested_once_and_nothing_else_lies_in_the_folder():
    assert 5 <= len(SAMPLES) <= 7
    drawn = [sample.intended for sample in SAMPLES.values() if sample.drawn]
    assert sorted(drawn) == sorted(set(CLASSES) - {"no_tumor"})
    files = {sample.file.name for sample in SAMPLES.values()} | {"samples.json", "LICENCES.md"}
    assert {path.name for path in FOLDER.iterdir()} == files
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1_500_000


def test_licences_name_every_source():
    text = (FOLDER / "LICENCES.md").read_text(encoding="utf-8")
    assert "provided that the above copyright notice appear in all" in text
    assert "Copyright (C) 1993-2009 Louis Collins" in text
    assert "Copyright 2006-2010, Chris Rorden" in text
    assert all("LICENCES.md" in sample.licence for sample in SAMPLES.values())


@pytest.mark.parametrize("drawn", DRAWN, ids=lambda drawn: drawn.name)
def test_only_the_surroundings_of_the_lesion_differ(drawn):
    plain, with_lesion = grays(drawn.plain.name), grays(drawn.name)
    away = distance(plain.shape, drawn.plain.cut.at(*drawn.centre))
    change = np.abs(with_lesion - plain)
    # DICOM rounds to its own steps before the window does, so one grey level may differ anywhere.
    assert change[away > REACH].max() <= (1 if drawn.suffix == ".dcm" else 0)
    assert change[away < 12].mean() > 30, "something was drawn"
    assert (change > 8).mean() < 0.12


@pytest.mark.parametrize("drawn", DRAWN, ids=lambda drawn: drawn.name)
def test_drawing_is_deterministic_and_leaves_its_input_alone(drawn):
    centre = drawn.plain.cut.at(*drawn.centre)
    slice_ = grays(drawn.plain.name).astype(np.float32) / 255 * drawn.plain.cut.source.window
    before = slice_.copy()
    first, second = drawn.draw(slice_, centre), drawn.draw(slice_, centre)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(slice_, before)


def test_the_ring_is_bright_around_a_dark_core():
    drawn = next(drawn for drawn in DRAWN if drawn.intended == "glioma")
    gray = grays(drawn.name)
    away = distance(gray.shape, drawn.plain.cut.at(*drawn.centre))
    core, rim = gray[away < 8].mean(), np.percentile(gray[(away > 11) & (away < 19)], 85)
    white_matter = np.percentile(grays(drawn.plain.name)[away < 30], 90)
    assert core < 0.65 * white_matter
    assert rim > 1.25 * white_matter


def test_slices_are_cut_as_a_radiologist_expects_them():
    volume = np.zeros((20, 24, 16), np.float32)
    volume[12:] += 1  # the patient's right
    volume[:, 18:] += 2  # the front
    volume[:, :, 10:] += 4  # the top
    affine = np.diag([1.0, 1, 1, 1])
    axial = cut_slice(volume, affine, Cut(COLIN, "axial", 4, 19, 23, 19, 23)) * COLIN.white
    coronal = cut_slice(volume, affine, Cut(COLIN, "coronal", 4, 19, 15, 19, 15)) * COLIN.white
    sagittal = cut_slice(volume, affine, Cut(COLIN, "sagittal", 4, 23, 15, 23, 15)) * COLIN.white
    assert axial.shape == (round(23 / SPACING), round(19 / SPACING))
    assert axial[6, 6] == pytest.approx(3, abs=0.01)  # front and right: left top corner
    assert axial[-6, 6] == pytest.approx(1, abs=0.01)
    assert coronal[6, 6] == pytest.approx(5, abs=0.01)
    assert coronal[6, -6] == pytest.approx(4, abs=0.01)
    assert sagittal[6, 6] == pytest.approx(6, abs=0.01)
    assert sagittal[6, -6] == pytest.approx(4, abs=0.01)


def test_the_dicom_file_is_anonymous_windowed_and_says_that_it_is_drawn():
    (file,) = FOLDER.glob("*.dcm")
    dataset = pydicom.dcmread(file)
    assert (dataset.Modality, dataset.BitsStored, dataset.get("NumberOfFrames", 1)) == ("MR", 12, 1)
    assert dataset.PatientIdentityRemoved == "YES"
    assert not dataset.PatientBirthDate
    assert "not a patient" in str(dataset.PatientName).lower()
    assert "not a patient" in dataset.SeriesDescription
    assert "drawn" in dataset.ImageComments
    assert dataset.PixelSpacing == [SPACING, SPACING]
    assert dataset.RescaleSlope == 0.5
    full = COLIN.window * 800
    assert dataset.WindowWidth == full + 1
    scan = read_scan(file)
    assert scan.pixels.max() > 1, "rescaled values, not the display's"
    expected = np.round(np.clip(scan.pixels / full, 0, 1) * 255)
    assert np.abs(scan.gray - expected).max() <= 1


def test_the_shipped_files_are_what_the_maker_makes(tmp_path):
    pytest.importorskip("nibabel", reason="nibabel is in the test extra")
    pytest.importorskip("nilearn", reason="nilearn is in the test extra")
    if not CH2.is_file():
        pytest.skip(f"no {CH2}: install mricron-data")
    make(tmp_path / "first")
    make(tmp_path / "second")
    names = [sample.file.name for sample in SAMPLES.values()]
    assert len(names) == len(PLAIN) + len(DRAWN)
    same, _, _ = filecmp.cmpfiles(tmp_path / "first", tmp_path / "second", [*names, "samples.json"], False)
    assert len(same) == len(names) + 1
    assert (tmp_path / "first" / "samples.json").read_bytes() == (FOLDER / "samples.json").read_bytes()
    for name in names:
        drawn_again, shipped = read_scan(tmp_path / "first" / name), read_scan(FOLDER / name)
        # Another build of OpenCV may round its interpolation differently.
        assert np.abs(drawn_again.gray.astype(int) - shipped.gray).max() <= 1
