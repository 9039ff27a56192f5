"""A site's labels: from folders, archives and tables, and its patients from tables, headers and names."""

import codecs

import numpy as np
import pytest

from brat.classes import CLASSES
from brat.data.index import class_named
from brat.data.labelled import LabelledFile, Row, labelled, labelled_path, open_slice, read_table
from brat.io.files import File
from brat.io.folders import Skipped
from brat.io.scan import UnreadableScan
from tests.factories.files import slice_of, volume, zipped
from tests.factories.heads import synthetic_head
from tests.factories.indexes import index_of_blobs
from tests.factories.pages import png

HEAD = png(synthetic_head(96, 96))


def folder_of(tmp_path, files: dict[str, bytes]):
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path


def parted(entries) -> tuple[list[LabelledFile], list[Skipped]]:
    entries = list(entries)
    return (
        [one for one in entries if isinstance(one, LabelledFile)],
        [one for one in entries if isinstance(one, Skipped)],
    )


@pytest.mark.parametrize(
    ("word", "label"),
    [
        *((name, name) for name in CLASSES),
        ("Pituitary tumour", "pituitary"),
        ("no tumor", "no_tumor"),
        ("Healthy", "no_tumor"),
        ("tumour", ""),
        ("yes", ""),
        ("metastasis", None),
    ],
)
def test_words_stand_for_classes(word, label):
    assert class_named(word) == label


def test_folders_name_the_classes(tmp_path):
    folder = folder_of(
        tmp_path,
        {"glioma/a.png": HEAD, "Train/no_tumor/b.png": HEAD, "tumour/c.png": HEAD, "other/d.png": HEAD},
    )
    files, skipped = parted(labelled_path(folder))
    assert {(file.name, file.label) for file in files} == {
        ("glioma/a.png", "glioma"),
        ("Train/no_tumor/b.png", "no_tumor"),
        ("tumour/c.png", ""),
    }
    assert [entry.path for entry in skipped] == ["other/d.png"]
    assert "no folder above it is named after a class" in skipped[0].reason


def test_what_lies_above_the_folder_names_no_class(tmp_path):
    folder = folder_of(tmp_path / "glioma" / "mine", {"a.png": HEAD, "no/b.png": HEAD})
    files, skipped = parted(labelled_path(folder))
    assert [(file.name, file.label) for file in files] == [("no/b.png", "no_tumor")]
    assert [entry.path for entry in skipped] == ["a.png"]


def test_an_archive_is_as_its_folders(tmp_path):
    path = tmp_path / "site.zip"
    path.write_bytes(zipped({"glioma/a.png": HEAD, "no/b.dcm": slice_of(3, PatientID="7")}))
    files, _ = parted(labelled_path(path))
    assert [(file.label, file.patient) for file in files] == [("glioma", ""), ("no_tumor", "header 7")]
    assert open_slice(files[1].item).modality == "MR"


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("glioma/sub-01_T1.png", "name 01"),
        ("glioma/patient_007-3.png", "name 007"),
        ("no/P012/3.png", "folder P012"),
        ("no/TCGA_DU_5855_1996.png", "name tcga_du_5855"),
        ("no/TCGA-DU-5855.png", "name tcga-du-5855"),
        ("glioma/0001.png", ""),
        ("glioma/images/3.png", ""),
        ("tumour/pathology_3.png", ""),
        ("tumour/patient_slice3.png", ""),
    ],
)
def test_names_tell_the_patient(name, patient):
    (file,) = labelled([File(name, HEAD)])
    assert isinstance(file, LabelledFile)
    assert file.patient == patient


def test_slices_of_one_series_stay_apart_and_the_header_names_the_patient():
    given = [File(f"glioma/patient_3_{n}.dcm", slice_of(n, PatientID="JANE")) for n in range(2)]
    files, _ = parted(labelled(given))
    assert [file.patient for file in files] == ["header JANE"] * 2
    assert open_slice(files[0].item).gray.shape == (80, 70)


def test_a_volume_needs_a_label_for_each_slice():
    files, skipped = parted(labelled([File("glioma/a.nii", volume())]))
    assert not files
    assert "export them one by one" in skipped[0].reason


def test_what_is_damaged_says_so_when_it_is_opened():
    (file,) = labelled([File("glioma/a.png", HEAD[:200])])
    assert isinstance(file, LabelledFile)
    with pytest.raises(UnreadableScan, match="damaged"):
        open_slice(file.item)


def test_a_table_gives_label_and_patient(tmp_path):
    folder = folder_of(tmp_path, {"scans/a.png": HEAD, "scans/b.png": HEAD})
    table = folder / "labels.csv"
    table.write_text("Name;Label;Patient\nscans/a.png;Tumour;7\nscans\\b.png;none;\nscans/c.png;glioma;\n")
    files, skipped = parted(labelled_path(table))
    assert [(file.name, file.label, file.patient) for file in files] == [
        ("scans/a.png", "", "table 7"),
        ("scans/b.png", "no_tumor", ""),
    ]
    assert [entry.path for entry in skipped] == ["scans/c.png"]
    assert "no file at this path" in skipped[0].reason


def test_an_index_is_such_a_table(tmp_path):
    files, skipped = parted(labelled_path(index_of_blobs(tmp_path)))
    assert not skipped
    assert len(files) == 20
    assert {file.label for file in files} == {*CLASSES, ""}
    assert files[0].patient == "table glioma-0.png"


def test_a_table_finds_files_that_were_dropped_with_a_folder():
    table = read_table(b"name,label\na.png,glioma\nd.png,no\n", "t.csv")
    files, skipped = parted(labelled([File("drop/a.png", HEAD), File("drop/b.png", HEAD)], table))
    assert [(file.name, file.label) for file in files] == [("drop/a.png", "glioma")]
    assert [(entry.path, entry.reason) for entry in skipped] == [
        ("drop/b.png", "no row of the table names it"),
        ("d.png", "the table names it, but it is not among the files"),
    ]


def test_a_row_that_fits_two_files_is_refused():
    table = read_table(b"name,label\na.png,glioma\n", "t.csv")
    with pytest.raises(ValueError, match="fits two files"):
        list(labelled([File("x/a.png", HEAD), File("y/a.png", HEAD)], table))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"name,label\na.png,metastasis\n", "Line 2 of t.csv has the label 'metastasis'"),
        (b"name,label\n,glioma\n", "Line 2 of t.csv has no name"),
        (b"name,label\na.png,\n", "has the label ''"),
        (b"name,kind\na.png,glioma\n", "lacks a column"),
        (b"name,label\na.png,glioma\na.png,no\n", "another label"),
        (b"name,label\n", "has no rows"),
        (b"", "lacks a column"),
        ("name,label\nä.png,no\n".encode("utf-16-le"), "UTF-8"),
        (codecs.BOM_UTF16_LE + b"n", "UTF-8"),
        (b"name,label\n\x81.png,no\n", "UTF-8"),
        (b'name,label\n"a.png,no\n' + b"b.png,no\n" * 20_000, "Line .* cannot be read: a quotation mark"),
    ],
)
def test_a_table_that_is_not_valid_says_what_to_change(content, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_table(content, "t.csv")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("parted_by", [",", ";", "\t"])
def test_a_table_is_read_as_spreadsheets_save_it(encoding, parted_by):
    lines = ("Name,Label,Patient", "Müller/ä.png,glioma,é 1", "b.png,no,")
    table = "\r\n".join(lines).replace(",", parted_by) + "\r\n"
    assert read_table(table.encode(encoding), "t.csv") == {
        "Müller/ä.png": Row("glioma", "table é 1"),
        "b.png": Row("no_tumor", ""),
    }


@pytest.mark.parametrize(
    "content",
    [codecs.BOM_UTF16_BE + "name,label\nä.png,no\n".encode("utf-16-be"), b"name,label\n\xe4.png,no\n"],
)
def test_a_table_in_another_encoding_finds_its_files(content):
    (file,) = labelled([File("ä.png", HEAD)], read_table(content, "t.csv"))
    assert (file.name, file.label) == ("ä.png", "no_tumor")


@pytest.mark.parametrize("content", [b"", b"hello", zipped({"glioma/a.png": HEAD})[:200]])
def test_what_is_no_archive_says_so_and_not_that_a_folder_is_missing(tmp_path, content):
    path = tmp_path / "site.zip"
    path.write_bytes(content)
    (entry,) = labelled_path(path)
    assert "archive" in entry.reason
    assert "folder" not in entry.reason


def test_nothing_at_the_path_is_said(tmp_path):
    with pytest.raises(ValueError, match="There is nothing at"):
        labelled_path(tmp_path / "none")


def test_one_shade_is_no_slice():
    (file,) = labelled([File("glioma/a.png", png(np.zeros((96, 96), np.uint8)))])
    assert isinstance(file, LabelledFile)
    with pytest.raises(UnreadableScan, match="black all over"):
        open_slice(file.item)
