"""The README claims what was measured, and its commands are the ones that are tried."""

import json

from brat.environment import WEIGHTS
from brat.evaluation.protocols import summary
from tests.factories.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_figures_are_those_of_the_metrics_file():
    assert summary(json.loads((WEIGHTS / "metrics.json").read_text())) in README


def test_says_what_it_is_not():
    assert "not a medical device" in README
    assert README.index("](docs/") < README.index("## ")


def test_files_that_it_names_exist():
    import re

    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_commands_exist():
    import re

    from brat.cli import _parser

    known = next(a for a in _parser()._actions if hasattr(a, "choices") and a.choices).choices
    named = set(re.findall(r"^brat (\w+)", README, flags=re.MULTILINE))
    assert named
    assert named <= set(known)
