"""A built wheel, installed where the repository is not: it reads a scan, and starts the app."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from brat.io.samples import load_samples
from tests.factories.paths import ROOT
from tests.factories.weights import model_folder

EXPLAINING = ("docs/figures.md", "docs/model-card.md")
BUILT_FROM = (
    "pyproject.toml",
    "setup.py",
    "README.md",
    "LICENSE",
    "app.py",
    "brat",
    "pages",
    "weights",
    "docs",
)
SAMPLE = next(sample.file for sample in load_samples() if sample.name == "head-axial")


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env=clean(**environment), capture_output=True, text=True, timeout=240
    )


def clean(**environment: str) -> dict[str, str]:
    """The environment without what would lead to the repository, or to another model."""
    ours = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "BRAT_WEIGHTS")}
    return {**ours, **environment}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, so that nothing is left in the repository, nor gets in from an earlier build."""
    source = tmp_path_factory.mktemp("source")
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, source)
    (source / ".streamlit").mkdir()
    shutil.copy2(ROOT / ".streamlit/config.toml", source / ".streamlit")
    # What is not to be passed on.
    (source / ".streamlit/secrets.toml").write_text("[privacy]\nidentified = true\n")
    (source / "pages/__pycache__").mkdir()
    (source / "pages/__pycache__/review.cpython-311.pyc").write_bytes(b"")
    out = tmp_path_factory.mktemp("wheel")
    built = run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", out, source),
        cwd=out,
    )
    assert built.returncode == 0, built.stderr
    (path,) = out.glob("bratum_scans-*-py3-none-any.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The folder of the commands of an empty environment, into which the wheel is installed.

    The packages that it requires are those of this environment, by a path file. Path files in a folder that
    is named by one are not read, and so the editable installation of the repository stays out.
    """
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    commands = environment / ("Scripts" if os.name == "nt" else "bin")
    python = commands / Path(sys.executable).name
    pip = (sys.executable, "-m", "pip", "--python", python)
    added = run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=environment)
    assert added.returncode == 0, added.stderr
    (packages,) = environment.glob("**/site-packages")
    (packages / "requirements.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return commands


def test_holds_the_library_the_app_and_the_model_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}

    def below(folder: str, prefix: str = "") -> set[str]:
        files = (path for path in (ROOT / folder).rglob("*") if path.is_file())
        return {
            prefix + path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts
        }

    bundled = below("pages", "brat/_bundled/") | below("weights", "brat/_bundled/")
    bundled |= {"brat/_bundled/app.py", "brat/_bundled/.streamlit/config.toml"}
    bundled |= {f"brat/_bundled/{file}" for file in EXPLAINING}
    held = {name for name in names if ".dist-info/" not in name}
    assert held == below("brat") | bundled
    assert {"brat/py.typed", "brat/io/sample_scans/samples.json", "brat/store/migrations/env.py"} <= held
    assert {f"brat/_bundled/pages/viewer/viewer.{kind}" for kind in ("html", "css", "js")} <= held


def test_reading_requires_neither_the_app_nor_training(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(metadata).decode().splitlines()
    base = " ".join(line for line in lines if line.startswith("Requires-Dist:") and "extra ==" not in line)
    assert "ai-edge-litert" in base
    for package in (
        *("albumentations", "alembic", "fpdf2", "highdicom", "plotly", "sqlalchemy", "streamlit"),
        *("tensorflow", "uharfbuzz", "xlsxwriter"),
    ):
        assert package not in base


def test_reads_a_scan(installed, tmp_path):
    predicted = run(installed / "brat", "predict", "--json", SAMPLE, cwd=tmp_path)
    assert predicted.returncode == 0, predicted.stderr
    program = "import json, sys, brat; reading = brat.read(sys.argv[1]); " + (
        "print(json.dumps([brat.__file__, reading.label, reading.in_distribution, reading.probabilities]))"
    )
    read = run(installed / "python", "-c", program, SAMPLE, cwd=tmp_path)
    assert read.returncode == 0, read.stderr
    home, label, in_distribution, probabilities = json.loads(read.stdout)
    assert Path(home).is_relative_to(installed.parent)
    assert (label, in_distribution) == ("no_tumor", True)
    record = json.loads(predicted.stdout)
    assert record["label"] == label
    assert record["probabilities"] == pytest.approx(probabilities, abs=1e-4)


def test_another_model_or_none_by_brat_weights(installed, tmp_path):
    model_folder(tmp_path / "run")
    predict = installed / "brat", "predict", "--json", SAMPLE
    other = run(*predict, cwd=tmp_path, BRAT_WEIGHTS=str(tmp_path / "run"))
    assert json.loads(other.stdout)["prediction_set"] is None
    none = run(*predict, cwd=tmp_path, BRAT_WEIGHTS=str(tmp_path))
    assert none.returncode == 2
    assert none.stderr.splitlines()[-1].startswith(f"brat: There is no model.tflite in {tmp_path}.")


@contextlib.contextmanager
def served(installed: Path, cwd: Path) -> Iterator[str]:
    """The address at which `brat app` serves."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = cwd / "app.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [installed / "brat", "app", "--server.port", str(port), "--server.headless", "true"],
            cwd=cwd,
            env=clean(HOME=str(cwd)),
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(urllib.error.URLError):
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=5)
                break
            time.sleep(0.2)
        else:
            pytest.fail(f"brat app does not answer: {log.read_text()}")
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def test_starts_the_app(installed, tmp_path):
    pytest.importorskip("streamlit", reason="needs the app")
    with served(installed, tmp_path) as address:
        with urllib.request.urlopen(f"{address}/_stcore/health", timeout=30) as answer:
            assert answer.read() == b"ok"
        with urllib.request.urlopen(address, timeout=30) as page:
            assert b"<html" in page.read()
    # On this machine alone, unless another address is asked for.
    assert address in (tmp_path / "app.log").read_text()
    assert "Network URL" not in (tmp_path / "app.log").read_text()


def test_every_page_runs_from_the_wheel(installed, tmp_path):
    pytest.importorskip("streamlit", reason="needs the app")
    program = """
import sys
from pathlib import Path
from brat.environment import ROOT
# As `streamlit run` does.
sys.path.insert(0, str(ROOT))
from streamlit.testing.v1 import AppTest
app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
assert not app.exception, app.exception
app.file_uploader[0].upload("scan.png", Path(sys.argv[1]).read_bytes()).run()
assert not app.exception, app.exception
assert any('<section class="answer"' in block.proto.body for block in app.get("html"))
assert any('"slices"' in component.proto.json for component in app.get("bidi_component"))
for page in sorted((ROOT / "pages").glob("[!_]*.py")):
    app.switch_page(f"pages/{page.name}").run()
    assert not app.exception, (page, app.exception)
import pages
print(ROOT, *pages.__path__)
"""
    result = run(installed / "python", "-c", program, SAMPLE, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    root, folder = result.stdout.split()
    assert Path(root).is_relative_to(installed.parent)
    assert Path(folder) == Path(root) / "pages"


def test_config_of_the_app_holds_wherever_it_is_started(installed, tmp_path):
    pytest.importorskip("streamlit", reason="needs the app")
    program = (
        "from brat.environment import ROOT; from streamlit import config;"
        "config._main_script_path = str(ROOT / 'app.py'); config.get_config_options(force_reparse=True);"
        "print(config.get_option('client.toolbarMode'), config.get_option('browser.gatherUsageStats'))"
    )
    assert run(installed / "python", "-c", program, cwd=tmp_path).stdout.split() == ["viewer", "False"]
