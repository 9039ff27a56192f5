import io

import pydicom
import pytest

from tests.factories.orthanc import free_port, orthanc, why_not
from tests.factories.samples import known_dicom


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """An Orthanc that may send to us, too."""
    if reason := why_not():
        pytest.skip(reason)
    own = free_port()
    modalities = {"brat": ["BRATUM", "127.0.0.1", own]}
    with orthanc(tmp_path_factory.mktemp("orthanc"), DicomModalities=modalities) as running:
        yield running, own


@pytest.fixture(scope="module")
def slices() -> list[bytes]:
    """Four slices of one T1 series of one patient."""
    source = pydicom.dcmread(io.BytesIO(known_dicom()))
    study, series = pydicom.uid.generate_uid(), pydicom.uid.generate_uid()
    made = []
    for number in range(4):
        source.StudyInstanceUID, source.SeriesInstanceUID = study, series
        source.SOPInstanceUID = source.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        source.ImageType = ["ORIGINAL", "PRIMARY", "M", "SE"]
        source.PatientName, source.PatientID, source.StudyDate = "Planted^Name", "P7", "20260102"
        source.StudyDescription, source.SeriesDescription = "MR BRAIN", "t1_tse_post_KM"
        source.ImagePositionPatient = [-112.275, -95.775, 3.0 * number]
        source.InstanceNumber = number + 1
        written = io.BytesIO()
        source.save_as(written)
        made.append(written.getvalue())
    return made
