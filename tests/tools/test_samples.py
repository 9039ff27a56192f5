"""The makers of the samples."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brat.data.held_out import HELD_OUT
from brat.data.index import IndexedSlice
from brat.environment import WEIGHTS
from brat.io.read import read_scan
from brat.io.samples import FOLDER
from tests.factories.readings import prediction_of, reading_of
from tools.phantoms import CH2, COLIN, HEADS, SPACING, Cut, cut_slice, make
from tools.samples import SHOWN, WRONG_FROM, held_out_slices, is_read_wrong, largest, pick_wrong, write


def one(number: int, group: str, label: str = "meningioma", side: float = 0.1) -> IndexedSlice:
    file = f"figshare/{label}/{number:04}.jpg"
    boxes = ((0.5, 0.5, side, side),)
    return IndexedSlice(Path(file), file, "figshare", label, True, group, group, 0, boxes=boxes)


def says(label: str, share: float, known: bool = True):
    reading = reading_of(label, known)
    return replace(reading, prediction=prediction_of(label, share))


def test_the_slice_with_the_largest_tumour_of_a_plane_is_shown():
    slices = [
        one(175, "a", side=0.2),
        one(176, "a", side=0.3),
        one(405, "a", side=0.9),
        one(177, "b", side=0.8),
    ]
    assert largest(slices, "a", "axial") is slices[1]
    assert largest(slices, "a", "coronal") is slices[2]


def test_a_slice_whose_plane_nobody_looked_at_is_refused():
    with pytest.raises(ValueError, match="9999"):
        largest([one(9999, "a")], "a", "axial")


def test_every_class_is_shown_twice_and_of_held_out_patients_only():
    assert len({patient for patient, _ in SHOWN}) == len(SHOWN) == 6
    assert {patient for patient, _ in SHOWN} < set(HELD_OUT)
    assert sorted(WRONG_FROM) == sorted(HELD_OUT)


class TestReadWrong:
    def test_another_class_is_wrong_unless_it_was_refused(self):
        assert is_read_wrong("glioma", says("pituitary", 0.6))
        assert not is_read_wrong("glioma", says("glioma", 0.6))
        assert not is_read_wrong("glioma", says("pituitary", 0.6, known=False))
        assert is_read_wrong("glioma", replace(says("pituitary", 0.6), ood=None))

    def test_the_surest_of_the_first_patient_of_whom_one_is_wrong(self):
        first, second, *_ = WRONG_FROM
        right, unsure, sure, refused, surer = (
            *(one(number, first) for number in (36, 37, 38, 39)),
            one(62, second),
        )
        answers = {
            right: says("meningioma", 0.99),
            unsure: says("glioma", 0.5),
            sure: says("pituitary", 0.8),
            refused: says("pituitary", 0.95, known=False),
            surer: says("pituitary", 0.9),
        }
        slices = [surer, right, unsure, sure, refused]
        assert pick_wrong(slices, answers.__getitem__) is sure
        assert pick_wrong([surer, right, refused], answers.__getitem__) is surer

    def test_where_none_is_wrong_none_is_chosen(self):
        slices = [one(36, WRONG_FROM[0]), one(62, WRONG_FROM[1])]
        assert pick_wrong(slices, lambda _: says("meningioma", 0.9)) is None
        assert pick_wrong(slices, lambda _: says("glioma", 0.9, known=False)) is None


def test_an_index_without_the_patients_is_refused(tmp_path):
    index = tmp_path / "index.csv"
    index.write_text(
        "name,file,source,label,tumor,group,cluster,fold,near_fold,boxes\n"
        "a.jpg,a.jpg,figshare,glioma,1,figshare-gln-03,figshare-gln-03,0,,\n"
    )
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="no slices of figshare-gln-06"):
        held_out_slices(index)


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


@pytest.fixture
def volumes():
    pytest.importorskip("nibabel", reason="nibabel is in the test extra")
    pytest.importorskip("nilearn", reason="nilearn is in the test extra")
    if not CH2.is_file():
        pytest.skip(f"no {CH2}: install mricron-data")


@pytest.mark.usefixtures("volumes")
def test_the_shipped_heads_are_what_the_maker_makes(tmp_path):
    shipped = json.loads((FOLDER / "samples.json").read_text(encoding="utf-8"))
    folders = tmp_path / "first", tmp_path / "second"
    for folder in folders:
        folder.mkdir()
        entries = make(folder)
        assert entries == [sample for sample in shipped if not sample["patient"]]
    assert len(entries) == len(HEADS)
    for head in HEADS:
        file = head.name + head.suffix
        first, second = ((folder / file).read_bytes() for folder in folders)
        assert first == second
        if head.suffix == ".nii.gz":
            assert first == (FOLDER / file).read_bytes()
        else:
            made, there = read_scan(first, file).gray.astype(int), read_scan(FOLDER / file).gray
            # Another build of OpenCV may round its interpolation differently.
            assert np.abs(made - there).max() <= 1


@pytest.mark.usefixtures("volumes")
def test_one_command_writes_what_ships_and_removes_what_no_longer_does(data_index, tmp_path):
    (tmp_path / "old.png").write_bytes(b"")
    (tmp_path / "samples.json").write_text('[{"file": "old.png"}]')
    written = write(data_index, WEIGHTS, tmp_path, CH2)
    assert {path.name for path in tmp_path.rglob("*")} == {
        path.name for path in FOLDER.rglob("*") if path.name != "LICENCES.md"
    }
    assert (tmp_path / "samples.json").read_bytes() == (FOLDER / "samples.json").read_bytes()
    for sample, reading in written:
        assert sample["is_read_wrong"] == is_read_wrong(str(sample["label"]), reading)
