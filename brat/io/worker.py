"""The side of a process that reads files: it answers requests of `brat.io.door` until its input ends."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.ma
import pydicom
from PIL import Image

from brat.io import codecs, wire
from brat.io.dicom import pixel_digest
from brat.io.dicom_header import describe
from brat.io.dicom_parts import parts
from brat.io.dicom_series import decode_slice
from brat.io.dicomdir import listed
from brat.io.files import File
from brat.io.intake import Item, Part, SeveralPanels, examine, load
from brat.io.panels import Panel
from brat.io.scan import Scan, SeveralScans, UnreadableScan
from brat.io.series import Series
from brat.io.workers import LEAST_MEMORY, MEMORY, TOO_MUCH_MEMORY

Reply = tuple[dict[str, Any], list[np.ndarray]]

_SAID = (
    *("name", "format", "modality", "digest", "spacing", "inverted"),
    *("sequence", "scanner", "edges", "remarks"),
)
"""Of a scan, what JSON holds as it is."""

_SPOKEN = 2000
"""Characters of a sentence, at most."""


class Answering(Protocol):
    """What answers a request: its fields, and the contents of files -> replies."""

    def answer(self, fields: dict[str, Any], blobs: list[bytes]) -> Iterator[Reply]: ...


class _Reading:
    """What the process keeps: the series that were opened in it."""

    def __init__(self) -> None:
        self._held: dict[str, Series] = {}

    def answer(self, fields: dict[str, Any], blobs: list[bytes]) -> Iterator[Reply]:
        for key in set(self._held) - set(fields["holds"]):
            del self._held[key]
        files = [file_of(file, blobs) for file in fields.get("files", ())]
        match fields["do"]:
            case "examine":
                for entry in examine(files[0], fields["left"]):
                    content = entry.file.source if entry.file.source is not files[0].source else None
                    yield (
                        {
                            "name": entry.file.name,
                            "packed": entry.file.is_packed,
                            "problem": entry.problem,
                            "header": entry.header and [*entry.header],
                            "series": entry.is_series,
                            "nifti": entry.is_nifti_header,
                        },
                        [np.frombuffer(content, np.uint8)] if isinstance(content, bytes) else [],
                    )
            case "decode":
                yield _of_scan(decode_slice(files[0]))
            case "describe":
                yield {"said": describe(files[0])}, []
            case "digest":
                data = files[0].read()
                digest = pixel_digest(data) if fields["pixels"] else hashlib.sha256(data).hexdigest()
                yield {"digest": digest}, []
            case "list":
                for place in listed(files[0]):
                    yield {"place": place}, []
            case "parts":
                found = parts(files[0].read(), fields["keywords"], fields["picture"], fields["frame"])
                yield (
                    {"syntax": found.syntax, "vr": found.vr},
                    [
                        np.frombuffer(part, np.uint8)
                        for part in (found.header, found.picture, found.places.tobytes())
                    ],
                )
            case "frame":
                yield {}, [codecs.decode_here(blobs[0])]
            case "open":
                yield self._open(fields, files)
            case "stack":
                stack = self._held[fields["key"]].stack(fields["plane"], fields["volume"])
                yield {"count": len(stack), "positions": stack.positions, "frames": stack.frames}, []
            case "slice":
                stack = self._held[fields["key"]].stack(fields["plane"], fields["volume"])
                yield _of_scan(stack[fields["index"]])

    def _open(self, fields: dict[str, Any], files: list[File]) -> Reply:
        part = fields["part"] and Part(Panel(*fields["part"]["panel"]), *fields["part"]["numbers"])
        opened = load(Item(fields["name"], tuple(files), fields["series"], part=part))
        if isinstance(opened, Scan):
            return _of_scan(opened)
        self._held[fields["key"]] = opened
        size = sum(len(file.source) for file in files if isinstance(file.source, bytes))
        described = {
            name: getattr(opened, name)
            for name in ("name", "format", "modality", "digest", "planes", "volumes", "remarks")
        }
        windows = {
            "window": opened.window and asdict(opened.window),
            "presets": [asdict(window) for window in opened.presets],
        }
        return {"is_series": True, **described, **windows, "size": max(size, _grown())}, []


def file_of(fields: dict[str, Any], blobs: list[bytes]) -> File:
    """A file as a request describes it, see `brat.io.door.described_files`."""
    source = Path(fields["path"]) if fields["path"] else blobs[fields["blob"]]
    identity = tuple(fields["identity"]) if fields["identity"] else None
    return File(fields["name"], source, fields["packed"], identity)


def _of_scan(scan: Scan) -> Reply:
    fields = {
        **{name: getattr(scan, name) for name in _SAID},
        "window": scan.window and asdict(scan.window),
        "presets": [asdict(window) for window in scan.presets],
    }
    pixels = scan.pixels
    if pixels.dtype.newbyteorder("<") not in wire.DTYPES:
        pixels = pixels.astype(np.float32)
    is_same = pixels is scan.gray or (pixels.dtype == np.uint8 and np.array_equal(pixels, scan.gray))
    return fields, [scan.gray] if is_same else [scan.gray, pixels]


def _refusal(error: BaseException) -> dict[str, Any]:
    causes: list[str] = []
    cause = error.__cause__ or error.__context__
    while cause is not None and len(causes) < 5:
        causes.append(type(cause).__name__)
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, SeveralPanels):
        parts = [item.part for item in error.items if item.part]
        return {
            "problem": str(error),
            "panels": [[*part.panel] for part in parts],
            "left_out": parts[0].left_out,
        }
    if "MemoryError" in causes or "error: OutOfMemoryError" in causes or isinstance(error, MemoryError):
        return {"problem": TOO_MUCH_MEMORY, "causes": causes}
    return {
        "problem": str(error)[:_SPOKEN],
        "causes": causes,
        "several": isinstance(error, SeveralScans),
        "told": isinstance(error, UnreadableScan),
    }


def serve(make: Callable[[], Answering]) -> None:
    """Answer what is asked on standard input, until it ends.

    Args:
        make: called at first; what it loads does not count as memory that a file may take.
    """
    replies = os.fdopen(os.dup(1), "wb")
    # What a decoder prints must not get between the replies.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    warnings.simplefilter("ignore")
    cv2.setNumThreads(1)
    # What the first file of each kind would wait for: these import more when they are first used.
    Image.preinit()
    with contextlib.suppress(Exception):
        pydicom.dcmread(io.BytesIO(bytes(128) + b"DICM"))
    codecs.become_decoder()
    reading = make()
    _begin_limits()
    wire.send_reply(replies, {"ready": True})
    while (request := wire.receive(sys.stdin.buffer)) is not None:
        fields, blobs = request
        _limit_processor(fields["seconds"])
        _limit_memory(fields["memory"])
        end: dict[str, Any] = {"end": True}
        try:
            for reply in reading.answer(fields, blobs):
                wire.send_reply(replies, *reply)
        # Whatever a decoder trips over; one of them raises what is no Exception at all.
        except BaseException as error:
            end |= _refusal(error)
        del request, blobs
        _limit_processor(0)
        _limit_memory(MEMORY)
        wire.send_reply(replies, end)


def _limit_processor(seconds: float) -> None:
    """The system ends the process where it takes more processor time from here on; 0: no limit."""
    with contextlib.suppress(ImportError, AttributeError):
        import signal

        signal.setitimer(signal.ITIMER_PROF, seconds)


_base = 0
_begin = 0


def _grown() -> int:
    """Bytes that the process has taken since it started, where the system says so."""
    with contextlib.suppress(OSError):
        return max(_size() - _base, 0)
    return 0


def _size() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def _begin_limits() -> None:
    global _base, _begin
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _base, _begin = _size(), _reserved()
        limit = _begin + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        # A crash is nothing to keep.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_memory(most: int) -> None:
    """From here on the process may take `most` bytes, with what it keeps, but `LEAST_MEMORY` in any case."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        whole = _begin + MEMORY
        limit = min(max(_begin + most, _reserved() + LEAST_MEMORY), whole)
        resource.setrlimit(resource.RLIMIT_AS, (limit, whole))


def _reserved() -> int:
    """Bytes of addresses that the process has, which is what the system limits."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * 4096


if __name__ == "__main__":
    serve(_Reading)
