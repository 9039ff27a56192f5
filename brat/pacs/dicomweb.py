"""An archive that speaks DICOMweb (PS3.18): QIDO-RS, WADO-RS and STOW-RS, by dicomweb-client."""

from __future__ import annotations

import http.client
import io
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pydicom
import requests
from dicomweb_client import DICOMwebClient
from pydicom.dataset import Dataset
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ReadTimeoutError

# For its filters: pydicom's warnings repeat values of an answer.
import brat.io  # noqa: F401
from brat import log
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

TIMEOUT = (10, 120)
"""Seconds to connect, and between two parts of an answer."""

SLOWEST = 20_000
"""Bytes a second that an answer must have on average, once it takes longer than two parts may lie apart."""

_ANY_SYNTAX = (("application/dicom", "*"),)

_STUDY_FIELDS = ("StudyDescription", "ModalitiesInStudy")
_SERIES_FIELDS = ("SeriesDescription", "NumberOfSeriesRelatedInstances")


class _Session(requests.Session):
    """Leaves the star of a wildcard as it is, which URLs allow (RFC 3986); Orthanc 1.10 decodes none."""

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        if isinstance(request.url, str):
            request.url = request.url.replace("%2A", "*").replace("+", "%20")
        return super().prepare_request(request)


class _Watched(io.RawIOBase):
    """An answer as it comes. One of which a byte comes now and then is no answer."""

    def __init__(self, source: Any, begun: float):
        self._source, self._begun, self._came = source, begun, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if time.monotonic() - self._begun > TIMEOUT[1] + self._came / SLOWEST:
            raise TimeoutError
        size = self._source.readinto(buffer)
        self._came += size or 0
        return size

    def close(self) -> None:
        self._source.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self.fp = io.BufferedReader(_Watched(self.fp.detach(), time.monotonic()))


class _Adapter(HTTPAdapter):
    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:
        pool = super().get_connection_with_tls_context(*args, **options)
        kind = pool.ConnectionCls
        if getattr(kind, "response_class", None) is not _Answer:
            pool.ConnectionCls = type(kind.__name__, (kind,), {"response_class": _Answer})
        return pool


class DicomWeb:
    """See `brat.pacs.archive.Archive`."""

    def __init__(self, server: Server):
        self.name = server.name
        session = _Session()
        # What the environment says of proxies and of passwords in .netrc is not for the archive.
        session.trust_env = False
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Adapter())
        if server.user:
            session.auth = (server.user, server.password)
        if server.token:
            session.headers["Authorization"] = f"Bearer {server.token}"
        if server.ca:
            session.verify = server.ca
        if server.certificate:
            session.cert = (server.certificate, server.key) if server.key else server.certificate
        self._client = DICOMwebClient(server.url, session=session, timeout=TIMEOUT)
        # Five times as long would it take for an archive to be given up that hangs.
        self._client.set_http_retry_params(retry=False)

    def echo(self) -> None:
        with self._asking():
            self._client.search_for_studies(limit=1)

    def studies(self, query: Query) -> list[StudyEntry]:
        with self._asking():
            found = self._client.search_for_studies(
                search_filters=query.filters(), fields=_STUDY_FIELDS, limit=LIMIT
            )
            return [StudyEntry.of(entry) for entry in _listed(found[:LIMIT])]

    def series(self, study: str) -> list[SeriesEntry]:
        with self._asking():
            found = self._client.search_for_series(study, fields=_SERIES_FIELDS)
            return [SeriesEntry.of(study, entry) for entry in _listed(found)]

    def instances(self, series: SeriesEntry) -> list[tuple[str, str]]:
        with self._asking():
            found = _listed(self._client.search_for_instances(series.study, series.series))
            return [(text(entry, "SOPClassUID"), text(entry, "SOPInstanceUID")) for entry in found]

    def header(self, series: SeriesEntry) -> Dataset:
        instance = middle_of(self.instances(series))
        with self._asking():
            metadata = self._client.retrieve_instance_metadata(series.study, series.series, instance)
            return _dataset(metadata)

    def fetch(self, series: SeriesEntry) -> Iterator[bytes]:
        with self._asking():
            for instance in self._client.iter_series(series.study, series.series, media_types=_ANY_SYNTAX):
                written = io.BytesIO()
                instance.save_as(written, enforce_file_format=True)
                yield written.getvalue()

    def store(self, files: Sequence[bytes]) -> None:
        datasets = [pydicom.dcmread(io.BytesIO(file)) for file in files]
        with self._asking():
            answer = self._store(datasets)
        failed = len(answer.get("FailedSOPSequence") or [])
        stored = len(answer.get("ReferencedSOPSequence") or [])
        if failed or stored < len(files):
            raise PacsError(
                f"The archive {self.name} took {stored} of {len(files)} objects and refused the others."
            )

    def _store(self, datasets: Sequence[Dataset]) -> Dataset:
        deflated = [one.file_meta for one in datasets if one.file_meta.TransferSyntaxUID.is_deflated]
        try:
            answer = self._client.store_instances(datasets)
            if not deflated or not answer.get("FailedSOPSequence"):
                return answer
        except requests.HTTPError as error:
            if not deflated:
                raise
            log.refusal(error)
        # Some archives take nothing deflated. What they have taken is sent again under its own UID.
        for meta in deflated:
            meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        return self._client.store_instances(datasets)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Turns what goes wrong into a sentence, without addresses and answers: these may name a patient."""
        try:
            yield
        except requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            if status in (401, 403):
                raise PacsError(
                    f"The archive {self.name} refuses our user, password or token ({status})."
                ) from error
            if status == 404:
                raise PacsError(
                    f"The archive {self.name} does not have this, or url is not that of its DICOMweb (404)."
                ) from error
            raise PacsError(f"The archive {self.name} refuses (HTTP {status}).") from error
        except requests.exceptions.SSLError as error:
            raise PacsError(
                f"The certificate of the archive {self.name} is not trusted. Name its authority's with ca."
            ) from error
        except PacsError:
            raise
        # What the client and pydicom make of an answer that is no DICOMweb: they raise what they trip over.
        except Exception as error:
            if isinstance(error, requests.Timeout) or any(
                isinstance(a, ReadTimeoutError) for a in error.args
            ):
                raise NoAnswer(
                    f"The archive {self.name} does not answer in time. Try again later."
                ) from error
            if isinstance(error, requests.RequestException) and not isinstance(error, ValueError):
                raise PacsError(
                    f"The archive {self.name} cannot be reached. Check url and the network."
                ) from error
            raise PacsError(
                f"The archive {self.name} answers, but not as DICOMweb does. Check url in its settings."
            ) from error


def _dataset(found: dict[str, Any]) -> Dataset:
    return Dataset.from_json(found, bulk_data_uri_handler=lambda *_: None)


def _listed(found: Sequence[Any]) -> list[Dataset]:
    """What is listed: of an odd entry what can be made of it, unless all are odd, as in no DICOMweb."""
    entries, odd = [], []
    for entry in found:
        try:
            entries.append(_dataset(entry))
        # Whatever pydicom raises of what it does not expect.
        except Exception as error:
            log.refusal(error)
            odd.append(error)
            entries.append(_in_part(entry))
    if odd and len(odd) == len(entries):
        raise odd[0]
    return entries


def _in_part(found: Any) -> Dataset:
    """The elements of an odd entry that can be read; that some cannot is logged where they are first met."""
    entry = Dataset()
    for tag, element in found.items() if isinstance(found, dict) else ():
        with suppress(Exception):
            entry.update(_dataset({tag: element}))
    return entry
