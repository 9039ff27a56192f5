"""Which series are read, by the header of one instance, before pixels are fetched; and why the others are
not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from pydicom.uid import EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage, MRImageStorage

from brat import log
from brat.io.dicom_frames import PER_FRAME, SHARED, groups
from brat.io.evidence import MEASURED, SEQUENCES, guess_sequence, is_derived, kinds_of, other_part
from brat.io.scan import UnreadableScan

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from brat.pacs.archive import Archive, SeriesEntry

MR = (MRImageStorage, EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage)
"""SOP classes, of a file for each slice and of one for all."""

_MODALITIES = (
    *("CR", "CT", "DOC", "DX", "KO", "MG", "NM", "OT", "PR", "PT", "PX", "REG", "RF"),
    *("RTDOSE", "RTIMAGE", "RTPLAN", "RTSTRUCT", "SEG", "SR", "US", "XA"),
)
"""Codes that are named beside MR (PS3.3 C.7.3.1.1.1)."""

_ELSEWHERE = (
    r"\b(spine|[ctl]-?spine|cervical|thorac\w+|lumbar|neck|knee|shoulder|hip|abdomen|pelvis|cardiac|liver)\b"
)


class Choice(NamedTuple):
    """Whether a series is read.

    Attributes:
        read: whether it is.
        sequence: a key of `brat.io.evidence.SEQUENCES`; empty where the header does not tell.
        reason: in words, of either.
    """

    read: bool
    sequence: str
    reason: str


def choose(header: Dataset) -> Choice:
    """Judge a series by the header of one of its instances; nothing else is known of it.

    Of a file of frames the first frame is judged, and what is said of all.
    """
    if (modality := str(header.get("Modality") or "")) != "MR":
        return _not_mr(modality)
    if header.get("SOPClassUID") not in MR:
        return _no("not stored as images of MR")
    if part := other_part(header):
        return _no(f"not of the head but of {part}")
    described = f"{header.get('SeriesDescription') or ''} {header.get('ProtocolName') or ''}"
    if not header.get("BodyPartExamined") and re.search(_ELSEWHERE, described.lower().replace("_", " ")):
        return _no("not of the head, by its description")
    sources = (header, *groups(header, SHARED), *groups(header, PER_FRAME))
    if kinds := kinds_of(sources):
        return _no(kinds[0])
    sequence = guess_sequence(sources)
    if sequence == "localizer":
        return _no(SEQUENCES[sequence])
    if sequence not in MEASURED:
        kind = SEQUENCES.get(sequence, "a sequence that the header does not tell")
        return Choice(False, sequence, f"{kind}, which the model was not measured on")
    if is_derived(sources):
        return _no("derived from other images")
    return Choice(True, sequence, SEQUENCES[sequence])


def _not_mr(modality: str) -> Choice:
    """A reason repeats no words of a header, where anything may stand, but codes that are known."""
    if not modality:
        return _no("not MR: its header names no modality")
    return _no(f"not MR but {modality}" if modality in _MODALITIES else "not MR but another modality")


def _no(reason: str) -> Choice:
    return Choice(False, "", reason)


def choices_of(archive: Archive, study: str) -> list[tuple[SeriesEntry, Choice]]:
    """Every series of a study with whether it is read; headers are asked for only of MR.

    A series whose header the archive does not send is left out, and no other with it: by DIMSE instances of
    classes that are not read here, such as spectroscopy, cannot be had.

    Raises:
        brat.pacs.archive.PacsError: the archive does not answer, or sends the header of none.
    """
    from brat.pacs.archive import NoAnswer, PacsError

    unsent: list[Exception] = []
    judged = []
    for entry in archive.series(study):
        if entry.problem:
            judged.append((entry, _no(entry.problem)))
            continue
        if entry.modality and entry.modality != "MR":
            judged.append((entry, _not_mr(entry.modality)))
            continue
        try:
            judged.append((entry, choose(archive.header(entry))))
        # It would be waited for as long with every series.
        except NoAnswer:
            raise
        except (PacsError, UnreadableScan) as error:
            log.refusal(error)
            unsent.append(error)
            judged.append((entry, _no("the archive does not send its header")))
    if unsent and len(unsent) == len(judged):
        raise PacsError(str(unsent[0])) from unsent[0]
    return judged
