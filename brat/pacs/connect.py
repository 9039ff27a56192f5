"""A server of the settings -> the archive behind it, by the protocol that it speaks; what it is asked is
logged."""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from brat import log
from brat.pacs.archive import Archive, Query, SeriesEntry, Server, StudyEntry

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def connect(server: Server, who: str | None = None) -> Archive:
    """The archive; it is not asked for anything yet. Each question to it is logged, and of no patient.

    Args:
        who: asks, as they logged in; empty where nobody knows. None is the user of this process.

    Raises:
        ModuleNotFoundError: the client of its protocol is not installed.
    """
    return _Noted(_client(server), _user() if who is None else who)


def _client(server: Server) -> Archive:
    if server.url:
        from brat.pacs.dicomweb import DicomWeb

        return DicomWeb(server)
    from brat.pacs.dimse import Dimse

    return Dimse(server)


def _user() -> str:
    try:
        return getpass.getuser()
    # A number that has no name, as in a container.
    except (KeyError, OSError):
        return ""


class _Noted:
    """See `brat.pacs.archive.Archive`."""

    def __init__(self, archive: Archive, who: str):
        self.name = archive.name
        self._archive, self._who = archive, who

    def echo(self) -> None:
        with self._noted("echo"):
            self._archive.echo()

    def studies(self, query: Query) -> list[StudyEntry]:
        with self._noted("find studies") as came:
            came += (found := self._archive.studies(query))
        return found

    def series(self, study: str) -> list[SeriesEntry]:
        with self._noted("find series") as came:
            came += (found := self._archive.series(study))
        return found

    def instances(self, series: SeriesEntry) -> list[tuple[str, str]]:
        with self._noted("find instances") as came:
            came += (found := self._archive.instances(series))
        return found

    def header(self, series: SeriesEntry) -> Dataset:
        with self._noted("fetch header") as came:
            came.append(header := self._archive.header(series))
        return header

    def fetch(self, series: SeriesEntry) -> Iterator[bytes]:
        with self._noted("fetch instances") as came:
            for content in self._archive.fetch(series):
                came.append(None)
                yield content

    def store(self, files: Sequence[bytes]) -> None:
        with self._noted("send instances") as came:
            self._archive.store(files)
            came += files

    @contextmanager
    def _noted(self, does: str) -> Iterator[list[object]]:
        """Yields a list of what has come, or was taken; it is logged how many."""
        came: list[object] = []
        whole = False
        try:
            yield came
            whole = True
        finally:
            log.event("archive", does=does, server=self.name, who=self._who, count=len(came), whole=whole)
