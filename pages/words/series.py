"""Words of a series in Review."""

from __future__ import annotations

from brat import CLASS_NAMES
from brat.figures import percent
from brat.series_reading import SeriesReading, spans

PLANE = "View"
VOLUME = "Volume"
PLANES = {"acquired": "As acquired", "axial": "Axial", "coronal": "Coronal", "sagittal": "Sagittal"}

NOT_READ = "Not read"
UNLIKE = "Not a slice like those the model knows"
TABLE = "Every slice: its answer, its probabilities and what the gate says."
EVERY_SLICE = "Every slice as numbers"

HEADING_NONE = "No slice to answer for"
NO_TUMOUR = "No tumour: the answer in every slice"
HOW = (
    "**Not a probability for the patient.** Each slice was read by itself; this counts the answers, and "
    "averages nothing. A tumour shows in several neighbouring slices, an error often in one."
)
UNKNOWN = (
    "How often a whole series is read rightly was never measured. The model learned from single slices that "
    "people chose, most of them with a tumour in view. A series has many that nobody would choose: expect "
    "false answers, above all at the base and the top of the head. Not a medical device, not for diagnosis."
)


def reading(number: int, count: int) -> str:
    return f"Reading slice {number} of {count} …"


def heading(read: SeriesReading) -> str:
    """What the eye meets first: "Meningioma: the answer in 14 of 96 slices"."""
    if read.leading is None:
        return HEADING_NONE
    if read.leading == "no_tumor":
        return NO_TUMOUR
    return (
        f"{CLASS_NAMES[read.leading]}: the answer in {read.count(read.leading)} of {len(read.known)} slices"
    )


def findings(read: SeriesReading) -> list[str]:
    """A sentence for each tumour that is some slice's answer, and for what was left out."""
    said = []
    order = sorted(CLASS_NAMES, key=lambda label: label != read.leading)
    for label in order:
        run = read.longest(label)
        if label == "no_tumor" or run is None:
            continue
        count = read.count(label)
        strongest = percent(float(read.slices[run.strongest].prediction.by_class()[label]))
        where = f"slice {run.first + 1}" if len(run) == 1 else f"slices {run.first + 1} to {run.last + 1}"
        alone = "in" if count == len(run) else "the longest run in"
        said.append(
            f"**{CLASS_NAMES[label]}**: {count} slice{'s' * (count > 1)}, {alone} {where}; strongest "
            f"{strongest} in slice {run.strongest + 1}."
        )
    if read.leading == "no_tumor":
        said.append(f"No tumour is the answer in all {len(read.known)} slices that the gate lets through.")
    if read.refused:
        said.append(
            f"{len(read.refused)} slice{'s' * (len(read.refused) > 1)} refused as unlike those that the "
            f"model knows: {spans(read.refused)}."
        )
    if read.unread:
        said.append(f"Not read, damaged or empty: {spans(read.unread)}.")
    return said


def strip(read: SeriesReading) -> str:
    """The strip chart in words."""
    plain = [sentence.replace("**", "") for sentence in findings(read)]
    return f"Probability of each class along {len(read.slices)} slices. {' '.join(plain)}"


def answer(label: str, confidence: float) -> str:
    return f"{CLASS_NAMES[label]}, {percent(confidence)}"


def doubt(level: float, inside: tuple[str, ...] | None, score: float | None) -> str:
    """The set and the gate of a slice, in one line."""
    said = []
    if inside is not None:
        names = " or ".join(CLASS_NAMES[name].lower() for name in inside) or "no class"
        said.append(f"{percent(level)} set: {names}.")
    if score is not None:
        said.append(f"Like the slices that the model knows: distance {score:.2f}, limit 1.")
    return " ".join(said)
