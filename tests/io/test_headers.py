"""Sorting reads headers: a few kilobytes of each file, whatever its size."""

from __future__ import annotations

import gzip
import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from brat.io import files
from brat.io.dicom_header import Header, read_header, transfer_syntax
from brat.io.files import File
from brat.io.intake import Entry, group, group_into_series, load
from brat.io.read import read_scan
from brat.io.samples import load_samples
from tests.factories.files import slice_of

FEW = 20_000
"""Bytes."""


class Counting(io.FileIO):
    """A file that counts what is read from the disk."""

    count = 0

    def readinto(self, buffer) -> int:
        size = super().readinto(buffer)
        Counting.count += size
        return size

    def read(self, size: int = -1) -> bytes:
        content = super().read(size)
        Counting.count += len(content)
        return content

    def readall(self) -> bytes:
        content = super().readall()
        Counting.count += len(content)
        return content


class CountedPath(type(Path())):
    def open(self, mode: str = "r", buffering: int = -1, **options):
        assert mode == "rb"
        return io.BufferedReader(
            Counting(str(self), "rb"), buffering if buffering > 0 else io.DEFAULT_BUFFER_SIZE
        )


@pytest.fixture(autouse=True)
def _counted_from_nothing():
    Counting.count = 0


def large(number: int, size: int, **changes) -> bytes:
    """A slice with `size` bytes of pixels."""
    return slice_of(
        number, Rows=size // 2 // 500, Columns=500, PixelData=bytes([1, 2, 3, 0]) * (size // 4), **changes
    )


@pytest.mark.parametrize("size", [500_000, 50_000_000])
def test_a_few_kilobytes_of_a_file_are_read(tmp_path, size):
    paths = [CountedPath(tmp_path / str(number)) for number in (1, 2)]
    for number, path in enumerate(paths):
        Path(path).write_bytes(large(number, size))
    (item,) = group_into_series(File(path.name, path) for path in paths)
    assert len(item.files) == 2
    assert 0 < Counting.count < 2 * FEW
    if size < 1_000_000:
        assert len(load(item).stack()) == 2
        # The counter counts.
        assert Counting.count > 2 * size


def test_long_private_elements_are_stepped_over(tmp_path):
    dataset = pydicom.dcmread(io.BytesIO(slice_of(1)))
    dataset.add_new(0x00090010, "LO", "MAKER")
    dataset.add_new(0x00091001, "OB", bytes(5_000_000))
    path = CountedPath(tmp_path / "scan")
    dataset.save_as(Path(path))
    others = [File("0", slice_of(0)), File("2", slice_of(2))]
    (item,) = group_into_series([File("1", path), *others])
    assert [file.name for file in item.files] == ["0", "1", "2"]
    assert 0 < Counting.count < FEW


@pytest.mark.parametrize("is_deflated", [False, True])
def test_of_what_is_compressed_as_a_whole_a_little_is_unpacked(tmp_path, monkeypatch, is_deflated):
    """And a small file that unpacks to gigabytes takes neither memory nor time."""
    slices = [large(number, 40_000_000) for number in (1, 2)]
    if is_deflated:
        for number, data in enumerate(slices):
            dataset = pydicom.dcmread(io.BytesIO(data))
            dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
            written = io.BytesIO()
            dataset.save_as(written)
            slices[number] = written.getvalue()
    else:
        slices = [gzip.compress(data, 1) for data in slices]
    paths = [CountedPath(tmp_path / f"{number}.gz") for number in (1, 2)]
    for path, data in zip(paths, slices, strict=True):
        Path(path).write_bytes(data)
    monkeypatch.setattr("zlib.decompress", lambda *_: pytest.fail("all of it was unpacked"))
    (item,) = group_into_series(File(path.name, path) for path in paths)
    assert [file.name for file in item.files] == ["1.gz", "2.gz"]
    assert item.positions == (2.5, 5)


def written_as(syntax: str) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(slice_of(3, PatientID="7", PatientName="A^B", SliceLocation=4.5)))
    if syntax in (JPEG2000Lossless, PRIVATE):
        dataset.PixelData = encapsulate([b"any"])
        dataset["PixelData"].is_undefined_length = True
    is_little, is_implicit = syntax != ExplicitVRBigEndian, syntax == ImplicitVRLittleEndian
    dataset.file_meta.TransferSyntaxUID = syntax
    content = io.BytesIO()
    encoding = {"implicit_vr": is_implicit, "little_endian": is_little, "force_encoding": True}
    pydicom.dcmwrite(content, dataset, **encoding)
    return content.getvalue()


PRIVATE = "1.3.6.1.4.1.5962.300.1"
SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, JPEG2000Lossless, PRIVATE]


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("is_of_message", [False, True], ids=["file", "message"])
def test_a_header_says_the_same_however_it_is_written(syntax, is_of_message):
    data = written_as(syntax)
    if is_of_message:
        # Command Group Length and Message ID, which are implicit whatever the dataset is.
        begin = io.BytesIO(data)
        transfer_syntax(begin)
        command = struct.pack("<HHLLHHLH", 0, 0, 4, 10, 0, 0x110, 2, 1)
        data = data[: begin.tell()] + command + data[begin.tell() :]
    header = read_header(File("slice", data))
    uid = pydicom.dcmread(io.BytesIO(slice_of(3))).SeriesInstanceUID
    assert header.series == (uid, 80, 70)
    assert header.plane == (1, 0, 0, 0, 1, 0)
    assert (header.position, header.location, header.number, header.frames) == (7.5, 4.5, 997, 1)
    assert header.patient == ("7", "A^B")
    assert header.instance


def test_the_elements_of_a_header_are_gone_through_once(monkeypatch):
    """Those of the file and those of the dataset. An archive has ten thousand of them."""
    rounds = []
    go_through = pydicom.filereader.data_element_generator

    def counted(*arguments, **options):
        rounds.append(arguments)
        return go_through(*arguments, **options)

    monkeypatch.setattr("pydicom.filereader.data_element_generator", counted)
    assert read_header(File("slice", slice_of(1))).position == 2.5
    assert len(rounds) == 2


def test_slices_of_a_series_that_is_refused_are_not_compared(monkeypatch):
    compared = []
    is_parallel = Header.is_parallel

    def counted(self, other):
        compared.append(other)
        return is_parallel(self, other)

    monkeypatch.setattr(Header, "is_parallel", counted)
    cosines = [(float(np.cos(a)), float(np.sin(a)), 0.0) for a in np.linspace(0, 3, 2_000)]
    entries = [
        Entry(File(f"{n}.dcm", b""), header=Header(("1.2", 64, 64), (*turned, 0, 0, n), 0, None, n, 1))
        for n, turned in enumerate(cosines)
    ]
    (refused,) = group(entries)
    assert "more directions" in refused.problem
    # 401 directions, each compared with 64 others at most.
    assert 0 < len(compared) < 401 * 66


def test_gzip_on_disk_is_unpacked_within_a_limit_and_damage_is_said(tmp_path, monkeypatch):
    data = gzip.compress(load_samples()[0].file.read_bytes())
    (tmp_path / "scan.png.gz").write_bytes(data)
    (tmp_path / "cut.png.gz").write_bytes(data[:-100])
    good, cut = group_into_series(File(name, tmp_path / name) for name in ("scan.png.gz", "cut.png.gz"))
    np.testing.assert_array_equal(load(good).gray, read_scan(load_samples()[0].file).gray)
    with pytest.raises(ValueError, match="damaged or breaks off"):
        load(cut)
    monkeypatch.setattr(files, "MAX_UNPACKED", 1000)
    with pytest.raises(ValueError, match="unpacks to over"):
        load(good)


def test_a_picture_is_read_without_pydicom_and_nibabel():
    code = (
        "import sys\n"
        "import brat.io.door, brat.io.read, brat.io.folders\n"
        f"brat.io.read.read_scan({str(load_samples()[0].file)!r})\n"
        f"brat.io.door.load_scan({str(load_samples()[0].file)!r})\n"
        "print([name for name in ('pydicom', 'nibabel', 'highdicom') if name in sys.modules])\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert finished.stdout == "[]\n"


def test_modules_of_input_import_one_another_in_one_direction():
    """Those inside functions count: an import that waits for a call is no way round a circle."""
    import ast

    folder = Path(files.__file__).parent
    needs: dict[str, set[str]] = {}
    for path in folder.glob("*.py"):
        needs[path.stem] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == "brat.io":
                needs[path.stem] |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("brat.io."):
                needs[path.stem].add(node.module.split(".")[2])
    assert {"scan", "read", "intake"} <= needs.keys()
    while needs:
        lowest = {name for name, below in needs.items() if not below & needs.keys()}
        assert lowest, f"a circle among {sorted(needs)}"
        needs = {name: below for name, below in needs.items() if name not in lowest}
