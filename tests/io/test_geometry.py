"""How a slice lies in the patient: upright, with square pixels, its edges known or said to be unknown."""

from __future__ import annotations

import itertools

import nibabel
import numpy as np
import pytest

from brat.io.files import File
from brat.io.geometry import cosines_of, turn
from brat.io.intake import group_into_series, load
from brat.io.read import read_scan
from tests.factories.files import slice_of

SPACE = np.array(np.meshgrid(np.arange(70), np.arange(80), np.arange(6), indexing="ij"))
"""x to the left, y to the back, z to the head, as DICOM counts."""

UPRIGHT = {
    "axial": ([1, 0, 0, 0, 1, 0], ("R", "A", "L", "P")),
    "coronal": ([1, 0, 0, 0, 0, -1], ("R", "H", "L", "F")),
    "sagittal": ([0, 1, 0, 0, 0, -1], ("A", "H", "P", "F")),
}
MARKED = np.arange(80 * 70, dtype=np.uint16).reshape(80, 70) % 1000


@pytest.mark.parametrize("plane", UPRIGHT)
@pytest.mark.parametrize("stored", range(8))
def test_however_a_slice_is_stored_it_is_shown_upright(plane, stored):
    cosines, edges = UPRIGHT[plane]
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    pixels = MARKED
    # What a writer does to a picture, it does to the directions.
    if stored & 1:
        pixels, column = pixels[::-1], -column
    if stored & 2:
        pixels, row = pixels[:, ::-1], -row
    if stored & 4:
        pixels, row, column = pixels.T, column, row
    rows, columns = pixels.shape
    data = slice_of(
        0,
        PixelData=pixels.tobytes(),
        Rows=rows,
        Columns=columns,
        ImageOrientationPatient=[*row.tolist(), *column.tolist()],
    )
    scan = read_scan(data)
    np.testing.assert_array_equal(scan.pixels, MARKED)
    assert scan.edges == edges


def test_oblique_slices_lie_along_the_nearest_axes():
    tilted = [0.98, 0.17, 0.1, -0.17, 0.98, 0.05]
    assert turn(tilted).edges == ("R", "A", "L", "P")
    assert not turn(tilted).transpose


def test_a_header_without_directions_leaves_left_and_right_unknown():
    for cosines in (None, [1, 0, 0, 1, 0, 0], [0] * 6, [1, 0, 0]):
        assert read_scan(slice_of(0, ImageOrientationPatient=cosines)).edges is None
    letters = read_scan(slice_of(0, ImageOrientationPatient=None, PatientOrientation=["R", "A"]))
    assert letters.edges == ("R", "A", "L", "P")
    plain = read_scan(slice_of(0)).pixels
    np.testing.assert_array_equal(letters.pixels, plain[::-1, ::-1])
    assert cosines_of(["X", "P"]) == []


@pytest.mark.parametrize(
    ("spacing", "size"), [([1, 0.5], (160, 70)), ([0.5, 1], (80, 140)), ([0.5, 0.5], (80, 70))]
)
def test_pixels_that_are_not_square_are_made_square(spacing, size):
    scan = read_scan(slice_of(0, PixelSpacing=spacing))
    assert scan.gray.shape == scan.pixels.shape == size
    assert scan.spacing == (0.5, 0.5)
    turned = read_scan(slice_of(0, PixelSpacing=spacing, ImageOrientationPatient=[0, 1, 0, 1, 0, 0]))
    assert turned.gray.shape == size[::-1]


def test_aspect_without_lengths():
    scan = read_scan(slice_of(0, PixelAspectRatio=[2, 1]))
    assert scan.gray.shape == (160, 70)
    assert scan.spacing is None


def placed(sform=None, qform=None) -> tuple:
    image = nibabel.Nifti1Image(np.arange(70 * 80 * 6, dtype=np.int16).reshape(70, 80, 6), None)
    image.set_sform(sform, 1 if sform is not None else 0)
    image.set_qform(qform, 1 if qform is not None else 0)
    series = load(group_into_series([File("a.nii", image.to_bytes())])[0])
    return series.remarks, series.stack()[2].edges, series.stack()[2].remarks


def test_sform_and_qform_that_disagree_or_are_neither_are_said():
    mirrored = np.diag([-1.0, 1, 1, 1])
    for remarks in (placed(np.eye(4), mirrored)[0], placed(np.eye(4), mirrored)[2]):
        assert "they disagree" in remarks[0]
    assert placed(np.eye(4), np.eye(4)) == ((), ("R", "A", "L", "P"), ())
    assert placed(np.eye(4)) == placed(None, np.eye(4)) == ((), ("R", "A", "L", "P"), ())
    remarks, edges, of_slice = placed()
    assert "neither sform nor qform" in remarks[0]
    assert of_slice == remarks
    assert edges is None


def test_every_turn_is_its_own():
    directions = [np.array(v) for v in itertools.product((-1, 0, 1), repeat=3) if np.abs(v).sum() == 1]
    turns = [
        turn([*first, *second]) for first in directions for second in directions if not np.dot(first, second)
    ]
    assert len(turns) == 24
    assert all(turns)
    assert len({(t[:3], t.edges) for t in turns}) == 24
