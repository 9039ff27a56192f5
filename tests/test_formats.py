"""The table of what is read is what the command writes, and says of each file what is true of it."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("nilearn")

from brat.cli import main
from brat.formats import PACKAGES, shipped

KEPT = Path(__file__).resolve().parent.parent / "docs" / "formats.md"


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    out = tmp_path_factory.mktemp("formats") / "formats.md"
    assert main(["formats", "--out", str(out)]) == 0
    return out.read_text()


def versions(page: str) -> str:
    return next(line for line in page.splitlines() if line.startswith("Every file"))


def test_the_page_that_is_kept_is_up_to_date(page):
    kept = KEPT.read_text()
    if versions(kept) != versions(page):
        pytest.skip("made with other versions of the packages")
    assert kept == page


def row(page: str, name: str) -> str:
    (found,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
    return found


def test_what_is_read_and_what_is_not(page):
    assert "DICOM NM, 12-bit: 256 x 1024" in row(page, "data/test_files/JPGExtended.dcm")
    assert "30 of 320 x 240 acquired" in row(page, "data/test_files/examples_ybr_color.dcm")
    assert "233 of 197 x 189 coronal" in row(
        page, "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
    )
    refused = next(line for line in page.splitlines() if "6 dimensions" in line)
    assert "row_major.dconn.nii" in refused
    assert "`emri_small.dcm`" in page.partition("## Not tried")[2]


def test_every_file_is_counted(page):
    files = {package: len(list(shipped(package))) for package in PACKAGES}
    assert f"**{sum(files.values())} files:" in page
    for package, count in files.items():
        assert f"| {package} | {count} |" in page
