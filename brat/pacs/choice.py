"""Which series are read, by the header of one instance, before pixels are fetched; and why the others are
not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pydicom.uid import EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage, MRImageStorage

if TYPE_CHECKING:
    from brat.pacs.archive import Archive, SeriesEntry

MR = (MRImageStorage, EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage)
"""SOP classes, of a file for each slice and of one for all."""

MEASURED = ("t1ce", "t1", "flair")
"""Sequences on which the model was measured in a hospital that it had not met, the best first."""

NAMES = {"t1ce": "T1 after contrast", "t1": "T1", "t2": "T2", "flair": "FLAIR"}

_HEAD = {"", "HEAD", "BRAIN", "SKULL", "HEADNECK", "WHOLEHEAD", "NEURO", "PITUITARY", "SELLA"}

_LOCALISER = r"\b(loc|locali[sz]\w*|scout|survey|smartbrain|3[- ]?plane)\b"
_ELSEWHERE = (
    r"\b(spine|[ctl]-?spine|cervical|thorac\w+|lumbar|neck|knee|shoulder|hip|abdomen|pelvis|cardiac|liver)\b"
)
_OTHER_KIND = {
    "diffusion": r"\b(dwi|dti|diff\w*|adc|trace\w*|ep2d_diff\w*)\b|diffusion",
    "perfusion": r"\b(perf\w*|dsc|dce|asl|cbf|cbv|mtt|ttp)\b|perfusion",
    "susceptibility": r"\b(swi|swan|t2\*|t2star|hemo|mip)\b|suscept",
    "angiography": r"\b(tof|mra|mrv|angio\w*|pca)\b",
    "functional": r"\b(bold|fmri|resting)\b",
    "spectroscopy": r"\b(mrs|svs|csi|spectro\w*)\b",
}
_AFTER_CONTRAST = r"(\+\s*c\b|\bc\+|\bgd\b|gad\w*|\bpost\b|contrast|\bce\b|\bkm\b|\bt1c\b|\bt1ce\b|gado)"
_BEFORE_CONTRAST = r"\b(pre|without|w/o|native|nativ|non)\b"


class Choice(NamedTuple):
    """Whether a series is read.

    Attributes:
        read: whether it is.
        sequence: "t1ce", "t1", "t2" or "flair"; empty where the header does not tell.
        reason: in words, of either.
    """

    read: bool
    sequence: str
    reason: str


class Header(Protocol):
    """A `pydicom.dataset.Dataset`, or what `brat.io.door.describe` says of one."""

    def get(self, keyword: str, /) -> Any: ...


def choose(header: Header, returned: bool = True) -> Choice:
    """Judge a series by the header of one of its instances; nothing else is known of it.

    Args:
        returned: whether its reading goes back to the archive, for which each slice must be a file.
    """
    words = _words(header)
    kinds = {str(value).upper() for value in _values(header.get("ImageType"))}
    if (modality := _text(header, "Modality")) != "MR":
        return _no(f"not MR but {modality or 'of no modality'}")
    if _text(header, "SOPClassUID") not in ((MRImageStorage,) if returned else MR):
        return _no("all slices in one file, which cannot be returned to yet")
    if "LOCALIZER" in kinds or re.search(_LOCALISER, words):
        return _no("a localiser")
    body = re.sub(r"[^A-Z]", "", _text(header, "BodyPartExamined").upper())
    if body not in _HEAD:
        return _no(f"not of the head but of {body.lower()}")
    if not body and re.search(_ELSEWHERE, words):
        return _no("not of the head, by its description")
    if kinds & {"P", "PHASE", "PHASE MAP", "I", "IMAGINARY", "R", "REAL"}:
        return _no("a phase image")
    tags = " ".join(kinds).lower()
    for kind, pattern in _OTHER_KIND.items():
        if re.search(pattern, f"{words} {tags}"):
            return _no(f"{kind}, which the model was not measured on")
    if "DERIVED" in kinds:
        return _no("derived from other images")
    sequence = sequence_of(header)
    if sequence not in MEASURED:
        kind = NAMES.get(sequence, "a sequence that the header does not tell")
        return Choice(False, sequence, f"{kind}, which the model was not measured on")
    return Choice(True, sequence, NAMES[sequence])


def best(choices: Iterable[tuple[str, Choice]]) -> str | None:
    """Of several series that can be read, the one to begin with; None where there is none."""
    readable = [(MEASURED.index(choice.sequence), name) for name, choice in choices if choice.read]
    return min(readable, key=lambda pair: pair[0])[1] if readable else None


def sequence_of(header: Header) -> str:
    """By the description where it says, else by the times of the acquisition, milliseconds."""
    words = _words(header)
    repetition, echo, inversion = (
        _number(header, keyword) for keyword in ("RepetitionTime", "EchoTime", "InversionTime")
    )
    if re.search(r"flair|dark[- ]?fluid", words) and not re.search(r"\bt1\b|t1[_-]", words):
        return "flair"
    is_t1 = bool(re.search(r"(^|[^a-z0-9])(t1\w*|mprage|bravo|spgr|vibe|tfl\w*)", words))
    is_t2 = bool(re.search(r"(^|[^a-z0-9])t2", words))
    if not (is_t1 or is_t2) and repetition is not None and echo is not None:
        if inversion and inversion > 1500 and echo > 60:
            return "flair"
        is_t1 = echo < 30 and (repetition < 1200 or bool(inversion and inversion < 1500))
        is_t2 = echo >= 60 and repetition >= 2000
    if is_t1 and not is_t2:
        return "t1ce" if _after_contrast(header, words) else "t1"
    return "t2" if is_t2 and not is_t1 else ""


def _after_contrast(header: Header, words: str) -> bool:
    if re.search(_BEFORE_CONTRAST, words):
        return False
    agent = _text(header, "ContrastBolusAgent").strip().lower()
    given = agent not in ("", "no", "none", "n", "0", "nein")
    return given or bool(re.search(_AFTER_CONTRAST, words))


def _no(reason: str) -> Choice:
    return Choice(False, "", reason)


def _words(header: Header) -> str:
    said = (_text(header, keyword) for keyword in ("SeriesDescription", "ProtocolName", "SequenceName"))
    return " ".join(said).lower().replace("_", " ")


def _text(header: Header, keyword: str) -> str:
    value = header.get(keyword)
    return " ".join(value) if isinstance(value, list) else str(value or "")


def _values(value: Any) -> list:
    """The values of an element, which may hold several, one or none."""
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def _number(header: Header, keyword: str) -> float | None:
    try:
        return float(_text(header, keyword))
    except (TypeError, ValueError):
        return None


def choices_of(archive: Archive, study: str, returned: bool = True) -> list[tuple[SeriesEntry, Choice]]:
    """Every series of a study with whether it is read; headers are asked for only of MR.

    Args:
        returned: see `choose`.

    Raises:
        brat.pacs.archive.PacsError: the archive does not answer.
    """
    judged = []
    for entry in archive.series(study):
        if entry.modality and entry.modality != "MR":
            judged.append((entry, _no(f"not MR but {entry.modality}")))
        else:
            judged.append((entry, choose(archive.header(entry), returned)))
    return judged
