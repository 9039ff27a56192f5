"""The side of a process that holds the model: it decodes and reads what `brat.batch.shard` names.

It is limited and killed as the processes of `brat.io.worker` are. Pixels never leave it.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from brat.io.dicom import pixel_digest
from brat.io.dicom_header import describe
from brat.io.dicom_series import decode_slice, series_of_files
from brat.io.files import MAX_UNPACKED, File
from brat.io.intake import Item, SeveralPanels, examine, group, load, with_copies
from brat.io.scan import Scan, UnreadableScan
from brat.io.series import Series
from brat.io.worker import Reply, file_of, serve
from brat.model.calibration import DEFAULT_LEVEL
from brat.model.reader import Reader
from brat.model.series_reading import NOTHING


class _Process:
    """What the process keeps: the model, the items of one unit, and the one of them that is open."""

    def __init__(self, weights: str):
        self._reader = Reader(weights, threads=1)
        self._items: list[Item] = []
        self._slices: list[Callable[[], Scan]] = []
        self._hash: Callable[[int], str] = str

    def answer(self, fields: dict[str, Any], blobs: list[bytes]) -> Iterator[Reply]:
        files = [file_of(file, blobs) for file in fields.get("files", ())]
        match fields["do"]:
            case "start":
                site = self._reader.site
                digest = self._reader.classifier.digest
                yield {"model": digest, "recalibration": site.digest if site else ""}, []
            case "sort":
                yield from self._sort(files)
            case "take":
                kind, positions = fields["kind"], fields["positions"]
                is_series = kind != "slice"
                stack = tuple(positions) if kind == "stack" else ()
                self._items = [Item(files[0].name, tuple(files), is_series, positions=stack)]
                yield from self._opened(0)
            case "open":
                yield from self._opened(fields["item"])
            case "read":
                yield self._read(fields["slice"]), []

    def _sort(self, files: list[File]) -> Iterator[Reply]:
        """Cut an archive, or the files of a series, into items."""
        instances: dict[str, str] = {}
        entries = []
        left = MAX_UNPACKED
        for file in files:
            for entry in examine(file, left):
                entries.append(entry)
                if entry.file.source is not file.source:
                    left -= len(entry.file.source) if isinstance(entry.file.source, bytes) else 0
                if entry.header:
                    instances[entry.file.name] = entry.header.instance
        self._items = group(entries)
        for item in self._items:
            names = [file.name for file in item.files]
            yield (
                {
                    "names": names,
                    "instances": [instances.get(name, "") for name in names],
                    "problem": item.problem,
                    "said": describe(item.files[len(names) // 2]),
                },
                [],
            )

    def _opened(self, number: int) -> Iterator[Reply]:
        opened = self._open(number)
        yield opened, []
        if opened["slices"] == 1:
            # To be asked for it would take a twentieth of the time.
            yield self._read(0), []

    def _open(self, number: int) -> dict[str, Any]:
        item = self._items[number]
        self._slices, places = [], []
        if item.problem:
            raise UnreadableScan(item.problem)
        panels = 0
        remarks: tuple[str, ...] = ()
        if item.positions:
            hashes: dict[str, str] = {}

            def decode(file: File) -> Scan:
                scan = decode_slice(file)
                hashes[file.name] = scan.digest
                return scan

            series = series_of_files(item.name, item.files, item.positions, decode=decode, digest=_of_pixels)
            opened: Scan | Series = with_copies(series, item.copies)
        else:
            try:
                opened = load(item)
            except SeveralPanels as page:
                panels = len(page.items)
                self._slices = [partial(_scan, panel) for panel in page.items]
        if panels:
            digest = hashlib.sha256(item.files[0].read()).hexdigest()
            self._hash = lambda _: digest
        elif isinstance(opened, Scan):
            scan = opened
            self._slices, self._hash = [lambda: scan], lambda _: scan.digest
        else:
            stack, whole = opened.stack(), opened.digest
            self._slices = [partial(stack.__getitem__, number) for number in range(len(stack))]
            remarks = opened.said
            if item.positions:
                places = [item.files.index(file) for file in stack.files]
                names = [file.name for file in stack.files]
                self._hash = lambda number: hashes.get(names[number], "")
            else:
                self._hash = lambda _: whole
        return {
            "slices": len(self._slices),
            "panels": panels,
            "series": not panels and isinstance(opened, Series),
            "places": places,
            "remarks": remarks,
        }

    def _read(self, number: int) -> dict[str, Any]:
        try:
            scan = self._slices[number]()
        except UnreadableScan as error:
            return {"error": str(error), "file_sha256": self._hash(number), "pixels": 0}
        base = {"file_sha256": self._hash(number), "pixels": scan.pixels.size, "remarks": scan.remarks}
        base |= {"sequence": scan.sequence}
        if scan.gray.min() == scan.gray.max():
            return base | {"error": NOTHING}
        reading = self._reader.read(scan.gray)
        return base | {
            "label": reading.prediction.label,
            "probabilities": list(map(float, reading.prediction.probabilities)),
            "prediction_set": list(reading.sets[DEFAULT_LEVEL]) if reading.sets else None,
            "in_distribution": bool(reading.ood.in_distribution) if reading.ood else None,
            "ood_score": float(reading.ood.score) if reading.ood else None,
        }


def _scan(item: Item) -> Scan:
    scan = load(item)
    assert isinstance(scan, Scan)
    return scan


def _of_pixels(file: File, pixels: bool) -> str:
    # That of the whole series is not asked for, and would read every file once more.
    return pixel_digest(file.read()) if pixels else ""


if __name__ == "__main__":
    serve(lambda: _Process(sys.argv[1]))
