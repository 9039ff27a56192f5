"""Many scans at once: in order, few ahead, an error where its result was due."""

from __future__ import annotations

import shutil
import threading
import time

import pytest

from brat.environment import WEIGHTS
from brat.model.pool import Readers, in_order


def test_results_come_in_the_order_of_the_items():
    def work(item):
        time.sleep(0.002 * (item % 3))
        return item * item

    assert list(in_order(work, range(40), workers=4)) == [item * item for item in range(40)]


def test_only_a_few_are_begun_ahead():
    begun = []
    results = in_order(lambda item: begun.append(item) or item, iter(range(1000)), workers=2)
    assert next(results) == 0
    assert len(begun) <= 10
    results.close()
    assert len(begun) <= 10


def test_an_error_comes_where_its_result_was_due():
    results = in_order(lambda item: 1 // item, [1, 0, 1], workers=2)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_each_thread_has_its_own_reader_and_they_agree(make_head):
    readers, of_thread = Readers(), {}
    gate = threading.Barrier(2)

    def work(_):
        gate.wait(30)
        of_thread[threading.get_ident()] = readers()
        assert readers() is of_thread[threading.get_ident()]
        return readers().read(make_head()).prediction.probabilities

    first, second = in_order(work, range(2), workers=2)
    assert len(set(of_thread.values())) == 2
    assert first == pytest.approx(second, abs=1e-6)


def test_all_threads_read_with_the_model_that_was_loaded_first(make_head, tmp_path):
    """Whoever copies another model into the folder gets no series that was read by both."""
    weights = tmp_path / "weights"
    shutil.copytree(WEIGHTS, weights)
    readers = Readers(weights)
    first = readers()
    (weights / "model.tflite").write_bytes(b"half of another model")
    (later,) = in_order(lambda _: readers(), range(1), workers=1)
    assert later is not first
    assert later.classifier.digest == first.classifier.digest
    expected, read = first.read(make_head()), later.read(make_head())
    assert read.prediction.probabilities == pytest.approx(expected.prediction.probabilities, abs=1e-6)
    assert read.ood.score == pytest.approx(expected.ood.score, abs=1e-6)
    with pytest.raises(RuntimeError, match="damaged"):
        Readers(weights)()
