"""Parts of the Validate page: what is given, and what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from brat.classes import CLASSES
from brat.environment import WEIGHTS
from brat.figures import classification
from brat.figures import reliability as reliability_charts
from brat.io.door import listed
from brat.io.files import File
from brat.io.folders import Skipped, scans_among
from brat.model.site import SITE
from brat.reports import validation as report
from brat.reports.spreadsheet import as_csv
from brat.wording import estimate
from pages.parts import metrics_tables
from pages.parts.captioned_figures import figure, table
from pages.parts.configuration import settings
from pages.parts.readings import reader
from pages.parts.store import store
from pages.parts.weights_files import load
from pages.parts.widget_memory import remembered
from pages.words import validate as words
from pages.words.numbers import unbroken

if TYPE_CHECKING:
    from brat.evaluation.site import Validation

FILES, VERDICTS = "Files", "Kept verdicts"
"""What may be measured."""


def given_files() -> tuple[list[File | Skipped], Mapping | None]:
    """What was dropped, with the table where there is one.

    Raises:
        ValueError: nothing was dropped, or several tables were, or one that is not valid.
    """
    from brat.data.labelled import read_table

    left, right = st.columns(2)
    dropped = left.file_uploader(
        words.UPLOAD, accept_multiple_files=True, key="validate-files", help=words.UPLOAD_HELP
    )
    folder = right.file_uploader(
        words.UPLOAD_FOLDER, accept_multiple_files="directory", key="validate-folder"
    )
    files = [File(one.name, one.getvalue()) for one in (*dropped, *folder)]
    tables = [file for file in files if file.name.lower().endswith(".csv")]
    if len(tables) > 1:
        raise ValueError(words.ONE_TABLE)
    scans, skipped = scans_among([file for file in files if file not in tables], listed)
    if not scans:
        raise ValueError(words.NOTHING_GIVEN)
    return [*scans, *skipped], read_table(tables[0].read(), tables[0].name) if tables else None


def choose_second() -> Path | None:
    """The folder of a second model, where some are named."""
    folders = settings("models")
    if not folders:
        return None
    name = st.selectbox(
        words.AGAINST,
        list(folders),
        index=None,
        help=words.AGAINST_HELP,
        **remembered("validate-against", None),
    )
    return Path(str(folders[name])) if name else None


def measure_files(
    files: list[File | Skipped], table: Mapping | None, site: str, against: Path | None
) -> Validation:
    """Raises: as `brat.evaluation.site.validate`."""
    from brat.data.labelled import labelled
    from brat.evaluation.site import validate

    place = st.empty()
    try:
        return validate(
            labelled(files, table),
            WEIGHTS,
            load(WEIGHTS, "metrics.json"),
            against,
            site,
            lambda done: place.caption(words.reading(done)) and None,
        )
    finally:
        place.empty()


def measure_verdicts(site: str) -> Validation:
    """Raises: ValueError, StoreError."""
    from brat.evaluation.site import measure
    from brat.evaluation.site_readings import verdicts
    from brat.store.cases import find

    model = reader()
    cases = find(store(), models=[model.classifier.digest])
    return measure(verdicts(cases, model), model, load(WEIGHTS, "metrics.json"), site)


def kind_of(validation: Validation) -> str:
    """What it was measured on, of `FILES` and `VERDICTS`."""
    return VERDICTS if validation.results["by"] == "scan" else FILES


def show(validation: Validation) -> None:
    """All that was measured, and the files to take along."""
    results = validation.results
    (st.info if results["enough"]["is_enough"] else st.warning)(report.enough(results))
    rows = report.figures(results)
    shown = pd.DataFrame(
        {
            "Here": [unbroken(row.here) for row in rows],
            "As shipped": [unbroken(row.shipped) for row in rows],
            "Difference, points": [unbroken(row.difference) for row in rows],
            "P": [row.p for row in rows],
        },
        index=[row.measure for row in rows],
    )
    tested = results.get("comparison", {}).get("test", "")
    table(
        shown,
        "validation-figures",
        f"{words.AS_SHIPPED} {report.sentence(tested)}" if tested else "",
        metrics_tables.protocols(results["protocols"]),
    )
    _downloads(validation)
    st.markdown(unbroken("\n".join(f"- {remark}" for remark in report.remarks(results)[1:])))
    _charts(results)
    if "against" in results:
        _two_models(results)
    if left_out := [row for row in validation.rows if row["left_out"]]:
        with st.expander(words.left_out(results["left_out"])):
            st.dataframe(
                pd.DataFrame(
                    {"File": [r["name"] for r in left_out], "Why": [r["left_out"] for r in left_out]}
                ),
                hide_index=True,
                alt="Files that were left out",
            )


def _charts(results: Mapping[str, Any]) -> None:
    left, middle, right = st.columns(3, gap="large")
    matrix = report.confusion(results)
    if matrix:
        name = "four_classes" if "four_classes" in results["protocols"] else "tumor_or_none"
        with left:
            figure(
                classification.confusion(
                    [[float(cell) for cell in row[1:]] for row in matrix[1:]],
                    normalised=False,
                    classes=CLASSES if name == "four_classes" else ("tumor", "no_tumor"),
                ),
                "validation-confusion",
                words.MATRIX,
                words.MATRIX_CAPTION,
                metrics_tables.confusion(results["protocols"][name]["metrics"]),
            )
    if "calibration" in results:
        before = results["calibration"]
        after = results.get("recalibration", {}).get("calibration")
        with middle:
            figure(
                reliability_charts.reliability(
                    before["bins"], after and after["bins"], ("as shipped", "recalibrated")
                ),
                "validation-reliability",
                "Reliability diagram",
                unbroken(words.reliability(estimate(before["ece"]), estimate(after["ece"]) if after else "")),
                pd.DataFrame(before["bins"]),
            )
    if "sets" in results:
        with right:
            figure(
                reliability_charts.coverage(results["sets"]),
                "validation-coverage",
                words.COVERAGE,
                words.COVERAGE_CAPTION,
                metrics_tables.prediction_sets(results["sets"]),
            )


def _two_models(results: Mapping[str, Any]) -> None:
    rows = report.two_models(results)
    st.subheader("Two models", anchor=False)
    shown = pd.DataFrame(
        [[unbroken(cell) for cell in row[1:]] for row in rows],
        columns=["First", "Second", "Difference, points"],
        index=[row[0] for row in rows],
    )
    table(
        shown,
        "validation-two-models",
        report.side_by_side(results),
        metrics_tables.protocols(results["against"]["protocols"]),
    )


def _downloads(validation: Validation) -> None:
    with st.container(horizontal=True):
        files = {
            "validation.pdf": ("Report", lambda: report.pdf(validation.results), ""),
            "validation.csv": ("Every slice", lambda: as_csv(validation.rows), ""),
            "validation.json": ("Every figure", lambda: report.as_json(validation.results), ""),
        }
        if recalibration := validation.recalibration:
            files[SITE] = ("Recalibration", recalibration.to_bytes, words.RECALIBRATION_HELP)
        for name, (title, content, told) in files.items():
            st.download_button(
                f"{title}: {name}",
                content,
                name,
                help=told or None,
                icon=":material/download:",
                on_click="ignore",
            )
