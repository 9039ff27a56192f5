"""The sample scans that ship with the project: healthy heads, and the same heads with a lesion drawn in.

None shows a patient. `tools.phantoms` made them; `sample_scans/LICENCES.md` holds the notices of their
sources.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "sample_scans"


@dataclass(frozen=True)
class Sample:
    """One sample scan.

    Attributes:
        name: its key, e.g. "head-axial-ring".
        title: for people; says so where a lesion is drawn in.
        file: a PNG or DICOM file.
        origin: the volume that it was cut from.
        licence: under which it may be passed on.
        drawn: whether a lesion is drawn in.
        intended: the class, one of `brat.CLASSES`, that the drawing is meant to suggest; "no_tumor" where
            there is none. No truth to measure a model by: nobody has that tumour.
    """

    name: str
    title: str
    file: Path
    origin: str
    licence: str
    drawn: bool
    intended: str


def load_samples() -> tuple[Sample, ...]:
    """The sample scans, in the order to offer them."""
    entries = json.loads((FOLDER / "samples.json").read_text(encoding="utf-8"))
    return tuple(Sample(**{**entry, "file": FOLDER / entry["file"]}) for entry in entries)
