"""The sample on which most tests of the app are built."""

from brat.io.samples import load_samples
from brat.io.scan import read_scan
from brat.model.reader import Reader

KNOWN = next(sample for sample in load_samples() if sample.name == "head-axial-ring")
"""In distribution, so that its answer and its map are shown: the averaged heads lie near the limit, on either
side. A DICOM file, so that it has a window and every report."""


def known_label() -> str:
    """The answer for `KNOWN`."""
    return Reader().read(read_scan(KNOWN.file).gray).prediction.label
