"""A series: slices of one acquisition, in the order in which they lie, decoded when they are looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from brat.io.files import File
from brat.io.scan import WINDOW_LOST, Scan, UnreadableScan, Window, checked, display_window

ACQUIRED = "acquired"
"""The plane of a series of DICOM: that in which it was made."""

_SAMPLES = 24
"""Slices from which the window of a series is taken."""

_WINDOW_OF_SERIES = (
    "Under the window in the header hardly anything is to be seen. The slice is shown under the window of "
    "the series."
)


class Stack(Sequence[Scan]):
    """One view of a series, a scan for each slice; threads may share it.

    Attributes:
        plane: `ACQUIRED`, or "axial", "coronal" or "sagittal".
        positions: millimetres along the stack from its first slice; None where they are not known.
        files: of DICOM, the file that each slice is in; empty otherwise.
        frames: where the slices are frames of one file, which frame each is, from 0; empty otherwise.
    """

    def __init__(
        self,
        count: int,
        decode: Callable[[int], Scan],
        plane: str = ACQUIRED,
        positions: Sequence[float] | None = None,
        files: Sequence[File] = (),
        frames: Sequence[int] = (),
    ):
        """Args: decode: the number of a slice, 0 to `count` - 1 -> the slice."""
        self.files, self.frames = tuple(files), tuple(frames)
        self.plane = plane
        self.positions = None if positions is None else tuple(positions)
        self._count, self._decode = count, decode

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Scan:  # type: ignore[override]
        """A slice; one at the end of a stack may be of one shade all over.

        Raises:
            IndexError: there is no such slice.
            UnreadableScan: its file is damaged.
        """
        if not -self._count <= index < self._count:
            raise IndexError(index)
        return self._decode(index % self._count)


@dataclass(frozen=True, eq=False)
class Series:
    """Slices of one acquisition.

    Attributes:
        name: what to call it: its file's or its folder's name.
        format: for people: "DICOM MR, 12-bit, 160 slices", "NIfTI, 256 x 256 x 160".
        modality: the DICOM modality code, empty where nothing says it.
        digest: SHA-256, hexadecimal, over its files.
        planes: the views that it can be cut into, the first of which is the one to start with.
        volumes: how many volumes of the same space it holds; 1 but for a 4D file.
        window: what is shown of its values; None where another window makes no sense.
        presets: the windows that the file itself suggests.
        cut: plane, volume -> the stack; `stack` checks what it is asked for.
        left_out: names of the files that are copies of others, and were not read.
        remarks: as of `Scan`, of what was left out and of the first slice that can be read.
    """

    name: str
    format: str
    modality: str
    digest: str
    planes: tuple[str, ...]
    volumes: int
    window: Window | None
    presets: tuple[Window, ...]
    cut: Callable[[str, int], Stack]
    left_out: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def stack(self, plane: str | None = None, volume: int = 0) -> Stack:
        """One view of it.

        Args:
            plane: of `planes`; the first by default.
            volume: 0 to `volumes` - 1.

        Raises:
            ValueError: there is no such view.
            UnreadableScan: the file is damaged.
        """
        plane = plane or self.planes[0]
        if plane not in self.planes or not 0 <= volume < self.volumes:
            raise ValueError(f"There is no {plane} view of volume {volume}.")
        return self.cut(plane, volume)

    @property
    def said(self) -> tuple[str, ...]:
        """`remarks`, for who reads the first volume alone: that there are others, too."""
        of_volumes = f"Of {self.volumes} volumes the first was read."
        return (of_volumes, *self.remarks) if self.volumes > 1 else self.remarks

    def windowed(self, window: Window) -> Series:
        """The series as another window shows it.

        Raises:
            ValueError: it has no window.
        """
        if self.window is None:
            raise ValueError("This series has no window to change.")

        def cut(plane: str, volume: int) -> Stack:
            before = self.cut(plane, volume)

            def decode(number: int) -> Scan:
                scan = before[number]
                # One slice of a series may be in colour.
                return scan.windowed(window) if scan.window else scan

            return Stack(len(before), decode, plane, before.positions, before.files, before.frames)

        return replace(self, window=window, cut=cut)


GIVE_UP = 5
"""Slices that cannot be decoded, one after another, after which the others of a series are not tried."""


def is_off_window(scan: Scan) -> bool:
    """Whether a scan's file names a window, and it is not shown under it, as hardly anything is seen then."""
    return WINDOW_LOST in scan.remarks


def first_readable(decode: Callable[[int], Scan], count: int) -> Scan:
    """The first slice in which there is something: it speaks for all.

    One that is shown under the file's window is preferred, of the first `_SAMPLES`: air at the end of a
    series is not.

    Raises:
        UnreadableScan: there is none, or `GIVE_UP` in a row cannot be decoded; why the last one is not.
    """
    problem = UnreadableScan("There is no slice in this series.")
    failed = 0
    first: Scan | None = None
    for index in range(count):
        if first and index >= _SAMPLES:
            break
        try:
            scan = decode(index)
            failed = 0
        except UnreadableScan as error:
            problem = error
            failed += 1
            if failed == GIVE_UP:
                break
            continue
        try:
            checked(scan)
            if not is_off_window(scan):
                return scan
            first = first or scan
        # One of one shade, as at the ends of a series, was decoded.
        except UnreadableScan as error:
            problem = error
    if first:
        return first
    raise problem


def under_one_window(
    decode: Callable[[int], Scan], count: int, first: Scan
) -> tuple[Callable[[int], Scan], Window | None]:
    """Where files name no window, one from all slices: `decode` with that window, and the window.

    A window from each by itself would show the air outside a head as bright as the head. So a slice of which
    hardly anything is seen under its own window is shown under that of the series.

    Args:
        decode: number of a slice -> the slice.
        first: of `first_readable`.
    """
    if first.window is None:
        return decode, None

    def needs_window(scan: Scan) -> bool:
        return scan.window is not None and (not scan.presets or is_off_window(scan))

    window = first.window
    if needs_window(first):
        values = []
        places = np.linspace(0, count - 1, min(count, _SAMPLES)).round().astype(int)
        for index in sorted(set(places.tolist())):
            try:
                scan = decode(index)
            except UnreadableScan:
                # It is shown as damaged once its turn comes.
                continue
            if needs_window(scan):
                values.append(scan.pixels[::2, ::2].ravel())
        window = display_window(np.concatenate(values)) if values else window

    def windowed(index: int) -> Scan:
        scan = decode(index)
        if not needs_window(scan):
            return scan
        remarks = scan.remarks
        if is_off_window(scan) and not needs_window(first):
            # Of air under the window of its own file there is nothing to say.
            said = () if window in scan.presets else (_WINDOW_OF_SERIES,)
            remarks = tuple(remark for remark in remarks if remark != WINDOW_LOST) + said
        return replace(scan.windowed(window), remarks=remarks)

    return windowed, window


def left_out_in_words(count: int) -> tuple[str, ...]:
    """A remark on files that are copies of others; none where there are none."""
    if not count:
        return ()
    if count == 1:
        return ("1 file is a copy of another that is here already, and was left out.",)
    return (f"{count} files are copies of others that are here already, and were left out.",)
