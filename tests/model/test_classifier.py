"""How the model is run; what it answers is tested in `test_model.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from brat.io.read import read_scan
from brat.io.samples import load_samples
from brat.model.classifier import Classifier
from brat.model.preprocess import prepare

INPUTS = [prepare(read_scan(sample.file).gray)[0] for sample in load_samples()]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to a core")
def test_cores_are_those_that_the_process_may_use():
    code = (
        "import os; os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1]);"
        "from brat.environment import CORES; print(CORES)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "1"


def test_sessions_that_share_a_model_get_their_own_answers():
    classifier = Classifier()
    alone = [classifier.predict(model_input) for model_input in INPUTS]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(classifier.predict, INPUTS * 5))
    for number, prediction in enumerate(together):
        for name in ("probabilities", "maps", "features"):
            expected = getattr(alone[number % len(INPUTS)], name)
            np.testing.assert_allclose(getattr(prediction, name), expected, rtol=1e-5, atol=1e-5)
