"""Files that other programs show wrongly, and slices exported in many ways: what is said of each is true."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from brat.io.files import File
from brat.io.intake import SeveralPanels, group_into_series, load
from brat.io.scan import UnreadableScan
from tests.factories.heads import synthetic_head
from tests.factories.paths import ROOT
from tools import cases, exports

SAID = {
    "Four slices on one picture": "4 slices, listed",
    "A small slice in the corner of another": "smaller picture lies in a corner",
    "TIFF of 20 pages (pytiff #11, aleph #20)": "20 pages",
    "Pixels of two frames where the header names one (pydicom #2035)": "names 1 frame and holds 2",
    "A mosaic in each picture of a series": "9 slices beside each other",
    "Three copies of each slice (rt-utils #122, dcm2niix #837)": "6 files are copies",
    "Values modulo 256": "ran over",
    "A window of one shade (fo-dicom #752, #1999, cornerstone #45)": "hardly anything is to be seen",
    "A VOI LUT of zeros": "VOI LUT",
    "Pixels twice as high as wide (cornerstone #110, fo-dicom #766)": "200 x 400",
    "sform and qform that disagree (mrtrix3 #94, fmriprep #2281)": "they disagree",
    "Neither sform nor qform": "left and right of the patient are not known",
    "CT": "no MR",
    "Diffusion": "not measured on",
    "A header without Photometric Interpretation (VinDr #3)": "lacks Photometric Interpretation",
    "A transfer syntax that does not fit (OHIF #372)": "transfer syntax does not fit",
    "A rescale intercept of NaN": "no number",
    "A rescale slope of 1e38": "far too large or small",
    "Bytes that lie the other way round than the header says": "the other way round",
    "PDF": "save the page that shows it as PNG",
    ".nii.gz of several gzip members (zlib #984)": "NIfTI, 200 x 200 x 8",
    "JPEG without its last two bytes": "Its picture is whole",
    "JPEG without its last 500 bytes": "breaks off",
}


@pytest.mark.parametrize("name", cases.CASES)
def test_a_case_is_answered(name):
    answers = cases.answers(cases.CASES[name](), lambda opened: opened.format + f", {_size(opened)}")
    assert SAID.get(name, "") in answers[0]
    assert len(answers) == (2 if name.startswith("Two patients") else 1)


def _size(opened) -> str:
    return f"{opened.width} x {opened.height}" if hasattr(opened, "gray") else ""


def test_every_expectation_is_of_a_case():
    assert set(SAID) <= set(cases.CASES)


def test_page_that_ships_has_every_case():
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    part = page.split("\n## Cases\n")[1].split("\n## ")[0]
    assert [line.split(" | ")[0][2:] for line in part.splitlines() if line.startswith("| ")][2:] == list(
        cases.CASES
    )
    exported = page.split("\n## Exports\n")[1].split("\n## ")[0]
    assert all(f"| {name} |" in exported for name in exports.KINDS)


@pytest.mark.parametrize("name", exports.KINDS)
def test_a_slice_is_exported(name):
    gray = synthetic_head(256, 240)
    data = exports.KINDS[name][1](gray, lambda: synthetic_head(256, 240, seed=3))
    try:
        opened = load(group_into_series([File("x", data)])[0])
    except SeveralPanels:
        assert "page" in name or "sheet" in name or "mosaic" in name
    except UnreadableScan:
        refused = name
        assert any(word in refused for word in ("modulo", "inset", "thumbnail"))
    else:
        assert "page" not in name or "TIFF" in name
        assert len(opened.remarks) == (
            name
            in ("DICOM, window of one shade", "DICOM, window of width 0", "JPEG without its last two bytes")
        )


def test_dicom_exports_are_shown_as_the_slice():
    gray = synthetic_head(256, 240)
    for name in (
        "DICOM without a window",
        "DICOM, overlay in the high bits",
        "DICOM, stored upside down",
        "DICOM, rows stored as columns",
        "DICOM, MONOCHROME1",
    ):
        scan = load(group_into_series([File("x", exports.KINDS[name][1](gray, lambda: gray))])[0])
        assert scan.gray.shape == gray.shape
        # Black is the lowest value, and white the 99.9th percentile.
        assert np.corrcoef(scan.gray.ravel(), gray.ravel())[0, 1] > 0.98, name


@pytest.mark.parametrize(
    ("label", "confidence", "known", "expected"),
    [
        ("glioma", 0.5, True, "same"),
        ("meningioma", 0.7, True, "unsure"),
        ("meningioma", 0.9, True, "wrong"),
        ("meningioma", 0.9, False, "refused"),
    ],
)
def test_outcomes(label, confidence, known, expected):
    reading = SimpleNamespace(
        prediction=SimpleNamespace(label=label, confidence=confidence),
        ood=SimpleNamespace(in_distribution=known),
    )
    reader = SimpleNamespace(read=lambda gray: reading)
    gray = synthetic_head(256, 240)
    assert exports.outcome(exports._png(gray), "glioma", reader) == expected
    warned = exports.dicom(exports._deep(gray), BodyPartExamined="KNEE")
    assert exports.outcome(warned, "glioma", reader) == ("warned" if expected == "wrong" else expected)
    assert exports.outcome(b"words", "glioma", reader) == "refused"


def test_table_sums_up():
    table = exports.table(
        {
            "inverted": Counter(wrong=2, same=1),
            "ruler": Counter(refused=2, listed=1),
            "page, 2 x 2": Counter(listed=4),
        }
    )
    assert "| all 10 | 1 | 0 | 2 | 5 | 0 | 2 |" in table
    assert "Of the 3 that a clinician would call readable 2 are refused, and 1 taken for pages" in table
