"""What nginx, as `deploy/nginx.conf` has it, lets through, and before what."""

import base64
import http.client
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from tests.factories import nginx
from tests.factories.paths import ROOT


@contextmanager
def service(status: int) -> Iterator[tuple[str, list[str]]]:
    """One that answers at once, whatever is still to come; where it is, and what it was asked."""
    asked: list[str] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append(f"{handler.command} {handler.path}")
        handler.send_response(status)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        handler.close_connection = True

    methods = {f"do_{method}": answer for method in ("GET", "POST", "PUT", "DELETE")}
    silent = {"log_message": lambda *_: None}
    handler = type("Handler", (BaseHTTPRequestHandler,), methods | silent)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    if reason := nginx.why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("proxy")
    with (
        service(200) as (archive, asked),
        service(401) as (api, _),
        nginx.nginx(folder, {"orthanc:8042": archive, "api:8600": api}) as address,
    ):
        trusted = ssl.create_default_context(cafile=folder / "certificate")
        host = address.removeprefix("https://")
        yield lambda: http.client.HTTPSConnection(host, timeout=10, context=trusted), asked


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ("GET /pacs/dicom-web/studies?limit=1", 200),
        ("POST /pacs/dicom-web/studies", 200),
        ("GET /pacs/wado?requestType=WADO", 200),
        ("DELETE /pacs/dicom-web/studies/1.2", 403),
        ("PUT /pacs/dicom-web/servers/elsewhere", 403),
        ("POST /pacs/wado", 403),
        ("GET /pacs/system", 404),
        ("POST /pacs/tools/shutdown", 404),
        ("DELETE /pacs/studies/1", 404),
        ("POST /pacs/dicom-web/../tools/shutdown", 404),
        ("POST /pacs/dicom-web/%2e%2e/tools/shutdown", 404),
        ("POST /pacs/dicom-web%2f..%2ftools/shutdown", 404),
    ],
)
def test_of_the_archive_only_dicomweb_is_reached(proxy, request_, status):
    connect, asked = proxy
    login = base64.b64encode(f"radiology:{nginx.PASSWORD}".encode()).decode()
    method, path = request_.split()
    asked.clear()
    connection = connect()
    connection.request(method, path, b"" if method == "POST" else None, {"Authorization": f"Basic {login}"})
    assert connection.getresponse().status == status
    assert asked == ([request_.replace("/pacs", "")] if status == 200 else [])


def test_who_has_no_key_is_turned_away_before_a_body_is_taken(proxy):
    connect, _ = proxy
    connection = connect()
    connection.putrequest("POST", "/api/v1/readings")
    connection.putheader("Content-Length", "200000000")
    connection.endheaders()
    assert connection.getresponse().status == 401


def test_the_proxy_starts_again_with_what_it_stands_before():
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
    before = compose["services"]["proxy"]["depends_on"]
    assert set(before) == {name.partition(":")[0] for name in nginx.UPSTREAMS}
    assert all(how["restart"] is True for how in before.values())
