"""The header of a DICOM slice: which series it belongs to, and where it lies in it. Pixels are not read."""

from __future__ import annotations

import io
import logging
import math
import zlib
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, NamedTuple, cast

# First: where one thread imports pydicom and another begins with a module of it, both get half of it.
import pydicom  # noqa: F401
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_partial
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    UID,
    AllTransferSyntaxes,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from brat.io import sniff
from brat.io.files import File
from brat.io.scan import UnreadableScan, decoding

# Its warnings quote the header, and a patient's name would get into a log.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

SPACING, ORIENTATION, POSITION = "PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient"

SAME_PLANE = 0.01
"""Cosines by which the rows and columns of two slices of one stack may differ."""

_TAGS = [
    Tag(keyword)
    for keyword in (
        *("SeriesInstanceUID", "InstanceNumber", POSITION, ORIENTATION, "SliceLocation"),
        *("NumberOfFrames", "Rows", "Columns"),
        *("SOPInstanceUID", "PatientID", "PatientName"),
    )
]
_SERIES, _NUMBER, _POSITION, _ORIENTATION, _LOCATION, _FRAMES, *_REST = _TAGS
_ROWS, _COLUMNS, _INSTANCE, _PATIENT, _NAME = _REST

_GROUPS = [Tag("SharedFunctionalGroupsSequence"), Tag("PerFrameFunctionalGroupsSequence")]

_MAX_READ = 1 << 20
"""Bytes of a header that are read at most; what a value holds that is not wanted is passed over."""

_MAX_ELEMENTS = 20_000

_PIXELS = Tag("FloatPixelData")
"""The first of those that hold a picture."""

_LITTLE_ENDIAN = {*AllTransferSyntaxes} - {ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian}

_ELEMENT = 8
"""Bytes of an element at least: its tag, and a length or a type and a length."""

_OF_COMMAND = b"\0\0"
"""Group of a message's elements, which some files have before those of the image, encoded in another way."""

_PREFIX = 1 << 20
"""Bytes. Of a file that is compressed as a whole the header is looked for in as many, unpacked."""


class Header(NamedTuple):
    """Where a DICOM file belongs.

    Attributes:
        series: its UID, rows and columns, which all slices of a stack share.
        plane: cosines of its rows and of its columns; empty where the file does not say.
        position: millimetres along the normal of the plane; None where the file does not say.
        location: Slice Location, millimetres; None where the file does not say.
        number: Instance Number; None where the file does not say.
        frames: how many images the file holds.
        instance: SOP Instance UID, which no other image has; empty where the file does not say.
        patient: Patient ID and name, to tell patients apart, never to be shown.
    """

    series: tuple[str, int, int]
    plane: tuple[float, ...]
    position: float | None
    location: float | None
    number: float | None
    frames: int
    instance: str = ""
    patient: tuple[str, str] = ("", "")

    @property
    def is_slice(self) -> bool:
        """Whether this is one image that may be a slice of a series."""
        return self.frames <= 1 and all(self.series)

    def is_parallel(self, other: Header) -> bool:
        """Whether both lie in parallel planes, or neither says in which."""
        return len(self.plane) == len(other.plane) and all(
            abs(a - b) <= SAME_PLANE for a, b in zip(self.plane, other.plane, strict=True)
        )


DESCRIBING = (
    *("Modality", "SOPClassUID", "ImageType", "FrameType", "BodyPartExamined"),
    *("SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName", "ContrastBolusAgent"),
    *("ScanningSequence", "RepetitionTime", "EchoTime", "InversionTime"),
)
"""Elements that say what a series shows, see `brat.pacs.choice`."""

LONGEST = 200
"""Characters of a value of `DESCRIBING`; what is longer is cut."""


def describe(file: File) -> dict[str, list[str]]:
    """The values of `DESCRIBING` in a file; empty where it is no DICOM, or its header is damaged."""
    said = {}
    try:
        if not sniff.is_dicom(file.read(sniff.HEAD)):
            return {}
        with decoding("DICOM"):
            dataset = _read(file, [Tag(keyword) for keyword in DESCRIBING])
            for keyword in DESCRIBING:
                value = dataset.get(keyword)
                values = value if isinstance(value, MultiValue) else [] if value is None else [value]
                said[keyword] = [str(each)[:LONGEST] for each in values[:20]]
    except UnreadableScan:
        return {}
    return said


def uids(content: bytes) -> tuple[str, str, str]:
    """Study, series and instance of a DICOM file, of which no more is read than a header may have.

    Empty where it does not say so.

    Raises:
        UnreadableScan: the header is damaged, or longer.
    """
    keywords = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    with decoding("DICOM"):
        dataset = _read(File("instance", content), [Tag(keyword) for keyword in keywords])
        study, series, instance = (str(dataset.get(keyword) or "") for keyword in keywords)
    return study, series, instance


def read_header(file: File) -> Header | None:
    """Read the elements up to Columns, a few kilobytes, however large the file is; of a file of one frame
    also the functional groups.

    Args:
        file: a DICOM file by its content.

    Returns:
        None where the header is damaged. Opening the file says why.
    """
    try:
        with decoding("DICOM"):
            dataset = _read(file, _TAGS)
            if dataset.get(_FRAMES) is not None and _POSITION not in dataset:
                dataset = _placed(file, dataset)
            return _header(dataset)
    except UnreadableScan:
        return None


def _placed(file: File, dataset: Dataset) -> Dataset:
    """The header of a file of one frame, with what its functional groups say of where that lies; that of
    another file as it is.
    """
    if int(dataset[_FRAMES].value or 1) > 1:
        return dataset
    found = _read(file, _GROUPS)
    for item in (item for tag in _GROUPS if tag in found for item in found[tag].value[:1]):
        for macro in ("PlanePositionSequence", "PlaneOrientationSequence"):
            for said in (item.get(macro) or [])[:1]:
                dataset.update({each.tag: each for each in said if each.keyword in (POSITION, ORIENTATION)})
    return dataset


def _read(file: File, tags: Sequence[BaseTag]) -> Dataset:
    if file.is_packed:
        return _elements(io.BytesIO(file.read(_PREFIX)), tags)
    with file.open() as stream:
        return _elements(cast(BinaryIO, _Bounded(stream)), tags)


class _Bounded:
    """A stream of which only `_MAX_READ` bytes may be read, wherever they stand."""

    def __init__(self, stream: BinaryIO):
        self._stream, self._left = stream, _MAX_READ
        self.tell, self.seek, self.name = stream.tell, stream.seek, ""

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(self._left + 1 if size < 0 else min(size, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise ValueError("the header is far longer than that of a slice")
        return data


def _header(dataset: Dataset) -> Header:
    # By tag: an archive has thousands of files, and each keyword that a file lacks would cost an exception.
    value = {tag: dataset[tag].value for tag in _TAGS if tag in dataset}.get
    plane, place = numbers(value(_ORIENTATION)), numbers(value(_POSITION))
    return Header(
        series=(str(value(_SERIES) or ""), int(value(_ROWS) or 0), int(value(_COLUMNS) or 0)),
        plane=tuple(plane) if len(plane) == 6 and all(map(math.isfinite, plane)) else (),
        position=_along_normal(place, plane),
        location=_number(value(_LOCATION)),
        number=_number(value(_NUMBER)),
        frames=int(value(_FRAMES) or 1),
        instance=str(value(_INSTANCE) or ""),
        patient=(str(value(_PATIENT) or ""), str(value(_NAME) or "")),
    )


def read_whole(data: bytes, tags: Sequence[BaseTag] | None = None, pixels: bool = True) -> Dataset:
    """A file as `pydicom.dcmread` reads it, but of no more elements than a header may have.

    Args:
        data: one that `transfer_syntax` did not refuse: of what comes before the dataset pydicom reads any
            number.
        tags: the elements that are wanted; all by default.
        pixels: whether to read the picture, and what comes after it.

    Raises:
        ValueError: it has more elements.
        Exception: whatever pydicom raises over a damaged file.
    """
    is_past = _until(lambda tag: not pixels and tag >= _PIXELS)
    return read_partial(
        io.BytesIO(data), stop_when=is_past, force=True, specific_tags=None if tags is None else [*tags]
    )


def _until(is_past: Callable[[BaseTag], bool]) -> Callable[[BaseTag, str | None, int], bool]:
    """When pydicom stops, by the tag that comes next; it raises where there are too many before that."""
    seen = 0

    def stop(tag: BaseTag, vr: str | None, length: int) -> bool:
        nonlocal seen
        seen += 1
        if seen > _MAX_ELEMENTS:
            raise ValueError("the header has far more elements than that of a slice")
        return is_past(tag)

    return stop


def _elements(stream: BinaryIO, tags: Sequence[BaseTag]) -> Dataset:
    last = max(tags)
    is_past = _until(lambda tag: tag > last)
    syntax = transfer_syntax(stream)
    if syntax == DeflatedExplicitVRLittleEndian:
        # pydicom would inflate all of it, up to 1,000 times the size of the file.
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        unpacked = io.BytesIO(inflater.decompress(stream.read(_PREFIX), _PREFIX))
        return read_dataset(unpacked, False, True, stop_when=is_past, specific_tags=[*tags])
    begin = stream.tell()
    first = stream.read(_ELEMENT)
    # pydicom would take longer to find that there is nothing.
    if len(first) < _ELEMENT:
        return Dataset()
    # What comes before the dataset is read once, but where it is no plain case.
    if syntax in _LITTLE_ENDIAN and not first.startswith(_OF_COMMAND):
        stream.seek(begin)
        is_implicit = syntax == ImplicitVRLittleEndian
        return read_dataset(stream, is_implicit, True, stop_when=is_past, specific_tags=[*tags])
    stream.seek(0)
    return read_partial(stream, stop_when=is_past, force=True, specific_tags=[*tags])


def transfer_syntax(stream: BinaryIO) -> UID | None:
    """What the file's meta information says; the stream is left where the dataset begins.

    Raises:
        ValueError: there are far more elements before the dataset than a header has.
        Exception: whatever pydicom raises over a damaged file.
    """
    preamble = stream.read(132)
    stream.seek(132 if preamble.endswith(b"DICM") else 0)
    meta = read_dataset(
        stream, is_implicit_VR=False, is_little_endian=True, stop_when=_until(lambda tag: tag.group != 2)
    )
    begin = stream.tell()
    if stream.read(2) == _OF_COMMAND:
        stream.seek(begin)
        read_dataset(
            stream, is_implicit_VR=True, is_little_endian=True, stop_when=_until(lambda tag: tag.group != 0)
        )
    stream.seek(begin)
    return meta.get("TransferSyntaxUID")


def position(header: Dataset) -> float | None:
    """Where a slice lies along the normal of its plane, millimetres; None where the header does not say."""
    return _along_normal(numbers(header.get(POSITION)), numbers(header.get(ORIENTATION)))


def _along_normal(place: Sequence[float], cosines: Sequence[float]) -> float | None:
    if len(place) != 3 or len(cosines) != 6 or not all(map(math.isfinite, (*place, *cosines))):
        return None
    (a, b, c, d, e, f), (x, y, z) = cosines, place
    # numpy would take longer to begin.
    return (b * f - c * e) * x + (c * d - a * f) * y + (a * e - b * d) * z


def numbers(value: Any) -> list[float]:
    """The numbers in a DICOM element, which may hold several, one or none."""
    try:
        return [float(part) for part in (value if isinstance(value, (MultiValue, list)) else [value])]
    except (TypeError, ValueError):
        return []


def _number(value: Any) -> float | None:
    values = numbers(value)
    return values[0] if len(values) == 1 and math.isfinite(values[0]) else None
