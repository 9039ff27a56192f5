"""Words of the Model page's parts about how often the answer is right."""

from __future__ import annotations

from collections.abc import Mapping

from brat.figures.charts import NAMES
from pages.words.numbers import decimal, estimate, share

Entry = Mapping[str, float | None]
"""A measure as `metrics.json` has it: value, low, high."""

SHIPS_ALL_FOLDS = "What ships learned from all of them."
SHIPS_AS_MEASURED = "The model measured is the one that ships."
SOURCES = "Sensitivity by class and source, with 95 % intervals"


def by_patient(found: Mapping[str, Mapping[str, Entry]]) -> str:
    """Args: found: site -> class -> sensitivity."""
    listed = "; ".join(
        f"{site}, {NAMES[label].lower()} {estimate(entry)}"
        for site, of_class in found.items()
        for label, entry in of_class.items()
    )
    return (
        "On the author's patient folds. A patient is read by the mean of the slices. Published, without "
        "intervals: Swati et al. 2019, doi 10.1016/j.compmedimag.2019.05.001; Deepak and Ameer 2019, doi "
        f"10.1016/j.compbiomed.2019.103345. Sensitivity: {listed}."
    )


def interval(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {100 * high:.1f}"


def measured(date: str, slices: int, clusters: int, folds: int) -> str:
    return (
        f"Unseen patients, {date}: {slices:,} slices in {clusters:,} clusters"
        + (f", {folds}-fold cross-validation" if folds > 1 else "")
        + "; 95 % intervals."
    )


def duplicates(left: Mapping[str, float]) -> str:
    """Args: left: title of a protocol that leaves them in -> share of its test slices."""
    but = ", ".join(f"{title.lower()} {share(part)}" for title, part in left.items())
    return "Near-duplicate in training: " + (f"{but}." if but else "kept out.")


def ships_one_of(fold: int) -> str:
    return f"The model that ships has not seen fold {fold}."


def random_split(epochs: int, accuracy: Entry, macro: Entry, duplicates: float, leak_free: str) -> str:
    return (
        f"{epochs} epochs: accuracy {estimate(accuracy)}, macro F1 {decimal(macro)}. "
        f"**{share(duplicates)} have a near-duplicate in training**. {leak_free}"
    )


def leak_free(slices: int, accuracy: Entry) -> str:
    return f"Without, {slices:,} of the same slices score {estimate(accuracy)}."


def worst_confusion(truth: str, read: str, wrong: float, of: float, part: float) -> str:
    return (
        f"Commonest error: {NAMES[truth].lower()} read as {NAMES[read].lower()}, {wrong:,.0f} of "
        f"{of:,.0f} ({share(part)})."
    )


def matrix(protocol: str) -> str:
    return f"Confusion matrix: {protocol.lower()}"


def of_slices(slices: int) -> str:
    return f"{slices:,} slices."


def without_masses(slices: int, masses: int, false_alarms: int, masses_among_them: int) -> str:
    """Args: masses: slices that are called free of tumours, and show a mass."""
    return (
        f"{slices:,} slices. A mass can be seen (by eye, no radiologist) in {masses} called free of tumours: "
        f"{masses_among_them} of {false_alarms} false alarms."
    )


def operating(sensitivity: float, specificity: float, precision: float) -> list[str]:
    """Where the app answers, on the ROC curve and on the precision-recall curve."""
    app = f"In the app: sensitivity {share(sensitivity)}"
    return [f"{app}, specificity {share(specificity)}.", f"{app}, precision {share(precision)}."]


def average_precision(precision: Mapping[str, float], more: str) -> str:
    """Args: more: what else is to be seen; may be empty."""
    listed = ", ".join(f"{NAMES[name].lower()} {value:.3f}" for name, value in precision.items())
    return (f"Average precision: {listed}. " if precision else "") + more


def given_away(site: str, label: str, here: float, elsewhere: Mapping[str, float]) -> str:
    others = ", ".join(f"{share(value)} ({source})" for source, value in elsewhere.items())
    return (
        f"Every slice of {site} shows {NAMES[label].lower()}: {share(here)} found there, elsewhere {others}."
    )


def most_uneven(label: str, least: float, there: str, most: float, elsewhere: str) -> str:
    return f"Most uneven: {NAMES[label].lower()}, {share(least)} ({there}) to {share(most)} ({elsewhere})."
