"""The Validate page, through Streamlit's own test harness."""

import re
from dataclasses import replace

import pytest
import streamlit as st
from sqlalchemy import create_engine
from streamlit.runtime.secrets import secrets_singleton

from brat.classes import CLASSES
from brat.evaluation import metrics, site
from brat.io import workers
from brat.io.read import read_scan
from brat.io.samples import load_samples
from brat.model.calibration import Calibration
from brat.model.files import CALIBRATION, ModelFolder
from brat.model.reader import Reader
from brat.model.site import SITE, SiteCalibration, fitted_to
from brat.store.cases import keep
from brat.store.database import prepare
from pages.parts.widget_memory import MEMORY
from pages.words.markdown import literal
from pages.words.numbers import unbroken
from tests.factories.files import zipped
from tests.factories.heads import synthetic_head
from tests.factories.pages import png
from tests.factories.samples import KNOWN
from tests.factories.weights import READ_WITH, model_folder
from tests.pages.test_pages import entered

HEADS = {
    f"{label}/sub-{number}.png": png(synthetic_head(128, 128, seed=1 + 7 * len(label) + number))
    for label in CLASSES
    for number in range(2)
}


@pytest.fixture(autouse=True)
def _fast_and_patient(monkeypatch):
    monkeypatch.setattr(metrics, "RESAMPLES", 40)
    # A machine that is busy with other tests needs long to start the processes that read files.
    monkeypatch.setattr(workers, "SECONDS", 300)
    monkeypatch.setattr(site, "_FLIPS", 400)


@pytest.fixture
def page():
    opened = entered("validate.py").run()
    assert not opened.exception
    return opened


def measured(page, files=None, folder=None):
    if files:
        page.get("file_uploader")[0].set_value(files)
    if folder:
        page.get("file_uploader")[1].set_value(folder)
    page.run()
    page.button(key="validate-measure").click().run()
    assert not page.exception
    return page


def said(page) -> str:
    return " ".join(
        one.value for kind in (page.markdown, page.warning, page.error, page.info) for one in kind
    )


def test_an_archive_is_measured_and_the_figures_can_be_taken_along(page):
    page.text_input(key="validate-site").set_value("St. Elsewhere")
    measured(page, [("site.zip", zipped(HEADS), "application/zip")])
    validation = page.session_state["validation"]
    assert validation.results["slices"] == 8
    assert validation.results["by"] == "patient"
    assert validation.results["site"] == "St. Elsewhere"
    assert "Too few cases to judge by: 2 patients with a tumour and 2 without" in said(page)
    names = [button.proto.label for button in page.get("download_button")]
    assert [name for name in names if "validation." in name] == [
        "Report: validation.pdf",
        "Every slice: validation.csv",
        "Every figure: validation.json",
    ]
    assert not any(SITE in name for name in names)
    # A line breaks before an interval at most.
    (shown, *_) = page.table
    cells = [cell for cell in shown.value.to_numpy().ravel() if "(" in cell]
    assert cells
    assert all(cell.split(" ") == [cell.split(" (")[0], cell[cell.index("(") :]] for cell in cells)
    remarks = next(one.value for one in page.markdown if "Expected calibration error" in one.value)
    assert re.search(r"error [\d.]+\u00a0% \([\d.]+\u00a0to\u00a0[\d.]+\)", remarks)
    assert not [caption.value for caption in page.caption if re.search(r"\d %", caption.value)]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("100.0 % (2.5 to 100.0)", "100.0~% (2.5~to~100.0)"),
        ("-3.1 (-7.0 to +0.8)", "-3.1 (-7.0~to~+0.8)"),
        ("5.0 % (no interval)", "5.0~% (no interval)"),
        ("No recalibration: it takes 20 to be read of 4.", "No recalibration: it takes 20 to be read of 4."),
    ],
)
def test_numbers_are_not_broken(text, shown):
    assert unbroken(text).replace("\u00a0", "~") == shown


def test_a_table_names_the_labels_of_files(page):
    table = "name,label,patient\n" + "".join(
        f"{n}.png,{'tumour' if n else 'no'},p{n % 2}\n" for n in range(3)
    )
    files = [(f"{n}.png", head, "image/png") for n, head in zip(range(3), HEADS.values(), strict=False)]
    measured(page, [*files, ("labels.csv", table.encode(), "text/csv")])
    validation = page.session_state["validation"]
    assert [row["label"] for row in validation.rows] == ["no_tumor", "tumor", "tumor"]
    assert validation.results["clusters"] == 2


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ([], "Give an archive, a folder, or files with a table first."),
        (
            [("t.csv", b"name,label\na.png,metastasis\n", "text/csv"), ("a.png", b"", "image/png")],
            "Line 2 of t.csv",
        ),
        ([("a.png", next(iter(HEADS.values())), "image/png")], "There is no slice to measure"),
        ([("a.csv", b"", "text/csv"), ("b.csv", b"", "text/csv")], "Give one CSV table"),
        ([("a.zip", zipped({}), "application/zip")], "There is no file in this archive"),
        ([("a.zip", zipped({"glioma/": b""}), "application/zip")], "There is no file in this archive"),
        ([("a.zip", b"", "application/zip")], "it is no ZIP archive, whatever its name says"),
        (
            [("a.zip", zipped({f"no/{n}.png": b"\x89PNG\r\n\x1a\n" for n in range(12)}), "application/zip")],
            "The PNG file is damaged, breaks off or is of a rare kind",
        ),
    ],
)
def test_what_cannot_be_measured_says_why(page, files, sentence):
    measured(page, files)
    assert sentence in said(page)
    assert "validation" not in page.session_state


def test_why_there_is_nothing_to_measure_stands_in_lines_of_its_own(page):
    files = {f"no/{n}.png": b"\x89PNG\r\n\x1a\n" for n in range(12)} | {
        "notes/a.png": HEADS["glioma/sub-0.png"]
    }
    measured(page, [("a.zip", zipped(files), "application/zip")])
    first, *reasons = page.error[0].value.split("\n\n")
    assert first == "There is no slice to measure the model on."
    assert len(reasons) == 2
    assert any("no/0.png and 11 more: The PNG file is damaged" in reason for reason in reasons)


HOSTILE = "![x](http://host.invalid/p.png)"


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("t.csv", f"name,label\na.png,{HOSTILE}\n"),
        ("t.csv", f"name,label\n{HOSTILE},glioma\n{HOSTILE},meningioma\n"),
        (f"{HOSTILE}.csv", "name\na.png\n"),
    ],
)
def test_what_a_table_says_is_no_markdown(page, name, table):
    """It comes from others, and a picture in it would have the browser ask another host."""
    measured(page, [(name, table.encode(), "text/csv"), ("a.png", b"", "image/png")])
    (error,) = page.error
    assert "host.invalid" in error.value
    assert error.value == literal(error.value.strip("`"))


def test_a_second_model_that_is_named_is_measured_on_the_same_slices(monkeypatch, tmp_path):
    other = model_folder(tmp_path / "other", READ_WITH)
    monkeypatch.setattr(secrets_singleton, "_secrets", {"models": {"Fine-tuned": str(other)}})
    page = entered("validate.py").run()
    page.selectbox(key="validate-against").set_value("Fine-tuned")
    measured(page, [("site.zip", zipped(HEADS), "application/zip")])
    assert page.session_state["validation"].results["against"]["p"] == 1
    assert any("Second model" in caption.value for caption in page.caption)


def test_a_trip_to_another_page_loses_neither_name_nor_second_model(monkeypatch, tmp_path):
    monkeypatch.setattr(secrets_singleton, "_secrets", {"models": {"Fine-tuned": str(tmp_path)}})
    page = entered("validate.py").run()
    page.text_input(key="validate-site").set_value("St. Elsewhere")
    page.selectbox(key="validate-against").set_value("Fine-tuned")
    page.run()
    # Where the widgets are off the page, Streamlit forgets them; what is remembered of the visit stays.
    again = entered("validate.py")
    again.session_state[MEMORY] = page.session_state[MEMORY]
    again.run()
    assert not again.exception
    assert again.text_input(key="validate-site").value == "St. Elsewhere"
    assert again.selectbox(key="validate-against").value == "Fine-tuned"


def test_kept_verdicts_are_measured(monkeypatch, tmp_path):
    url = f"sqlite:///{tmp_path / 'cases.db'}"
    engine = create_engine(url)
    prepare(engine)
    reader = Reader()
    for sample in load_samples():
        scan = read_scan(sample.file)
        keep(engine, scan, reader.read(scan.gray), reader.classifier.digest, seen=sample.label)
    monkeypatch.setattr(secrets_singleton, "_secrets", {"connections": {"cases": {"url": url}}})
    page = entered("validate.py").run()
    page.get("button_group")[0].set_value("Kept verdicts").run()
    measured(page)
    results = page.session_state["validation"].results
    assert results["slices"] == len(load_samples())
    assert "recalibration" not in results
    assert any("lean towards it" in caption.value for caption in page.caption)
    # Nor do they stand under what is asked of files, as if they were of those.
    assert page.table
    page.get("button_group")[0].set_value("Files").run()
    assert not page.table
    page.get("button_group")[0].set_value("Kept verdicts").run()
    assert page.table


def test_review_names_a_recalibration_and_a_damaged_one_is_said(monkeypatch, tmp_path, fresh_caches):
    folder = model_folder(tmp_path / "model", READ_WITH)
    own = SiteCalibration(
        "St. Elsewhere",
        412,
        120,
        "patient",
        "2026-11-27T02:00:00+00:00",
        fitted_to(ModelFolder(folder)),
        replace(Calibration.load(folder / CALIBRATION), temperature=3.0),
        None,
    )
    (folder / SITE).write_bytes(own.to_bytes())
    monkeypatch.setattr("pages.parts.readings.Reader", lambda *_: Reader(folder))
    review = entered("review.py").run()
    review.button(key=f"welcome-{KNOWN.name}").click().run()
    assert not review.exception
    named = "Recalibrated for `St. Elsewhere` on 412 slices, 2026-11-27."
    assert named in [caption.value for caption in review.caption]
    st.cache_resource.clear()
    (folder / SITE).write_bytes(own.to_bytes().replace(b"412", b"413"))
    review = entered("review.py").run()
    assert "site_calibration.json is damaged" in review.error[0].value
    (folder / SITE).unlink()
    review = entered("review.py").run()
    review.button(key=f"welcome-{KNOWN.name}").click().run()
    assert not any("Recalibrated" in caption.value for caption in review.caption)
