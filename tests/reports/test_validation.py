"""A validation in words and as a PDF, and the command that writes both."""

from __future__ import annotations

import csv
import io
import json
import re

import pypdf
import pytest

from brat.cli import main
from brat.data.index import fingerprint, read_index
from brat.data.trained_on import read_hashes
from brat.environment import WEIGHTS
from brat.evaluation import metrics, site
from brat.evaluation.site import measure
from brat.io import workers
from brat.io.folders import NO_SCAN
from brat.model.files import DETECTOR, MODEL, TRAINED_ON, ModelFolder
from brat.model.reader import Reader
from brat.model.site import SITE, SiteCalibration
from brat.reports import validation as report
from tests.factories.calibration import honest
from tests.factories.files import zipped
from tests.factories.heads import synthetic_head
from tests.factories.indexes import index_of_blobs
from tests.factories.pages import png
from tests.factories.site import SHIPPED, readings_of, sure
from tests.factories.weights import READ_WITH, model_folder, recalibrated

TRUTH = ["glioma"] * 6 + ["meningioma"] * 2 + ["pituitary"] * 2 + ["no_tumor"] * 6
READ = ["glioma"] * 5 + ["no_tumor"] + ["meningioma"] * 2 + ["pituitary"] * 2 + ["no_tumor"] * 6


@pytest.fixture(autouse=True)
def _fast_and_patient(monkeypatch):
    monkeypatch.setattr(metrics, "RESAMPLES", 60)
    # A machine that is busy with other tests needs long to start the processes that read files.
    monkeypatch.setattr(workers, "SECONDS", 300)
    monkeypatch.setattr(site, "_FLIPS", 400)


@pytest.fixture(scope="module")
def reader():
    return Reader(as_shipped=True)


@pytest.fixture
def results(reader):
    return measure(readings_of(sure(READ), TRUTH), reader, SHIPPED, "St. Elsewhere", {}).results


def text_of(pdf: bytes) -> str:
    return re.sub(
        r"\s+", " ", " ".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf)).pages)
    )


def test_every_figure_stands_beside_the_one_that_ships(results):
    rows = {row.measure: row for row in report.figures(results)}
    accuracy = results["protocols"]["four_classes"]["metrics"]["accuracy"]
    shipped = SHIPPED["protocols"]["four_classes"]["metrics"]["accuracy"]
    row = rows["Accuracy, four classes"]
    assert row.here.startswith("93.8 % (")
    assert row.shipped == report.estimate(shipped)
    assert row.difference.startswith(f"{100 * (accuracy['value'] - shipped['value']):+.1f} (")
    auc = results["protocols"]["tumor_or_none"]["metrics"]["auc"]
    assert rows["AUC, tumour or none"].here == f"{auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})"
    assert rows["AUC, tumour or none"].p
    assert len(rows) == 9


def test_the_pdf_has_figures_matrix_and_checklists(results):
    text = text_of(report.pdf(results))
    for row in report.figures(results):
        assert row.here in text
        assert row.shipped in text
    assert "Not a medical device" in text
    assert "St. Elsewhere" in text
    assert "CLAIM" in text
    assert "TRIPOD+AI" in text
    for item in report.checklist(results):
        assert item.item in text
        # The model's hash is broken over lines.
        assert item.claim == "22" or item.answer in text
    assert results["model_sha256"] in text


def test_the_confusion_matrix_has_rows_of_what_is(results):
    matrix = report.confusion(results)
    assert matrix[1] == ["Glioma", "5", "0", "0", "1"]


def test_too_few_cases_are_said_and_how_many_are_enough(results, reader):
    assert "Too few cases to judge by: 10 patients with a tumour and 6 without" in report.enough(results)
    assert "100 of each" in report.enough(results)
    many = ["glioma"] * 100 + ["no_tumor"] * 100
    measured = measure(readings_of(sure(many), many), reader, None).results
    assert report.enough(measured).startswith("Enough cases: 100 patients")


@pytest.mark.parametrize(
    ("by", "words"),
    [
        ("patient", "Intervals are by patient, as the table"),
        ("file", "intervals are by file"),
        ("patient where it is known, else file", "else by file"),
    ],
)
def test_says_what_the_intervals_are_by(reader, by, words):
    measured = measure(readings_of(sure(READ), TRUTH, by=by), reader, None).results
    assert any(words in remark for remark in report.remarks(measured))


def test_says_whether_training_data_could_be_looked_for(results, reader):
    assert any("that the model was trained on: 0." in remark for remark in report.remarks(results))
    unknown = measure(readings_of(sure(READ), TRUTH, copies_sought=False), reader, None).results
    assert any("is not known" in remark for remark in report.remarks(unknown))
    assert "Not known" in next(item.answer for item in report.checklist(unknown) if item.claim == "20, 21")


def test_a_recalibration_is_judged_before_it_is_advised(reader):
    logits, labels = honest(400)
    named = [site.CLASSES[k] for k in labels]
    helps = measure(readings_of(3 * logits, named), reader, None, "", {}).results
    assert "fits these slices better" in " ".join(report.recalibration(helps))
    fits = reader.calibration.temperature * logits
    does_not = measure(readings_of(fits, named), reader, None, "", {}).results
    assert "leave it" in " ".join(report.recalibration(does_not))
    assert (report.is_advised(helps), report.is_advised(does_not)) == (True, False)


def site_folder(folder, count=6):
    for label in ("glioma", "meningioma", "pituitary", "no_tumor"):
        (folder / label).mkdir(parents=True)
        for number in range(count):
            head = synthetic_head(128, 128, seed=1000 * len(label) + number)
            (folder / label / f"sub-{number:02d}.png").write_bytes(png(head))
    return folder


def test_the_command_writes_all_and_touches_no_figure_that_ships(tmp_path, capsys):
    weights = model_folder(tmp_path / "model", READ_WITH)
    (weights / "metrics.json").write_text((WEIGHTS / "metrics.json").read_text())
    before = {path: path.read_bytes() for path in weights.iterdir()}
    out = tmp_path / "out"
    folder = site_folder(tmp_path / "site")
    (folder / "readme.txt").write_text("hello")
    command = [
        "validate",
        str(folder),
        "--out",
        str(out),
        "--weights",
        str(weights),
        "--against",
        str(WEIGHTS),
    ]
    assert main(command) == 0
    assert {path: path.read_bytes() for path in weights.iterdir()} == before
    results = json.loads((out / "validation.json").read_text())
    rows = list(csv.DictReader(io.StringIO((out / "validation.csv").read_text("utf-8-sig"))))
    assert {row["name"]: row["left_out"] for row in rows if row["left_out"]} == {"readme.txt": NO_SCAN}
    assert results["slices"] == 24
    assert results["clusters"] == 6
    assert results["against"]["counts"]["both"] + results["against"]["counts"]["neither"] == 24
    assert "sub-" not in (out / "validation.json").read_text()
    assert len(rows) == 25
    assert "St. Elsewhere" not in text_of((out / "validation.pdf").read_bytes())
    assert not (out / SITE).exists()
    printed = capsys.readouterr().out
    assert "Too few cases to judge by" in printed
    assert "Second model" in printed


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "There is no file in this archive. Pack the scans again."),
        ({f"no/{n}.png": b"\x89PNG\r\n\x1a\n" for n in range(12)}, "The PNG file is damaged"),
        (None, "no file is there"),
    ],
)
def test_nothing_to_measure_is_said_in_a_sentence(tmp_path, capsys, files, sentence):
    path = tmp_path / "site.zip"
    if files is None:
        path.mkdir()
    else:
        path.write_bytes(zipped(files))
    assert main(["validate", str(path), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "There is no slice to measure the model on" in said
    assert sentence in said
    # Twelve files with one reason have one line.
    assert ("no/0.png and 11 more: " in said) is bool(files)
    assert said.count("The PNG file is damaged") == bool(files)
    assert not (tmp_path / "out").exists()


def test_the_command_puts_a_recalibration_beside_the_weights(tmp_path, monkeypatch):
    # So few are no recalibration, but for here.
    monkeypatch.setattr(site, "ENOUGH_A_CLASS", 5)
    weights = model_folder(tmp_path / "model", READ_WITH)
    folder = site_folder(tmp_path / "site")
    command = [
        "validate",
        str(folder),
        "--out",
        str(tmp_path / "out"),
        "--weights",
        str(weights),
        "--site",
        "Elsewhere",
    ]
    assert main(command) == 0
    assert not (weights / SITE).exists()
    assert main([*command, "--apply"]) == 0
    assert (weights / SITE).read_bytes() != b""
    applied = Reader(weights).site
    assert applied == SiteCalibration.from_bytes((tmp_path / "out" / SITE).read_bytes())
    assert set(applied.fitted_to) == {MODEL, DETECTOR}
    assert applied.site == "Elsewhere"


def test_what_is_not_advised_is_not_applied(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(site, "ENOUGH_A_CLASS", 5)
    monkeypatch.setattr(report, "is_advised", lambda results: False)
    weights = model_folder(tmp_path / "model", READ_WITH)
    out = tmp_path / "out"
    command = ["validate", str(site_folder(tmp_path / "site")), "--out", str(out), "--apply"]
    assert main([*command, "--weights", str(weights)]) == 1
    assert f"copy {out / SITE} there" in capsys.readouterr().err
    assert (out / SITE).exists()
    assert not (weights / SITE).exists()


def test_figures_of_another_model_are_not_compared_with(reader):
    results = measure(readings_of(sure(READ), TRUTH), reader, {**SHIPPED, "model_sha256": "0" * 64}).results
    assert "comparison" not in results
    assert not any(row.shipped for row in report.figures(results))


def test_a_recalibration_that_was_read_with_is_named(tmp_path):
    recalibrated(tmp_path / "weights")
    results = measure(readings_of(sure(READ), TRUTH), Reader(tmp_path / "weights"), SHIPPED).results
    assert any("recalibrated for" in remark for remark in report.remarks(results))
    assert "recalibrated for" in next(one.answer for one in report.checklist(results) if one.claim == "22")


def test_nothing_to_apply_is_said(tmp_path, capsys):
    weights = model_folder(tmp_path / "model", READ_WITH)
    command = ["validate", str(site_folder(tmp_path / "site", 1)), "--out", str(tmp_path / "out"), "--apply"]
    assert main([*command, "--weights", str(weights)]) == 1
    assert "no recalibration to put beside" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["none", "empty"])
def test_the_command_says_what_it_cannot_read(tmp_path, capsys, path):
    (tmp_path / "empty").mkdir()
    assert main(["validate", str(tmp_path / path), "--out", str(tmp_path / "out")]) == 2
    assert re.search("There is nothing at|no slice to measure", capsys.readouterr().err)


def test_hashes_are_of_the_data_that_the_card_names(tmp_path, capsys):
    index = index_of_blobs(tmp_path)
    weights = model_folder(tmp_path / "model")
    card = {"data_fingerprint": "another", "test_fold": 0, "validation_fold": 1, "held_out": []}
    (weights / "model_card.json").write_text(json.dumps(card))
    assert main(["hashes", "--data", str(index), "--weights", str(weights)]) == 2
    assert "was trained on other data" in capsys.readouterr().err
    card["data_fingerprint"] = fingerprint(read_index(index))
    (weights / "model_card.json").write_text(json.dumps(card))
    assert main(["hashes", "--data", str(index), "--weights", str(weights)]) == 0
    # Folds 1 to 3: what the epoch was chosen by counts as seen.
    assert len(read_hashes(ModelFolder(weights))) == 15
    assert TRAINED_ON in ModelFolder(weights).records


def test_a_mass_that_a_model_did_not_learn_from_is_not_listed(tmp_path, monkeypatch):
    index = index_of_blobs(tmp_path)
    monkeypatch.setattr("brat.data.index.shows_mass", "no_tumor-2.png".__eq__)
    weights = model_folder(tmp_path / "model")
    card = {"data_fingerprint": fingerprint(read_index(index)), "test_fold": 0, "validation_fold": 1}
    (weights / "model_card.json").write_text(json.dumps(card))
    assert main(["hashes", "--data", str(index), "--weights", str(weights)]) == 0
    # Of fifteen slices of three folds.
    assert len(read_hashes(ModelFolder(weights))) == 14
