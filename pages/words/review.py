"""Words of the Review page."""

from __future__ import annotations

TITLE = "BraTum Scans"
WELCOME = (
    "Reads one brain MRI slice as glioma, meningioma, pituitary tumour or no tumour, and shows how sure "
    "it is and where in the slice the answer comes from. **Not a medical device:** no diagnosis or "
    "treatment may depend on it. The scan stays on the computer that runs this page."
)
UPLOAD = (
    "Drop a brain MRI slice, a series or many scans here: PNG, JPEG, BMP, TIFF, WebP, DICOM, NIfTI or ZIP"
)
BACK = "Back to the series"
OR_A_SAMPLE = "Or try one of these:"
SAMPLES = "Samples"

READING = "Reading"
ENHANCED_READING = "Reading of the enhanced scan"
OF_UNKNOWN = " of an unknown kind of picture"
UNSURE = ": unsure"
SHOW_ANYWAY = "Show the reading all the same"
FOUR_ANSWERS = "The model can only give one of its four answers, whatever the picture shows."
SAME = "The same reading."
CHANGED = "**The reading has changed.**"
AS_UPLOADED = "as uploaded"
ENHANCED = "enhanced"

CERTAINTY = "Certainty of the set"
CERTAINTY_HELP = (
    "In this share of slices like those it was measured on, the set holds the truth. A higher certainty "
    "makes larger sets."
)
NO_CLASS = "no class"
REFER = "**Too uncertain to name a class. Refer this scan to a specialist.**"
NOT_APART = "The model cannot tell these apart here. Do not rely on the first alone."
CAVEAT = "Probability of each class by the model. Not a medical device, not for diagnosis."
BARS = "Probability of each class"

SLOW_MAP = "Making the map …"
METHOD = "How the map is made"
METHOD_HELP = "Grad-CAM comes with every reading. The others ask the model again and take seconds."
MAP_OF = "Map of"

ENHANCE = "Enhance"
CLAHE = "CLAHE"
CLAHE_HELP = "Contrast-limited adaptive histogram equalisation"
CLIP_LIMIT = "Clip limit"
CLAHE_DOES = "Raises contrast tile by tile; faint enhancement shows better, and so does noise."
BRIGHTNESS = "Brightness"
CHANGE = "Change, % of full scale"
BRIGHTNESS_DOES = "Makes the whole scan lighter or darker."
ORIGINAL = "As uploaded"
READ_ENHANCED = "Read the enhanced scan instead"
READ_ENHANCED_HELP = "Both readings are then shown."


def still_that_of(name: str) -> str:
    return f" The reading below is still that of **{name}**."


def sample(title: str, origin: str) -> str:
    return f"Sample: {title}. {origin}."


def unlike(reason: str) -> str:
    return f"**Not a slice like those the model knows.** {reason}"


def like(score: float) -> str:
    return f"Like the slices that the model knows: distance {score:.2f}, limit 1."


def before(name: str, share: str) -> str:
    return f"As uploaded: **{name}**, {share}. "


def in_set(level: str, names: str) -> str:
    return f"**{level} set:** {names}"


def preview(name: str, clip_limit: float | None, change: float | None) -> str:
    """A preview in words: "scan.png after CLAHE with clip limit 2"."""
    done = [f"after CLAHE with clip limit {clip_limit:g}"] if clip_limit is not None else []
    done += [f"with {100 * change:+.0f} % brightness"] if change is not None else []
    return f"{name} {' '.join(done) or AS_UPLOADED}"
