"""An archive that hangs is given up, however it hangs, and its threads are free again."""

import threading

import pytest

pytest.importorskip("pynetdicom", reason="pynetdicom is not installed")
pytest.importorskip("dicomweb_client", reason="dicomweb-client is not installed")

from brat.pacs import dicomweb, dimse, listening
from brat.pacs.archive import PacsError, Query, SeriesEntry, Server
from brat.pacs.connect import connect
from tests.factories.hung import hung

SERIES = SeriesEntry("1.2", "1.3", "1", "MR", "", None)
EVERY = 0.05
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\nContent-Length: 100000\r\n\r\n["

HANGING = {
    "silent": {},
    "a byte of a header now and then": {"beginning": b"HTTP/1.1 200 OK\r\nX: ", "every": EVERY},
    "a byte of an answer now and then": {"beginning": JSON, "every": EVERY / 20},
}

ASKED = {
    "echo": lambda archive: archive.echo(),
    "studies": lambda archive: archive.studies(Query()),
    "fetch": lambda archive: list(archive.fetch(SERIES)),
}


def outcome(ask) -> Exception | None:
    """What it raises; fails where it does not end."""
    raised = []

    def run():
        try:
            ask()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    return raised[0] if raised else None


@pytest.mark.parametrize("asked", ["echo", "studies", "fetch"])
@pytest.mark.parametrize("how", HANGING)
def test_a_dicomweb_that_hangs_is_given_up(monkeypatch, how, asked):
    monkeypatch.setattr(dicomweb, "TIMEOUT", (1, 1))
    with hung(**HANGING[how]) as port:
        archive = connect(Server("slow", url=f"http://127.0.0.1:{port}"))
        error = outcome(lambda: ASKED[asked](archive))
    assert isinstance(error, PacsError)
    assert "does not answer in time" in str(error)


@pytest.mark.parametrize("asked", ["echo", "studies", "fetch"])
@pytest.mark.parametrize("every", [None, EVERY])
def test_an_archive_by_dimse_that_hangs_is_given_up(monkeypatch, every, asked):
    monkeypatch.setattr(dimse, "_WHETHER_AT_ALL", 1)
    monkeypatch.setattr(listening, "PATIENCE", 1.0)
    before = {*threading.enumerate()}
    # The answer to the association, of 64 kB.
    with hung(b"\x02\0\0\1\0\0", every) as port:
        archive = connect(Server("slow", host="127.0.0.1", port=port))
        error = outcome(lambda: ASKED[asked](archive))
        assert isinstance(error, PacsError)
        assert "cannot be reached by DICOM" in str(error)
        for thread in {*threading.enumerate()} - before:
            if "hung" not in str(getattr(thread, "_target", "")):
                thread.join(20)
                assert not thread.is_alive()
