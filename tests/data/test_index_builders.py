"""Indexes are written as they are read; figshare slices come out upright, whole and by patient."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from brat.data.builders import index_figshare, index_folder
from brat.data.index import IndexedSlice, LeakError, fingerprint, read_index, split, write_index


def slice_pixels(seed: int) -> np.ndarray:
    """int16 (96, 80), neither square nor symmetric: values 0 to 4,000 with one hot pixel."""
    pixels = np.random.default_rng(seed).integers(0, 1000, (96, 80)).astype(np.int16)
    pixels[:48, 40:] += 3000
    pixels[0, 0] = 30000
    return pixels


def tumor_mask() -> np.ndarray:
    mask = np.zeros((96, 80), np.uint8)
    mask[12:24, 40:60] = 1
    return mask


def write_mat(path: Path, pixels, mask, label=1, patient="100360") -> Path:
    """A slice as MATLAB 7.3 saves it: HDF5, the dimensions of arrays reversed, text as character codes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        data = file.create_group("cjdata")
        data["image"] = pixels.T
        data["tumorMask"] = mask.T
        data["label"] = np.array([[label]], np.float64)
        data["PID"] = np.array([[ord(character)] for character in patient], np.uint16)
        data["tumorBorder"] = np.array([[40.0, 12.0, 60.0, 24.0]])
    return path


@pytest.fixture
def published(tmp_path) -> Path:
    """Seven patients of two slices, unpacked from two archives, with the authors' folds beside them."""
    root = tmp_path / "published"
    for number in range(1, 15):
        patient = (number - 1) // 2
        write_mat(
            root / f"part{number % 2}" / f"{number}.mat",
            slice_pixels(number),
            tumor_mask(),
            label=1 + patient % 3,
            patient=f"MR{patient:03d}A",
        )
    with h5py.File(root / "cvind.mat", "w") as file:
        file["cvind"] = np.ones((1, 14))
    return root


def test_figshare_slices_are_upright_and_windowed(published, tmp_path):
    slices = index_figshare(published, tmp_path / "out" / "index.csv")
    assert [s.file for s in slices[:3]] == [
        "figshare/meningioma/0001.png",
        "figshare/meningioma/0002.png",
        "figshare/glioma/0003.png",
    ]
    image = cv2.imread(str(slices[0].path), cv2.IMREAD_UNCHANGED)
    pixels = slice_pixels(1).astype(np.float64)
    high = np.percentile(pixels, 99.9)
    expected = np.clip(np.round((pixels - pixels.min()) * 255 / (high - pixels.min())), 0, 255)
    assert image.dtype == np.uint8
    assert image.shape == (96, 80)
    assert np.abs(image - expected).max() <= 1


def test_figshare_negative_values_keep_their_order(tmp_path):
    pixels = slice_pixels(1)
    write_mat(tmp_path / "1.mat", pixels - 2000, tumor_mask())
    write_mat(tmp_path / "2.mat", pixels, tumor_mask())
    shifted, plain = index_figshare(tmp_path, tmp_path / "index.csv")
    assert shifted.path.read_bytes() == plain.path.read_bytes()


def test_figshare_boxes_enclose_each_piece_of_the_mask(tmp_path):
    mask = tumor_mask()
    mask[90:96, 0:8] = 1
    write_mat(tmp_path / "1.mat", slice_pixels(1), mask)
    write_mat(tmp_path / "2.mat", slice_pixels(2), 0 * mask)
    with_two, without = index_figshare(tmp_path, tmp_path / "index.csv")
    assert sorted(with_two.boxes) == [(0.05, 0.96875, 0.1, 0.0625), (0.625, 0.1875, 0.25, 0.125)]
    assert without.boxes == ()


def test_figshare_patients_stay_in_one_fold(published, tmp_path):
    slices = index_figshare(published, tmp_path / "index.csv")
    assert [s.label for s in slices[:6:2]] == ["meningioma", "glioma", "pituitary"]
    folds = {}
    for s in slices:
        assert s.tumor
        folds.setdefault(s.group, set()).add(s.fold)
    assert set(folds) == {f"figshare-patient-MR{k:03d}A" for k in range(7)}
    assert all(len(of) == 1 for of in folds.values())
    assert {s.fold for s in slices} == {0, 1, 2, 3, 4}
    parts = split(slices, 0, 1)
    assert not {s.group for s in parts.train} & {s.group for s in parts.test}


def test_figshare_without_slices(tmp_path):
    with pytest.raises(ValueError, match="Unpack the archives"):
        index_figshare(tmp_path, tmp_path / "index.csv")


def test_figshare_unpacked_twice(published, tmp_path):
    write_mat(published / "again" / "1.mat", slice_pixels(1), tumor_mask())
    with pytest.raises(ValueError, match="15 slices under 14 numbers"):
        index_figshare(published, tmp_path / "index.csv")
    assert not (tmp_path / "index.csv").exists()


def _without(name):
    def break_file(path):
        with h5py.File(path, "a") as file:
            del file["cjdata"][name]

    return break_file


def _with(name, value):
    def break_file(path):
        with h5py.File(path, "a") as file:
            del file["cjdata"][name]
            file["cjdata"][name] = value

    return break_file


@pytest.mark.parametrize(
    "break_file",
    [
        _without("image"),
        _without("tumorMask"),
        _without("PID"),
        _with("label", np.array([[4.0]])),
        _with("label", np.array([[1.0, 2.0]])),
        _with("tumorMask", np.zeros((96, 80), np.uint8)),  # not the image's size, turned
        _with("image", np.zeros((80, 96))),
        _with("image", np.zeros((80, 96), np.int16)),
        _with("PID", np.zeros((0, 1), np.uint16)),
        lambda path: path.write_bytes(b"MATLAB 5.0 MAT-file" + bytes(500)),
        lambda path: path.write_bytes(path.read_bytes()[:2000]),
    ],
)
def test_figshare_files_of_another_kind_are_named(tmp_path, break_file):
    path = write_mat(tmp_path / "7.mat", slice_pixels(7), tumor_mask())
    break_file(path)
    with pytest.raises(ValueError, match=r"7\.mat is not a slice of the figshare collection"):
        index_figshare(tmp_path, tmp_path / "index.csv")


def save_png(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(40, 255, (7, 7)).astype(np.uint8)
    inside = cv2.resize(coarse, (96, 96), interpolation=cv2.INTER_LINEAR)
    assert cv2.imwrite(str(path), cv2.copyMakeBorder(inside, 16, 16, 16, 16, cv2.BORDER_CONSTANT))


@pytest.fixture
def folder(tmp_path) -> Path:
    root = tmp_path / "mine"
    for number, name in enumerate(("glioma_tumor", "Meningioma", "pituitary", "no", "yes")):
        for seed in range(2):
            save_png(root / name / f"{seed}.png", 10 * number + seed)
    save_png(root / "glioma_tumor" / "again.png", 0)
    return root


def test_a_folder_and_its_index_are_read_alike(folder):
    slices = read_index(folder)
    assert index_folder(folder, folder / "index.csv") == slices
    assert read_index(folder / "index.csv") == slices
    assert fingerprint(read_index(folder / "index.csv")) == fingerprint(slices)
    assert {s.source for s in slices} == {"mine"}
    assert len({s.group for s in slices}) == 10
    assert [s.label for s in slices if s.path.parent.name in ("yes", "no")] == ["no_tumor"] * 2 + [""] * 2


def test_an_index_elsewhere_finds_its_files(folder, tmp_path):
    slices = index_folder(folder, tmp_path / "lists" / "index.csv")
    assert all(s.path.is_file() for s in slices)
    assert slices[0].file.startswith("../mine/")


def test_only_a_folder_is_indexed(tmp_path):
    with pytest.raises(ValueError, match="not a folder"):
        index_folder(tmp_path / "absent", tmp_path / "index.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no images in sub-folders"):
        index_folder(tmp_path / "empty", tmp_path / "index.csv")


def test_every_column_survives_the_round_trip(tmp_path):
    plain = IndexedSlice(tmp_path / "a, b.png", "a, b.png", "mine", "glioma", True, "g-1", "c-1", 3)
    slices = [
        plain,
        replace(plain, path=tmp_path / "x/c.png", file="x/c.png", near=frozenset({4, 0})),
        replace(
            plain,
            path=tmp_path / "d.png",
            file="d.png",
            label="",
            boxes=((0.1, 0.2, 1 / 3, 0.4), (0.5, 0.5, 1e-05, 1.0)),
        ),
        replace(plain, path=tmp_path / "é.png", file="é.png", label="no_tumor", tumor=False, fold=0),
    ]
    write_index(slices, tmp_path / "index.csv")
    assert read_index(tmp_path / "index.csv") == slices


def test_the_row_that_owns_a_file_gives_its_label_and_any_row_its_boxes(tmp_path):
    (tmp_path / "index.csv").write_text(
        "name,file,source,label,tumor,group,cluster,fold,near_fold,boxes\n"
        "theirs/1.png,ours/1.png,theirs,pituitary,1,g,c,0,,0.5 0.5 0.1 0.2\n"
        "ours/1.png,ours/1.png,ours,meningioma,1,g,c,0,,\n"
    )
    (one,) = read_index(tmp_path / "index.csv")
    assert (one.label, one.source, one.boxes) == ("meningioma", "ours", ((0.5, 0.5, 0.1, 0.2),))


def test_a_spreadsheets_byte_order_mark_is_read_over(tmp_path):
    slices = [IndexedSlice(tmp_path / "a.png", "a.png", "mine", "glioma", True, "g", "c", 3)]
    write_index(slices, tmp_path / "index.csv")
    text = (tmp_path / "index.csv").read_bytes()
    (tmp_path / "index.csv").write_bytes(b"\xef\xbb\xbf" + text)
    assert read_index(tmp_path / "index.csv") == slices


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("name,file", "name,image", "lacks the columns file"),
        (",glioma,", ",Glioma,", "unknown label 'Glioma'"),
        (",glioma,1,", ",glioma,0,", "labelled 'glioma' but has '0' under tumor"),
        (",3,4,", ",7,4,", "fold that is not one of 0 to 4"),
        (",3,4,", ",,4,", "fold that is not one of 0 to 4"),
        (",3,4,", ",3,four,", "fold that is not one of 0 to 4"),
        (",0.5 0.5 0.1 0.2", ",0.5 0.5 0.1", "box that is not four numbers"),
        (",0.5 0.5 0.1 0.2", ",0.5 0.5 0.1 wide", "box that is not four numbers"),
        (",0.5 0.5 0.1 0.2", "", "not as many columns"),
        (",0.5 0.5 0.1 0.2", ",,", "not as many columns"),
    ],
)
def test_a_wrong_index_says_what_is_wrong(tmp_path, old, new, complaint):
    good = IndexedSlice(
        tmp_path / "a.png",
        "a.png",
        "mine",
        "glioma",
        True,
        "g",
        "c",
        3,
        frozenset({4}),
        ((0.5, 0.5, 0.1, 0.2),),
    )
    write_index([good], tmp_path / "index.csv")
    text = (tmp_path / "index.csv").read_text()
    assert old in text
    (tmp_path / "index.csv").write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=complaint):
        read_index(tmp_path / "index.csv")


def test_one_fold_cannot_both_validate_and_test(folder):
    with pytest.raises(LeakError, match="at once"):
        split(read_index(folder), 1, 1)
