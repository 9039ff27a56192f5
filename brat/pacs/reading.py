"""The files of one series -> its reading, and the DICOM objects that go back to the archive."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from brat import log
from brat.io.door import group_into_series, load, size_of, within_budget
from brat.io.files import File
from brat.io.intake import Item
from brat.io.scan import Scan, UnreadableScan, Window
from brat.io.series import Series
from brat.model.classifier import Prediction
from brat.model.pool import Readers
from brat.model.series_reading import SliceReading, read_stack
from brat.pacs.archive import Archive, SeriesEntry
from brat.reports.dicom import NoReference, Purpose, Results, Verdict, results, slice_of, slices_of
from brat.reports.dicom_source import evidence_of
from brat.reports.dicom_sr import DESCRIPTION, predecessor

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def read_series(
    files: Sequence[File],
    readers: Readers,
    *,
    predecessors: Sequence[Dataset] = (),
    parametric: bool = True,
) -> Results:
    """Read a series, and make the objects that its archive gets.

    Of files that lie in several planes the largest stack is read, and of several files of frames the largest,
    by their bytes; the report says how many others there are.

    Args:
        predecessors, parametric: as for `brat.reports.dicom.results`.

    Raises:
        UnreadableScan: nothing in it can be read.
        brat.reports.dicom.NoReference: it does not say which instances it is of.
    """
    found = group_into_series(files)
    items = [item for item in found if not item.problem]
    if not items:
        raise UnreadableScan("None of the files of this series can be opened.")
    # A stack of files and a file of frames are told apart by no number of files.
    largest = max(items, key=lambda item: sum(map(size_of, item.files)))
    return item_results(largest, readers, predecessors, others=len(found) - 1, parametric=parametric)


def item_results(
    item: Item,
    readers: Readers,
    predecessors: Sequence[Dataset] = (),
    verdicts_on: Callable[[Sequence[str]], Mapping[str, Verdict]] = lambda _: {},
    others: int = 0,
    parametric: bool = True,
) -> Results:
    """As `read_series`, of what was sorted already.

    Args:
        verdicts_on: given `Scan.slice_digest` of each slice, the verdicts on them that there are, of one
            person.
        others: how many other items its series has, which are not read.
        parametric: as for `brat.reports.dicom.results`.
    """
    opened = load(item)
    model = readers().classifier.digest
    if isinstance(opened, Scan):
        of_scan = readers().read(opened.gray)
        given = verdicts_on([opened.slice_digest]).get(opened.slice_digest)
        slices = [slice_of(item.files[0].read(), opened, of_scan, _of(given, of_scan.prediction))]
    else:
        assert isinstance(opened, Series)
        others += opened.volumes - 1
        stack = opened.stack()
        read: list[tuple[Window | None, SliceReading, str]] = []
        for scan, reading in read_stack(stack, readers):
            read.append((scan.window if scan else None, reading, scan.slice_digest if scan else ""))
        verdicts = verdicts_on([digest for *_, digest in read if digest])
        slices = slices_of(
            stack,
            [
                (window, reading, _of(verdicts.get(digest), reading.prediction))
                for window, reading, digest in read
            ],
        )
    made = results(
        slices, model, Purpose.ARCHIVE, predecessors=predecessors, others=others, parametric=parametric
    )
    if made.report is None:
        raise NoReference(
            "A slice is an object of its maker's own, which a structured report cannot refer to."
        )
    return made


def _of(verdict: Verdict | None, prediction: Prediction | None) -> Verdict | None:
    """A verdict on what is reported: under another window the model may have read another class."""
    if verdict is None or prediction is None or verdict.seen is None:
        return verdict
    return verdict._replace(verdict="agree" if verdict.seen == prediction.label else "disagree")


def earlier_reports(archive: Archive, study: str, series: str) -> list[Dataset]:
    """The reports of ours that an archive has of a series. Those of other series of its study stay valid.

    Raises:
        brat.pacs.archive.PacsError: the archive does not answer.
    """
    earlier = []
    for entry in archive.series(study):
        if entry.modality == "SR" and entry.description == DESCRIPTION and not entry.problem:
            for content in archive.fetch(entry):
                try:
                    report = evidence_of(content)
                # Nobody can tell which series it is of.
                except UnreadableScan as error:
                    log.refusal(error)
                    continue
                if series in report.series:
                    earlier.append(predecessor(study, entry.series, report.instance, report.sop_class))
    return earlier


def fetch_series(archive: Archive, entry: SeriesEntry) -> list[File]:
    """The instances of a series, in memory.

    Raises:
        brat.pacs.archive.PacsError: the archive does not answer, or sends nothing.
        UnreadableScan: it sends more than there is room for.
    """
    from brat.pacs.archive import PacsError

    if entry.problem:
        raise PacsError(entry.problem)
    # Some series have no number.
    name = f"{entry.description or 'series'} {entry.number}".strip()
    files = [
        File(f"{name}, {number}.dcm", content)
        for number, content in enumerate(within_budget(archive.fetch(entry)), 1)
    ]
    if not files:
        raise PacsError(f"The archive {archive.name} sent no instance of the series.")
    return files
