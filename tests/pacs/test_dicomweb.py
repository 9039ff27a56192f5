"""What is no DICOMweb, or damaged, is a sentence that names no patient."""

import http.server
import io
import subprocess
import sys
import threading
from types import SimpleNamespace

import pydicom
import pytest
import requests

pytest.importorskip("dicomweb_client", reason="dicomweb-client is not installed")

from brat.pacs.archive import PacsError, Query, SeriesEntry, Server
from brat.pacs.connect import connect
from brat.pacs.dicomweb import DicomWeb
from tests.factories.paths import ROOT
from tests.factories.samples import known_series

SERIES = SeriesEntry("1.2", "1.3", "1", "MR", "", None)
STUDY = b'"0020000D": {"vr": "UI", "Value": ["1.2"]}'


class Answering:
    """A server that answers everything with the same."""

    def __init__(self):
        self.kind, self.content = "application/dicom+json", b""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", outer.kind)
                self.send_header("Content-Length", str(len(outer.content)))
                self.end_headers()
                self.wfile.write(outer.content)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/dicom-web"


@pytest.fixture
def answering():
    answering = Answering()
    yield answering
    answering.server.shutdown()


@pytest.mark.parametrize(
    "content",
    [
        b"[1]",
        b'{"a": 1}',
        b"[[]]",
        b"null",
        b"3",
        b"no JSON",
        b'[{"0020000D": 5}]',
        b'[{"0020000D": {"vr": "UI", "Value": 5}}]',
        b'[{"name": {"vr": "UI"}}]',
        b"[{" + STUDY + b', "00201209": {"vr": "IS", "Value": ["many"]}}]',
        b"[" * 100_000,
    ],
)
def test_an_answer_that_is_no_dicomweb_is_a_sentence(answering, content):
    answering.content = content
    archive = connect(Server("odd", url=answering.url))
    for ask in (
        lambda: archive.studies(Query()),
        lambda: archive.series("1.2"),
        lambda: archive.instances(SERIES),
        lambda: archive.header(SERIES),
    ):
        with pytest.raises(PacsError, match="answers, but not as DICOMweb does"):
            ask()


@pytest.mark.parametrize(
    "odd",
    [
        b"5",
        b"{}",
        b'{"0020000D": {"Value": ["1.3"]}}',
        b'{"0020000D": {"vr": "UI", "Value": ["../.."]}}',
    ],
)
def test_a_study_that_cannot_be_opened_keeps_no_other_away(answering, odd):
    answering.content = b"[" + odd + b", {" + STUDY + b"}]"
    first, second = connect(Server("odd", url=answering.url)).studies(Query())
    assert (first.study, second.study, second.problem) == ("", "1.2", "")
    assert "no UID" in first.problem


@pytest.mark.parametrize(
    "odd",
    [
        b'"00100010": {"vr": "PN", "Value": [{"Alphabetic": 5}]}',
        b'"00100010": {"Value": ["A^B"]}',
        b'"00100010": {"vr": "LO", "Value": "A"}',
        b'"00080020": {"vr": "SQ", "Value": ["20261126"]}',
        b'"00201208": {"vr": "IS", "Value": ["many"]}',
    ],
)
def test_an_odd_value_keeps_nothing_else_of_a_study_away(answering, odd):
    study = STUDY + b', "00081030": {"vr": "LO", "Value": ["brain"]}'
    answering.content = b"[{" + study + b"}, {" + study + b", " + odd + b"}]"
    first, second = connect(Server("odd", url=answering.url)).studies(Query())
    assert (second.study, second.description, second.problem) == ("1.2", "brain", "")
    assert (second.patient_name, second.date) == ("", "")
    assert first == second


@pytest.mark.parametrize("says", [409, None], ids=["HTTP", "of the instance"])
def test_an_archive_that_takes_nothing_deflated_gets_it_inflated(monkeypatch, says):
    known = pydicom.dcmread(io.BytesIO(known_series()[0]))
    known.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    written, taken = io.BytesIO(), []
    known.save_as(written)

    def store(datasets):
        answer, one = pydicom.Dataset(), pydicom.Dataset()
        if any(dataset.file_meta.TransferSyntaxUID.is_deflated for dataset in datasets):
            if says:
                raise requests.HTTPError(response=SimpleNamespace(status_code=says))
            answer.FailedSOPSequence = [one]
        else:
            taken.extend(datasets)
            answer.ReferencedSOPSequence = [one]
        return answer

    archive = DicomWeb(Server("old", url="http://127.0.0.1:1"))
    monkeypatch.setattr(archive, "_client", SimpleNamespace(store_instances=store))
    archive.store([written.getvalue()])
    (came,) = taken
    assert came.PixelData == known.PixelData
    assert came.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian


@pytest.mark.parametrize("part", [b"no DICOM", b""])
def test_instances_that_are_no_dicom_are_a_sentence(answering, part):
    answering.kind = 'multipart/related; type="application/dicom"; boundary=x'
    answering.content = b"--x\r\nContent-Type: application/dicom\r\n\r\n" + part + b"\r\n--x--\r\n"
    with pytest.raises(PacsError, match="answers, but not as DICOMweb does"):
        list(connect(Server("odd", url=answering.url)).fetch(SERIES))


def test_odd_values_of_an_answer_are_not_printed(answering, tmp_path):
    """pydicom warns of a date that is none, and repeats it."""
    answering.content = (
        b"[{" + STUDY + b', "00100030": {"vr": "DA", "Value": ["Planted"]}, '
        b'"00100010": {"vr": "PN", "Value": ["Planted^Name"]}}]'
    )
    settings = tmp_path / "secrets.toml"
    settings.write_text(f'[pacs.odd]\nurl = "{answering.url}"\n')
    main = "import sys; from brat.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", main, "pacs", "find", "odd", "--settings", str(settings)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert found.returncode == 0
    assert "1.2" in found.stdout
    assert "Planted" not in found.stdout + found.stderr
