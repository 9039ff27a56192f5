"""Words of the Model page's parts about how far an answer can be trusted, and what the model is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from brat.figures.charts import NAMES
from brat.wording import percent
from pages.words.numbers import estimate, share

Entry = Mapping[str, float | None]
"""A measure as `metrics.json` has it: value, low, high."""

COVERAGE = "Coverage of the prediction sets by class and level, with 95 % intervals"
AS_PROMISED = "Every class is held as promised."
SETS = "Slices by classes in their set."
BY_KIND = "Other pictures, by kind."
EXAMPLES_ARE = "Held-out patients, Grad-CAM of the radiologists' class."

_SEQUENCES = {
    "t1ce": "T1 after contrast",
    "t1": "T1",
    "t2": "T2",
    "flair": "FLAIR",
    "unknown": "unknown",
}

NEAREST = "How like its nearest other image each image is"


def calibration(after: Entry, temperature: float, before: Entry) -> str:
    return (
        f"Expected calibration error **{estimate(after)}**; uncalibrated {estimate(before)}, "
        f"temperature {temperature:.2f}."
    )


def surest(bins: Mapping[str, Sequence[float]]) -> str:
    """How right the surest readings are."""
    count, confidence, right = (bins[key][-1] for key in ("count", "confidence", "accuracy"))
    if not count:
        return ""
    return (
        f"The surest {count:,.0f} of {sum(bins['count']):,.0f}: {share(confidence)} sure, "
        f"{share(right)} right."
    )


def furthest_below(label: str, level: float, held: float) -> str:
    return f"Furthest below: {NAMES[label].lower()}, {percent(level)} set, {share(held)}."


def level(share: float) -> str:
    return f"{percent(share)} set".replace(" ", "\u00a0")


def let_through(kind: str, count: int, of: int) -> str:
    return f"{kind} ({count} of {of})"


def out_of_distribution(
    slices: int,
    refused: Entry,
    bare: Mapping[str, float] | None,
    images: int,
    others: float,
    through: Sequence[str],
) -> str:
    """Args: bare: what is refused of slices without their skull; None where that was not measured."""
    without = "" if bare is None else f", {estimate(bare)} of {bare['slices']:,} without their skull"
    return (
        f"Refused: {estimate(refused)} of {slices:,} slices{without}, **{share(others)}** of {images:,} "
        f"other pictures. Let through: {', '.join(through) or 'none'}."
    )


def group(name: str) -> str:
    """ "lgg/t1ce" -> "lgg, T1 after contrast"."""
    source, _, sequence = name.partition("/")
    return f"{source}, {_SEQUENCES[sequence]}"


def sets_by_group(level: float) -> str:
    return f"The {percent(level)} set by source and sequence."


def maps(slices: int, pointing: Entry, energy: Entry, chance: Entry) -> str:
    return (
        f"On {slices:,} correctly read slices, in the tumour's box: brightest place "
        f"**{estimate(pointing)}**; share of the map **{estimate(energy)}**, by chance {estimate(chance)}."
    )


def best_map(best: Sequence[str]) -> str:
    return f"Best: {', '.join(best)}."


def example(title: str, label: str, confidence: float) -> str:
    return f"{title}: **{NAMES[label].lower()}** {percent(confidence)}"


def example_map(truth: str, where: str) -> str:
    """For who does not see it."""
    return f"The scan with the map of {NAMES[truth].lower()}, {where}"


def robustness(slices: int, unchanged: float) -> str:
    return f"Accuracy on {slices:,} held-out slices; unchanged {share(unchanged)} (dotted)."


def against(change: str, lost: float) -> str:
    return f"Accuracy against {change}; it costs {100 * lost:.0f} points at most"


def cost_little(count: int, points: float) -> str:
    return f"{count} that cost less than {100 * points:.0f} points"


_NAMED = 3
"""Of a longer list, how many are named; the numbers have all."""


def lost(costs: Mapping[str, float]) -> str:
    """Args: costs: change -> accuracy that its worst step costs, the dearest first."""
    listed = ", ".join(f"{change} {100 * points:.0f}" for change, points in [*costs.items()][:_NAMED])
    return f"Points lost at the worst step: {listed}."


def refused_by_group(refused: Mapping[str, Mapping[str, float]]) -> str:
    """Args: refused: "SOURCE/SEQUENCE" -> share of its slices of heads that are refused."""
    most = sorted(refused, key=lambda name: refused[name]["value"], reverse=True)[:_NAMED]
    return (
        "Heads refused most: "
        + ", ".join(f"{group(name)} {share(refused[name]['value'])}" for name in most)
        + "."
    )


def maps_by_source(pointing: Mapping[str, Mapping[str, float]]) -> str:
    """Args: pointing: source -> share of its slices whose brightest place lies in a box."""
    each = ", ".join(f"{source} {share(entry['value'])}" for source, entry in pointing.items())
    return f"Brightest place: {each}."


def audit(names: int, images: int, leaks: str | None) -> str:
    return f"{names:,} names, {images:,} different images." + (f" {leaks}" if leaks else "")


def duplicates(count: int, of: int, threshold: float) -> str:
    return f"{count:,} of {of:,} images have a near-duplicate: correlation above {threshold} (dashed)."


def duplicates_between(split: str | None) -> str:
    """Args: split: the collection whose published split it is; None between collections."""
    return f"Published split of {split}." if split else "Names with a near-duplicate in the column."


def leak(collection: str, part: float) -> str:
    return (
        f"Published split of {collection}: {share(part)} of the test images have a near-duplicate in "
        "training."
    )


def curve(quantity: str) -> str:
    return f"Training curve: {quantity}"


def goes(training: Sequence[str], held_out: Sequence[str], epochs: int) -> str:
    """Args: training, held_out: first and last value; none where no held-out slices were followed."""
    return f"{training[0]} to {training[1]} in {epochs} epochs; " + (
        f"held out {held_out[0]} to {held_out[1]}." if held_out else "held out: not recorded."
    )


def card(
    *,
    megabytes: float,
    trained: str,
    backbone: str,
    epochs: int,
    a_epoch: int,
    slices: Mapping[str, int],
    sources: Sequence[str],
    boxes: int,
) -> str:
    """The model card.

    Args:
        a_epoch: slices an epoch.
        slices: what it learned from, by class.
        boxes: on how many of them a box was drawn.
    """
    names = {**NAMES, "tumor_of_unknown_class": "tumour of unknown class"}
    counts = ", ".join(f"{count:,} {names[name].lower()}" for name, count in slices.items())
    return f"""
MobileNetV2 1.0, {megabytes:.1f} MB, trained {trained}: {epochs} epochs of {a_epoch:,} slices, from
`{backbone}`.

Learned from {sum(slices.values()):,} slices of {", ".join(f"`{source}`" for source in sources)}: {counts};
{boxes:,} with a box round the tumour.

**For teaching and research. Not for diagnosis, triage or treatment.**
"""
