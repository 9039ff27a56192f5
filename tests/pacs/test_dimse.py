"""What an archive that speaks DIMSE may do wrong, and that nobody gets a part of a series, or another's."""

import io
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pydicom
import pytest

pytest.importorskip("pynetdicom", reason="pynetdicom is not installed")

from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    MRImageStorage,
    ParametricMapStorage,
    generate_uid,
)
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from brat.pacs import dimse
from brat.pacs.archive import NoAnswer, PacsError, Query, SeriesEntry, Server
from brat.pacs.connect import connect
from brat.pacs.dimse import listening_context
from brat.pacs.queue import Queue
from brat.pacs.router import Listener
from tests.factories.certificates import certificate
from tests.factories.orthanc import free_port, orthanc, why_not
from tests.factories.samples import known_series


@contextmanager
def archive(instances, model=StudyRootQueryRetrieveInformationModelGet, own_port=0):
    """One that sends these, whatever it is asked for; yields ours and how many it has begun to send."""
    begun = []

    def sending():
        for number, instance in enumerate(instances):
            begun.append(number)
            yield 0xFF00, instance

    def get(_):
        yield len(instances)
        yield from sending()

    def move(_):
        yield "127.0.0.1", own_port
        yield from get(_)

    ae = AE("ARCHIVE")
    for context in (model, MRImageStorage, CTImageStorage):
        ae.add_supported_context(context, scu_role=True, scp_role=True)
    ae.add_requested_context(MRImageStorage)
    server = ae.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_GET, get), (evt.EVT_C_MOVE, move)]
    )
    port = server.socket.getsockname()[1]
    try:
        yield connect(Server("old", host="127.0.0.1", port=port, title="ARCHIVE", own_port=own_port)), begun
    finally:
        server.shutdown()


@pytest.fixture
def instances():
    return [pydicom.dcmread(io.BytesIO(content)) for content in known_series()]


def series_of(instance) -> SeriesEntry:
    return SeriesEntry(str(instance.StudyInstanceUID), str(instance.SeriesInstanceUID), "1", "MR", "", None)


def fetched(asked, series) -> list[str]:
    """The instances that come before it ends, or raises."""
    came = []

    def fetch():
        for content in asked.fetch(series):
            came.append(pydicom.dcmread(io.BytesIO(content)).SOPInstanceUID)

    with pytest.raises(PacsError, match="could not send 1 of the instances"):
        fetch()
    return came


def test_a_part_of_a_series_is_none(instances):
    """An archive may say at the end, by a warning alone, that it could not send all."""
    instances[2].SOPClassUID = instances[2].file_meta.MediaStorageSOPClassUID = CTImageStorage
    with archive(instances) as (asked, _):
        assert len(fetched(asked, series_of(instances[0]))) == 3


@pytest.mark.parametrize("level", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_an_instance_of_another_series_is_not_taken_for_one_of_this(instances, level):
    series, stranger = series_of(instances[0]), instances[2]
    setattr(stranger, level, generate_uid())
    with archive(instances) as (asked, _):
        came = fetched(asked, series)
    assert len(came) == 3
    assert stranger.SOPInstanceUID not in came


def test_an_answer_that_cannot_be_read_keeps_no_other_away(monkeypatch):
    """pynetdicom gives none for it."""
    good, status, end = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    good.StudyInstanceUID, status.Status, end.Status = "1.2", 0xFF00, 0x0000

    @contextmanager
    def association(*_):
        answers = [(status, None), (status, good), (end, None)]
        yield SimpleNamespace(send_c_find=lambda *_: answers)

    asked = dimse.Dimse(Server("old", host="127.0.0.1"))
    monkeypatch.setattr(asked, "_association", association)
    first, second = asked.studies(Query())
    assert (first.study, second.study, second.problem) == ("", "1.2", "")
    assert "no UID" in first.problem


def test_an_archive_that_sends_without_a_word_is_waited_for_and_one_that_does_not_is_given_up(monkeypatch):
    now, came, ended = [0.0], [0], []
    # Nothing is said in all of the time; first two instances come meanwhile, and then one; then none.
    instances = iter((2, 1, 0))

    def get_msg(block):
        if block:
            now[0] += dimse._TIMEOUT
            came[0] += next(instances)
        return None, None

    monkeypatch.setattr(dimse, "time", SimpleNamespace(monotonic=lambda: now[0]))
    association = SimpleNamespace(
        dimse=SimpleNamespace(get_msg=get_msg, dimse_timeout=dimse._TIMEOUT), abort=lambda: ended.append(True)
    )
    asked = dimse.Dimse(Server("old", host="127.0.0.1", own_title="OURS", own_port=11113))
    asked._be_patient(association, lambda: came[0])
    # Who only looks is told at once, as is who waits for what was closed.
    assert association.dimse.get_msg(False) == (None, None)
    with pytest.raises(NoAnswer, match=r"nothing for 120 s.*try again in some minutes.*OURS at port 11113"):
        association.dimse.get_msg(True)
    assert (now[0], came[0], ended) == (3 * dimse._TIMEOUT, 3, [True])


def test_what_comes_by_c_move_counts_as_a_sign_of_work(instances, monkeypatch):
    """As many as are taken."""
    port, counted = free_port(), []
    be_patient = dimse.Dimse._be_patient

    def watched(self, association, came):
        counted.append(came)
        be_patient(self, association, came)

    monkeypatch.setattr(dimse.Dimse, "_be_patient", watched)
    with archive(instances, StudyRootQueryRetrieveInformationModelMove, port) as (asked, _):
        assert len(list(asked.fetch(series_of(instances[0])))) == len(instances)
    assert counted[0]() == len(instances)


def test_an_archive_without_the_service_is_a_sentence(instances):
    with (
        archive(instances, model=StudyRootQueryRetrieveInformationModelMove) as (asked, _),
        pytest.raises(PacsError, match="does not offer this service"),
    ):
        list(asked.fetch(series_of(instances[0])))


def test_an_archive_that_takes_no_parametric_map_says_what_to_set(tmp_path):
    known = pydicom.dcmread(io.BytesIO(known_series()[0]))
    map_ = pydicom.dcmread(io.BytesIO(known_series()[1]))
    map_.SOPClassUID = map_.file_meta.MediaStorageSOPClassUID = ParametricMapStorage
    ae = AE("OLD")
    ae.add_supported_context(MRImageStorage)
    server = ae.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda _: 0x0000)]
    )
    port, files = server.socket.getsockname()[1], []
    for dataset in (known, map_):
        written = io.BytesIO()
        dataset.save_as(written)
        files.append(written.getvalue())
    try:
        with pytest.raises(PacsError, match=r"Parametric Map .* 1 of 2 were sent.* parametric_map = false"):
            connect(Server("old", host="127.0.0.1", port=port, title="OLD")).store(files)
    finally:
        server.shutdown()


def test_an_archive_that_takes_nothing_deflated_gets_it_inflated():
    map_ = pydicom.dcmread(io.BytesIO(known_series()[1]))
    map_.SOPClassUID = map_.file_meta.MediaStorageSOPClassUID = ParametricMapStorage
    map_.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    written, came = io.BytesIO(), []
    map_.save_as(written)

    def take(event):
        came.append((event.context.transfer_syntax, event.dataset.PixelData))
        return 0x0000

    for syntaxes in ([ExplicitVRLittleEndian], [DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian]):
        ae = AE("OLD")
        ae.add_supported_context(ParametricMapStorage, syntaxes)
        server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, take)])
        try:
            port = server.socket.getsockname()[1]
            connect(Server("old", host="127.0.0.1", port=port, title="OLD")).store([written.getvalue()])
        finally:
            server.shutdown()
        assert came.pop() == (syntaxes[0], map_.PixelData)


def test_what_nobody_takes_on_is_not_piled_up(instances):
    many = [*instances] * 20
    with archive(many) as (asked, begun):
        coming = asked.fetch(series_of(instances[0]))
        next(coming)
        time.sleep(1)
        assert len(begun) <= dimse._AHEAD + 3
        coming.close()
        end = time.monotonic() + 20
        while len(begun) < len(many) and time.monotonic() < end:
            time.sleep(0.05)
        # It was told of each of the others that it is not taken.
        assert len(begun) == len(many)


def test_two_sessions_fetch_at_once_through_one_port(instances):
    port, came = free_port(), []
    with archive(instances, StudyRootQueryRetrieveInformationModelMove, port) as (asked, _):
        series = series_of(instances[0])
        threads = [
            threading.Thread(target=lambda: came.append(len(list(asked.fetch(series))))) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert came == [4, 4, 4]


def test_by_c_move_instances_come_through_tls_too(tmp_path, instances):
    if reason := why_not():
        pytest.skip(reason)
    theirs, their_key = certificate(tmp_path, "archive")
    ours, our_key = certificate(tmp_path, "ours")
    own_port = free_port()
    settings = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(theirs),
        "DicomTlsPrivateKey": str(their_key),
        "DicomTlsTrustedCertificates": str(ours),
        "DicomModalities": {
            "brat": {"AET": "BRATUM", "Host": "127.0.0.1", "Port": own_port, "UseDicomTls": True}
        },
    }
    with orthanc(tmp_path, **settings) as running:
        asked = connect(
            Server(
                "safe",
                host="localhost",
                port=running.port,
                title="ORTHANC",
                own_port=own_port,
                tls=True,
                ca=str(theirs),
                certificate=str(ours),
                key=str(our_key),
            )
        )
        asked.store(known := known_series())
        series = series_of(pydicom.dcmread(io.BytesIO(known[0])))
        assert len(list(asked.fetch(series))) == 4


def test_the_listener_takes_instances_by_tls_alone_where_it_has_a_certificate(tmp_path):
    ours, key = certificate(tmp_path, "ours")
    scanner, scanner_key = certificate(tmp_path, "scanner")
    queue, slices = Queue(tmp_path / "queue"), known_series()
    tls = listening_context(str(ours), str(key), str(scanner))
    with Listener(queue, 0, "BRATUM", address="127.0.0.1", tls=tls) as listener:
        place = {"host": "localhost", "port": listener.port, "title": "BRATUM"}
        for wrong in ({}, {"tls": True, "ca": str(ours)}):
            with pytest.raises(PacsError):
                connect(Server("us", **place, **wrong)).store(slices)
        assert queue.states() == []
        own = {"certificate": str(scanner), "key": str(scanner_key)}
        connect(Server("us", **place, tls=True, ca=str(ours), **own)).store(slices)
    (state,) = queue.states()
    assert len(queue.slices(state)) == 4
    with pytest.raises(PacsError, match="of the command cannot be read"):
        listening_context(str(tmp_path / "none"), of="the command")
