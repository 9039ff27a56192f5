"""The README claims what was measured, and its commands are the ones that are tried."""

import importlib.util
import json
import re

import pytest

from brat.environment import WEIGHTS
from brat.evaluation.protocols import summary
from tests.factories.paths import ROOT
from tests.test_architecture import BASE, ROOMS

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_figures_are_those_of_the_metrics_file():
    assert summary(json.loads((WEIGHTS / "metrics.json").read_text())) in README


def test_says_what_it_is_not():
    assert "not a medical device" in README
    assert README.index("](docs/") < README.index("## ")


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "docs/api.md",
        "docs/architecture.md",
        "docs/validate.md",
    ],
)
def test_files_that_a_page_links_to_exist(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text(encoding="utf-8")):
        assert (ROOT / page).parent.joinpath(target).exists(), target


def test_table_of_rooms_is_what_imports_are_held_to():
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| ?(.*?) ?\|$", page, flags=re.MULTILINE)
    table = {room: set(re.findall(r"`(\w+)`", allowed)) for room, allowed in rows}
    held_to = {room: allowed - BASE for room, allowed in ROOMS.items() if room not in BASE}
    assert table == {room: held_to[room] for room in held_to.keys() - {"__init__", "cli", "predict"}}


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "justfile"])
def test_commands_exist(page):
    from brat.cli import _parser

    text = (ROOT / page).read_text(encoding="utf-8")
    known = next(a for a in _parser()._actions if hasattr(a, "choices") and a.choices).choices
    named = set(re.findall(r"^ *brat (\w+)", text, flags=re.MULTILINE))
    assert named <= set(known)
    modules = set(re.findall(r"^ *python -m ([\w.]+)", text, flags=re.MULTILINE))
    assert all(importlib.util.find_spec(module) for module in modules)
    assert named or modules or page == "CONTRIBUTING.md"


def test_ci_runs_the_test_command_of_the_readme():
    """`.ci/run` takes it out of the page by this pattern."""
    (pattern,) = re.findall(r"sed -n 's/\^\\\((.*)\\\)\$/", (ROOT / ".ci/run").read_text(encoding="utf-8"))
    assert re.findall(f"^{pattern}$", README, flags=re.MULTILINE) == ['pip install -e ".[test]" && pytest']
