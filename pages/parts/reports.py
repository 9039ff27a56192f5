"""Part of Review: the reading as a file, to keep or to send back beside its scan. It is made on demand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from brat import log
from brat.environment import WEIGHTS
from brat.io.scan import Scan
from brat.model.reader import Reading
from pages.parts.configuration import identified
from pages.parts.weights_files import load
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
    source = data if scan.format.startswith("DICOM") else None
    can_refer = source is not None and _has_reference(source)
    can_report = source is not None and can_refer and _has_standard_class(source)

    # The imports below take time, which only a visitor who asks for the file pays.
    def pdf() -> bytes:
        from brat.reports.dicom import patient
        from brat.reports.pdf import report

        name = patient(source) if named and source else ""
        metrics = load(WEIGHTS, "metrics.json")
        return report(scan, reading, model, metrics, name=name, verdict=verdict, note=note)

    def overlay(source: bytes) -> bytes:
        from brat.reports.dicom import overlay

        return overlay(source, scan, reading, named)

    def structured_report(source: bytes) -> bytes:
        from brat.reports.dicom import structured_report

        return structured_report(source, reading, model, named)

    with st.container(horizontal=True):
        _button(
            "Report (PDF)", words.PDF_HELP, pdf, f"{stem}.pdf", "application/pdf", ":material/picture_as_pdf:"
        )
        if source and can_refer:
            dicom = "application/dicom"
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
    if source and not can_refer:
        st.caption(words.NO_REFERENCE)
    elif source and not can_report:
        st.caption(words.PRIVATE)
    elif source and not named:
        st.caption(words.UNNAMED)


def _button(label: str, explanation: str, make: Callable[[], bytes], file: str, mime: str, icon: str) -> None:
    def made() -> bytes:
        try:
            return make()
        # Streamlit says on the page that there is no file, and logs the error: its own words may hold values
        # of the header.
        except Exception as error:
            error_id = log.failure("report", error)
        raise RuntimeError(f"The file could not be made, error {error_id}.")

    st.download_button(
        label, made, file, mime, key=f"download-{file}", help=explanation, icon=icon, on_click="ignore"
    )


def _has_reference(data: bytes) -> bool:
    from brat.reports.dicom import has_reference

    return has_reference(data)


def _has_standard_class(data: bytes) -> bool:
    from brat.reports.dicom import has_standard_class

    return has_standard_class(data)
