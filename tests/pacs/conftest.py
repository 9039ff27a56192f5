import pytest

from tests.factories.orthanc import free_port, orthanc, why_not
from tests.factories.samples import known_series


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
    return known_series()
