"""Both protocols against a real archive, and how archives are named."""

import io
import logging

import pydicom
import pytest

pytest.importorskip("pynetdicom", reason="pynetdicom is not installed")
pytest.importorskip("dicomweb_client", reason="dicomweb-client is not installed")

from pydicom.uid import generate_uid

from brat import cli
from brat.model.pool import Readers
from brat.pacs.archive import PacsError, Query, Server, load_server, servers_of
from brat.pacs.choice import choices_of
from brat.pacs.connect import connect
from brat.pacs.reading import earlier_reports, fetch_series, read_series
from tests.factories.certificates import certificate
from tests.factories.log import Recorder
from tests.factories.orthanc import free_port, orthanc, why_not
from tests.factories.samples import known_enhanced


@pytest.fixture(params=["dicomweb", "get", "move"])
def asked(request, archive):
    """The archive by each protocol, filled."""
    running, own = archive
    if request.param == "dicomweb":
        return connect(Server("web", url=running.dicomweb))
    own_port = own if request.param == "move" else 0
    return connect(Server("dimse", host="127.0.0.1", port=running.port, title="ORTHANC", own_port=own_port))


def test_what_is_stored_is_found_and_comes_back(asked, slices):
    asked.echo()
    asked.store(slices)
    first = pydicom.dcmread(io.BytesIO(slices[0]))
    (study,) = asked.studies(Query(date="20260101-20260131", description="BRAIN", modality="MR"))
    assert study.study == first.StudyInstanceUID
    assert study.patient_name == "Planted^Name"
    assert asked.studies(Query(date="20250101-20250131")) == []
    assert asked.studies(Query(description="KNEE")) == []
    ((series, choice),) = choices_of(asked, study.study)
    assert (series.series, series.modality, series.description) == (
        first.SeriesInstanceUID,
        "MR",
        "t1_tse_post_KM",
    )
    assert (choice.read, choice.sequence) == (True, "t1ce")
    assert len(asked.instances(series)) == 4
    back = {d.SOPInstanceUID: d for d in (pydicom.dcmread(io.BytesIO(c)) for c in asked.fetch(series))}
    assert len(back) == 4
    assert (back[first.SOPInstanceUID].pixel_array == first.pixel_array).all()


def test_what_is_asked_and_fetched_is_logged_with_who_and_how_many_and_of_no_patient(
    archive, slices, monkeypatch
):
    recorder = Recorder()
    monkeypatch.setattr(logging.getLogger("brat"), "handlers", [recorder])
    logging.getLogger("brat").setLevel(logging.INFO)
    running, _ = archive
    asked = connect(Server("web", url=running.dicomweb), "ab@example.org")
    asked.store(slices)
    (study,) = asked.studies(Query(date="20260101-20260131", description="BRAIN", patient_name="Planted"))
    (series,) = asked.series(study.study)
    asked.header(series)
    list(asked.fetch(series))
    # Who wants no more of it has had one of them.
    next(begun := asked.fetch(series))
    begun.close()
    with pytest.raises(PacsError):
        connect(Server("gone", url="http://127.0.0.1:1")).studies(Query(patient_name="Planted"))
    events = [record.fields for record in recorder.records if record.getMessage() == "archive"]
    assert [(event["does"], event["count"], event["whole"]) for event in events] == [
        ("send instances", 4, True),
        ("find studies", 1, True),
        ("find series", 1, True),
        ("fetch header", 1, True),
        ("fetch instances", 4, True),
        ("fetch instances", 1, False),
        ("find studies", 0, False),
    ]
    assert [(event["server"], event["who"]) for event in events[:-1]] == [("web", "ab@example.org")] * 6
    assert events[-1]["server"] == "gone"
    assert events[-1]["who"] not in ("", "ab@example.org")
    said = str([vars(record) for record in recorder.records])
    first = pydicom.dcmread(io.BytesIO(slices[0]))
    for secret in ("Planted", first.PatientID, first.StudyInstanceUID, first.SeriesInstanceUID):
        assert secret not in said


def test_the_results_of_a_file_of_frames_come_back_in_its_study(asked, archive):
    """Stored, found, fetched, read, its results stored: one study, and the original as it was."""
    running, _ = archive
    # In an archive of tests that share it: the patient is another one each time.
    data = known_enhanced(PatientID=generate_uid(), StudyDate="20260303", StudyDescription="MR FRAMES")
    original = pydicom.dcmread(io.BytesIO(data))
    asked.store([data])
    found = asked.studies(Query(date="20260303", description="FRAMES", modality="MR"))
    assert original.StudyInstanceUID in [study.study for study in found]
    ((series, choice),) = choices_of(asked, original.StudyInstanceUID)
    assert (series.modality, choice.read, choice.sequence) == ("MR", True, "t1ce")
    made = read_series(fetch_series(asked, series), Readers())
    assert set(made.files()) == {"sr", "map", "pm"}
    asked.store([*made.files().values()])
    entries = asked.series(original.StudyInstanceUID)
    assert sorted(entry.modality for entry in entries) == ["MR", "OT", "OT", "SR"]
    (earlier,) = earlier_reports(asked, original.StudyInstanceUID, original.SeriesInstanceUID)
    report = pydicom.dcmread(io.BytesIO(made.report))
    assert earlier.SOPInstanceUID == report.SOPInstanceUID
    assert earlier.SeriesInstanceUID == report.SeriesInstanceUID
    assert earlier.SOPClassUID == report.SOPClassUID
    # The report of one series replaces none of another.
    assert earlier_reports(asked, original.StudyInstanceUID, generate_uid()) == []
    (back,) = [pydicom.dcmread(io.BytesIO(content)) for content in asked.fetch(series)]
    assert back.SOPInstanceUID == original.SOPInstanceUID
    assert (back.pixel_array == original.pixel_array).all()
    for uid in (original.StudyInstanceUID, original.PatientID):
        level = "studies" if uid == original.StudyInstanceUID else "patients"
        kept = [running.get(f"/{level}/{one}")["MainDicomTags"] for one in running.get(f"/{level}")]
        key = "StudyInstanceUID" if level == "studies" else "PatientID"
        assert [tags[key] for tags in kept].count(uid) == 1


@pytest.mark.parametrize("kind", ["dicomweb", "dimse"])
def test_an_archive_that_is_not_there_is_a_sentence(kind):
    port = free_port()
    server = (
        Server("lost", url=f"http://127.0.0.1:{port}/dicom-web")
        if kind == "dicomweb"
        else Server("lost", host="127.0.0.1", port=port)
    )
    with pytest.raises(PacsError, match="lost cannot be reached"):
        connect(server).echo()


def test_basic_authentication_and_what_a_wrong_password_says(tmp_path):
    if reason := why_not():
        pytest.skip(reason)
    users = {"AuthenticationEnabled": True, "RegisteredUsers": {"reader": "secret"}}
    with orthanc(tmp_path, **users) as running:
        connect(Server("web", url=running.dicomweb, user="reader", password="secret")).echo()
        for wrong in ({"user": "reader", "password": "other"}, {"token": "no"}, {}):
            with pytest.raises(PacsError, match="refuses our user, password or token"):
                connect(Server("web", url=running.dicomweb, **wrong)).echo()


def test_dicom_through_tls(tmp_path, slices):
    """The archive shows its certificate and asks for ours; each side checks the other's."""
    if reason := why_not():
        pytest.skip(reason)
    theirs, their_key = certificate(tmp_path, "archive")
    ours, our_key = certificate(tmp_path, "ours")
    strange, strange_key = certificate(tmp_path, "strange")
    tls = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(theirs),
        "DicomTlsPrivateKey": str(their_key),
        "DicomTlsTrustedCertificates": str(ours),
    }
    with orthanc(tmp_path, **tls) as running:
        place = {"host": "localhost", "port": running.port, "title": "ORTHANC"}
        own = {"certificate": str(ours), "key": str(our_key)}
        archive = connect(Server("safe", **place, tls=True, ca=str(theirs), **own))
        archive.echo()
        archive.store(slices[:2])
        ((series, _),) = choices_of(archive, str(pydicom.dcmread(io.BytesIO(slices[0])).StudyInstanceUID))
        assert len(list(archive.fetch(series))) == 2
        for wrong in (
            {"tls": False},
            {"tls": True, "ca": str(ours), **own},
            {"tls": True, "ca": str(theirs)},
            {"tls": True, "ca": str(theirs), "certificate": str(strange), "key": str(strange_key)},
        ):
            with pytest.raises(PacsError):
                connect(Server("safe", **place, **wrong)).echo()
        with pytest.raises(PacsError, match="cannot be read as such a file"):
            connect(Server("safe", **place, tls=True, ca=str(tmp_path / "none"))).echo()


def test_an_address_that_is_no_dicomweb_is_a_sentence(archive):
    running, _ = archive
    with pytest.raises(PacsError, match=r"not that of its DICOMweb|not as DICOMweb does"):
        connect(Server("web", url=f"{running.url}/system")).echo()


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({}, "needs either url"),
        ({"url": "https://a/", "host": "b"}, "needs either url"),
        ({"url": "ftp://a/"}, "must begin with https"),
        ({"host": "a", "port": "104"}, "port of .* must be of type int"),
        ({"host": "a", "port": 70000}, "must be numbers of ports"),
        ({"host": "a", "title": "A TITLE TOO LONG FOR DICOM"}, "must be AE titles"),
        ({"host": "a", "own_title": "B\\U"}, "must be AE titles"),
        ({"host": "a", "own_title": " "}, "must be AE titles"),
        ({"host": "a", "tls": True, "own_port": 11113}, "needs our certificate"),
        ({"url": "https://a/", "colour": "red"}, "unknown entry colour"),
        ({"url": "https://a/", "token": "t", "user": "u"}, "both a token and a user"),
    ],
)
def test_settings_that_cannot_be_meant_are_a_sentence(section, sentence):
    with pytest.raises(ValueError, match=sentence):
        servers_of({"archive": section})


def test_a_password_is_not_shown():
    assert "secret" not in repr(Server("web", url="https://a/", user="u", password="secret"))


def test_an_archive_is_found_by_its_name(tmp_path):
    file = tmp_path / "secrets.toml"
    with pytest.raises(ValueError, match=r"There is no .*\[pacs.main\]"):
        load_server("main", file)
    file.write_text('[pacs.main]\nurl = "https://pacs.example/dicom-web"\ntoken = "t"\n')
    assert load_server("main", file).token == "t"
    with pytest.raises(ValueError, match="Archives that it names: main"):
        load_server("other", file)


def test_the_command_asks_finds_fetches_and_sends(archive, slices, tmp_path, capsys):
    running, _ = archive
    settings = tmp_path / "secrets.toml"
    settings.write_text(f'[pacs.main]\nurl = "{running.dicomweb}"\n')
    study = str(pydicom.dcmread(io.BytesIO(slices[0])).StudyInstanceUID)
    for number, content in enumerate(slices):
        (tmp_path / f"{number}.dcm").write_bytes(content)
    files = [str(tmp_path / f"{number}.dcm") for number in range(4)]

    def brat(*arguments) -> int:
        return cli.main(["pacs", *arguments, "--settings", str(settings)])

    assert brat("echo", "main") == 0
    assert brat("push", "main", *files) == 0
    assert brat("find", "main", "--description", "BRAIN") == 0
    assert study in capsys.readouterr().out
    assert brat("find", "main", "--study", study) == 0
    assert "T1 after contrast" in capsys.readouterr().out
    assert brat("pull", "main", "--study", study, "--out", str(tmp_path / "out")) == 0
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 4
    assert brat("echo", "nowhere") == 2
    assert "no section [pacs.nowhere]" in capsys.readouterr().err
