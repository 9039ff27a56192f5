"""The sample on which most tests of the app are built."""

import io

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from brat.io.read import read_scan
from brat.io.samples import load_samples
from brat.model.reader import Reader

KNOWN = next(sample for sample in load_samples() if sample.name == "meningioma-axial")
"""A tumour, and in distribution, so that its answer and its map are shown."""


def known_label() -> str:
    """The answer for `KNOWN`."""
    return Reader().read(read_scan(KNOWN.file).gray).prediction.label


def known_dicom() -> bytes:
    """`KNOWN` as a DICOM file of 12 bits, so that it has a window and every report."""
    gray = read_scan(KNOWN.file).gray
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["brat", KNOWN.name, "image"])
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=["brat", KNOWN.name, "study"])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=["brat", KNOWN.name, "series"])
    dataset.FrameOfReferenceUID = generate_uid(entropy_srcs=["brat", KNOWN.name, "frame"])
    dataset.Modality = "MR"
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient = [-100, -120, 40]
    dataset.PixelSpacing, dataset.SliceThickness = [0.5, 0.5], 3
    dataset.Rows, dataset.Columns = gray.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    # PS3.3 C.11.2.1.2: this centre and width show every value as it was.
    dataset.WindowCenter, dataset.WindowWidth = (255 * 16 + 1) / 2, 255 * 16 + 1
    dataset.PixelData = (gray.astype("<u2") * np.uint16(16)).tobytes()
    written = io.BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return written.getvalue()


def known_series() -> list[bytes]:
    """Four slices, all of them `KNOWN`, of one series after contrast of one patient, new at each call."""
    source = pydicom.dcmread(io.BytesIO(known_dicom()))
    study, series = generate_uid(), generate_uid()
    made = []
    for number in range(4):
        source.StudyInstanceUID, source.SeriesInstanceUID = study, series
        source.SOPInstanceUID = source.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        source.ImageType = ["ORIGINAL", "PRIMARY", "M", "SE"]
        source.PatientName, source.PatientID, source.StudyDate = "Planted^Name", "P7", "20260102"
        source.StudyDescription, source.SeriesDescription = "MR BRAIN", "t1_tse_post_KM"
        source.ImagePositionPatient = [-112.275, -95.775, 3.0 * number]
        source.InstanceNumber = number + 1
        written = io.BytesIO()
        source.save_as(written)
        made.append(written.getvalue())
    return made


def known_enhanced(places: list[float] | None = None, **changes) -> bytes:
    """`KNOWN` as an Enhanced MR file, after contrast: a frame for each place, new at each call.

    The value of the first pixel of each frame is its number, from 0.

    Args:
        places: millimetres, of the frames as they are stored; by default four, which are not in order.
        changes: elements of the file.
    """
    places = [9.0, 0.0, 6.0, 3.0] if places is None else places
    source = pydicom.dcmread(io.BytesIO(known_dicom()))
    source.SOPClassUID = source.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    source.SOPInstanceUID = source.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    source.StudyInstanceUID, source.SeriesInstanceUID = generate_uid(), generate_uid()
    source.ImageType = ["ORIGINAL", "PRIMARY", "M", "NONE"]
    source.PatientName, source.PatientID, source.StudyDate = "Planted^Name", "P7", "20260102"
    source.StudyDescription, source.SeriesDescription = "MR BRAIN", "t1_tse_post_KM"
    source.PatientBirthDate, source.PatientSex, source.StudyTime = "19470305", "F", "101112"
    pixels = [np.frombuffer(source.PixelData, "<u2").copy() for _ in places]
    for number, values in enumerate(pixels):
        values[0] = number
    source.NumberOfFrames = len(places)
    source.PixelData = b"".join(values.tobytes() for values in pixels)

    def item(**elements) -> Dataset:
        made = Dataset()
        for keyword, value in elements.items():
            setattr(made, keyword, value)
        return made

    window = item(WindowCenter=source.WindowCenter, WindowWidth=source.WindowWidth)
    shared = item(
        PixelMeasuresSequence=[item(PixelSpacing=source.PixelSpacing, SliceThickness=3)],
        PlaneOrientationSequence=[item(ImageOrientationPatient=source.ImageOrientationPatient)],
        FrameVOILUTSequence=[window],
        MRTimingAndRelatedParametersSequence=[item(RepetitionTime=500, FlipAngle=90, EchoTrainLength=1)],
        MREchoSequence=[item(EffectiveEchoTime=9.0)],
        MRImageFrameTypeSequence=[item(FrameType=source.ImageType)],
    )
    source.SharedFunctionalGroupsSequence = [shared]
    source.PerFrameFunctionalGroupsSequence = [
        item(
            PlanePositionSequence=[item(ImagePositionPatient=[-100, -120, place])],
            FrameContentSequence=[item(StackID="1", InStackPositionNumber=number)],
        )
        for number, place in enumerate(places, 1)
    ]
    source.EchoPulseSequence, source.Spoiling = "SPIN", "RF"
    source.SteadyStatePulseSequence = "NONE"
    for keyword in (
        *("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "SliceThickness"),
        *("WindowCenter", "WindowWidth"),
    ):
        del source[keyword]
    for keyword, value in changes.items():
        setattr(source, keyword, value)
    written = io.BytesIO()
    source.save_as(written, enforce_file_format=True)
    return written.getvalue()
