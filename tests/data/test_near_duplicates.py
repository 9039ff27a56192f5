"""Where two thumbnails, or two hashes of them, begin to count as one picture."""

from __future__ import annotations

import hashlib

import numpy as np

from brat.data.near_duplicates import HASH_BITS, has_near_duplicate, hashes, is_known


def test_thumbnails_that_correlate_above_095_are_one_picture():
    first, second = np.eye(2, 1024, dtype=np.float32)
    others = np.stack([by * first + np.sqrt(1 - by**2) * second for by in (0.945, 0.955)])
    assert has_near_duplicate(others.astype(np.float32), first[np.newaxis]).tolist() == [False, True]


def test_hashes_that_differ_in_56_bits_are_of_one_picture():
    known = np.zeros((1, HASH_BITS // 8), np.uint8)
    bits = np.arange(HASH_BITS) < np.array([[56], [57]])
    assert is_known(np.packbits(bits, axis=1), known).tolist() == [True, False]


def test_the_planes_of_the_hashes_are_those_of_every_list_that_was_written():
    """Other planes would find nothing in the lists that lie beside models, and say nothing of it."""
    hashed = hashes(np.eye(3, 1024, dtype=np.float32))
    assert hashlib.sha256(hashed.tobytes()).hexdigest().startswith("ffeb1ca67db9d47f")
