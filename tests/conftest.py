"""Fixtures of every test: a synthetic head, and the optional collection of real slices."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.factories.heads import synthetic_head
from tests.factories.paths import ROOT

# Begun last, one of these would keep a worker busy when the other has nothing left to do.
LONGEST = ("tests/browser/", "tests/training/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest folders come first; all else keeps its order."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


@pytest.fixture(scope="session")
def make_head() -> Callable[..., np.ndarray]:
    """`synthetic_head`."""
    return synthetic_head


@pytest.fixture(scope="session")
def data_index() -> Path:
    """The index of the optional collection of real slices: `BRAT_DATA`, or beside the repository."""
    beside = ROOT.parent / "shared" / "data" / "index.csv"
    index = Path(os.environ.get("BRAT_DATA", beside))
    if not index.is_file():
        pytest.skip(f"no slices at {index}; set BRAT_DATA to an index.csv")
    return index
