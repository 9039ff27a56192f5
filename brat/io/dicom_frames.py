"""What a DICOM file of many frames says of each: its functional groups (PS3.3 C.7.6.16)."""

from __future__ import annotations

import math

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.valuerep import DSfloat

from brat.io.dicom_header import ORIENTATION, POSITION, SPACING, numbers

SHARED, PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"

MAX_FRAMES = 10_000

PLACE = {SPACING: 2, "SliceThickness": 1, "SpacingBetweenSlices": 1, ORIENTATION: 6, POSITION: 3}
"""Keyword -> how many numbers it has, of what says where a frame lies, how thick it is and how far apart its
pixels are."""

_MACROS = ("PixelMeasuresSequence", "PlaneOrientationSequence", "PlanePositionSequence")
"""The functional groups that they stand in; a maker's own may repeat them."""

_TOLD_APART = (
    *("TemporalPositionIndex", "EffectiveEchoTime", "DiffusionBValue"),
    *("DimensionIndexValues", "FrameType"),
)

_OF_PLACE = tuple(map(Tag, ("StackID", "InStackPositionNumber", POSITION, ORIENTATION)))
"""Dimensions that say where a frame lies, and not what it shows."""

COLUMNS = sum(PLACE.values())


def groups(dataset: Dataset, sequence: str, index: int = 0) -> list[Dataset]:
    """The first item of each functional group.

    Args:
        sequence: `SHARED`, or `PER_FRAME`.
        index: of the frame, from 0; of `SHARED` there is but one.
    """
    items = dataset.get(sequence) or []
    if index >= len(items):
        return []
    return [element.value[0] for element in items[index] if element.VR == "SQ" and element.value]


def places(dataset: Dataset, frames: int) -> np.ndarray:
    """Where the frames of a file lie.

    Where the file itself names a place, not all of several frames lie there, so it counts for a file of one
    frame only.

    Returns:
        float64 (frames, `COLUMNS`), the numbers of `PLACE` in order, millimetres and cosines; NaN where the
        file does not say.
    """
    table = np.full((frames, COLUMNS), np.nan)
    _put(dataset, table)
    if frames > 1:
        table[:, -PLACE[POSITION] :] = np.nan
    for item in (dataset.get(SHARED) or [])[:1]:
        _put_groups(item, table)
    for row, item in enumerate((dataset.get(PER_FRAME) or [])[:frames]):
        _put_groups(item, table[row : row + 1])
    return table


def acquisitions(dataset: Dataset, frames: int) -> list[tuple]:
    """Of each frame what tells it from others at its place: time, echo, diffusion weighting, what else the
    file counts its frames by, and its type. They can be compared, and are equal where frames are of one
    volume.
    """
    pointers = [item.get("DimensionIndexPointer") for item in dataset.get("DimensionIndexSequence") or []]
    counted = [index for index, pointer in enumerate(pointers) if pointer not in _OF_PLACE]
    found = []
    for frame in range(frames):
        said = Dataset()
        for group in (*groups(dataset, SHARED), *groups(dataset, PER_FRAME, frame)):
            said.update({each.tag: each for each in group if each.keyword in _TOLD_APART})
        values = [(numbers(said.get(keyword)) or [-1.0])[0] for keyword in _TOLD_APART[:-2]]
        indices = numbers(said.get("DimensionIndexValues"))
        values += [indices[index] if index < len(indices) else -1.0 for index in counted]
        numbered = (value if math.isfinite(value) else -1.0 for value in values)
        found.append((*numbered, str(said.get("FrameType") or "")))
    return found


def _put_groups(item: Dataset, rows: np.ndarray) -> None:
    for name in _MACROS:
        for source in (item.get(name) or [])[:1]:
            _put(source, rows)


def _put(source: Dataset, rows: np.ndarray) -> None:
    column = 0
    for keyword, count in PLACE.items():
        if keyword in source:
            found = numbers(source.get(keyword))
            is_whole = len(found) == count and all(map(math.isfinite, found))
            rows[:, column : column + count] = found if is_whole else np.nan
        column += count


def of_frame(header: Dataset, place: np.ndarray) -> Dataset:
    """A header that says of itself where one frame lies, as that of a slice does.

    Args:
        header: of the file.
        place: a row of `places`.
    """
    alone = Dataset()
    # Elements are shared with the header, and so exchanged, never changed.
    alone.update(header)
    column = 0
    for keyword, count in PLACE.items():
        values = [float(value) for value in place[column : column + count]]
        column += count
        if any(map(math.isnan, values)):
            if keyword in alone:
                del alone[keyword]
            continue
        said = [DSfloat(value, auto_format=True) for value in values]
        alone[keyword] = pydicom.DataElement(Tag(keyword), "DS", said)
    return alone
