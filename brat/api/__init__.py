"""What `import brat` offers: a scan or a series in, its reading out.

The classes here join a scan to what the model says of it (`brat.model`), for people who work in a notebook.
The app and the command line use `brat.io` and `brat.model` directly.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from brat.api.readings import Reading, SeriesReading
from brat.environment import WEIGHTS
from brat.io.display import finite, to_display
from brat.io.door import group_into_series, load
from brat.io.files import File
from brat.io.folders import files_at
from brat.io.intake import Item
from brat.io.scan import Scan, SeveralScans, UnreadableScan, checked, refuse_bomb
from brat.io.series import Series
from brat.model import series_reading
from brat.model.pool import Readers

Source = str | os.PathLike[str] | bytes | np.ndarray
"""What `read` takes: a path, a file's bytes, or an array."""

SeriesSource = str | os.PathLike[str] | bytes | Iterable[str | os.PathLike[str]]
"""What `read_series` takes: a file or a folder, a file's bytes, or several files."""


class Reader:
    """A model, loaded once; may be shared between threads.

    Example:
        >>> reader = brat.Reader(weights="run")
        >>> [reader.read(file).label for file in files]
    """

    def __init__(self, weights: str | os.PathLike[str] = WEIGHTS):
        """Load a model.

        Args:
            weights: its folder, such as `brat train` writes. By default the one that the environment
                variable `BRAT_WEIGHTS` names, or the one that ships.

        Raises:
            FileNotFoundError: there is no model in the folder.
        """
        self._readers = Readers(Path(weights))
        # Now rather than at the first scan, so that a wrong folder is known at once.
        self._readers()

    def read(self, source: Source) -> Reading:
        """Read one slice.

        Args:
            source: the path or the bytes of a file (PNG, JPEG, BMP, TIFF, WebP, DICOM, or an archive of one
                such file), or an array (height, width), upright, 64 pixels or more a side. uint8 is taken
                as displayed, 0 black and 255 white. Other whole numbers and floats may have any range: their
                lowest value is shown black, their 99.9th percentile white.

        Raises:
            UnreadableScan: a `ValueError`. The file cannot be read, or holds more than one slice; the
                message says what to do.
            ValueError: an array has another shape, or holds no real numbers.
            TypeError: the source is none of these.
        """
        if isinstance(source, np.ndarray):
            scan = _scan_of_array(source)
        elif isinstance(source, str | os.PathLike | bytes):
            scan = _only_scan(source)
        else:
            raise _wrong_type(source)
        result = self._readers().read(scan.gray)
        return Reading(lambda: scan, result.prediction, result.geometry, result.sets, result.ood)

    def read_series(
        self, source: SeriesSource, *, plane: str | None = None, volume: int = 0
    ) -> SeriesReading:
        """Read every slice of a series, on all cores.

        Args:
            source: a file (multi-frame DICOM, NIfTI, an archive), its bytes, a folder, or several files of
                one series.
            plane: "axial", "coronal" or "sagittal" of a NIfTI volume; that in which it was acquired by
                default.
            volume: of a file with several in the same space, from 0.

        Raises:
            UnreadableScan: a `ValueError`. Nothing in it can be read.
            ValueError: it holds no series, or more than one; or there is no such plane or volume.
            TypeError: the source is none of these.
        """
        series = _only_series(source)
        stack = series.stack(plane, volume)
        results = (result for _, result in series_reading.read_stack(stack, self._readers))
        return SeriesReading(series, stack, results)


@lru_cache(maxsize=1)
def _shipped() -> Reader:
    return Reader()


def read(source: Source) -> Reading:
    """`Reader.read` with the model that ships, which is loaded at the first call."""
    return _shipped().read(source)


def read_series(source: SeriesSource, *, plane: str | None = None, volume: int = 0) -> SeriesReading:
    """`Reader.read_series` with the model that ships, which is loaded at the first call."""
    return _shipped().read_series(source, plane=plane, volume=volume)


def _scan_of_array(pixels: np.ndarray) -> Scan:
    if pixels.ndim != 2 or not pixels.size:
        raise ValueError(
            f"An array must have the shape (height, width), not {pixels.shape}. Give one slice, and of a "
            "colour picture its luminance."
        )
    if pixels.dtype.kind not in "uif":
        raise ValueError(f"An array must hold whole numbers or floats, not {pixels.dtype}.")
    height, width = pixels.shape
    refuse_bomb(width, height)
    # A copy, which later changes of the caller's array do not reach.
    pixels = finite(np.array(pixels, order="C"))
    if pixels.dtype.kind == "f" and np.abs(pixels).max() > np.finfo(np.float32).max:
        raise ValueError("An array's values must fit into 32-bit floats, 3.4e38 at most. Scale them down.")
    gray = pixels if pixels.dtype == np.uint8 else to_display(pixels)
    digest = hashlib.sha256(f"{pixels.dtype} {pixels.shape}".encode() + pixels.tobytes()).hexdigest()
    return checked(Scan(gray, pixels, "array", f"array, {pixels.dtype}", "", digest))


def _only_scan(source: str | os.PathLike[str] | bytes) -> Scan:
    items = _items(source)
    opened = load(items[0]) if len(items) == 1 else None
    if isinstance(opened, Series) and opened.volumes == 1 and len(stack := opened.stack()) == 1:
        opened = checked(stack[0])
    if isinstance(opened, Scan):
        # A notebook is passed on, and need not say whose folders a file lay in.
        return replace(opened, name=Path(opened.name).name)
    content = opened.format if opened else f"{len(items)} files"
    raise SeveralScans(f"This holds more than one slice ({content}). Read it with brat.read_series.")


def _only_series(source: SeriesSource) -> Series:
    items = _items(source)
    of_series = [item for item in items if item.is_series]
    if len(of_series) > 1:
        names = ", ".join(item.name for item in of_series)
        raise ValueError(f"This holds {len(of_series)} series: {names}. Give the files of one.")
    # What cannot be opened says why.
    opened = load((of_series or items)[0]) if of_series or len(items) == 1 else None
    if isinstance(opened, Series):
        return opened
    raise ValueError("This holds single slices and no series. Read each with brat.read.")


def _items(source: SeriesSource) -> list[Item]:
    items = group_into_series(_files(source))
    if not items:
        if isinstance(source, str | os.PathLike):
            raise UnreadableScan(f"There are no scans in {os.fspath(source)}.")
        raise UnreadableScan("No file is given.")
    return items


def _files(source: SeriesSource) -> Iterator[File]:
    if isinstance(source, bytes):
        yield File("scan", source)
    elif isinstance(source, str | os.PathLike):
        for file in files_at(os.fspath(source)):
            # What is not read in a folder is passed over.
            if isinstance(file, File):
                yield file
    elif isinstance(source, Iterable) and not isinstance(source, np.ndarray | bytearray | memoryview):
        for path in source:
            if not isinstance(path, str | os.PathLike):
                raise _wrong_type(path)
            yield File(os.fspath(path), Path(path))
    else:
        raise _wrong_type(source)


def _wrong_type(source: object) -> TypeError:
    return TypeError(
        "A slice is given as a path, as bytes or as a NumPy array of two dimensions, not as "
        f"{type(source).__name__}; a series as a path, as bytes or as several paths."
    )
