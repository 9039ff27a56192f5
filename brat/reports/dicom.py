"""A reading as DICOM objects that go back beside their source: a picture of the map and a structured report.

By highdicom. Both belong to the source's study and refer to the source instance by its UIDs, which is what
lets a viewer put them side by side; they are new series.

Of the source goes out, besides its UIDs, only its pixel spacing, its orientation and what it says of text
burned into its picture. What both objects must have is treated as by the Basic Application Level
Confidentiality Profile (DICOM PS3.15, table E.1-1) with the Retain UIDs Option: Patient's Name, Patient ID,
Patient's Birth Date, Patient's Sex, Study Date, Study Time, Study ID, Accession Number and Referring
Physician's Name are there and empty (action Z); every other attribute of the source is left out (X). Text
that is part of the source's picture stays in it: the Clean Pixel Data Option is not claimed.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from brat.classes import CLASS_NAMES
from brat.io.scan import Scan
from brat.model.calibration import DEFAULT_LEVEL
from brat.model.explain import blend, grad_cam, onto_scan
from brat.model.reader import Reading

if TYPE_CHECKING:
    from highdicom.sr import CodedConcept, QualitativeEvaluation
    from pydicom.dataset import Dataset

MAKER = "BraTum Scans"

_SCHEME = "99BRATUM"
"""A private coding scheme: the model's answers are not diagnoses, for which there are codes."""

_IDENTIFYING = (
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
_REFERENCE = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")

_UNKNOWN_ORIENTATION = ("L", "P")


class NoReference(ValueError):
    """The file does not say which instance it is; the message is written for the clinician."""


def overlay(data: bytes, scan: Scan, reading: Reading, identified: bool = False) -> bytes:
    """A secondary capture (PS3.3 A.8.1): the scan with its map, RGB, as a DICOM file.

    Args:
        data: the bytes that `scan` was read from; a scan keeps nothing of the file.
        reading: of `scan.gray`.
        identified: take over what says who the patient is, see the module.

    Raises:
        NoReference: the source has no UIDs.
        ModuleNotFoundError: highdicom is not installed.
    """
    from highdicom.sc import SCImage
    from pydicom.dataset import Dataset
    from pydicom.uid import generate_uid

    source = _source(data, identified)
    label = reading.prediction.label
    cam = onto_scan(grad_cam(reading.prediction, label), reading.geometry)
    capture = SCImage(
        blend(scan.gray, cam, 0.5),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        study_instance_uid=source.StudyInstanceUID,
        series_instance_uid=generate_uid(prefix=None),
        series_number=9901,
        sop_instance_uid=generate_uid(prefix=None),
        instance_number=1,
        manufacturer=MAKER,
        patient_id=source.PatientID or None,
        patient_name=source.PatientName or None,
        patient_birth_date=source.PatientBirthDate or None,
        patient_sex=source.PatientSex or None,
        accession_number=source.AccessionNumber or None,
        study_id=source.StudyID or None,
        study_date=source.StudyDate or None,
        study_time=source.StudyTime or None,
        referring_physician_name=source.ReferringPhysicianName or None,
        pixel_spacing=scan.spacing,
        patient_orientation=_orientation(source) or _UNKNOWN_ORIENTATION,
    )
    if not _orientation(source):
        capture["PatientOrientation"].value = None
    # A body part that is not paired: without one, the standard would ask for its laterality.
    capture.BodyPartExamined = "BRAIN"
    if "BurnedInAnnotation" in source:
        capture.BurnedInAnnotation = source.BurnedInAnnotation
    capture.SeriesDescription = f"{MAKER}: map of {CLASS_NAMES[label].lower()}, not a medical device"
    capture.DerivationDescription = f"Grad-CAM of {CLASS_NAMES[label].lower()} laid over the source image"
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.SOPClassUID
    reference.ReferencedSOPInstanceUID = source.SOPInstanceUID
    purpose = _code("121322", "Source image for image processing operation", "DCM")
    reference.PurposeOfReferenceCodeSequence = [purpose]
    capture.SourceImageSequence = [reference]
    _declare(capture, identified)
    return _written(capture)


def structured_report(data: bytes, reading: Reading, digest: str, identified: bool = False) -> bytes:
    """The reading as a Comprehensive SR (PS3.3 A.35.3) after TID 1500, Measurement Report (PS3.16).

    One group of measurements on the source image: the probability of each class; as evaluations the reading,
    the classes of the prediction set, and the result of the out-of-distribution check. Unverified: no person
    has confirmed it.

    Args:
        data: the bytes of the file that was read.
        digest: SHA-256 of the model, from `brat.model.classifier.Classifier`.
        identified: take over what says who the patient is, see the module.

    Raises:
        NoReference: the source has no UIDs, or is no object of the standard.
        ModuleNotFoundError: highdicom is not installed.
    """
    from highdicom import sr
    from pydicom.sr.codedict import codes
    from pydicom.uid import UID, generate_uid

    source = _source(data, identified)
    if not has_standard_class(data):
        raise NoReference(
            "This DICOM file is an object of its maker's own, which a structured report cannot refer to."
        )
    prediction = reading.prediction
    model = UID(f"2.25.{int(digest[:32], 16)}")
    observer = sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=model, name=MAKER, manufacturer_name=MAKER, model_name="MobileNetV2"
        ),
    )
    measurements = [
        sr.Measurement(
            name=_code(f"P-{_value(name)}", f"Probability of {CLASS_NAMES[name].lower()}"),
            value=round(probability, 6),
            unit=codes.UCUM.NoUnits,
        )
        for name, probability in prediction.by_class().items()
    ]
    evaluations = [_evaluation("READING", "Reading of the slice", prediction.label)]
    for name in reading.sets.get(DEFAULT_LEVEL, ()):
        evaluations.append(_evaluation("SET95", "In the 95 % prediction set", name))
    if reading.ood is not None:
        known = ("KNOWN", "Like the slices that the model knows")
        unknown = ("UNKNOWN", "Not like the slices that the model knows")
        result = _code(*(known if reading.ood.in_distribution else unknown))
        evaluations.append(sr.QualitativeEvaluation(_code("OOD", "Out-of-distribution check"), result))
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=generate_uid(prefix=None), identifier="Reading"),
        algorithm_id=sr.AlgorithmIdentification(name=f"{MAKER}, not a medical device", version=digest[:12]),
        finding_sites=[sr.FindingSite(_code("12738006", "Brain", "SCT"))],
        measurements=measurements,
        qualitative_evaluations=evaluations,
        source_images=[sr.SourceImageForMeasurementGroup(source.SOPClassUID, source.SOPInstanceUID)],
    )
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=_code("113091000", "Magnetic resonance imaging", "SCT"),
        imaging_measurements=[group],
        title=codes.DCM.ImagingMeasurementReport,
    )
    document = sr.ComprehensiveSR(
        evidence=[source],
        content=content,
        series_instance_uid=generate_uid(prefix=None),
        series_number=9902,
        sop_instance_uid=generate_uid(prefix=None),
        instance_number=1,
        manufacturer=MAKER,
        is_complete=True,
    )
    document.SeriesDescription = f"{MAKER}: reading, not a medical device"
    _declare(document, identified)
    return _written(document)


def has_reference(data: bytes) -> bool:
    """Whether a DICOM file says which study, series and instance it is, so that something can refer to it."""
    header = _header(data)
    return all(header.get(keyword) for keyword in _REFERENCE)


def patient(data: bytes) -> str:
    """Who a DICOM file says that the patient is: name, date of birth, number, as far as it says so.

    Only for an installation that is configured to show it.
    """
    header = _header(data)
    values = (str(header.get(keyword) or "") for keyword in ("PatientName", "PatientBirthDate", "PatientID"))
    return ", ".join(value for value in values if value)


def _header(data: bytes) -> Dataset:
    import pydicom

    return pydicom.dcmread(io.BytesIO(data), force=True, stop_before_pixels=True)


def _source(data: bytes, identified: bool) -> Dataset:
    """What may go out of the source."""
    import pydicom

    header = _header(data)
    if not has_reference(data):
        raise NoReference(
            "This DICOM file does not say which study, series and instance it is, so nothing can refer to it."
        )
    source = pydicom.Dataset()
    for keyword in (*_REFERENCE, "BurnedInAnnotation", "ImageOrientationPatient"):
        if header.get(keyword):
            setattr(source, keyword, header.get(keyword))
    for keyword in _IDENTIFYING:
        setattr(source, keyword, _conformant(keyword, header.get(keyword, "")) if identified else "")
    return source


def _conformant(keyword: str, value: Any) -> Any:
    """A value of the source, or empty where the standard does not allow it: nothing can be made of it."""
    from pydicom.valuerep import DA, TM

    text = str(value or "").strip()
    if keyword == "PatientSex":
        return text if text in ("M", "F", "O") else ""
    kind = DA if keyword.endswith("Date") else TM if keyword.endswith("Time") else None
    if kind is None:
        return value
    try:
        return text if kind(text) else ""
    except (ValueError, TypeError, OverflowError):
        return ""


def has_standard_class(data: bytes) -> bool:
    """Whether a DICOM file is an object of the standard's own, which a structured report can refer to."""
    from pydicom.uid import UID

    known = UID(str(_header(data).get("SOPClassUID") or ""))
    # Of what is not in the standard the name is the number.
    return known.is_valid and not known.is_private and known.name != str.__str__(known)


def _orientation(source: Dataset) -> tuple[str, str] | None:
    """Where the picture's rows and columns run to: left or right, posterior or anterior, head or foot."""
    cosines = source.get("ImageOrientationPatient")
    if not cosines or len(cosines) != 6:
        return None
    letters = []
    for direction in np.array(cosines, float).reshape(2, 3):
        axis = int(np.abs(direction).argmax())
        letters.append("LPH"[axis] if direction[axis] > 0 else "RAF"[axis])
    return letters[0], letters[1]


def _declare(dataset: Dataset, identified: bool) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 192"
    if identified:
        return
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethodCodeSequence = [
        _code("113100", "Basic Application Confidentiality Profile", "DCM"),
        _code("113110", "Retain UIDs Option", "DCM"),
    ]


def _evaluation(value: str, meaning: str, label: str) -> QualitativeEvaluation:
    from highdicom.sr import QualitativeEvaluation

    return QualitativeEvaluation(_code(value, meaning), _code(_value(label), CLASS_NAMES[label]))


def _value(label: str) -> str:
    """A class as a code, which has 16 characters at most."""
    return label.upper().replace("_", "-")


def _code(value: str, meaning: str, scheme: str = _SCHEME) -> CodedConcept:
    from highdicom.sr import CodedConcept

    return CodedConcept(value, scheme, meaning)


def _written(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
