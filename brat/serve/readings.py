"""What one request gets: the slices of a file as records for JSON, overlays and DICOM objects on request."""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Iterator
from typing import Any

import cv2

from brat.io.door import group_into_series, load
from brat.io.files import File
from brat.io.intake import Item, SeveralPanels
from brat.io.scan import Scan, UnreadableScan
from brat.io.series import Series
from brat.model.explain import overlay
from brat.model.pool import Readers
from brat.model.reader import Reader
from brat.model.series_reading import SliceReading, read_stack

MAX_SLICES = 1_000
"""Of one request: an answer with more would not fit into memory, with their overlays."""

Record = dict[str, Any]


class _TooManySlices(UnreadableScan):
    """More than `MAX_SLICES`."""


def _too_many() -> _TooManySlices:
    return _TooManySlices(f"This holds more than {MAX_SLICES:,} slices. Send it in parts.")


def read_file(name: str, data: bytes, readers: Readers, overlays: bool, report: bool) -> Record:
    """Read every slice of a file: of a picture, a DICOM file, a volume, or an archive of these.

    Args:
        overlays: with the map of each slice as a PNG file; unmarked as `brat.model.explain.overlay` is.
        report: with the DICOM objects for the archive that the file came from.

    Returns:
        `model`, `recalibration` (see `recalibration_of`), and `readings`, a record for each slice; with a
        report `dicom` for each series or slice.

    Raises:
        UnreadableScan: nothing in it can be read, or there are more than `MAX_SLICES` slices.
        brat.reports.dicom.NoReference: a report is asked for, and no instance is there to refer to.
    """
    waiting, items = deque(group_into_series([File(name, data)])), []
    reader = readers()
    answer: Record = {
        "model": reader.classifier.digest,
        "recalibration": recalibration_of(reader),
        "readings": [],
    }
    readings = answer["readings"]
    problem = UnreadableScan("There is no scan in this file.")
    left = MAX_SLICES
    while waiting:
        item = waiting.popleft()
        try:
            for record in _records(item, readers, overlays, left):
                readings.append(record)
                left -= 1
        except _TooManySlices:
            raise
        except SeveralPanels as page:
            waiting.extendleft(reversed(page.items))
            continue
        except UnreadableScan as error:
            problem = error
            readings.append({"name": item.name, "error": str(error)})
        items.append(item)
    if all("error" in record for record in readings):
        raise problem
    if report:
        from brat.pacs.reading import item_results

        answer["dicom"] = [
            {"name": item.name, **{kind: _base64(content) for kind, content in made.items()}}
            for item in items
            if not item.problem
            for made in (item_results(item, readers).files(),)
        ]
    return answer


def recalibration_of(reader: Reader) -> Record | None:
    """The site's recalibration that is used: its SHA-256, for whom, by how many slices, when."""
    if (site := reader.site) is None:
        return None
    return {"sha256": site.digest, "site": site.site, "slices": site.slices, "fitted": site.fitted}


def _records(item: Item, readers: Readers, overlays: bool, left: int) -> Iterator[Record]:
    """Args: left: slices that there is room for; a series with more is refused before it is read."""
    opened = load(item)
    if isinstance(opened, Scan):
        if left < 1:
            raise _too_many()
        reading = SliceReading.of(readers().read(opened.gray))
        yield _record(opened, reading, overlays)
        return
    assert isinstance(opened, Series)
    stack = opened.stack()
    if len(stack) > left:
        raise _too_many()
    for number, (scan, reading) in enumerate(read_stack(stack, readers), 1):
        yield _record(scan, reading, overlays, opened.said) | {
            "name": item.name,
            "slice": number,
            "slices": len(stack),
        }


def _record(
    scan: Scan | None, reading: SliceReading, overlays: bool, of_series: tuple[str, ...] = ()
) -> Record:
    """Args: of_series: what is said of its series."""
    if scan is None or reading.prediction is None or reading.geometry is None:
        return {"name": scan.name if scan else "", "error": reading.problem}
    prediction, ood = reading.prediction, reading.ood
    record: Record = {
        "name": scan.name,
        "digest": scan.digest,
        "label": prediction.label,
        "probabilities": prediction.by_class(),
        "prediction_sets": {f"{level:g}": list(names) for level, names in (reading.sets or {}).items()},
        "in_distribution": ood.in_distribution if ood else None,
        "ood_score": round(ood.score, 6) if ood else None,
        "reason": ood.reason if ood else "",
        "sequence": scan.sequence or None,
        "remarks": list(dict.fromkeys(of_series + scan.remarks)),
        "window": {"center": scan.window.center, "width": scan.window.width} if scan.window else None,
    }
    if overlays:
        picture = cv2.cvtColor(overlay(scan.gray, prediction, ood, reading.geometry), cv2.COLOR_RGB2BGR)
        record["overlay"] = _base64(cv2.imencode(".png", picture)[1].tobytes())
    return record


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
