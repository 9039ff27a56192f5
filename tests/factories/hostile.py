"""Small files that ask for much work or memory, of every kind that is known to have done harm.

`KINDS` names them; each makes its files in a folder. All are small on the disk: what is large is packed, or a
hole.
"""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_encoder
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from tests.factories.files import slice_of, zipped

MANY = 10_000
"""Frames, pages or files: as many as are read at all."""

_ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0)


def _sequence(group: int, element: int, content: bytes) -> bytes:
    return struct.pack("<HH2sHI", group, element, b"SQ", 0, len(content)) + content


def _item(content: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content


def _before_pixels(data: bytes, elements: bytes) -> bytes:
    at = max(data.rfind(struct.pack("<HH2s", 0x7FE0, 0x0010, vr)) for vr in (b"OW", b"OB"))
    return data[:at] + elements + data[at:]


def frames(encoded: list[bytes], syntax: str, side: int, **changes: object) -> bytes:
    """A file of as many frames as are given, compressed, of one byte a pixel."""
    said = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "Rows": side, "Columns": side}
    dataset = pydicom.dcmread(io.BytesIO(slice_of(1, **(said | changes))))
    dataset.NumberOfFrames = len(encoded)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate(encoded, has_bot=False)
    dataset["PixelData"].VR = "OB"
    return _written(dataset)


def _written(dataset: Dataset) -> bytes:
    written = io.BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return written.getvalue()


def _jpeg(image: Image.Image, scans: int = 0) -> bytes:
    """A JPEG; a progressive one that repeats its last scan, if asked for."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", progressive=scans > 0)
    data = buffer.getvalue()
    last = data.rindex(b"\xff\xda") if scans else len(data)
    return data[:last] + data[last:-2] * scans + b"\xff\xd9" if scans else data


def _rle(pixels: np.ndarray) -> bytes:
    made = get_encoder(RLELossless).encode(
        pixels.tobytes(),
        rows=pixels.shape[0],
        columns=pixels.shape[1],
        samples_per_pixel=1,
        bits_allocated=8,
        bits_stored=8,
        photometric_interpretation="MONOCHROME2",
        pixel_representation=0,
        number_of_frames=1,
    )
    return bytes(made)


def _head(side: int) -> np.ndarray:
    down, across = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    return (200 * (down**2 + across**2 < 0.6) * (1 - 0.3 * across)).astype(np.uint8)


def endless_jpeg() -> bytes:
    """A progressive JPEG that repeats its last scan over 16 million pixels."""
    return _jpeg(Image.new("L", (4000, 4000), 90), 2000)


def endless_tiff(pages: int = 200_000) -> bytes:
    """Directories of one entry each, one after another."""
    one = b"".join(struct.pack("<HHHIII", 1, 256, 3, 1, 64, 8 + 18 * (number + 1)) for number in range(pages))
    return b"II*\0" + struct.pack("<I", 8) + one


def large_pages(pages: int = MANY, side: int = 5000) -> bytes:
    """Pages of 25 million pixels each, all of which are the same bytes of the file."""
    packed = io.BytesIO()
    Image.fromarray(_head(side)).save(packed, "TIFF", compression="tiff_deflate")
    one = Image.open(packed)
    strips = list(zip(one.tag_v2[273], one.tag_v2[279], strict=True))
    data = packed.getvalue()
    body = b"".join(data[at : at + size] for at, size in strips)
    begin = 8
    starts = np.cumsum([begin, *(size for _, size in strips)])[:-1]
    table_at = begin + len(body)
    tables = struct.pack(f"<{len(strips)}I", *starts) + struct.pack(
        f"<{len(strips)}I", *(s for _, s in strips)
    )
    at = table_at + len(tables)
    entries: list[tuple[int, int, int, int]] = [
        (256, 4, 1, side),
        (257, 4, 1, side),
        (258, 3, 1, 8),
        (259, 3, 1, 8),
        (262, 3, 1, 1),
        (273, 4, len(strips), table_at),
        (277, 3, 1, 1),
        (278, 4, 1, one.tag_v2[278]),
        (279, 4, len(strips), table_at + 4 * len(strips)),
    ]
    size = 2 + 12 * len(entries) + 4
    made = bytearray(b"II*\0" + struct.pack("<I", at) + body + tables)
    for page in range(pages):
        following = at + size if page + 1 < pages else 0
        made += struct.pack("<H", len(entries))
        made += b"".join(struct.pack("<HHII", *entry) for entry in entries)
        made += struct.pack("<I", following)
        at += size
    return bytes(made)


def many_items(items: int = 6_000_000) -> bytes:
    """An empty item for each of millions of frames that are not there."""
    return _before_pixels(slice_of(1), _sequence(0x5200, 0x9230, _ITEM * items))


def items_of_frames(count: int = MANY, groups: int = 60) -> bytes:
    """Frames that each have many functional groups, all to be read again for every one of them."""
    one = b"".join(_sequence(0x0021, 0x1000 + n, _item(b"")) for n in range(groups))
    return _before_pixels(_plain_frames(count), _sequence(0x5200, 0x9230, _item(one) * count))


def shared_items(count: int = MANY, items: int = 1_000_000) -> bytes:
    """Frames that share a group of a million items."""
    inner = _sequence(0x0018, 0x9114, _ITEM * items)
    return _before_pixels(_plain_frames(count), _sequence(0x5200, 0x9229, _item(inner)))


def deep_items(depth: int = 50_000) -> bytes:
    """A sequence in a sequence in a sequence, of undefined lengths."""
    begin = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 2**32 - 1) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 2**32 - 1
    )
    return _before_pixels(slice_of(1), begin * depth)


def many_elements(count: int = 4_000_000) -> bytes:
    """Elements of a maker's own, without a value, more than any header has."""
    numbers = np.arange(count)
    elements = np.empty(count, [("group", "<u2"), ("element", "<u2"), ("rest", "S4")])
    elements["group"], elements["element"] = 0x0051 + 2 * (numbers >> 15), numbers & 0x7FFF
    elements["rest"] = b"LO\0\0"
    return _before_pixels(slice_of(1), elements.tobytes())


def _plain_frames(count: int, side: int = 64) -> bytes:
    pixels = np.tile(_head(side), (count, 1, 1))
    said = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "Rows": side, "Columns": side}
    return slice_of(1, NumberOfFrames=count, PixelData=pixels.tobytes(), **said)


def frames_without_offsets() -> bytes:
    """Compressed frames whose places must be looked for from the first one on, for each of them."""
    return frames([_rle(_head(64))] * MANY, RLELossless, 64)


def fragments_without_offsets(fragments: int = 1_000_000) -> bytes:
    """A million empty pieces, among which each frame must be looked for."""
    data = frames([_rle(_head(64))] * 100, RLELossless, 64)
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    at = data.rindex(end)
    return data[:at] + _ITEM * fragments + data[at:]


def damaged_frames() -> bytes:
    """Frames that take long, each of which turns out to be damaged."""
    broken = _jpeg(Image.new("L", (1000, 1000), 90), 60)[:-40] + bytes(38) + b"\xff\xd9"
    return frames([broken] * MANY, JPEGBaseline8Bit, 1000)


def progressive_frames() -> bytes:
    """Frames that take long and are whole."""
    image = Image.fromarray(_head(1500))
    return frames([_jpeg(image, 20)] * 500, JPEGBaseline8Bit, 1500)


def empty_frames() -> bytes:
    """Frames that are decoded, and in which there is nothing."""
    return frames([_jpeg(Image.new("L", (1000, 1000), 90))] * MANY, JPEGBaseline8Bit, 1000)


def damaged_and_empty_frames() -> bytes:
    """Such frames in turn, so that never many in a row are damaged."""
    empty, broken = _jpeg(Image.new("L", (500, 500), 90)), b"\xff\xd8\xff\xd9"
    encoded = [broken if number % 4 else empty for number in range(MANY)]
    return frames(encoded, JPEGBaseline8Bit, 500)


def slow_frames() -> bytes:
    """Frames of 25 million pixels, each of which takes long and is whole."""
    packed = io.BytesIO()
    Image.fromarray(_head(5000)).save(packed, "JPEG2000", irreversible=False, no_jp2=True)
    return frames([packed.getvalue()] * 500, JPEG2000Lossless, 5000)


def sparse(path: Path, begin: bytes, size: int) -> None:
    """A file that is a hole but for how it begins."""
    with path.open("wb") as file:
        file.write(begin)
        file.truncate(size)


def _header_of_hole(length: int) -> bytes:
    """A slice whose picture says that it has so many bytes."""
    data = slice_of(1)
    at = data.rindex(struct.pack("<HH2s", 0x7FE0, 0x0010, b"OW"))
    return data[:at] + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, length)


def _open_sequence() -> bytes:
    data = slice_of(1)
    at = data.rindex(struct.pack("<HH2s", 0x7FE0, 0x0010, b"OW"))
    return data[:at] + struct.pack("<HH2sHI", 0x5200, 0x9230, b"SQ", 0, 2**32 - 1)


def volume(shape: tuple[int, ...], dtype: str, slope: float | None = None) -> bytes:
    """A packed NIfTI volume, nearly all of it zeros."""
    code, size = _TYPES[dtype]
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, len(shape), *shape, *(1,) * (7 - len(shape)))
    struct.pack_into("<hh", head, 70, code, 8 * size)
    struct.pack_into("<8f", head, 76, 1, 1, 1, 1, 0, 0, 0, 0)
    struct.pack_into("<3f", head, 108, 352, slope or 0, 0)
    struct.pack_into("<hh", head, 252, 0, 1)
    struct.pack_into("<12f", head, 280, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)
    head[344:348] = b"n+1\0"
    some = np.arange(64, dtype=np.uint8).tobytes()
    return _packed([bytes(head), some, *_zeros(size * int(np.prod(shape, dtype=float)) - len(some))])


_TYPES = {"f8": (64, 8), "i8": (1024, 8), "c16": (1792, 16), "f16": (1536, 16), "rgb": (128, 3)}
"""NIfTI's code of a type, and the bytes of a value."""


def _zeros(count: int) -> Iterator[bytes]:
    piece = bytes(1 << 20)
    for _ in range(count >> 20):
        yield piece
    yield bytes(count & ((1 << 20) - 1))


def _packed(pieces: Iterable[bytes]) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1) as file:
        for piece in pieces:
            file.write(piece)
    return buffer.getvalue()


def archive(entries: dict[str, Iterable[bytes]]) -> bytes:
    """A ZIP archive of files that are given in pieces."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
        for name, pieces in entries.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            with made.open(info, "w", force_zip64=True) as entry:
                for piece in pieces:
                    entry.write(piece)
    return buffer.getvalue()


def _bare_archive(size: int) -> bytes:
    return archive({"a.dcm": [bytes(128) + b"DICM", *_zeros(size - 132)]})


def many_planes(count: int = MANY) -> bytes:
    """A series, each slice of which lies in another direction."""
    one = slice_of(
        1,
        Rows=64,
        Columns=64,
        PixelData=bytes(2 * 64 * 64),
        ImageOrientationPatient=["+1.000000", "+0.000000", "0", "0", "0", "1"],
    )
    angles = np.linspace(0, 2 * np.pi, count)
    directions = [f"{np.cos(angle):+.6f}\\{np.sin(angle):+.6f}".encode() for angle in angles]
    return zipped({f"{n}.dcm": one.replace(b"+1.000000\\+0.000000", d) for n, d in enumerate(directions)})


def many_entries(count: int = 700_000) -> bytes:
    """A ZIP archive that lists far more files than are read, all of them at one place."""
    name = b"a.dcm"
    local = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 0, 0, 0, 0, 0, 0, 0, len(name), 0) + name
    one = (
        struct.pack(
            "<4sHHHHHHIIIHHHHHII", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, len(name), 0, 0, 0, 0, 0, 0
        )
        + name
    )
    directory = one * count
    end64 = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(directory), len(local))
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, len(local) + len(directory), 1)
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 2**32 - 1, 2**32 - 1, 0)
    return local + directory + end64 + locator + end


def _one(name: str, make: Callable[[], bytes]) -> Callable[[Path], list[Path]]:
    def write(folder: Path) -> list[Path]:
        path = folder / name
        path.write_bytes(make())
        return [path]

    return write


def _hole(name: str, begin: Callable[[], bytes], size: int) -> Callable[[Path], list[Path]]:
    def write(folder: Path) -> list[Path]:
        sparse(folder / name, begin(), size)
        return [folder / name]

    return write


def _four(make: Callable[[], bytes], ending: str) -> Callable[[Path], list[Path]]:
    def write(folder: Path) -> list[Path]:
        data = make()
        paths = [folder / f"{number}{ending}" for number in range(4)]
        for path in paths:
            path.write_bytes(data)
        return paths

    return write


_HUGE = 490_000_000

KINDS: dict[str, Callable[[Path], list[Path]]] = {
    "jpeg": _one("a.jpg", endless_jpeg),
    "tiff": _one("a.tif", endless_tiff),
    "large pages": _one("pages.tif", large_pages),
    "items": _one("items.dcm", many_items),
    "items of frames": _one("of_frames.dcm", items_of_frames),
    "shared items": _one("shared.dcm", shared_items),
    "deep items": _one("deep.dcm", deep_items),
    "elements": _one("elements.dcm", many_elements),
    "frames without offsets": _one("no_offsets.dcm", frames_without_offsets),
    "fragments": _one("fragments.dcm", fragments_without_offsets),
    "damaged frames": _one("damaged.dcm", damaged_frames),
    "progressive frames": _one("progressive.dcm", progressive_frames),
    "empty frames": _one("empty.dcm", empty_frames),
    "damaged and empty frames": _one("both.dcm", damaged_and_empty_frames),
    "slow frames": _one("slow.dcm", slow_frames),
    "hole": _hole("hole.dcm", lambda: bytes(128) + b"DICM", 20_000_000_000),
    "hole below the limit": _hole("hole480.dcm", lambda: bytes(128) + b"DICM", _HUGE),
    "picture that is a hole": _hole("picture.dcm", lambda: _header_of_hole(4_000_000_000), 4_100_000_000),
    "small picture that is a hole": _hole("picture480.dcm", lambda: _header_of_hole(480_000_000), _HUGE),
    "sequence that is a hole": _hole("sequence.dcm", _open_sequence, _HUGE),
    "archive that is a hole": _hole("hole.zip", lambda: b"PK\3\4", 5_000_000_000),
    "float64": _one("f64.nii.gz", lambda: volume((390, 390, 400), "f8")),
    "int64": _one("i64.nii.gz", lambda: volume((390, 390, 400), "i8", slope=0.5)),
    "complex": _one("c128.nii.gz", lambda: volume((300, 300, 340), "c16")),
    "colour": _one("rgb.nii.gz", lambda: volume((450, 450, 480), "rgb")),
    "float128": _one("f128.nii.gz", lambda: volume((300, 300, 340), "f16")),
    "volumes": _one("f64_4d.nii.gz", lambda: volume((64, 64, 30, 500), "f8")),
    "slices": _one("slices.nii.gz", lambda: volume((64, 64, 14_000), "f8")),
    "beyond": _one("beyond.nii.gz", lambda: volume((390, 390, 1200), "f8")),
    "planes": _one("planes.zip", many_planes),
    "entries": _one("entries.zip", many_entries),
    "archive": _one("one.zip", lambda: _bare_archive(_HUGE)),
    "four archives": _four(lambda: _bare_archive(_HUGE), ".zip"),
    "four packed": _four(lambda: _packed([bytes(128) + b"DICM", *_zeros(_HUGE)]), ".dcm.gz"),
    "archive of hostile files": _one(
        "many.zip", lambda: zipped({f"{n}.jpg": endless_jpeg() for n in range(5)})
    ),
}
