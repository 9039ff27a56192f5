"""What passes between the app and the processes that read files: JSON and arrays, never objects.

A message is a head of fixed size, JSON, and arrays, each with a head of its own. What comes from a process
that read a hostile file is not believed: every field is checked before memory is taken for what follows.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from typing import IO, Any

import numpy as np

from brat.io.scan import MAX_PIXELS, MAX_SIDE

_HEAD = struct.Struct("<IB")
"""Length of the JSON in bytes, number of arrays."""

_ARRAY = struct.Struct("<BB3IQ")
"""Type of the values, number of dimensions, three sizes, length of the values in bytes."""

DTYPES = tuple(map(np.dtype, ("u1", "i1", "<u2", "<i2", "<u4", "<i4", "<f4", "<f8")))
"""What pixels may be; a message names one by its place."""

MAX_JSON = 4_000_000
"""Bytes; a picture has no more panels, and a header no more words."""

MAX_ARRAYS = 3


class BadReplyError(ValueError):
    """A reply that no honest process sends."""


def send(stream: IO[bytes], fields: dict[str, Any], blobs: Sequence[bytes] = ()) -> None:
    """Ask a process for something: fields, which name the lengths of the blobs that follow."""
    text = json.dumps({**fields, "blobs": [len(blob) for blob in blobs]}).encode()
    stream.write(_HEAD.pack(len(text), 0) + text)
    for blob in blobs:
        stream.write(blob)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], list[bytes]] | None:
    """What `send` sent, in the process; None where the app is gone."""
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    fields = json.loads(stream.read(_HEAD.unpack(head)[0]))
    return fields, [stream.read(length) for length in fields["blobs"]]


def send_reply(stream: IO[bytes], fields: dict[str, Any], arrays: Sequence[np.ndarray] = ()) -> None:
    """Answer: fields, and at most `MAX_ARRAYS` arrays of `DTYPES`."""
    text = json.dumps(fields).encode()
    stream.write(_HEAD.pack(len(text), len(arrays)) + text)
    for array in arrays:
        dtype = array.dtype.newbyteorder("<")
        values = np.ascontiguousarray(array, dtype)
        sizes = (*array.shape, 0, 0, 0)[:3]
        stream.write(_ARRAY.pack(DTYPES.index(dtype), array.ndim, *sizes, values.nbytes))
        stream.write(values.data.cast("B"))
    stream.flush()


def receive_reply(stream: IO[bytes], most: int) -> tuple[dict[str, Any], list[np.ndarray]]:
    """The answer of a process.

    Args:
        most: bytes that an array of one dimension, the content of a file, may have.

    Raises:
        EOFError: the process is gone.
        BadReplyError: the reply breaks the rules. The stream is of no use any more.
    """
    length, count = _HEAD.unpack(_exactly(stream, _HEAD.size))
    if length > MAX_JSON or count > MAX_ARRAYS:
        raise BadReplyError(f"{length:,} bytes of JSON, {count} arrays")
    try:
        fields = json.loads(_exactly(stream, length))
    except (ValueError, RecursionError) as error:
        raise BadReplyError("no JSON") from error
    if not isinstance(fields, dict):
        raise BadReplyError("no fields")
    return fields, [_receive_array(stream, most) for _ in range(count)]


def _receive_array(stream: IO[bytes], most: int) -> np.ndarray:
    code, ndim, *sizes, length = _ARRAY.unpack(_exactly(stream, _ARRAY.size))
    if code >= len(DTYPES):
        raise BadReplyError(f"type {code}")
    shape, dtype = tuple(sizes[:ndim]), DTYPES[code]
    if ndim not in (1, 2, 3) or any(sizes[ndim:]) or shape[2:] not in ((), (3,)):
        raise BadReplyError(f"{ndim} dimensions, {sizes}")
    if ndim == 1:
        if dtype != np.uint8 or length > most:
            raise BadReplyError(f"{length:,} bytes, and {most:,} are taken")
    elif not all(1 <= side <= MAX_SIDE for side in shape[:2]) or math.prod(shape[:2]) > MAX_PIXELS:
        raise BadReplyError(f"an image of {shape[1]:,} x {shape[0]:,} pixels")
    if length != math.prod(shape) * dtype.itemsize:
        raise BadReplyError(f"{length:,} bytes for {shape} of {dtype}")
    if ndim == 1:
        # Of a large file there must not be a second copy on its way.
        return np.frombuffer(_exactly(stream, length), np.uint8)
    array = np.empty(shape, dtype)
    if length and stream.readinto(array.data.cast("B")) < length:  # type: ignore[attr-defined]
        raise EOFError
    return array


def content_of(array: np.ndarray) -> bytes:
    """The content of a file as it was received, not copied."""
    assert isinstance(array.base, bytes)
    return array.base


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data
