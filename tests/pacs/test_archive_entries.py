"""What an archive answers, as this project names it."""

import pydicom
import pytest

from brat.pacs.archive import SeriesEntry, StudyEntry


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
