"""An archive that speaks DIMSE (PS3.4, PS3.7): C-ECHO, C-FIND, C-GET or C-MOVE, and C-STORE, by
pynetdicom."""

from __future__ import annotations

import io
import ssl
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import Empty, Full, Queue
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    ComprehensiveSRStorage,
    EnhancedMRImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    MRImageStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

from brat.io.dicom_header import uids
from brat.pacs.archive import (
    LIMIT,
    NoAnswer,
    PacsError,
    Query,
    SeriesEntry,
    Server,
    StudyEntry,
    middle_of,
    text,
)
from brat.pacs.listening import Room, bound, bounded, listen
from brat.reports.dicom_source import header_of

SYNTAXES = [
    pydicom.uid.ExplicitVRLittleEndian,
    pydicom.uid.ImplicitVRLittleEndian,
    pydicom.uid.JPEGLosslessSV1,
    pydicom.uid.JPEGLSLossless,
    pydicom.uid.JPEG2000Lossless,
    pydicom.uid.JPEG2000,
    pydicom.uid.RLELossless,
    pydicom.uid.JPEGBaseline8Bit,
]
"""Transfer syntaxes of images that are taken, each as it is stored."""

_FETCHED = (
    MRImageStorage,
    EnhancedMRImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    SecondaryCaptureImageStorage,
    ParametricMapStorage,
    ComprehensiveSRStorage,
)

MOST = 10_000
"""Answers that are taken of one question."""

_AHEAD = 16
"""Instances that have come and wait to be taken on."""

_SOME_FAILED = 0xB000
_SUCCESS, _OUT_OF_RESOURCES, _NO_MATCH = 0x0000, 0xA700, 0xA900
_PENDING = (0xFF00, 0xFF01)

_listening: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)
"""Of each port of ours: who is sent to there. Several sessions may fetch at once."""

_TIMEOUT = 120
"""Seconds in which the next message must come, and all that is found."""

_WHETHER_AT_ALL = 30
"""Seconds in which an archive must have said whether it lets us in."""


class Dimse:
    """See `brat.pacs.archive.Archive`."""

    def __init__(self, server: Server):
        self.name = server.name
        self._server = server

    def echo(self) -> None:
        with self._association([Verification]) as association:
            self._check(association.send_c_echo())

    def studies(self, query: Query) -> list[StudyEntry]:
        identifier = _identifier(
            "STUDY",
            (
                "PatientName",
                "PatientID",
                "StudyInstanceUID",
                "StudyDate",
                "StudyDescription",
                "AccessionNumber",
            ),
            **{"ModalitiesInStudy": "", **query.filters()},
        )
        return [StudyEntry.of(found) for found in self._find(identifier)[:LIMIT]]

    def series(self, study: str) -> list[SeriesEntry]:
        identifier = _identifier(
            "SERIES",
            (
                "SeriesInstanceUID",
                "SeriesNumber",
                "SeriesDescription",
                "Modality",
                "NumberOfSeriesRelatedInstances",
            ),
            StudyInstanceUID=study,
        )
        return [SeriesEntry.of(study, found) for found in self._find(identifier)]

    def instances(self, series: SeriesEntry) -> list[tuple[str, str]]:
        identifier = _identifier(
            "IMAGE",
            ("SOPInstanceUID", "SOPClassUID"),
            StudyInstanceUID=series.study,
            SeriesInstanceUID=series.series,
        )
        return [
            (text(found, "SOPClassUID"), text(found, "SOPInstanceUID")) for found in self._find(identifier)
        ]

    def header(self, series: SeriesEntry) -> Dataset:
        instance = middle_of(self.instances(series))
        identifier = _identifier(
            "IMAGE",
            (),
            StudyInstanceUID=series.study,
            SeriesInstanceUID=series.series,
            SOPInstanceUID=instance,
        )
        # The header alone cannot be had by DIMSE.
        files = list(self._fetch(identifier))
        if not files:
            raise PacsError(f"The archive {self.name} sent no instance of the series.")
        return header_of(files[0])

    def fetch(self, series: SeriesEntry) -> Iterator[bytes]:
        return self._fetch(
            _identifier("SERIES", (), StudyInstanceUID=series.study, SeriesInstanceUID=series.series)
        )

    def store(self, files: Sequence[bytes]) -> None:
        datasets = [pydicom.dcmread(io.BytesIO(file)) for file in files]
        kinds = {(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID) for dataset in datasets}
        ae = self._entity()
        for sop_class, syntax in sorted(kinds):
            ae.add_requested_context(sop_class, syntax)
            if syntax.is_deflated:
                # Where an archive takes nothing deflated pynetdicom inflates it.
                ae.add_requested_context(sop_class, pydicom.uid.ExplicitVRLittleEndian)
        with self._associated(ae) as association:
            for number, dataset in enumerate(datasets):
                try:
                    status = association.send_c_store(dataset)
                except ValueError as error:
                    kind = UID(dataset.SOPClassUID)
                    left = kind == ParametricMapStorage
                    raise PacsError(
                        f"The archive {self.name} does not take objects of this kind: {kind.name}. "
                        f"{number} of {len(files)} were sent."
                        + f" With parametric_map = false in [pacs.{self.name}] none is made."
                        * left
                    ) from error
                self._check(status)

    def _find(self, identifier: Dataset) -> list[Dataset]:
        found, until = [], time.monotonic() + _TIMEOUT
        with self._association([StudyRootQueryRetrieveInformationModelFind]) as association:
            for status, answer in association.send_c_find(
                identifier, StudyRootQueryRetrieveInformationModelFind
            ):
                if status and status.Status in _PENDING:
                    # pynetdicom gives none where it cannot be read.
                    found.append(answer or Dataset())
                    # An archive may go on without end.
                    if len(found) == MOST:
                        association.abort()
                        break
                    if time.monotonic() > until:
                        association.abort()
                        raise NoAnswer(f"The archive {self.name} does not answer in time. Try again later.")
                else:
                    self._check(status)
        return found

    def _fetch(self, identifier: Dataset) -> Iterator[bytes]:
        files: Queue[bytes] = Queue(_AHEAD)
        asked = identifier.StudyInstanceUID, identifier.SeriesInstanceUID
        is_over = threading.Event()

        def take(event: evt.Event) -> int:
            content = event.encoded_dataset()
            # Others may reach a port that we listen at, and send another patient's.
            try:
                if uids(content)[:2] != asked:
                    return _NO_MATCH
            except ValueError:
                return _NO_MATCH
            while not is_over.is_set():
                with suppress(Full):
                    files.put(content, timeout=0.1)
                    return _SUCCESS
            return _OUT_OF_RESOURCES

        ended: list[Exception] = []
        ask = self._move if self._server.own_port else self._get

        def run() -> None:
            try:
                ask(identifier, take)
            # Whatever it is: it is raised where the instances are waited for.
            except Exception as error:
                ended.append(error)

        # Instances are handed on as they come, not held until the last one has.
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            while thread.is_alive() or not files.empty():
                with suppress(Empty):
                    yield files.get(timeout=0.1)
        finally:
            # Who wants no more of them must not be sent the rest.
            is_over.set()
        for error in ended:
            raise error

    def _get(self, identifier: Dataset, take: Any) -> None:
        ae = self._entity()
        ae.add_requested_context(StudyRootQueryRetrieveInformationModelGet)
        roles = []
        for sop_class in _FETCHED:
            roles.append(build_role(sop_class, scp_role=True))
            for syntax in SYNTAXES:
                ae.add_requested_context(sop_class, syntax)
        with self._associated(ae, (evt.EVT_C_STORE, bounded(take)), ext_neg=roles) as association:
            self._follow(association.send_c_get(identifier, StudyRootQueryRetrieveInformationModelGet))

    def _move(self, identifier: Dataset, take: Any) -> None:
        ae = self._entity()
        for sop_class in _FETCHED:
            ae.add_supported_context(sop_class, SYNTAXES)
        ae.add_requested_context(StudyRootQueryRetrieveInformationModelMove)
        came = 0

        def taken(event: evt.Event) -> int:
            nonlocal came
            status = take(event)
            came += status == _SUCCESS
            return status

        with _listening[self._server.own_port]:
            listener = self._listen(ae, taken)
            try:
                with self._associated(ae) as association:
                    self._be_patient(association, lambda: came)
                    self._follow(
                        association.send_c_move(
                            identifier, self._server.own_title, StudyRootQueryRetrieveInformationModelMove
                        )
                    )
            finally:
                listener.shutdown()

    def _be_patient(self, association: Any, came: Callable[[], int]) -> None:
        """Wait on as long as instances come: an archive need not say meanwhile that it works
        (PS3.4 C.4.2.3.1).

        Args:
            came: how many have come so far.
        """
        next_message = association.dimse.get_msg

        def wait(block: bool = False) -> Any:
            while True:
                before, until = came(), time.monotonic() + association.dimse.dimse_timeout
                message = next_message(block)
                # It answers, or has closed the connection; who does not block does not wait.
                if message != (None, None) or not block or time.monotonic() < until:
                    return message
                if came() == before:
                    association.abort()
                    raise NoAnswer(
                        f"The archive {self.name} has sent nothing for {_TIMEOUT} s, and does not say that "
                        "it is at work. It may be fetching the series from a slow store: try again in some "
                        "minutes. If that does not help, see in its settings that it sends to our AE title "
                        f"{self._server.own_title} at port {self._server.own_port} of this computer."
                    )

        association.dimse.get_msg = wait

    def _listen(self, ae: AE, take: Any) -> Any:
        server = self._server
        context = None
        if server.tls:
            context = listening_context(server.certificate, server.key, server.ca, f"[pacs.{self.name}]")
        try:
            return listen(ae, ("", server.own_port), take, context)
        except OSError as error:
            raise PacsError(
                f"Port {server.own_port}, own_port of [pacs.{self.name}], is in use on this computer."
            ) from error

    def _follow(self, answers: Any) -> None:
        for status, _ in answers:
            if status and status.Status in _PENDING:
                continue
            failed = status.get("NumberOfFailedSuboperations")
            # A warning (PS3.4 C.4.2.1.5, C.4.3.1.4): what has not failed has come.
            if status and status.Status == _SOME_FAILED and failed != 0:
                many = "some" if failed is None else failed
                raise PacsError(
                    f"The archive {self.name} could not send {many} of the instances. Its log says why."
                )
            self._check(status)

    @contextmanager
    def _association(self, contexts: Sequence[Any]) -> Iterator[Any]:
        ae = self._entity()
        for context in contexts:
            ae.add_requested_context(context)
        with self._associated(ae) as association:
            yield association

    def _entity(self) -> AE:
        ae = AE(self._server.own_title)
        ae.dimse_timeout = ae.network_timeout = _TIMEOUT
        ae.acse_timeout, ae.connection_timeout = _WHETHER_AT_ALL, 10
        return ae

    @contextmanager
    def _associated(self, ae: AE, *handlers: Any, **options: Any) -> Iterator[Any]:
        server, room = self._server, Room()
        hold = evt.EVT_CONN_OPEN, lambda event: bound(event.assoc, room, server.host)
        options["evt_handlers"] = [hold, *handlers]
        if server.tls:
            options["tls_args"] = (tls_context(server), server.host)
        association = ae.associate(server.host, server.port, ae_title=server.title, **options)
        if not association.is_established:
            if association.is_rejected:
                raise PacsError(
                    f"The archive {self.name} refuses our AE title {server.own_title}, or does not go by "
                    f"{server.title}. Check title and own_title."
                )
            raise NoAnswer(
                f"The archive {self.name} cannot be reached by DICOM. Check host, port, TLS and the network."
            )
        try:
            yield association
        # pynetdicom's, where the archive has taken the association but not this service.
        except ValueError as error:
            raise PacsError(
                f"The archive {self.name} does not offer this service. Instances come by C-MOVE where "
                "own_port is set, otherwise by C-GET."
            ) from error
        finally:
            association.release()

    def _check(self, status: Dataset) -> None:
        """Raises: PacsError: the operation did not succeed."""
        if not status or "Status" not in status:
            raise PacsError(f"The archive {self.name} ended the connection before it had answered.")
        # Warnings of C-STORE: stored, with something coerced (PS3.4 B.2.3).
        if status.Status not in (0x0000, 0xB000, 0xB006, 0xB007):
            raise PacsError(f"The archive {self.name} refuses, with the DICOM status {status.Status:#06x}.")


def tls_context(server: Server) -> ssl.SSLContext:
    """Raises: PacsError: a file of certificates cannot be read."""
    try:
        context = ssl.create_default_context(cafile=server.ca or None)
        if server.certificate:
            context.load_cert_chain(server.certificate, server.key or None)
    except OSError as error:
        raise _no_certificate(f"[pacs.{server.name}]") from error
    return context


def listening_context(certificate: str, key: str = "", ca: str = "", of: str = "") -> ssl.SSLContext:
    """TLS of a port that we listen at.

    Args:
        certificate, key: files of ours; the key may stand in the file of the certificate.
        ca: file of the certificates of those who may send; all may where it is empty.
        of: where the files are named.

    Raises:
        PacsError: one of them cannot be read.
    """
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca or None)
        context.load_cert_chain(certificate, key or None)
    except OSError as error:
        raise _no_certificate(of) from error
    if ca:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _no_certificate(of: str) -> PacsError:
    return PacsError(f"ca, certificate or key of {of} cannot be read as such a file.")


def _identifier(level: str, empty: Sequence[str], **values: str) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for keyword in empty:
        setattr(identifier, keyword, "")
    for keyword, value in values.items():
        setattr(identifier, keyword, value)
    return identifier
