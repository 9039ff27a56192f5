"""Words of a series in Review."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from brat.classes import CLASS_NAMES
from brat.model import series_rule
from brat.model.reader import is_alone_and_unsure
from brat.model.series_reading import SeriesReading, spans
from brat.wording import UNSURE_ALONE, percent
from pages.words.numbers import estimate

UNLIKE = "Not a slice the model knows"
HOW_OFTEN = "How often is that right?"
TABLE = "Every slice: its answer, its probabilities, and whether it is like those the model knows."

HOW = (
    "**Not a probability for the patient.** Each slice was read by itself, and this counts the answers. "
    "Neighbouring slices with one answer say more than single ones, yet errors come in runs too."
)
_NOT_MEASURED = "How often a whole series is read rightly was not measured for this model."
CARE = "In a healthy head too runs of slices are called a tumour. Not a medical device, not for diagnosis."
_FEW = "Most slices were refused: what is said here rests on the few that are left."
_LISTED = 6
"""Stretches of slices that are named one by one, at most."""
_HATCHED = "they are hatched in the strip"
_NO_PLACES = "The files do not say where the slices lie: neighbours here need not be neighbours in the head."
NO_SIDES = "The files do not say where left and right of the patient are."
_SAME_PLACE = "Several slices lie at one place: neighbours here need not be neighbours in the head."
_ONE_SLICE = "A single slice: there are no neighbours to compare it with."


def reading(number: int, count: int) -> str:
    return f"Reading slice {number} of {count} …"


def heading(read: SeriesReading) -> str:
    """What the eye meets first: where to look, if the rule says so. No class is the series' own."""
    if read.leading is None:
        return "No slice to answer for"
    if read.suspicious:
        run = read.suspicious[0]
        where = f"Look at slices {run[0] + 1} to {run[-1] + 1}"
        # "No tumour" may be an answer: the rule adds the tumours up, and asks the slices beside, too.
        answers = [prediction.label for n in run if (prediction := read.slices[n].prediction)]
        tumours = len(answers) - answers.count("no_tumor")
        if tumours == len(run):
            return f"{where}: {len(run)} in a row read as a tumour"
        if not tumours:
            return f"{where}: with the slices beside each, any tumour is likelier than none"
        return f"{where}: {tumours} of {len(run)} read as a tumour"
    known = _slices(len(read.known))
    if not read.with_tumour:
        return f"No slice reads as a tumour, of {known} let through"
    return f"No run of slices stands out: {read.with_tumour} of {known} let through read as a tumour"


def how_often(protocols: Mapping[str, Any]) -> str:
    """How often the rule finds a patient's tumour, and how often it is wrong; a line for each sequence.

    Args:
        protocols: of `metrics.json`; empty where there is none.
    """
    rule = f"{series_rule.LENGTH}/{series_rule.LEAST}"
    figures = [
        f"- {entry['title'].removesuffix(', runs of slices')}: "
        f"{estimate(entry['metrics'][f'found/{rule}'])} of the patients found, "
        f"{entry['metrics'][f'false_runs/{rule}']['value']:.2f} false runs a patient"
        for name, entry in protocols.items()
        if name.startswith("series_") and f"found/{rule}" in entry["metrics"]
    ]
    if not figures:
        return _NOT_MEASURED
    return "\n".join(
        [
            f"A run counts from {series_rule.LENGTH} slices in a row in each of which any tumour has "
            f"{_percent(series_rule.LEAST)} or more, averaged with the slices beside it. On low-grade "
            "gliomas of patients that it had not seen, of hospitals that it had; the rule was chosen on them "
            "too, so expect a little less:",
            "",
            *figures,
        ]
    )


def findings(read: SeriesReading) -> list[str]:
    """A sentence for each tumour that is some slice's answer, and for what was left out."""
    sentences = [_of_class(read, label) for label in read.tumours]
    if read.refused:
        few = f" {_FEW}" if 0 < len(read.known) < len(read.refused) else ""
        sentences.append(
            f"{_slices(len(read.refused))} refused as unlike those that the model knows: "
            f"{_listed(read.refused)}.{few}"
        )
    if read.unread:
        sentences.append(f"Not read, damaged or empty: {spans(read.unread)}.")
    if len(read.slices) == 1:
        sentences.append(_ONE_SLICE)
    elif read.positions is None:
        sentences.append(_NO_PLACES)
    elif len(set(read.positions)) < len(read.positions):
        sentences.append(_SAME_PLACE)
    elif read.gaps:
        sentences.append(f"Slices may be missing after {spans(read.gaps)}: the next one lies farther off.")
    return sentences


def _listed(numbers: Sequence[int]) -> str:
    parts = spans(numbers).split(", ")
    return ", ".join(parts) if len(parts) <= _LISTED else _HATCHED


def _of_class(read: SeriesReading, label: str) -> str:
    run, count = read.longest(label), read.count(label)
    assert run is not None  # it is some slice's answer
    strongest = read.slices[run.strongest].prediction
    assert strongest is not None
    probability = _percent(float(strongest.by_class()[label]))
    start = f"**{CLASS_NAMES[label]}**: {_slices(count)}, "
    if count == 1:
        return f"**{CLASS_NAMES[label]}**: slice {run.first + 1} alone, with {probability}."
    if len(run) == 1:
        return f"{start}no two side by side; the strongest is slice {run.strongest + 1} with {probability}."
    length = read.length(run)
    where = f"from {run.first + 1} to {run.last + 1}" + (f" ({length:.0f}\u00a0mm)" if length else "")
    alone = "in one run" if count == len(run) else "the longest run"
    return f"{start}{alone} {where}; the strongest in it is slice {run.strongest + 1} with {probability}."


def _slices(count: int) -> str:
    return "1 slice" if count == 1 else f"{count} slices"


def _percent(value: float) -> str:
    return percent(value).replace(" ", "\u00a0")


def stretched(apart: float, times: float) -> str:
    """Of a view that is made from slices farther apart than its other pixels."""
    return (
        f"This view is put together from slices {apart:.3g} mm apart, and stretched {times:.1f} times to its "
        "true proportions: what lies between them is guessed, and readings are worth less than those of the "
        "slices as acquired."
    )


def suspicious(read: SeriesReading) -> str:
    """The way back to where the eye should go first; empty where nothing can be called suspicious."""
    return f"Most suspicious: slice {read.most_suspicious + 1}" if read.known else ""


def strip(read: SeriesReading) -> str:
    """The strip chart in words."""
    plain = [sentence.replace("**", "") for sentence in findings(read)]
    return f"Probability of each class along {len(read.slices)} slices. {' '.join(plain)}"


def answer(label: str, confidence: float) -> str:
    return f"{CLASS_NAMES[label]}, {percent(confidence)}"


def all_the_same(label: str, confidence: float) -> str:
    """The answer for a slice that was refused, where it is asked for."""
    return f"Unlike known slices, read all the same: {answer(label, confidence)}"


def doubt(level: float, inside: tuple[str, ...] | None, confidence: float, score: float | None) -> str:
    """The prediction set of a slice, and how far it is from those the model knows, in one line.

    Args:
        confidence: probability of the answer.
    """
    sentences = []
    if inside is not None:
        names = " or ".join(CLASS_NAMES[name].lower() for name in inside) or "no class"
        unsure = f", {UNSURE_ALONE}" if is_alone_and_unsure(inside, confidence) else ""
        sentences.append(f"{_percent(level)} set: {names}{unsure}.")
    if score is not None:
        sentences.append(f"Like known slices: unlikeness {score:.2f}, limit 1.")
    return " ".join(sentences)
