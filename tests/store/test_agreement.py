"""Agreement of clinicians with the model: kappa as in the literature, and an interval that holds."""

from datetime import UTC, datetime

import numpy as np
import pytest

from brat.figures.agreement import over_time
from brat.store.agreement import Agreement, agreement, agreement_by, cohens_kappa
from brat.store.cases import Case


def case_of(label: str, seen: str | None, when: datetime | None = None) -> Case:
    return Case(label=label, seen=seen, time=when)


def test_kappa_is_that_of_the_literature():
    # Two psychiatrists and 100 patients: Fleiss, Levin and Paik 2003, Statistical Methods, table 18.1.
    table = np.array([[75, 1, 4], [5, 4, 1], [0, 0, 10]])
    kappa, low, high = cohens_kappa(table)
    assert kappa == pytest.approx(0.68, abs=0.005)
    # Wilson's 81.4 % to 93.7 % of agreement on 89 of 100, with 66 % by chance.
    assert (low, high) == pytest.approx((0.452, 0.816), abs=0.005)


def test_kappa_equals_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    draw = np.random.default_rng(3)
    seen = draw.integers(0, 4, 60)
    read = np.where(draw.random(60) < 0.7, seen, draw.integers(0, 4, 60))
    kappa = cohens_kappa(metrics.confusion_matrix(seen, read))[0]
    assert kappa == pytest.approx(metrics.cohen_kappa_score(seen, read))


@pytest.mark.parametrize(("n", "right"), [(10, 0.95), (20, 0.85), (100, 0.6)])
def test_the_interval_of_kappa_covers_what_it_says(n, right):
    shares = np.full((4, 4), (1 - right) / 12) + np.eye(4) * (right / 4 - (1 - right) / 12)
    true = (right - 0.25) / 0.75
    draw = np.random.default_rng(0)
    intervals = [cohens_kappa(draw.multinomial(n, shares.ravel()).reshape(4, 4)) for _ in range(600)]
    assert 0.9 < np.mean([low <= true <= high for _, low, high in filter(None, intervals)]) < 0.985


def test_kappa_is_undefined_where_chance_agrees_always():
    assert cohens_kappa(np.zeros((4, 4))) is None
    assert cohens_kappa(np.diag([7, 0, 0, 0])) is None
    kappa, low, high = cohens_kappa(np.diag([3, 2, 0, 0]))
    assert (kappa, high) == (pytest.approx(1), pytest.approx(1))
    assert low < 0.5


def test_agreement_counts_what_was_seen_against_what_was_read():
    found = agreement(
        [
            case_of("glioma", "glioma"),
            case_of("glioma", "meningioma"),
            case_of("no_tumor", "no_tumor"),
            case_of("pituitary", None),
        ]
    )
    assert found.matrix.tolist() == [[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]
    assert (found.cases, found.agreed, found.unsure) == (3, 2, 1)
    assert agreement([]).kappa is None


def test_agreement_over_time():
    months = [case_of("glioma", "glioma", datetime(2026, month, 1, tzinfo=UTC)) for month in (11, 10, 11)]
    by_month = agreement_by(months, lambda case: f"{case.time:%Y-%m}")
    assert [(month, found.cases) for month, found in by_month.items()] == [("2026-10", 1), ("2026-11", 2)]


def test_the_picture_over_time_has_a_point_a_month_with_its_interval():
    agreeing = np.diag([5, 3, 0, 2])
    months = {
        "2026-10": Agreement(agreeing, 0, *cohens_kappa(agreeing)),
        "2026-11": Agreement(np.zeros((4, 4), int), 2, None, None, None),
    }
    (points,) = over_time(months).data
    assert list(points.x) == ["2026-10"]
    assert list(points.y) == [1.0]
    assert points.y[0] - points.error_y.arrayminus[0] == pytest.approx(months["2026-10"].low)
