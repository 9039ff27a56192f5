"""Codes of the DICOM objects: public ones where there are such, and a private scheme that each object
identifies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brat.classes import CLASS_NAMES

if TYPE_CHECKING:
    from highdicom.sr import CodedConcept
    from pydicom.dataset import Dataset

SCHEME = "99BRATUM"
"""The private coding scheme."""

_SCHEME_UID = "2.25.172254612984113372526148913573105290173"
"""Of the private scheme (PS3.5 B.2: from a random UUID)."""

_DISEASES = {
    "glioma": ("393564001", "Glioma"),
    "meningioma": ("302820008", "Intracranial meningioma"),
    "pituitary": ("127024001", "Neoplasm of pituitary gland"),
}
"""SNOMED CT. There is no code for "none of these three": "normal" would say more than the model does."""


def code(value: str, meaning: str, scheme: str = SCHEME) -> CodedConcept:
    """A code of the private scheme, or of another one."""
    from highdicom.sr import CodedConcept

    return CodedConcept(value, scheme, meaning)


def finding(label: str) -> CodedConcept:
    """What a class of `brat.CLASSES` is as a finding."""
    if label in _DISEASES:
        return code(*_DISEASES[label], "SCT")
    return code("NO-TUMOR", f"{CLASS_NAMES[label]} of the three kinds read")


def probability_of(label: str) -> CodedConcept:
    """The name of the measurement that gives the probability of a class."""
    # 16 characters at most.
    return code(f"P-{label.upper().replace('_', '-')}", f"Probability of {CLASS_NAMES[label].lower()}")


def private_scheme() -> Dataset:
    """The item of Coding Scheme Identification Sequence (PS3.3 C.12.1) for the private scheme."""
    from pydicom.dataset import Dataset

    item = Dataset()
    item.CodingSchemeDesignator = SCHEME
    item.CodingSchemeUID = _SCHEME_UID
    item.CodingSchemeName = "BraTum Scans: answers of a classifier of brain MRI slices"
    item.CodingSchemeResponsibleOrganization = "BraTum Scans"
    return item
