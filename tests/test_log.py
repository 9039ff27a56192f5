"""What is logged, and that nothing in it names a patient."""

import io
import json
import logging
import os
import subprocess
import sys
import warnings

import pydicom
import pytest

from brat import log
from brat.io.scan import UnreadableScan
from tests.factories.files import slice_of
from tests.factories.log import Recorder
from tests.factories.paths import ROOT
from tests.factories.samples import KNOWN
from tests.factories.weights import model_folder


def brat(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from brat.cli import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-W", "always", "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
    )


def events(printed: str) -> list[dict]:
    return [json.loads(line) for line in printed.splitlines() if line.startswith("{")]


def test_a_command_logs_start_model_reading_and_refusal_as_json(tmp_path):
    broken = tmp_path / "DOE_JANE.png"
    broken.write_bytes(b"\x89PNG and no more")
    done = brat("predict", "--json", str(KNOWN.file), str(broken), BRAT_LOG="json")
    logged = {entry["event"]: entry for entry in events(done.stderr)}
    assert set(logged) == {"start", "model", "reading", "refused"}
    assert logged["start"]["program"] == "predict"
    assert logged["start"]["version"]
    assert len(logged["model"]["sha256"]) == 64
    assert logged["model"]["calibrated"] is True
    answer = json.loads(done.stdout.splitlines()[0])
    assert logged["reading"]["outcome"] == answer["label"]
    assert 0 < logged["reading"]["seconds"] < 60
    assert logged["refused"]["causes"][0].startswith("UnreadableScan: The PNG file is damaged")
    # What the decoder said is its type and place alone.
    assert len(logged["refused"]["causes"]) > 1
    assert "DOE" not in done.stderr


def test_without_the_setting_a_command_prints_no_event():
    done = brat("predict", "--json", str(KNOWN.file))
    assert "start" not in done.stderr
    assert "reading" not in done.stderr


def test_text_is_one_line_an_event():
    lines = brat("predict", "--json", str(KNOWN.file), BRAT_LOG="text").stderr.splitlines()
    assert any(" info model sha256=" in line for line in lines)
    assert brat("predict", str(KNOWN.file), BRAT_LOG="xml").returncode == 2


def test_a_damaged_model_ends_a_command_with_a_sentence_and_status_2(tmp_path):
    folder = model_folder(tmp_path / "model")
    content = bytearray((folder / "model.tflite").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.tflite").write_bytes(content)
    done = brat("predict", "--json", "--weights", str(folder), str(KNOWN.file), BRAT_LOG="json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "brat: model.tflite in" in done.stderr
    assert "is damaged" in done.stderr
    assert events(done.stderr)[-1]["event"] == "stopped"


def test_a_fresh_model_says_in_json_and_to_people_that_it_is_not_calibrated(tmp_path):
    folder = model_folder(tmp_path / "model")
    fresh = brat("predict", "--json", "--weights", str(folder), str(KNOWN.file))
    assert json.loads(fresh.stdout)["calibrated"] is False
    assert "no calibration yet" in fresh.stderr
    shipped = brat("predict", "--json", str(KNOWN.file))
    assert json.loads(shipped.stdout)["calibrated"] is True


def test_pydicoms_warnings_print_no_value(tmp_path):
    file = tmp_path / "scan.dcm"
    content = slice_of(1)
    # Values of the wrong kind, which pydicom quotes in its warnings.
    dataset = pydicom.dcmread(io.BytesIO(content))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        settings = pydicom.config.settings
        before = settings.writing_validation_mode
        settings.writing_validation_mode = pydicom.config.IGNORE
        dataset.add_new("StudyDate", "DA", "PLANTED-DATE")
        dataset.add_new("SliceThickness", "DS", "1.0")
        dataset.add_new("SpecificCharacterSet", "CS", "PLANTED SET")
        dataset.add_new("FrameOfReferenceUID", "UI", "1.PLANTED.3")
        dataset.add_new("PatientAge", "AS", "PLANTED")
        dataset.save_as(file)
        settings.writing_validation_mode = before
    # Without our filter they are printed.
    plain = f"import pydicom; d = pydicom.dcmread({str(file)!r}); [e.value for e in d]"
    loud = subprocess.run([sys.executable, "-W", "always", "-c", plain], capture_output=True, text=True)
    assert "PLANTED" in loud.stderr
    quiet = subprocess.run(
        [
            sys.executable,
            "-W",
            "always",
            "-c",
            f"import logging; logging.basicConfig(); import brat.io; {plain}",
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (quiet.returncode, quiet.stderr) == (0, "")
    assert "PLANTED" not in brat("predict", "--json", str(file), BRAT_LOG="json").stderr


def test_causes_hold_no_message_of_another_library():
    try:
        try:
            raise ValueError("Invalid value 'DOE^JANE'")
        except ValueError as error:
            raise UnreadableScan("The DICOM file is damaged.") from error
    except UnreadableScan as error:
        first, second = log.causes(error)
    assert first.startswith("UnreadableScan: The DICOM file is damaged. (test_log.py:")
    assert second.startswith("ValueError (test_log.py:")
    assert log.causes(FileNotFoundError(2, "No such file", "/home/DOE_JANE.png")) == [
        "FileNotFoundError: ENOENT"
    ]


def test_causes_that_lead_in_a_circle_end():
    one, other = ValueError(), KeyError()
    one.__cause__, other.__cause__ = other, one
    assert log.causes(one) == ["ValueError", "KeyError"]


def test_the_id_of_a_failure_is_in_the_log(monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(logging.getLogger("brat"), "handlers", [recorder])
    error_id = log.failure("store", ValueError("DOE"), case=3)
    (record,) = (r for r in recorder.records if r.getMessage() == "store")
    assert len(error_id) == 8
    assert record.levelname == "ERROR"
    assert record.fields == {"error_id": error_id, "causes": ["ValueError"], "case": 3}


@pytest.mark.parametrize("as_json", [True, False])
def test_a_line_holds_time_level_event_and_fields(as_json):
    record = logging.LogRecord("brat", logging.INFO, "", 0, "model", None, None)
    record.fields = {"sha256": "ab\n"}
    line = log._Format(as_json).format(record)
    assert "\n" not in line
    assert ("model" in line, "sha256" in line, "info" in line) == (True, True, True)
