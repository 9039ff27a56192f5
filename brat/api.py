"""What `import brat` offers: a scan or a series in, its reading out.

The classes here join a scan to what the model says of it (`brat.model`), for people who work in a notebook.
The app and the command line use `brat.io` and `brat.model` directly.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from brat import notebook
from brat.classes import CLASS_NAMES, CLASSES
from brat.environment import WEIGHTS
from brat.io.display import finite, to_display
from brat.io.files import File
from brat.io.folders import files_at
from brat.io.intake import Item, group_into_series, load
from brat.io.scan import Scan, SeveralScans, UnreadableScan, checked, refuse_bomb
from brat.io.series import Series, Stack
from brat.model import series_reading
from brat.model.classifier import Prediction
from brat.model.explain import blend, grad_cam, onto_scan
from brat.model.out_of_distribution import OodResult
from brat.model.pool import Readers
from brat.model.preprocess import Geometry
from brat.model.series_reading import Run, SliceReading, spans
from brat.notebook import LEVEL

Source = str | os.PathLike[str] | bytes | np.ndarray
"""What `read` takes: a path, a file's bytes, or an array."""

SeriesSource = str | os.PathLike[str] | bytes | Iterable[str | os.PathLike[str]]
"""What `read_series` takes: a file or a folder, a file's bytes, or several files."""


class Reading:
    """One slice with what the model says of it. In a notebook it shows itself.

    Made by `read`, `Reader.read` and `read_series`.
    """

    def __init__(
        self,
        scan: Callable[[], Scan],
        prediction: Prediction,
        geometry: Geometry,
        sets: Mapping[float, tuple[str, ...]],
        ood: OodResult | None,
    ):
        """Args: scan: gives the slice; the others are as in `brat.model.reader.Reading`."""
        self._scan, self._prediction, self._geometry = scan, prediction, geometry
        self._sets, self._ood = sets, ood

    @property
    def scan(self) -> Scan:
        """The slice: `gray` uint8 (height, width), `pixels` with the file's own values, `spacing` and more.

        A slice of a series is decoded anew each time.
        """
        return self._scan()

    @property
    def label(self) -> str:
        """The likeliest class, one of `brat.CLASSES`. It means nothing where `in_distribution` is False."""
        return self._prediction.label

    @property
    def probabilities(self) -> dict[str, float]:
        """Class -> calibrated probability, 0 to 1, in the order of `brat.CLASSES`; they sum to 1."""
        return self._prediction.by_class()

    @property
    def levels(self) -> tuple[float, ...]:
        """The levels of its prediction sets, 0 to 1; none where the model was never calibrated."""
        return tuple(self._sets)

    def prediction_set(self, level: float = LEVEL) -> tuple[str, ...]:
        """The classes that the slice may be, the likeliest first.

        Split conformal prediction, one threshold a class: of slices like those that it was fitted to, the
        set holds the true class in this share. It may be empty, where no class is convincing.

        Args:
            level: one of `levels`.

        Raises:
            ValueError: the model has no thresholds for this level.
        """
        if level not in self._sets:
            fitted = ", ".join(f"{known:g}" for known in sorted(self._sets)) or "none"
            raise ValueError(f"There is no prediction set at the level {level:g}. This model has: {fitted}.")
        return self._sets[level]

    @property
    def in_distribution(self) -> bool | None:
        """Whether the slice is like those that the model learned from; None where the model cannot tell."""
        return None if self._ood is None else self._ood.in_distribution

    @property
    def reason(self) -> str:
        """What sets the slice apart where `in_distribution` is False, in a sentence; else empty."""
        return "" if self._ood is None else self._ood.reason

    def class_map(self, label: str | None = None) -> np.ndarray:
        """Grad-CAM of a class on the scan: where in it the answer comes from.

        Args:
            label: one of `brat.CLASSES`; that of the reading by default.

        Returns:
            float32 (height, width) in [0, 1]; 0 all over where nothing speaks for the class.

        Raises:
            ValueError: there is no such class.
        """
        label = self.label if label is None else label
        if label not in CLASSES:
            raise ValueError(f"There is no class {label!r}. The classes are {', '.join(CLASSES)}.")
        return onto_scan(grad_cam(self._prediction, label), self._geometry)

    def overlay(self, label: str | None = None, opacity: float = 0.6) -> np.ndarray:
        """The slice with the map of a class over it, in the colour map Inferno.

        Args:
            label: one of `brat.CLASSES`; that of the reading by default.
            opacity: 0 (the slice alone) to 1.

        Returns:
            uint8 (height, width, 3), RGB.

        Raises:
            ValueError: there is no such class, or the opacity is out of range.
        """
        if not 0 <= opacity <= 1:
            raise ValueError(f"The opacity must be from 0 to 1, not {opacity:g}.")
        return blend(self.scan.gray, self.class_map(label), opacity)

    def __repr__(self) -> str:
        return f"<brat.Reading of {self.scan.name}: {notebook.in_words(self)}>"

    def _repr_html_(self) -> str:
        return notebook.reading_as_html(self)

    def _repr_png_(self) -> bytes:
        return notebook.reading_as_png(self)


class SeriesReading:
    """A series read slice by slice. In a notebook it shows itself.

    Nothing here is a probability for the patient. The model learned from single slices, and how often a whole
    series is read rightly was never measured: answers are counted, not averaged. Slices are numbered from 0.

    Attributes:
        name: of the series.
        format: for people: "DICOM MR, 12-bit, 160 slices".
        plane: "acquired", "axial", "coronal" or "sagittal".
        slices: a reading for each slice in the order in which they lie; None for one that was not read.
        problems: number of a slice that was not read -> why.
        positions: millimetres along the stack from its first slice; None where the files do not say.
    """

    def __init__(self, series: Series, stack: Stack, results: Iterable[SliceReading]):
        """Args: stack: a view of the series; results: of its slices."""
        results = tuple(results)
        self.name, self.format, self.plane = series.name, series.format, stack.plane
        self.positions = stack.positions
        self.slices = tuple(_of_slice(stack, number, result) for number, result in enumerate(results))
        self.problems = {number: result.problem for number, result in enumerate(results) if result.problem}
        self._results = series_reading.SeriesReading(results, stack.positions)

    def __len__(self) -> int:
        return len(self.slices)

    @property
    def in_distribution(self) -> tuple[int, ...]:
        """The slices that are like those that the model learned from. Only these are counted below."""
        return self._results.known

    @property
    def out_of_distribution(self) -> tuple[int, ...]:
        """The slices that are not."""
        return self._results.refused

    @property
    def counts(self) -> dict[str, int]:
        """Class -> in how many slices it is the answer."""
        return {label: self._results.count(label) for label in CLASSES}

    @property
    def runs(self) -> tuple[Run, ...]:
        """Neighbouring slices with one answer: `label`, `first`, `last`, and the `strongest` of them."""
        return self._results.runs

    @property
    def most_suspicious(self) -> int:
        """The slice to look at first.

        The likeliest slice in the longest run of a tumour; where no slice has a tumour, the one in which it
        is least unlikely.
        """
        return self._results.most_suspicious

    @property
    def statements(self) -> tuple[str, ...]:
        """What is counted, in sentences. Slices are numbered from 1 here, as people count."""
        unlike, unread = self.out_of_distribution, tuple(self.problems)
        return (
            f"{_slices(len(self))}, {len(self.in_distribution)} like those that the model learned from.",
            *(self._statement(label) for label in CLASSES if self.counts[label]),
            *([f"{_slices(len(unlike))} unlike them: {spans(unlike)}."] if unlike else []),
            *([f"{_slices(len(unread))} not read, damaged or empty: {spans(unread)}."] if unread else []),
            "No probability for the patient: each slice was read by itself.",
        )

    def _statement(self, label: str) -> str:
        count, run = self.counts[label], self._results.longest(label)
        answer = f"{CLASS_NAMES[label]}: the answer in {_slices(count)}"
        if run is None or len(run) == 1:
            return f"{answer}."
        length = self._results.length(run)
        in_mm = f" ({length:.0f} mm)" if length else ""
        return f"{answer}; the longest run is {run.first + 1} to {run.last + 1}{in_mm}."

    def __repr__(self) -> str:
        return f"<brat.SeriesReading of {self.name}: {' '.join(self.statements)}>"

    def _repr_html_(self) -> str:
        return notebook.series_as_html(self)


def _slices(count: int) -> str:
    return "1 slice" if count == 1 else f"{count} slices"


def _of_slice(stack: Stack, number: int, result: SliceReading) -> Reading | None:
    if result.prediction is None or result.geometry is None:
        return None
    return Reading(lambda: stack[number], result.prediction, result.geometry, result.sets or {}, result.ood)


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
        scan = _scan_of_array(source) if isinstance(source, np.ndarray) else _only_scan(source)
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
    gray = pixels if pixels.dtype == np.uint8 else to_display(pixels)
    digest = hashlib.sha256(f"{pixels.dtype} {pixels.shape}".encode() + pixels.tobytes()).hexdigest()
    return checked(Scan(gray, pixels, "array", f"array, {pixels.dtype}", "", digest))


def _only_scan(source: str | os.PathLike[str] | bytes) -> Scan:
    items = _items(source)
    opened = load(items[0]) if len(items) == 1 else None
    if isinstance(opened, Series) and opened.volumes == 1 and len(stack := opened.stack()) == 1:
        opened = checked(stack[0])
    if isinstance(opened, Scan):
        return opened
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
        raise UnreadableScan("There are no files here.")
    return items


def _files(source: SeriesSource) -> Iterator[File]:
    if isinstance(source, bytes):
        yield File("scan", source)
    elif isinstance(source, str | os.PathLike):
        path = Path(source)
        for entry in files_at(str(path)):
            if isinstance(entry, File):
                # A series is called after its folder.
                yield entry._replace(name=str(Path(entry.name).relative_to(path.parent)))
    elif isinstance(source, Iterable) and not isinstance(source, np.ndarray):
        for file in source:
            yield File(str(Path(file)), Path(file))
    else:
        raise TypeError(
            f"A scan is given as a path, as bytes or as a NumPy array of two dimensions, not as "
            f"{type(source).__name__}; a series as a path, as bytes or as several paths."
        )
