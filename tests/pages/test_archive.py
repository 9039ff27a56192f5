"""The Worklist's source "Archive", against a real one."""

import io
import time

import pydicom
import pytest
import streamlit as st
from streamlit.runtime.secrets import secrets_singleton
from streamlit.testing.v1 import AppTest

pytest.importorskip("dicomweb_client", reason="dicomweb-client is not installed")
pytest.importorskip("highdicom", reason="highdicom is not installed")

from brat.environment import CORES
from brat.io.door import group_into_series
from brat.io.files import File
from brat.io.samples import load_samples
from brat.pacs import reading
from brat.pacs.archive import Server
from brat.pacs.connect import connect
from pages.parts.archive import _add
from pages.parts.login import Person
from pages.words import archive as words
from tests.factories.hung import hung
from tests.factories.orthanc import free_port, orthanc, why_not
from tests.factories.paths import ROOT
from tests.factories.samples import KNOWN, known_enhanced, known_series

pytestmark = pytest.mark.usefixtures("fresh_caches")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """With one study: a T1 series after contrast, and a localiser."""
    if reason := why_not():
        pytest.skip(reason)
    with orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        source = pydicom.dcmread(next(s.file for s in load_samples() if s.file.suffix == ".dcm"))
        source.PatientName, source.PatientID = "Planted^Name", "P7"
        files = []
        for description in ("t1_tse_post_KM", "localizer"):
            source.ImageType = ["ORIGINAL", "PRIMARY", "M"]
            source.SeriesInstanceUID = pydicom.uid.generate_uid()
            source.SOPInstanceUID = source.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
            source.SeriesDescription = description
            written = io.BytesIO()
            source.save_as(written)
            files.append(written.getvalue())
        connect(Server("main", url=running.dicomweb)).store(files)
        yield running.dicomweb, str(source.StudyInstanceUID)


def worklist(monkeypatch, url: str | None, **address: str) -> AppTest:
    st.cache_resource.clear()
    settings = {"pacs": {"main": {"url": url}}} if url else {}
    monkeypatch.setattr(secrets_singleton, "_secrets", settings)
    page = AppTest.from_file(str(ROOT / "pages" / "worklist.py"), default_timeout=60)
    page.session_state["entered"] = True
    for name, value in address.items():
        page.query_params[name] = value
    page.run()
    assert not page.exception
    return page


def read_through(page: AppTest) -> AppTest:
    assert page.session_state["worklist"].wait(60)
    page.run()
    assert not page.exception
    return page


def texts(page: AppTest) -> list[str]:
    return [text.value for text in page.text]


def test_without_an_archive_the_page_is_as_it_was(monkeypatch):
    page = worklist(monkeypatch, None)
    assert "Archive" not in [expander.label for expander in page.expander]


def test_an_archive_that_hangs_keeps_neither_files_nor_another_archive_waiting(monkeypatch, archive):
    url, study = archive
    entries = connect(Server("main", url=url)).series(study)
    page = worklist(monkeypatch, url)
    work = page.session_state["worklist"]
    with hung() as port:
        # More than there are threads of any kind.
        _add(work, Server("slow", url=f"http://127.0.0.1:{port}"), entries * 2 * CORES)
        _add(work, Server("main", url=url), entries[:1])
        work.add(lambda: group_into_series([File("one.png", KNOWN.file.read_bytes())]))
        until(lambda: work.progress().done == 2)
        assert work.progress().sorting
        work.stop()
    # It hangs no more: whoever waited for it is told.
    assert work.wait(60)


def test_dates_are_written_as_everywhere():
    assert words.date("20260102") == "2026-01-02"
    assert [words.date(odd) for odd in ("", "2026", "2026-1-2")] == ["", "2026", "2026-1-2"]


def until(is_so) -> None:
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_study_is_found_read_and_its_results_sent_back_once(monkeypatch, archive):
    url, study = archive
    page = worklist(monkeypatch, url)
    page.text_input(key="archive-patient").set_value("nobody")
    next(button for button in page.button if button.label == "Search").click().run()
    assert any(markdown.value == words.NONE_FOUND for markdown in page.markdown)
    page = worklist(monkeypatch, url, study=study)
    assert any(info.value == words.FROM_ADDRESS for info in page.info)
    page = read_through(page)
    rows = page.session_state["worklist"].rows()
    # The localiser is left out, and said to be.
    assert len(rows) == 1
    choices = {entry.description: choice for entry, choice in page.session_state["archive_series"][1]}
    assert choices["localizer"].reason == "a localiser"
    page.button(key="archive-send").click().run()
    assert not page.exception
    assert any(text.endswith(words.SENT) for text in texts(page)), texts(page)
    assert page.run().button(key="archive-send").disabled
    modalities = sorted(entry.modality for entry in connect(Server("m", url=url)).series(study))
    assert modalities[-1] == "SR"
    assert modalities.count("SR") == 1


def test_who_logged_in_is_named_to_the_trail_wherever_an_archive_is_asked(monkeypatch, archive):
    url, study = archive
    asked = []

    def connected(server, who=None):
        asked.append(who)
        return connect(server, who)

    monkeypatch.setattr("brat.pacs.connect.connect", connected)
    monkeypatch.setattr("pages.parts.archive.person", lambda: Person("ab@example.org", True, True, True))
    page = read_through(worklist(monkeypatch, url, study=study))
    assert [row.problem for row in page.session_state["worklist"].rows()] == [""]
    page.button(key="archive-send").click().run()
    assert not page.exception
    # Listed, fetched, sent back.
    assert asked == ["ab@example.org"] * 3


def test_a_file_of_frames_is_read_and_its_results_sent_back(monkeypatch, archive):
    url, _ = archive
    data = known_enhanced(PatientID="P-frames")
    connect(Server("main", url=url)).store([data])
    study = str(pydicom.dcmread(io.BytesIO(data)).StudyInstanceUID)
    page = read_through(worklist(monkeypatch, url, study=study))
    (row,) = page.session_state["worklist"].rows()
    assert row.problem == ""
    page.button(key="archive-send").click().run()
    assert not page.exception
    assert any(text.endswith(words.SENT) for text in texts(page)), texts(page)
    modalities = sorted(entry.modality for entry in connect(Server("m", url=url)).series(study))
    assert modalities == ["MR", "OT", "OT", "SR"]


def two_series(patient: str) -> tuple[str, list[bytes]]:
    """A study of a slice after contrast and one of FLAIR: its UID, and a file of each."""
    source = pydicom.dcmread(io.BytesIO(known_series()[0]))
    source.PatientID, files = patient, []
    for description in ("t1_tse_post_KM", "t2_flair_tra"):
        source.SeriesDescription, source.SeriesInstanceUID = description, pydicom.uid.generate_uid()
        source.SOPInstanceUID = source.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        written = io.BytesIO()
        source.save_as(written)
        files.append(written.getvalue())
    return str(source.StudyInstanceUID), files


def test_a_report_replaces_that_of_its_own_series_alone(monkeypatch, archive):
    url, _ = archive
    study, files = two_series("P-two-series")
    held = connect(Server("main", url=url))
    held.store(files)

    def reports() -> dict[str, pydicom.Dataset]:
        entries = [entry for entry in held.series(study) if entry.modality == "SR"]
        files = [pydicom.dcmread(io.BytesIO(file)) for entry in entries for file in held.fetch(entry)]
        return {report.SOPInstanceUID: report for report in files}

    def read_of(report: pydicom.Dataset) -> set[str]:
        """The series of MR that it is of."""
        series = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        return {entry.series for entry in held.series(study) if entry.modality == "MR"} & {
            referenced.SeriesInstanceUID for referenced in series
        }

    for count in (2, 4):
        page = read_through(worklist(monkeypatch, url, study=study))
        assert len(page.session_state["worklist"].rows()) == 2
        page.button(key="archive-send").click().run()
        assert not page.exception
        assert len(reports()) == count
    replaced = {
        uid: [
            earlier.ReferencedSOPInstanceUID
            for named in report.get("PredecessorDocumentsSequence", ())
            for series in named.ReferencedSeriesSequence
            for earlier in series.ReferencedSOPSequence
        ]
        for uid, report in reports().items()
    }
    assert sorted(map(len, replaced.values())) == [0, 0, 1, 1]
    for uid, earlier in replaced.items():
        for other in earlier:
            assert read_of(reports()[uid]) == read_of(reports()[other])


def test_what_nobody_foresaw_in_one_series_keeps_the_next_from_nothing(monkeypatch, archive):
    url, _ = archive
    study, files = two_series("P-unforeseen")
    connect(Server("main", url=url)).store(files)
    page = read_through(worklist(monkeypatch, url, study=study))
    made, asked = reading.item_results, []

    def fails_once(*arguments, **options):
        asked.append(arguments)
        if len(asked) == 1:
            raise ZeroDivisionError("of the patient Planted^Name")
        return made(*arguments, **options)

    monkeypatch.setattr(reading, "item_results", fails_once)
    page.button(key="archive-send").click().run()
    assert not page.exception
    first, second = (text for text in texts(page) if text.split(" · ")[0] in "12")
    assert "Failed for a reason that was not foreseen (error " in first
    assert "Planted" not in first
    assert second.endswith(words.SENT)


@pytest.mark.parametrize(
    ("study", "sentence"), [("1.2.3.4", words.NOT_FOUND), ("../x", words.NO_STUDY), ("..", words.NO_STUDY)]
)
def test_a_study_that_nobody_has_is_a_sentence(monkeypatch, archive, study, sentence):
    page = worklist(monkeypatch, archive[0], study=study)
    assert any(error.value == sentence for error in page.error)


def test_an_archive_that_does_not_answer_is_a_sentence(monkeypatch):
    page = worklist(monkeypatch, f"http://127.0.0.1:{free_port()}/dicom-web")
    next(button for button in page.button if button.label == "Search").click().run()
    assert not page.exception
    assert any("cannot be reached" in error.value for error in page.error)


def test_a_mistake_in_the_settings_is_a_sentence(monkeypatch):
    page = worklist(monkeypatch, "ftp://nowhere")
    assert any("must begin with https" in error.value for error in page.error)
