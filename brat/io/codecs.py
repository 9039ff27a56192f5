"""Compressed DICOM pixels, decoded in processes of their own.

The decoders are C, C++ (GDCM, OpenJPEG, CharLS) and Rust. Files damaged at random crashed the process that
GDCM decoded them in within seconds, and one made OpenJPEG take all memory. Such a file must not stop the app
for everybody: a worker that dies, takes too long or too much memory is replaced, and the file is refused.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import queue
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

from brat.environment import CORES

TIMEOUT = 30
"""Seconds for one frame."""

MEMORY = 1_500_000_000
"""Bytes that a worker may take, beyond what it has when it starts; not enforced on Windows and macOS."""

_LENGTH = struct.Struct("<Q")


class Undecodable(ValueError):
    """A frame that no decoder reads, or over which one died."""


class _Worker:
    """A process that decodes one frame after another, until it dies of one."""

    def __init__(self):
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "brat.io.codecs"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
        )

    def decode(self, frame: bytes) -> np.ndarray:
        timer = threading.Timer(TIMEOUT, self._process.kill)
        timer.start()
        try:
            _send(self._process.stdin, frame)
            reply = _receive(self._process.stdout)
        except OSError:
            reply = None
        finally:
            timer.cancel()
        if reply is None:
            self.close()
            raise Undecodable("The decoder died of it, or took too long.")
        array, problem = pickle.loads(reply)
        if problem:
            raise Undecodable(problem)
        return array

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                stream.close()


_idle: queue.LifoQueue[_Worker] = queue.LifoQueue()
_places = threading.BoundedSemaphore(CORES)


@atexit.register
def _close() -> None:
    while not _idle.empty():
        _idle.get().close()


def decode(frame: bytes) -> np.ndarray:
    """Decode a compressed frame; as many at a time as there are cores.

    Args:
        frame: a DICOM file of this one frame; nothing but its picture need be in it.

    Returns:
        (rows, columns), or (rows, columns, 3) RGB.

    Raises:
        Undecodable: it cannot be decoded.
    """
    with _places:
        worker = _next()
        try:
            return worker.decode(frame)
        finally:
            if worker.is_alive:
                _idle.put(worker)


def _next() -> _Worker:
    while not _idle.empty():
        with contextlib.suppress(queue.Empty):
            worker = _idle.get_nowait()
            if worker.is_alive:
                return worker
            worker.close()
    return _Worker()


def _send(stream, content: bytes) -> None:
    stream.write(_LENGTH.pack(len(content)))
    stream.write(content)
    stream.flush()


def _receive(stream) -> bytes | None:
    """None where the other side is gone."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    content = stream.read(length)
    return content if len(content) == length else None


def _serve() -> None:
    """The worker's side."""
    import io
    import warnings

    from pydicom import dcmread
    from pydicom.pixels import pixel_array

    from brat.io import jpeg12

    replies = os.fdopen(os.dup(1), "wb")
    # What a decoder prints must not get between the replies.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    warnings.simplefilter("ignore")
    jpeg12.register()
    _limit_memory()
    while (frame := _receive(sys.stdin.buffer)) is not None:
        try:
            reply = (np.ascontiguousarray(pixel_array(dcmread(io.BytesIO(frame)), index=0)), "")
        # Whatever a decoder trips over; one of them raises what is no Exception at all.
        except BaseException as error:
            reply = (None, f"{type(error).__name__}: {error}"[:2000])
        _send(replies, pickle.dumps(reply, protocol=5))


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        # A crash is nothing to keep.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    _serve()
