"""Compressed DICOM pixels, decoded in a process of the pool.

The decoders are C, C++ (GDCM, OpenJPEG, CharLS) and Rust. Files damaged at random crashed the process that
GDCM decoded them in within seconds, and one made OpenJPEG take all memory. So they run in `brat.io.workers`
only: where a file is read there, in the same process, and where a program reads a file by itself, frame by
frame.
"""

from __future__ import annotations

import io

import numpy as np

from brat.io import wire
from brat.io.workers import Account, Stopped, pool

_is_decoder = False


class Undecodable(ValueError):
    """A frame that no decoder reads, or over which one died."""


def decode(frame: bytes) -> np.ndarray:
    """Decode a compressed frame.

    Args:
        frame: a DICOM file of this one frame; nothing but its picture need be in it.

    Returns:
        (rows, columns), or (rows, columns, 3) RGB.

    Raises:
        Undecodable: it cannot be decoded.
    """
    if _is_decoder:
        return decode_here(frame)
    try:
        array = None
        for fields, arrays in pool.ask({"do": "frame"}, [frame], Account()):
            if "problem" in fields:
                raise Undecodable(str(fields["problem"]))
            array = arrays[0] if arrays else array
    except Stopped as error:
        raise Undecodable("The decoder died of it, or took too long.") from error
    if array is None or array.ndim < 2:
        raise Undecodable("The decoder's reply is refused.")
    return array


def decode_here(frame: bytes) -> np.ndarray:
    """As `decode`, in this process, which it may end."""
    from pydicom import dcmread
    from pydicom.pixels import pixel_array

    try:
        array = np.ascontiguousarray(pixel_array(dcmread(io.BytesIO(frame)), index=0))
    except MemoryError:
        raise
    # Whatever a decoder trips over; one of them raises what is no Exception at all.
    except BaseException as error:
        raise Undecodable(f"{type(error).__name__}: {error}") from error
    if array.dtype.newbyteorder("<") not in wire.DTYPES:
        raise Undecodable(f"Values of the type {array.dtype} are not read here.")
    return array


def become_decoder() -> None:
    """Let this process be one that decodes, and may die of it. Once in a process."""
    global _is_decoder
    from brat.io import jpeg12

    jpeg12.register()
    _is_decoder = True
