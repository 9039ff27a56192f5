"""An Orthanc of our own, with its DICOMweb plugin, on this computer only, for as long as a test needs it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

_PLUGINS = (Path("/usr/share/orthanc/plugins"), Path("/usr/lib/orthanc"))


class Orthanc(NamedTuple):
    """Where it listens.

    Attributes:
        url: of its own REST interface; `url`/dicom-web is DICOMweb.
        port: of DICOM.
    """

    url: str
    port: int

    @property
    def dicomweb(self) -> str:
        return f"{self.url}/dicom-web"

    def get(self, path: str) -> object:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as answer:
            return json.loads(answer.read())


def why_not() -> str:
    """Why there is none; empty where there is."""
    if not _program():
        return "Orthanc is not installed (Debian: orthanc)"
    if not _plugin():
        return "Orthanc's DICOMweb plugin is not installed (Debian: orthanc-dicomweb)"
    return ""


@contextmanager
def orthanc(folder: Path, plugins: tuple[str, ...] = (), **settings: object) -> Iterator[Orthanc]:
    """Start one.

    Args:
        folder: of its own, for what it stores.
        plugins: files of further plugins.
        settings: of Orthanc, beside those that are needed.
    """
    program, plugin = _program(), _plugin()
    assert program
    assert plugin
    http, dicom = free_port(), free_port()
    configuration = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "HttpPort": http,
        "DicomPort": dicom,
        "DicomAet": "ORTHANC",
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "Plugins": [str(plugin), *plugins],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        **settings,
    }
    file = folder / "orthanc.json"
    file.write_text(json.dumps(configuration), encoding="utf-8")
    with (folder / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([program, str(file)], stdout=log, stderr=log, cwd=folder)
        try:
            _wait(f"http://127.0.0.1:{http}/", process, folder / "orthanc.log")
            yield Orthanc(f"http://127.0.0.1:{http}", dicom)
        finally:
            process.terminate()
            process.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(url: str, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            assert process.poll() is None, log.read_text(errors="replace")
            time.sleep(0.05)
    raise TimeoutError(log.read_text(errors="replace"))


def python_plugin() -> Path | None:
    """The file of Orthanc's plugin that runs Python (Debian: orthanc-python); None where there is none."""
    return next((file for folder in _PLUGINS for file in sorted(folder.glob("libOrthancPython.so*"))), None)


def _program() -> str | None:
    return shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")


def _plugin() -> Path | None:
    return next((file for folder in _PLUGINS for file in sorted(folder.glob("libOrthancDicomWeb.so*"))), None)
