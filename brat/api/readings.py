"""A reading and its slice, a series and its readings, as a notebook wants them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from brat.api import notebook
from brat.classes import CLASS_NAMES, CLASSES
from brat.io.scan import Scan
from brat.io.series import Series, Stack
from brat.model import series_reading
from brat.model.calibration import DEFAULT_LEVEL
from brat.model.classifier import Prediction
from brat.model.explain import OPACITY, blend, grad_cam, onto_scan, why_unmarked
from brat.model.out_of_distribution import OodResult
from brat.model.preprocess import Geometry
from brat.model.series_reading import Run, SliceReading, spans


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

    def prediction_set(self, level: float = DEFAULT_LEVEL) -> tuple[str, ...]:
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
            raise ValueError(f"There is no prediction set at the level {level}. This model has: {fitted}.")
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

    @property
    def is_marked(self) -> bool:
        """Whether its map says something: not where the answer is no tumour, or means nothing."""
        return not why_unmarked(self._prediction, self._ood)

    def overlay(self, label: str | None = None, opacity: float = OPACITY) -> np.ndarray:
        """The slice with the map of a class over it, in the colour map Inferno.

        Args:
            label: one of `brat.CLASSES`; by default that of the reading, where `is_marked`.
            opacity: 0 (the slice alone) to 1.

        Returns:
            uint8 (height, width, 3), RGB.

        Raises:
            ValueError: there is no such class, or the opacity is out of range.
        """
        if not 0 <= opacity <= 1:
            raise ValueError(f"The opacity must be from 0 to 1, not {opacity:g}.")
        if label is None and not self.is_marked:
            opacity = 0.0
        return blend(self.scan.gray, self.class_map(label), opacity)

    def __repr__(self) -> str:
        return f"<brat.Reading of {self.scan.name}: {notebook.in_words(self)}>"

    def _repr_html_(self) -> str:
        return notebook.reading_as_html(self)

    def _repr_png_(self) -> bytes:
        return notebook.reading_as_png(self)


class SeriesReading:
    """A series read slice by slice. In a notebook it shows itself.

    Nothing here is a probability for the patient: the model learned from single slices, and their answers are
    counted. How often the rule of `brat.model.series_rule` found a tumour in whole series, and how often
    falsely, is measured in `weights/metrics.json` (`series_t1ce` and its siblings). Slices count from 0.

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
        # Without the folders above it, as of a slice.
        self.name, self.format, self.plane = Path(series.name).name, series.format, stack.plane
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

        The slice with the likeliest tumour, of any kind, in the longest run that `brat.model.series_rule`
        picks out; without one, the likeliest slice in the longest run of a tumour; where no slice has a
        tumour, the one in which it is least unlikely.
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
