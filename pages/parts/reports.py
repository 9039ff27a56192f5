"""Part of Review: the reading as a file, to keep or to send back beside its scan; made when asked for."""

from __future__ import annotations

import json

import streamlit as st

from brat.environment import WEIGHTS
from brat.io.scan import Scan
from brat.model.reader import Reading
from pages.parts.configuration import identified
from pages.words import reports as words


def show_downloads(
    scan: Scan, data: bytes | None, reading: Reading, model: str, *, verdict: str = "", note: str = ""
) -> None:
    """A button for the PDF and, of a DICOM scan, for two DICOM objects; or why there are none.

    Args:
        data: the bytes that the scan was read from; None where it is a part of a larger file.
        reading: of the scan as uploaded.
        model: `Classifier.digest` of the model that read it.
        verdict, note: of the clinician, as they are to be printed.
    """
    named = identified()
    stem = f"reading-{scan.digest[:12]}"
    is_dicom = data is not None and scan.kind.startswith("DICOM")

    # Each import below costs time that only who asks for the file is to pay.
    def pdf() -> bytes:
        from brat.reports.dicom import patient
        from brat.reports.pdf import report

        path = WEIGHTS / "metrics.json"
        metrics = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        name = patient(data) if named and is_dicom else ""
        return report(scan, reading, model, metrics, name=name, verdict=verdict, note=note)

    def overlay() -> bytes:
        from brat.reports.dicom import overlay

        return overlay(data, scan, reading, named)

    def structured() -> bytes:
        from brat.reports.dicom import structured_report

        return structured_report(data, reading, model, named)

    can_refer = is_dicom and _has_reference(data)
    with st.container(horizontal=True):
        _button(
            "Report (PDF)", words.PDF_HELP, pdf, f"{stem}.pdf", "application/pdf", ":material/picture_as_pdf:"
        )
        if can_refer:
            dicom = "application/dicom"
            _button("Map (DICOM)", words.MAP_HELP, overlay, f"{stem}-map.dcm", dicom, ":material/image:")
            _button(
                "Report (DICOM SR)",
                words.SR_HELP,
                structured,
                f"{stem}-sr.dcm",
                dicom,
                ":material/description:",
            )
    if is_dicom and not can_refer:
        st.caption(words.NO_REFERENCE)
    elif is_dicom and not named:
        st.caption(words.UNNAMED)


def _button(label: str, says: str, make, file: str, mime: str, icon: str) -> None:
    st.download_button(
        label, make, file, mime, key=f"download-{file}", help=says, icon=icon, on_click="ignore"
    )


def _has_reference(data: bytes) -> bool:
    from brat.reports.dicom import has_reference

    return has_reference(data)
