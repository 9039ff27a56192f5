"""What a DICOM header says of its picture: whether it is MR, which sequence, and what speaks against it.

No words of the header are passed on, as a patient's name may stand anywhere: only what is known here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from brat.io.scan import UnreadableScan

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag

SEQUENCES = {
    "t1": "T1",
    "t1ce": "T1 after contrast",
    "t2": "T2",
    "flair": "FLAIR",
    "pd": "proton density",
    "swi": "susceptibility or T2*",
    "dwi": "diffusion",
    "adc": "a diffusion map",
    "perfusion": "perfusion",
    "mra": "angiography",
    "localizer": "a localiser",
}
"""Code -> name, of the sequences that are told apart."""

MEASURED = ("t1ce", "t1", "flair")
"""The sequences on which the model was measured, with tumours and without, in a hospital new to it."""

# fmt: off
_MODALITIES = {
    "BI", "CR", "CT", "DG", "DX", "ES", "GM", "HC", "HD", "IO", "IVOCT", "IVUS", "KER", "LS", "MG", "MR",
    "NM", "OCT", "OP", "OPM", "OPT", "OT", "PT", "PX", "RF", "RG", "RTDOSE", "RTIMAGE", "SC", "SEG", "SM",
    "ST", "TG", "US", "XA", "XC",
}
"""PS3.3 C.7.3.1.1.1, of pictures: what else stands there may be anybody's words, and is not passed on."""

# fmt: on

_OF_CLASSES = {
    **dict.fromkeys(("4", "4.1", "4.3", "4.4"), "MR"),
    **dict.fromkeys(("2", "2.1", "2.2"), "CT"),
    **dict.fromkeys(("128", "128.1", "130"), "PT"),
    **dict.fromkeys(("3.1", "6.1", "6.2"), "US"),
    "1": "CR",
    "1.1": "DX",
    "1.2": "MG",
    "12.1": "XA",
    "12.2": "RF",
    "20": "NM",
    "66.4": "SEG",
    "481.1": "RTIMAGE",
    "481.2": "RTDOSE",
}
"""End of a SOP Class UID (PS3.4 B.5) -> the modality of its pictures."""

_STORAGE = "1.2.840.10008.5.1.4.1.1."

_MAY_BE_MR = ("", "MR", "OT", "SC", "HC", "XC", "DG")
"""Modalities of a picture that may be MR: also of captures, prints, photographs and converted files."""

_OTHER_MODALITIES = {
    "CT": "computed tomography",
    "PT": "positron emission tomography",
    "NM": "nuclear medicine",
    "US": "ultrasound",
    "CR": "radiography",
    "DX": "radiography",
    "RG": "radiography",
    "MG": "mammography",
    "XA": "X-ray angiography",
    "RF": "fluoroscopy",
    "SEG": "a segmentation",
    "RTDOSE": "a distribution of dose",
    "RTIMAGE": "an image of radiotherapy",
}
"""PS3.3 C.7.3.1.1.1."""

_SCANNERS = {
    "Siemens": (
        *("Symphony", "Sonata", "Harmony", "Avanto", "Espree", "Essenza", "Aera", "Amira", "Sempra", "Altea"),
        *("Sola", "Trio", "Allegra", "Verio", "Skyra", "Spectra", "Prisma", "Lumina", "Vida", "Cima"),
        *("Free.Max", "Terra", "Biograph mMR"),
    ),
    "GE": ("Signa", "Optima", "Discovery", "Architect", "Premier", "Pioneer", "Voyager", "Artist", "Hero"),
    "Philips": ("Intera", "Achieva", "Ingenia", "Ambition", "Elition", "Evolution", "Panorama", "MR 5300"),
    "Canon": ("Vantage", "Excelart", "Titan", "Galan", "Orian"),
    "Toshiba": ("Vantage", "Excelart", "Titan", "Galan"),
    "Hitachi": ("Airis", "Aperto", "Echelon", "Oasis"),
    "Fujifilm": ("Echelon", "Oasis", "Velocity"),
    "United Imaging": ("uMR",),
    "Esaote": (),
    "Hyperfine": ("Swoop",),
}
"""Manufacturers, and words of their models' names, that are told apart. No person's name is among them."""

_OTHER_NAMES = {"GENERAL ELECTRIC": "GE", "UIH": "United Imaging"}
"""As headers write a manufacturer, besides its name."""

_FIELDS = (0.064, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.55, 0.6, 0.7, 1, 1.2, 1.5, 3, 5, 7)
"""Tesla, of scanners that are sold."""

_HEAD = (
    *("HEAD", "BRAIN", "SKULL", "PITUITARY", "SELLA", "ORBIT", "IAC", "FACE", "NEURO", "CEREB", "TEMPORAL"),
    *("KOPF", "SCHAEDEL", "HIRN", "TETE", "CRANE", "CRAN", "ENCEF", "CABE", "TESTA", "HOOFD", "HERSEN"),
    *("CERVEAU", "CERVELLO"),
)
"""Parts of how a head is called where the header names the part of the body, in several languages."""

_OTHER_PARTS = {
    "SPINE": "the spine",
    "NECK": "the neck",
    "CHEST": "the chest",
    "THORAX": "the chest",
    "HEART": "the heart",
    "BREAST": "the breast",
    "ABDOMEN": "the abdomen",
    "LIVER": "the liver",
    "KIDNEY": "a kidney",
    "PELVIS": "the pelvis",
    "PROSTATE": "the prostate",
    "UTERUS": "the uterus",
    "SHOULDER": "a shoulder",
    "ELBOW": "an elbow",
    "WRIST": "a wrist",
    "HAND": "a hand",
    "HIP": "a hip",
    "KNEE": "a knee",
    "ANKLE": "an ankle",
    "FOOT": "a foot",
    "LEG": "a leg",
    "ARM": "an arm",
    "EXTREMITY": "an arm or a leg",
}
"""Defined terms of Body Part Examined (PS3.16, annex L), or a part of one, -> in words."""

_DESCRIPTIONS = ("StudyDescription", "SeriesDescription", "ProtocolName")

_UNKNOWN_PART = "The header names a part of the body that is not known here."

_COMPONENT = "ComplexImageComponent"

_KINDS = (
    (("MOSAIC",), "a mosaic of many slices"),
    (("P", "PHASE", "PHASE MAP", "PHASE_MAP", "VELOCITY", "VELOCITY MAP"), "a phase map"),
    (("R", "I", "REAL", "IMAGINARY"), "the real or imaginary part of a signal"),
    (("PROJECTION IMAGE", "MIP", "MNIP", "MINIP", "CSA MIP"), "a projection of many slices"),
    (("SUB", "SUBTRACT", "SUBTRACTION"), "a difference of two pictures"),
    (("T1 MAP", "T2 MAP", "T2_STAR MAP", "FA", "TTP", "PBP", "CBF", "CBV", "MTT"), "a computed map"),
)
"""Values of Image Type, of the standard and of manufacturers, -> what such a picture is."""

# Of a description, in lower case, with a blank in place of each separator. The first that matches counts.
_DESCRIBED = (
    ("localizer", r"\b(loc|locali[sz]er|scout|pilot|survey|3 ?plane|aahscout)\b"),
    ("adc", r"\b(e?adc|apparent|fa map|exp coef)\b"),
    ("perfusion", r"\b(perf\w*|pwi|dsc|asl|pcasl|cbf|cbv|mtt|ttp|dce)\b"),
    ("dwi", r"\b(e?dwi|dti|diff\w*|trace\w*|b ?1000)\b"),
    ("swi", r"\b(swi|swan|venobold|t2 ?(star|gre)|hemo|t2 fl2d|t2 ffe|medic)\b|\bt2 ?\*"),
    ("mra", r"\b(mra|tof|angio\w*|mrv|venogra\w*)\b"),
    # A T1 that is prepared by inversion is called T1 FLAIR.
    ("t1", r"\bt1\w* ?(flair|tirm|dark fluid)\b"),
    ("flair", r"\b\w*flair\w*\b|\btirm\b|\bdark ?fluid\b"),
    ("t1", r"\be?t1\w*\b|\b\w*(mprage|mp rage|bravo|spgr|vibe|thrive|tfl3d)\w*\b"),
    ("t2", r"\be?t2\w*\b|\b(ciss|fiesta|drive|haste|ssfse)\b"),
    ("pd", r"\b(pd|pdw|proton)\w*\b"),
)
_CONTRAST = re.compile(
    r"\b(gd|gad\w*|ce|post|contrast|km|mdc|kontrast|dotarem|gadovist|t1c|t1ce|t1gd|t1 ?w?c|c\+|\+c)\b"
    r"|\+ ?(c|gd|gad|km)\b|\bc ?\+"
)
# When a patient was treated says nothing of contrast.
_OPERATED = re.compile(r"\b(pre|post) ?(op|oper\w*|surg\w*|rt|xrt|radi\w*|treat\w*|chemo\w*|biops\w*)\b")
_NO_CONTRAST = re.compile(r"\b(pre|without|non|no|w/?o|ohne|nativ\w*|sans|sin) ?(contrast|gd|gad\w*|km|c)?\b")
_NONE = ("", "NO", "NONE", "N", "0", "UNKNOWN", "NIL", "-")


class Evidence(NamedTuple):
    """What a header says.

    Attributes:
        sequence: a key of `SEQUENCES`; empty where nothing says it.
        scanner: manufacturer, model and field, see `guess_scanner`; empty where nothing says it.
        remarks: sentences to stand beside the answer.
    """

    sequence: str
    scanner: str
    remarks: tuple[str, ...]


def modality_of(header: Dataset) -> str:
    """The code of Modality (0008,0060), or that of the SOP class where it is none that is known; empty where
    neither is."""
    code = _text(header, "Modality")
    return (
        code
        if code in _MODALITIES
        else _OF_CLASSES.get(_text(header, "SOPClassUID").removeprefix(_STORAGE), "")
    )


def refuse_other_modality(modality: str) -> None:
    """Raises `UnreadableScan` where a modality is one of pictures that cannot be MR."""
    if modality not in _MAY_BE_MR:
        named = _OTHER_MODALITIES.get(modality)
        raise UnreadableScan(
            f"By its header this is no MR: its modality is {modality}{f', {named}' if named else ''}. The "
            "model knows MR of the head only. Give the slices of the MR examination."
        )


def evidence(header: Dataset, groups: Sequence[Dataset], modality: str) -> Evidence:
    """Args:
    header: of a file.
    groups: the items of the functional groups of a frame, where it has them.
    modality: its code, of those that are known; empty otherwise.
    """
    sources = (header, *groups)
    sequence = guess_sequence(sources)
    remarks = []
    if modality != "MR":
        named = f"its modality is {modality}" if modality else "it names no modality that is known here"
        remarks.append(f"The header does not say that this is MR: {named}.")
    if part := other_part(header):
        named = f"By its header this shows {part}." if part in _OTHER_PARTS.values() else _UNKNOWN_PART
        remarks.append(f"{named} The model knows the head only.")
    kinds = kinds_of(sources)
    remarks += [f"By its header this is {kind}, which the model was not measured on." for kind in kinds]
    if is_derived(sources) and not kinds:
        remarks.append(
            "By its header this picture was derived from others; it is no slice as it was acquired."
        )
    if sequence == "t2":
        remarks.append(
            "By its header this is T2: the model was measured on slices of it without a tumour only."
        )
    elif sequence and sequence not in MEASURED:
        remarks.append(f"By its header this is {SEQUENCES[sequence]}, which the model was not measured on.")
    if _text(header, "BurnedInAnnotation") == "YES":
        remarks.append("By its header text is burned into this picture; it may name the patient.")
    return Evidence(sequence, guess_scanner(header), tuple(remarks))


def kinds_of(sources: Sequence[Dataset]) -> list[str]:
    """What a picture is by its Image Type (0008,0008) or Complex Image Component (0008,9208), where it is no
    plain magnitude image; in words."""
    types = _types(sources) | {value for source in sources for value in _values(source, _COMPONENT)}
    return [meaning for values, meaning in _KINDS if types.intersection(values)]


def is_derived(sources: Sequence[Dataset]) -> bool:
    """Whether a picture was made of others, by its Image Type."""
    return "DERIVED" in _types(sources)


def _types(sources: Sequence[Dataset]) -> set[str]:
    return {
        value for source in sources for name in ("ImageType", "FrameType") for value in _values(source, name)
    }


def guess_sequence(sources: Sequence[Dataset]) -> str:
    """A key of `SEQUENCES`, by how a series is described, and by its times where that says nothing.

    Contrast is known by the description, or by Contrast/Bolus Agent (0018,0010). The times are those of
    common protocols at 1.5 and 3 T.

    Args:
        sources: the header of a file and the items of its functional groups.
    """
    described = " ".join(
        _text(source, keyword)
        for source in sources
        for keyword in ("SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName")
    )
    described = _OPERATED.sub(" ", re.sub(r"[^a-z0-9+*/]+", " ", described.lower()))
    types = {value for source in sources for value in _values(source, "ImageType")}
    if "LOCALIZER" in types:
        return "localizer"
    if "ADC" in types:
        return "adc"
    found = next((code for code, pattern in _DESCRIBED if re.search(pattern, described)), "")
    found = found or _by_times(sources)
    if found == "t1" and _has_contrast(sources, described):
        return "t1ce"
    return found


def guess_scanner(header: Dataset) -> str:
    """Which kind of scanner made a file: "Siemens Skyra 3 T", of words that are known here only.

    Neither a station, a serial number nor a site is told. What is not known is left out; of an unknown
    manufacturer nothing is said.
    """
    says = _text(header, "Manufacturer")
    names = {**{name.upper(): name for name in _SCANNERS}, **_OTHER_NAMES}
    maker = next((name for said, name in names.items() if re.search(rf"\b{said}\b", says)), "")
    if not maker:
        return ""
    called = _text(header, "ManufacturerModelName").replace("_", " ")
    # Of several the last: "Signa Architect" is an Architect.
    found = [(called.rfind(model.upper()), model) for model in _SCANNERS[maker] if model.upper() in called]
    field = _number((header,), "MagneticFieldStrength") or 0
    # Some write gauss.
    tesla = field / 10_000 if field > 100 else field
    nearest = min(_FIELDS, key=lambda known: abs(known - tesla))
    is_known = abs(nearest - tesla) <= 0.1 * nearest
    return " ".join(
        filter(None, (maker, max(found)[1] if found else "", f"{nearest:g} T" if is_known else ""))
    )


def is_scanner(text: str) -> bool:
    """Whether `guess_scanner` may have said it."""
    maker = next((name for name in _SCANNERS if text.startswith(name)), None)
    if maker is None:
        return text == ""
    models = "|".join(map(re.escape, _SCANNERS[maker])) or "(?!)"
    fields = "|".join(re.escape(f"{field:g}") for field in _FIELDS)
    return re.fullmatch(rf"{maker}( ({models}))?( ({fields}) T)?", text) is not None


def _has_contrast(sources: Sequence[Dataset], described: str) -> bool:
    if _NO_CONTRAST.search(described):
        return False
    agents = [_text(source, "ContrastBolusAgent") for source in sources]
    return any(agent not in _NONE for agent in agents) or bool(_CONTRAST.search(described))


def _by_times(sources: Sequence[Dataset]) -> str:
    techniques = {value for source in sources for value in _values(source, "ScanningSequence")}
    repetition = _number(sources, "RepetitionTime")
    echo = _number(sources, "EchoTime") or _number(sources, "EffectiveEchoTime")
    inversion = _number(sources, "InversionTime") or _number(sources, "InversionTimes")
    if repetition is None or echo is None:
        return ""
    if "EP" in techniques:
        # Diffusion, perfusion and function are told apart by none of these.
        return ""
    if "GR" in techniques and "SE" not in techniques:
        return "t1" if echo <= 12 and (repetition <= 800 or inversion) else "swi" if echo >= 15 else ""
    if inversion and inversion >= 1500 and echo >= 60:
        return "flair"
    if repetition <= 1200 and echo <= 35:
        return "t1"
    if inversion and inversion <= 1200 and echo <= 35:
        return "t1"
    if repetition >= 1800:
        return "t2" if echo >= 60 else "pd" if echo <= 40 and not inversion else ""
    return ""


def other_part(header: Dataset) -> str:
    """What Body Part Examined (0018,0015), or a description where that is empty, names, in words.

    Empty where it may be the head.
    """
    part = _text(header, "BodyPartExamined")
    if part in _NONE:
        words = " ".join(_text(header, keyword) for keyword in _DESCRIPTIONS)
        if any(name in words for name in _HEAD):
            return ""
        words = re.sub("[^A-Z]+", " ", words)
        return next(
            (part for name, part in _OTHER_PARTS.items() if re.search(rf"\b[CTL]?{name}\b", words)), ""
        )
    if any(name in part for name in _HEAD):
        return ""
    return next((meaning for name, meaning in _OTHER_PARTS.items() if name in part), "an unknown part")


def _text(source: Dataset, keyword: str) -> str:
    return " ".join(_values(source, keyword))


def _values(source: Dataset, keyword: str) -> list[str]:
    # By tag: each keyword that a file lacks would cost an exception.
    tag = _tag_of(keyword)
    value: Any = source[tag].value if tag in source else None
    several = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    values = value if several else [] if value is None else [value]
    return [str(part).strip().upper() for part in values]


@cache
def _tag_of(keyword: str) -> BaseTag:
    # Pictures are read without pydicom, which is slow to import.
    import pydicom

    return pydicom.tag.Tag(keyword)


def _number(sources: Sequence[Dataset], keyword: str) -> float | None:
    """A number, of times in milliseconds; None where no source says it, or not as a number above 0."""
    for source in sources:
        for value in _values(source, keyword):
            try:
                number = float(value)
            except ValueError:
                continue
            if number > 0:
                return number
    return None
