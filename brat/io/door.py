"""The door for files that are not trusted: as `brat.io.intake`, but everything is read in other processes.

Only sorting what is known of each file, and cutting a series into slices to ask for, is done here.
"""

from __future__ import annotations

import hashlib
import math
import uuid
import weakref
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from brat.io import files as limits
from brat.io import intake, wire
from brat.io.evidence import SEQUENCES, is_scanner
from brat.io.files import File, Unpacked
from brat.io.intake import Entry, Item, Part, SeveralPanels
from brat.io.names import clean_name
from brat.io.panels import Panel
from brat.io.scan import Scan, SeveralScans, UnreadableScan, Window
from brat.io.series import Series, Stack
from brat.io.workers import (
    DIED,
    LISTING,
    OPENING,
    PER_GIVEN,
    PER_SLICE,
    PER_STORED,
    PER_UNPACKED,
    TOO_LONG,
    Account,
    Stopped,
    pool,
)

if TYPE_CHECKING:
    from brat.io.dicom_header import Header
    from brat.io.dicom_parts import Parts
    from brat.io.geometry import Edges

MAX_ON_SERVER = 1_000_000_000
"""Bytes that lie unpacked in memory, of the drops of all sessions together."""

_PANELS = 500

_REMARKS = 100

_LISTED = 100_000
"""Files of a DICOMDIR."""

_Opened = TypeVar("_Opened", Scan, Series)


class _Refused(Exception):
    """What a process says of a file, before it is known which error of ours it is."""


def within_budget(contents: Iterable[bytes]) -> Iterator[bytes]:
    """Contents of files that another program sends, such as an archive; counted like what is unpacked.

    Raises:
        UnreadableScan: it sends more than a drop may unpack, or than the server has room for.
    """
    left = limits.MAX_UNPACKED
    for content in contents:
        left -= len(content)
        if left < 0 or Unpacked.total + len(content) > MAX_ON_SERVER:
            raise limits.too_large()
        yield Unpacked(content)


def group_into_series(
    files: Iterable[File], seconds: float | None = None, drop: Account | None = None
) -> list[Item]:
    """As `brat.io.intake.group_into_series`.

    What is unpacked has a budget for all of the files together, and one for the server. So has the time that
    listing and opening them takes, beyond what each file pays for.

    Args:
        seconds: of wall time for each file, where nobody waits for it.
        drop: of files that were given before, and these together; by default these by themselves.
    """
    drop = drop or (None if seconds else Account())
    return [replace(item, drop=drop) for item in intake.group(examined(files, seconds, drop))]


def examined(
    files: Iterable[File], seconds: float | None = None, drop: Account | None = None
) -> Iterator[Entry]:
    """What each file is, and of an archive each file in it; `brat.io.intake.group` makes items of them."""
    left = limits.MAX_UNPACKED
    for file in files:
        read, account = 0, None
        try:
            on_server = MAX_ON_SERVER - Unpacked.total
            fields = {"do": "examine", "left": max(min(left, on_server), 0)}
            paid = LISTING + PER_GIVEN * size_of(file)
            account = drop.of_file(paid) if drop else Account(seconds)
            for reply, arrays in _ask(fields, [file], account):
                if "header" not in reply:
                    continue
                entry = _entry(reply, arrays, file)
                if isinstance(entry.file.source, Unpacked):
                    left -= len(entry.file.source)
                read += not entry.problem
                yield entry
            if left < 0:
                raise limits.too_much_unpacked()
        except UnreadableScan as error:
            yield Entry(file, intake.broken_off(error, read))
        finally:
            if account:
                account.settle(in_vain=not read)


def load(item: Item) -> Scan | Series:
    """As `brat.io.intake.load`.

    Raises:
        SeveralPanels: it is one picture with several slices.
        UnreadableScan: it cannot be read, or asks for more work than a file may.
    """
    return intake.with_copies(_load(item), item.copies)


def _load(item: Item) -> Scan | Series:
    if item.problem:
        raise UnreadableScan(item.problem)
    size = sum(map(size_of, item.files))
    account = (item.drop or Account()).of_file(OPENING + PER_UNPACKED * size, item.is_series)
    is_read = False
    try:
        opened = _open_item(item, account)
        is_read = True
        account.earn(0, size)
        return opened
    except SeveralPanels:
        is_read = True
        raise
    finally:
        account.settle(in_vain=not is_read)


def _open_item(item: Item, account: Account) -> Scan | Series:
    if item.positions:
        return _series_of_files(item, account)
    key = uuid.uuid4().hex
    reply, arrays = _open(item, key, account)
    if not reply.get("is_series"):
        scan = replace(_scan(reply, arrays), name=item.name)
        return scan if item.part else _under_own_digest(scan, item.files)
    series = _under_own_digest(_series(reply, item, key, account), item.files)
    weakref.finalize(series.cut, pool.forget, key)
    return series


def listed(index: File) -> list[tuple[str, ...]]:
    """As `brat.io.dicomdir.listed`."""
    places: list[tuple[str, ...]] = []
    for reply, _ in _ask({"do": "list"}, [index], Account()):
        places.append(tuple(map(str, reply["place"])))
        if len(places) > _LISTED:
            raise Stopped(TOO_LONG)
    return places


def describe(file: File, seconds: float | None = None) -> dict[str, list[str]]:
    """As `brat.io.dicom_header.describe`. Args: seconds: of wall time."""
    fields, _ = _one({"do": "describe"}, [file], Account(seconds))
    return checked_description(fields["said"])


def parts(
    file: File, keywords: Collection[str] = (), picture: bool = False, frame: int | None = None
) -> Parts:
    """As `brat.io.dicom_parts.parts`.

    Raises:
        UnreadableScan: as there; or it asks for more work than a file may.
    """
    from brat.io.dicom_frames import COLUMNS, MAX_FRAMES
    from brat.io.dicom_parts import MAX_HEADER, Parts

    request = {"do": "parts", "keywords": [*keywords], "picture": picture, "frame": frame}
    fields, (header, stored, places) = _one(request, [file], Account())
    row = COLUMNS * np.dtype(np.float64).itemsize
    if any(part.ndim != 1 for part in (header, stored, places)) or len(header) > MAX_HEADER:
        raise Stopped(DIED)
    if len(places) % row or len(places) > MAX_FRAMES * row:
        raise Stopped(DIED)
    table = np.frombuffer(wire.content_of(places), np.float64).reshape(-1, COLUMNS)
    if np.isinf(table).any():
        raise Stopped(DIED)
    syntax, vr = _text(fields, "syntax", 64), _one_of(fields.get("vr"), ("", "OB", "OW"))
    return Parts(wire.content_of(header), syntax, wire.content_of(stored), vr, table)


def checked_description(said: Any) -> dict[str, list[str]]:
    """What a process says that a header describes.

    Raises:
        Stopped: no honest process says so.
    """
    from brat.io.dicom_header import DESCRIBING, LONGEST

    if not isinstance(said, dict) or not said.keys() <= set(DESCRIBING):
        raise Stopped(DIED)
    return {
        keyword: [_text({"value": value}, "value", LONGEST) for value in values]
        for keyword, values in said.items()
    }


def load_scan(path: str | Path) -> Scan:
    """Open the one scan in a file.

    Raises:
        SeveralScans: there are several.
        UnreadableScan: it cannot be read.
    """
    items = group_into_series([File(str(path), Path(path))])
    return intake.only_scan([load(item) for item in items[:1]] if len(items) == 1 else [])


def _series_of_files(item: Item, account: Account) -> Series:
    from brat.io.dicom_series import series_of_files

    def digest(file: File, pixels: bool) -> str:
        # Hashing what lies here is safe, and asking for it takes longer.
        if not pixels and isinstance(file.source, bytes) and not file.is_packed:
            return hashlib.sha256(file.source).hexdigest()
        fields, _ = _one({"do": "digest", "pixels": pixels}, [file], account)
        account.earn(_of_slice(size_of(file)))
        return _text(fields, "digest", 64)

    is_open = False

    def decode(file: File) -> Scan:
        scan = _scan(*_one({"do": "decode"}, [file], account))
        if is_open:
            size = size_of(file)
            account.earn(_of_slice(size), size)
        return _under_own_digest(replace(scan, name=file.name), [file])

    series = series_of_files(item.name, item.files, item.positions, decode=decode, digest=digest)
    is_open = True
    return series


def _under_own_digest(opened: _Opened, files: Sequence[File]) -> _Opened:
    """What was read, with the digest of its file: a process that was taken over could give that of another's
    scan, whose reading would then be remembered."""
    (file, *others) = files
    if others or file.is_packed or not isinstance(file.source, bytes):
        return opened
    return replace(opened, digest=hashlib.sha256(file.source).hexdigest())


def _open(item: Item, key: str, account: Account) -> tuple[dict[str, Any], list[np.ndarray]]:
    part = item.part and {
        "panel": [*item.part.panel],
        "numbers": [item.part.number, item.part.count, item.part.left_out],
    }
    fields = {"do": "open", "name": item.name, "series": item.is_series, "part": part, "key": key}
    return _one(fields, item.files, account, key, item=item)


class _Cut:
    """The views of a series that a process keeps; it is opened again where that one is gone."""

    def __init__(self, item: Item, key: str, account: Account):
        self._item, self._key, self._account = item, key, account
        self._size = sum(map(size_of, item.files))

    def __call__(self, plane: str, volume: int) -> Stack:
        from brat.io.dicom_frames import MAX_FRAMES

        fields, _ = self._ask({"do": "stack", "plane": plane, "volume": volume})
        count, positions = _whole(fields, "count", 1_000_000), fields.get("positions")
        if positions is not None:
            positions = [_number(position) for position in positions]
            if len(positions) != count:
                raise Stopped(DIED)

        frames = fields.get("frames") or []
        if not isinstance(frames, list) or (frames and not len({*frames}) == len(frames) == count):
            raise Stopped(DIED)
        frames = [_whole({"frame": frame}, "frame", MAX_FRAMES - 1) for frame in frames]

        def decode(index: int) -> Scan:
            # Keeps this object, and so what the process keeps, as long as a slice may be asked for.
            request = {"do": "slice", "plane": plane, "volume": volume, "index": index}
            scan = _scan(*self._ask(request))
            size = self._size / max(count, 1)
            self._account.earn(_of_slice(size), size)
            return scan

        files = self._item.files[:1] * len(frames)
        return Stack(count, decode, plane, positions, files, frames)

    def _ask(self, fields: dict[str, Any]) -> tuple[dict[str, Any], list[np.ndarray]]:
        fields = {**fields, "key": self._key}
        for _ in range(3):
            try:
                return _one(fields, (), self._account, self._key, held=True)
            except KeyError:
                _open(self._item, self._key, self._account)
                # What it costs to open it again is not the fault of the file.
                self._account.earn(OPENING + PER_UNPACKED * self._size, self._size)
        return _one(fields, (), self._account, self._key, held=True)


def _of_slice(size: float) -> float:
    """Seconds that a slice pays for, of so many bytes."""
    return PER_SLICE + PER_STORED * size


def size_of(file: File) -> int:
    """Bytes that a file has, or takes on the disk: a hole pays for nothing."""
    if isinstance(file.source, bytes):
        return len(file.source)
    try:
        status = file.source.stat()
    # Reading it says so.
    except OSError:
        return 0
    return min(status.st_size, 512 * getattr(status, "st_blocks", status.st_size))


def _series(fields: dict[str, Any], item: Item, key: str, account: Account) -> Series:
    planes = fields.get("planes")
    known = ("acquired", "axial", "coronal", "sagittal")
    if not isinstance(planes, list) or not planes or any(plane not in known for plane in planes):
        raise Stopped(DIED)
    return Series(
        name=item.name,
        format=_text(fields, "format", 200),
        modality=_text(fields, "modality", 16),
        digest=_text(fields, "digest", 64),
        planes=tuple(planes),
        volumes=_whole(fields, "volumes", 1_000_000),
        window=_window(fields.get("window")),
        presets=_windows(fields),
        cut=_Cut(item, key, account),
        remarks=_remarks(fields),
    )


def _scan(fields: dict[str, Any], arrays: Sequence[np.ndarray]) -> Scan:
    if len(arrays) not in (1, 2) or arrays[0].dtype != np.uint8 or any(a.ndim != 2 for a in arrays):
        raise Stopped(DIED)
    if arrays[0].shape != arrays[-1].shape:
        raise Stopped(DIED)
    spacing = fields.get("spacing")
    if spacing is not None:
        rows, columns = map(_number, spacing)
        spacing = rows, columns
    return Scan(
        gray=arrays[0],
        pixels=arrays[-1],
        name=_text(fields, "name", 2000),
        format=_text(fields, "format", 200),
        modality=_text(fields, "modality", 16),
        digest=_text(fields, "digest", 64),
        spacing=spacing,
        window=_window(fields.get("window")),
        presets=_windows(fields),
        inverted=fields.get("inverted") is True,
        sequence=_one_of(fields.get("sequence"), ("", *SEQUENCES)),
        scanner=_scanner(fields.get("scanner")),
        edges=_edges(fields.get("edges")),
        remarks=_remarks(fields),
    )


def described_files(files: Sequence[File]) -> tuple[list[dict[str, Any]], list[bytes]]:
    """Files as a request names them, for `brat.io.worker.file_of`, and the contents of those in memory."""
    blobs: list[bytes] = []
    described = []
    for file in files:
        is_path = isinstance(file.source, Path)
        described.append(
            {
                "name": file.name,
                "packed": file.is_packed,
                "identity": file.identity,
                "path": str(file.source.absolute()) if isinstance(file.source, Path) else "",
                "blob": len(blobs),
            }
        )
        if not is_path:
            assert isinstance(file.source, bytes)
            blobs.append(file.source)
    return described, blobs


def _ask(
    fields: dict[str, Any],
    files: Sequence[File],
    account: Account,
    key: str = "",
    held: bool = False,
    item: Item | None = None,
) -> Iterator[tuple[dict[str, Any], list[np.ndarray]]]:
    """The replies of a process, with what it refuses raised."""
    described, blobs = described_files(files)
    try:
        for reply, arrays in pool.ask({**fields, "files": described}, blobs, account, key, held):
            if reply.get("end"):
                raise_refusal(reply, item)
            else:
                yield reply, arrays
    except (TypeError, AttributeError, OverflowError, KeyError, ValueError) as error:
        if isinstance(error, UnreadableScan) or (held and isinstance(error, KeyError)):
            raise
        # A field of a reply that is not what it must be.
        raise Stopped(DIED) from error


def _one(
    fields: dict[str, Any],
    files: Sequence[File],
    account: Account,
    key: str = "",
    held: bool = False,
    item: Item | None = None,
) -> tuple[dict[str, Any], list[np.ndarray]]:
    replies = list(_ask(fields, files, account, key, held, item))
    if len(replies) != 1:
        raise Stopped(DIED)
    return replies[0]


def raise_refusal(end: dict[str, Any], item: Item | None = None) -> None:
    """Raise what the last reply says that the process raised."""
    if "problem" not in end:
        return
    problem = _text(end, "problem", 4000)
    causes = [str(name)[:80] for name in (end.get("causes") or [])[:5]]
    cause = _Refused(" <- ".join(causes)) if causes else None
    if panels := end.get("panels"):
        if item is None or len(panels) > _PANELS:
            raise Stopped(DIED)
        left_out = _whole(end, "left_out", 1_000_000)
        raise _several(item, [Panel(*map(_pixel, panel)) for panel in panels], left_out)
    if end.get("told") is False:
        raise Stopped(DIED) from cause
    raise (SeveralScans if end.get("several") else UnreadableScan)(problem) from cause


def _several(item: Item, panels: Sequence[Panel], left_out: int) -> SeveralPanels:
    count = len(panels)
    return SeveralPanels(
        [
            replace(
                item,
                name=f"{item.name}, panel {number} of {count}",
                part=Part(panel, number, count, left_out),
            )
            for number, panel in enumerate(panels, 1)
        ]
    )


def _entry(fields: dict[str, Any], arrays: Sequence[np.ndarray], given: File) -> Entry:
    name, is_packed = _text(fields, "name", 4000), fields.get("packed") is True
    source = Unpacked(wire.content_of(arrays[0])) if arrays else given.source
    return Entry(
        File(name, source, is_packed, None if arrays else given.identity),
        _text(fields, "problem", 4000),
        _header(fields.get("header")),
        fields.get("series") is True,
        fields.get("nifti") is True,
    )


def _header(values: Any) -> Header | None:
    if values is None:
        return None
    from brat.io.dicom_header import Header

    (uid, rows, columns), plane, position, location, number, frames, instance, (patient, named) = values
    return Header(
        series=(str(uid), int(rows), int(columns)),
        plane=tuple(map(_number, plane)),
        position=None if position is None else _number(position),
        location=None if location is None else _number(location),
        number=None if number is None else _number(number),
        frames=int(frames),
        instance=str(instance),
        patient=(str(patient), str(named)),
    )


def _windows(fields: dict[str, Any]) -> tuple[Window, ...]:
    windows = [_window(window) for window in fields.get("presets") or ()]
    return tuple(window for window in windows if window is not None)


def _window(fields: Any) -> Window | None:
    if fields is None:
        return None
    function = fields.get("function")
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise Stopped(DIED)
    return Window(
        _number(fields.get("center")), _number(fields.get("width")), _text(fields, "name", 64), function
    )


def _text(fields: dict[str, Any], name: str, longest: int) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or len(value) > longest:
        raise Stopped(DIED)
    return clean_name(value, longest)


def _one_of(value: Any, known: Collection[str]) -> str:
    if not isinstance(value, str) or value not in known:
        raise Stopped(DIED)
    return value


def _scanner(value: Any) -> str:
    if not isinstance(value, str) or not is_scanner(value):
        raise Stopped(DIED)
    return value


def _edges(value: Any) -> Edges | None:
    if value is None:
        return None
    left, top, right, bottom = (_one_of(edge, ("R", "L", "A", "P", "H", "F")) for edge in value)
    return left, top, right, bottom


def _remarks(fields: dict[str, Any]) -> tuple[str, ...]:
    remarks = fields.get("remarks")
    if not isinstance(remarks, list) or len(remarks) > _REMARKS:
        raise Stopped(DIED)
    return tuple(_text({"remark": remark}, "remark", 1000) for remark in remarks)


def _whole(fields: dict[str, Any], name: str, most: int) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or not 0 <= value <= most:
        raise Stopped(DIED)
    return value


def _pixel(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value <= 8_000:
        raise Stopped(DIED)
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise Stopped(DIED)
    return float(value)
