"""Words of the Model page's parts about how far an answer can be trusted, and what the model is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from brat.figures.charts import NAMES
from brat.wording import percent
from pages.words.numbers import estimate, share

Entry = Mapping[str, float | None]
"""A measure as `metrics.json` has it: value, low, high."""

FEW = "Small marks stand for few slices."
COVERAGE = "Coverage of the prediction sets by class and level, with 95 % intervals"
AS_PROMISED = "Every class is held as often as promised, or oftener."
SETS = "Shares of slices, by how many classes their set names."

BY_KIND = "Pictures that are no brain MRI slice, by kind."

EXAMPLES_ARE = (
    "Patients held out of training, with the Grad-CAM map of the radiologists' class: how maps look, not how "
    "good they are."
)

REFUSED_BY_GROUP = "Slices of heads that are refused, by source and sequence, with 95 % intervals by patient."

_SEQUENCES = {
    "t1ce": "T1 after contrast",
    "t1": "T1",
    "t2": "T2",
    "flair": "FLAIR",
    "unknown": "sequence unknown",
}

NEAREST = "How like its nearest other image each image is"


def calibration(after: Entry, temperature: float, before: Entry) -> str:
    return (
        f"Mean gap between probability and truth (expected calibration error): **{estimate(after)}**; "
        f"uncalibrated (temperature {temperature:.2f}) {estimate(before)}. Sets hold their level where that "
        "is hardest; a harder hospital is not covered."
    )


def surest(bins: Mapping[str, Sequence[float]]) -> str:
    """How right the surest readings are."""
    count, confidence, right = (bins[key][-1] for key in ("count", "confidence", "accuracy"))
    if not count:
        return FEW
    return (
        f"The surest {count:,.0f} of {sum(bins['count']):,.0f} slices are read with {share(confidence)} on "
        f"average, and {share(right)} of them rightly. {FEW}"
    )


def furthest_below(label: str, level: float, held: float) -> str:
    return (
        f"Furthest below its promise: {NAMES[label].lower()} in the {percent(level)} set, held in "
        f"{share(held)}."
    )


def level(share: float) -> str:
    return f"{percent(share)} set".replace(" ", "\u00a0")


def let_through(kind: str, count: int, of: int) -> str:
    return f"{kind} ({count} of {of})"


def out_of_distribution(
    slices: int, refused: Entry, images: int, others: float, through: Sequence[str]
) -> str:
    return (
        f"Refused: {estimate(refused)} of {slices:,} unseen slices, **{share(others)}** of {images:,} other "
        f"pictures, all new to the check. Let through: {', '.join(through) or 'none'}."
    )


def group(name: str) -> str:
    """ "lgg/t1ce" -> "lgg, T1 after contrast"."""
    source, _, sequence = name.partition("/")
    return f"{source}, {_SEQUENCES[sequence]}"


def sets_by_group(level: float) -> str:
    return f"The {percent(level)} set by source and sequence, with 95 % intervals by patient."


def all_kinds(count: int) -> str:
    return f"All {count} kinds of pictures"


def maps(slices: int, pointing: Entry, energy: Entry, chance: Entry) -> str:
    return (
        f"In the tumour's box, on {slices:,} correctly read slices: the brightest place in "
        f"**{estimate(pointing)}** (pointing game), **{estimate(energy)}** of the map's sum (energy; by "
        f"chance {estimate(chance)}). **Trained with such boxes: elsewhere maps may point less well.**"
    )


def best_map(best: Sequence[str]) -> str:
    return f"Ways to make the map. {' and '.join(best)} point{'s' if len(best) == 1 else ''} best."


def example(title: str, truth: str, label: str, confidence: float, where: str) -> str:
    return (
        f"{title}: read as **{NAMES[label].lower()}** ({percent(confidence)}); map "
        + ("" if truth == label else f"of {NAMES[truth].lower()} ")
        + f"{where}."
    )


def robustness(slices: int, unchanged: float) -> str:
    return (
        f"Accuracy on {slices:,} held-out slices, changed on purpose; unchanged {share(unchanged)} (dotted)."
    )


def light(count: int, of: int, points: float) -> str:
    return f" {count} of {of} changes cost less than {100 * points:.0f} points."


def against(change: str, lost: float) -> str:
    return f"Accuracy against {change}; it costs {100 * lost:.0f} points at most"


def cost_little(changes: Sequence[str]) -> str:
    return f"Those that cost little: {', '.join(changes)}"


def lost(costs: Mapping[str, float]) -> str:
    listed = ", ".join(f"{change} {100 * points:.0f}" for change, points in costs.items())
    return f"Points of accuracy lost at the worst step: {listed}."


def worst_change(change: str, level: float, points: float) -> str:
    return f"The worst, {change} at {level:g}, costs {100 * points:.0f} points."


def audit(names: int, images: int, leaks: str | None) -> str:
    return (
        f"{names:,} names, {images:,} different images. "
        + (f"{leaks} " if leaks else "")
        + "Splits here keep them on one side."
    )


def duplicates(count: int, of: int, threshold: float) -> str:
    return (
        f"{count:,} of {of:,} images have a near-duplicate: a correlation above {threshold} (dashed) of "
        "framed thumbnails."
    )


def duplicates_between(split: str | None) -> str:
    """Args: split: the collection whose published split it is; None between collections."""
    sentence = "Share of the row's names with a near-duplicate in the column"
    return f"{sentence}, in the published split of {split}." if split else f"{sentence}."


def leak(collection: str, part: float) -> str:
    return (
        f"In the published split of {collection}, {share(part)} of the test images have a near-duplicate in "
        "training."
    )


def curve(quantity: str) -> str:
    return f"Training curve: {quantity}"


def goes(quantity: str, training: Sequence[str], held_out: Sequence[str], epochs: int) -> str:
    """Args: training, held_out: first and last value; none where no held-out slices were followed."""
    return (
        f"Training {quantity} (augmented: not comparable with the figures above) {training[0]} to "
        f"{training[1]} in {epochs} epochs; "
        + (f"held out {held_out[0]} to {held_out[1]}." if held_out else "no held-out line was recorded.")
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
**What it is.** MobileNetV2 1.0, last stage at stride 16, class maps as its head; {megabytes:.1f} MB; trained
{trained} from `{backbone}`, {epochs} epochs of {a_epoch:,} slices.

**What it learned from.** {sum(slices.values()):,} slices of {", ".join(f"`{source}`" for source in sources)}:
{counts}. On {boxes:,} a box round the tumour taught the class maps.

**What it is for.** Teaching, research, and a second look at single T1-weighted contrast-enhanced slices of
adults like those it learned from, by people who can judge its answer.

**What it is not for.** Diagnosis, triage, treatment; other sequences than it learned from, other
body parts, children, other tumours (metastases, lymphoma), bleeding, stroke,
inflammation: it gives one of four answers all the same.
"""
