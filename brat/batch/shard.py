"""A shard: rows of a manifest -> a table of readings. No engine is known here.

Decoding and reading happen in a process of its own, which is replaced where a file kills it or never ends.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache, partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa

from brat.batch.manifest import PATIENCE, chosen
from brat.classes import CLASSES
from brat.environment import WEIGHTS
from brat.io.door import checked_description, described_files, raise_refusal
from brat.io.evidence import SEQUENCES
from brat.io.files import MAX_UNPACKED, File
from brat.io.names import clean_name
from brat.io.scan import UnreadableScan
from brat.io.series import GIVE_UP
from brat.io.workers import DIED, SECONDS, Account, Stopped, Worker
from brat.model.classifier import Prediction
from brat.model.files import DETECTOR, MODEL, ModelFolder
from brat.model.out_of_distribution import OodResult
from brat.model.series_reading import SeriesReading, SliceReading
from brat.model.site import SiteCalibration
from brat.pacs.archive import Archive, PacsError, SeriesEntry, load_server

_START = 600.0
"""Seconds in which a process must have started and loaded the model, on a machine however busy."""

_FULL = 10**9
"""Pixels, for which an account earns all that it may hold."""

_PAUSES = (1, 10, 0)
"""Seconds between attempts to fetch a series."""

_REMARKS = 100

SCHEMA = pa.schema(
    [
        pa.field("unit", pa.int64(), nullable=False),
        pa.field("item", pa.int32(), nullable=False),
        pa.field("level", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("study", pa.string(), nullable=False),
        pa.field("series", pa.string(), nullable=False),
        pa.field("instance", pa.string(), nullable=False),
        pa.field("slice", pa.int32()),
        pa.field("slices", pa.int32()),
        pa.field("panel", pa.int32()),
        pa.field("sequence", pa.string(), nullable=False),
        pa.field("label", pa.string()),
        *(pa.field(name, pa.float32()) for name in CLASSES),
        pa.field("prediction_set", pa.list_(pa.string())),
        pa.field("in_distribution", pa.bool_()),
        pa.field("ood_score", pa.float32()),
        pa.field("known", pa.int32()),
        pa.field("refused", pa.int32()),
        pa.field("unread", pa.int32()),
        pa.field("with_tumour", pa.int32()),
        pa.field("runs", pa.int32()),
        pa.field("longest_run", pa.int32()),
        pa.field("model", pa.string(), nullable=False),
        pa.field("recalibration", pa.string(), nullable=False),
        pa.field("file_sha256", pa.string(), nullable=False),
        pa.field("error", pa.string(), nullable=False),
        pa.field("remarks", pa.list_(pa.string()), nullable=False),
    ]
)
"""A row for each slice, and behind those of a series one for the series (`level`: "slice", "series").

unit: of the manifest; item: of several series in one archive, from 0. path: of the file; in a DICOM archive
it is empty, and study, series and instance hold UIDs. slice, slices: number in the series, from 1, and how
many it has; in the row of a series, the slice to look at first. panel: of several slices on one picture, from
1. One column for each class: its calibrated probability. prediction_set: at 95 %. known, refused, unread,
with_tumour: slices of a series; runs, longest_run: those that `brat.model.series_reading` picks out.
model, recalibration: SHA-256 of the model, and of the site's recalibration that was used; empty without one.
file_sha256: of the file, unpacked where it came from an archive. error: a sentence, empty where it was read.
"""

Row = dict[str, Any]


class ReadingProcess:
    """A process that holds the model, and is replaced where it dies.

    Example:
        >>> with ReadingProcess() as process:
        ...     table = read_shard(rows_of(folder, 0), process)
    """

    def __init__(self, weights: str | Path = WEIGHTS):
        """Args: weights: the folder of the model.

        Raises:
            FileNotFoundError, brat.model.files.ModelError: as `brat.model.reader.Reader`.
        """
        models = ModelFolder(weights)
        models.read(MODEL)
        models.read_optional(DETECTOR)
        site = SiteCalibration.beside(models)
        self.model = models.records[MODEL].sha256
        self.recalibration = site.digest if site else ""
        self._command = (sys.executable, "-m", "brat.batch.process", str(Path(weights).absolute()))
        self._steps: list[tuple[Row, Sequence[File]]] = []
        self._worker: Worker | None = None
        self._is_stopped = False

    def __enter__(self) -> ReadingProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process; another is started where something is asked again."""
        if self._worker is not None:
            self._worker.close()

    @property
    def reads_with(self) -> str:
        """The model and its recalibration, as one word: what the readings of a batch must have in common."""
        return f"{self.model}/{self.recalibration}"

    def stop(self) -> None:
        """End it for good, from any thread: what is asked of it raises `RuntimeError`."""
        self._is_stopped = True
        self.close()

    def begin(self, fields: Row, files: Sequence[File], account: Account) -> list[Row]:
        """Name a new unit. Returns the replies; raises as `ask`."""
        self._steps = []
        return self.go_on(fields, files, account)

    def go_on(self, fields: Row, files: Sequence[File], account: Account) -> list[Row]:
        """A request on which later ones depend: a process that replaces this one gets it first."""
        replies = self.ask(fields, account, files)
        self._steps.append((fields, files))
        return replies

    def reopen(self, fields: Row, account: Account) -> list[Row]:
        """As `go_on`, in place of all steps but the first."""
        self._steps = self._steps[:1]
        return self.go_on(fields, (), account)

    def ask(self, fields: Row, account: Account, files: Sequence[File] = ()) -> list[Row]:
        """The replies to a request.

        A process may have been killed from outside, or the machine have been too busy: what it died of, or
        took too long for, is tried once more.

        Raises:
            Stopped: it died or took too long again.
            UnreadableScan: what it says of the file.
            RuntimeError: no process can be started.
        """
        try:
            return self._send(fields, files, account)
        except Stopped:
            if self._is_alive():
                raise
        account.earn(_FULL)
        return self._send(fields, files, account)

    def _is_alive(self) -> bool:
        return self._worker is not None and self._worker.is_alive

    def _send(self, fields: Row, files: Sequence[File], account: Account) -> list[Row]:
        if self._is_stopped:
            raise RuntimeError("Stopped.")
        if not self._is_alive():
            self.close()
            self._worker = Worker(self._command)
            try:
                (started,) = self._exchange({"do": "start"}, (), Account(_START))
            except UnreadableScan as error:
                raise RuntimeError("The process that reads could not be started: is there memory?") from error
            if started != {"model": self.model, "recalibration": self.recalibration}:
                raise RuntimeError(
                    "The model or its recalibration was exchanged while it was in use. Start again."
                )
            for step in self._steps:
                self._exchange(*step, account)
        return self._exchange(fields, files, account)

    def _exchange(self, fields: Row, files: Sequence[File], account: Account) -> list[Row]:
        assert self._worker
        described, blobs = described_files(files)
        processor = SECONDS + _PER_SLICE * len(files)
        begun = time.monotonic()
        try:
            request = {**fields, "files": described}
            answers = self._worker.ask(request, blobs, account.left, processor)
            *replies, end = [reply for reply, _ in answers]
        finally:
            account.spend(time.monotonic() - begun)
        raise_refusal(end)
        return replies


def read_shard(
    rows: pa.Table, process: ReadingProcess | None = None, archive: Callable[[str], Archive] | None = None
) -> pa.Table:
    """Read what rows of a manifest name.

    The same rows give the same table, whoever reads them: nothing in it depends on time or place.

    Args:
        rows: of `brat.batch.manifest.SCHEMA`, with all rows of each of their units.
        process: that reads; one with the model that ships by default, for this call.
        archive: name of a section of the settings -> the archive; by default as `brat pacs` finds it.

    Returns:
        A table of `SCHEMA`.

    Raises:
        brat.pacs.archive.PacsError: an archive does not answer; nothing is known of its series then.
        RuntimeError: no process can be started.
    """
    connected = cache(archive or _connect)
    listed = rows.sort_by([("unit", "ascending"), ("place", "ascending")]).to_pylist()
    with nullcontext(process) if process else ReadingProcess() as reading:
        records = [
            _EMPTY | {"model": reading.model, "recalibration": reading.recalibration} | record
            for _, unit in groupby(listed, key=itemgetter("unit"))
            for record in _unit(list(unit), reading, connected)
        ]
    return pa.Table.from_pylist(records, schema=SCHEMA)


def _connect(name: str) -> Archive:
    from brat.pacs.connect import connect

    return connect(load_server(name))


_EMPTY: Row = {
    "item": 0,
    "level": "slice",
    "path": "",
    "instance": "",
    "sequence": "",
    "file_sha256": "",
    "error": "",
    "remarks": [],
}


_PER_SLICE, _PER_PIXEL = 0.25, 5e-7
"""Seconds that a slice pays for, of which the model takes a part: by itself, and for each of its pixels."""


def _unit(rows: list[Row], process: ReadingProcess, archive: Callable[[str], Archive]) -> Iterator[Row]:
    first = rows[0]
    base = {name: first[name] for name in ("unit", "study", "series", "sequence")}
    account = Account(PATIENCE)
    if first["kind"] == "remote":
        try:
            files = _fetch(archive(first["archive"]), first)
        except UnreadableScan as error:
            yield base | {"error": str(error)}
            return
        yield from _items(base, files, process, first)
        return
    files = [File(row["path"], Path(row["path"]), row["packed"]) for row in rows]
    if first["kind"] == "archive":
        yield from _items(base | {"path": first["path"]}, files, process, first)
        return
    fields = {"do": "take", "kind": first["kind"], "positions": [row["position"] for row in rows]}
    places = [{"path": row["path"]} for row in rows]
    yield from _item(base, places, lambda: process.begin(fields, files, account), process, account)


def _fetch(archive: Archive, row: Row) -> list[File]:
    """The instances of a series.

    Raises:
        PacsError: the archive does not answer.
        UnreadableScan: it answers, but does not give this series.
    """
    entry = SeriesEntry(row["study"], row["series"], "", "MR", "", None)
    for pause in _PAUSES:
        try:
            # In an order of their own: which plane of a series is its first item is not up to the archive.
            contents = sorted(archive.fetch(entry))
            files = [File(f"{number}.dcm", content) for number, content in enumerate(contents, 1)]
            if files:
                return files
        except PacsError:
            time.sleep(pause)
    archive.echo()
    raise UnreadableScan("The archive does not give this series.")


def _items(base: Row, files: list[File], process: ReadingProcess, planned: Row) -> Iterator[Row]:
    """What an archive, or the files of a series in a DICOM archive, hold."""
    is_remote = planned["kind"] == "remote"
    account = Account(PATIENCE)
    try:
        items = process.begin({"do": "sort"}, files, account)
        with _disbelieving():
            sorted_out = [_sorted_out(item) for item in items]
    except UnreadableScan as error:
        yield base | {"error": str(error)}
        return
    for number, (names, instances, said) in enumerate(sorted_out):
        places: list[Row] = [
            {"path": "" if is_remote else name, "instance": instance if is_remote else ""}
            for name, instance in zip(names, instances, strict=True)
        ]
        here = base | {"item": number}
        choice = chosen(said, planned["every"] or is_remote)
        if not choice.read:
            yield here | places[0] | {"error": f"Not read: {choice.reason}."}
            continue
        here["sequence"] = here["sequence"] or choice.sequence
        account = Account(PATIENCE)
        # The steps before it, of another item, are of no use to this one.
        opening = partial(process.reopen, {"do": "open", "item": number}, account)
        yield from _item(here, places, opening, process, account)


@contextmanager
def _disbelieving() -> Iterator[None]:
    """Turns what an answer trips over, that no honest process gives, into `Stopped`."""
    try:
        yield
    except UnreadableScan:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Stopped(DIED) from error


def _sorted_out(item: Row) -> tuple[list[str], list[str], dict[str, list[str]]]:
    names, instances = ([clean_name(_text(value)) for value in item[key]] for key in ("names", "instances"))
    if not names or len(names) != len(instances):
        raise Stopped(DIED)
    return names, instances, checked_description(item["said"])


def _item(
    base: Row,
    places: list[Row],
    opening: Callable[[], list[Row]],
    process: ReadingProcess,
    account: Account,
) -> Iterator[Row]:
    """The rows of one item.

    Args:
        places: of each of its files, the part of its rows that says where it came from.
        opening: opens it in the process.
    """
    try:
        with _disbelieving():
            # Of a single slice its reading follows.
            opened, *read_already = opening()
            count, panels = _whole(opened["slices"]), _whole(opened["panels"])
            is_series, said = opened["series"] is True, _texts(opened["remarks"])
            order = [_whole(place) for place in opened["places"]] or [0] * count
            if len(order) != count or max(order, default=0) >= len(places):
                raise Stopped(DIED)
            if bool(read_already) != (count == 1):
                raise Stopped(DIED)
    except UnreadableScan as error:
        for place in places:
            yield base | place | {"error": str(error)}
        return
    slices: list[Row] = []
    died = 0
    problem = ""
    for number in range(count):
        place = base | places[order[number]]
        if panels:
            place |= {"panel": number + 1}
        elif is_series:
            place |= {"slice": number + 1, "slices": count}
        read: Row = {"error": problem}
        if died < GIVE_UP:
            try:
                with _disbelieving():
                    (answer,) = read_already or process.ask({"do": "read", "slice": number}, account)
                    read = _checked(answer)
                    account.earn(_PER_SLICE + _PER_PIXEL * _whole(answer["pixels"]))
            except UnreadableScan as error:
                problem = str(error)
                read = {"error": problem}
                died += isinstance(error, Stopped)
        read["sequence"] = read.get("sequence") or base["sequence"]
        slices.append(place | read)
        yield slices[-1]
    if is_series:
        yield _of_series(base, slices, said)


def _of_series(base: Row, slices: list[Row], remarks: list[str]) -> Row:
    """The row of a series: counts, and no probability, see `brat.model.series_reading`."""
    reading = SeriesReading(tuple(map(_slice_reading, slices)))
    if not reading.slices:
        return base | {"level": "series", "error": "There is no slice in this series.", "remarks": remarks}
    shown = slices[reading.most_suspicious]
    where = ("path", "instance", "slice", "slices", "sequence")
    return base | {
        "level": "series",
        **{name: shown[name] for name in where if name in shown},
        "label": reading.leading,
        "known": len(reading.known),
        "refused": len(reading.refused),
        "unread": len(reading.unread),
        "with_tumour": reading.with_tumour,
        "runs": len(reading.suspicious),
        "longest_run": max(map(len, reading.suspicious), default=0),
        "error": "" if len(reading.unread) < len(slices) else shown["error"],
        "remarks": remarks,
    }


def _slice_reading(row: Row) -> SliceReading:
    """What `SeriesReading` counts; maps and features stay in the process."""
    if row["error"]:
        return SliceReading(problem=row["error"])
    nothing = np.empty(0, np.float32)
    probabilities = np.array([row[name] for name in CLASSES], np.float32)
    known = row["in_distribution"]
    ood = None if known is None else OodResult(row["ood_score"], known, "")
    return SliceReading(Prediction(probabilities, nothing, nothing, nothing), ood=ood)


def _checked(answer: Row) -> Row:
    """The reading that a process gives.

    Raises:
        Stopped: no honest process gives this.
    """
    digest = _text(answer["file_sha256"])
    if not re.fullmatch(r"[0-9a-f]{64}|", digest):
        raise Stopped(DIED)
    row: Row = {"file_sha256": digest, "remarks": _texts(answer.get("remarks", []))}
    if (sequence := _text(answer.get("sequence", ""))) not in ("", *SEQUENCES):
        raise Stopped(DIED)
    row |= {"sequence": sequence, "error": _text(answer.get("error", ""))}
    if row["error"]:
        return row
    probabilities, known, score = (
        answer.get(key) for key in ("probabilities", "in_distribution", "ood_score")
    )
    sets = answer.get("prediction_set")
    is_right = (
        answer.get("label") in CLASSES
        and isinstance(probabilities, list)
        and len(probabilities) == len(CLASSES)
        and all(isinstance(value, float) and 0 <= value <= 1 for value in probabilities)
        and known in (True, False, None)
        and (score is None if known is None else isinstance(score, float))
        and (sets is None or (isinstance(sets, list) and all(name in CLASSES for name in sets)))
    )
    if not is_right:
        raise Stopped(DIED)
    row |= {"label": answer["label"], "prediction_set": sets, "in_distribution": known, "ood_score": score}
    return row | dict(zip(CLASSES, probabilities or (), strict=True))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Stopped(DIED)
    return value


def _texts(values: Any) -> list[str]:
    if not isinstance(values, list) or len(values) > _REMARKS:
        raise Stopped(DIED)
    return [clean_name(_text(value)) for value in values]


def _whole(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value <= MAX_UNPACKED:
        raise Stopped(DIED)
    return value
