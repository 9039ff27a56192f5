"""Part of the worklist: studies out of an archive, and the results back into it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from brat import log
from brat.environment import CORES, WEIGHTS
from brat.io.door import group_into_series
from brat.io.intake import Item
from brat.io.scan import UnreadableScan
from brat.model.worklist import Worklist
from brat.model.worklist_rows import Row
from brat.pacs.archive import LIMIT, Archive, PacsError, Query, SeriesEntry, Server, is_uid, servers_of
from brat.pacs.choice import Choice
from pages.parts.configuration import setting
from pages.parts.failures import tell
from pages.parts.login import person
from pages.parts.store import is_on, store
from pages.parts.widget_memory import remember, remembered, restore, unfolds
from pages.parts.worklist_intake import model_digest
from pages.words import archive as words
from pages.words.markdown import literal

if TYPE_CHECKING:
    from brat.reports.dicom import Verdict

_FIELDS = tuple(f"archive-{name}" for name in ("date", "description", "patient", "patient-name", "accession"))
"""What a study may be searched by."""

_ORIGINS = "archive_origins"
"""In `st.session_state`: of each item that came from an archive, where from."""

_TICKS = "archive_ticks"
"""In `st.session_state`: whether each series that is listed is to be read."""

_SENT = "archive_sent"
"""In `st.session_state`: of each such item what became of its results, in words."""


@dataclass(frozen=True)
class Origin:
    """Where an item came from: the name of the archive, the study and the series."""

    server: str
    study: str
    series: str


def servers() -> dict[str, Server]:
    """The archives that `.streamlit/secrets.toml` names; none where it has a mistake, which is shown."""
    if not st.secrets.load_if_toml_exists():
        return {}
    try:
        return servers_of(st.secrets.get("pacs", {}))
    except ValueError as error:
        tell("settings", error)
        return {}


def show_archive(work: Worklist) -> None:
    """Search, tick, read. Nothing is shown where no archive is named."""
    known = servers()
    if not known:
        return
    is_open = unfolds("archive-open", _FIELDS) or "archive_found" in st.session_state
    with st.expander("Archive", icon=":material/dns:", expanded=is_open):
        with st.container(key="entering-archive"):
            # Two dates are longer than what stands beside them.
            left, middle, right = st.columns([2, 3, 2])
            name = left.selectbox("Archive", list(known), **remembered("archive-name", next(iter(known))))
            days = middle.date_input(
                "Study date",
                format="YYYY-MM-DD",
                help=words.NO_DATE,
                # That none is set yet is a tuple, too, which makes it a range.
                **remembered("archive-date", ()),
            )
            description = right.text_input("Study description", **remembered("archive-description", ""))
            patient_id = left.text_input("Patient ID", **remembered("archive-patient", ""))
            patient_name = middle.text_input("Patient name", **remembered("archive-patient-name", ""))
            accession = right.text_input("Accession number", **remembered("archive-accession", ""))
            if st.button("Search", icon=":material/search:", key="archive-search", help=words.SEARCH_HELP):
                query = Query(
                    date="-".join(f"{day:%Y%m%d}" for day in days),  # type: ignore[union-attr]
                    description=description.strip(),
                    modality="MR",
                    patient_id=patient_id.strip(),
                    patient_name=patient_name.strip(),
                    accession=accession.strip(),
                )
                _search(known[name], query)
        _show_studies(known)
        _show_series(known, work)


def open_linked_study(work: Worklist) -> None:
    """Open the study that the address names, `?study=UID`, once: so that a RIS or a viewer can link to it.

    With `&archive=NAME` it is looked for there alone, otherwise in every archive in turn.
    """
    study = st.query_params.get("study")
    known = servers() if study else {}
    if not study or st.session_state.get("archive_linked") == study:
        return
    st.session_state.archive_linked = study
    if not is_uid(study):
        st.error(words.NO_STUDY)
        return
    wanted = st.query_params.get("archive")
    for server in known.values():
        if wanted in (None, server.name) and (chosen := _choices(server, study)):
            st.session_state.archive_series = (server.name, chosen)
            st.session_state.archive_found = (server.name, [])
            readable = [entry for entry, choice in chosen if choice.read]
            if readable:
                _add(work, server, readable)
                st.info(words.FROM_ADDRESS)
            else:
                st.warning(words.NOTHING_READABLE)
            return
    st.error(words.NOT_FOUND)


def show_return(rows: Sequence[Row]) -> None:
    """Send the results of what came from an archive back to it, and what became of each."""
    origins: dict[Item, Origin] = st.session_state.get(_ORIGINS, {})
    own = [row for row in rows if row.item in origins]
    if not own:
        return
    sent: dict[Item, str] = st.session_state.setdefault(_SENT, {})
    done = words.SENT
    left = [row for row in own if not row.problem and sent.get(row.item) != done]
    with st.container(border=True):
        if st.button(
            "Send results to the archive",
            icon=":material/send:",
            key="archive-send",
            disabled=not left,
            help=words.SEND_HELP,
        ):
            bar = st.progress(0.0)
            for number, row in enumerate(left, 1):
                sent[row.item] = _send(row.item, origins[row.item])
                bar.progress(number / len(left))
            bar.empty()
        for row in own:
            if said := row.problem or sent.get(row.item):
                # As it is: a series' description is no Markdown.
                st.text(f"{row.number} · {row.item.name} · {said}")


def _who() -> str:
    """As they logged in; empty without a login."""
    here = person()
    return here.name if here else ""


def _connect(server: Server) -> Archive | None:
    try:
        from brat.pacs.connect import connect

        return connect(server, _who())
    except ModuleNotFoundError as error:
        log.failure("archive", error)
        st.error(words.NOT_INSTALLED)
        return None


def _search(server: Server, query: Query) -> None:
    st.session_state.pop("archive_series", None)
    st.session_state.pop("archive_found", None)
    if (archive := _connect(server)) is None:
        return
    try:
        st.session_state.archive_found = (server.name, archive.studies(query))
    except PacsError as error:
        tell("archive", error)


def _show_studies(known: dict[str, Server]) -> None:
    name, found = st.session_state.get("archive_found", ("", []))
    if name not in known:
        return
    if not found:
        if "archive_series" not in st.session_state:
            st.markdown(words.NONE_FOUND)
        return
    if len(found) == LIMIT:
        st.caption(words.many(LIMIT))
    if odd := sum(bool(entry.problem) for entry in found):
        st.warning(words.cannot_be_opened(odd))
    st.caption(words.TICK)
    key = f"archive-studies-{hash(tuple(entry.study for entry in found))}"
    restore(key, {"selection": {"rows": []}})
    chosen = st.dataframe(
        [
            {
                "Date": words.date(entry.date),
                "Description": entry.description,
                "Patient": entry.patient_name.replace("^", " ").strip(),
                "Patient ID": entry.patient_id,
                "Accession": entry.accession,
                "Modalities": entry.modalities.replace("\\", " "),
            }
            for entry in found
        ],
        key=key,
        hide_index=True,
        on_select=partial(remember, key),
        selection_mode="multi-row",
        alt="Studies of the archive",
    ).selection.rows
    if chosen and st.button("List series", key="archive-list"):
        listed: list[tuple[SeriesEntry, Choice]] = []
        for number in chosen:
            if not found[number].problem:
                listed += _choices(known[name], found[number].study)
        st.session_state.archive_series = (name, listed)


def _show_series(known: dict[str, Server], work: Worklist) -> None:
    name, listed = st.session_state.get("archive_series", ("", []))
    if name not in known or not listed:
        return
    st.caption(words.CHOICE)
    key = f"archive-series-{hash(tuple(entry.series for entry, _ in listed))}"
    if key not in st.session_state:
        # What is edited in a table cannot be restored: the list has it when the visitor comes back. Until
        # then the list stays as it is, for a table of other values would be another one.
        ticks = st.session_state.get(_TICKS, {})
        listed = [
            (entry, choice._replace(read=ticks.get(entry.series, choice.read))) for entry, choice in listed
        ]
        st.session_state.archive_series = (name, listed)
    edited = st.data_editor(
        [
            {
                "Read": choice.read,
                "No.": entry.number,
                "Series": entry.description,
                "Modality": entry.modality,
                "Images": entry.count,
                "Why": choice.reason,
            }
            for entry, choice in listed
        ],
        key=key,
        disabled=["No.", "Series", "Modality", "Images", "Why"],
        hide_index=True,
    )
    st.session_state[_TICKS] = {
        entry.series: row["Read"] for (entry, _), row in zip(listed, edited, strict=True)
    }
    ticked = [entry for (entry, _), row in zip(listed, edited, strict=True) if row["Read"]]
    if st.button("Read", key="archive-read", icon=":material/play_arrow:", disabled=not ticked):
        _add(work, known[name], ticked)
        st.toast(words.opened(literal(name), len(ticked)))
        st.rerun()


def _choices(server: Server, study: str) -> list[tuple[SeriesEntry, Choice]]:
    """The series of a study; empty where the archive has none, or says why not, which is shown."""
    if (archive := _connect(server)) is None:
        return []
    try:
        from brat.pacs.choice import choices_of

        return choices_of(archive, study)
    except PacsError as error:
        tell("archive", error)
        return []


def _add(work: Worklist, server: Server, entries: Sequence[SeriesEntry]) -> None:
    """Fetch and read series in the background, each by itself, so that the first is there soon."""
    origins: dict[Item, Origin] = st.session_state.setdefault(_ORIGINS, {})

    # Beside the page nobody knows who is there.
    who = _who()

    def fetch(entry: SeriesEntry) -> list[Item]:
        from brat.pacs.connect import connect
        from brat.pacs.reading import fetch_series

        try:
            items = group_into_series(fetch_series(connect(server, who), entry))
        except PacsError as error:
            raise UnreadableScan(str(error)) from error
        # Before the list has them: whoever finds one there finds where it came from.
        origins.update({item: Origin(server.name, entry.study, entry.series) for item in items})
        return items

    for entry in entries:
        work.add(lambda entry=entry: fetch(entry), _fetching(server.name))  # type: ignore[misc]
    work.go_on()


@st.cache_resource(show_spinner=False)
def _fetching(archive: str) -> ThreadPoolExecutor:
    """The threads that wait for an archive: one that hangs keeps neither another nor a reading waiting."""
    return ThreadPoolExecutor(2 * CORES, thread_name_prefix="archive")


def _send(item: Item, origin: Origin) -> str:
    """Returns what became of it, in words."""
    from brat.pacs.connect import connect
    from brat.pacs.reading import earlier_reports, item_results
    from brat.reports.dicom import NoReference
    from brat.store.database import StoreError
    from pages.parts.series import readers

    server = servers().get(origin.server)
    if server is None:
        return words.failed(words.NOT_FOUND)
    try:
        archive = connect(server, _who())
        earlier = earlier_reports(archive, origin.study, origin.series)
        made = item_results(item, readers(WEIGHTS), earlier, _verdicts_on, parametric=server.parametric_map)
        # The report last: it refers to the maps.
        archive.store([content for _, content in sorted(made.files().items())])
    except (PacsError, NoReference, UnreadableScan, StoreError) as error:
        log.failure("archive", error)
        return words.failed(str(error))
    # What is wrong with one series keeps none of the others back; its own words may name a patient.
    except Exception as error:
        return words.failed_unforeseen(log.failure("archive", error))
    return words.SENT


def _verdicts_on(scans: Sequence[str]) -> dict[str, Verdict]:
    """What was kept last of slices, by who kept something last: a report has one observer."""
    if not is_on():
        return {}
    from brat.reports.dicom import Verdict
    from brat.store.cases import latest, was_logged_in

    kept = latest(store(), scans, model_digest())
    if not kept:
        return {}
    observer = max(kept.values(), key=lambda case: case.time).observer
    organization = setting("department", "name")
    return {
        scan: Verdict(
            case.verdict,
            case.seen,
            observer,
            organization if isinstance(organization, str) else "",
            logged_in=was_logged_in(store(), case.id),
        )
        for scan, case in kept.items()
        if case.observer == observer
    }
