"""The page of formats: what is read, and with which sentence the rest is refused."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from brat.io.samples import load_samples
from tools.formats import main

PAGE = Path(__file__).parents[2] / "docs" / "formats.md"


def rows(page: str) -> dict[str, tuple[str, str]]:
    """Of each file: what it is, and the answer."""
    cells = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    return {name: (content, answer) for name, content, answer in cells}


def test_a_folder_is_tried_file_by_file(tmp_path, capsys):
    folder = tmp_path / "scans"
    (folder / "deep").mkdir(parents=True)
    dicom = Path(get_testdata_file("MR_small_RLE.dcm")).read_bytes()
    (folder / "a.png").write_bytes(load_samples()[0].file.read_bytes())
    (folder / "b.dcm").write_bytes(dicom)
    other = pydicom.dcmread(io.BytesIO(dicom))
    other.SOPInstanceUID = generate_uid()
    other.ImagePositionPatient[2] += 5
    written = io.BytesIO()
    other.save_as(written)
    (folder / "c.dcm.gz").write_bytes(gzip.compress(written.getvalue()))
    for number in range(3):
        (folder / "deep" / f"{number}|.txt").write_text("words")
    volume = np.indices((70, 80, 90)).sum(axis=0).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), folder / "deep" / "volume.nii.gz")
    with zipfile.ZipFile(folder / "z.zip", "w") as archive:
        archive.writestr("in.mgz", gzip.compress(b"\0\0\0\1" + b"\0\0\0\x50" * 3))
    out = tmp_path / "docs" / "page.md"
    assert main([str(folder), "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"Wrote {out}: 4 of 8 files are read.\n"
    assert printed.err == ""
    page = out.read_text(encoding="utf-8")
    counts, tables = page.split("\n## scans")
    assert "| scans | 8 | 4 | 4 |" in counts
    refused = counts.split("| Refused because | Files |")[1].splitlines()[2:]
    assert [row.rsplit(" | ", 1)[1] for row in refused if row] == ["3 |", "1 |"]
    table = rows(tables)
    assert table["`b.dcm`"] == ("DICOM, RLE Lossless", "DICOM MR, 16-bit, T2, 64 x 64, window 600 / 1600")
    assert table["`c.dcm.gz`"] == ("DICOM, RLE Lossless, packed", table["`b.dcm`"][1])
    assert table["`b.dcm … c.dcm.gz`"][1].startswith("DICOM MR, 16-bit, T2, 2 slices, 64 x 64")
    assert table["`a.png`"][0] == "a .png file"
    content, answer = table["`deep/volume.nii.gz`"]
    assert content == "NIfTI"
    assert answer.startswith("NIfTI, 70 x 80 x 90, 90 axial, 80 coronal, 70 sagittal, window 11")
    content, answer = table["`z.zip/in.mgz`"]
    assert content == "an MGH volume of FreeSurfer, packed"
    assert "Convert it to NIfTI" in answer
    content, answer = table[r"`deep/0\|.txt` to `2\|.txt` (3 files)"]
    assert content == "a .txt file"
    assert answer.startswith("*This is not an image")
    assert answer.endswith("*")


def test_no_such_folder(tmp_path, capsys):
    assert main([str(tmp_path / "none"), "--out", str(tmp_path / "page.md")]) == 2
    assert "There is no folder" in capsys.readouterr().err
    assert not (tmp_path / "page.md").exists()


def test_what_the_packages_carry_is_tried(tmp_path, capsys):
    assert main(["--out", str(tmp_path / "page.md")]) == 0
    assert capsys.readouterr().err == ""
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    table = rows(page)
    assert table["`data/test_files/MR_small.dcm`"][1] == "DICOM MR, 16-bit, T2, 64 x 64, window 600 / 1600"
    assert "nibabel" in page
    assert "`693_UNCR.dcm`" in page.split("## Not tried")[1]
    assert not any(name.endswith(".py`") for name in table)


@pytest.mark.parametrize("package", ["pydicom", "nibabel", "nilearn"])
def test_the_page_that_ships_has_its_tables(package):
    page = PAGE.read_text(encoding="utf-8")
    part = page.split(f"\n## {package} ")[1].split("\n## ")[0]
    assert "| File | What it is | Read as, or why it is refused |" in part
    table = rows(part)
    assert any(answer.startswith(("DICOM", "NIfTI")) for _, answer in table.values())
    # A refusal is a sentence, and says what to do or what it is.
    assert all(answer.endswith(".*") for _, answer in table.values() if answer.startswith("*"))
    assert "Traceback" not in page
    assert "GPL" in page
