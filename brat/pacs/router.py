"""The router: instances that a scanner or an archive sends are queued, read once their series is whole,
returned."""

from __future__ import annotations

import shutil
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from brat import log
from brat.io.dicom_header import uids
from brat.io.files import File
from brat.io.scan import UnreadableScan
from brat.model.files import ModelError
from brat.model.pool import Readers
from brat.pacs.archive import Archive, PacsError
from brat.pacs.choice import choose
from brat.pacs.dimse import SYNTAXES
from brat.pacs.listening import listen
from brat.pacs.queue import FAILED, LEFT_OUT, READ, Queue, State
from brat.pacs.reading import read_series
from brat.reports.dicom import NoReference
from brat.reports.dicom_source import header_of
from brat.reports.dicom_sr import predecessor

MIN_FREE = 1_000_000_000
"""Bytes. With fewer on the disk nothing more is taken, and the sender is told so and keeps its instances."""

_OUT_OF_RESOURCES, _CANNOT_UNDERSTAND = 0xA700, 0xC000


class Listener:
    """Takes instances by C-STORE into a queue. An instance is acknowledged once it is on the disk.

    Example:
        >>> with Listener(Queue("queue"), port=11112, title="BRATUM"):
        ...     ...
    """

    def __init__(
        self,
        queue: Queue,
        port: int,
        title: str,
        peers: tuple[str, ...] = (),
        address: str = "",
        tls: ssl.SSLContext | None = None,
    ):
        """Listen.

        Args:
            port: 0 takes a free one, which `port` then says.
            peers: the AE titles that may send; all where it is empty.
            address: that it listens at; all of this computer where it is empty.
            tls: see `brat.pacs.dimse.listening_context`; without it instances come as they are.

        Raises:
            OSError: the port is in use, or not ours to use.
        """
        self._queue = queue
        ae = AE(title)
        ae.require_calling_aet = list(peers)
        for context in AllStoragePresentationContexts:
            if context.abstract_syntax:
                ae.add_supported_context(context.abstract_syntax, SYNTAXES)
        ae.add_supported_context(Verification)
        ae.network_timeout = 120
        self._server = server = listen(ae, (address, port), self._take, tls)
        self.port: int = server.socket.getsockname()[1]

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._server.shutdown()

    def _take(self, event: evt.Event) -> int:
        if shutil.disk_usage(self._queue.folder).free < MIN_FREE:
            log.event("queue full")
            return _OUT_OF_RESOURCES
        try:
            # Of what anybody sends only the beginning is looked at here.
            content = event.encoded_dataset()
            self._queue.put(*uids(content), content)
        except OSError as error:
            log.failure("queue", error)
            return _OUT_OF_RESOURCES
        # An instance that cannot be filed, or is none, is the sender's to mend.
        except (ValueError, AttributeError) as error:
            log.refusal(error)
            return _CANNOT_UNDERSTAND
        return 0x0000


def _file(path: Path) -> File:
    return File(path.name, path)


@dataclass
class Router:
    """Works at a queue.

    Attributes:
        queue: of `Listener`.
        archive: that gets what was made.
        readers: of the model.
        settle: seconds without a new instance after which a series is taken to be whole.
        keep, keep_failed: seconds that what is done, and what cannot be read, stays in the queue.
        tell: called with each state that changes.
        parametric_map: whether parametric maps are made.
    """

    queue: Queue
    archive: Archive
    readers: Readers
    settle: float = 30.0
    keep: float = 86_400.0
    keep_failed: float = 7 * 86_400.0
    tell: Callable[[State], Any] = lambda _: None
    parametric_map: bool = True

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set."""
        while not stop.is_set():
            if not self.step():
                stop.wait(1.0)

    def step(self) -> int:
        """Do what is due. Returns of how many series."""
        due = self.queue.due(self.settle)
        for state in due:
            if state.state != READ:
                self._read(state)
            else:
                self._send(state)
        self.queue.prune(self.keep, self.keep_failed)
        self._tell(due)
        return len(due)

    def _read(self, state: State) -> None:
        files = self.queue.slices(state)
        try:
            choice = choose(header_of(_file(files[len(files) // 2])))
            if not choice.read:
                self.queue.finish(state, LEFT_OUT, choice.reason, len(files))
                return
            earlier = [predecessor(state.study, *uids) for uids in state.reports]
            made = read_series(
                [*map(_file, files)],
                self.readers,
                predecessors=earlier[-1:],
                parametric=self.parametric_map,
            )
        except (UnreadableScan, NoReference) as error:
            log.refusal(error)
            self.queue.finish(state, FAILED, str(error), len(files))
            return
        except (ModelError, FileNotFoundError) as error:
            # Not the series' fault: it is read once the model is there again.
            log.failure("model", error)
            raise
        # No series may end the router, nor stop those behind it.
        except Exception as error:
            error_id = log.failure("unforeseen", error)
            self.queue.finish(
                state, FAILED, f"{type(error).__name__}, error {error_id} in the log", len(files)
            )
            return
        self.queue.made(state, made.files(), len(files))

    def _send(self, state: State) -> None:
        try:
            # Images first: a report whose images have not come yet would refer to nothing.
            for file in self.queue.results(state):
                self.archive.store([file.read_bytes()])
                self.queue.sent(state, file)
        except PacsError as error:
            log.failure("send", error)
            self.queue.again(state, str(error))
            return
        # As where it is read.
        except Exception as error:
            error_id = log.failure("unforeseen", error)
            self.queue.again(state, f"{type(error).__name__}, error {error_id} in the log")
            return
        header = header_of(_file(self.queue.report(state)))
        report = [str(header.SeriesInstanceUID), str(header.SOPInstanceUID), str(header.SOPClassUID)]
        self.queue.done(state, report)

    def _tell(self, due: list[State]) -> None:
        for state in due:
            self.tell(self.queue.now(state))
