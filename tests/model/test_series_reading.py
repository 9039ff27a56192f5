"""What the slices of a series say together, and what they do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from brat.io.files import File
from brat.io.intake import group_into_series, load
from brat.io.read import read_scan
from brat.io.samples import load_samples
from brat.io.scan import Scan, UnreadableScan
from brat.io.series import Stack
from brat.model.pool import Readers
from brat.model.reader import Reader
from brat.model.series_reading import (
    NOTHING,
    Run,
    SeriesReading,
    SliceReading,
    read_stack,
    said_of_slices,
    spans,
)
from pages.words import series as words
from tests.factories.readings import (
    GLIOMA,
    MENINGIOMA,
    NONE,
    READING,
    REFUSED,
    UNREAD,
    prediction_of,
    scan_of,
    slice_reading,
)
from tools.phantoms import CH2


def test_the_slice_to_look_at_first_is_in_the_longest_run():
    alone, strongest = slice_reading("glioma", 0.99), slice_reading("meningioma", 0.85)
    reading = SeriesReading((NONE, alone, NONE, NONE, MENINGIOMA, MENINGIOMA, strongest, NONE))
    assert reading.most_suspicious == 6
    # A slice out of distribution is in no run.
    assert SeriesReading((REFUSED, REFUSED, REFUSED, NONE, alone, NONE)).most_suspicious == 4
    # A shorter run of likelier slices does not outweigh it.
    assert SeriesReading((strongest, *[MENINGIOMA] * 2, NONE, NONE, alone, alone)).most_suspicious == 0


def test_without_a_tumour_it_is_where_one_is_least_unlikely():
    weak, weaker = slice_reading("no_tumor", 0.6), slice_reading("no_tumor", 0.7)
    assert SeriesReading((REFUSED, weaker, weak, NONE)).most_suspicious == 2


def test_where_the_gate_refuses_all_it_is_the_middle():
    weak = slice_reading("glioma", 0.5, known=False)
    reading = SeriesReading((REFUSED, weak, weak, UNREAD, UNREAD))
    assert reading.most_suspicious == 1
    assert reading.leading is None
    assert SeriesReading((UNREAD, UNREAD, UNREAD)).most_suspicious == 1


def test_the_rule_picks_out_runs_of_any_tumour():
    """Two classes may share a run; a slice out of distribution, unread, or not likely enough ends it."""
    reading = SeriesReading(
        (GLIOMA, MENINGIOMA, NONE, NONE, *[slice_reading("glioma", 0.6)] * 3, REFUSED, GLIOMA, UNREAD, GLIOMA)
    )
    assert reading.suspicious == (range(4, 7), range(2))
    assert SeriesReading((GLIOMA,) * 2).suspicious == (range(2),)
    assert SeriesReading((NONE, GLIOMA, NONE)).suspicious == ()
    above, below = slice_reading("no_tumor", 0.44), slice_reading("no_tumor", 0.46)
    assert SeriesReading((above, above, below, below)).suspicious == (range(2),)
    assert SeriesReading((NONE,)).suspicious == ()
    # Three small shares of a tumour add up, in two slices that are each read as none.
    divided = slice_reading("no_tumor", 0.4)
    assert SeriesReading((divided, divided)).suspicious == (range(2),)


def test_where_slices_lie():
    reading = SeriesReading((GLIOMA,) * 4 + (NONE,), (0, 3, 6, 9, 15))
    assert reading.length(reading.longest("glioma")) == 9
    assert reading.gaps == (3,)
    assert SeriesReading((GLIOMA,) * 3, (0, 3, 6)).gaps == ()
    # A wide gap does not hide a narrow one, nor is half a step more a gap.
    assert SeriesReading((NONE,) * 6, (0, 3, 6, 9, 15, 45)).gaps == (3, 4)
    assert SeriesReading((NONE,) * 4, (0, 2, 4, 7)).gaps == ()
    downwards = SeriesReading((GLIOMA,) * 4, (12, 9, 6, 0))
    assert (downwards.gaps, downwards.length(downwards.runs[0])) == ((2,), 12)
    nowhere = SeriesReading((GLIOMA, GLIOMA))
    assert (nowhere.gaps, nowhere.length(nowhere.runs[0])) == ((), None)
    assert SeriesReading((GLIOMA,), (0,)).gaps == ()


def test_runs_are_neighbours_with_one_answer():
    strongest = slice_reading("glioma", 0.97)
    reading = SeriesReading((NONE, GLIOMA, strongest, GLIOMA, UNREAD, GLIOMA, REFUSED, MENINGIOMA, NONE))
    assert reading.runs == (
        Run("no_tumor", 0, 0, 0),
        Run("glioma", 1, 3, 2),
        Run("glioma", 5, 5, 5),
        Run("meningioma", 7, 7, 7),
        Run("no_tumor", 8, 8, 8),
    )
    assert reading.longest("glioma") == Run("glioma", 1, 3, 2)
    assert reading.longest("pituitary") is None
    assert (reading.count("glioma"), reading.count("pituitary")) == (4, 0)
    assert reading.with_tumour == 5
    # Of equals the one with the likeliest slice.
    assert SeriesReading((GLIOMA, NONE, strongest)).longest("glioma") == Run("glioma", 2, 2, 2)
    assert (reading.known, reading.refused, reading.unread) == ((0, 1, 2, 3, 5, 7, 8), (6,), (4,))


def test_the_tumour_with_the_longest_run_leads():
    # More slices, but scattered.
    scattered = (MENINGIOMA, NONE) * 4
    assert SeriesReading((*scattered, GLIOMA, GLIOMA)).leading == "glioma"
    assert SeriesReading((GLIOMA, NONE, MENINGIOMA, NONE, MENINGIOMA)).leading == "meningioma"
    assert SeriesReading((NONE, NONE, REFUSED)).leading == "no_tumor"
    assert SeriesReading((GLIOMA, MENINGIOMA, MENINGIOMA)).tumours == ("meningioma", "glioma")


def test_without_a_check_every_slice_that_was_read_is_known():
    unchecked = SliceReading(prediction_of("glioma", 0.9))
    reading = SeriesReading((unchecked, UNREAD))
    assert (reading.known, reading.refused, reading.unread) == ((0,), (), (1,))


def test_a_slice_keeps_all_of_its_reading_but_the_input():
    reading = replace(READING, site=object())
    kept = SliceReading.of(reading)
    for name in ("prediction", "sets", "ood", "geometry", "site"):
        assert getattr(kept, name) is getattr(reading, name)


def test_a_remark_of_the_series_is_not_said_of_its_slices():
    remarks = (("A.", "B."), ("B.", "B."), ("A.",), ("C.",))
    assert said_of_slices(remarks, ("A.",)) == ("Slices 1 to 2: B.", "Slice 4: C.")


def test_shares_of_what_was_not_read_are_no_numbers():
    probabilities = SeriesReading((GLIOMA, UNREAD)).probabilities
    assert probabilities[0].sum() == pytest.approx(1)
    assert np.isnan(probabilities[1]).all()


def test_each_slice_is_read_as_it_would_be_alone():
    scans = [read_scan(sample.file) for sample in load_samples()[:4]]
    empty = scan_of()

    def decode(number: int) -> Scan:
        if number == 2:
            raise UnreadableScan("It is damaged.")
        return [*scans, empty][number]

    shown, readings = zip(*read_stack(Stack(5, decode), Readers()), strict=True)
    assert [scan and scan.digest for scan in shown] == [
        *(scan.digest for scan in scans[:2]),
        None,
        scans[3].digest,
        empty.digest,
    ]
    assert [reading.problem for reading in readings] == ["", "", "It is damaged.", "", NOTHING]
    reader = Reader()
    for number in (0, 1, 3):
        alone = reader.read(scans[number].gray)
        # Of one thread and of several, the sums differ in their last bits.
        np.testing.assert_allclose(
            readings[number].prediction.probabilities, alone.prediction.probabilities, atol=1e-5
        )
        assert readings[number].sets == alone.sets
        assert readings[number].ood.in_distribution == alone.ood.in_distribution
        assert readings[number].geometry == alone.geometry


def head_with_a_ball(radius: float) -> bytes:
    """The head of one healthy person, 1 mm a voxel; in its right half, where one is asked for, a bright ball
    with a dark core in dulled surroundings.
    """
    import nibabel

    image = nibabel.load(CH2)
    head = np.asarray(image.dataobj).astype(np.float32)
    if radius:
        axes = np.ogrid[tuple(slice(0, size) for size in head.shape)]
        away = np.sqrt(sum((axis - at) ** 2 for axis, at in zip(axes, BALL, strict=True)), dtype=np.float32)
        for edge, softness, shade in ((1.7 * radius, 2.5, 85), (radius, 0.7, 150), (radius - 6, 0.8, 40)):
            share = 1 / (1 + np.exp(np.clip((away - edge) / softness, -50, 50)))
            head += np.where(head > 20, (shade - head) * share, 0)
    return nibabel.Nifti1Image(head.astype(np.uint8), image.affine).to_bytes()


def read_head(data: bytes, plane: str) -> SeriesReading:
    (item,) = group_into_series([File("head.nii", data)])
    stack = load(item).stack(plane)
    return SeriesReading(tuple(reading for _, reading in read_stack(stack, Readers())), stack.positions)


BALL = (120, 99, 89)
needs_head = pytest.mark.skipif(not CH2.exists(), reason="MRIcron's templates are not installed")


@needs_head
def test_it_opens_in_the_run_that_covers_the_lesion():
    volume = head_with_a_ball(18)
    for plane, centre in (("axial", BALL[2]), ("coronal", BALL[1])):
        reading = read_head(volume, plane)
        (run,) = (run for run in reading.suspicious if reading.most_suspicious in run)
        assert centre in run


@needs_head
def test_a_healthy_head_has_runs_of_false_answers_as_the_page_says():
    reading = read_head(head_with_a_ball(0), "axial")
    assert "healthy head" in words.CARE
    assert reading.suspicious
    assert len(reading.suspicious[0]) < 20


@pytest.mark.parametrize(
    ("numbers", "said"), [((), ""), ((3,), "4"), ((0, 1, 2, 8), "1 to 3, 9"), ((5, 4), "5 to 6")]
)
def test_spans(numbers, said):
    assert spans(numbers) == said
