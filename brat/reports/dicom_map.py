"""The map of where a reading comes from, as two kinds of DICOM image that refer to their source.

A secondary capture (PS3.3 A.8.1) is the slice with the map drawn in, which every viewer shows. A parametric
map (PS3.3 A.75) holds the values of the map on the grid of the slices, for viewers that lay one series over
another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from brat.classes import CLASS_NAMES
from brat.io.geometry import Edges, is_square, turn
from brat.reports.dicom_codes import code

if TYPE_CHECKING:
    from highdicom.pm import ParametricMap
    from highdicom.sc import SCImage
    from pydicom.dataset import Dataset

MAKER = "BraTum Scans"

_UNKNOWN_ORIENTATION = ("L", "P")

_PLACE = (
    "PixelSpacing",
    "SliceThickness",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "FrameOfReferenceUID",
)
"""What a slice must say for its place in the patient to be known."""


def capture(
    picture: np.ndarray,
    source: Dataset,
    label: str,
    spacing: tuple[float, float] | None,
    edges: Edges | None,
    number: int = 1,
) -> SCImage:
    """A secondary capture of a slice with its map.

    Args:
        picture: uint8 (height, width, 3), RGB.
        source: from `brat.reports.dicom_source.origin`.
        label: the class whose map it is.
        spacing: millimetres between rows and between columns; None where nobody says.
        edges: of the picture, which may be turned from how the source stores it; None where nobody says.
    """
    from highdicom.sc import SCImage
    from pydicom.dataset import Dataset
    from pydicom.uid import generate_uid

    image = SCImage(
        picture,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        study_instance_uid=source.StudyInstanceUID,
        series_instance_uid=generate_uid(prefix=None),
        series_number=9901,
        sop_instance_uid=generate_uid(prefix=None),
        instance_number=number,
        manufacturer=MAKER,
        pixel_spacing=spacing,
        patient_orientation=edges[2:] if edges else _UNKNOWN_ORIENTATION,
    )
    if not edges:
        image["PatientOrientation"].value = None
    # A body part that is not paired: without one, the standard would ask for its laterality.
    image.BodyPartExamined = "BRAIN"
    if "BurnedInAnnotation" in source:
        image.BurnedInAnnotation = source.BurnedInAnnotation
    image.SeriesDescription = series_description(label)
    image.DerivationDescription = f"Grad-CAM of {CLASS_NAMES[label].lower()} laid over the source image"
    reference = Dataset()
    _refer(reference, source)
    purpose = code("121322", "Source image for image processing operation", "DCM")
    reference.PurposeOfReferenceCodeSequence = [purpose]
    image.SourceImageSequence = [reference]
    return image


def parametric_map(
    maps: Sequence[np.ndarray | None], sources: Sequence[Dataset], label: str, model: str, version: str
) -> ParametricMap | None:
    """The values of a class's map on the slices of a series, one frame for each.

    Some viewers lay it over the series only if every slice has a frame, so a slice without a map has one too.

    Args:
        maps: of each slice as it is shown, float32 (height, width) in [0, 1]; None where it has
            none, and its frame is 0.
        sources: of each, from `brat.reports.dicom_source.origin`.
        label: the class whose map it is.
        model: SHA-256 of the model.
        version: of the program.

    Returns:
        None where the slices do not say where they lie, are of several sizes, or share a place.
    """
    from highdicom import VOILUTTransformation
    from highdicom.pm import ParametricMap, RealWorldValueMapping
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    if not all(source.get(keyword) for source in sources for keyword in _PLACE):
        return None
    frames = [
        np.zeros((source.Rows, source.Columns), np.float32) if values is None else _as_stored(values, source)
        for values, source in zip(maps, sources, strict=True)
    ]
    if not _lie_on_one_grid(frames, sources):
        return None
    name = CLASS_NAMES[label].lower()
    mapping = RealWorldValueMapping(
        lut_label="CAM",
        lut_explanation=f"Class map of {name}; peak of a slice 1, 0 where none",
        unit=codes.UCUM.NoUnits,
        value_range=(0.0, 1.0),
        slope=1,
        intercept=0,
        quantity_definition=codes.DCM.GradientWeightedClassActivation,
    )
    # highdicom takes one file of frames whole, or files of a slice each; it is told of the latter.
    slices = {str(generate_uid(prefix=None)): source for source in sources}
    image = ParametricMap(
        source_images=[_stand_in(source, uid) for uid, source in slices.items()],
        pixel_array=np.stack(frames).astype(np.float32),
        series_instance_uid=generate_uid(prefix=None),
        series_number=9903,
        sop_instance_uid=generate_uid(prefix=None),
        instance_number=1,
        manufacturer=MAKER,
        manufacturer_model_name="MobileNetV2",
        software_versions=version,
        device_serial_number=model[:16],
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[VOILUTTransformation(window_center=0.5, window_width=1.0)],
        content_label="CLASS_MAP",
        content_description=f"Where the reading of {name} comes from, not a medical device"[:64],
    )
    _refer_to(image, slices)
    _turn_round(image)
    image.SeriesDescription = series_description(label)
    image.BodyPartExamined = "BRAIN"
    return image


_OF_INSTANCE = ("SOPClassUID", "SOPInstanceUID", "ReferencedFrameNumber", "NumberOfFrames")


def _stand_in(source: Dataset, uid: str) -> Dataset:
    """A frame, or a slice, as a slice of an instance of its own."""
    from pydicom.dataset import Dataset
    from pydicom.uid import MRImageStorage

    alone = Dataset()
    alone.update({element.tag: element for element in source if element.keyword not in _OF_INSTANCE})
    alone.SOPClassUID, alone.SOPInstanceUID = MRImageStorage, uid
    return alone


def _refer_to(image: ParametricMap, slices: dict[str, Dataset]) -> None:
    """Have a map refer to its sources, not to what stands in for them.

    Args:
        slices: of each stand-in, by its UID, the source.
    """
    from pydicom.dataset import Dataset

    for group in image.PerFrameFunctionalGroupsSequence:
        for derivation in group.get("DerivationImageSequence", ()):
            for reference in derivation.SourceImageSequence:
                _refer(reference, slices[reference.ReferencedSOPInstanceUID])
    instances: dict[str, list[Dataset]] = {}
    for source in slices.values():
        instances.setdefault(source.SOPInstanceUID, []).append(source)
    images, referenced = [], []
    for sources in instances.values():
        image_, instance = Dataset(), Dataset()
        _refer(image_, sources[0])
        _refer(instance, sources[0])
        if "ReferencedFrameNumber" in instance:
            del instance.ReferencedFrameNumber
            # Numbers say that it is not all of them (PS3.3 table 10-3).
            numbers = sorted(int(source.ReferencedFrameNumber) for source in sources)
            image_.ReferencedFrameNumber = numbers
            if len(numbers) == sources[0].NumberOfFrames:
                del image_.ReferencedFrameNumber
        images.append(image_)
        referenced.append(instance)
    image.SourceImageSequence = images
    image.ReferencedSeriesSequence[0].ReferencedInstanceSequence = referenced


def _refer(reference: Dataset, source: Dataset) -> None:
    """Name a slice: a file of its own, or a frame of one."""
    reference.ReferencedSOPClassUID = source.SOPClassUID
    reference.ReferencedSOPInstanceUID = source.SOPInstanceUID
    if "ReferencedFrameNumber" in source:
        reference.ReferencedFrameNumber = source.ReferencedFrameNumber


def _turn_round(image: ParametricMap) -> None:
    """Put the frames in the order of their place along the normal of the plane, rows x columns.

    highdicom writes them the other way. OHIF 3.11 lays them over the slices in this order, and does not heed
    what they refer to.
    """
    frames = np.frombuffer(image.FloatPixelData, np.float32).reshape(-1, image.Rows * image.Columns)
    image.FloatPixelData = frames[::-1].tobytes()
    groups = list(image.PerFrameFunctionalGroupsSequence)[::-1]
    for number, group in enumerate(groups, start=1):
        group.FrameContentSequence[0].DimensionIndexValues = number
    image.PerFrameFunctionalGroupsSequence = groups


def series_description(label: str) -> str:
    return f"{MAKER}: map of {CLASS_NAMES[label].lower()}, not a medical device"


def _lie_on_one_grid(maps: Sequence[np.ndarray], sources: Sequence[Dataset]) -> bool:
    def grid(source: Dataset) -> tuple:
        values = (source.PixelSpacing, source.ImageOrientationPatient)
        return source.FrameOfReferenceUID, *(tuple(np.round(np.array(v, float), 4)) for v in values)

    places = {tuple(np.round(np.array(source.ImagePositionPatient, float), 3)) for source in sources}
    return (
        len({grid(source) for source in sources}) == 1
        and len(places) == len(sources)
        and all(one.shape == (source.Rows, source.Columns) for one, source in zip(maps, sources, strict=True))
    )


def _as_stored(values: np.ndarray, source: Dataset) -> np.ndarray:
    """A map of the picture as shown, upright and with square pixels -> on the grid of the stored slice."""
    if turned := turn([float(value) for value in source.ImageOrientationPatient]):
        values = values[:, ::-1] if turned.flip_columns else values
        values = values[::-1] if turned.flip_rows else values
        values = values.T if turned.transpose else values
    down, across = (float(value) for value in source.PixelSpacing)
    if not is_square(down, across):
        size = (int(source.Columns), int(source.Rows))
        values = cv2.resize(np.ascontiguousarray(values), size, interpolation=cv2.INTER_LINEAR)
    return values
