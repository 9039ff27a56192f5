"""The layers of the installation, what names them, and the versions that are tested."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import packages_distributions
from importlib.util import find_spec

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from brat import cli
from brat.environment import MODULES, missing_package
from tests.factories.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = {
    name: [Requirement(line) for line in lines] for name, lines in PROJECT["optional-dependencies"].items()
}


@pytest.mark.parametrize("extra", MODULES)
def test_the_extra_that_is_named_brings_the_module(extra):
    if extra == "ray" and not find_spec("ray"):
        pytest.skip("Ray is not installed")
    distributions, modules = packages_distributions(), MODULES[extra]
    required = {canonicalize_name(requirement.name) for requirement in EXTRAS[extra]} - {"bratum-scans"}
    brought = {canonicalize_name(name) for module in modules for name in distributions[module]}
    assert required <= brought, "a package of this extra is not in brat.environment.MODULES"
    for module in modules:
        assert required & {canonicalize_name(name) for name in distributions[module]}, module


@pytest.mark.parametrize(("module", "extra"), [("plotly.graph_objects", "app"), ("keras", "full")])
def test_a_missing_package_is_named_with_its_extra(module, extra, monkeypatch, capsys):
    def run(_: object) -> int:
        raise ModuleNotFoundError(name=module)

    monkeypatch.setattr(cli, "_audit", run)
    assert cli.main(["audit", "index.csv"]) == 2
    said = capsys.readouterr().err
    assert f"bratum-scans[{extra}]" in said
    assert module.partition(".")[0] in said


def test_a_module_that_no_part_brings_is_an_error_of_ours(monkeypatch):
    def run(_: object) -> int:
        raise ModuleNotFoundError(name="brat.nowhere")

    assert missing_package("brat.nowhere") == ""
    monkeypatch.setattr(cli, "_audit", run)
    with pytest.raises(ModuleNotFoundError):
        cli.main(["audit", "index.csv"])


def test_app_starts_streamlit_on_this_computer_with_the_options_given(monkeypatch):
    started = []
    monkeypatch.setattr("runpy.run_module", lambda name, run_name: started.append((name, list(cli.sys.argv))))
    monkeypatch.setattr(cli.sys, "argv", ["brat"])
    assert cli.main(["app", "--server.port", "8600"]) == 0
    ((name, arguments),) = started
    assert name == "streamlit"
    assert arguments[1:3] == ["run", str(ROOT / "app.py")]
    assert arguments[3:] == ["--server.address", "127.0.0.1", "--server.port", "8600"]


def test_other_commands_take_no_unknown_options(capsys):
    with pytest.raises(SystemExit):
        cli.main(["audit", "index.csv", "--server.port", "8600"])
    assert "--server.port" in capsys.readouterr().err


def test_constraints_hold_a_version_of_everything_that_is_required():
    pinned: dict[str, list[str]] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([\w.-]+)==([^ ;]+)", line):
            pinned.setdefault(canonicalize_name(match[1]), []).append(match[2])
    required = [Requirement(line) for line in PROJECT["dependencies"]]
    required += [requirement for extra in EXTRAS.values() for requirement in extra]
    for requirement in required:
        if requirement.name != PROJECT["name"]:
            versions = pinned[canonicalize_name(requirement.name)]
            assert all(requirement.specifier.contains(version) for version in versions), requirement


def test_hosted_app_installs_the_layer_of_the_app():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["-e .[app]"]
