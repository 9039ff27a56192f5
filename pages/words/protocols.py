"""Words of the Model page's parts about how often the answer is right."""

from __future__ import annotations

from collections.abc import Mapping

from brat.figures.charts import NAMES
from pages.words.numbers import decimal, estimate, share

Entry = Mapping[str, float | None]
"""A measure as `metrics.json` has it: value, low, high."""

REPORTED = {
    "random_split": "Accuracy 88 %, macro F1 0.89: the work that this project grew from, by its own report.",
    "three_tumors": "Balanced accuracy 89.4 % ± 4.6 a patient: ResNet50, fine-tuned, five folds by patient. "
    "81.5 %: MobileNetV2, frozen, in the same study.",
}
"""What others report of the same question."""

SHIPS_ALL_FOLDS = (
    "**The model that ships learned from all folds, with the same recipe: its expected accuracy is the "
    "cross-validated one given here.** It cannot be tested on slices that it learned from."
)
SHIPS_AS_MEASURED = "The model measured is the one that ships."

TABLE = "The protocols and what was measured by each"
NEAR_DUPLICATE_IS = (
    "Near-duplicate in training: share of the test slices that have one among the slices trained on."
)

WHY_HIGHER = "Why the usual number is higher"

ROWS_AND_COLUMNS = "Rows: what the slice is; columns: what was read."

SOURCES = "Sensitivity by class and source, with 95 % intervals"
BY_SOURCE = "A class that comes mostly from one scanner can be told by the scanner."


def interval(low: float, high: float) -> str:
    return f"95 % interval {100 * low:.1f} to {100 * high:.1f}"


def measured(slices: int, of_one_source: int | None, folds: int) -> str:
    return (
        f"**Measured on patients that the model had not seen**, as far as the collections tell them apart: "
        f"{slices:,} slices"
        + (f" ({of_one_source:,} of one source for tumour or none)" if of_one_source else "")
        + (f", {folds}-fold cross-validation." if folds > 1 else ".")
    )


def intervals(date: str, clusters: int) -> str:
    return (
        f"Measured {date}. In brackets: 95 % intervals by cluster, about a patient in one plane "
        f"({clusters:,} for the four classes)."
    )


def ships_one_of(fold: int) -> str:
    return f"The model that ships is one of those measured: the one that has not seen fold {fold}."


def random_split(epochs: int, accuracy: Entry, macro: Entry, duplicates: float, leak_free: str) -> str:
    return (
        f"Split at random, as for most published figures, {epochs} epochs score an accuracy of "
        f"{estimate(accuracy)} and a macro F1 of {decimal(macro)}. But **{share(duplicates)} of those test "
        f"slices have a near-duplicate in training**. {leak_free}Of tomorrow's patient expect the first row, "
        "not the second."
    )


def leak_free(slices: int, accuracy: Entry) -> str:
    return (
        f"Read by models that had not seen their patients, {slices:,} of the very same slices score "
        f"{estimate(accuracy)}. "
    )


def worst_confusion(truth: str, read: str, wrong: float, of: float, part: float) -> str:
    return (
        f"The commonest error is to read {NAMES[truth].lower()} as {NAMES[read].lower()}: {wrong:,.0f} of "
        f"{of:,.0f} slices ({share(part)})."
    )


def matrix(protocol: str) -> str:
    return f"Confusion matrix: {protocol.lower()}"


def of_slices(question: str, slices: int) -> str:
    return f"{question} {slices:,} slices."


def operating(sensitivity: float, specificity: float, precision: float) -> list[str]:
    """Where the app answers, on the ROC curve and on the precision-recall curve."""
    app = f"The app answers at sensitivity {share(sensitivity)}"
    return [f"{app} and specificity {share(specificity)}.", f"{app} and precision {share(precision)}."]


def area(auc: Mapping[str, float], more: str) -> str:
    return f"Area under the curve: {_listed(auc)}. {more}"


def average_precision(precision: Mapping[str, float], more: str) -> str:
    return (f"Average precision: {_listed(precision)}. " if precision else "") + more


def _listed(values: Mapping[str, float]) -> str:
    """Glioma 0.992, meningioma 0.970."""
    return ", ".join(f"{NAMES[name].lower()} {value:.3f}" for name, value in values.items())


def given_away(site: str, label: str, here: float, elsewhere: Mapping[str, float]) -> str:
    others = ", ".join(f"{share(value)} ({source})" for source, value in elsewhere.items())
    return (
        f"Every slice of {site} shows {NAMES[label].lower()}, so the hospital alone would tell: "
        f"{share(here)} are found there, elsewhere {others}."
    )


def most_uneven(label: str, least: float, there: str, most: float, elsewhere: str) -> str:
    return (
        f"Most uneven is {NAMES[label].lower()}: {share(least)} found ({there}) to {share(most)} "
        f"({elsewhere})."
    )
