import subprocess
import sys

import pytest

from brat.wording import decimal, estimate, percent


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.914, "91 %"),
        (0.9999, "> 99 %"),
        (1.0, "100 %"),
        (0.001, "< 1 %"),
        (0.005, "< 1 %"),
        (0.0, "0 %"),
        (0.5, "50 %"),
    ],
)
def test_percent_never_rounds_to_certainty(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.914, "91.4 %"),
        (0.9994, "99.9 %"),
        (0.9996, "> 99.9 %"),
        (1.0, "100.0 %"),
        (0.0004, "< 0.1 %"),
        (0.0, "0.0 %"),
    ],
)
def test_nor_do_tenths(share, text):
    assert percent(share, 1) == text


def test_an_interval_that_is_missing_is_not_made_up():
    alone = {"value": 0.947, "low": None, "high": None}
    assert (estimate(alone), decimal(alone)) == ("94.7 % (no interval)", "0.947 (no interval)")
    assert estimate({"value": None, "low": None, "high": None}) == "not measured"


def test_costs_no_import_of_plotly():
    code = "import sys, brat.wording; sys.exit('plotly' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
