"""Words of the Review page."""

from __future__ import annotations

from collections.abc import Sequence

from brat.wording import percent
from pages.words.markdown import literal

WELCOME = (
    "Reads one brain MRI slice as glioma, meningioma, pituitary tumour or no tumour, and shows how sure "
    "it is and where in the slice the answer comes from. **Not a medical device:** no diagnosis or "
    "treatment may depend on it. The scan stays on the computer that runs this page."
)
UPLOAD = (
    "Drop a brain MRI slice, a series or many scans here: PNG, JPEG, BMP, TIFF, WebP, DICOM, NIfTI or ZIP"
)

OF_UNKNOWN = " of an unknown kind of picture"
SHOW_ANYWAY = "Show the reading all the same"
FOUR_ANSWERS = "The model can only give one of its four answers, whatever the picture shows."
SAME = "The same reading."
CHANGED = "**The reading has changed.**"

CERTAINTY_HELP = (
    "In this share of slices like those it was measured on, the set holds the truth. A higher certainty "
    "makes larger sets."
)
REFER = "**Too uncertain to name a class. Refer this scan to a specialist.**"
NOT_CALIBRATED = (
    "The probabilities of this model are not calibrated yet, and it has no prediction sets: do not take 80 % "
    "for 80 of 100."
)
NOT_CHECKED = "Whether the model knows scans like this one was not checked: this model cannot."
NOT_APART = "The model cannot tell these apart here. Do not rely on the first alone."
CAVEAT = "Probability of each class by the model. Not a medical device, not for diagnosis."

METHOD_HELP = (
    "Grad-CAM comes with every reading. Grad-CAM++ takes seconds, Score-CAM a minute, more on a busy "
    "computer; the first map also loads TensorFlow. Go on meanwhile: the map appears when it is there."
)

SAMPLES_ARE = (
    "Never seen in training: slices of patients that were held out of it, each with the class that the "
    "radiologists gave, a series of one of them, and healthy heads."
)


def making(method: str, share: float | None) -> str:
    """Args: share: how much is done, 0 to 1; None while another map is being made."""
    if share is None:
        return f"{method}: waiting for another map"
    if share == 0:
        return f"{method}: loading and preparing; Grad-CAM is shown meanwhile"
    if share == 1:
        return f"{method}: putting the map together"
    return f"{method}: {percent(share)}; Grad-CAM is shown meanwhile"


def opening(names: Sequence[str]) -> str:
    return f"Opening {literal(names[0])}" if len(names) == 1 else f"Opening {len(names)} files"


def still_shown(name: str) -> str:
    return f" What is shown below is still {literal(name)}."


def file(name: str, size: str, format: str, has_sides: bool = True) -> str:
    """Args: has_sides: whether the file says where left and right of the patient are."""
    sides = "" if has_sides else "left and right not known"
    return " · ".join(filter(None, (literal(name), size, format, sides)))


def sample(title: str, origin: str) -> str:
    return f"Sample, never seen in training: {title}. {origin}."


def unlike(reason: str) -> str:
    return f"**Not a slice like those the model knows.** {reason}"


def like(score: float) -> str:
    return f"Like known slices: unlikeness {score:.2f}, limit 1."


def before(name: str, probability: str) -> str:
    return f"As uploaded: **{name}**, {probability}. "


def in_set(level: str, names: str) -> str:
    return f"**{level} set:** {names}"


def preview(name: str, clip_limit: float | None, change: float | None) -> str:
    """A preview in words: "scan.png after CLAHE with clip limit 2"."""
    steps = [f"after CLAHE with clip limit {clip_limit:g}"] if clip_limit is not None else []
    steps += [f"with {100 * change:+.0f} % brightness"] if change is not None else []
    return f"{name} {' '.join(steps) or 'as uploaded'}"


def recalibrated(site: str, slices: int, day: str) -> str:
    """Args: site: what it is called; may be empty."""
    return f"Recalibrated for {literal(site) or 'this site'} on {slices:,} slices, {day}."
