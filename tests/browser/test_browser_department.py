"""The services of `deploy/compose.yaml` but OHIF as processes: from a scanner to a report with a verdict."""

from __future__ import annotations

import io
import json
import os
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pydicom
import pytest
import yaml
from sqlalchemy import create_engine

pytest.importorskip("pynetdicom", reason="pynetdicom is not installed")
pytest.importorskip("highdicom", reason="highdicom is not installed")

from brat.pacs.archive import Archive, Query, Server
from brat.pacs.connect import connect
from brat.store.cases import trail
from tests.factories import nginx, orthanc, postgresql
from tests.factories.orthanc import free_port
from tests.factories.paths import ROOT
from tests.factories.samples import known_dicom, known_label, known_series
from tests.factories.streamlit_server import wait_until_healthy

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

DEPLOY = ROOT / "deploy"
KEY = "the long key of one program"
LOGIN = ("radiology", nginx.PASSWORD)
_MAIN = "import sys; from brat.cli import main; sys.exit(main())"


class Department(NamedTuple):
    """Where it is reached.

    Attributes:
        address: of the proxy.
        behind_the_proxy: the archive, as OHIF reaches it.
        dicom: port of the archive.
        store: address of the database.
    """

    address: str
    behind_the_proxy: Server
    dicom: int
    store: str


@pytest.fixture(scope="module")
def department(tmp_path_factory):
    plugin = orthanc.python_plugin()
    lacking = (
        nginx.why_not(),
        orthanc.why_not(),
        postgresql.why_not(),
        "" if plugin else "orthanc-python is not installed",
    )
    if any(lacking):
        pytest.skip(next(filter(None, lacking)))
    folder = tmp_path_factory.mktemp("department")
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    app, api, router = free_port(), free_port(), free_port()
    with ExitStack() as running:
        store, _ = running.enter_context(postgresql.postgresql())
        script = (DEPLOY / "orthanc_plugin.py").read_text(encoding="utf-8")
        (folder / "plugin.py").write_text(script.replace("_RETRY = 60.0", "_RETRY = 1.0"), encoding="utf-8")
        settings = json.loads((DEPLOY / "orthanc.json").read_text(encoding="utf-8"))
        (title, _, _) = settings["DicomModalities"]["brat"]
        archive = running.enter_context(
            orthanc.orthanc(
                folder,
                plugins=(str(plugin),),
                StableAge=1,
                PythonScript=str(folder / "plugin.py"),
                DicomModalities={"brat": [title, "127.0.0.1", router]},
                Brat=settings["Brat"],
            )
        )
        secrets = (DEPLOY / "secrets.example.toml").read_text(encoding="utf-8")
        exchanged = {
            "postgresql+psycopg://brat:PASSWORD@postgres/cases": store,
            "http://orthanc:8042/dicom-web": archive.dicomweb,
        }
        assert all(written in secrets for written in exchanged)
        for written, here in exchanged.items():
            secrets = secrets.replace(written, here)
        (folder / "secrets.toml").write_text(secrets, encoding="utf-8")
        (folder / "keys").write_text(f"# of a program\n{KEY}\n", encoding="utf-8")
        elsewhere = {
            "0.0.0.0": "127.0.0.1",
            "8501": str(app),
            "8600": str(api),
            "/run/secrets/api-keys": str(folder / "keys"),
            "/var/lib/brat/queue": str(folder / "queue"),
        }
        further = {"router": ["--port", str(router), "--address", "127.0.0.1", "--settle", "2"]}
        started = {}
        for name in ("app", "api", "router"):
            command = [elsewhere.get(word, word) for word in services[name]["command"][1:]]
            service = _service(folder, name, [*command, *further.get(name, [])])
            started[name] = running.enter_context(service)
        wait_until_healthy(f"http://127.0.0.1:{app}/brat", started["app"], folder / "app.log")
        _until(lambda: _is_ready(f"http://127.0.0.1:{api}/api/ready"))
        upstreams = {
            "app:8501": f"127.0.0.1:{app}",
            "api:8600": f"127.0.0.1:{api}",
            "orthanc:8042": archive.url.removeprefix("http://"),
        }
        address = running.enter_context(nginx.nginx(folder, upstreams))
        behind = Server(
            "proxy",
            url=f"{address}/pacs/dicom-web",
            user=LOGIN[0],
            password=LOGIN[1],
            ca=str(folder / "certificate"),
        )
        yield Department(address, behind, archive.port, store)


@contextmanager
def _service(folder: Path, name: str, arguments: list[str]) -> Iterator[subprocess.Popen]:
    """A command of `brat`, as a service runs it."""
    settings = str(folder / "secrets.toml")
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "BRAT_SETTINGS": settings,
        "STREAMLIT_SECRETS_FILES": settings,
        "STREAMLIT_SERVER_HEADLESS": "true",
    }
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _MAIN, *arguments], cwd=folder, env=environment, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def _until(holds: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.5)


def _is_ready(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=5).close()
    except OSError:
        return False
    return True


def _content(file: bytes) -> str:
    """All but the group of the transfer, which each program writes anew."""
    return pydicom.dcmread(io.BytesIO(file)).to_json()


def _reports(archive: Archive, study: str) -> list[pydicom.Dataset]:
    entries = [entry for entry in archive.series(study) if entry.modality == "SR"]
    return [pydicom.dcmread(io.BytesIO(file)) for entry in entries for file in archive.fetch(entry)]


@pytest.fixture(scope="module")
def study(department):
    """The UID of a study that a scanner has sent to the archive, and its files."""
    files = known_series()
    connect(Server("scanner", host="127.0.0.1", port=department.dicom, title="ORTHANC")).store(files)
    return pydicom.dcmread(io.BytesIO(files[0])).StudyInstanceUID, files


def test_what_a_scanner_sends_gets_its_report_beside_it(department, study):
    uid, files = study
    # As OHIF asks, through the proxy.
    archive = connect(department.behind_the_proxy)
    _until(lambda: "SR" in {entry.modality for entry in archive.series(uid)})
    (report,) = _reports(archive, uid)
    assert (report.PatientID, report.VerificationFlag) == ("P7", "UNVERIFIED")
    (found,) = archive.studies(Query(patient_id="P7"))
    assert found.study == uid
    (original,) = [entry for entry in archive.series(uid) if entry.description == "t1_tse_post_KM"]
    assert set(map(_content, archive.fetch(original))) == set(map(_content, files))


def test_a_verdict_on_what_a_link_has_opened_stands_in_the_report_that_is_sent(department, study, open_page):
    uid, _ = study
    archive = connect(department.behind_the_proxy)
    _until(lambda: "SR" in {entry.modality for entry in archive.series(uid)})
    login = {"username": LOGIN[0], "password": LOGIN[1]}
    page = open_page(
        f"{department.address}/brat/worklist?study={uid}", ignore_https_errors=True, http_credentials=login
    )
    playwright.expect(page.get_by_text("1 of 1 shown.")).to_be_visible()
    page.get_by_role("button", name="Review from the top").click()
    page.get_by_role("button", name="Read this slice alone").click()
    page.locator("[class*='st-key-verdict-']").get_by_text("Agree", exact=True).click()
    page.get_by_role("textbox", name="Your name").fill("Dr. Roentgen")
    page.get_by_role("button", name="Keep", exact=True).click()
    playwright.expect(page.get_by_text("Kept by")).to_be_visible()
    engine = create_engine(department.store)
    try:
        (act,) = trail(engine)
    finally:
        engine.dispose()
    assert (act.action, act.person, act.verified) == ("kept", "Dr. Roentgen", False)
    page.get_by_role("button", name="Worklist").click()
    page.get_by_role("button", name="Send results to the archive").click()
    _until(lambda: len(_reports(archive, uid)) == 2)
    replaced, report = sorted(_reports(archive, uid), key=lambda one: "PredecessorDocumentsSequence" in one)
    assert "Dr. Roentgen" in report.to_json()
    assert "Dr. Roentgen" not in replaced.to_json()


def test_a_program_reads_with_its_key_alone(department):
    trusted = ssl.create_default_context(cafile=department.behind_the_proxy.ca)

    def ask(**headers):
        request = urllib.request.Request(
            f"{department.address}/api/v1/readings",
            known_dicom(),
            {"Content-Type": "application/octet-stream", **headers},
        )
        with urllib.request.urlopen(request, timeout=60, context=trusted) as answer:
            return json.load(answer)

    (reading,) = ask(Authorization=f"Bearer {KEY}")["readings"]
    assert reading["label"] == known_label()
    with pytest.raises(urllib.error.HTTPError, match="401"):
        ask()


def test_the_page_of_the_api_needs_nothing_that_the_policy_forbids(department, open_page):
    page = open_page("about:blank", ignore_https_errors=True)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(f"{department.address}/api/docs")
    playwright.expect(page.get_by_text("/api/v1/readings").first).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert [text for text in complaints if "Content Security Policy" in text] == []
