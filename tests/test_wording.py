import subprocess
import sys

import pytest

from brat.wording import percent


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.914, "91 %"), (0.9999, "> 99 %"), (1.0, "100 %"), (0.001, "< 1 %"), (0.0, "0 %"), (0.5, "50 %")],
)
def test_percent_never_rounds_to_certainty(share, text):
    assert percent(share) == text


def test_costs_no_import_of_plotly():
    code = "import sys, brat.wording; sys.exit('plotly' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
