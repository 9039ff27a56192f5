"""The reading as a structured report: Comprehensive SR (PS3.3 A.35.3) after TID 1500, Measurement Report
(PS3.16).

One group of measurements for each slice that was read. A slice in distribution has a coded finding, the
probability of each class, the classes of its 95 % prediction set, and the window that was read. A site's
recalibration is a parameter of the algorithm (TID 4019). Of a slice out of distribution nothing is reported
but that it is, because its reading is withheld. A report of a series begins with a group on the series, which
counts slices and gives no probability for the patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from brat.classes import CLASSES
from brat.io.scan import Window
from brat.model.calibration import DEFAULT_LEVEL
from brat.model.series_reading import SeriesReading, SliceReading
from brat.reports.dicom_codes import code, finding, private_scheme, probability_of
from brat.reports.dicom_map import MAKER

if TYPE_CHECKING:
    from highdicom.sr import (
        AlgorithmIdentification,
        ComprehensiveSR,
        MeasurementsAndQualitativeEvaluations,
        ObservationContext,
        QualitativeEvaluation,
        SourceImageForMeasurementGroup,
    )
    from pydicom.dataset import Dataset

DESCRIPTION = f"{MAKER}: reading, not a medical device"
"""Series Description, by which an earlier report is found in an archive."""


class Verdict(NamedTuple):
    """What a person says of the reading.

    Attributes:
        verdict: "agree", "disagree" or "unsure".
        seen: the class that the person sees; None where unsure.
        observer: the person's name.
        organization: that the person belongs to; empty where nobody says.
        logged_in: whether the name is one that somebody has logged in with, not one that was typed.
    """

    verdict: str
    seen: str | None
    observer: str
    organization: str = ""
    logged_in: bool = False

    @property
    def verifies(self) -> bool:
        """Whether it makes a report VERIFIED (PS3.3 C.17.2): who is accountable must be known, and agree."""
        return self.verdict == "agree" and self.logged_in and bool(self.observer and self.organization)


_VERDICTS = {
    "agree": ("AGREE", "Agrees with the reading"),
    "disagree": ("DISAGREE", "Disagrees with the reading"),
    "unsure": ("UNSURE", "Is unsure"),
}


def structured_report(
    sources: Sequence[Dataset],
    readings: Sequence[SliceReading],
    windows: Sequence[Window | None],
    verdicts: Sequence[Verdict | None],
    maps: Sequence[Dataset],
    *,
    model: str,
    version: str,
    predecessors: Sequence[Dataset] = (),
    others: int = 0,
) -> ComprehensiveSR:
    """One report of one slice, or of all slices of a series.

    Args:
        sources: of each slice, from `brat.reports.dicom_source.origin`.
        readings: of each.
        windows: what was shown of each; None where it has no window.
        verdicts: on each, of one person; None where there is none.
        maps: images of the map, to refer to.
        model: SHA-256 of the model.
        version: of the program.
        predecessors: the UIDs of reports that this one replaces, see `predecessor`.
        others: how many other stacks and volumes the series has, which were not read.
    """
    from highdicom import sr
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    recalibration = next((reading.site for reading in readings if reading.site), None)
    algorithm = sr.AlgorithmIdentification(
        name=f"{MAKER}, not a medical device",
        version=f"{version}, model {model[:12]}",
        family=codes.DCM.ArtificialIntelligence,
        parameters=[f"Model {recalibration}, SHA-256 {recalibration.digest}"] if recalibration else None,
    )
    groups = []
    # On what was read; a report is as good as its least verified slice.
    given = []
    for source, reading, window, verdict in zip(sources, readings, windows, verdicts, strict=True):
        if reading.prediction is None:
            continue
        groups.append(_of_slice(source, reading, window, algorithm))
        given.append(verdict)
        for evaluation in _of_person(verdict) if verdict else ():
            groups[-1][0].ContentSequence.extend(evaluation)
    if len(sources) > 1 or others:
        groups.insert(0, _of_series(sources, readings, algorithm, others))
    first = groups[0][0].ContentSequence
    for image in maps:
        # TID 1500 is extensible.
        item = sr.ImageContentItem(
            codes.DCM.IllustrationOfFinding,
            image.SOPClassUID,
            image.SOPInstanceUID,
            relationship_type="CONTAINS",
        )
        first.append(item)
    person = next((verdict for verdict in given if verdict), None)
    report = sr.MeasurementReport(
        observation_context=_observers(model, person),
        procedure_reported=code("113091000", "Magnetic resonance imaging", "SCT"),
        imaging_measurements=groups,
        # Of the titles of CID 7021 the one that OHIF shows as text. Reports with the general one it takes for
        # measurements that were drawn, and fails on numbers without a graphic.
        title=codes.DCM.OncologyMeasurementReport,
    )
    verified = all(verdict is not None and verdict.verifies for verdict in given)
    document = sr.ComprehensiveSR(
        evidence=[*sources, *maps],
        content=report,
        series_instance_uid=generate_uid(prefix=None),
        series_number=9902,
        sop_instance_uid=generate_uid(prefix=None),
        instance_number=1,
        manufacturer=MAKER,
        manufacturer_model_name="MobileNetV2",
        software_versions=version,
        is_complete=True,
        is_verified=verified,
        verifying_observer_name=_person_name(person.observer) if verified and person else None,
        verifying_organization=person.organization[:64] if verified and person else None,
        previous_versions=list(predecessors) or None,
    )
    document.CodingSchemeIdentificationSequence = [private_scheme()]
    document.SeriesDescription = DESCRIPTION
    _separate(document)
    return document


def _separate(item: Dataset) -> None:
    """Mark the content as a list of names and values, lest viewers join the values to a sentence."""
    if item.ValueType == "CONTAINER":
        item.ContinuityOfContent = "SEPARATE"
        for child in item.get("ContentSequence", ()):
            _separate(child)


def predecessor(study: str, series: str, instance: str, sop_class: str) -> Dataset:
    """An earlier report, by its UIDs."""
    from pydicom.dataset import Dataset

    earlier = Dataset()
    earlier.StudyInstanceUID, earlier.SeriesInstanceUID = study, series
    earlier.SOPInstanceUID, earlier.SOPClassUID = instance, sop_class
    return earlier


def _of_slice(
    source: Dataset, reading: SliceReading, window: Window | None, algorithm: AlgorithmIdentification
) -> MeasurementsAndQualitativeEvaluations:
    from highdicom import sr
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    assert reading.prediction is not None
    measurements, evaluations = [], []

    def measure(name: sr.CodedConcept, value: float) -> None:
        # A decimal string has 16 characters at most.
        measurements.append(sr.Measurement(name=name, value=round(float(value), 6), unit=codes.UCUM.NoUnits))

    if reading.is_known:
        for label, probability in reading.prediction.by_class().items():
            measure(probability_of(label), probability)
        for label in (reading.sets or {}).get(DEFAULT_LEVEL, ()):
            name = code("SET95", "In the 95 % prediction set")
            evaluations.append(sr.QualitativeEvaluation(name, finding(label)))
    if reading.ood is not None:
        evaluations.append(_in_distribution(reading.ood.in_distribution))
        measure(code("OOD-SCORE", "Distance to the known slices, 1 is the limit"), reading.ood.score)
    if window is not None:
        measure(code("WINDOW-CENTER", "Center of the window that was read"), window.center)
        measure(code("WINDOW-WIDTH", "Width of the window that was read"), window.width)
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=generate_uid(prefix=None), identifier="Slice"),
        algorithm_id=algorithm,
        finding_type=finding(reading.prediction.label) if reading.is_known else None,
        finding_sites=[sr.FindingSite(code("12738006", "Brain", "SCT"))],
        measurements=measurements or None,
        qualitative_evaluations=evaluations or None,
        source_images=[_image(source)],
    )


def _of_series(
    sources: Sequence[Dataset],
    readings: Sequence[SliceReading],
    algorithm: AlgorithmIdentification,
    others: int,
) -> MeasurementsAndQualitativeEvaluations:
    from highdicom import sr
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    series = SeriesReading(tuple(readings))
    counts = {
        ("N-SLICES", "Number of slices"): len(readings),
        ("N-KNOWN", "Number of slices in distribution"): len(series.known),
        ("N-REFUSED", "Number of slices out of distribution, reading withheld"): len(series.refused),
        ("N-UNREAD", "Number of slices not read, damaged or empty"): len(series.unread),
        **{
            (f"N-{label.upper().replace('_', '-')}", f"Number of slices read as {label.replace('_', ' ')}"): (
                series.count(label)
            )
            for label in CLASSES
        },
    }
    if others:
        counts["N-OTHERS", "Number of other stacks and volumes of the series, not read"] = others
    shown = sources[series.most_suspicious]
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=generate_uid(prefix=None), identifier="Series"),
        algorithm_id=algorithm,
        finding_type=finding(series.leading) if series.leading else None,
        finding_sites=[sr.FindingSite(code("12738006", "Brain", "SCT"))],
        measurements=[
            sr.Measurement(name=code(*name), value=count, unit=codes.UCUM.NoUnits)
            for name, count in counts.items()
        ],
        qualitative_evaluations=None if series.known else [_in_distribution(False)],
        # The slice to look at first.
        source_images=[_image(shown)],
    )


def _image(source: Dataset) -> SourceImageForMeasurementGroup:
    """A reference to a slice: to a file of its own, or to a frame of one."""
    from highdicom.sr import SourceImageForMeasurementGroup

    frame = source.get("ReferencedFrameNumber")
    return SourceImageForMeasurementGroup(
        source.SOPClassUID, source.SOPInstanceUID, None if frame is None else [int(frame)]
    )


def _in_distribution(known: bool) -> QualitativeEvaluation:
    from highdicom.sr import QualitativeEvaluation

    result = ("KNOWN", "Like the slices that the model knows")
    if not known:
        result = ("UNKNOWN", "Not like the slices that the model knows, reading withheld")
    return QualitativeEvaluation(code("OOD", "Out-of-distribution check"), code(*result))


def _of_person(verdict: Verdict) -> list[QualitativeEvaluation]:
    from highdicom.sr import QualitativeEvaluation

    said = [
        QualitativeEvaluation(code("VERDICT", "Verdict of the observer"), code(*_VERDICTS[verdict.verdict]))
    ]
    if verdict.seen:
        said.append(QualitativeEvaluation(code("SEEN", "The observer sees"), finding(verdict.seen)))
    return said


def _observers(model: str, verdict: Verdict | None) -> ObservationContext:
    from highdicom import sr
    from pydicom.sr.codedict import codes
    from pydicom.uid import UID

    device = sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=UID(f"2.25.{int(model[:32], 16)}"),
            name=MAKER,
            manufacturer_name=MAKER,
            model_name="MobileNetV2",
        ),
    )
    person = None
    if verdict and verdict.observer:
        person = sr.ObserverContext(
            observer_type=codes.DCM.Person,
            observer_identifying_attributes=sr.PersonObserverIdentifyingAttributes(
                name=_person_name(verdict.observer), organization_name=verdict.organization or None
            ),
        )
    return sr.ObservationContext(observer_person_context=person, observer_device_context=device)


def _person_name(name: str) -> str:
    """A name as it was typed, as DICOM has it: all of it in the first component (PS3.5 6.2.1)."""
    if "^" in name:
        return name
    return f"{name.replace('=', ' ').replace(chr(92), ' ')[:63]}^"
