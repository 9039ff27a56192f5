"""Folders and DICOMDIR: what is read, what is skipped, and that it is said."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from brat.io.door import listed
from brat.io.files import File
from brat.io.folders import Skipped, files_at, scans_among, scans_in, scans_within, walk
from brat.io.samples import load_samples
from brat.io.scan import UnreadableScan
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
    assert skipped["GONE"] == "DICOMDIR lists it, but it is not there"
    assert "outside" in skipped["secret"]
    assert "outside" in skipped["link"]
    # In a folder its files are found anyway; what is missing is said.
    files, skipped = sorted_out(scans_in(folder))
    assert "DICOMDIR" not in [Path(name).name for name in files]
    assert "GONE" in skipped


def test_a_dicomdir_is_not_taken_apart_in_our_own_process(folder, monkeypatch):
    index = dicomdir(folder / "DICOMDIR", ("a", "IM0001"))
    monkeypatch.setattr("brat.io.dicomdir.pydicom.dcmread", lambda *_, **__: pytest.fail("it was read here"))
    assert sorted_out(files_at(str(index)))[0] == [str(folder / "a" / "IM0001")]
    sorted_out(scans_in(folder))


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


def test_a_pipe_that_never_ends_is_read_to_the_limit(monkeypatch):
    monkeypatch.setattr("brat.io.folders.MAX_UNPACKED", 1_000_000)
    monkeypatch.setattr("brat.io.files.MAX_UNPACKED", 1_000_000)
    (file,) = files_at("/dev/zero")
    assert len(file.source) == 1_000_001
    with pytest.raises(UnreadableScan, match="over 1 MB"):
        file.read()


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


@pytest.fixture
def tree(tmp_path):
    """A folder of scans within the root, and one outside it."""
    root = tmp_path / "root"
    (root / "study" / "deep").mkdir(parents=True)
    (root / "study" / ".hidden").mkdir()
    (root / "study" / "b.png").write_bytes(PICTURE)
    (root / "study" / "deep" / "IM0001").write_bytes(slice_of(1))
    (root / "study" / "deep" / "1.2.840.7").write_bytes(slice_of(2))
    (root / "study" / "deep" / "readme.txt").write_text("not a scan")
    (root / "study" / ".hidden" / "c.png").write_bytes(PICTURE)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.png").write_bytes(PICTURE)
    return root


def test_a_folder_gives_its_scans_and_those_below_it(tree):
    expected = ["study/b.png", "study/deep/1.2.840.7", "study/deep/IM0001"]
    for typed in ("study", " study/ ", str(tree / "study"), "./study/deep/.."):
        files, _ = scans_within(typed, tree)
        assert [file.name for file in files] == expected
        assert all(isinstance(file.source, Path) for file in files)


@pytest.mark.parametrize(
    "typed",
    [
        "../outside",
        "/",
        "/etc",
        "..",
        "nowhere",
        "study/b.png",
        "~",
        "~nobody-of-this-name/x",
        "a\0b",
        "x" * 5000,
    ],
)
def test_outside_the_root_all_is_as_if_it_were_not_there(tree, typed):
    with pytest.raises(UnreadableScan, match="no such folder"):
        scans_within(typed, tree)


def test_no_link_leads_out_of_the_root(tree):
    (tree / "way").symlink_to(tree.parent / "outside")
    (tree / "study" / "link.png").symlink_to(tree.parent / "outside" / "secret.png")
    with pytest.raises(UnreadableScan, match="no such folder"):
        scans_within("way", tree)
    assert not any("link" in file.name or "secret" in file.name for file in scans_within("", tree)[0])


def test_what_is_no_file_is_not_waited_for(tree):
    os.mkfifo(tree / "study" / "pipe")
    os.mkfifo(tree / "study" / "pipe.png")
    assert not any("pipe" in file.name for file in scans_within("study", tree)[0])


def test_an_empty_folder_is_said_to_be_empty(tree):
    (tree / "empty").mkdir()
    with pytest.raises(UnreadableScan, match="no scan in this folder"):
        scans_within("empty", tree)


def test_what_is_skipped_within_the_root_is_named_from_the_folder_on(tree):
    (tree / "study" / "link.png").symlink_to(tree.parent / "outside" / "secret.png")
    _, skipped = scans_within("study", tree)
    assert skipped == [
        Skipped("study/deep/readme.txt", "it is no scan by its name or its content"),
        Skipped("study/link.png", "it is a link out of the folder"),
    ]


def test_a_file_of_a_known_format_that_is_not_read_is_called_by_it(tmp_path):
    (tmp_path / "a.nrrd").write_bytes(b"NRRD0004\n")
    (tmp_path / "b.mgz").write_bytes(gzip.compress(b"\0\0\0\x01\0\0" + bytes(300)))
    (tmp_path / "c.pdf").write_bytes(b"%PDF-1.4")
    _, skipped = sorted_out(scans_in(tmp_path))
    assert skipped == {
        "a.nrrd": "it is an NRRD volume, which is not read here",
        "b.mgz": "it is an MGH volume of FreeSurfer, which is not read here",
        "c.pdf": "it is a PDF document, which is not read here",
    }


def test_an_empty_path_is_not_the_current_folder():
    with pytest.raises(UnreadableScan, match="path is empty"):
        list(files_at(""))


def test_folder_from_a_browser_is_sorted_as_one_on_disk(folder):
    on_disk = [entry for entry in scans_in(folder) if isinstance(entry, File)]
    given = [
        File(path.relative_to(folder.parent).as_posix(), path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    scans, skipped = scans_among(given, listed)
    assert {Path(file.name).name for file in scans} == {Path(file.name).name for file in on_disk}
    reasons = {
        Path(entry.path).name: entry.reason for entry in scans_in(folder) if isinstance(entry, Skipped)
    }
    assert {Path(entry.path).name: entry.reason for entry in skipped}.items() <= reasons.items()
    assert skipped


def test_dicomdir_from_a_browser_names_what_is_missing(tmp_path):
    names = ["DISC/dicom/im1", "DISC/DICOMDIR"]
    index = dicomdir(tmp_path / "DICOMDIR", ("DICOM", "IM1"), ("DICOM", "IM2")).read_bytes()
    scans, skipped = scans_among([File(names[0], slice_of(0)), File(names[1], index)], listed)
    assert [file.name for file in scans] == [names[0]]
    assert skipped == [Skipped("DISC/DICOM/IM2", "DICOMDIR lists it, but it is not there")]
    assert scans_among([File("DISC/DICOMDIR", index[:200])], listed)[1][0].reason == "it lists no files"
