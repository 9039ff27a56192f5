"""What a DICOM object takes over from its slice, for one of two purposes that are never mixed.

`Purpose.ARCHIVE`: the object goes back to the archive that the slice came from. It belongs to the same study,
so it says the same of patient and study: all instances of a study share these modules (DICOM PS3.3 A.1.2),
and an archive that is told otherwise may lose the study. They are copied whole.

`Purpose.TEACHING`: the object goes to people who may not know the patient. Study, series, instance and frame
of reference get new UIDs, so that it cannot be filed into the clinician's study, and nothing that identifies
is taken over (Basic Application Level Confidentiality Profile, PS3.15 E.2; text in the picture stays, the
Clean Pixel Data Option is not claimed). One source has the same new UIDs as long as the program runs; the key
is kept nowhere.

A slice may be a frame of a file of many. For the archive an object refers to the file and the number of the
frame. For teaching the frame becomes a slice of its own, which the object refers to: the file would bring
every other frame along.
"""

from __future__ import annotations

import copy
import enum
import hashlib
import hmac
import io
import math
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from brat.io import door
from brat.io.files import File
from brat.io.scan import decoding

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

IDENTITY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
"""Attributes of patient and study that every object has, if only empty (type 2)."""

_REFERENCE = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")

_UIDS = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")

_GEOMETRY = (
    "Rows",
    "Columns",
    "Modality",
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "BurnedInAnnotation",
)

_PICTURE = (
    "ImageType",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelAspectRatio",
    "PixelPaddingValue",
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "PresentationLUTShape",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
    "SeriesNumber",
    "InstanceNumber",
    "ScanningSequence",
    "SequenceVariant",
    "ScanOptions",
    "MRAcquisitionType",
    "RepetitionTime",
    "EchoTime",
    "InversionTime",
    "EchoTrainLength",
    "FlipAngle",
    "MagneticFieldStrength",
    "ConversionType",
    "PatientOrientation",
    "PixelData",
)
"""What a slice for teaching keeps beside its geometry: pixels, how they are shown, how they were acquired.
None of them is in table E.1-1 of PS3.15."""

_EMPTY = (
    "SeriesNumber",
    "Laterality",
    "PatientPosition",
    "PositionReferenceIndicator",
    "Manufacturer",
    "ScanOptions",
    "MRAcquisitionType",
    "RepetitionTime",
    "EchoTime",
    "EchoTrainLength",
)
"""What a slice for teaching has to have, if only empty (type 2)."""

_OF_FRAMES = (
    "FrameType",
    "EffectiveEchoTime",
    "InversionTimes",
    "EchoPulseSequence",
    "InversionRecovery",
    "EchoPlanarPulseSequence",
    "SteadyStatePulseSequence",
    "Spoiling",
    "SegmentedKSpaceTraversal",
    "MagnetizationTransfer",
)
"""What a file of frames has for elements of a slice of its own, see `_as_slice`."""

_TECHNIQUES = {"SPIN": ["SE"], "GRADIENT": ["GR"], "BOTH": ["SE", "GR"]}
"""Echo Pulse Sequence (PS3.3 C.8.13.4.1) -> Scanning Sequence (PS3.3 C.8.3.1.1.1)."""

_VARIANTS = {
    "SegmentedKSpaceTraversal": ("SK", ("PARTIAL", "FULL")),
    "MagnetizationTransfer": ("MTC", ("ON_RESONANCE", "OFF_RESONANCE", "BOTH")),
    "SteadyStatePulseSequence": ("SS", ("FREE_PRECESSION", "TRANSVERSE", "TIME_REVERSED", "LONGITUDINAL")),
    "Spoiling": ("SP", ("RF", "GRADIENT", "RF_AND_GRADIENT")),
}
"""Of a file of frames: keyword -> a value of Sequence Variant, and the values for which it stands."""

_CHECKED = ("AS", "DA", "DS", "IS", "TM")
"""Value representations of which nothing can be made where they break the rules (PS3.5 6.2)."""

_KEPT = 32
"""Headers that are kept, as the pages ask again with every run."""

_headers: dict[bytes, tuple[bytes, np.ndarray]] = {}

_KEY = secrets.token_bytes(32)


class NoReference(ValueError):
    """The file does not say which instance it is; the message is written for the clinician."""


class Purpose(enum.Enum):
    """Where an object goes, see the module."""

    ARCHIVE = "archive"
    TEACHING = "teaching"


def header_of(source: bytes | File, frame: int = 0) -> Dataset:
    """The header of a DICOM file, its text decoded, without values of which nothing can be made.

    The file is read in another process, and what comes from there is small. It is empty where the file has
    more items of sequences than its slices have, so that nothing can refer to it.

    Args:
        frame: of a file of frames, from 0. The header says where this one lies, as that of a slice does.

    Raises:
        NoReference: there is no such frame.
        UnreadableScan: the file is damaged, or asks for more work than a file may.
    """
    (header,) = headers_of(source, [frame])
    return header


class Evidence(NamedTuple):
    """A report by its UIDs, and what it is of.

    Attributes:
        sop_class, instance: of the report.
        series: of all that it refers to: what was read, and what was made of that.
    """

    sop_class: str
    instance: str
    series: frozenset[str]


def evidence_of(report: bytes) -> Evidence:
    """What a structured report says that it is of (PS3.3 C.17.2), however long it is.

    The file is read in another process, and what comes from there is small.

    Raises:
        UnreadableScan: the file is damaged, or asks for more work than a file may.
    """
    import pydicom

    said = ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
    # With its picture, which a report has not: without one, a long report would be refused by its items.
    found = door.parts(File("report", report), ("SOPClassUID", "SOPInstanceUID", *said), picture=True)
    with decoding("DICOM"):
        header = pydicom.dcmread(io.BytesIO(found.header), force=True)
        series = {
            str(referenced.get("SeriesInstanceUID") or "")
            for keyword in said
            for study in header.get(keyword) or ()
            for referenced in study.get("ReferencedSeriesSequence") or ()
        }
        return Evidence(
            str(header.get("SOPClassUID") or ""), str(header.get("SOPInstanceUID") or ""), frozenset(series)
        )


def headers_of(source: bytes | File, frames: Sequence[int]) -> list[Dataset]:
    """As `header_of`, of several frames of one file."""
    import pydicom

    from brat.io.dicom_frames import of_frame

    data = source if isinstance(source, bytes) else source.source
    key = hashlib.sha256(data).digest() if isinstance(data, bytes) else b""
    kept = _headers.get(key)
    if kept is None:
        file = source if isinstance(source, File) else File("slice", source)
        found = door.parts(file)
        kept = found.header, found.places
    content, places = kept
    with decoding("DICOM"):
        header = pydicom.dcmread(io.BytesIO(content))
        header.decode()
    if key:
        _headers[key] = kept
        for oldest in [*_headers][:-_KEPT]:
            _headers.pop(oldest, None)
    # A header that is left empty has no frames either.
    if not header or not len(places):
        return [header] * len(frames)
    if max(frames) >= len(places):
        raise NoReference(f"This DICOM file has no frame {max(frames) + 1}.")
    header.NumberOfFrames = len(places)
    return [of_frame(header, places[frame]) for frame in frames]


def is_instance(header: Dataset) -> bool:
    """Whether a DICOM file says which study, series and instance it is, so that something can refer to it."""
    return all(header.get(keyword) for keyword in _REFERENCE)


def is_of_the_standard(header: Dataset) -> bool:
    """Whether a DICOM file is an object of the standard's own, which a structured report can refer to."""
    from pydicom.uid import UID

    known = UID(str(header.get("SOPClassUID") or ""))
    # Of what is not in the standard the name is the number.
    return known.is_valid and not known.is_private and known.name != str.__str__(known)


def patient(data: bytes) -> str:
    """Who a DICOM file says that the patient is: name, date of birth, number, as far as it says so.

    Only for an installation that is configured to show it.
    """
    header = header_of(data)
    values = (str(header.get(keyword) or "") for keyword in ("PatientName", "PatientBirthDate", "PatientID"))
    return ", ".join(value for value in values if value)


def origin(header: Dataset, purpose: Purpose, frame: int = 0) -> Dataset:
    """What an object may refer to: the UIDs of the slice, new ones for teaching, and its geometry.

    A frame of several has its number, from 1, in `ReferencedFrameNumber`, and `NumberOfFrames`. For teaching
    it is a slice of its own.

    Patient and study are there and empty. `finish` fills them in, where the purpose allows it.

    Args:
        header: from `header_of`.
        frame: of which it is; of a file of frames.

    Raises:
        NoReference: the slice has no UIDs, or its header was left empty.
    """
    import pydicom

    if not header:
        raise NoReference(
            "The header of this DICOM file is far longer than that of a scan, so nothing is made that refers "
            "to it."
        )
    if not is_instance(header):
        raise NoReference(
            "This DICOM file does not say which study, series and instance it is, so nothing can refer to it."
        )
    kept = pydicom.Dataset()
    kept.SOPClassUID = header.SOPClassUID
    for keyword in _GEOMETRY:
        _copy(header, kept, keyword)
    for keyword in _UIDS:
        if header.get(keyword):
            uid = header.get(keyword)
            setattr(kept, keyword, uid if purpose is Purpose.ARCHIVE else new_uid(uid))
    if "NumberOfFrames" in header:
        if purpose is Purpose.TEACHING:
            kept.SOPClassUID = _class_of_slice(header.SOPClassUID)
            kept.SOPInstanceUID = new_uid(f"{header.SOPInstanceUID} frame {frame + 1}")
        elif header.NumberOfFrames > 1:
            kept.NumberOfFrames, kept.ReferencedFrameNumber = header.NumberOfFrames, frame + 1
    for keyword in IDENTITY:
        setattr(kept, keyword, "")
    return kept


def finish(dataset: Any, header: Dataset, purpose: Purpose) -> bytes:
    """The object as a file, with what the purpose asks it to say of patient, study and itself.

    Args:
        dataset: a `highdicom.SOPClass` that was made of `origin(header, purpose)`.
    """
    from pydicom.dataelem import DataElement
    from pydicom.uid import MRImageStorage

    # Names of the archive may be in any script.
    dataset.SpecificCharacterSet = "ISO_IR 192"
    if purpose is Purpose.ARCHIVE:
        # highdicom looks the modules up by SOP class and does not know all classes; of patient and study they
        # are the same in every one.
        source = _with_conformant_values(header)
        # The element is the header's, and must not be changed.
        source["SOPClassUID"] = DataElement(source["SOPClassUID"].tag, "UI", MRImageStorage)
        uids = dataset.SOPClassUID, dataset.SOPInstanceUID
        dataset.copy_patient_and_study_information(source)
        assert (dataset.SOPClassUID, dataset.SOPInstanceUID) == uids
    else:
        _declare_deidentified(dataset)
    return written(dataset)


def slice_for_teaching(data: bytes, frame: int = 0) -> bytes:
    """The slice itself under the UIDs by which objects for teaching refer to it, without what identifies.

    Args:
        frame: of a file of frames, from 0; it becomes a slice of its own.

    Raises:
        NoReference: the slice has no UIDs.
        UnreadableScan: the file is damaged, or asks for more work than a file may.
    """
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian

    from brat.io.dicom_frames import of_frame

    read = ("SOPClassUID", *_UIDS, *_GEOMETRY, *_PICTURE, *_OF_FRAMES, "NumberOfFrames")
    parts = door.parts(File("slice", data), read, picture=True, frame=frame)
    source: Dataset = pydicom.dcmread(io.BytesIO(parts.header))
    if len(parts.places):
        source = _as_slice(of_frame(source, parts.places[frame]), frame)
        source.NumberOfFrames = len(parts.places)
    kept = origin(source, Purpose.TEACHING, frame)
    for keyword in _PICTURE:
        _copy(source, kept, keyword)
    for keyword in (*_EMPTY, *(() if "ImageOrientationPatient" in kept else ("PatientOrientation",))):
        if keyword not in kept:
            setattr(kept, keyword, None)
    kept.file_meta = pydicom.dataset.FileMetaDataset()
    syntax = pydicom.uid.UID(parts.syntax)
    # A file may not say how it is stored; it is read as this then.
    kept.file_meta.TransferSyntaxUID = syntax if syntax.is_transfer_syntax else ExplicitVRLittleEndian
    if parts.picture:
        kept.PixelData = parts.picture
        kept["PixelData"].VR = parts.vr
        kept["PixelData"].is_undefined_length = parts.is_compressed
    _declare_deidentified(kept)
    return written(kept)


def _class_of_slice(sop_class: str) -> str:
    """The class of a slice that is made of a frame."""
    from pydicom import uid

    mr = (uid.MRImageStorage, uid.EnhancedMRImageStorage, uid.LegacyConvertedEnhancedMRImageStorage)
    return uid.MRImageStorage if sop_class in mr else uid.SecondaryCaptureImageStorage


def _as_slice(header: Dataset, frame: int) -> Dataset:
    """The header of a frame as that of a slice of its own: what a file of frames says in other elements."""
    from pydicom.uid import SecondaryCaptureImageStorage
    from pydicom.valuerep import DSfloat

    from brat.io.dicom_header import numbers

    alone = copy.deepcopy(header)
    if header.get("FrameType"):
        alone.ImageType = header.FrameType
    for keyword, other in (("EchoTime", "EffectiveEchoTime"), ("InversionTime", "InversionTimes")):
        for value in [value for value in numbers(header.get(other)) if math.isfinite(value)][:1]:
            setattr(alone, keyword, DSfloat(value, auto_format=True))
    techniques = [
        *_TECHNIQUES.get(header.get("EchoPulseSequence"), []),
        *(["IR"] if header.get("InversionRecovery") == "YES" else []),
        *(["EP"] if header.get("EchoPlanarPulseSequence") == "YES" else []),
    ]
    if techniques and "ScanningSequence" not in alone:
        alone.ScanningSequence = techniques
    if "SequenceVariant" not in alone and any(keyword in header for keyword in _VARIANTS):
        found = [said for keyword, (said, values) in _VARIANTS.items() if header.get(keyword) in values]
        alone.SequenceVariant = found or "NONE"
    is_capture = _class_of_slice(header.get("SOPClassUID", "")) == SecondaryCaptureImageStorage
    if is_capture and "ConversionType" not in alone:
        alone.ConversionType = "WSD"
    alone.InstanceNumber = frame + 1
    # Of the whole file.
    for keyword in ("SmallestImagePixelValue", "LargestImagePixelValue"):
        if keyword in alone:
            del alone[keyword]
    return alone


def new_uid(uid: str) -> str:
    """The UID that stands for another one in objects for teaching (PS3.5 B.2); nobody can go back from it."""
    digest = hmac.digest(_KEY, str(uid).encode(), hashlib.sha256)
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def written(dataset: Dataset) -> bytes:
    """The dataset as a DICOM file."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _with_conformant_values(header: Dataset) -> Dataset:
    """The header with what the standard does not allow left empty, as a date that is none: who receives it
    could make nothing of it, and might refuse the whole object."""
    import pydicom
    from pydicom.config import RAISE
    from pydicom.multival import MultiValue
    from pydicom.valuerep import validate_value

    kept = pydicom.Dataset()
    kept.update(header)
    for element in header:
        values = element.value if isinstance(element.value, MultiValue) else [element.value]
        try:
            if element.keyword == "PatientSex" and element.value not in ("M", "F", "O", "", None):
                raise ValueError(element.keyword)
            for value in values if element.VR in _CHECKED else ():
                validate_value(element.VR, None if value is None else str(value), RAISE)
        except ValueError:
            kept[element.tag] = pydicom.DataElement(element.tag, element.VR, None)
    return kept


def _copy(source: Dataset, target: Dataset, keyword: str) -> None:
    if source.get(keyword) not in (None, ""):
        target[keyword] = source[keyword]


def _declare_deidentified(dataset: Dataset) -> None:
    import pydicom

    # When and with what it was made says when the patient was there.
    for keyword in ("InstanceCreationDate", "InstanceCreationTime", "ContributingEquipmentSequence"):
        if keyword in dataset:
            delattr(dataset, keyword)
    for keyword, dummy in (("ContentDate", "19000101"), ("ContentTime", "000000")):
        if keyword in dataset:
            setattr(dataset, keyword, dummy)
    dataset.PatientIdentityRemoved = "YES"
    dataset.LongitudinalTemporalInformationModified = "REMOVED"
    profile = pydicom.Dataset()
    profile.CodeValue, profile.CodingSchemeDesignator = "113100", "DCM"
    profile.CodeMeaning = "Basic Application Confidentiality Profile"
    dataset.DeidentificationMethodCodeSequence = [profile]
