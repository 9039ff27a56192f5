"""A reading as DICOM objects: a structured report, and the map as a secondary capture and as a parametric
map.

By highdicom. All three are made together, so that the report refers to the maps; each is a new series of the
study. Which study that is, and what is said of the patient, depends on the purpose
(`brat.reports.dicom_source`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import numpy as np

from brat.io.scan import Scan, Window
from brat.io.series import Stack
from brat.model.explain import grad_cam, onto_scan, overlay, why_unmarked
from brat.model.reader import Reading
from brat.model.series_reading import SeriesReading, SliceReading
from brat.reports.dicom_map import capture, parametric_map
from brat.reports.dicom_source import (
    NoReference,
    Purpose,
    finish,
    header_of,
    headers_of,
    is_instance,
    is_of_the_standard,
    origin,
    patient,
    slice_for_teaching,
)
from brat.reports.dicom_sr import Verdict, structured_report

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = [
    "NoReference",
    "Purpose",
    "ReadSlice",
    "Results",
    "Verdict",
    "header_of",
    "is_instance",
    "is_of_the_standard",
    "patient",
    "results",
    "slice_for_teaching",
    "slice_of",
    "slices_of",
]


@dataclass(frozen=True, eq=False)
class ReadSlice:
    """A slice that was read, of a DICOM file of its own or a frame of one.

    Attributes:
        header: of its file, from `brat.reports.dicom_source.header_of`.
        reading: of it.
        window: what was shown of it; None where it has no window.
        scan: gives it.
        verdict: on it; of a series all are of one person. For teaching it goes out without the person's name,
            and verifies nothing.
        frame: of its file, from 0.
    """

    header: Dataset
    reading: SliceReading
    window: Window | None
    scan: Callable[[], Scan]
    verdict: Verdict | None = None
    frame: int = 0


@dataclass(frozen=True)
class Results:
    """DICOM files.

    Attributes:
        report: the structured report; None where a slice is an object of a maker's own, to which none can
            refer.
        capture: the secondary capture; None where the slice is unmarked, see
            `brat.model.explain.why_unmarked`.
        parametric_map: None where there is no capture, the slices do not say where they lie, or none is
            wanted.
    """

    report: bytes | None
    capture: bytes | None
    parametric_map: bytes | None

    def files(self) -> dict[str, bytes]:
        """Those that there are, by what they are: "sr", "map", "pm"."""
        made = {"sr": self.report, "map": self.capture, "pm": self.parametric_map}
        return {name: content for name, content in made.items() if content}


def slice_of(
    data: bytes, scan: Scan, reading: Reading, verdict: Verdict | None = None, frame: int = 0
) -> ReadSlice:
    """One slice.

    Args:
        data: the bytes that `scan` was read from; a scan keeps nothing of the file.
        reading: of `scan.gray`.
        verdict: on it.
        frame: of the file that it is, from 0.
    """
    header = header_of(data, frame)
    return ReadSlice(header, SliceReading.of(reading), scan.window, lambda: scan, verdict, frame)


def slices_of(
    stack: Stack, read: Sequence[tuple[Window | None, SliceReading, Verdict | None]]
) -> list[ReadSlice]:
    """The slices of a series.

    Args:
        stack: of DICOM, whose slices each have a file of their own, or are frames of one.
        read: of each slice in turn the window that was shown of it, its reading, and the verdict on it.

    Raises:
        NoReference: the slices are of no DICOM file.
    """
    if not stack.files:
        raise NoReference("This series is not DICOM, so there is no instance that a report could refer to.")
    frames = stack.frames or (0,) * len(stack)
    if stack.frames:
        headers = headers_of(stack.files[0], stack.frames)
    else:
        headers = [header_of(file) for file in stack.files]

    def scan(number: int) -> Callable[[], Scan]:
        return lambda: stack[number]

    return [
        ReadSlice(header, reading, window, scan(number), verdict, frame)
        for number, (header, frame, (window, reading, verdict)) in enumerate(
            zip(headers, frames, read, strict=True)
        )
    ]


def results(
    slices: Sequence[ReadSlice],
    model: str,
    purpose: Purpose,
    *,
    predecessors: Sequence[Dataset] = (),
    others: int = 0,
    parametric: bool = True,
) -> Results:
    """The objects of one slice, or of one series: one report, and the map of its most suspicious slice.

    The parametric map of a series has the values of the longest run of slices with the leading answer, and a
    frame of 0 for every other slice: OHIF 3.11 lays over a series only what has a frame for each slice of it.
    Where the slices of the series are not on one grid, it has the frames of the run alone. For the archive it
    is deflated (PS3.5 A.5).

    Args:
        slices: in order of position.
        model: SHA-256 of the model, from `brat.model.classifier.Classifier`.
        predecessors: reports that this one replaces, from `brat.reports.dicom_sr.predecessor`; for the
            archive only.
        others: how many other stacks and volumes the series has, which were not read.
        parametric: whether a parametric map is made, which the report refers to.

    Raises:
        NoReference: a slice has no UIDs, or none of them could be read.
        UnreadableScan: the file of the most suspicious slice is gone.
        ModuleNotFoundError: highdicom is not installed.
    """
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    series = SeriesReading(tuple(part.reading for part in slices))
    if len(series.unread) == len(slices):
        raise NoReference("No slice of this series could be read, so there is nothing to report.")
    if purpose is Purpose.TEACHING:
        slices = [
            replace(part, verdict=part.verdict and Verdict(*part.verdict[:2], observer="")) for part in slices
        ]
        predecessors = ()
    # Neither a report nor a parametric map can refer to an object of a maker's own class.
    is_standard = all(is_of_the_standard(part.header) for part in slices)
    origins = [origin(part.header, purpose, part.frame) for part in slices]
    program = _version()
    images: list[Dataset] = []
    shown = slices[series.most_suspicious]
    capture_, map_ = None, None
    prediction, geometry, ood = shown.reading.prediction, shown.reading.geometry, shown.reading.ood
    assert prediction is not None
    assert geometry is not None
    if not why_unmarked(prediction, ood):
        label = prediction.label
        scan = shown.scan()
        picture = overlay(scan.gray, prediction, ood, geometry)
        capture_ = capture(picture, origins[series.most_suspicious], label, scan.spacing, scan.edges)
        run = series.longest(label)
        assert run is not None
        inside = slice(run.first, run.last + 1)
        maps: list[np.ndarray | None] = [None] * len(slices)
        maps[inside] = [_map_of(part.reading, label) for part in slices[inside]]
        if is_standard and parametric:
            map_ = parametric_map(maps, origins, label, model, program) or parametric_map(
                maps[inside], origins[inside], label, model, program
            )
        if map_ is not None and purpose is Purpose.ARCHIVE:
            # Nearly all zeros: 300 slices of 384 x 384, 60 of them with values, take 2.5 MB instead of 177.
            map_.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        images = [image for image in (capture_, map_) if image is not None]
    report = None
    if is_standard:
        report = structured_report(
            origins,
            [part.reading for part in slices],
            [part.window for part in slices],
            [part.verdict for part in slices],
            images,
            model=model,
            version=program,
            predecessors=predecessors,
            others=others,
        )
    header = shown.header
    return Results(
        report=finish(report, header, purpose) if report is not None else None,
        capture=finish(capture_, header, purpose) if capture_ is not None else None,
        parametric_map=finish(map_, header, purpose) if map_ is not None else None,
    )


def _map_of(reading: SliceReading, label: str) -> np.ndarray:
    assert reading.prediction is not None
    assert reading.geometry is not None
    return onto_scan(grad_cam(reading.prediction, label), reading.geometry)


def _version() -> str:
    try:
        return version("bratum-scans")
    except PackageNotFoundError:
        return "not installed"
