import io
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from brat.classes import CLASS_NAMES
from brat.io.scan import Scan
from brat.model.out_of_distribution import OodResult
from brat.model.site import SiteCalibration
from brat.reports import pdf
from tests.factories.readings import prediction_of, reading_with_a_spot

pytest.importorskip("fpdf", reason="fpdf2 is not installed")
pypdf = pytest.importorskip("pypdf", reason="pypdf is not installed")

METRICS = {
    "written": "2026-01-02T03:04:05+00:00",
    "folds": [0, 1, 2, 3, 4],
    "protocols": {
        "four_classes": {
            "slices": 4321,
            "metrics": {"accuracy": {"value": 0.9335, "low": 0.9205, "high": 0.9451}},
        }
    },
}
NOTES = {
    "Latin": ("DejaVuSans.ttf", "Größe 3 cm, œdème, łagodny guz, ırk"),
    "Greek": ("DejaVuSans.ttf", "Μηνιγγίωμα δεξιά"),
    "Cyrillic": ("DejaVuSans.ttf", "Менингиома справа, їжак"),
    "Hebrew": ("DejaVuSans.ttf", "גידול"),
    "Arabic": ("DejaVuSans.ttf", "ورم"),
    "Chinese": ("wqy-microhei.ttc", "右侧脑膜瘤"),
    "Japanese": ("wqy-microhei.ttc", "右側の髄膜腫"),
    "Korean": ("wqy-microhei.ttc", "우측 수막종"),
}


@pytest.fixture(scope="module")
def scan(make_head):
    gray = make_head(height=200, width=240)
    return Scan(gray, gray, "SECRET_PATIENT.png", "PNG, 8-bit gray", "", digest="abcdef0123456789" * 4)


@pytest.fixture(scope="module")
def reading(scan):
    return reading_with_a_spot(scan, ("meningioma",))


def printed(pdf: bytes) -> str:
    (page,) = pypdf.PdfReader(io.BytesIO(pdf)).pages
    return " ".join(page.extract_text().split())


def test_what_is_to_be_known_beside_the_answer_is_printed(scan, reading):
    remarks = ("By its header this shows a knee. The model knows the head only.", "1 file is a copy.")
    says = printed(pdf.report(replace(scan, remarks=remarks), reading, "0123456789abcdef", METRICS))
    assert " ".join(remarks) in says
    assert "knee" not in printed(pdf.report(scan, reading, "0123456789abcdef", METRICS))


def test_the_page_says_all_that_is_known(scan, reading):
    time = datetime(2026, 11, 25, 4, 5, tzinfo=UTC)
    page = pdf.report(
        scan, reading, "0123456789abcdef", METRICS, verdict="Agrees", note="Left side", time=time
    )
    says = printed(page)
    for text in (
        "Not a medical device",
        "240 x 200 pixels · PNG, 8-bit gray · content abcdef012345",
        "25 November 2026, 04:05 UTC",
        "Meningioma, 91 %",
        *CLASS_NAMES.values(),
        "5 %",
        "95 % set: meningioma.",
        "0.63, limit 1",
        "Verdict of the clinician: Agrees",
        "Left side",
        "model 0123456789ab",
        "93.3 % (95 % interval 92.0 to 94.5) of 4,321 slices",
        "5-fold",
    ):
        assert text in says, text
    assert "SECRET" not in says
    assert b"SECRET" not in page
    assert len(pypdf.PdfReader(io.BytesIO(page)).pages[0].images) == 3


def test_a_map_is_printed_only_where_it_says_something(scan, reading):
    refused = replace(reading, ood=OodResult(1.8, False, "It does not have the outline of a head."))
    none = replace(
        reading, prediction=replace(reading.prediction, probabilities=np.float32([0.05, 0.03, 0.01, 0.91]))
    )
    assert none.prediction.label == "no_tumor"
    for unmarked, why in ((refused, "unlike those that the model knows"), (none, "cover the whole brain")):
        page = pdf.report(scan, unmarked, "0", None, note="Left side")
        assert len(pypdf.PdfReader(io.BytesIO(page)).pages[0].images) == 1
        assert f"No map: {'of a slice ' * (unmarked is refused)}" in printed(page)
        assert why in printed(page)
        assert "Left side" in printed(page)
        assert "Grad-CAM" not in printed(page)


def test_a_name_is_printed_where_it_is_given(scan, reading):
    assert "Case 7 · 240 x 200" in printed(pdf.report(scan, reading, "0", None, name="Case 7"))


def test_doubt_is_said(scan, reading):
    doubtful = replace(
        reading,
        sets={0.95: ("meningioma", "glioma", "pituitary")},
        ood=OodResult(1.8, False, "It does not have the outline of a head."),
    )
    says = printed(pdf.report(scan, doubtful, "0", None))
    assert "Not a slice like those that the model knows. It does not have the outline of a head." in says
    assert "95 % set: meningioma or glioma or pituitary tumour. Too uncertain" in says
    assert "was not measured" in says
    assert "Verdict" not in says


def test_a_set_of_one_below_70_percent_is_called_unsure(scan, reading):
    assert "below 70 %" not in printed(pdf.report(scan, reading, "0", None))
    weak = replace(reading, prediction=prediction_of("meningioma", 0.64))
    assert "95 % set: meningioma. The set names one class, yet its probability is below 70 %" in printed(
        pdf.report(scan, weak, "0", None)
    )


@pytest.mark.parametrize("script", NOTES)
def test_a_note_prints_in_its_script(scan, reading, script):
    font, note = NOTES[script]
    if font not in pdf._installed():
        pytest.skip(f"{font} is not installed on this computer")
    if script in ("Hebrew", "Arabic"):
        pytest.importorskip("uharfbuzz", reason="uharfbuzz is not installed")
    says = printed(pdf.report(scan, reading, "0", None, note=note))
    assert "No font" not in says
    if script == "Arabic":
        # Joined letters come back one by one, and in the order in which they stand.
        assert set(note) <= set(says)
    elif script == "Hebrew":
        assert note in says or note[::-1] in says
    else:
        assert note in says


def test_what_no_font_has_is_a_question_mark_and_said(scan, reading):
    says = printed(pdf.report(scan, reading, "0", None, note="left \U00013000\U00013001"))
    assert "left ??" in says
    assert "has 2 of its characters" in says


def test_without_any_font_latin_still_prints(scan, reading, monkeypatch):
    monkeypatch.setattr(pdf, "_installed", dict)
    says = printed(pdf.report(scan, reading, "0", METRICS, note="Größe, Μη"))
    assert "Größe, ??" in says
    assert "has 2 of its characters" in says


def test_a_long_note_stays_on_the_page(scan, reading):
    says = printed(pdf.report(scan, reading, "0", METRICS, note="word " * 3000))
    assert "does not fit on this page" in says
    assert "5-fold" in says


def test_a_sites_recalibration_is_named(scan, reading):
    site = SiteCalibration("St. Elsewhere", 412, 120, "patient", "2026-11-27T02:00:00+00:00", {}, None, 0.0)
    told = "recalibrated for St. Elsewhere on 412 slices, 2026-11-27"
    assert told in printed(pdf.report(scan, replace(reading, site=site), "0" * 64, None))
    assert "recalibrated" not in printed(pdf.report(scan, reading, "0" * 64, None))


def test_a_model_without_calibration_and_check_says_so(scan, reading):
    assert "not calibrated" not in printed(pdf.report(scan, reading, "0", None))
    text = printed(pdf.report(scan, replace(reading, sets={}, ood=None), "0", None))
    assert "The probabilities of this model are not calibrated, and it has no prediction sets." in text
    assert "Whether the model knows scans like this one was not checked" in text
    assert "How often this model is right was not measured." in text
