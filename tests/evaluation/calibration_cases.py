"""Logits with known calibration, for the tests of fitting and measuring it."""

import numpy as np

from brat.model.calibration import softmax


def honest(count, seed=0, spread=2.5):
    """Logits and labels drawn from their own softmax, so that the right temperature is 1."""
    draw = np.random.default_rng(seed)
    logits = draw.normal([0.5, -0.5, 0.0, 1.0], spread, (count, 4))
    cumulated = softmax(logits).cumsum(axis=1)
    return logits, np.minimum((draw.random((count, 1)) > cumulated).sum(axis=1), 3)
