"""Drift: limits that what has not changed seldom crosses, and alarms where something has."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from brat.classes import CLASSES
from brat.environment import WEIGHTS
from brat.figures.drift import control_chart
from brat.model.calibration import Calibration
from brat.model.site import SiteCalibration
from brat.store.cases import Case
from brat.store.drift import (
    FALSE_ALARMS,
    FIRST,
    Chart,
    Level,
    Share,
    charts,
    first_months,
    limits,
    of_metrics,
)

METRICS = json.loads((WEIGHTS / "metrics.json").read_text())


def case_of(number: int, month: int = 1, label: str = "glioma", **values) -> Case:
    shares = {name: 0.9 if name == label else 0.1 / 3 for name in CLASSES}
    some = {"seen": label, "ood_score": 0.5, "in_distribution": True, "sequence": "t1ce", "scanner": ""}
    return Case(
        scan=f"{number:064x}",
        time=datetime(2026, month, 1, 0, number % 60, tzinfo=UTC),
        label=label,
        **(shares | some | values),
    )


def months_of(cases, references, measure, least=20, after=""):
    (chart,) = (c for c in charts(cases, references, least, after) if c.measure == measure)
    return chart.months


CHARTS = 12
"""Of a month that is compared with the model's figures, as many are judged."""


@pytest.mark.parametrize("share", [0.006, 0.1, 0.47, 0.91])
@pytest.mark.parametrize("cases", [20, 50, 300])
def test_shares_that_have_not_changed_seldom_cross_a_limit(share, cases):
    draw = np.random.default_rng(0)
    for of in (100, 809):
        crossed = []
        # A reference is a sample, too.
        for reference in draw.binomial(of, share, 300) / of:
            low, high = limits(Share(reference, of), cases, 4)
            months = draw.binomial(cases, share, 100) / cases
            crossed.append(np.mean((months < low) | (months > high)))
        assert np.mean(crossed) < 0.006


def test_limits_of_a_share_are_those_of_the_binomial_where_the_reference_is_large():
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    tail = FALSE_ALARMS / CHARTS / 2
    for share, cases in ((0.1, 50), (0.5, 200), (0.91, 30)):
        low, high = (round(end * cases) for end in limits(Share(share, 10**7), cases, CHARTS))
        month = stats.binom(cases, share)
        assert month.cdf(low - 1) <= tail < month.cdf(low)
        assert month.sf(high) <= tail < month.sf(high - 1)


def test_means_that_have_not_changed_seldom_cross_a_limit():
    draw = np.random.default_rng(0)
    # As skewed as confidences are.
    spread = draw.beta(4, 0.4, (3000, FIRST + 20))
    crossed = 0
    for reference, month in zip(spread[:, :FIRST], spread[:, FIRST:], strict=True):
        low, high = limits(Level(reference.mean(), reference.std(ddof=1), FIRST), 20, 4)
        crossed += not low <= month.mean() <= high
    assert crossed / 3000 < 0.015


def test_limits_of_a_mean_are_as_many_sigmas_as_the_charts_ask_for():
    # Of one chart 1 in 100 is beyond 2.576 sigma; of twelve, 1 in 1,200 of each beyond 3.341.
    for charts_judged, sigmas in ((1, 2.576), (12, 3.341)):
        half = sigmas * 0.1
        assert limits(Level(0.9, 0.1, 10**9), 25, charts_judged) == pytest.approx(
            (0.9 - half / 5, 0.9 + half / 5), abs=1e-4
        )
        wider = half * (2 / 25) ** 0.5
        assert limits(Level(0.9, 0.1, 25), 25, charts_judged) == pytest.approx(
            (0.9 - wider, 0.9 + wider), abs=1e-4
        )


class Cards:
    """Cases as the figures of the model that ships have them, one after the other."""

    def __init__(self):
        self.draw = np.random.default_rng(0)
        self.card = of_metrics(METRICS)
        self.bins = METRICS["calibration"]["after"]["bins"]

    def one_of(self, family: str, count: int) -> list[str]:
        shares = {key: share.value for key, share in self.card.items() if key.startswith(f"{family}/")}
        weights = np.array([*shares.values()])
        keys = self.draw.choice([*shares], count, p=weights / weights.sum())
        return [key.partition("/")[2] for key in keys]

    def confidences(self, count: int) -> np.ndarray:
        """Each bin's evenly about its mean."""
        counts = np.array(self.bins["count"])
        number = self.draw.choice(len(counts), count, p=counts / counts.sum())
        means = np.array([mean or 0.0 for mean in self.bins["confidence"]])[number]
        width = 1 / len(counts)
        reach = np.minimum(means - number * width, (number + 1) * width - means)
        return means + self.draw.uniform(-1, 1, count) * reach

    def month(self, year: int, count: int, refused=None, agreed=None, less_sure=0.0) -> list[Case]:
        """The cases of a month of its own; what is not given is as the model's figures say."""
        refused = self.card["refused"].value if refused is None else refused
        agreed = self.card["agreed"].value if agreed is None else agreed
        scanners = self.draw.choice(
            ["", "GE 3 T", "Siemens 1.5 T", "Philips 3 T"], count, p=(0.1, 0.5, 0.3, 0.1)
        )
        return [
            Case(
                scan=f"{year:032x}{number:032x}",
                time=datetime(year, 1, 1, tzinfo=UTC),
                label=label,
                seen=label if right else next(name for name in CLASSES if name != label),
                in_distribution=bool(known),
                ood_score=float(score),
                sequence=sequence,
                scanner=str(scanner),
                **{label: float(confidence)},
            )
            for number, (label, right, known, score, sequence, scanner, confidence) in enumerate(
                zip(
                    self.one_of("read", count),
                    self.draw.random(count) < agreed,
                    self.draw.random(count) >= refused,
                    self.draw.lognormal(-0.7, 0.4, count),
                    self.one_of("sequence", count),
                    scanners,
                    self.confidences(count) - less_sure,
                    strict=True,
                )
            )
        ]


def share_with_an_alarm(every: list[Chart]) -> float:
    """The share of the judged months in which any chart alarms."""
    judged = {month.name for chart in every for month in chart.months if month.limits}
    alarmed = {month.name for chart in every for month in chart.months if month.is_alarm}
    return len(alarmed) / len(judged)


@pytest.mark.parametrize("cases", [20, 50])
def test_few_months_that_have_not_changed_raise_an_alarm_in_any_chart(cases):
    made = Cards()
    # So many months that chance in their number decides nothing.
    months = [case for year in range(1, 1601) for case in made.month(year, cases)]
    against_card = charts(months, made.card, 20)
    assert len(against_card) == CHARTS + 5  # Scores and scanners are compared with nothing.
    assert share_with_an_alarm(against_card) < FALSE_ALARMS
    alarms = []
    for _ in range(20):
        history = made.month(1, FIRST) + [case for year in range(2, 22) for case in made.month(year, cases)]
        references, last = first_months(history)
        alarms.append(share_with_an_alarm(charts(history, references, 20, last)))
    # What is stated is 1 in 100; chance brings some more in 400 months.
    assert np.mean(alarms) < 2 * FALSE_ALARMS


@pytest.mark.parametrize(
    "change",
    [{"refused": 0.1}, {"agreed": 0.75}, {"less_sure": 0.06}],
    ids=["refused", "agreed", "less_sure"],
)
def test_a_change_is_caught_in_a_month_of_100_cases(change):
    made = Cards()
    months = [case for year in range(1, 101) for case in made.month(year, 100, **change)]
    assert share_with_an_alarm(charts(months, made.card, 20)) > 0.8


def test_figures_of_the_model_that_ships_make_a_reference():
    card = of_metrics(METRICS)
    assert sum(card[f"read/{name}"].value for name in CLASSES) == pytest.approx(1)
    assert sum(share.value for name, share in card.items() if name.startswith("sequence/")) == pytest.approx(
        1
    )
    four = METRICS["protocols"]["four_classes"]
    assert card["agreed"] == Share(four["metrics"]["accuracy"]["value"], four["clusters"])
    assert card["refused"].value == METRICS["out_of_distribution"]["refused"]["value"]
    bins = METRICS["calibration"]["after"]["bins"]
    lowest, highest = min(filter(None, bins["confidence"])), max(filter(None, bins["confidence"]))
    assert lowest < card["confidence"].value < highest
    assert 0.05 < card["confidence"].spread < 0.3


def test_metrics_without_check_and_calibration_make_a_smaller_reference():
    few = {"protocols": {"four_classes": METRICS["protocols"]["four_classes"]}}
    assert set(of_metrics(few)) == {"agreed", *(f"read/{name}" for name in CLASSES)}
    assert of_metrics({"protocols": {}}) == {}


def test_what_a_recalibration_changes_is_not_compared_with_the_card():
    card = set(of_metrics(METRICS))
    site = SiteCalibration(
        "", 200, 200, "file", "", {}, Calibration(2.0, {0.95: (0.1,) * 4}, 9, "", ""), None
    )
    assert card - set(of_metrics(METRICS, site)) == {"confidence"}
    assert card - set(of_metrics(METRICS, replace(site, calibration=None, limit=-0.1))) == {"refused"}


def test_a_month_that_changes_crosses_a_limit_and_one_that_does_not_stays_within():
    steady = [case_of(n, 1, seen="glioma" if n % 11 else None) for n in range(40)]
    changed = [
        case_of(100 + n, 2, seen="meningioma" if n % 2 else "glioma", in_distribution=n % 3 > 0)
        for n in range(40)
    ]
    references = {"agreed": Share(0.95, 800), "refused": Share(0.01, 800)}
    for measure in references:
        before, after = months_of(steady + changed, references, measure)
        assert not before.is_alarm
        assert after.is_alarm
    # Of whom the clinician is unsure nothing is said.
    assert months_of(steady, references, "agreed")[0].cases == 36


def test_what_the_reference_lacks_is_expected_in_no_case():
    new = [case_of(n, sequence="t2", scanner="GE 3 T") for n in range(30)]
    (month,) = months_of(new, {"sequence/t1ce": Share(1.0, 500)}, "sequence/t2")
    assert month.is_alarm
    assert month.limits[1] < 0.2
    # What it has and the cases lack is missed.
    (month,) = months_of(new, {"sequence/t1ce": Share(1.0, 500)}, "sequence/t1ce")
    assert (month.value, month.is_alarm) == (0, True)
    # Nothing is known of scanners.
    (month,) = months_of(new, {"sequence/t1ce": Share(1.0, 500)}, "scanner/GE 3 T")
    assert (month.value, month.limits, month.is_alarm) == (1, None, False)


def test_few_cases_are_not_judged():
    references = {"read/glioma": Share(0.01, 500)}
    cases = [case_of(n) for n in range(19)]
    assert months_of(cases, references, "read/glioma")[0].limits is None
    assert months_of([*cases, case_of(19)], references, "read/glioma")[0].is_alarm


def test_a_scan_of_several_observers_counts_once_but_every_verdict_does():
    twice = [case_of(n % 20, 1, observer=str(n // 20)) for n in range(40)]
    references = {"agreed": Share(0.9, 500), "refused": Share(0.01, 500)}
    assert months_of(twice, references, "refused")[0].cases == 20
    assert months_of(twice, references, "agreed")[0].cases == 40


def test_the_unlikeness_is_the_mean_logarithm_of_the_score():
    cases = [case_of(0, ood_score=0.25), case_of(1, ood_score=1.0), case_of(2, ood_score=None)]
    (month,) = months_of(cases, {}, "unlikeness")
    assert (month.cases, month.value) == (2, pytest.approx(np.log(0.5)))


def test_the_first_months_are_a_reference_and_are_not_judged():
    cases = [case_of(n, 1 + n // 60, ood_score=0.4 + n % 5 / 10) for n in range(180)]
    cases += [case_of(200 + n, 4, label="pituitary", ood_score=3.0) for n in range(30)]
    assert first_months(cases[:99]) == ({}, "")
    references, last = first_months(cases)
    assert last == "2026-02"
    assert references["read/glioma"] == Share(1.0, 120)
    for measure in ("read/pituitary", "read/glioma", "unlikeness"):
        *reference, third, fourth = months_of(cases, references, measure, after=last)
        assert [month.limits for month in reference] == [None, None]
        assert third.limits
        assert not third.is_alarm
        assert fourth.is_alarm


def test_the_chart_shows_limits_and_marks_alarms():
    cases = [case_of(n) for n in range(30)] + [case_of(n, 2) for n in range(30, 40)]
    (chart,) = (c for c in charts(cases, {"read/glioma": Share(0.1, 500)}, 20) if c.measure == "read/glioma")
    low, high, expected, months = control_chart(chart).data
    assert list(months.x) == ["2026-01", "2026-02"]
    assert list(months.marker.symbol) == ["diamond", "circle-open"]
    assert (low.y[0], high.y[0]) == chart.months[0].limits
    # Of one month alone, no line is drawn: without marks its limits would not be seen.
    assert all("markers" in limit.mode and limit.marker.symbol == "line-ew" for limit in (low, high))
    assert list(expected.y) == [0.1, 0.1]
    (score,) = (c for c in charts(cases, {}, 20) if c.measure == "unlikeness")
    assert control_chart(score).data[-1].y[0] == pytest.approx(0.5)
