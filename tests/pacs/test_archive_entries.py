"""What an archive answers, as this project names it."""

import pydicom
import pytest

from brat.io import door
from brat.io.files import Unpacked
from brat.io.scan import UnreadableScan
from brat.pacs.archive import PacsError, SeriesEntry, StudyEntry
from brat.pacs.reading import fetch_series


@pytest.mark.parametrize(("answered", "count"), [("12", 12), ("", None), (None, None)])
def test_a_series(answered, count):
    answer = pydicom.Dataset()
    answer.SeriesInstanceUID, answer.Modality = "1.2.3", "MR"
    if answered is not None:
        answer.NumberOfSeriesRelatedInstances = answered
    entry = SeriesEntry.of("1.2", answer)
    assert (entry.study, entry.series, entry.modality, entry.number, entry.count) == (
        "1.2",
        "1.2.3",
        "MR",
        "",
        count,
    )


def test_several_values_are_joined_and_none_is_empty():
    answer = pydicom.Dataset()
    answer.StudyInstanceUID, answer.ModalitiesInStudy = "1.2", ["MR", "SR"]
    answer.PatientName = "A^B"
    entry = StudyEntry.of(answer)
    assert (entry.study, entry.modalities, entry.patient_name, entry.date) == ("1.2", "MR\\SR", "A^B", "")


@pytest.mark.parametrize(
    ("vr", "said"),
    [
        ("SQ", b"no sequence"),
        ("FD", b"odd"),
        ("LO", b"\x1b$B\xff\xff"),
        ("LO", b"\xff\xfe\x80"),
        (None, b"\x1b[2J\n"),
    ],
)
@pytest.mark.parametrize("characters", [None, "ISO_IR 192", "ISO 2022 IR 87", "made up", "\\ISO 2022 IR 87"])
def test_odd_bytes_of_an_answer_keep_nothing_else_of_it_away(vr, said, characters):
    answer = pydicom.Dataset()
    if characters is not None:
        tag = pydicom.tag.Tag("SpecificCharacterSet")
        written = characters.encode()
        answer._dict[tag] = pydicom.dataelem.RawDataElement(tag, "CS", len(written), written, 0, False, True)
    answer.StudyInstanceUID, answer.StudyDate = "1.2", "20261126"
    for keyword in ("PatientName", "StudyDescription", "PatientID"):
        tag = pydicom.tag.Tag(keyword)
        answer._dict[tag] = pydicom.dataelem.RawDataElement(tag, vr, len(said), said, 0, False, True)
    entry = StudyEntry.of(answer)
    assert (entry.study, entry.date, entry.problem) == ("1.2", "20261126", "")
    for value in (entry.patient_name, entry.description, entry.patient_id):
        assert not value or value.isprintable()


def test_a_value_of_which_nothing_can_be_made_is_empty():
    tag = pydicom.tag.Tag("NumberOfSeriesRelatedInstances")
    answer = pydicom.Dataset()
    answer.SeriesInstanceUID, answer.Modality = "1.2.3", "MR"
    answer._dict[tag] = pydicom.dataelem.RawDataElement(tag, "IS", 4, b"many", 0, False, True)
    assert SeriesEntry.of("1.2", answer).count is None


@pytest.mark.parametrize("uid", ["", "../../etc/cron.d", "..", "1..2", "1.2/../3", "1." * 40])
def test_what_is_no_uid_becomes_no_path_and_no_address(uid):
    """`brat pacs pull` writes into a folder of this name, and DICOMweb asks at an address with it.

    It is listed, as are the others, and says why it cannot be opened.
    """
    answer = pydicom.Dataset()
    # Not checked, as what comes from elsewhere is not.
    answer.add_new("SeriesInstanceUID", "LO", uid)
    answer.add_new("StudyInstanceUID", "LO", uid)
    answer.SeriesDescription = answer.StudyDescription = "t1"
    series, study = SeriesEntry.of("1.2", answer), StudyEntry.of(answer)
    assert (series.series, study.study, series.description, study.description) == ("", "", "t1", "t1")
    assert "no UID" in series.problem
    assert "no UID" in study.problem
    archive = Endless()
    with pytest.raises(PacsError, match="no UID"):
        fetch_series(archive, series)
    assert archive.sent == 0


@pytest.mark.parametrize(
    ("description", "number", "name"),
    [
        (" t1_tse_post_KM ", "", "t1_tse_post_KM, 1.dcm"),
        ("t1 ", "7 ", "t1 7, 1.dcm"),
        (" ", " ", "series, 1.dcm"),
    ],
)
def test_a_file_of_an_archive_is_named_without_the_blanks_that_fill_a_value_up(description, number, name):
    answer = pydicom.Dataset()
    answer.SeriesInstanceUID = "1.2.3"
    # As JSON brings them.
    answer.add_new("SeriesDescription", "LO", description)
    answer.add_new("SeriesNumber", "LO", number)
    series = SeriesEntry.of("1.2", answer)
    assert series.description == description.strip()
    assert fetch_series(One(), series)[0].name == name


class One:
    """An archive with one instance."""

    name = "one"

    def fetch(self, _series):
        yield b"an instance"


class Endless:
    """An archive that sends instances without end."""

    name = "endless"

    def __init__(self):
        self.sent = 0

    def fetch(self, _series):
        while True:
            self.sent += 1
            yield bytes(100_000)


def test_an_archive_that_sends_without_end_is_stopped(monkeypatch):
    answer = pydicom.Dataset()
    answer.SeriesInstanceUID = "1.2.3"
    series = SeriesEntry.of("1.2", answer)
    monkeypatch.setattr("brat.io.files.MAX_UNPACKED", 1_000_000)
    archive, before = Endless(), Unpacked.total
    with pytest.raises(UnreadableScan):
        fetch_series(archive, series)
    assert archive.sent == 11
    assert Unpacked.total == before
    # Nor may several of them together.
    monkeypatch.setattr(door, "MAX_ON_SERVER", before + 500_000)
    archive = Endless()
    with pytest.raises(UnreadableScan):
        fetch_series(archive, series)
    assert archive.sent == 6
