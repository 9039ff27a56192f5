"""The sample scans that ship with the project: slices of patients with a tumour, and healthy heads.

No model that ships was trained on them: `brat.data.held_out` names the patients. `tools.samples` writes the
files; `sample_scans/LICENCES.md` holds the notices of their sources.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "sample_scans"


@dataclass(frozen=True)
class Sample:
    """One sample.

    Attributes:
        name: its key, e.g. "glioma-sagittal".
        title: for people; says so where the model that ships reads it wrong.
        file: a JPEG, PNG, DICOM or NIfTI file.
        label: the radiologists' class, one of `brat.CLASSES`; "no_tumor" for a healthy head.
        patient: group in the index of the training data; empty for a healthy head, which is not in it.
        plane: "axial", "coronal" or "sagittal".
        source: the file that it was taken from, or those, with commas between.
        origin: where that was published, as its authors wish to be named.
        licence: under which it may be passed on.
        is_read_wrong: whether the model that ships, not refusing it, gives another answer than `label`.
        is_series: whether it has more than one slice.
    """

    name: str
    title: str
    file: Path
    label: str
    patient: str
    plane: str
    source: str
    origin: str
    licence: str
    is_read_wrong: bool
    is_series: bool

    @property
    def thumbnail(self) -> Path:
        """A small JPEG file of it, of the middle slice of a series."""
        return FOLDER / "thumbnails" / f"{self.name}.jpg"


def load_samples() -> tuple[Sample, ...]:
    """The samples of one slice, in the order to offer them."""
    return tuple(sample for sample in _all() if not sample.is_series)


def load_sample_series() -> tuple[Sample, ...]:
    """The samples of more than one slice."""
    return tuple(sample for sample in _all() if sample.is_series)


def _all() -> list[Sample]:
    entries = json.loads((FOLDER / "samples.json").read_text(encoding="utf-8"))
    return [Sample(**{**entry, "file": FOLDER / entry["file"]}) for entry in entries]
