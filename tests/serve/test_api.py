"""The HTTP API: what it reads, whom it refuses and how it says so."""

import asyncio
import base64
import importlib.util
import io
import logging
import re
import shutil
import socket
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image

pytest.importorskip("fastapi_offline", reason="fastapi-offline is not installed")
pytest.importorskip("highdicom", reason="highdicom is not installed")

import uvicorn
from python_multipart.multipart import MultipartParser
from starlette.requests import Request

from brat import cli
from brat.environment import CORES, WEIGHTS
from brat.io.read import read_scan
from brat.io.samples import load_samples
from brat.io.scan import UnreadableScan
from brat.io.workers import owner
from brat.model.pool import Readers
from brat.model.reader import Reader
from brat.serve import protocol, readings
from brat.serve.app import ARRIVING, _upload, make_app
from brat.serve.command import read_keys
from brat.serve.protocol import Protocol
from tests.factories.files import slice_of, volume, zipped
from tests.factories.heads import synthetic_head
from tests.factories.log import Recorder
from tests.factories.orthanc import free_port
from tests.factories.pages import page_of, png
from tests.factories.paths import ROOT
from tests.factories.samples import known_enhanced
from tests.factories.weights import recalibrated

KEY = "a-key-of-more-than-twenty-characters"
PICTURE = next(s.file for s in load_samples() if s.file.suffix == ".png")
DICOM = next(s.file for s in load_samples() if s.file.suffix == ".dcm")


class Served:
    """An application behind a real server, as a client meets it."""

    def __init__(self, app):
        self.port = free_port()
        self._server = uvicorn.Server(
            uvicorn.Config(app, port=self.port, log_level="error", access_log=False, http=Protocol)
        )
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self):
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
        return self

    def __exit__(self, *_):
        self._server.should_exit = True
        self._thread.join(10)

    def ask(self, path: str, data: bytes | None = None, key: str = KEY, **headers: str):
        import json

        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=data)
        for name, value in {"Content-Type": "application/octet-stream", **headers}.items():
            request.add_header(name, value)
        if key:
            request.add_header("Authorization", f"Bearer {key}")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                content = answer.read()
                return answer.status, json.loads(content) if answer.headers[
                    "Content-Type"
                ] == "application/json" else content
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())


@pytest.fixture(scope="module")
def api():
    with Served(make_app([KEY])) as served:
        yield served


def test_a_picture_gets_the_reading_of_the_library(api):
    status, answer = api.ask("/api/v1/readings", PICTURE.read_bytes())
    assert status == 200
    (reading,) = answer["readings"]
    scan, reader = read_scan(PICTURE), Reader()
    expected = reader.read(scan.gray)
    assert reading["digest"] == scan.digest
    assert reading["label"] == expected.prediction.label
    assert reading["probabilities"] == pytest.approx(expected.prediction.by_class(), abs=1e-6)
    assert reading["prediction_sets"]["0.95"] == list(expected.sets[0.95])
    assert reading["in_distribution"] == expected.ood.in_distribution
    assert answer["model"] == reader.classifier.digest
    assert "overlay" not in reading
    assert "dicom" not in answer


def test_a_form_does_as_well(api):
    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        + PICTURE.read_bytes()
        + b"\r\n--x--\r\n"
    )
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    status, answer = api.ask("/api/v1/readings", body, **form)
    assert status == 200
    assert answer["readings"][0]["name"] == "a.png"
    status, answer = api.ask("/api/v1/readings", b"--x--\r\n", **form)
    assert status == 422
    assert "field `file`" in answer["detail"]


def test_dicom_gets_overlay_and_report_on_request(api):
    status, answer = api.ask("/api/v1/readings?overlay=true&report=true", DICOM.read_bytes())
    assert status == 200
    assert base64.b64decode(answer["readings"][0]["overlay"]).startswith(b"\x89PNG")
    (objects,) = answer["dicom"]
    report = pydicom.dcmread(io.BytesIO(base64.b64decode(objects["sr"])))
    assert report.Modality == "SR"
    assert report.StudyInstanceUID == pydicom.dcmread(DICOM).StudyInstanceUID
    status, answer = api.ask("/api/v1/readings?report=true", PICTURE.read_bytes())
    assert status == 422


def test_an_overlay_has_colour_only_where_the_map_says_something(api):
    marked = set()
    noise = np.random.default_rng(0).integers(0, 256, (300, 300), np.uint8)
    for data in (noise_png := png(noise), *(sample.file.read_bytes() for sample in load_samples())):
        status, answer = api.ask("/api/v1/readings?overlay=true", data)
        if status != 200 or len(answer["readings"]) > 1:
            continue
        (record,) = answer["readings"]
        with Image.open(io.BytesIO(base64.b64decode(record["overlay"]))) as picture:
            has_colour = bool(np.ptp(np.array(picture.convert("RGB")).astype(int), axis=2).any())
        says = record["in_distribution"] and record["label"] != "no_tumor"
        assert has_colour == says, record["name"]
        marked.add((data is noise_png, says))
    assert marked == {(True, False), (False, True), (False, False)}


def test_a_file_of_frames_gets_a_report_too_and_a_volume_says_why_not(api):
    status, answer = api.ask("/api/v1/readings?report=true", known_enhanced())
    assert status == 200
    assert len(answer["readings"]) == 4
    (objects,) = answer["dicom"]
    assert set(objects) == {"name", "sr", "map", "pm"}
    report = pydicom.dcmread(io.BytesIO(base64.b64decode(objects["sr"])))
    frames = [element.value for element in report.iterall() if element.keyword == "ReferencedFrameNumber"]
    assert frames[1:] == [2, 4, 3, 1]
    status, answer = api.ask("/api/v1/readings?report=true", volume())
    assert status == 422
    assert "is not DICOM" in answer["detail"]


def test_volumes_and_archives_are_read_slice_by_slice(api):
    status, answer = api.ask("/api/v1/readings", volume())
    assert status == 200
    assert [r["slice"] for r in answer["readings"]] == [1, 2, 3, 4, 5, 6]
    assert "all over" in answer["readings"][0]["error"]
    files = zipped({"a.png": PICTURE.read_bytes(), "b.txt": b"no scan at all"})
    status, answer = api.ask("/api/v1/readings", files)
    assert status == 200
    assert [("error" in reading) for reading in answer["readings"]] == [False, True]


def test_each_item_is_opened_once(monkeypatch):
    """One that is not read, too; a page of several slices once more for each of them."""
    opened = []
    load = readings.load
    monkeypatch.setattr(readings, "load", lambda item: opened.append(item.name) or load(item))
    page = png(page_of([synthetic_head(250, 250, seed=seed) for seed in range(2)], 2, gutter=8))
    files = {"a.png": PICTURE.read_bytes(), "b.png": PICTURE.read_bytes()[:900], "c.png": page}
    answer = readings.read_file("a.zip", zipped(files), Readers(), overlays=False, report=False)
    names = [f"a.zip/{name}" for name in ("a.png", "b.png", "c.png")]
    panels = [f"{names[2]}, panel {number} of 2" for number in (1, 2)]
    assert opened == [*names, *panels]
    assert [reading["name"] for reading in answer["readings"]] == [*names[:2], *panels]


def test_more_slices_than_an_answer_has_room_for_are_refused_among_other_items(monkeypatch):
    monkeypatch.setattr(readings, "MAX_SLICES", 3)
    files = zipped({"a.png": PICTURE.read_bytes(), "b.nii": volume()})
    with pytest.raises(UnreadableScan, match="more than 3 slices"):
        readings.read_file("a.zip", files, Readers(), overlays=False, report=False)


def test_a_series_that_there_is_no_room_for_is_refused_before_it_is_read(monkeypatch):
    monkeypatch.setattr(readings, "MAX_SLICES", 3)
    with monkeypatch.context() as patch:
        patch.setattr(readings, "read_stack", lambda *_: pytest.fail("a slice was read"))
        with pytest.raises(UnreadableScan, match="more than 3 slices"):
            readings.read_file("b.nii", volume(), Readers(), overlays=False, report=False)
    pictures = {f"{number}.png": PICTURE.read_bytes() for number in range(3)}
    full = zipped(pictures | {"z.txt": b"notes"})
    answer = readings.read_file("a.zip", full, Readers(), overlays=False, report=False)
    assert ["error" in record for record in answer["readings"]] == [False] * 3 + [True]
    # What cannot be read is no slice, and takes the room of none.
    full = zipped({"0.txt": b"notes"} | pictures)
    answer = readings.read_file("a.zip", full, Readers(), overlays=False, report=False)
    assert ["error" in record for record in answer["readings"]] == [True] + [False] * 3
    more = zipped(pictures | {"z.png": PICTURE.read_bytes()})
    with pytest.raises(UnreadableScan, match="more than 3 slices"):
        readings.read_file("a.zip", more, Readers(), overlays=False, report=False)


def test_what_is_to_be_known_beside_an_answer_is_in_its_record(api):
    knee = {"BodyPartExamined": "KNEE"}
    files = {f"a/{n}": slice_of(n, **knee) for n in range(3)}
    status, answer = api.ask("/api/v1/readings", zipped(files | {"a/copy": files["a/1"]}))
    assert status == 200
    assert [reading["remarks"] for reading in answer["readings"]] == [
        [
            "1 file is a copy of another that is here already, and was left out.",
            "By its header this shows a knee. The model knows the head only.",
        ]
    ] * 3
    one = nibabel.Nifti1Image.from_bytes(volume(shrink=4)).get_fdata().astype(np.uint8)
    both = nibabel.Nifti1Image(np.stack([one, one], axis=-1), np.diag([1.0, 1, 1, 1])).to_bytes()
    status, answer = api.ask("/api/v1/readings", both)
    assert answer["readings"][2]["remarks"][0] == "Of 2 volumes the first was read."
    status, answer = api.ask("/api/v1/readings", slice_of(1))
    assert answer["readings"][0]["remarks"] == []


def test_what_cannot_be_read_is_a_sentence(api):
    for data in (b"", b"these are notes", DICOM.read_bytes()[:2000]):
        status, answer = api.ask("/api/v1/readings", data)
        assert status == 422, data[:20]
        assert answer["detail"].endswith(".")


@pytest.mark.parametrize("key", ["", "wrong", KEY + "x"])
def test_without_a_key_nothing_is_read(api, key):
    for path, data in (("/api/v1/readings", b"x"), ("/api/v1/model", None)):
        status, answer = api.ask(path, data, key=key)
        assert status == 401
        assert "Bearer" in answer["detail"]


def test_health_and_readiness_need_no_key_and_say_what_they_see(api, tmp_path):
    assert api.ask("/api/health", key="") == (200, {"status": "ok"})
    assert api.ask("/api/ready", key="") == (200, {"status": "ready"})
    weights = tmp_path / "weights"
    shutil.copytree(WEIGHTS, weights)
    (weights / "model.tflite").write_bytes(b"damaged")
    with Served(make_app(weights=weights)) as broken:
        assert broken.ask("/api/health")[0] == 200
        assert broken.ask("/api/ready") == (503, {"status": "no model"})
        status, answer = broken.ask("/api/v1/readings", PICTURE.read_bytes())
        assert status == 503
        assert "cannot be used" in answer["detail"]
        status, answer = broken.ask("/api/v1/model")
        assert status == 503
        assert "in the log" in answer["detail"]


def test_who_asks_whether_it_is_ready_takes_one_thread_however_often(monkeypatch):
    asked = []

    class Slow(Readers):
        def __call__(self):
            asked.append(threading.get_ident())
            time.sleep(0.05)
            return super().__call__()

    monkeypatch.setattr("brat.serve.app.Readers", Slow)
    with Served(make_app()) as served, ThreadPoolExecutor(8) as crowd:
        assert {status for status, _ in crowd.map(lambda _: served.ask("/api/ready"), range(16))} == {200}
    assert len(asked) == 16
    assert len(set(asked)) == 1


def test_what_nobody_foresaw_has_an_id_that_is_found_in_the_log(monkeypatch):
    def read(*_):
        raise ZeroDivisionError("of the patient Planted^Name")

    monkeypatch.setattr("brat.serve.app.read_file", read)
    recorder = Recorder()
    with Served(make_app()) as served:
        monkeypatch.setattr(logging.getLogger("brat"), "handlers", [recorder])
        status, answer = served.ask("/api/v1/readings", PICTURE.read_bytes())
        assert served.ask("/api/health")[0] == 200
    assert status == 500
    (error_id,) = re.findall(r"error ([0-9a-f]{8}) in the log", answer["detail"])
    (fields,) = [record.fields for record in recorder.records if record.levelno == logging.ERROR]
    assert fields["error_id"] == error_id
    assert "ZeroDivisionError" in fields["causes"][0]
    assert "Planted" not in f"{fields} {answer}"


def test_the_model_says_who_it_is(api):
    status, answer = api.ask("/api/v1/model")
    assert status == 200
    assert answer["digest"] == Reader().classifier.digest
    assert 0.95 in answer["levels"]
    assert "Not a medical device" in answer["notice"]


def test_an_answer_names_the_recalibration_that_was_used(api, tmp_path):
    site = recalibrated(tmp_path / "weights")
    said = {"sha256": site.digest, "site": site.site, "slices": site.slices, "fitted": site.fitted}
    with Served(make_app([KEY], tmp_path / "weights")) as served:
        for path, data in (("/api/v1/readings", PICTURE.read_bytes()), ("/api/v1/model", None)):
            assert served.ask(path, data)[1]["recalibration"] == said
            assert api.ask(path, data)[1]["recalibration"] is None


def test_the_openapi_page_asks_no_other_server(api):
    status, page = api.ask("/api/docs", key="")
    assert status == 200
    assert b"https://" not in page
    status, description = api.ask("/api/openapi.json", key="")
    assert {"/api/v1/readings", "/api/v1/model", "/api/health", "/api/ready"} <= set(description["paths"])


def test_too_large_a_body_is_refused_whether_or_not_it_says_so():
    import http.client

    with Served(make_app(max_bytes=1000)) as small:
        status, answer = small.ask("/api/v1/readings", bytes(1001))
        assert status == 413
        assert "1,000 bytes" in answer["detail"]
        connection = http.client.HTTPConnection("127.0.0.1", small.port, timeout=20)
        connection.request("POST", "/api/v1/readings", iter([bytes(600), bytes(600)]), encode_chunked=True)
        assert connection.getresponse().status == 413


def test_more_requests_than_there_are_places_are_told_to_come_back():
    import http.client

    with Served(make_app(waiting=1)) as busy:
        slow = http.client.HTTPConnection("127.0.0.1", busy.port, timeout=20)
        slow.putrequest("POST", "/api/v1/readings")
        slow.putheader("Content-Length", "10")
        slow.endheaders()
        # Its place is taken once its body is awaited.
        for _ in range(100):
            status, _answer = busy.ask("/api/v1/readings", PICTURE.read_bytes())
            if status == 503:
                break
        assert status == 503
        assert busy.ask("/api/health")[0] == 200
        slow.close()
        for _ in range(100):
            status, _answer = busy.ask("/api/v1/readings", PICTURE.read_bytes())
            if status == 200:
                break
        assert status == 200


def test_a_body_that_does_not_come_gives_its_place_back(monkeypatch):
    import http.client

    monkeypatch.setattr("brat.serve.app.ARRIVING", 0.3)
    with Served(make_app(waiting=1)) as served:
        slow = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
        slow.putrequest("POST", "/api/v1/readings")
        slow.putheader("Content-Length", "10")
        slow.endheaders()
        assert slow.getresponse().status == 408
        assert served.ask("/api/v1/readings", PICTURE.read_bytes())[0] == 200


@pytest.mark.parametrize(("speed", "left"), [(100_000, 60), (1_000_000, 60), (50_000, 60), (40_000, 0)])
def test_a_slow_client_is_waited_for_while_it_gets_on_and_no_longer_for_having_been_fast(speed, left):
    """30 MB, of which some come every ten seconds. Left are the seconds that it may be silent then."""
    clock, coming = 0.0, 30_000_000

    class Limit:
        at = ARRIVING

        def when(self):
            return self.at

        def reschedule(self, at):
            assert self.at > clock
            self.at = at

    async def receive():
        nonlocal clock, coming
        clock, coming = clock + 10, coming - 10 * speed
        return {"type": "http.request", "body": bytes(10 * speed), "more_body": coming > 0}

    async def upload():
        asyncio.get_running_loop().time = lambda: clock
        request = Request({"type": "http", "headers": []}, receive)
        await _upload(request, 100_000_000, lambda _: None, limit)

    limit = Limit()
    if left:
        asyncio.run(upload())
        assert limit.at - clock == pytest.approx(left)
    else:
        with pytest.raises(AssertionError):
            asyncio.run(upload())


PART = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n1\r\n'
FILE = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n%s\r\n'

FORMS = {
    "parts": PART % b"a" * 100,
    "files": (FILE % b"" + b"1\r\n") * 2,
    "headers": FILE % (b"X: y\r\n" * 10_000),
    "a header": FILE % (b"X: " + b"y" * 100_000 + b"\r\n"),
    "a field": PART % (b"a" * 100_000),
}


@pytest.mark.parametrize(
    ("kind", "said"),
    [("Multipart/Form-Data", ""), ("multipart/form-data; charset=undefined", "The form is damaged")],
)
def test_a_form_by_another_spelling_is_one_and_of_an_odd_charset_is_a_sentence(api, kind, said):
    form = FILE % b"" + PICTURE.read_bytes() + b"\r\n--x--\r\n"
    status, answer = api.ask("/api/v1/readings", form, **{"Content-Type": f"{kind}; boundary=x"})
    assert status == (422 if said else 200)
    assert answer["detail"].startswith(said) if said else answer["readings"][0]["name"] == "a.png"


@pytest.mark.parametrize("what", FORMS)
def test_a_form_with_too_much_in_it_is_refused_before_it_has_come(what):
    """Nothing more comes, and yet there is an answer."""
    with (
        Served(make_app(waiting=1)) as served,
        socket.create_connection(("127.0.0.1", served.port), 30) as asking,
    ):
        head = "POST /api/v1/readings HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n"
        asking.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n".encode())
        asking.sendall(FORMS[what])
        assert asking.recv(12) == b"HTTP/1.1 422"


def test_a_form_is_written_to_no_disk(api, monkeypatch):
    monkeypatch.setattr("tempfile.SpooledTemporaryFile.rollover", lambda _: pytest.fail("It is written."))
    form = FILE % b"" + bytes(3_000_000) + b"\r\n--x--\r\n"
    status, answer = api.ask("/api/v1/readings", form, **{"Content-Type": "multipart/form-data; boundary=x"})
    assert (status, "not an image" in answer["detail"]) == (422, True)


def test_a_form_as_large_as_may_be_keeps_the_loop_for_no_long_piece(monkeypatch):
    """The parser has it in pieces as they come, not all at once when it is there."""
    pieces = []
    write = MultipartParser.write

    def written(parser, data):
        pieces.append(len(data))
        return write(parser, data)

    monkeypatch.setattr(MultipartParser, "write", written)
    form = FILE % b"" + bytes(8_000_000) + b"\r\n--x--\r\n"
    with Served(make_app()) as served:
        served.ask("/api/v1/readings", form, **{"Content-Type": "multipart/form-data; boundary=x"})
    assert sum(pieces) == len(form)
    assert max(pieces) <= 1_000_000


@pytest.mark.parametrize("beginning", [b"", b"GET /api/health HTTP/1.1\r\nX: "])
def test_who_connects_and_does_not_ask_is_cut_off(monkeypatch, beginning):
    monkeypatch.setattr(protocol, "ASKING", 0.3)
    with Served(make_app()) as served, socket.create_connection(("127.0.0.1", served.port), 30) as silent:
        silent.sendall(beginning)
        assert closed(silent)


def test_who_asked_once_and_begins_again_is_cut_off_and_who_waits_for_an_answer_is_not(monkeypatch):
    monkeypatch.setattr(protocol, "ASKING", 0.3)
    monkeypatch.setattr("brat.serve.app.ARRIVING", 1.5)
    with Served(make_app()) as served, socket.create_connection(("127.0.0.1", served.port), 30) as asking:
        asking.sendall(b"GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert asking.recv(4096).startswith(b"HTTP/1.1 200")
        asking.sendall(b"GET /api/heal")
        assert closed(asking)
        with socket.create_connection(("127.0.0.1", served.port), 30) as slow:
            slow.sendall(b"POST /api/v1/readings HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
            assert slow.recv(12) == b"HTTP/1.1 408"


def test_connections_that_are_too_many_are_closed(monkeypatch):
    monkeypatch.setattr(protocol, "CONNECTIONS", 2)
    with Served(make_app()) as served:
        held = [socket.create_connection(("127.0.0.1", served.port), 30) for _ in range(3)]
        assert closed(held.pop())
        held[0].sendall(b"GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert held[0].recv(12) == b"HTTP/1.1 200"
        for each in held:
            each.close()


def closed(connection: socket.socket) -> bool:
    """Whether the other side ends it, which is waited for."""
    while True:
        try:
            if not connection.recv(4096):
                return True
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


def test_bodies_that_wait_have_one_room_for_all_and_half_of_it_for_a_key(monkeypatch):
    go_on, begun = threading.Event(), threading.Semaphore(0)

    def read(name, data, *_):
        begun.release()
        assert go_on.wait(30)
        return {"readings": []}

    monkeypatch.setattr("brat.serve.app.read_file", read)
    monkeypatch.setattr("brat.serve.app.CORES", 2)
    other, body = KEY[::-1], bytes(1000)
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + bytes(600)
    form += b"\r\n--x--\r\n"
    with Served(make_app([KEY, other], max_bytes=1000, waiting=20)) as served, ThreadPoolExecutor(4) as crowd:
        ask = "/api/v1/readings"
        first = [crowd.submit(served.ask, ask, body), crowd.submit(served.ask, ask, bytes(500))]
        for _ in first:
            assert begun.acquire(timeout=30)
        # 500 are left to this key.
        status, answer = served.ask(ask, form, **{"Content-Type": "multipart/form-data; boundary=x"})
        assert (status, "Too many" in answer["detail"]) == (503, True)
        assert served.ask(ask, bytes(501))[0] == 503
        another = crowd.submit(served.ask, ask, body, other)
        assert begun.acquire(timeout=30)
        go_on.set()
        assert {done.result()[0] for done in (*first, another)} == {200}
        # What was held, also by what was refused, is given back.
        assert served.ask(ask, form, **{"Content-Type": "multipart/form-data; boundary=x"})[0] == 200
        assert served.ask(ask, body)[0] == 200


def test_one_key_takes_neither_all_places_nor_all_threads(monkeypatch):
    """One program sends what never ends, wherever it may, and another program's scan is read meanwhile."""
    go_on, begun = threading.Event(), threading.Semaphore(0)
    asked: list[object] = []

    def read(name, data, *_):
        if data == b"endless":
            asked.append(owner.get())
            begun.release()
            assert go_on.wait(30)
        return {"readings": [], "model": ""}

    monkeypatch.setattr("brat.serve.app.read_file", read)
    other = f"another-{KEY}"
    with Served(make_app([KEY, other], waiting=16 * CORES)) as served:
        greedy = []
        threads = [
            threading.Thread(target=lambda: greedy.append(served.ask("/api/v1/readings", b"endless")[0]))
            for _ in range(16 * CORES)
        ]
        for thread in threads:
            thread.start()
        for _ in range(CORES):
            assert begun.acquire(timeout=30)
        assert served.ask("/api/v1/readings", b"a scan", key=other)[0] == 200
        go_on.set()
        for thread in threads:
            thread.join(30)
    assert greedy.count(503) == greedy.count(200) == 8 * CORES
    # Places of the reading processes are counted for the key.
    assert len(set(asked)) == 1
    assert asked[0]


def test_keys_are_asked_for_where_others_could_ask(tmp_path, capsys):
    assert cli.main(["serve", "--address", "0.0.0.0"]) == 2
    assert "--keys" in capsys.readouterr().err
    file = tmp_path / "keys"
    file.write_text(f"{KEY}  # the RIS\n\n")
    assert read_keys(file) == [KEY]
    file.write_text("short\n")
    with pytest.raises(ValueError, match="20 characters"):
        read_keys(file)


def test_the_client_of_the_documentation_works(api, tmp_path):
    spec = importlib.util.spec_from_file_location("client", ROOT / "deploy" / "client.py")
    client = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(client)
    server = f"http://127.0.0.1:{api.port}"
    assert client.read(server, str(PICTURE), KEY)["readings"][0]["label"]
    (tmp_path / "notes").write_bytes(b"no scan")
    with pytest.raises(ValueError, match="not an image"):
        client.read(server, str(tmp_path / "notes"), KEY)


def test_the_curl_of_the_documentation_works(api, tmp_path):
    import json
    import re
    import subprocess

    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    page = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^curl .*/api/v1/readings.*$", page, re.MULTILINE)
    (tmp_path / "scan.dcm").write_bytes(DICOM.read_bytes())
    command = line.replace("https://SITE", f"http://127.0.0.1:{api.port}").replace("KEY", KEY)
    done = subprocess.run(
        ["bash", "-c", f"{command} --silent --fail"], cwd=tmp_path, capture_output=True, timeout=60
    )
    answer = json.loads(done.stdout)
    assert {"label", "overlay"} <= set(answer["readings"][0])
    assert "sr" in answer["dicom"][0]
    # That of the client's own page as well.
    script = (ROOT / "deploy" / "client.py").read_text(encoding="utf-8")
    assert re.search(r"^    curl .*/api/v1/readings\?report=true\"$", script, re.MULTILINE)
