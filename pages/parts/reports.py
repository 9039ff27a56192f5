"""Part of Review: the reading as a file, to keep or to send back beside its scan. It is made on demand."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from brat.io.scan import Scan, UnreadableScan
from brat.model.explain import why_unmarked
from brat.model.reader import Reading
from pages.parts.configuration import identified, setting
from pages.parts.failures import on_demand, tell
from pages.parts.readings import chosen
from pages.parts.verdict import NAME, Opinion
from pages.parts.weights_files import load
from pages.parts.widget_memory import memory
from pages.words import reports as words

if TYPE_CHECKING:
    from brat.reports.dicom import Results, Verdict


def show_downloads(
    scan: Scan,
    data: bytes | None,
    reading: Reading,
    model: str,
    *,
    frame: int | None = None,
    verdict: str = "",
    note: str = "",
    opinion: Opinion | None = None,
) -> None:
    """A button for the PDF and, of a DICOM scan, for DICOM objects; or why there are none.

    Where reports may name the patient, the objects are for the archive that the scan came from, else for
    teaching.

    Args:
        data: the bytes of the file that the scan was read from; None where it is a part of a picture, or of a
            volume that is not DICOM.
        reading: of the scan as uploaded.
        model: `Classifier.digest` of the model that read it.
        frame: which frame of the file it is, from 0; None where the file is this slice alone.
        verdict, note: of the clinician, as they are to be printed.
        opinion: of the clinician, as the DICOM report has it.
    """
    named = identified()
    stem = f"reading-{scan.digest[:12]}"
    source = data if scan.format.startswith("DICOM") else None
    try:
        can_refer, can_report = _may_refer(source) if source is not None else (False, False)
    except UnreadableScan as error:
        tell("report", error, st.warning)
        source, can_refer, can_report = None, False, False

    # A button's function runs later, and elsewhere.
    weights = chosen()

    # The imports below take time, which only a visitor who asks for the file pays.
    def pdf() -> bytes:
        from brat.reports.dicom import patient
        from brat.reports.pdf import report

        name = patient(source) if named and source else ""
        metrics = load(weights, "metrics.json")
        return report(scan, reading, model, metrics, name=name, verdict=verdict, note=note)

    # The report refers to the maps by their UIDs: all are made at once, and kept for the other buttons.
    made: list[Results] = []

    def results(source: bytes) -> Results:
        from brat.reports.dicom import Purpose, results, slice_of

        if not made:
            purpose = Purpose.ARCHIVE if named else Purpose.TEACHING
            read = slice_of(source, scan, reading, _verdict(opinion), frame or 0)
            made.append(results([read], model, purpose))
        return made[0]

    def overlay(source: bytes) -> bytes:
        return results(source).capture or b""

    def structured_report(source: bytes) -> bytes:
        return results(source).report or b""

    def everything(source: bytes) -> bytes:
        from brat.reports.dicom import slice_for_teaching

        files = results(source).files()
        if not named:
            files["slice"] = slice_for_teaching(source, frame or 0)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(f"{name}.dcm", content)
        return packed.getvalue()

    with st.container(horizontal=True):
        _button(
            "Report (PDF)", words.PDF_HELP, pdf, f"{stem}.pdf", "application/pdf", ":material/picture_as_pdf:"
        )
        if source and can_refer:
            dicom = "application/dicom"
            if not why_unmarked(reading.prediction, reading.ood):
                _button(
                    "Map (DICOM)",
                    words.MAP_HELP,
                    partial(overlay, source),
                    f"{stem}-map.dcm",
                    dicom,
                    ":material/image:",
                )
            if can_report:
                _button(
                    "Report (DICOM SR)",
                    words.SR_HELP,
                    partial(structured_report, source),
                    f"{stem}-sr.dcm",
                    dicom,
                    ":material/description:",
                )
            _button(
                "All DICOM (ZIP)",
                words.ALL_NAMED_HELP if named else words.ALL_HELP,
                partial(everything, source),
                f"{stem}-dicom.zip",
                "application/zip",
                ":material/folder_zip:",
            )
    if source and not can_refer:
        st.caption(words.NO_REFERENCE)
    elif source and not can_report:
        st.caption(words.PRIVATE)
    elif source and not named:
        st.caption(words.UNNAMED + (words.FRAME if frame is not None else ""))


def _button(label: str, explanation: str, make: Callable[[], bytes], file: str, mime: str, icon: str) -> None:
    st.download_button(
        label,
        on_demand(make, "report"),
        file,
        mime,
        key=f"download-{file}",
        help=explanation,
        icon=icon,
        on_click="ignore",
    )


def _may_refer(data: bytes) -> tuple[bool, bool]:
    """Whether anything can refer to a DICOM file, and whether a structured report can."""
    from brat.reports.dicom import header_of, is_instance, is_of_the_standard

    # Of a large file it takes a while each time.
    header = header_of(data)
    return is_instance(header), is_instance(header) and is_of_the_standard(header)


def _verdict(opinion: Opinion | None) -> Verdict | None:
    """What the DICOM report says of the clinician, who is known by name only after a login."""
    from brat.reports.dicom import Verdict

    if opinion is None or opinion.verdict is None:
        return None
    logged_in = bool(getattr(st.user, "is_logged_in", False))
    name = str(st.user.get("name") or "") if logged_in else memory().get(NAME, "")
    organization = setting("department", "name")
    return Verdict(
        opinion.verdict,
        opinion.seen,
        name,
        organization if isinstance(organization, str) else "",
        logged_in=logged_in,
    )
