"""Near-duplicates: the one measure for grouping, splits and audits of whether images show the same picture.

Two images are near-duplicates where their heads, framed as the model sees them and shrunk to 32 x 32,
correlate above `NEAR_DUPLICATE`. Framing makes the measure blind to borders, size, gain and recompression.
Neighbouring slices of one patient count as near-duplicates too, as they should: they leak as well.

A share of near-duplicates is a lower bound. Between correlations of 0.90 and 0.95, copies with another window
or crop mix with slices of other patients. Turned, mirrored and inverted copies are not detected.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from brat.io.read import read_scan
from brat.io.scan import UnreadableScan
from brat.model.preprocess import frame

NEAR_DUPLICATE = 0.95
"""Correlation above which two thumbnails count as one picture; `brat audit --picture` draws pairs near it."""

HASH_BITS = 512
HASH_LIMIT = 56
"""Bits of two hashes that may differ at most where their images count as one picture. Two thumbnails that
correlate by 0.95 differ in 52 on average. Of 1,500 slices of the collections, with the others as the list, it
finds 97 % of those that have a near-duplicate, and what it finds correlates with one above 0.91."""

_SIDE = 32
_BLOCK_VALUES = 2**23
"""Correlations held in memory at once: 32 MB, however many images there are."""


def thumbnail(gray: np.ndarray) -> np.ndarray:
    """uint8 (height, width) -> float32 (1024,), mean 0 and norm 1: a dot product of two is a correlation."""
    framed, _ = frame(gray)
    return thumbnail_of_framed(framed)


def thumbnail_of_framed(framed: np.ndarray) -> np.ndarray:
    """As `thumbnail`, of a slice that `brat.model.preprocess.frame` has framed, uint8 (224, 224)."""
    small = cv2.resize(framed, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).ravel().astype(np.float32)
    small -= small.mean()
    return small / max(float(np.linalg.norm(small)), 1e-6)


def thumbnails(paths: Sequence[Path]) -> np.ndarray:
    """Read images into float32 (n, 1024), see `thumbnail`; about 2 ms each.

    Raises:
        ValueError: a file cannot be read; the message names it.
    """
    result = np.empty((len(paths), _SIDE * _SIDE), np.float32)
    for row, path in enumerate(tqdm(paths, desc="comparing slices", unit="slice", disable=None)):
        try:
            result[row] = thumbnail(read_scan(path).gray)
        except UnreadableScan as error:
            raise ValueError(f"{path}: {error}") from error
    return result


def similar_pairs(thumbs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs of rows that correlate above `NEAR_DUPLICATE`: left, right (left < right), and how much."""
    left, right, similarity = [], [], []
    for start, block in _correlations(thumbs, thumbs):
        rows, columns = np.nonzero(block > NEAR_DUPLICATE)
        upper = columns > rows + start
        rows, columns = rows[upper], columns[upper]
        left.append(rows + start)
        right.append(columns)
        similarity.append(block[rows, columns])
    return np.concatenate(left), np.concatenate(right), np.concatenate(similarity)


def nearest(thumbs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each of at least two rows the other row that it correlates with most, and how much."""
    index, similarity = [], []
    for start, block in _correlations(thumbs, thumbs):
        rows = np.arange(len(block))
        block[rows, rows + start] = -2
        index.append(block.argmax(axis=1))
        similarity.append(block[rows, index[-1]])
    return np.concatenate(index), np.concatenate(similarity)


def has_near_duplicate(thumbs: np.ndarray, others: np.ndarray) -> np.ndarray:
    """bool (n,): which rows of `thumbs` (n, 1024) correlate above `NEAR_DUPLICATE` with a row of `others`."""
    blocks = _correlations(thumbs, others)
    return np.concatenate([np.zeros(0, bool), *((block > NEAR_DUPLICATE).any(axis=1) for _, block in blocks)])


def hashes(thumbs: np.ndarray) -> np.ndarray:
    """Hashes by which near-duplicates are found where the pictures must not be given on.

    Each bit is the side of a random plane on which a thumbnail lies, so that the share of bits in which two
    differ is the angle between them over pi (Charikar 2002, doi 10.1145/509907.509965).

    Args:
        thumbs: float32 (n, 1024), of `thumbnail`.

    Returns:
        uint8 (n, 64), eight bits a byte.
    """
    return np.packbits(thumbs @ _planes() > 0, axis=1)


def is_known(hashed: np.ndarray, known: np.ndarray) -> np.ndarray:
    """bool (n,): which rows differ from a row of `known` in at most `HASH_LIMIT` bits.

    Args:
        hashed, known: uint8 (n, 64) and (m, 64), of `hashes`.
    """
    words = np.ascontiguousarray(known).view(np.uint64)
    rows = np.ascontiguousarray(hashed).view(np.uint64)
    apart = (np.bitwise_count(words ^ row).sum(axis=1, dtype=np.int64).min(initial=HASH_BITS) for row in rows)
    return np.fromiter(apart, np.int64, len(rows)) <= HASH_LIMIT


@cache
def _planes() -> np.ndarray:
    """The normals of the planes, float32 (1024, 512), of signs: drawn so that no library can change them."""
    drawn = hashlib.shake_256(b"near-duplicates").digest(_SIDE * _SIDE * HASH_BITS // 8)
    bits = np.unpackbits(np.frombuffer(drawn, np.uint8))
    return bits.reshape(_SIDE * _SIDE, HASH_BITS).astype(np.float32) * 2 - 1


def near_duplicate_share(test_paths: Sequence[Path], train_paths: Sequence[Path]) -> float:
    """Share of the test images, 0 to 1, that have a near-duplicate among the training images."""
    return float(has_near_duplicate(thumbnails(test_paths), thumbnails(train_paths)).mean())


def near_duplicate_groups(paths: Sequence[Path]) -> np.ndarray:
    """Number images so that near-duplicates, chained, share a number.

    Returns:
        int (n,), group numbers from 0.

    Raises:
        ValueError: a file cannot be read.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    left, right, _ = similar_pairs(thumbnails(paths))
    graph = coo_matrix((np.ones(len(left), bool), (left, right)), shape=(len(paths), len(paths)))
    return connected_components(graph, directed=False)[1]


def _correlations(thumbs: np.ndarray, others: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks of rows of the correlation matrix, each with the number of its first row."""
    rows = max(1, _BLOCK_VALUES // max(1, len(others)))
    for start in range(0, len(thumbs), rows):
        yield start, thumbs[start : start + rows] @ others.T
