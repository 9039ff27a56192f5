"""Words of the Validate page."""

from __future__ import annotations

from collections.abc import Mapping

INTRODUCTION = (
    "Measure the model on slices of your own, whose diagnosis you know. The files are not kept: after "
    "another page or a reload give them again. What was measured stands until the visit ends; the figures on "
    "the *Model* page stay as they are."
)
UPLOAD = "A ZIP archive, or files with a CSV table of their names and labels"
UPLOAD_HELP = (
    "In an archive, a sub-folder a class: `glioma`, `meningioma`, `pituitary`, `no_tumor`, or `tumour` where "
    "the class is not known. A table has the columns `name`, `label` and, where it is known, `patient`: then "
    "intervals are by patient. DICOM headers tell the patient too."
)
UPLOAD_FOLDER = "Or a folder with a sub-folder a class"
SITE = "Name of your site, for the report"
AGAINST = "Second model, for the same slices"
AGAINST_HELP = "Models are named under `[models]` in `.streamlit/secrets.toml`, each with its folder."
VERDICTS_NOTE = (
    "Kept verdicts were given in sight of the model's answer and lean towards it: these figures are too "
    "good. They are of the model in use, with its calibration."
)
NOTHING_GIVEN = "Give an archive, a folder, or files with a table first."
ONE_TABLE = "Give one CSV table, not several."
AS_SHIPPED = "As shipped: on public collections, cross-validated."
COVERAGE = "How often the sets hold the truth"
MATRIX = "Confusion matrix: rows are what a slice is, columns what was read"
MATRIX_CAPTION = "Rows are what a slice is, columns what was read."
COVERAGE_CAPTION = "By class, with 95 % intervals, beside what each set promises."
RECALIBRATION_HELP = (
    "Put this file beside the weights and start the app again: all readings then use it, and *Review* names "
    "it. Remove it to go back."
)


def reading(done: int) -> str:
    return f"Reading: {done:,} files are done"


def reliability(error: str, recalibrated: str) -> str:
    """Args: error, recalibrated: expected calibration errors; the second empty where there is none."""
    after = f"; {recalibrated} recalibrated, on cases that this was not fitted to" if recalibrated else ""
    return f"Expected calibration error {error} as shipped{after}."


def left_out(counts: Mapping[str, int]) -> str:
    """The title of the table of what was not measured."""
    return f"Left out: {sum(counts.values()):,}"
