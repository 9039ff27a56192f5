"""What the slices of a series say together, and what they do not."""

from __future__ import annotations

import numpy as np
import pytest

from brat import CLASSES
from brat.classifier import Prediction
from brat.gate import Verdict
from brat.pool import Readers
from brat.reader import Reader
from brat.samples import load_samples
from brat.scans import Scan, UnreadableScan, read_scan
from brat.series import Stack
from brat.series_reading import NOTHING, Run, SeriesReading, SliceReading, read_stack, spans


def slice_of(label: str, share: float = 0.9, known: bool = True) -> SliceReading:
    probabilities = np.full(4, (1 - share) / 3, np.float32)
    probabilities[CLASSES.index(label)] = share
    prediction = Prediction(probabilities, np.zeros((14, 14, 4), np.float32), np.zeros(1280, np.float32))
    return SliceReading(prediction, {}, Verdict(0.5 if known else 2, known, ""))


UNREAD = SliceReading(problem="damaged")
NONE, GLIOMA, MENINGIOMA = slice_of("no_tumor"), slice_of("glioma"), slice_of("meningioma", 0.8)
REFUSED = slice_of("glioma", 0.99, known=False)


def test_the_slice_to_look_at_first_has_suspicious_neighbours():
    alone = slice_of("glioma", 0.99)
    reading = SeriesReading((NONE, alone, NONE, NONE, MENINGIOMA, MENINGIOMA, MENINGIOMA, NONE))
    assert reading.most_suspicious == 5
    # What the gate refuses counts neither itself nor for its neighbours.
    reading = SeriesReading((REFUSED, REFUSED, REFUSED, NONE, alone, NONE))
    assert reading.most_suspicious == 4
    assert SeriesReading((NONE, slice_of("no_tumor", 0.8), NONE)).most_suspicious == 1


def test_where_the_gate_refuses_all_there_is_still_a_slice_to_start_at():
    weak = slice_of("glioma", 0.5, known=False)
    reading = SeriesReading((weak, REFUSED, weak))
    assert reading.most_suspicious == 1
    assert reading.leading is None
    assert SeriesReading((UNREAD, UNREAD, UNREAD)).most_suspicious == 1


def test_runs_are_neighbours_with_one_answer():
    strongest = slice_of("glioma", 0.97)
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
    assert (reading.known, reading.refused, reading.unread) == ((0, 1, 2, 3, 5, 7, 8), (6,), (4,))


def test_the_tumour_with_the_longest_run_leads():
    # More slices, but scattered.
    scattered = (MENINGIOMA, NONE) * 4
    assert SeriesReading((*scattered, GLIOMA, GLIOMA)).leading == "glioma"
    assert SeriesReading((GLIOMA, NONE, MENINGIOMA, NONE, MENINGIOMA)).leading == "meningioma"
    assert SeriesReading((NONE, NONE, REFUSED)).leading == "no_tumor"


def test_shares_of_what_was_not_read_are_no_numbers():
    shares = SeriesReading((GLIOMA, UNREAD)).shares
    assert shares[0].sum() == pytest.approx(1)
    assert np.isnan(shares[1]).all()


def test_each_slice_is_read_as_it_would_be_alone():
    scans = [read_scan(sample.file) for sample in load_samples()[:4]]
    empty = Scan(np.zeros((80, 80), np.uint8), np.zeros((80, 80)), "", "", "", "0" * 64)

    def decode(number: int) -> Scan:
        if number == 2:
            raise UnreadableScan("It is damaged.")
        return [*scans, empty][number]

    shown, found = zip(*read_stack(Stack(5, decode), Readers()), strict=True)
    assert [one if one is None else one.digest for one in shown] == [
        *(one.digest for one in scans[:2]),
        None,
        scans[3].digest,
        empty.digest,
    ]
    assert [one.problem for one in found] == ["", "", "It is damaged.", "", NOTHING]
    reader = Reader()
    for number in (0, 1, 3):
        alone = reader.read(scans[number].gray)
        # Of one thread and of several, the sums differ in their last bits.
        np.testing.assert_allclose(
            found[number].prediction.probabilities, alone.prediction.probabilities, atol=1e-5
        )
        assert found[number].sets == alone.sets
        assert found[number].verdict.known == alone.verdict.known
        assert found[number].geometry == alone.geometry


@pytest.mark.parametrize(
    ("numbers", "said"), [((), ""), ((3,), "4"), ((0, 1, 2, 8), "1 to 3, 9"), ((5, 4), "5 to 6")]
)
def test_spans(numbers, said):
    assert spans(numbers) == said
