"""A server of the settings -> the archive behind it, by the protocol that it speaks."""

from __future__ import annotations

from brat.pacs.archive import Archive, Server


def connect(server: Server) -> Archive:
    """The archive; it is not asked for anything yet.

    Raises:
        ModuleNotFoundError: the client of its protocol is not installed.
    """
    if server.url:
        from brat.pacs.dicomweb import DicomWeb

        return DicomWeb(server)
    from brat.pacs.dimse import Dimse

    return Dimse(server)
