"""Compressed DICOM pixels, decoded in processes of their own.

The decoders are C, C++ (GDCM, OpenJPEG, CharLS) and Rust. Files damaged at random crashed the process that
GDCM decoded them in within seconds, and one made OpenJPEG take all memory. Such a file must not stop the app
for everybody: a worker that dies, takes too long or too much memory is replaced, and the file is refused.

A file that takes a worker over must not get further, so a worker's reply is not trusted: it is a header of
fixed size, whose every field is checked before memory is taken, and the values as plain bytes.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import math
import os
import queue
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

import numpy as np

from brat.environment import CORES
from brat.io.scan import MAX_PIXELS, MAX_SIDE

TIMEOUT = 30
"""Seconds for one frame."""

MEMORY = 1_500_000_000
"""Bytes that a worker may take, beyond what it has when it starts; not enforced on Windows and macOS."""

_COMMAND = (sys.executable, "-m", "brat.io.codecs")

_LENGTH = struct.Struct("<Q")

_REPLY = struct.Struct("<BBB3IQ")
"""Status, type of the values, number of dimensions, three sizes, length of what follows in bytes."""

_ARRAY, _PROBLEM = 0, 1

_DTYPES = tuple(map(np.dtype, ("u1", "i1", "<u2", "<i2", "<u4", "<i4")))
"""What compressed pixels are decoded to; a reply names one by its place."""

_MAX_PROBLEM = 2000
"""Bytes of an error's words, as UTF-8."""


class Undecodable(ValueError):
    """A frame that no decoder reads, or over which one died."""


class _Worker:
    """A process that decodes one frame after another, until it dies of one."""

    def __init__(self) -> None:
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
        )

    def decode(self, frame: bytes) -> np.ndarray:
        """As `decode` below; the process is dead after a reply that breaks the rules."""
        assert self._process.stdin
        assert self._process.stdout
        timer = threading.Timer(TIMEOUT, self._process.kill)
        timer.start()
        try:
            _send(self._process.stdin, frame)
            reply = _receive_reply(self._process.stdout)
        except (OSError, EOFError) as error:
            self.close()
            raise Undecodable("The decoder died of it, or took too long.") from error
        except _BadReplyError as error:
            self.close()
            raise Undecodable(f"The decoder's reply is refused: {error}.") from error
        finally:
            timer.cancel()
        if isinstance(reply, str):
            raise Undecodable(reply)
        return reply

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if stream:
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


class _BadReplyError(ValueError):
    """A reply that no honest worker sends."""


def _send(stream: IO[bytes], frame: bytes) -> None:
    stream.write(_LENGTH.pack(len(frame)))
    stream.write(frame)
    stream.flush()


def _receive(stream: IO[bytes]) -> bytes | None:
    """None where the other side is gone."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    content = stream.read(length)
    return content if len(content) == length else None


def _send_reply(stream: IO[bytes], reply: np.ndarray | str) -> None:
    if isinstance(reply, str):
        text = reply.encode("utf-8", "replace")[:_MAX_PROBLEM]
        stream.write(_REPLY.pack(_PROBLEM, 0, 0, 0, 0, 0, len(text)))
        stream.write(text)
    else:
        dtype = reply.dtype.newbyteorder("<")
        values = reply.astype(dtype, copy=False).tobytes()
        sizes = (*reply.shape, 0, 0, 0)[:3]
        stream.write(_REPLY.pack(_ARRAY, _DTYPES.index(dtype), reply.ndim, *sizes, len(values)))
        stream.write(values)
    stream.flush()


def _receive_reply(stream: IO[bytes]) -> np.ndarray | str:
    """The decoded frame, or why there is none.

    Raises:
        EOFError: the other side is gone.
        _BadReplyError: the reply breaks the rules. The stream is of no use any more.
    """
    head = stream.read(_REPLY.size)
    if len(head) < _REPLY.size:
        raise EOFError
    status, code, ndim, *sizes, length = _REPLY.unpack(head)
    if status == _PROBLEM:
        if length > _MAX_PROBLEM:
            raise _BadReplyError(f"an error of {length:,} bytes")
        return stream.read(length).decode("utf-8", "replace")
    if status != _ARRAY:
        raise _BadReplyError(f"status {status}")
    if code >= len(_DTYPES):
        raise _BadReplyError(f"type {code}")
    shape = tuple(sizes[:ndim])
    if ndim not in (2, 3) or any(sizes[ndim:]) or shape[2:] not in ((), (3,)):
        raise _BadReplyError(f"{ndim} dimensions, {sizes}")
    if not all(1 <= side <= MAX_SIDE for side in shape[:2]) or math.prod(shape[:2]) > MAX_PIXELS:
        raise _BadReplyError(f"an image of {shape[1]:,} x {shape[0]:,} pixels")
    dtype = _DTYPES[code]
    if length != math.prod(shape) * dtype.itemsize:
        raise _BadReplyError(f"{length:,} bytes for {shape} of {dtype}")
    array = np.empty(shape, dtype)
    if stream.readinto(array.data.cast("B")) < length:  # type: ignore[attr-defined]
        raise EOFError
    return array


def _serve() -> None:
    """The worker's side."""
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
        reply: np.ndarray | str
        try:
            reply = np.ascontiguousarray(pixel_array(dcmread(io.BytesIO(frame)), index=0))
            if reply.dtype.newbyteorder("<") not in _DTYPES:
                reply = f"Values of the type {reply.dtype} are not read here."
        # Whatever a decoder trips over; one of them raises what is no Exception at all.
        except BaseException as error:
            reply = f"{type(error).__name__}: {error}"
        _send_reply(replies, reply)


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
