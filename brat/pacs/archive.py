"""What an archive can be asked, whichever protocol it speaks; and where archives are named."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from brat import log

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

LIMIT = 200
"""Studies that a search gives at most."""


class PacsError(RuntimeError):
    """An archive did not do what it was asked; the message says what to do and names no patient."""


class NoAnswer(PacsError):
    """An archive does not answer in time, and would hardly answer the next question."""


@dataclass(frozen=True)
class Query:
    """Which studies are looked for; an empty condition is met by all.

    Attributes:
        study: Study Instance UID.
        date: "20261126", or "20261101-20261130".
        description: a part of it; so is `patient_name`.
        modality: "MR" and the like.
    """

    study: str = ""
    date: str = ""
    description: str = ""
    modality: str = ""
    patient_id: str = ""
    patient_name: str = ""
    accession: str = ""

    def filters(self) -> dict[str, str]:
        """Keyword -> value, as QIDO and C-FIND match them (PS3.4 C.2.2.2)."""
        wanted = {
            "StudyInstanceUID": self.study,
            "StudyDate": self.date,
            "StudyDescription": _part(self.description),
            "ModalitiesInStudy": self.modality,
            "PatientID": self.patient_id,
            "PatientName": _part(self.patient_name),
            "AccessionNumber": self.accession,
        }
        return {keyword: value for keyword, value in wanted.items() if value}


_UID = re.compile(r"[0-9]+(\.[0-9]+)*")


def is_uid(text: str) -> bool:
    """Whether a text is a UID, and so can be a part of an address or of a path.

    PS3.5 9.1 forbids zeros in front, but they are in use.
    """
    return len(text) <= 64 and _UID.fullmatch(text) is not None


_TITLE_RULE = "1 to 16 characters of ASCII, no backslash"


def is_title(text: str) -> bool:
    """Whether a text is an AE title (PS3.5, 6.2)."""
    return text.strip(" ") != "" and len(text) <= 16 and re.fullmatch(r"[ -\[\]-~]+", text) is not None


def _part(text: str) -> str:
    return f"*{text}*" if text and "*" not in text else text


NO_UID = "The archive names it by what is no UID, so it cannot be opened. Ask whoever runs the archive."


@dataclass(frozen=True)
class StudyEntry:
    """A study as an archive lists it; what the archive does not say is empty.

    Attributes:
        problem: why it cannot be opened; then `study` is empty.
    """

    study: str
    date: str
    description: str
    modalities: str
    patient_name: str
    patient_id: str
    accession: str
    problem: str = ""

    @classmethod
    def of(cls, answer: Dataset) -> StudyEntry:
        """What an archive answers of a study, by DICOMweb or DIMSE."""
        study = _uid(answer, "StudyInstanceUID")
        return cls(
            study=study,
            date=text(answer, "StudyDate"),
            description=text(answer, "StudyDescription"),
            modalities=text(answer, "ModalitiesInStudy"),
            patient_name=text(answer, "PatientName"),
            patient_id=text(answer, "PatientID"),
            accession=text(answer, "AccessionNumber"),
            problem="" if study else NO_UID,
        )


@dataclass(frozen=True)
class SeriesEntry:
    """A series as an archive lists it.

    Attributes:
        count: of instances; None where the archive does not say.
        problem: why it cannot be opened; then `series` is empty.
    """

    study: str
    series: str
    number: str
    modality: str
    description: str
    count: int | None
    problem: str = ""

    @classmethod
    def of(cls, study: str, answer: Dataset) -> SeriesEntry:
        """What an archive answers of a series of a study."""
        count = text(answer, "NumberOfSeriesRelatedInstances")
        series = _uid(answer, "SeriesInstanceUID")
        return cls(
            study=study,
            series=series,
            number=text(answer, "SeriesNumber"),
            modality=text(answer, "Modality"),
            description=text(answer, "SeriesDescription"),
            count=int(count) if count.isdecimal() else None,
            problem="" if series else NO_UID,
        )


def text(answer: Dataset, keyword: str) -> str:
    """A value of an answer, on one line and without the blanks that fill it up.

    Several values are joined as DICOM writes them, and none is empty.
    """
    try:
        value = answer.get(keyword)
        if value is None:
            return ""
        several = isinstance(value, Sequence) and not isinstance(value, str | bytes)
        written = "\\".join(map(str, value)) if several else str(value)
    # Whatever pydicom raises: it looks into the bytes of an answer by DIMSE only now, and of some nothing can
    # be made.
    except Exception as error:
        log.refusal(error)
        return ""
    # A terminal obeys some characters, and half a surrogate can be shown nowhere.
    return "".join(character if character.isprintable() else " " for character in written).strip()


def _uid(answer: Dataset, keyword: str) -> str:
    """Empty where it is none: it would become a part of an address or of a path."""
    uid = text(answer, keyword)
    return uid if is_uid(uid) else ""


def middle_of(instances: Sequence[tuple[str, str]]) -> str:
    """The SOP instance UID by which a series is judged, of those that `Archive.instances` gives.

    Raises:
        PacsError: there is none.
    """
    named = [instance for _, instance in instances if is_uid(instance)]
    if not named:
        raise PacsError("The series has no instances.")
    return named[len(named) // 2]


class Archive(Protocol):
    """Each method raises `PacsError` where the archive does not answer, or refuses."""

    name: str

    def echo(self) -> None:
        """Ask whether it is there and lets us in."""

    def studies(self, query: Query) -> list[StudyEntry]:
        """At most `LIMIT` of them."""

    def series(self, study: str) -> list[SeriesEntry]: ...

    def header(self, series: SeriesEntry) -> Dataset:
        """Of one instance of a series."""

    def fetch(self, series: SeriesEntry) -> Iterator[bytes]:
        """The instances of a series, as DICOM files."""

    def store(self, files: Sequence[bytes]) -> None:
        """All of them, or `PacsError`."""

    def instances(self, series: SeriesEntry) -> list[tuple[str, str]]:
        """SOP class and SOP instance UID of each."""


@dataclass(frozen=True)
class Server:
    """How an archive is reached, as a section `[pacs.NAME]` of the settings says.

    Attributes:
        name: of the section.
        url: of DICOMweb, such as "https://pacs.example/dicom-web"; empty where it is reached by DIMSE.
        user, password: basic authentication.
        token: bearer authentication.
        host, port, title: of DIMSE: address, port, and AE title.
        own_title: the AE title by which it knows us.
        own_port: on which it reaches us for C-MOVE; 0 has instances fetched by C-GET.
        tls: whether DIMSE goes through TLS, and C-MOVE to us; DICOMweb does where its address begins with
            https.
        ca: file of the certificates to trust, instead of the system's.
        certificate, key: files of our own certificate, where the archive asks for one.
        parametric_map: whether it gets parametric maps; some archives take none.
    """

    name: str
    url: str = ""
    user: str = ""
    password: str = ""
    token: str = ""
    host: str = ""
    port: int = 104
    title: str = "ANY-SCP"
    own_title: str = "BRATUM"
    own_port: int = 0
    tls: bool = False
    ca: str = ""
    certificate: str = ""
    key: str = ""
    parametric_map: bool = True

    def __repr__(self) -> str:
        return f"Server({self.name!r})"

    @classmethod
    def of(cls, name: str, section: Any) -> Server:
        """Args: section: of the settings.

        Raises:
            ValueError: an entry is unknown, of the wrong type, or missing.
        """
        if not isinstance(section, dict):
            raise ValueError(f"[pacs.{name}] must be a section with url, or with host, port and title.")
        known = {field.name: type(field.default) for field in fields(cls) if field.name != "name"}
        for entry, value in section.items():
            if entry not in known:
                raise ValueError(f"[pacs.{name}] has the unknown entry {entry}. Known: {', '.join(known)}.")
            if type(value) is not known[entry]:
                raise ValueError(f"{entry} of [pacs.{name}] must be of type {known[entry].__name__}.")
        server = cls(name, **section)
        if bool(server.url) == bool(server.host):
            raise ValueError(f"[pacs.{name}] needs either url, for DICOMweb, or host, for DIMSE.")
        if server.url and not server.url.startswith(("http://", "https://")):
            raise ValueError(f"url of [pacs.{name}] must begin with https:// or http://.")
        if not 0 < server.port < 65536 or not 0 <= server.own_port < 65536:
            raise ValueError(f"port and own_port of [pacs.{name}] must be numbers of ports, up to 65535.")
        for title in (server.title, server.own_title):
            if not is_title(title):
                raise ValueError(f"title and own_title of [pacs.{name}] must be AE titles: {_TITLE_RULE}.")
        if server.tls and server.own_port and not server.certificate:
            raise ValueError(
                f"[pacs.{name}] has tls and own_port: instances come to us through TLS, too, which needs our "
                "certificate and its key."
            )
        if server.token and server.user:
            raise ValueError(f"[pacs.{name}] has both a token and a user. Keep one.")
        return server


def servers_of(settings: Any) -> dict[str, Server]:
    """The archives that settings name.

    Args:
        settings: the sections below `[pacs]`.

    Raises:
        ValueError: as `Server.of`.
    """
    return {name: Server.of(name, dict(section)) for name, section in (settings or {}).items()}


def settings_file() -> Path:
    """The environment variable `BRAT_SETTINGS`, or Streamlit's file in the folder that we started in."""
    return Path(os.environ.get("BRAT_SETTINGS") or ".streamlit/secrets.toml").expanduser()


def load_server(name: str, file: Path | None = None) -> Server:
    """An archive by its name.

    Raises:
        ValueError: there are no settings, they are damaged, or do not name it.
    """
    file = file or settings_file()
    try:
        settings = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(
            f"There is no {file}. Name the archive there, in a section [pacs.{name}], or name another file "
            "with --settings."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is no TOML file: {error}") from error
    servers = servers_of(settings.get("pacs", {}))
    if name not in servers:
        known = ", ".join(servers) or "none"
        raise ValueError(f"{file} has no section [pacs.{name}]. Archives that it names: {known}.")
    return servers[name]
