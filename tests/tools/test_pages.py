"""The command that measures how surely several slices on one picture are noticed."""

from __future__ import annotations

import numpy as np

from brat.io.panels import Page, Panel
from tests.factories.heads import synthetic_head
from tools.pages import KINDS, verdict


def test_each_kind_of_page_is_drawn_again_alike():
    for count, make in KINDS.values():
        first, again = (make(lambda: synthetic_head(256, 200), np.random.default_rng(0)) for _ in range(2))
        assert count > 1
        assert first.dtype == np.uint8
        np.testing.assert_array_equal(first, again)


def test_verdicts():
    panel = Panel(0, 0, 9, 9)
    assert verdict(Page(), 2) == "taken for one"
    assert verdict(Page(is_mixed=True), 2) == "refused"
    assert verdict(Page((panel, panel)), 2) == "all listed"
    assert verdict(Page((panel, panel)), 3) == "another number"
