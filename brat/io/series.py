"""A series: slices of one acquisition, in the order in which they lie, decoded when they are looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from brat.io.files import File
from brat.io.scan import Scan, UnreadableScan, Window, checked

ACQUIRED = "acquired"
"""The plane of a series of DICOM: that in which it was made."""


class Stack(Sequence[Scan]):
    """One view of a series, a scan for each slice; threads may share it.

    Attributes:
        plane: `ACQUIRED`, or "axial", "coronal" or "sagittal".
        positions: millimetres along the stack from its first slice; None where they are not known.
        files: of each slice, where each has a file of its own; empty otherwise.
    """

    def __init__(
        self,
        count: int,
        decode: Callable[[int], Scan],
        plane: str = ACQUIRED,
        positions: Sequence[float] | None = None,
        files: Sequence[File] = (),
    ):
        """Args: decode: the number of a slice, 0 to `count` - 1 -> the slice."""
        self.files = tuple(files)
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

            return Stack(len(before), decode, plane, before.positions, before.files)

        return replace(self, window=window, cut=cut)


GIVE_UP = 5
"""Slices that cannot be decoded, one after another, after which the others of a series are not tried."""


def first_readable(decode: Callable[[int], Scan], count: int) -> Scan:
    """The first slice in which there is something: it speaks for all.

    Raises:
        UnreadableScan: there is none, or `GIVE_UP` in a row cannot be decoded; why the last one is not.
    """
    problem = UnreadableScan("There is no slice in this series.")
    failed = 0
    for index in range(count):
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
            return checked(scan)
        # One of one shade, as at the ends of a series, was decoded.
        except UnreadableScan as error:
            problem = error
    raise problem
