"""Each page, through Streamlit's own test harness: no browser, no server."""

import csv
import io
import json
import re
import shutil
from html import escape

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.testing.v1 import AppTest

from brat.classes import CLASS_COLOURS, CLASS_NAMES
from brat.data.sources import SOURCES
from brat.environment import WEIGHTS
from brat.io.read import read_scan
from brat.io.samples import load_sample_series, load_samples
from brat.model import series_rule
from brat.model.classifier import Classifier
from brat.model.files import write_manifest
from brat.model.pool import Readers
from brat.model.preprocess import prepare
from brat.model.reader import Reader
from brat.wording import percent
from pages.parts.protocols import MEASURES, TITLES
from pages.words import protocols as protocol_words
from pages.words import trust as trust_words
from tests.factories.files import slice_of, volume
from tests.factories.heads import synthetic_head
from tests.factories.pages import page_of, png, sent_to_viewer
from tests.factories.paths import ROOT
from tests.factories.samples import KNOWN, known_dicom
from tests.factories.weights import READ_WITH, model_folder

SAMPLES = load_samples()


@pytest.fixture
def review():
    page = entered("review.py").run()
    assert not page.exception
    return page


def entered(name: str) -> AppTest:
    """A page as app.py opens it."""
    page = AppTest.from_file(str(ROOT / "pages" / name), default_timeout=60)
    page.session_state["entered"] = True
    return page


def answer(page: AppTest) -> str:
    return " ".join(
        block.proto.body for block in page.get("html") if '<section class="answer"' in block.proto.body
    )


def group(page: AppTest, key: str):
    return next(g for g in page.get("button_group") if g.key == key)


def expected(sample) -> str:
    return CLASS_NAMES[Classifier().predict(prepare(read_scan(sample.file).gray)[0]).label]


def test_welcome_offers_every_sample(review):
    assert [b.label for b in review.button] == [s.title for s in (*SAMPLES, *load_sample_series())]
    assert not answer(review)


def test_sample_is_read(review):
    sample = KNOWN
    review.button(key=f"welcome-{sample.name}").click().run()
    assert not review.exception
    assert expected(sample) in answer(review)
    assert any(sample.title in c.value for c in review.caption)


def test_a_sample_says_that_it_was_never_seen_and_whose_it_is(review):
    review.button(key=f"welcome-{KNOWN.name}").click().run()
    (said,) = (c.value for c in review.caption if KNOWN.title in c.value)
    assert "never seen in training" in said
    assert "10.6084/m9.figshare.1512427" in said


@pytest.mark.parametrize(("sample", "slices"), [*zip(load_sample_series(), (7, 22), strict=True)])
def test_each_sample_series_opens_as_a_series(review, sample, slices):
    review.button(key=f"welcome-{sample.name}").click().run()
    assert not review.exception
    assert review.session_state.scan is None
    series = review.session_state.series
    (sent,) = sent_to_viewer(review)
    assert len(sent["slices"]) == len(series.stack()) == slices


def test_every_class_has_its_share_and_a_bar(review):
    review.button(key=f"welcome-{KNOWN.name}").click().run()
    reading = Reader().read(read_scan(KNOWN.file).gray).prediction
    (shares,) = (block.proto.body for block in review.get("html") if "<table" in block.proto.body)
    for label, share in reading.by_class().items():
        row = shares.partition(f">{CLASS_NAMES[label]}</th>")[2].partition("</tr>")[0]
        assert f"width:{share:.1%}; background-color:{CLASS_COLOURS[label]}" in row
        assert row.endswith(f"<td>{escape(percent(share))}</td>")
        assert f'{escape(percent(share, 1))}"' in row


def test_upload_is_read(review):
    sample = SAMPLES[0]
    review.file_uploader[0].upload(sample.file.name, sample.file.read_bytes()).run()
    assert not review.exception
    assert expected(sample) in answer(review)


def test_bad_file_leaves_the_reading_as_it_was(review):
    sample = SAMPLES[0]
    review.button(key=f"welcome-{sample.name}").click().run()
    before = answer(review)
    review.file_uploader[0].upload("notes.png", b"these are notes, not a scan").run()
    assert not review.exception
    assert len(review.error) == 1
    assert "notes.png" in review.error[0].value
    assert "not an image" in review.error[0].value
    assert answer(review) == before
    assert any(sample.title in c.value for c in review.caption)
    # The samples are there once they are asked for.
    assert not [b for b in review.button if b.key.startswith("samples-")]
    review.session_state["samples-open"] = True
    review.run().button(key=f"samples-{sample.name}").click().run()
    assert not review.error


def test_enhancement_is_read_on_request(review):
    from pages.parts.readings import PLAIN, Enhancement

    review.button(key=f"welcome-{KNOWN.name}").click().run()
    assert "enhanced" not in answer(review)
    assert sent_to_viewer(review)[0]["enhancement"] == {"clipLimit": None, "change": None, "isRead": False}
    plain = sent_to_viewer(review)[0]["slices"][0]["scan"]
    review.session_state["memory"] = {"enhancement": Enhancement(change=-0.1)}
    review.run()
    assert not review.exception
    assert "Reading of the enhanced scan" in answer(review)
    assert any("As uploaded: " in m.value for m in review.markdown)
    (shares,) = (b.proto.body for b in review.get("html") if "<table" in b.proto.body)
    assert shares.count("<td>enhanced</td>") == shares.count("<td>as uploaded</td>") == len(CLASS_NAMES)
    (sent,) = sent_to_viewer(review)
    assert sent["enhancement"] == {"clipLimit": None, "change": -10, "isRead": True}
    # The browser changes the pixels, from those that were uploaded.
    assert sent["slices"][0]["scan"] == plain
    review.session_state["memory"] = {"enhancement": PLAIN}
    review.run()
    assert "enhanced" not in answer(review)


@pytest.mark.parametrize(
    ("wish", "read_with"),
    [
        ({"clipLimit": 2.5, "change": None, "isRead": True}, (2.5, None)),
        ({"clipLimit": 2.5, "change": 15, "isRead": False}, (None, None)),
        # A browser may send anything.
        ({"clipLimit": 1e9, "change": -1e9, "isRead": True}, (8.0, -0.5)),
    ],
)
def test_what_the_viewer_asks_for_is_kept_for_the_session(monkeypatch, wish, read_with):
    from pages.parts import enhancement

    state: dict = {"viewer": {"enhancement": wish}}
    monkeypatch.setattr(enhancement.st, "session_state", State(state))
    enhancement.take("viewer")
    assert tuple(state["memory"]["enhancement"]) == read_with


def test_a_map_is_shown_only_where_it_says_something():
    from brat.classes import CLASSES
    from brat.model.classifier import Prediction
    from brat.model.out_of_distribution import OodResult
    from pages.parts.class_map import first_map

    def read_as(*probabilities):
        return Prediction(np.array(probabilities), np.zeros((14, 14, 4)), np.zeros(1280), np.zeros(192))

    tumour = read_as(0.6, 0.2, 0.1, 0.1)
    none = read_as(0.05, 0.2, 0.05, 0.7)
    assert tumour.label == CLASSES[0]
    known, unlike = OodResult(0.5, True, ""), OodResult(1.5, False, "Unlike.")
    assert first_map(tumour, known) == first_map(tumour, None) == ("glioma", True)
    assert first_map(tumour, unlike) == ("glioma", False)
    assert first_map(none, known) == ("meningioma", False)


@pytest.mark.parametrize(("probability", "says"), [(0.69, True), (0.71, False)])
def test_an_unsure_answer_in_a_set_of_one_is_called_so(monkeypatch, probability, says):
    from types import SimpleNamespace

    from pages.parts import answer as part

    said = []
    monkeypatch.setattr(part.st, "markdown", said.append)
    monkeypatch.setattr(part.st, "session_state", State({"level": 0.95}))
    shown = SimpleNamespace(sets={0.95: ("glioma",)}, prediction=SimpleNamespace(confidence=probability))
    part._show_set(shown)
    assert any("below 70\u00a0%" in sentence for sentence in said) == says


def test_a_second_look_computes_nothing(review, monkeypatch):
    """Controls of the page and the same scan uploaded again are answered from the cache."""
    sample = SAMPLES[1]
    review.button(key=f"welcome-{sample.name}").click().run()

    def forbidden(*_args, **_kwargs):
        raise AssertionError("read again")

    monkeypatch.setattr(Classifier, "predict", forbidden)
    group(review, "level").set_value(0.99).run()
    review.file_uploader[0].upload(sample.file.name, sample.file.read_bytes()).run()
    assert not review.exception
    # And the guard does catch a scan that is new.
    pixels = np.zeros((80, 80), np.uint8)
    pixels[20:60, 20:60] = np.arange(40) * 5 + 20
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    review.file_uploader[0].upload("new.png", buffer.getvalue()).run()
    assert review.exception


def test_slow_methods_say_what_they_need(review, monkeypatch):
    monkeypatch.setattr("brat.model.explain.reference_available", lambda: False)
    review.button(key=f"welcome-{KNOWN.name}").click().run()
    group(review, "method").set_value("Score-CAM").run()
    assert not review.exception
    assert any("full installation" in i.value for i in review.info)


@pytest.fixture
def model_page(monkeypatch, tmp_path):
    """Opens the Model page on a copy of the files in `weights`, changed at will; keeps what it offers."""

    def opened(change_metrics, test_fold):
        folder = tmp_path / "weights"
        folder.mkdir()
        shutil.copy(WEIGHTS / "out_of_fold.csv", folder)
        metrics, card = (json.loads((WEIGHTS / n).read_text()) for n in ("metrics.json", "model_card.json"))
        change_metrics(metrics)
        card["test_fold"] = test_fold
        (folder / "metrics.json").write_text(json.dumps(metrics))
        (folder / "model_card.json").write_text(json.dumps(card))
        offered = {}
        offer = st.download_button

        def kept(label, data, file_name, *args, **kwargs):
            offered[file_name] = data
            return offer(label, data, file_name, *args, **kwargs)

        monkeypatch.setattr("brat.environment.WEIGHTS", folder)
        monkeypatch.setattr(st, "download_button", kept)
        # There is no model in the folder to make examples with.
        monkeypatch.setattr("pages.parts.trust.examples", lambda weights: None)
        page = entered("model.py").run()
        assert not page.exception
        return page, metrics, offered

    return opened


def said(page) -> str:
    """All text of the page."""
    return " ".join(block.value for kind in (page.markdown, page.caption, page.subheader) for block in kind)


def read_csv(data: bytes) -> list[dict]:
    """Rows of a CSV file, numbers as numbers."""

    def number(text):
        try:
            return float(text)
        except ValueError:
            return text

    rows = csv.DictReader(io.StringIO(data.decode()))
    return [{key: number(value) for key, value in row.items()} for row in rows]


def as_estimate(row: dict) -> dict:
    return {key: row[key] for key in ("value", "low", "high")}


def with_later_entries(metrics: dict) -> None:
    """What a report may hold besides: the counts and the curves of tumour or none, and more ways to map."""
    same_entry = metrics["protocols"]["same_source"]
    same = same_entry["metrics"]
    counts = {"tumor/tumor": 303, "tumor/no_tumor": 6, "no_tumor/tumor": 35, "no_tumor/no_tumor": 1209}
    for key, count in counts.items():
        same[f"confusion/{key}"] = {"value": count, "low": count - 5, "high": count + 5}
    cleaned = {**same, "confusion/no_tumor/tumor": {"value": 8, "low": 3, "high": 13}}
    without = {"slices": same_entry["slices"] - 42, "clusters": 400, "metrics": cleaned}
    same_entry["without_masses"] = without
    metrics["curves_same_source"] = {
        "roc": {"x": [0, 0.03, 1], "y": [0, 0.98, 1]},
        "precision_recall": {"x": [0, 0.98, 1], "y": [1, 0.9, 0.2]},
        "operating_point": {"sensitivity": 303 / 309, "specificity": 1209 / 1244},
    }
    half = {"value": 0.5, "low": 0.4, "high": 0.6}
    most = {"value": 0.75, "low": 0.6, "high": 0.9}
    metrics["maps"] = {
        "slices": 25,
        "methods": {
            "Grad-CAM": {"pointing": most, "energy": half},
            "Grad-CAM at 7 x 7": {"pointing": half, "energy": half, "slices": 1234},
        },
    }
    unseen = {"slices": 254, "metrics": {"accuracy": {"value": 0.777, "low": 0.7, "high": 0.8}}}
    three, localisation = (metrics["protocols"][name] for name in ("three_tumors", "localisation"))
    three["by_patient"] = {"slices": 233, "metrics": three["metrics"]}
    three["by_site"] = metrics["protocols"]["four_classes"]["by_site"]
    localisation["by_source"] = {"lgg": {"slices": 12, "metrics": localisation["metrics"]}}
    split = {"near_duplicates": 0.4, "epochs": 5, "same_slices_leak_free": unseen}
    metrics["protocols"]["random_split"] = {**metrics["protocols"]["four_classes"], **split}


def test_model_page_shows_what_was_measured():
    page = entered("model.py").run()
    assert not page.exception
    protocols = json.loads((WEIGHTS / "metrics.json").read_text())["protocols"]
    balanced = protocols["four_classes"]["metrics"]["balanced_accuracy"]["value"]
    assert f"{100 * balanced:.1f} %" in [m.value for m in page.metric]
    assert not any(word in said(page) for word in ("None", "nan", "not measured"))
    (overview,) = (t.value for t in page.table if "Macro F1" in t.value.columns)
    named = (("four_classes", "accuracy"), ("same_source", "auc"), ("random_split", "macro_f1"))
    for name, key in (pair for pair in named if pair[0] in protocols):
        value = protocols[name]["metrics"][key]["value"]
        row = overview.loc[TITLES[name]]
        assert row["Slices"] == f"{protocols[name]['slices']:,}"
        written = f"{100 * value:.1f}\u00a0%" if key == "accuracy" else f"{value:.3f}"
        assert row[MEASURES[key]].startswith(written)
    assert overview.loc["Four classes", "AUC"] == ""
    left = protocols["random_split"]["near_duplicates"]
    assert f"Near-duplicate in training: random split {100 * left:.1f}\u00a0%." in said(page)
    assert protocol_words.duplicates({}) == "Near-duplicate in training: kept out."
    # Maps are shown on the project's own samples.
    tumours = [sample for sample in SAMPLES if sample.label != "no_tumor"]
    assert len(page.get("image")) == 2 * len(tumours) > 0
    for sample in tumours:
        (caption,) = (c.value for c in page.caption if c.value.startswith(f"{sample.title}:"))
        assert f": **{expected(sample).lower()}** " in caption


def test_model_page_begins_with_another_hospital():
    page = entered("model.py").run()
    metrics = json.loads((WEIGHTS / "metrics.json").read_text())
    assert [tab.label for tab in page.tabs] == [
        *("Overview", "Trust", "Maps", "Robustness", "Protocols", "Data and audit", "Model card")
    ]
    measured = metrics["another_hospital"]["lgg"]["without"]["stacks_t1ce"]
    for name, metric in zip(("sensitivity", "specificity_brain"), page.metric, strict=False):
        assert metric.label.startswith("Another hospital: ")
        assert metric.value == f"{100 * measured['metrics'][name]['value']:.1f} %"
    # One sentence says what another hospital should expect, and what its own patients in training are worth.
    known = metrics["another_hospital"]["lgg"]["with"]["stacks_t1ce"]
    (there, here) = (
        [100 * of["metrics"][name]["value"] for name in ("sensitivity", "specificity_brain")]
        for of in (measured, known)
    )
    assert (
        f"(lgg, T1 after contrast) should expect {there[0]:.1f} % of tumour slices found and "
        f"{100 - there[1]:.1f} % of tumour-free brain slices called tumours; with its patients in training "
        f"{here[0]:.1f} % found and {100 - here[1]:.1f} % called so."
    ) in page.tabs[0].markdown[0].value.replace("\u00a0", " ")
    # The first tab holds matrix and curves, the others none of them.
    assert len(page.tabs[0].get("plotly_chart")) == 3
    assert [warning.value for warning in page.warning] == [
        metrics[key] for key in ("caveat",) if key in metrics
    ]


def test_model_page_of_one_fold(model_page):
    """What `brat evaluate` writes has none of the rest."""

    def reduce(metrics):
        for name in ("out_of_distribution", "curves", "calibration", "robustness", "maps", "audit"):
            metrics.pop(name, None)
        metrics["folds"] = [2]
        metrics["protocols"] = {"four_classes": metrics["protocols"]["four_classes"]}

    page, _, offered = model_page(reduce, test_fold=2)
    assert len(page.metric) == 4
    assert group(page, "protocol").options == ["Four classes"]
    assert "The model measured is the one that ships" in said(page)
    assert "sources.csv" in offered
    assert "robustness.csv" not in offered


def test_a_hospital_that_was_only_read_without_it_in_training_stands_on_the_page(model_page):
    """As `brat evaluate --source` leaves it."""

    def reduce(metrics):
        for entries in metrics["another_hospital"].values():
            del entries["with"]

    page, _, offered = model_page(reduce, test_fold=None)
    assert page.tabs[0].markdown[0].value.endswith("called tumours.")
    (single,) = (t.value for t in page.table if "Known" in t.value.columns)
    assert set(single["Known"]) == {"not measured"}
    assert {r["hospital"].rpartition(", ")[2] for r in read_csv(offered["single-slices.csv"])} == {"new"}


def test_which_model_ships():
    from pages.parts.protocols import which_model_ships

    assert "learned from all of them" in which_model_ships({"test_fold": None}, 5)
    assert "has not seen fold 3" in which_model_ships({"test_fold": 3}, 5)


def test_model_page_offers_every_number(model_page):
    """Every protocol can be chosen, and each CSV file is its part of metrics.json, unrounded."""
    page, metrics, offered = model_page(with_later_entries, test_fold=None)
    assert "learned from all of them" in said(page)
    assert "254 of the same slices score 77.7" in said(page)
    assert "Near-duplicate in training: random split 40.0" in said(page)
    for protocol in ("random_split", "three_tumors", "same_source"):
        group(page, "protocol").set_value(protocol).run()
        assert not page.exception
    assert "35 of 1,244" in said(page)
    group(page, "protocol").set_value("three_tumors").run()
    (published,) = (t.value for t in page.table if "This model, by patient" in t.value.index)
    assert published["Accuracy"].tolist()[2:] == ["94.8 %", "97.1 to 98.0 %"]
    assert "figshare, first hospital, glioma" in said(page)
    group(page, "protocol").set_value("same_source").run()
    assert "in 42 called free of tumours" in said(page)
    assert "27 of 35 false alarms" in said(page)
    assert f"sensitivity {100 * 303 / 309:.1f}\u00a0%, precision {100 * 303 / 338:.1f}" in said(page)

    rows = {name: read_csv(data) for name, data in offered.items() if name.endswith(".csv")}
    rows.pop("out_of_fold.csv")
    protocols, sets = metrics["protocols"], metrics["calibration"]["sets"]
    for r in rows.pop("protocols.csv"):
        assert as_estimate(r) == protocols[r["protocol"]]["metrics"][r["measure"]]
        assert r["slices"] == protocols[r["protocol"]]["slices"]
    for name in ("four_classes", "random_split", "same_source", "three_tumors"):
        found = protocols[name]["metrics"]
        counts = rows.pop(f"confusion-{name}.csv")
        assert len(counts) == sum(key.startswith("confusion/") for key in found)
        for r in counts:
            assert as_estimate(r) == found[f"confusion/{r['is']}/{r['read_as']}"]
        for r in rows.pop(f"classes-{name}.csv", []):
            assert as_estimate(r) == found[f"{r['measure']}/{r['class']}"]
    for r in rows.pop("measures-same_source.csv"):
        same = protocols["same_source"]
        of = same if r["protocol"] == "same_source" else same["without_masses"]
        assert as_estimate(r) == of["metrics"][r["measure"]]
    for file, kind, across, up in (
        ("roc", "roc", "false_positive_rate", "sensitivity"),
        ("precision-recall", "precision_recall", "recall", "precision"),
    ):
        for protocol, curves in {
            "four_classes": metrics["curves"],
            "same_source": {"tumor": metrics["curves_same_source"]},
            "random_split": metrics.get("curves_random_split", {}),
            "three_tumors": metrics.get("curves_three_tumors", {}),
        }.items():
            points = rows.pop(f"{file}-{protocol}.csv", [])
            assert {r["class"] for r in points} == set(curves)
            for name, curve in curves.items():
                of_class = [r for r in points if r["class"] == name]
                assert [r[across] for r in of_class] == curve[kind]["x"]
                assert [r[up] for r in of_class] == curve[kind]["y"]
    for r in rows.pop("sources.csv"):
        cell = protocols["four_classes"]["by_site"][r["source"]][r["class"]]
        assert as_estimate(r) == cell["metrics"]["sensitivity"]
        assert r["slices"] == cell["slices"]
    for when in ("before", "after"):
        bins = metrics["calibration"][when]["bins"]
        of_bins = [r for r in rows["reliability.csv"] if r["calibration"] == when]
        assert [r["share_right"] for r in of_bins] == [v for v in bins["accuracy"] if v is not None]
        assert [r["slices"] for r in of_bins] == [v for v in bins["count"] if v]
    del rows["reliability.csv"]
    for file in ("coverage.csv", "prediction-sets.csv"):
        for r in rows.pop(file):
            assert as_estimate(r) == sets[f"{r['level']:g}"][r["measure"]]
    assert rows.pop("out-of-distribution.csv") == [
        {"kind": kind, **o} for kind, o in metrics["out_of_distribution"]["others"].items()
    ]
    of = {"lgg, new": metrics["another_hospital"]["lgg"]["without"], "known": metrics["protocols"]}

    def measured(hospital, ending):
        """Title of a protocol without its ending -> its measures."""
        entries = of[hospital].values()
        return {e["title"].removesuffix(ending): e["metrics"] for e in entries if e["title"].endswith(ending)}

    stacks = rows.pop("stacks.csv")
    assert {(r["hospital"], r["sequence"]) for r in stacks} == {
        (hospital, sequence) for hospital in of for sequence in measured(hospital, ", whole stacks")
    }
    for r in stacks:
        assert as_estimate(r) == measured(r["hospital"], ", whole stacks")[r["sequence"]][r["measure"]]
    runs = rows.pop("whole-series.csv")
    assert len(runs) == sum(
        len(m) for hospital in of for m in measured(hospital, ", runs of slices").values()
    )
    for r in runs:
        rule = f"{r['measure']}/{r['slices_in_a_row']:g}/{r['least']:g}"
        assert as_estimate(r) == measured(r["hospital"], ", runs of slices")[r["sequence"]][rule]
    for r in rows.pop("contrast.csv"):
        assert as_estimate(r) == of[r["hospital"]]["contrast_pairs"]["metrics"][r["measure"]]
    for r in rows.pop("single-slices.csv"):
        source, word = r["hospital"].split(", ")
        entries = metrics["another_hospital"][source]["without" if word == "new" else "with"]
        assert as_estimate(r) == entries[r["protocol"]]["metrics"][r["measure"]]
    for r in rows.pop("sets-by-group.csv"):
        assert as_estimate(r) == metrics["calibration"]["sets_by_group"]["0.95"][r["group"]][r["measure"]]
    for r in rows.pop("refused-by-group.csv"):
        entry = metrics["out_of_distribution"]["refused_by_group"][r["group"]]
        assert as_estimate(r) == {key: entry[key] for key in ("value", "low", "high")}
    for r in rows.pop("by-patient.csv"):
        of = {"slice": protocols["three_tumors"], "patient": protocols["three_tumors"]["by_patient"]}[
            r["of"].rpartition(" ")[2]
        ]
        assert as_estimate(r) == of["metrics"][r["measure"]]
        assert r["number"] == of["slices"]
    for r in rows.pop("maps-by-source.csv"):
        entry = protocols["localisation"]["by_source"][r["source"]]
        assert as_estimate(r) == entry["metrics"][r["measure"]]
        assert r["slices"] == entry["slices"]
    for r in rows.pop("maps.csv"):
        assert as_estimate(r) == metrics["maps"]["methods"][r["method"]][r["measure"]]
    for r in rows.pop("robustness.csv"):
        change = metrics["robustness"]["changes"][r["change"]]
        assert as_estimate(r) == change["accuracy"][change["levels"].index(r["level"])]
    nearest = rows.pop("nearest-images.csv")
    assert [r["images"] for r in nearest] == metrics["audit"]["nearest"]["counts"]
    for title, matrix in {
        "collections": metrics["audit"]["collections"],
        **metrics["audit"]["splits"],
    }.items():
        for r in rows.pop(f"near-duplicates-{title}.csv"):
            i, j = matrix["of"].index(r["of"]), matrix["of"].index(r["with_near_duplicate_in"])
            assert (r["exact"], r["near"]) == (matrix["exact"][i][j], matrix["near"][i][j])
    for quantity in ("loss", "accuracy"):
        of_epochs = rows.pop(f"training-{quantity}.csv")
        assert [r[quantity] for r in of_epochs] == [epoch[quantity] for epoch in metrics["history"]]
    # Nothing is offered that was not compared.
    assert not rows
    assert json.loads(offered["metrics.json"]) == metrics
    assert offered["out_of_fold.csv"] == (WEIGHTS / "out_of_fold.csv").read_bytes()


def without(folder, name):
    """Take a file away as if the model never had it: its manifest does not list it either."""
    (folder / name).unlink()
    write_manifest(folder, [listed for listed in READ_WITH if listed != name])


@pytest.mark.parametrize("file", ["model.tflite", "calibration.json", "out_of_distribution.npz"])
def test_a_damaged_model_is_said_on_every_page_and_never_read(monkeypatch, tmp_path, fresh_caches, file):
    folder = model_folder(tmp_path / "weights", READ_WITH)
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)
    monkeypatch.setattr("brat.environment.WEIGHTS", folder)
    monkeypatch.setattr("pages.parts.readings.Reader", lambda *_: Reader(folder))
    monkeypatch.setattr("pages.parts.worklist_intake.Readers", lambda: Readers(folder))
    monkeypatch.setattr("pages.parts.series.Readers", lambda _: Readers(folder))
    logged = []
    monkeypatch.setattr("brat.log.failure", lambda *event, **_: logged.append(event[0]) or "0123abcd")
    says = re.escape(file) + " in .* is damaged.*0123abcd"
    for name in ("review.py", "worklist.py", "model.py", "about.py"):
        page = entered(name).run()
        assert not page.exception
        assert re.search(says, page.error[0].value)
        assert page.title[0].value
    assert logged == ["model"] * 4

    review = entered("review.py").run()
    review.button(key=f"welcome-{KNOWN.name}").click().run()
    assert not review.exception
    assert re.search(says, review.error[0].value)
    assert review.get("imgs") or review.get("image")
    assert not answer(review)
    assert not review.get("button_group")
    review.file_uploader[0].upload("volume.nii", volume()).run()
    assert not review.exception
    assert re.search(says, review.error[0].value)
    assert not sent_to_viewer(review)

    # To the harness this page and the one above are one visitor's.
    st.cache_resource.clear()
    worklist = entered("worklist.py").run()
    files = [(sample.file.name, sample.file.read_bytes(), "") for sample in (KNOWN, SAMPLES[0])]
    worklist.file_uploader[0].set_value(files).run()
    worklist.session_state["worklist"].wait()
    worklist.run()
    assert not worklist.exception
    assert re.search(says, worklist.error[0].value)
    rows = worklist.session_state["worklist"].rows()
    assert [bool(re.search("is damaged", row.problem)) for row in rows] == [True, True]
    assert not any(row.label for row in rows)


def test_damaged_figures_are_said_and_end_no_page(monkeypatch, tmp_path):
    folder = model_folder(tmp_path / "weights", READ_WITH)
    for name in ("metrics.json", "model_card.json"):
        (folder / name).write_bytes((WEIGHTS / name).read_bytes()[:-3])
    monkeypatch.setattr("brat.environment.WEIGHTS", folder)
    for name in ("model.py", "about.py"):
        page = entered(name).run()
        assert not page.exception
        for file in ("metrics.json", "model_card.json"):
            assert any(file in info.value and "is damaged" in info.value for info in page.info)


@pytest.mark.parametrize(
    ("gone", "says"),
    [
        ("metrics.json", "How good this model is was not measured"),
        ("model_card.json", "What this model learned from is not said"),
        ("calibration.json", "there are no prediction sets"),
        ("out_of_distribution.npz", "It reads every picture"),
        ("out_of_fold.csv", "cannot be downloaded"),
    ],
)
def test_model_and_about_say_which_file_is_missing_and_show_the_rest(monkeypatch, tmp_path, gone, says):
    folder = tmp_path / "weights"
    shutil.copytree(WEIGHTS, folder, ignore=shutil.ignore_patterns("*.keras"))
    monkeypatch.setattr("brat.environment.WEIGHTS", folder)
    for name in ("model.py", "about.py"):
        assert not entered(name).run().info
    without(folder, gone)
    model, about = entered("model.py").run(), entered("about.py").run()
    for page in (model, about):
        assert not page.exception
        assert [says in info.value for info in page.info] == [True]
        assert gone in page.info[0].value
    assert ("Model card" in [header.value for header in model.header]) == (gone != "model_card.json")
    assert bool(model.metric) == (gone != "metrics.json")
    # The samples are read all the same.
    assert model.get("image")
    assert any("### The map" in block.value for block in about.markdown)


@pytest.mark.parametrize("gone", ["calibration.json", "out_of_distribution.npz"])
def test_review_says_what_the_model_lacks(monkeypatch, tmp_path, gone):
    folder = tmp_path / "weights"
    shutil.copytree(WEIGHTS, folder, ignore=shutil.ignore_patterns("*.keras"))
    without(folder, gone)
    bare = Reader(folder)
    monkeypatch.setattr("pages.parts.readings.reader", lambda *_: bare)
    st.cache_resource.clear()
    page = entered("review.py").run()
    page.button(key=f"welcome-{KNOWN.name}").click().run()
    assert not page.exception
    captions = " ".join(caption.value for caption in page.caption)
    assert ("not calibrated" in captions) == (gone == "calibration.json")
    assert ("was not checked" in captions) == (gone == "out_of_distribution.npz")
    st.cache_resource.clear()


def test_about_page_says_what_it_is_not():
    page = entered("about.py").run()
    assert not page.exception
    assert "not a medical device" in page.warning[0].value
    for sample in (*SAMPLES, *load_sample_series()):
        (listed,) = (m.value for m in page.markdown if f"**{sample.title}.**" in m.value)
        assert sample.origin in listed
        assert sample.licence in listed


def test_about_page_names_what_the_model_learned_from_and_the_switch_that_reads_the_enhanced_scan():
    page = entered("about.py").run()
    text = " ".join(" ".join(block.value.split()) for block in page.markdown)
    sources = json.loads((WEIGHTS / "model_card.json").read_text())["sources"]
    number = {3: "three", 4: "four", 5: "five", 6: "six"}[len(sources)]
    assert f"Trained on {number} public collections" in text
    for source in sources:
        # "Bhuvaji et al.", "The Cancer Genome Atlas".
        title = SOURCES[source].title.removeprefix("Multiple sclerosis: ")
        author = re.split(",|:| et al| low-grade", title)[0]
        assert author in text, source
    # As the viewer calls it.
    assert ">Read enhanced<" in (ROOT / "pages" / "viewer" / "viewer.html").read_text(encoding="utf-8")
    assert "*Read enhanced*" in text


def test_app_navigates_to_every_page():
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    assert not app.exception
    assert app.button


def test_other_pictures_are_refused_until_asked_for(review):
    draw = np.random.default_rng(0)
    buffer = io.BytesIO()
    Image.fromarray(draw.integers(0, 256, (200, 200), dtype=np.uint8)).save(buffer, "PNG")
    review.file_uploader[0].upload("noise.png", buffer.getvalue()).run()
    assert not review.exception
    assert not answer(review)
    assert "Not a slice like those" in review.warning[0].value
    # What fails beside it promises no reading, either.
    review.file_uploader[0].upload("empty.png", b"").run()
    assert review.error[0].value.endswith("What is shown below is still `noise.png`.")
    anyway = next(t for t in review.toggle if t.key.startswith("anyway"))
    anyway.set_value(True).run()
    assert "of an unknown kind of picture" in answer(review)
    assert review.warning


def test_the_prediction_set_grows_with_its_certainty(review):
    review.button(key=f"welcome-{KNOWN.name}").click().run()
    reading = Reader().read(read_scan(KNOWN.file).gray)
    for level in (0.9, 0.99):
        group(review, "level").set_value(level).run()
        names = [CLASS_NAMES[name].lower() for name in reading.sets[level]]
        (said,) = (m.value.lower() for m in review.markdown if "set:**" in m.value)
        assert said.endswith(f"set:** {' or '.join(names) or 'no class'}")
        assert ("Refer this scan" in " ".join(m.value for m in review.markdown)) == (len(names) not in (1, 2))


def test_another_window_makes_another_reading(review):
    review.file_uploader[0].upload("scan.dcm", known_dicom()).run()
    before = answer(review)
    digest = read_scan(known_dicom()).digest
    review.radio(key=f"preset-{digest}").set_value(-1).run()
    assert answer(review) == before
    width = review.number_input(key=f"width-{digest}")
    width.set_value(width.value / 8).run()
    assert not review.exception
    assert answer(review) != before
    assert any("no longer as it was exported" in caption.value for caption in review.caption)
    review.radio(key=f"preset-{digest}").set_value(0).run()
    assert answer(review) == before


def test_a_drop_that_is_told_of_twice_is_taken_once(review, monkeypatch):
    """As Streamlit does where the run after a drop was cut short."""
    from pages.parts import open_scan

    taken = []
    monkeypatch.setattr(open_scan, "open_item", lambda item: taken.append(item.name))
    first = review.file_uploader[0].upload("one.png", SAMPLES[0].file.read_bytes())
    key = first.key
    review.run()
    assert not review.exception
    assert review.file_uploader[0].key != key

    class Upload:
        name, file_id = "one.png", "1"

        def getvalue(self):
            return SAMPLES[0].file.read_bytes()

    state = {"old": [Upload()], "uploads": 1}
    monkeypatch.setattr(open_scan.st, "session_state", State(state))
    open_scan.take_upload("old")
    open_scan.take_upload("old")
    assert open_scan.arrived() == ["one.png"]
    open_scan.open_arrived()
    assert not open_scan.arrived()
    assert taken == ["one.png", "one.png"]
    assert state["uploads"] == 2


@pytest.mark.parametrize("name", ["review.py", "worklist.py"])
def test_what_was_taken_is_not_kept_by_streamlit_too(name, monkeypatch):
    """It would keep every drop as long as the session lasts."""
    managers = []

    class Manager(MemoryUploadedFileManager):
        def __init__(self, *args):
            super().__init__(*args)
            self.came = 0
            managers.append(self)

        def add_file(self, session_id, file):
            super().add_file(session_id, file)
            self.came += len(file.data)

    monkeypatch.setattr("streamlit.testing.v1.local_script_runner.MemoryUploadedFileManager", Manager)
    page = entered(name).run()
    data = SAMPLES[0].file.read_bytes()
    page.file_uploader[0].upload("one.png", data)
    page.run()
    assert not page.exception
    assert sum(manager.came for manager in managers) >= len(data)
    assert not any(files for manager in managers for files in manager.file_storage.values())


def test_what_is_to_be_known_stands_beside_the_answer(review):
    gray = read_scan(KNOWN.file).gray.astype(np.uint16) * 8
    rows, columns = gray.shape
    shown = {"Rows": rows, "Columns": columns, "BodyPartExamined": "KNEE", "WindowCenter": 60000}
    data = [slice_of(n, PixelData=(gray + n).tobytes(), **shown) for n in range(2)]
    review.file_uploader[0].upload("one.dcm", data[0]).run()
    (told,) = review.warning
    assert "shows a knee" in told.value
    assert "Under the window in the header" in told.value
    review.file_uploader[0].set_value(
        [("a.dcm", data[0], ""), ("b.dcm", data[1], ""), ("c_.dcm", data[1], "")]
    )
    review.run()
    assert not review.exception
    told = next(warning.value for warning in review.warning if "copy" in warning.value)
    assert "1 file is a copy of another" in told
    assert "Left out as copies: `c_.dcm`." in told


def test_page_of_several_slices_goes_to_the_worklist_and_its_panels_open(monkeypatch):
    from brat.io.files import File
    from brat.io.intake import Item
    from pages.parts import open_scan

    page = png(page_of([synthetic_head(200, 200, seed=seed) for seed in range(4)], 2))
    state: dict = {}
    monkeypatch.setattr(open_scan.st, "session_state", State(state))
    open_scan.open_item(Item("page.png", (File("page.png", page),)))
    assert "scan" not in state
    items = state.pop("handed_over")
    assert [item.part.number for item in items] == [1, 2, 3, 4]
    open_scan.open_item(items[2])
    assert state["scan"].name == "page.png, panel 3 of 4"
    assert state["data"] is None
    assert max(state["scan"].gray.shape) < 220


class State(dict):
    """As `st.session_state`: by item and by attribute, of the dictionary that it is given."""

    def __init__(self, held):
        super().__init__()
        self.__dict__["held"] = held

    def __getitem__(self, name):
        return self.held[name]

    def __getattr__(self, name):
        return self.held[name]

    def __setattr__(self, name, value):
        self.held[name] = value

    __setitem__ = __setattr__

    def get(self, name, value=None):
        return self.held.get(name, value)

    def setdefault(self, name, value):
        return self.held.setdefault(name, value)


def test_model_page_shows_series_and_contrast_of_another_hospital(model_page):
    def add(metrics):
        measured = metrics["another_hospital"]["lgg"]["without"]
        entry = measured["series_t1ce"]
        rule = f"{series_rule.LENGTH}/{series_rule.LEAST}"
        entry["metrics"][f"found/{rule}"] = {"value": 0.875, "low": 0.8, "high": 0.9}
        entry["metrics"][f"false_runs/{rule}"] = {"value": 0.125, "low": 0.1, "high": 0.2}
        rate = {"value": 0.345, "low": 0.3, "high": 0.4}
        measured["contrast_pairs"]["metrics"]["specificity_after"] = rate

    page, _, _ = model_page(add, test_fold=None)
    (series,) = (t.value for t in page.table if "False runs a patient" in t.value.columns)
    row = series[(series.index == "lgg, new") & (series["Sequence"] == "T1 after contrast")].iloc[0]
    assert row["Patients found"] == "87.5\u00a0% (80.0\u00a0to\u00a090.0)"
    assert row["False runs a patient"] == "0.12 (0.10\u00a0to\u00a00.20)"
    (contrast,) = (t.value for t in page.table if "Before" in t.value.columns)
    assert contrast.loc["lgg, new", "After"].startswith("34.5\u00a0%")
    # The rule that is shown is the one that Review uses.

    assert "2 slices in a row, averaged with their neighbours, at 55\u00a0% or more" in said(page)


def test_most_refused_groups_are_named():
    refused = {
        f"ms/{name}": {"value": part}
        for name, part in (("t1", 0.1), ("t2", 0.3), ("flair", 0.2), ("t1ce", 0.0))
    }
    said = trust_words.refused_by_group(refused).replace("\u00a0", " ")
    assert said == "Heads refused most: ms, T2 30.0 %, ms, FLAIR 20.0 %, ms, T1 10.0 %."


def test_model_page_shows_collections_without_stacks_new_and_known(model_page):
    def add(metrics):
        measured = metrics["another_hospital"]["br35h"]
        measured["without"]["four_classes"]["metrics"]["accuracy"] = {"value": 0.875, "low": 0.8, "high": 0.9}
        measured["with"]["four_classes"]["metrics"]["accuracy"] = {"value": 0.95, "low": 0.9, "high": 0.98}

    page, _, _ = model_page(add, test_fold=None)
    (shown,) = (t.value for t in page.table if "Known" in t.value.columns)
    assert shown.loc["br35h", "New"] == "87.5\u00a0% (80.0\u00a0to\u00a090.0)"
    assert shown.loc["br35h", "Known"] == "95.0\u00a0% (90.0\u00a0to\u00a098.0)"
    # Of those with stacks there are tables of their own.
    assert "lgg" not in shown.index


def test_model_page_without_another_hospital_begins_at_home(model_page):
    page, _, _ = model_page(lambda metrics: metrics.pop("another_hospital"), test_fold=None)
    assert page.metric[0].label == "Four classes: balanced accuracy"
    assert "Another hospital" not in said(page)


@pytest.mark.parametrize(
    ("bare", "said"),
    [
        (None, "Refused: 0.5 % (0.4 to 0.7) of 9,789 slices, **98.0 %** of"),
        (
            {"value": 0.004, "low": 0.0, "high": 0.009, "slices": 769},
            "0.4 % (0.0 to 0.9) of 769 without their skull,",
        ),
    ],
)
def test_slices_without_their_skull_are_named_where_they_were_measured(bare, said):
    refused = {"value": 0.005, "low": 0.004, "high": 0.007}
    assert said in trust_words.out_of_distribution(9789, refused, bare, 687, 0.98, []).replace("\u00a0", " ")
