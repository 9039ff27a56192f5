from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from brat.classes import CLASSES
from brat.data.index import (
    FOLDS,
    IndexedSlice,
    LeakError,
    Split,
    count_classes,
    deal_folds,
    fingerprint,
    folder_label,
    image_files,
    read_index,
    read_indexes,
    refuse_leaks,
    split,
    split_source,
    without_near_duplicates,
    write_index,
)
from brat.data.sources import SOURCES

COLUMNS = "name,file,source,label,tumor,group,cluster,fold,near_fold,boxes"


@pytest.fixture
def index(tmp_path, make_head):
    """Ten slices, two a fold; one of them under a second name, with another label and a box."""
    rows = [COLUMNS]
    for number in range(10):
        file = f"a/{number}.png"
        (tmp_path / "a").mkdir(exist_ok=True)
        Image.fromarray(make_head(80, 80, seed=number)).save(tmp_path / file)
        label = ("glioma", "no_tumor")[number % 2]
        near = "1;2" if number == 0 else ""
        rows.append(
            f"{file},{file},a,{label},{int(label == 'glioma')},g{number},c{number},{number // 2},{near},"
        )
    rows.insert(1, "b/x.jpg,a/0.png,a,meningioma,1,g0,c0,0,1;2,0.5 0.4 0.2 0.1;0.1 0.2 0.3 0.4")
    path = tmp_path / "index.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def one(
    number: int, fold: int, near: tuple[int, ...] = (), group: str = "", label: str = "glioma"
) -> IndexedSlice:
    name = f"{number}.png"
    group = group or f"g{number}"
    return IndexedSlice(None, name, "made", label, label != "no_tumor", group, group, fold, frozenset(near))


def rows_of(index) -> list[str]:
    return index.read_text().splitlines()


class TestReadIndex:
    def test_every_image_once(self, index):
        slices = read_index(index)
        assert len(slices) == 10
        assert len({s.file for s in slices}) == 10
        assert all(s.path.is_file() for s in slices)

    def test_label_is_the_owners_and_boxes_are_whoevers(self, index):
        first = next(s for s in read_index(str(index)) if s.file == "a/0.png")
        assert first == IndexedSlice(
            path=index.parent / "a/0.png",
            file="a/0.png",
            source="a",
            label="glioma",
            tumor=True,
            group="g0",
            cluster="c0",
            fold=0,
            near=frozenset({1, 2}),
            boxes=((0.5, 0.4, 0.2, 0.1), (0.1, 0.2, 0.3, 0.4)),
        )

    def test_missing_columns_are_named(self, index):
        index.write_text(index.read_text().replace("cluster", "patient"))
        with pytest.raises(ValueError, match="lacks the columns cluster"):
            read_index(index)

    def test_unknown_label_is_named(self, index):
        index.write_text(index.read_text().replace("no_tumor", "healthy"))
        with pytest.raises(ValueError, match="unknown label 'healthy'"):
            read_index(index)

    @pytest.mark.parametrize(
        ("column", "value"),
        [("fold", "5"), ("fold", "x"), ("near_fold", "9"), ("boxes", "0.1 0.2 0.3"), ("tumor", "2")],
    )
    def test_values_that_mean_nothing_are_refused(self, index, column, value):
        rows = rows_of(index)
        cells = rows[-1].split(",")
        cells[COLUMNS.split(",").index(column)] = value
        index.write_text("\n".join([*rows[:-1], ",".join(cells)]))
        with pytest.raises(ValueError, match=r"a/9\.png"):
            read_index(index)

    def test_a_sequence_is_read_where_the_index_names_it(self, index):
        heading, *rows = rows_of(index)
        assert {s.sequence for s in read_index(index)} == {""}
        index.write_text("\n".join([f"{heading},sequence", *(f"{row},flair" for row in rows)]))
        assert {s.sequence for s in read_index(index)} == {"flair"}
        index.write_text("\n".join([f"{heading},sequence", *(f"{row},dwi" for row in rows)]))
        with pytest.raises(ValueError, match="unknown sequence 'dwi'"):
            read_index(index)

    def test_index_without_rows(self, index):
        index.write_text(COLUMNS + "\n")
        with pytest.raises(ValueError, match="no rows"):
            read_index(index)

    def test_allowed_classes(self):
        assert one(0, 0, label="meningioma").allowed.tolist() == [0, 1, 0, 0]
        assert one(0, 0, label="no_tumor").allowed.tolist() == [0, 0, 0, 1]
        unknown = replace(one(0, 0), label="")
        assert unknown.allowed.tolist() == [1, 1, 1, 0]
        assert unknown.allowed.dtype == np.float32

    def test_counts(self):
        slices = [one(0, 0), one(1, 0), one(2, 0, label="no_tumor"), replace(one(3, 0), label="")]
        assert count_classes(slices) == {
            "glioma": 2,
            "meningioma": 0,
            "pituitary": 0,
            "no_tumor": 1,
            "tumor_of_unknown_class": 1,
        }


def patches(seed: int) -> Image.Image:
    """A round head of large bright and dark patches, 200 x 200; no two seeds correlate above 0.9."""
    patch = np.random.default_rng(seed).uniform(40, 255, (5, 5)).astype(np.uint8)
    inside = Image.fromarray(patch).resize((200, 200), Image.Resampling.BICUBIC)
    rows, columns = np.mgrid[:200, :200]
    mask = np.hypot(rows - 99.5, columns - 99.5) < 85
    return Image.fromarray(np.where(mask, inside, 0).astype(np.uint8))


class TestFolder:
    @pytest.fixture
    def folder(self, tmp_path):
        """Three unlike slices a class; a darker, larger, recompressed copy of the first in another folder."""
        for place, name in enumerate(("glioma_tumor", "meningioma_tumor", "pituitary_tumor", "no_tumor")):
            training, testing = tmp_path / "Training" / name, tmp_path / "Testing" / name
            training.mkdir(parents=True)
            testing.mkdir(parents=True)
            for number in range(3):
                patches(10 * place + number).save(training / f"{number}.png")
            copy = patches(10 * place).point(lambda v: int(v * 0.8)).resize((300, 300))
            copy.save(testing / "copy.jpg", quality=80)
        (tmp_path / "notes.txt").write_text("not a slice")
        return tmp_path

    def test_labels_come_from_the_folders(self, folder):
        slices = read_index(folder)
        assert len(slices) == 16
        assert Counter(s.label for s in slices) == dict.fromkeys(CLASSES, 4)
        assert all(s.tumor == (s.label != "no_tumor") for s in slices)
        assert all(s.source == folder.name for s in slices)
        assert {s.fold for s in slices} <= set(range(FOLDS))

    def test_near_duplicates_share_group_and_fold(self, folder):
        by_file = {s.file: s for s in read_index(folder)}
        copies = [file for file in by_file if file.endswith("copy.jpg")]
        assert len(copies) == 4
        for copy in copies:
            original = by_file[copy.replace("Testing", "Training").replace("copy.jpg", "0.png")]
            assert by_file[copy].group == original.group
            assert by_file[copy].fold == original.fold
        # and only they do
        assert len({s.group for s in by_file.values()}) == 12

    def test_folds_can_be_split(self, folder):
        slices = read_index(folder)
        for fold in range(FOLDS):
            parts = split(slices, fold, None)
            assert not {s.group for s in parts.train} & {s.group for s in parts.test}
            assert len(parts.train) + len(parts.test) == len(slices)

    def test_images_are_files_with_a_suffix_in_any_case(self, tmp_path):
        (tmp_path / "a.png").mkdir()
        for name in ("b.PNG", "c.txt", "a.png/d.Jpeg"):
            (tmp_path / name).touch()
        assert image_files(tmp_path) == [tmp_path / "a.png" / "d.Jpeg", tmp_path / "b.PNG"]

    def test_folder_without_classes(self, tmp_path, make_head):
        (tmp_path / "images").mkdir()
        Image.fromarray(make_head(80, 80)).save(tmp_path / "images" / "0.png")
        with pytest.raises(ValueError, match="sub-folders named after the classes"):
            read_index(tmp_path)


class TestSplit:
    def test_folds_go_to_their_sides(self, index):
        parts = split(read_index(index), test_fold=4, validation_fold=3)
        assert {s.fold for s in parts.test} == {4}
        assert {s.fold for s in parts.validation} == {3}
        assert {s.fold for s in parts.train} == {0, 1, 2}

    def test_without_validation_its_fold_is_trained_on(self, index):
        parts = split(read_index(index), test_fold=4, validation_fold=None)
        assert parts.validation == []
        assert len(parts.train) == 8

    def test_what_lies_near_is_left_out(self):
        slices = [one(n, n) for n in range(5)]
        near_test, near_validation = one(5, 2, near=(0,)), one(6, 3, near=(1,))
        near_both_in_validation = one(7, 1, near=(0,))
        near_in_test = one(8, 0, near=(2,))
        parts = split([*slices, near_test, near_validation, near_both_in_validation, near_in_test], 0, 1)
        assert [s.file for s in parts.train] == ["2.png", "3.png", "4.png"]
        assert [s.file for s in parts.validation] == ["1.png"]
        assert [s.file for s in parts.test] == ["0.png", "8.png"]

    @pytest.mark.parametrize("folds", [(0, 1), (0, 4), (1, 4)])
    def test_group_on_both_sides_is_refused(self, folds):
        slices = [one(n, n) for n in range(5)] + [
            one(10 + n, fold, group="twins") for n, fold in enumerate(folds)
        ]
        with pytest.raises(LeakError, match="twins"):
            split(slices, test_fold=0, validation_fold=1)

    def test_one_fold_cannot_be_both(self):
        with pytest.raises(LeakError):
            split([one(n, n) for n in range(5)], 2, 2)

    def test_patients_can_be_held_out_of_every_fold(self):
        """They are tested on, and nothing else of their folds is lost for training."""
        slices = [one(n, n % 5, group=f"patient-{n // 2}") for n in range(10)]
        slices = [replace(s, fold=int(s.group[-1])) for s in slices]
        parts = split(slices, None, None, held_out=["patient-1", "patient-3"])
        assert [s.group for s in parts.test] == ["patient-1"] * 2 + ["patient-3"] * 2
        assert {s.group for s in parts.train} == {"patient-0", "patient-2", "patient-4"}
        parts = split(slices, 0, 2, held_out=["patient-1", "patient-3"])
        assert {s.group for s in parts.test} == {"patient-0", "patient-1", "patient-3"}
        assert {s.group for s in parts.validation} == {"patient-2"}
        assert {s.group for s in parts.train} == {"patient-4"}

    def test_a_patient_who_is_held_out_takes_no_other_fold_with_them(self):
        """What lies near a whole fold that is held out is left out; near one patient's fold it is not."""
        slices = [one(n, n) for n in range(5)] + [one(5, 3, near=(1,)), one(6, 1, group="patient")]
        parts = split(slices, 0, None, held_out=["patient"])
        assert [s.file for s in parts.train] == ["1.png", "2.png", "3.png", "4.png", "5.png"]
        assert [s.file for s in parts.test] == ["0.png", "6.png"]

    def test_a_group_to_hold_out_must_exist(self):
        with pytest.raises(ValueError, match="no group 'patient'"):
            split([one(n, n) for n in range(5)], 0, None, held_out=["patient"])

    def test_empty_sides_are_refused(self):
        slices = [one(n, n % 2) for n in range(4)]
        with pytest.raises(ValueError, match="leaves 0 slices to train on"):
            split(slices, 0, 1)
        with pytest.raises(ValueError, match="0 to test"):
            split(slices, 3, None)


def loads(folds: list[int]) -> list[int]:
    return [folds.count(fold) for fold in range(FOLDS)]


class TestFolds:
    def test_the_largest_group_is_dealt_first(self):
        folds = deal_folds([*"abcde", *["large"] * 5], ["glioma"] * 10)
        assert loads(folds) == [5, 2, 1, 1, 1]
        assert len(set(folds[5:])) == 1

    def test_each_class_is_dealt_evenly(self):
        labels = ["glioma", "no_tumor", "no_tumor", "no_tumor", "no_tumor"] * 5
        folds = deal_folds(range(25), labels)
        for label, count in (("glioma", 1), ("no_tumor", 4)):
            dealt = [fold for fold, of in zip(folds, labels, strict=True) if of == label]
            assert loads(dealt) == [count] * FOLDS

    def test_where_a_class_is_even_the_emptiest_fold_is_next(self):
        folds = deal_folds(["none"] * 3 + ["glioma"] * 2, ["no_tumor"] * 3 + ["glioma"] * 2)
        assert folds == [0, 0, 0, 1, 1]

    def test_a_group_counts_with_all_its_slices_and_classes(self):
        groups = [*["a"] * 5, *["b"] * 4, *["c"] * 4, *["d"] * 4, *["e"] * 4, "last"]
        labels = ["meningioma", "meningioma", *["glioma"] * 3, *["no_tumor"] * 16, "meningioma"]
        # The first has meningiomas among its gliomas: the last goes elsewhere, though others are as full.
        assert deal_folds(groups, labels) == [*[0] * 5, *[1] * 4, *[2] * 4, *[3] * 4, *[4] * 4, 1]

    def test_a_group_is_dealt_as_what_most_of_it_is(self):
        groups = [*["a"] * 5, *["b"] * 4, *["c"] * 4, *["d"] * 4, *["e"] * 4, *["last"] * 3]
        labels = [*["glioma"] * 5, *["no_tumor"] * 16, "glioma", "no_tumor", "no_tumor"]
        assert deal_folds(groups, labels)[-3:] == [0, 0, 0]


def test_near_duplicates_leave_the_side_that_is_trained_on(tmp_path):
    """Each side has a picture of its own, and a darker copy of one on each side that is held out more."""

    def side(name: str, *seeds: int) -> list[IndexedSlice]:
        slices = []
        for seed in seeds:
            path = tmp_path / f"{name}-{seed}.png"
            patches(seed).point(lambda v: int(v * 0.8) if name != "test" else v).save(path)
            slices.append(replace(one(seed, 0), path=path, file=path.name))
        return slices

    parts = Split(side("train", 1, 4, 5), side("validation", 2, 4, 6), side("test", 3, 5, 6))
    left = without_near_duplicates(parts)
    assert [s.file for s in left.train] == ["train-1.png"]
    assert [s.file for s in left.validation] == ["validation-2.png", "validation-4.png"]
    assert left.test == parts.test


def test_two_indexes_share_neither_a_file_nor_a_group(tmp_path):
    names = {"a": ("1.png", "g1"), "b": ("2.png", "g2"), "c": ("1.png", "g3"), "d": ("3.png", "g1")}
    for name, (file, group) in names.items():
        row = f"{file},{file},made,glioma,1,{group},{group},0,,"
        (tmp_path / f"{name}.csv").write_text(f"{COLUMNS}\n{row}\n")
    first, other, same_file, same_group = (tmp_path / f"{name}.csv" for name in names)
    assert [s.file for s in read_indexes([first, other])] == ["1.png", "2.png"]
    with pytest.raises(ValueError, match=r"c\.csv has the file '1\.png', as another index has"):
        read_indexes([first, other, same_file])
    with pytest.raises(ValueError, match=r"d\.csv has the group 'g1', as another index has"):
        read_indexes([first, same_group])


class TestRefuseLeaks:
    def test_lets_clean_sides_pass(self):
        refuse_leaks([one(0, 0), one(1, 1)], [one(2, 2), one(3, 2, near=(3,))])

    def test_same_file(self):
        with pytest.raises(LeakError, match=r"file.*0\.png"):
            refuse_leaks([one(0, 0)], [replace(one(0, 1), group="other")])

    def test_same_group(self):
        with pytest.raises(LeakError, match=r"group.*patient"):
            refuse_leaks([one(0, 0, group="patient")], [one(1, 1, group="patient")])

    def test_near_fold(self):
        with pytest.raises(LeakError, match=r"0\.png.*near fold 2"):
            refuse_leaks([one(0, 1, near=(2, 4))], [one(1, 2)])
        refuse_leaks([one(0, 1, near=(2, 4))], [one(1, 2)], folds=[3])


def test_what_is_written_is_read_again(index, tmp_path):
    slices = read_index(index)
    slices[1] = replace(slices[1], sequence="t1ce")
    (tmp_path / "other").mkdir()
    write_index(slices, tmp_path / "other" / "index.csv")
    read = read_index(tmp_path / "other" / "index.csv")
    assert [replace(s, path=s.path.resolve(), file="") for s in read] == [replace(s, file="") for s in slices]


@pytest.mark.parametrize(
    ("folders", "label"),
    [
        (("glioma", "no"), "no_tumor"),
        (("no", "2024", "1_Glioma-Tumour"), "glioma"),
        (("MENINGIOMA",), "meningioma"),
        (("notumour",), "no_tumor"),
        (("Healthy",), "no_tumor"),
        (("yes",), ""),
        (("scans",), None),
    ],
)
def test_the_innermost_folder_that_names_a_class_is_the_label(folders, label):
    assert folder_label(folders) == label


class TestFingerprint:
    def test_same_slices_same_print(self, index):
        slices = read_index(index)
        assert fingerprint(slices) == fingerprint(slices[::-1])
        assert len(fingerprint(slices)) == 64

    def test_place_does_not_matter(self, index, tmp_path_factory):
        before = fingerprint(read_index(index))
        elsewhere = tmp_path_factory.mktemp("elsewhere") / "data"
        index.parent.rename(elsewhere)
        assert fingerprint(read_index(elsewhere / index.name)) == before

    @pytest.mark.parametrize(
        "change",
        [{"label": "pituitary"}, {"tumor": False}, {"group": "other"}, {"fold": 3}, {"file": "other.png"}],
    )
    def test_changes_with_what_is_said_of_a_slice(self, index, change):
        slices = read_index(index)
        assert fingerprint([replace(slices[0], **change), *slices[1:]]) != fingerprint(slices)

    def test_changes_with_an_images_content(self, index):
        before = fingerprint(read_index(index))
        path = index.parent / "a/3.png"
        path.write_bytes(path.read_bytes() + b"\0")
        assert fingerprint(read_index(index)) != before

    def test_changes_with_the_number_of_slices(self, index):
        slices = read_index(index)
        assert fingerprint(slices[1:]) != fingerprint(slices)


@pytest.fixture(scope="module")
def slices(data_index):
    return read_index(data_index)


class TestRealSlices:
    def test_index(self, slices):
        assert len({s.file for s in slices}) == len(slices)
        assert {s.label for s in slices} == {"", *CLASSES}
        assert {s.fold for s in slices} == set(range(FOLDS))
        for s in slices:
            assert s.tumor == (s.label != "no_tumor")
            assert s.fold not in s.near
            assert s.cluster
            for x, y, width, height in s.boxes:
                assert 0 < width <= 1
                assert 0 < height <= 1
                assert 0 <= x <= 1
                assert 0 <= y <= 1

    @pytest.mark.parametrize("test_fold", range(FOLDS))
    def test_splits_are_free_of_leaks(self, slices, test_fold):
        validation_fold = (test_fold + 1) % FOLDS
        parts = split(slices, test_fold, validation_fold)
        sides = {"train": parts.train, "validation": parts.validation, "test": parts.test}
        for name, part in sides.items():
            assert {s.label for s in part if s.label} == set(CLASSES), name
        groups = [{s.group for s in part} for part in sides.values()]
        files = [{s.file for s in part} for part in sides.values()]
        for of in (groups, files):
            assert not of[0] & of[1]
            assert not of[0] & of[2]
            assert not of[1] & of[2]
        assert not any(s.near & {test_fold, validation_fold} for s in parts.train)
        assert not any(test_fold in s.near for s in parts.validation)
        assert len(parts.train) > len(parts.test)

    def test_sources(self, slices):
        by_source = Counter(s.source for s in slices)
        assert set(by_source) == set(SOURCES)
        assert all(s.label in CLASSES for s in slices if s.source != "br35h")
        assert all(s.boxes for s in slices if s.source == "figshare")


def test_a_source_is_held_out_with_every_group_that_it_shares():
    slices = [
        replace(one(1, 0, group="a"), source="here"),
        replace(one(2, 1, group="a"), source="elsewhere"),
        replace(one(3, 2, group="b"), source="elsewhere"),
    ]
    parts = split_source(slices, "here")
    assert ([s.file for s in parts.train], [s.file for s in parts.test]) == (["3.png"], ["1.png"])
    assert parts.validation == []
    for alone in ("here", "nowhere"):
        with pytest.raises(ValueError, match="cannot be held out"):
            split_source(slices[:1], alone)
