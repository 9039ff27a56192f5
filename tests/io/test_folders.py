"""Folders and DICOMDIR: what is read, what is skipped, and that it is said."""

from __future__ import annotations

import os
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from brat.io.files import File
from brat.io.folders import Skipped, files_at, scans_in, walk
from brat.io.samples import load_samples
from tests.factories.files import slice_of

PICTURE = load_samples()[0].file.read_bytes()


def sorted_out(entries) -> tuple[list[str], dict[str, str]]:
    """The names of the files, and the reason of each that is skipped."""
    entries = list(entries)
    skipped = {Path(entry.path).name: entry.reason for entry in entries if isinstance(entry, Skipped)}
    return [entry.name for entry in entries if isinstance(entry, File)], skipped


@pytest.fixture
def folder(tmp_path):
    top = tmp_path / "scans"
    for name, content in {
        "b.png": PICTURE,
        "a/IM0001": slice_of(1),
        "a/IM0002.v2": slice_of(2),
        "a.gz": PICTURE,
        "c/picture": PICTURE,
        "c/words.png": b"words",
        "c/words.txt": b"words",
        "c/empty": b"",
        "c/Thumbs.db": b"x",
        "c/.hidden.png": PICTURE,
        ".hidden/d.png": PICTURE,
        "__MACOSX/e.png": PICTURE,
    }.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(content)
    return top


def test_scans_are_found_by_name_and_content_and_the_rest_is_named(folder):
    files, skipped = sorted_out(scans_in(folder))
    names = ["a/IM0001", "a/IM0002.v2", "a.gz", "b.png", "c/picture", "c/words.png"]
    assert files == [str(folder / name) for name in names]
    assert set(skipped) == {"words.txt", "empty"}
    assert skipped["words.txt"] == "it is no scan by its name or its content"


def test_files_come_in_the_order_of_their_paths(folder):
    paths = [path for path in walk(folder) if isinstance(path, Path)]
    assert paths == sorted(paths)
    assert len(paths) == 8


def test_links_are_not_followed_out_of_the_folder_nor_in_a_circle(folder, tmp_path):
    (tmp_path / "secret.png").write_bytes(PICTURE)
    (folder / "out.png").symlink_to(tmp_path / "secret.png")
    (folder / "within.png").symlink_to(folder / "b.png")
    (folder / "circle").symlink_to(folder)
    (folder / "nowhere.png").symlink_to(folder / "gone.png")
    files, skipped = sorted_out(scans_in(folder))
    assert not any("secret" in name or "out.png" in name or "circle" in name for name in files)
    assert str(folder / "within.png") in files
    assert skipped["out.png"] == "it is a link out of the folder"
    assert skipped["circle"] == "it is a link to a folder"
    assert "nowhere.png" in skipped
    assert str(folder / "out.png") in sorted_out(scans_in(folder, root=tmp_path))[0]


def test_a_pipe_in_a_folder_is_not_waited_for(folder):
    os.mkfifo(folder / "pipe.png")
    assert sorted_out(scans_in(folder))[1]["pipe.png"] == "it is no file"


def test_a_folder_that_may_not_be_read_is_named(folder, monkeypatch):
    # Root may read everything, so that the system would not refuse it.
    def scandir(path):
        if Path(path).name == "c":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    listed = os.scandir
    monkeypatch.setattr(os, "scandir", scandir)
    files, skipped = sorted_out(scans_in(folder))
    assert len(files) == 4
    assert skipped["c"] == "the folder could not be opened (Permission denied)"


def dicomdir(path: Path, *files: tuple[str, ...]) -> Path:
    """An index of files, whose records point at themselves: to follow them would never end."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    records = []
    for parts in files:
        record = Dataset()
        record.OffsetOfTheNextDirectoryRecord = 400
        record.DirectoryRecordType = "IMAGE"
        with pydicom.config.disable_value_validation():
            record.ReferencedFileID = list(parts)
        records.append(record)
    dataset.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = 400
    dataset.DirectoryRecordSequence = records
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_a_dicomdir_stands_for_the_files_in_its_folder(folder, tmp_path):
    (tmp_path / "secret").write_bytes(slice_of(9))
    (folder / "a" / "link").symlink_to(tmp_path / "secret")
    index = dicomdir(
        folder / "DICOMDIR",
        ("a", "IM0001"),
        ("A", "IM0002.V2"),
        ("a", "IM0001"),
        ("a", "GONE"),
        ("..", "secret"),
        ("", str(tmp_path / "secret")),
        ("a", "link"),
        ("a", "nu\0ll"),
    )
    (folder / "A").mkdir()
    (folder / "A" / "IM0002.V2").write_bytes(slice_of(2))
    files, skipped = sorted_out(files_at(str(index)))
    assert files == [str(folder / "a" / "IM0001"), str(folder / "A" / "IM0002.V2")]
    assert skipped["GONE"] == f"{index} lists it, but it is not there"
    assert "outside" in skipped["secret"]
    assert "outside" in skipped["link"]
    # In a folder its files are found anyway; what is missing is said.
    files, skipped = sorted_out(scans_in(folder))
    assert "DICOMDIR" not in [Path(name).name for name in files]
    assert "GONE" in skipped


def test_names_in_lower_case_are_those_that_a_dicomdir_lists(folder):
    (folder / "a" / "im0003").write_bytes(slice_of(3))
    index = dicomdir(folder / "dicomdir", ("A", "IM0003"))
    assert sorted_out(files_at(str(index))) == ([str(folder / "a" / "im0003")], {})


def test_a_real_dicomdir():
    index = Path(get_testdata_file("dicomdirtests/DICOMDIR"))
    files, skipped = sorted_out(files_at(str(index)))
    assert len(files) == 31
    assert skipped == {}
    assert str(index.parent / "77654033" / "CR1" / "6154") in files


@pytest.mark.parametrize("content", [b"", b"nothing", slice_of(1)[:300]])
def test_a_damaged_dicomdir_is_named(tmp_path, content):
    (tmp_path / "DICOMDIR").write_bytes(content)
    files, skipped = sorted_out(files_at(str(tmp_path / "DICOMDIR")))
    assert files == []
    assert "damaged" in skipped["DICOMDIR"] or skipped["DICOMDIR"] == "it lists no files"


def test_a_pipe_that_is_given_is_read_once(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    import threading

    writer = threading.Thread(target=pipe.write_bytes, args=(PICTURE,))
    writer.start()
    (file,) = files_at(str(pipe))
    writer.join()
    assert file.read() == PICTURE
    assert file.read(4) == PICTURE[:4]
