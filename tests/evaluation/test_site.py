"""What is measured at a site: figures, intervals, differences, a recalibration, two models side by side."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from statistics import NormalDist
from types import SimpleNamespace

import numpy as np
import pytest

from brat.classes import CLASSES
from brat.cli import main
from brat.data.labelled import LabelledFile, labelled, read_table
from brat.data.near_duplicates import HASH_BITS, hashes, is_known, thumbnail
from brat.data.trained_on import read_hashes
from brat.environment import WEIGHTS
from brat.evaluation import metrics, site, site_readings
from brat.evaluation.fit_out_of_distribution import REFUSED
from brat.evaluation.reliability import surprises
from brat.evaluation.site import compare, measure, side_by_side, validate
from brat.evaluation.site_readings import ModelOutputs, read_site, verdicts
from brat.io import workers
from brat.io.files import File
from brat.io.folders import Skipped
from brat.io.read import read_scan
from brat.io.samples import load_samples
from brat.model.files import CALIBRATION, TRAINED_ON, ModelError, ModelFolder, write_manifest
from brat.model.reader import Reader
from brat.reports import validation as words
from brat.reports.validation import points, remarks, two_models
from tests.factories.calibration import honest
from tests.factories.files import slice_of
from tests.factories.heads import synthetic_head
from tests.factories.pages import png
from tests.factories.site import SHIPPED, readings_of, sure
from tests.factories.weights import READ_WITH, model_folder

FITTED_TO = {"model.tflite": "0" * 64}

HEADS = [synthetic_head(128, 128, seed=seed) for seed in range(6)]


@pytest.fixture(scope="module")
def reader():
    return Reader(as_shipped=True)


@pytest.fixture(autouse=True)
def _fast_and_patient(monkeypatch):
    monkeypatch.setattr(metrics, "RESAMPLES", 60)
    # A machine that is busy with other tests needs long to start the processes that read files.
    monkeypatch.setattr(workers, "SECONDS", 300)
    monkeypatch.setattr(site, "_FLIPS", 400)


def test_figures_are_those_of_the_confusion_matrix(reader):
    truth = ["glioma"] * 4 + ["meningioma"] * 2 + ["pituitary"] * 2 + ["no_tumor"] * 4
    read = (
        ["glioma"] * 3 + ["no_tumor"] + ["meningioma"] * 2 + ["pituitary"] * 2 + ["no_tumor"] * 3 + ["glioma"]
    )
    results = measure(readings_of(sure(read), truth), reader, SHIPPED).results
    four, two = (results["protocols"][name]["metrics"] for name in ("four_classes", "tumor_or_none"))
    assert four["accuracy"]["value"] == pytest.approx(10 / 12)
    assert four["balanced_accuracy"]["value"] == pytest.approx((0.75 + 1 + 1 + 0.75) / 4)
    assert two["sensitivity"]["value"] == pytest.approx(7 / 8)
    assert two["specificity"]["value"] == pytest.approx(3 / 4)
    assert four["confusion/glioma/no_tumor"]["value"] == 1
    assert results["clusters"] == 12
    assert json.loads(json.dumps(results, allow_nan=False)) == results


def test_tumour_or_none_needs_no_classes(reader):
    results = measure(
        readings_of(sure(["glioma", "pituitary", "no_tumor"]), ["", "", "no_tumor"]), reader, SHIPPED
    )
    assert set(results.results["protocols"]) == {"tumor_or_none"}
    assert "calibration" not in results.results
    assert set(results.results["comparison"]["measures"]) == {"sensitivity", "specificity", "auc"}
    assert results.rows[0]["label"] == "tumor"


def test_an_interval_has_some_width_where_all_are_right(reader):
    truth = ["glioma"] * 10 + ["no_tumor"] * 10
    entry = measure(readings_of(sure(truth), truth), reader, None).results["protocols"]["tumor_or_none"]
    low = entry["metrics"]["sensitivity"]["low"]
    # Ten of ten: the exact interval begins at 69.15 %.
    assert low == pytest.approx(0.6915, abs=1e-4)
    assert entry["metrics"]["auc"]["low"] == pytest.approx(0.6915, abs=1e-4)
    wrong = measure(readings_of(sure(["no_tumor"] * 10 + ["glioma"] * 10), truth), reader, None)
    assert wrong.results["protocols"]["tumor_or_none"]["metrics"]["sensitivity"] == pytest.approx(
        {"value": 0.0, "low": 0.0, "high": 1 - 0.6915}, abs=1e-4
    )


def test_the_interval_of_a_mean_over_classes_has_some_width_too(reader):
    truth = [name for name in CLASSES for _ in range(10)]
    (right, wrong) = (
        measure(readings_of(sure(read), truth), reader, SHIPPED).results["protocols"]["four_classes"][
            "metrics"
        ]
        for read in (truth, truth[::-1])
    )
    # Ten of ten in each of four: the mean lies half as far from the end as one of them.
    assert right["balanced_accuracy"] == pytest.approx(
        {"value": 1.0, "low": 1 - (1 - 0.6915) / 2, "high": 1.0}, abs=1e-4
    )
    assert wrong["balanced_accuracy"] == pytest.approx(
        {"value": 0.0, "low": 0.0, "high": (1 - 0.6915) / 2}, abs=1e-4
    )


def test_slices_of_a_patient_are_resampled_together(reader):
    truth = ["glioma"] * 20 + ["no_tumor"] * 20
    read = ["glioma"] * 15 + ["no_tumor"] * 25
    alone = measure(readings_of(sure(read), truth), reader, None).results
    four = measure(
        readings_of(sure(read), truth, clusters=[f"patient-{n // 5:05d}" for n in range(40)]), reader, None
    ).results
    width = [
        r["protocols"]["tumor_or_none"]["metrics"]["sensitivity"]["high"]
        - r["protocols"]["tumor_or_none"]["metrics"]["sensitivity"]["low"]
        for r in (alone, four)
    ]
    assert four["clusters"] == 8
    assert width[1] > 1.3 * width[0]


def test_enough_is_counted_in_patients(reader):
    truth = ["glioma"] * 200 + ["no_tumor"] * 200
    of_slices = readings_of(sure(truth), truth)
    assert measure(of_slices, reader, None).results["enough"]["is_enough"]
    by_patient = readings_of(sure(truth), truth, clusters=[f"patient-{n // 4:05d}" for n in range(400)])
    told = measure(by_patient, reader, None).results["enough"]
    assert told == {"least": 100, "tumor": 50, "no_tumor": 50, "is_enough": False}


@pytest.mark.parametrize(
    ("tumor", "none", "is_enough"), [(100, 100, True), (99, 100, False), (100, 99, False)]
)
def test_a_hundred_with_a_tumour_and_as_many_without_are_enough(tumor, none, is_enough):
    truth = ["glioma"] * tumor + ["no_tumor"] * none
    assert site._enough(readings_of(sure(truth), truth))["is_enough"] is is_enough


def test_figures_of_another_model_are_not_compared(reader):
    truth = ["glioma", "no_tumor"]
    results = measure(readings_of(sure(truth), truth), reader, SHIPPED | {"model_sha256": "0" * 64}).results
    assert "comparison" not in results


def test_every_reason_for_leaving_files_out_is_counted_as_its_own(reader):
    reasons = {
        "damaged": "not_read",
        site_readings.COPY: "copies",
        site_readings.TWO_LABELS: "two_labels",
        site_readings.NEAR: "near_training",
        site_readings.ANOTHER_CALIBRATION: "other_calibration",
        site_readings.UNSURE_OF: "unsure",
        site_readings.SEVERAL_SEEN: "contested",
    }
    left_out = [Skipped("a.png", reason) for n, reason in enumerate(reasons, 1) for _ in range(n)]
    truth = ["glioma", "no_tumor"]
    results = measure(readings_of(sure(truth), truth, left_out=left_out), reader, None).results
    assert results["left_out"] == {kind: n for n, kind in enumerate(reasons.values(), 1)}


def estimated(value, half):
    return {"value": value, "low": value - half, "high": value + half}


def test_the_difference_is_tested_and_adjusted():
    entry = {"slices": 100, "clusters": 50}
    here = {
        "tumor_or_none": {
            "metrics": {"sensitivity": estimated(0.8, 0.049), "specificity": estimated(0.9, 0.049)}
        }
    }
    there = {
        "same_source": {
            **entry,
            "metrics": {"sensitivity": estimated(0.9, 0.049), "specificity": estimated(0.9, 0.049)},
        }
    }
    measures = compare(here, there)["measures"]
    # Standard errors of 0.025 a side: z = -0.1 / 0.0354 = -2.83, P = 0.0047, twice by Holm.
    assert measures["sensitivity"]["p"] == pytest.approx(2 * 0.00468, abs=2e-4)
    assert measures["sensitivity"]["difference"] == pytest.approx(
        {"value": -0.1, "low": -0.1 - 0.0693, "high": -0.1 + 0.0693}, abs=1e-3
    )
    assert measures["specificity"]["p"] == 1
    here["tumor_or_none"]["metrics"]["sensitivity"] = estimated(0.8, 0)
    assert compare(here, there)["measures"]["sensitivity"]["p"] is None


def test_p_is_adjusted_by_holms_method():
    def adjusted(**differences):
        here = {name: estimated(0.8 - by, 0.049) for name, by in differences.items()}
        there = dict.fromkeys(differences, estimated(0.8, 0.049))
        entry = {"slices": 9, "clusters": 9, "metrics": there}
        compared = compare({"tumor_or_none": {"metrics": here}}, {"same_source": entry})["measures"]
        return [compared[name]["p"] for name in differences]

    def alone(by):
        return 2 * NormalDist().cdf(-1.96 * by / np.hypot(0.049, 0.049))

    in_order = adjusted(sensitivity=0.1, specificity=0.08, auc=0.06)
    assert in_order == pytest.approx([3 * alone(0.1), 2 * alone(0.08), alone(0.06)])
    # None is smaller than that of a difference which is likelier to be one.
    assert adjusted(sensitivity=0.098, specificity=0.1, auc=0.099) == pytest.approx([3 * alone(0.1)] * 3)
    assert adjusted(sensitivity=0.001, specificity=0.001) == [1, 1]


def test_the_test_says_what_the_interval_says_at_the_end_of_a_scale():
    """All of 34 are right: the interval has 10 points below and none above."""
    all_right, shipped = (
        {"value": 1.0, "low": 0.897, "high": 1.0},
        {"value": 0.9, "low": 0.876, "high": 0.921},
    )
    for here, there in ((all_right, shipped), (shipped, all_right)):
        measured = compare(
            {"tumor_or_none": {"metrics": {"sensitivity": here, "specificity": here}}},
            {"same_source": {"slices": 9, "clusters": 9, "metrics": dict.fromkeys(("sensitivity",), there)}},
        )["measures"]["sensitivity"]
        low, high = measured["difference"]["low"], measured["difference"]["high"]
        assert low < 0 < high
        # 1.96 * 0.1 / hypot(0.103, 0.021) = 1.865.
        assert measured["p"] == pytest.approx(0.0622, abs=1e-3)


def test_the_test_looks_at_the_side_that_faces_no_difference():
    here, there = {"value": 0.5, "low": 0.45, "high": 0.8}, {"value": 0.4, "low": 0.38, "high": 0.42}
    measured = site._difference(here, there, {"slices": 9, "clusters": 9})
    assert measured["p"] == pytest.approx(2 * NormalDist().cdf(-1.96 * 0.1 / np.hypot(0.05, 0.02)))


def test_no_difference_is_beyond_all_or_nothing():
    """Of a few slices, all wrong, beside a figure that is nearly one."""
    names = ("sensitivity", "specificity")
    none, nearly = {"value": 0.0, "low": 0.0, "high": 0.6}, {"value": 0.95, "low": 0.9, "high": 0.98}
    here = {"tumor_or_none": {"metrics": dict.fromkeys(names, none)}}
    there = {"same_source": {"slices": 100, "clusters": 50, "metrics": dict.fromkeys(names, nearly)}}
    measured = compare(here, there)["measures"]["sensitivity"]["difference"]
    # Newcombe's method 10: 0.6 above and 0.05 on the other side; 0 below and 0.03.
    assert measured == pytest.approx({"value": -0.95, "low": -0.98, "high": -0.95 + np.hypot(0.6, 0.05)})


def test_a_mean_over_fewer_classes_is_not_compared(reader):
    truth = ["glioma", "no_tumor", "glioma", "no_tumor"]
    compared = measure(readings_of(sure(truth), truth), reader, SHIPPED).results["comparison"]["measures"]
    assert set(compared) == {"recall/glioma", "recall/no_tumor", "sensitivity", "specificity", "auc"}
    truth = [*CLASSES] * 2
    compared = measure(readings_of(sure(truth), truth), reader, SHIPPED).results["comparison"]["measures"]
    assert {"accuracy", "balanced_accuracy", *(f"recall/{name}" for name in CLASSES)} < set(compared)


def test_what_is_never_seen_may_still_happen(reader):
    truth = [name for name in CLASSES for _ in range(5)]
    results = measure(readings_of(sure(truth), truth), reader, None).results
    check = results["out_of_distribution"]["metrics"]
    # None of twenty: the exact interval ends at 16.84 %.
    assert check["refused"] == pytest.approx({"value": 0.0, "low": 0.0, "high": 0.1684}, abs=1e-4)
    assert check["right_kept"]["low"] == pytest.approx(1 - 0.1684, abs=1e-4)
    assert results["sets"]["0.95"]["coverage"]["low"] == pytest.approx(1 - 0.1684, abs=1e-4)


def test_what_is_kept_is_measured_on_the_patients_who_are_kept(reader):
    truth = ["glioma"] * 10 + ["no_tumor"] * 10
    readings = readings_of(sure(truth), truth, [1] * 5 + [-1] * 15)
    # A second model, whose check refuses all, has no part in it.
    readings = replace(readings, outputs=[*readings.outputs, ModelOutputs(sure(truth), np.full(20, 1.0))])
    check = measure(readings, reader, None).results["out_of_distribution"]["metrics"]
    assert check["refused"]["value"] == 0.25
    assert check["right"]["low"] == pytest.approx(0.025 ** (1 / 20))
    assert check["right_kept"]["low"] == pytest.approx(0.025 ** (1 / 15))


def test_what_the_check_costs(reader):
    truth = ["glioma"] * 4 + ["no_tumor"] * 4
    read = ["glioma"] * 3 + ["no_tumor"] * 5
    refused = [1, -1, -1, 1, -1, -1, -1, 1]
    check = measure(readings_of(sure(read), truth, refused), reader, None).results["out_of_distribution"]
    assert check["counts"] == {"refused": 3, "right_withheld": 2, "wrong_withheld": 1}
    assert check["metrics"]["right"]["value"] == pytest.approx(7 / 8)
    withheld = [check["metrics"][f"{name}_withheld"]["value"] for name in ("right", "wrong")]
    assert withheld == pytest.approx([2 / 8, 1 / 8])
    assert check["metrics"]["right_kept"]["value"] == 1


class TestRecalibration:
    def measured(self, reader, logits, labels, decisions=None, **changes):
        named = [CLASSES[k] for k in labels]
        readings = readings_of(logits, named, decisions, **changes)
        return measure(readings, reader, None, "St. Elsewhere", FITTED_TO)

    def test_finds_the_temperature_and_helps_on_slices_it_was_not_fitted_to(self, reader):
        logits, labels = honest(700)
        measured = self.measured(reader, 3 * logits, labels)
        found = measured.results["recalibration"]
        assert measured.recalibration.calibration.temperature == pytest.approx(3, rel=0.2)
        assert found["gain"]["low"] > 0
        assert found["calibration"]["ece"]["value"] < measured.results["calibration"]["ece"]["value"]
        assert found["sets"]["0.95"]["coverage"]["value"] == pytest.approx(0.95, abs=0.04)
        assert measured.recalibration.site == "St. Elsewhere"
        assert measured.recalibration.slices == 700
        assert measured.recalibration.fitted_to == FITTED_TO
        assert measured.recalibration.limit is None

    def test_no_patient_is_judged_by_what_was_fitted_to_it(self, reader, monkeypatch):
        seen = []
        fit = site.cross_fitted_sets

        def spy(logits, labels, folds):
            seen.append(folds)
            return fit(logits, labels, folds)

        monkeypatch.setattr(site, "cross_fitted_sets", spy)
        logits, labels = honest(400)
        clusters = [f"patient-{n // 2:05d}" for n in range(400)]
        self.measured(reader, logits, labels, clusters=clusters)
        (folds,) = seen
        assert len(set(folds)) == 5
        assert (folds[::2] == folds[1::2]).all()

    def test_takes_enough_of_each_class(self, reader):
        logits, labels = honest(300)
        keep = np.concatenate([np.flatnonzero(labels != 2), np.flatnonzero(labels == 2)[:19]])
        measured = self.measured(reader, logits[keep], labels[keep])
        assert measured.recalibration is None
        assert measured.results["recalibration"] == {"least": 20, "fewest": 19}

    def test_enough_of_a_class_is_counted_in_patients(self, reader):
        logits, labels = honest(300)
        rows = np.concatenate([np.flatnonzero(labels == number)[:40] for number in range(4)])
        for patients, is_fitted in ((19, False), (20, True)):
            clusters = [f"patient-{labels[row]}-{n % patients}" for n, row in enumerate(rows)]
            measured = self.measured(reader, logits[rows], labels[rows], clusters=clusters)
            assert measured.results["recalibration"]["fewest"] == patients
            assert (measured.recalibration is not None) is is_fitted

    @pytest.mark.parametrize("by", ["patient", "file", "patient where it is known, else file"])
    def test_says_of_how_many_slices_it_is(self, reader, by):
        """Tumours of unknown class have no part in it."""
        logits, labels = honest(300)
        truth = [CLASSES[k] for k in labels] + [""] * 50
        readings = readings_of(np.concatenate([logits, logits[:50]]), truth, by=by)
        fitted = measure(readings, reader, None, "", FITTED_TO).recalibration
        assert (fitted.slices, fitted.clusters) == (300, 300)
        assert fitted.by == ("patient" if by == "patient" else "file")

    def test_its_gain_is_over_the_calibration_that_ships(self, reader):
        logits, labels = honest(300)
        of_reader = {name: getattr(reader, name) for name in ("classifier", "detector", "site")}
        shipped = replace(reader.calibration, temperature=2.0)
        results = self.measured(SimpleNamespace(calibration=shipped, **of_reader), 3 * logits, labels).results
        before, after, gain = (
            found["value"]
            for found in (
                results["calibration"]["nll"],
                results["recalibration"]["calibration"]["nll"],
                results["recalibration"]["gain"],
            )
        )
        assert before == pytest.approx(np.mean(surprises(shipped.apply(3 * logits), labels)))
        assert gain == pytest.approx(before - after)

    @pytest.mark.parametrize(("patients", "is_fitted"), [(49, False), (50, True)])
    def test_a_limit_is_fitted_to_fifty_patients(self, reader, patients, is_fitted):
        clusters = [f"patient-{n % patients}" for n in range(120)]
        readings = readings_of(sure(["glioma"] * 120), ["glioma"] * 120, np.full(120, 0.1), clusters)
        fitted = measure(readings, reader, None, "", FITTED_TO).recalibration
        assert (fitted is not None) is is_fitted
        if fitted:
            assert (fitted.slices, fitted.clusters) == (120, patients)

    def test_no_limit_where_two_of_a_hundred_are_refused(self, reader):
        for refused, is_fitted in ((2, False), (3, True)):
            decisions = np.where(np.arange(100) < refused, 0.1, -1.0)
            readings = readings_of(sure(["glioma"] * 100), ["glioma"] * 100, decisions)
            assert bool(measure(readings, reader, None, "", FITTED_TO).recalibration) is is_fitted

    def test_a_limit_where_too_many_are_refused(self, reader):
        logits, labels = honest(300)
        labels[labels == 2] = 0
        # The last are refused, and none lies where the machine itself takes a picture for none of a head.
        decisions = np.linspace(-2, -0.75 * reader.detector.limit, 300)
        measured = self.measured(reader, logits, labels, decisions)
        shipped = reader.detector.limit
        assert measured.recalibration.calibration is None
        assert measured.recalibration.limit == pytest.approx(
            shipped + np.quantile(decisions, 1 - REFUSED, method="higher")
        )
        assert measured.results["recalibration"]["refused"]["value"] == pytest.approx(REFUSED, abs=2 / 300)

    def test_a_limit_is_judged_on_patients_that_it_was_not_fitted_to(self, reader):
        logits, labels = honest(250)
        labels[labels == 2] = 0
        # One patient of 25 slices: a limit that was fitted to them too lets nearly all of them through.
        clusters = [f"patient-{max(n - 24, 0):05d}" for n in range(250)]
        refused = -reader.detector.limit / 2
        decisions = np.where(np.arange(250) < 25, refused * (1 + np.arange(250) / 1000), -1.0)
        measured = self.measured(reader, logits, labels, decisions, clusters=clusters)
        limit = measured.recalibration.limit - reader.detector.limit
        assert (decisions > limit).mean() <= REFUSED
        assert measured.results["recalibration"]["refused"]["value"] == pytest.approx(0.1)

    def test_no_limit_beyond_what_the_machine_calls_another_picture(self, reader):
        logits, labels = honest(300)
        measured = self.measured(reader, logits, labels, np.full(300, 4.0))
        assert measured.recalibration.limit == 0
        assert measured.results["recalibration"]["refused"]["value"] == 1

    def test_no_limit_where_few_are_refused(self, reader):
        logits, labels = honest(300)
        assert self.measured(reader, logits, labels).recalibration.limit is None


def test_what_one_patient_shows_has_no_interval_and_no_test(reader):
    truth = ["glioma"] * 4 + ["meningioma"] * 4 + ["pituitary"] * 4 + ["no_tumor"] * 4
    read = ["glioma"] * 3 + ["no_tumor"] + truth[4:]
    clusters = ["patient-1"] * 4 + [f"patient-{number}" for number in range(2, 14)]
    readings = readings_of(sure(read), truth, clusters=clusters)
    shipped = json.loads((WEIGHTS / "metrics.json").read_text()) | {"model_sha256": reader.classifier.digest}
    results = measure(readings, reader, shipped).results
    alone = {"value": 0.75, "low": None, "high": None}
    assert results["protocols"]["four_classes"]["metrics"]["recall/glioma"] == alone
    compared = results["comparison"]["measures"]["recall/glioma"]
    assert (compared["difference"]["low"], compared["difference"]["high"], compared["p"]) == (
        None,
        None,
        None,
    )
    (row,) = (row for row in words.figures(results) if row.measure == "Sensitivity for glioma")
    assert row.here == "75.0 % (no interval)"
    assert row.difference.endswith("(no interval)")
    assert words.pdf(results)
    assert results["protocols"]["four_classes"]["metrics"]["accuracy"]["low"] is not None


def test_tumours_alone_tell_nothing_of_tumour_or_none(reader):
    truth = ["glioma", "meningioma", "glioma"]
    assert set(measure(readings_of(sure(truth), truth), reader, SHIPPED).results["protocols"]) == {
        "four_classes"
    }


def test_one_patient_who_is_read_rightly_has_the_exact_interval(reader):
    truth = ["glioma"] * 2 + ["no_tumor"] * 2
    readings = readings_of(sure(truth), truth, clusters=["patient-1"] * 2 + ["patient-2", "patient-3"])
    measured = measure(readings, reader, None).results["protocols"]["tumor_or_none"]["metrics"]
    assert measured["sensitivity"] == pytest.approx({"value": 1, "low": 0.025, "high": 1})


def test_what_two_patients_show_has_an_interval(reader):
    truth = ["glioma"] * 4 + ["no_tumor"] * 4
    clusters = [f"patient-{n // 2}" for n in range(8)]
    readings = readings_of(sure(["no_tumor", *truth[1:]]), truth, clusters=clusters)
    sensitivity = measure(readings, reader, None).results["protocols"]["tumor_or_none"]["metrics"][
        "sensitivity"
    ]
    assert sensitivity == {"value": 0.75, "low": 0.5, "high": 1.0}


class TestTwoModels:
    def test_the_same_model_twice_differs_nowhere(self, reader):
        truth = ["glioma"] * 5 + ["no_tumor"] * 5
        readings = readings_of(sure(truth), truth)
        readings = replace(readings, outputs=readings.outputs * 2)
        second = side_by_side(readings, reader, reader)
        assert second["p"] == 1
        assert second["counts"] == {"both": 10, "first": 0, "second": 0, "neither": 0}
        # The exact binomial interval of none in 10, and of none in 5: none of them can tell more.
        for name, clusters in {"right": 10, "accuracy": 10, "sensitivity": 5, "auc": 5}.items():
            reach = 1 - 0.025 ** (1 / clusters)
            assert second["difference"][name] == pytest.approx({"value": 0, "low": -reach, "high": reach})
        assert second["unlike"] == {"slices": 0, "most": pytest.approx(1 - 0.05 ** (1 / 10))}
        results = measure(readings, reader, None).results | {"against": second}
        assert "No slice is read as another class" in words.side_by_side(results)
        assert "differ in 25.9 % of such patients at most" in words.side_by_side(results)
        assert two_models(results)[0][3] == "+0.0 (-30.8 to +30.8)"

    def test_the_fewer_of_both_sides_tell_of_the_auc(self, reader):
        truth = ["glioma"] * 8 + ["no_tumor"] * 4
        readings = readings_of(sure(truth), truth)
        second = side_by_side(replace(readings, outputs=readings.outputs * 2), reader, reader)
        assert second["difference"]["auc"]["high"] == pytest.approx(1 - 0.025 ** (1 / 4))
        assert second["protocols"]["tumor_or_none"]["metrics"]["auc"]["low"] == pytest.approx(
            0.025 ** (1 / 4)
        )

    def test_another_tumour_is_found_and_a_false_one_costs_specificity(self, reader):
        truth = ["glioma"] * 10 + ["no_tumor"] * 10
        readings = readings_of(sure(["meningioma"] * 10 + ["no_tumor"] * 10), truth)
        other = ModelOutputs(sure(["glioma"] * 14 + ["no_tumor"] * 6), np.full(20, -1.0))
        second = side_by_side(replace(readings, outputs=[*readings.outputs, other]), reader, reader)
        found = {name: entry["value"] for name, entry in second["difference"].items()}
        assert (found["sensitivity"], found["specificity"]) == (0, pytest.approx(-0.4))
        assert (found["right"], found["recall/glioma"]) == (pytest.approx(0.3), 1)

    def test_the_worse_one_is_found_too(self, reader):
        truth = ["glioma"] * 20 + ["no_tumor"] * 20
        readings = readings_of(sure(truth), truth)
        other = ModelOutputs(sure(["no_tumor"] * 40), np.full(40, -1.0))
        second = side_by_side(replace(readings, outputs=[*readings.outputs, other]), reader, reader)
        assert second["p"] == pytest.approx(1 / 401)
        assert second["counts"] == {"both": 20, "first": 20, "second": 0, "neither": 0}

    def test_what_all_clusters_show_has_an_interval_of_some_width(self, reader):
        truth = ["glioma"] * 8 + ["no_tumor"] * 8
        readings = readings_of(sure(["no_tumor"] * 16), truth)
        other = ModelOutputs(sure(truth), np.full(16, -1.0))
        second = side_by_side(replace(readings, outputs=[*readings.outputs, other]), reader, reader)
        # Another patient may be read wrongly by the second alone, which is two away from the first alone.
        low = 1 - 2 * (1 - 0.025 ** (1 / 8))
        assert second["difference"]["sensitivity"] == pytest.approx({"value": 1, "low": low, "high": 1})
        assert second["unlike"] == {"slices": 8, "most": None}
        assert "No slice" not in words.side_by_side(
            measure(readings, reader, None).results | {"against": second}
        )

    def test_the_better_one_is_found(self, reader):
        truth = ["glioma"] * 20 + ["no_tumor"] * 20
        readings = readings_of(sure(["no_tumor"] * 40), truth)
        other = ModelOutputs(sure(truth[:18] + ["no_tumor"] * 22), np.full(40, -1.0))
        readings = replace(readings, outputs=[*readings.outputs, other])
        second = side_by_side(readings, reader, reader)
        assert second["counts"] == {"both": 20, "first": 0, "second": 18, "neither": 2}
        assert second["difference"]["sensitivity"]["value"] == pytest.approx(0.9)
        assert second["difference"]["right"]["low"] > 0
        assert second["p"] == pytest.approx(1 / 401)

    def test_a_difference_is_of_the_figures_beside_it(self, reader):
        truth = ["glioma"] * 10 + ["no_tumor"] * 10 + [""] * 20
        readings = readings_of(sure(["no_tumor"] * 40), truth)
        other = ModelOutputs(sure(["glioma"] * 5 + ["no_tumor"] * 10 + ["glioma"] * 25), np.full(40, -1.0))
        readings = replace(readings, outputs=[*readings.outputs, other])
        results = measure(readings, reader, None).results
        results["against"] = side_by_side(readings, reader, reader)
        (first, second), difference = (
            (results["protocols"]["four_classes"], results["against"]["protocols"]["four_classes"]),
            results["against"]["difference"],
        )
        two = (results["protocols"]["tumor_or_none"], results["against"]["protocols"]["tumor_or_none"])
        before, after = (one["metrics"]["auc"]["value"] for one in two)
        assert difference["auc"]["value"] == pytest.approx(after - before)
        assert after > before
        for name in ("accuracy", "recall/glioma", "recall/no_tumor"):
            apart = second["metrics"][name]["value"] - first["metrics"][name]["value"]
            assert difference[name]["value"] == pytest.approx(apart), name
        assert difference["accuracy"]["value"] == pytest.approx(0.0)
        assert difference["right"]["value"] == pytest.approx(20 / 40)
        assert two_models(results)[0][3].startswith("+0.0 (")

    def test_one_patient_proves_nothing(self, reader):
        truth = ["glioma"] * 20 + ["no_tumor"] * 20
        readings = readings_of(sure(["no_tumor"] * 40), truth, clusters=["patient-00001"] * 40)
        other = ModelOutputs(sure(truth), np.full(40, -1.0))
        second = side_by_side(replace(readings, outputs=[*readings.outputs, other]), reader, reader)
        assert second["p"] > 0.9
        assert second["difference"]["right"] == {"value": 0.5, "low": None, "high": None}
        assert points(second["difference"]["right"]) == "+50.0 (no interval)"


class TestReading:
    def files(self, names, heads=None) -> list[LabelledFile | Skipped]:
        heads = heads or HEADS
        return list(labelled([File(name, png(head)) for name, head in zip(names, heads, strict=False)]))

    def test_reads_as_the_app_does(self, reader):
        gray = read_scan(load_samples()[0].file).gray
        folder = WEIGHTS
        (given,) = labelled([File("glioma/a.png", png(gray))])
        readings = read_site([given], [folder])
        validation = measure(readings, reader, None)
        expected = reader.read(gray)
        row = validation.rows[0]
        assert row["read"] == expected.prediction.label
        assert [row[name] for name in CLASSES] == pytest.approx(
            [expected.prediction.by_class()[name] for name in CLASSES], abs=1e-4
        )
        assert row["set"].split() == list(expected.sets[0.95])
        assert row["refused"] is (not expected.ood.in_distribution)
        assert readings.outputs[0].decisions[0] == pytest.approx(np.log(expected.ood.score), abs=1e-4)

    def test_without_a_patient_the_file_is_the_unit(self):
        readings = read_site(self.files(["glioma/a.png", "no/b.png", "no/c.png"]), [WEIGHTS])
        assert readings.by == "file"
        assert [s.cluster for s in readings.slices] == ["file-00001", "file-00002", "file-00003"]

    def test_names_tell_the_patients(self):
        names = ["glioma/sub-01_1.png", "glioma/sub-01_2.png", "no/sub-02_1.png"]
        readings = read_site(self.files(names), [WEIGHTS])
        assert readings.by == "patient"
        assert len({s.cluster for s in readings.slices}) == 2
        mixed = read_site(self.files([*names, "no/d.png"]), [WEIGHTS])
        assert mixed.by == "patient where it is known, else file"

    def test_one_patient_for_all_is_nobody(self):
        names = ["glioma/sub-01_1.png", "glioma/sub-01_2.png"]
        assert read_site(self.files(names), [WEIGHTS]).by == "file"

    def test_a_blank_cell_is_of_the_patient_whom_the_table_names_for_its_header(self):
        headers = {"a": "MRN1", "b": "MRN1", "c": "MRN2", "d": "ANON", "e": "ANON", "f": "ANON", "g": "ANON"}
        cells = {"a": "P1", "b": "", "c": "", "d": "P2", "e": "P3", "f": "", "g": ""}
        given = [
            File(f"{name}.dcm", slice_of(number, PatientID=patient))
            for number, (name, patient) in enumerate(headers.items())
        ]
        lines = [f"{name}.dcm,glioma,{patient}" for name, patient in cells.items()]
        table = read_table("\n".join(["name,label,patient", *lines]).encode(), "labels.csv")
        readings = read_site(labelled(given, table), [WEIGHTS])
        a, b, c, d, e, f, g = (s.cluster for s in readings.slices)
        assert a == b
        # ANON is whoever is anonymous: nobody is known by it.
        assert len({a, c, d, e, f, g}) == 6
        assert [cluster.partition("-")[0] for cluster in (c, f, g)] == ["patient", "file", "file"]
        assert readings.by == "patient where it is known, else file"

    def test_no_header_gets_into_the_results(self, reader):
        given = [
            File(f"{label}/{n}.dcm", slice_of(n, PatientID=f"JANE{n}"))
            for n, label in enumerate(("no", "glioma"))
        ]
        validation = measure(read_site(labelled(given), [WEIGHTS]), reader, SHIPPED)
        assert validation.results["by"] == "patient"
        assert "JANE" not in json.dumps([validation.results, validation.rows])

    def test_copies_count_once_and_two_labels_not_at_all(self):
        heads = [HEADS[0], HEADS[0], HEADS[1], HEADS[1], HEADS[2]]
        names = ["glioma/a.png", "glioma/b.png", "glioma/c.png", "no/d.png", "no/e.png"]
        readings = read_site(self.files(names, heads), [WEIGHTS])
        assert [s.file for s in readings.slices] == ["glioma/a.png", "no/e.png"]
        assert {entry.path: entry.reason for entry in readings.left_out} == {
            "glioma/b.png": site_readings.COPY,
            "glioma/c.png": site_readings.TWO_LABELS,
            "no/d.png": site_readings.TWO_LABELS,
        }

    def test_what_was_trained_on_is_left_out(self, tmp_path):
        folder = model_folder(tmp_path / "model", READ_WITH)
        np.save(folder / TRAINED_ON, hashes(np.stack([thumbnail(HEADS[1])])))
        write_manifest(folder, [*READ_WITH, TRAINED_ON])
        # Brighter, and saved again: another file with nearly the same picture.
        near = np.clip(HEADS[1] * 1.1, 0, 255).astype(np.uint8)
        readings = read_site(self.files(["glioma/a.png", "no/b.png"], [HEADS[0], near]), [folder])
        assert [s.file for s in readings.slices] == ["glioma/a.png"]
        assert [(entry.path, entry.reason) for entry in readings.left_out] == [
            ("no/b.png", site_readings.NEAR)
        ]
        assert readings.copies_sought

    def test_without_the_list_it_says_so(self, tmp_path, reader):
        folder = model_folder(tmp_path / "model", READ_WITH)
        readings = read_site(self.files(["glioma/a.png", "no/b.png"]), [folder])
        assert not readings.copies_sought
        assert measure(readings, reader, None).results["copies_sought"] is False

    def test_a_damaged_list_is_an_error(self, tmp_path):
        folder = model_folder(tmp_path / "model", READ_WITH)
        np.save(folder / TRAINED_ON, np.zeros((3, 8), np.uint8))
        with pytest.raises(ModelError, match=r"not in its manifest\.json"):
            read_hashes(ModelFolder(folder))
        write_manifest(folder, [*READ_WITH, TRAINED_ON])
        with pytest.raises(ModelError, match="is damaged"):
            read_hashes(ModelFolder(folder))

    def test_nothing_to_measure_says_why(self):
        with pytest.raises(ValueError, match=r"no slice to measure the model on.*\n  x/a\.png: no folder"):
            read_site(self.files(["x/a.png"]), [WEIGHTS])

    def test_of_many_reasons_the_first_are_given(self):
        files = [Skipped(f"{n}.png", f"reason {n % 12}") for n in range(24)]
        with pytest.raises(ValueError, match=r"\n  9\.png and 1 more: reason 9\n  and 2 more$"):
            read_site(files, [WEIGHTS])

    def test_all_of_it(self, tmp_path):
        other = model_folder(tmp_path / "other", READ_WITH)
        fields = json.loads((other / CALIBRATION).read_text())
        (other / CALIBRATION).write_text(json.dumps(fields | {"temperature": 2.0}))
        write_manifest(other, READ_WITH)
        done: list[int] = []
        before = {
            path: path.read_bytes()
            for path in WEIGHTS.rglob("*")
            if path.is_file() and path.suffix != ".keras"
        }
        names = ["glioma/a.png", "no/b.png", "meningioma/c.png", "pituitary/d.png", "tumour/e.png"]
        validation = validate(self.files(names), WEIGHTS, SHIPPED, other, "St. Elsewhere", done.append)
        assert done == [1, 2, 3, 4, 5]
        assert validation.results["site"] == "St. Elsewhere"
        # The same network under another temperature is right as often.
        assert validation.results["against"]["p"] == 1
        assert {path: path.read_bytes() for path in before} == before


def case_of(number, scan, label, seen, observer="", score=0.5, recalibration=""):
    """A kept case; the higher its number, the later."""
    shares = {name: 0.97 if name == label else 0.01 for name in CLASSES}
    return SimpleNamespace(
        id=number,
        scan=scan * 64,
        time=datetime(2026, 11, 1, number, tzinfo=UTC),
        seen=seen,
        label=label,
        observer=observer,
        ood_score=score,
        recalibration=recalibration,
        **shares,
    )


def test_verdicts_are_measured_as_they_were_read(reader):
    cases = [
        case_of(5, "a", "glioma", "meningioma"),
        case_of(4, "b", "no_tumor", "no_tumor", score=1.5),
        case_of(3, "c", "glioma", None),
        # Its probabilities are of another temperature.
        case_of(2, "d", "glioma", "glioma", recalibration="e" * 64),
    ]
    readings = verdicts(cases, reader)
    validation = measure(readings, reader, SHIPPED)
    *rows, unsure, other = validation.rows
    assert unsure == {"name": "c" * 12, "left_out": "the clinician is unsure of it"}
    assert other == {"name": "d" * 12, "left_out": "read under another calibration"}
    said = " ".join(remarks(validation.results))
    assert "read under another calibration 1, the clinician is unsure 1" in said
    assert "lean towards it" in said
    assert "Intervals are by scan" in said
    assert [row["label"] for row in rows] == ["meningioma", "no_tumor"]
    assert [row["glioma"] for row in rows] == pytest.approx([0.97, 0.01], abs=1e-5)
    assert [row["refused"] for row in rows] == [False, True]
    assert validation.recalibration is None
    assert "recalibration" not in validation.results
    with pytest.raises(
        ValueError, match=r"no kept case.*\n  1: the clinician is unsure of it\n  1: read under"
    ):
        verdicts(cases[-2:], reader)


@pytest.mark.parametrize(
    ("given", "label"),
    [
        # From the first verdict to the last: who, and what they see.
        ([("A", "glioma"), ("B", "glioma")], "glioma"),
        ([("A", "glioma"), ("B", "meningioma")], site_readings.SEVERAL_SEEN),
        ([("A", "glioma"), ("B", None)], site_readings.UNSURE_OF),
        ([("A", None), ("B", "glioma")], "glioma"),
        # Of one observer, under another model: what they said before counts no more.
        ([("A", "glioma"), ("A", "meningioma")], "meningioma"),
        ([("A", "glioma"), ("A", None), ("B", "glioma"), ("A", "glioma")], "glioma"),
        ([("A", "glioma"), ("B", "meningioma"), ("A", "meningioma")], "meningioma"),
    ],
)
def test_of_several_observers_the_latest_verdicts_count(reader, given, label):
    cases = [
        case_of(number, "a", "glioma", seen, observer) for number, (observer, seen) in enumerate(given, 1)
    ]
    # Another scan, so that something is left.
    readings = verdicts([*reversed(cases), case_of(0, "b", "no_tumor", "no_tumor")], reader)
    told = {s.file: s.label for s in readings.slices} | {s.path: s.reason for s in readings.left_out}
    assert told == {"a" * 12: label, "b" * 12: "no_tumor"}


def test_what_was_read_under_the_same_calibration_counts_whoever_saw_it_last(reader):
    cases = [
        case_of(2, "a", "no_tumor", "glioma", "B", recalibration="e" * 64),
        case_of(1, "a", "glioma", "glioma", "A"),
    ]
    readings = verdicts(cases, reader)
    assert readings.slices[0].label == "glioma"
    assert readings.outputs[0].logits[0].argmax() == 0


def test_hashes_are_as_far_apart_as_thumbnails():
    draw = np.random.default_rng(0)
    first = draw.normal(size=1024)
    first = (first - first.mean()) / np.linalg.norm(first - first.mean())
    noise = draw.normal(size=1024)
    noise -= noise.mean() + (noise @ first) * first
    noise /= np.linalg.norm(noise)

    def correlating(by):
        return (by * first + np.sqrt(1 - by**2) * noise).astype(np.float32)

    hashed = hashes(np.stack([correlating(1.0), correlating(0.98), correlating(0.8), correlating(0.0)]))
    assert hashed.shape == (4, HASH_BITS // 8)
    assert is_known(hashed, hashed[:1]).tolist() == [True, True, False, False]
    apart = np.unpackbits(hashed[3] ^ hashed[0]).sum()
    assert apart == pytest.approx(HASH_BITS / 2, abs=50)
    assert not is_known(hashed, hashed[:0]).any()


def test_the_model_that_ships_has_a_list_of_what_it_was_trained_on():
    folder = ModelFolder(WEIGHTS)
    hashed = read_hashes(folder)
    card = json.loads((WEIGHTS / "model_card.json").read_text())
    # The card counts slices before near-duplicates of the test fold are taken away.
    assert hashed is not None
    assert 0 < len(hashed) <= sum(card["train_slices"].values())
    held_out = np.stack(
        [thumbnail(read_scan(sample.file).gray) for sample in load_samples() if "figshare" in sample.origin]
    )
    assert not is_known(hashes(held_out), hashed).any()


def test_verdicts_of_a_store_are_measured_by_the_command(tmp_path, capsys):
    from sqlalchemy import create_engine

    from brat.io.read import read_scan
    from brat.io.samples import load_samples
    from brat.store.cases import keep
    from brat.store.database import prepare

    url = f"sqlite:///{tmp_path / 'cases.db'}"
    reader, engine = Reader(), create_engine(url)
    prepare(engine)
    samples = load_samples()
    for sample in samples:
        scan = read_scan(sample.file)
        keep(engine, scan, reader.read(scan.gray), reader.classifier.digest, seen=sample.label)
    engine.dispose()
    before = (WEIGHTS / "metrics.json").read_bytes()
    out = tmp_path / "out"
    assert main(["validate", "--verdicts", url, "--out", str(out)]) == 0
    results = json.loads((out / "validation.json").read_text())
    assert (results["slices"], results["by"]) == (len(samples), "scan")
    assert "recalibration" not in results
    assert (WEIGHTS / "metrics.json").read_bytes() == before
    for arguments, said in {
        (): "either scans, or a store",
        ("--verdicts", url, str(tmp_path)): "either scans, or a store",
        ("--verdicts", url, "--apply"): "lean towards them",
        ("--verdicts", f"sqlite:///{tmp_path / 'none.db'}"): "There is no store at",
    }.items():
        assert main(["validate", *arguments]) == 2
        assert said in capsys.readouterr().err
