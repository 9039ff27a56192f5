"""Small files that ask for much work or memory, of every kind that is known to have done harm.

`KINDS` names them; each makes its files in a folder. All are small on the disk: what is large is packed, or a
hole. `FURTHER` are of other kinds: each ends soon, or in the same way as one of `KINDS`.
"""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_encoder
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    MediaStorageDirectoryStorage,
    RLELossless,
)

from tests.factories.files import slice_of, zipped
from tests.factories.heads import synthetic_head

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
    _, size = _TYPES[dtype]
    some = np.arange(64, dtype=np.uint8).tobytes()
    rest = _zeros(size * int(np.prod(shape, dtype=float)) - len(some))
    return _packed([volume_header(shape, dtype, slope), some, *rest])


def volume_header(shape: tuple[int, ...], dtype: str, slope: float | None = None) -> bytes:
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
    return bytes(head)


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


def nested_items(count: int = 1000) -> bytes:
    """Frames, each of which has sequences within sequences."""
    inner = b""
    for number in range(5):
        inner = _sequence(0x0021, 0x1000 + number, _item(inner))
    return _before_pixels(_plain_frames(count), _sequence(0x5200, 0x9230, _item(inner * 10) * count))


def deflated(elements: bytes) -> bytes:
    """A slice with further elements, compressed as a whole."""
    plain = slice_of(1)
    dataset = pydicom.dcmread(io.BytesIO(plain))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    head = _written(dataset)
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = _before_pixels(plain, elements)[_begin(plain) :]
    return head[: _begin(head)] + compressor.compress(body) + compressor.flush()


def _begin(data: bytes) -> int:
    """Where the dataset begins, after the preamble and the group length of the meta information."""
    return 144 + int(pydicom.dcmread(io.BytesIO(data)).file_meta.FileMetaInformationGroupLength)


def before_the_dataset(group: int, count: int = 10_000_000) -> bytes:
    """Empty elements of one group where that of a message, or of the meta information, would be."""
    element = struct.pack("<HH", group, 0) + (b"UL\0\0" if group else bytes(4))
    return bytes(128) + b"DICM" + element * count


def private_sequences(depth: int = 1000) -> bytes:
    """Sequences of a maker's own within sequences, some of them of an unknown type."""
    inner = b""
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    for number in range(depth):
        unknown = struct.pack("<HH2sHI", 0x0009, 0x1011, b"UN", 0, 2**32 - 1)
        inner = _sequence(0x0009, 0x1010, _item(inner)) if number % 2 else unknown + _item(inner) + end
    return _before_pixels(slice_of(1), inner)


def endless_index(records: int = 3000) -> bytes:
    """A DICOMDIR whose records name each other in a circle, and a file outside its folder."""
    index = Dataset()
    index.file_meta = FileMetaDataset()
    index.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    index.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    index.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    index.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = 400
    index.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity = 400
    index.FileSetConsistencyFlag = 0
    record = Dataset()
    record.OffsetOfTheNextDirectoryRecord = record.OffsetOfReferencedLowerLevelDirectoryEntity = 400
    record.RecordInUseFlag, record.DirectoryRecordType = 0xFFFF, "IMAGE"
    # The standard allows no such names.
    with pydicom.config.disable_value_validation():
        record.ReferencedFileID = ["..", "..", "etc", "passwd"]
    index.DirectoryRecordSequence = [record] * records
    return _written(index)


def overlays() -> bytes:
    """Sixteen overlays of 500 frames of 64 million pixels, which are not there."""
    dataset = pydicom.dcmread(io.BytesIO(slice_of(1)))
    for group in range(0x6000, 0x6020, 2):
        said = {0x10: ("US", 8000), 0x11: ("US", 8000), 0x15: ("IS", 500), 0x40: ("CS", "G")}
        said |= {0x50: ("SS", [1, 1]), 0x100: ("US", 1), 0x102: ("US", 0), 0x3000: ("OW", bytes(8000))}
        for element, (vr, value) in said.items():
            dataset.add_new((group, element), vr, value)
    return _written(dataset)


def _jpeg2000(side: int, **options: object) -> bytes:
    packed = io.BytesIO()
    Image.fromarray(_head(side)).save(packed, "JPEG2000", no_jp2=True, **options)
    return packed.getvalue()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of(before: bytes = b"", side: int = 512, pieces: Callable[[bytes], bytes] | None = None) -> bytes:
    """A PNG with chunks before its picture, and the picture in pieces, where they are given."""
    rows = b"".join(b"\0" + row.tobytes() for row in _head(side))
    packed = zlib.compress(rows, 1)
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    body = pieces(packed) if pieces else _chunk(b"IDAT", packed)
    return b"\x89PNG\r\n\x1a\n" + header + before + body + _chunk(b"IEND", b"")


def animated_png(frames: int = 2000, side: int = 3000) -> bytes:
    """Frames of nine million pixels, all of them black."""
    packed = zlib.compress(bytes((side + 1) * side), 9)
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    made = [b"\x89PNG\r\n\x1a\n", header, _chunk(b"acTL", struct.pack(">II", frames, 0))]
    number = 0
    for frame in range(frames):
        control = struct.pack(">IIIIIHHBB", number, side, side, 0, 0, 1, 10, 0, 0)
        made.append(_chunk(b"fcTL", control))
        number += 1
        made.append(_chunk(b"fdAT", struct.pack(">I", number) + packed) if frame else _chunk(b"IDAT", packed))
        number += frame > 0
    return b"".join([*made, _chunk(b"IEND", b"")])


def _saved(image: Image.Image, format: str, **options: object) -> bytes:
    packed = io.BytesIO()
    image.save(packed, format, **options)
    return packed.getvalue()


def commented_jpeg(comments: int = 5_000_000) -> bytes:
    """Empty comments before the picture."""
    data = _jpeg(Image.fromarray(_head(512)))
    return data[:2] + b"\xff\xfe\0\2" * comments + data[2:]


def circular_tiff() -> bytes:
    """Two directories, each of which names the other as the next."""
    one, two = (struct.pack("<HHHIII", 1, 256, 3, 1, 64, following) for following in (26, 8))
    return b"II*\0" + struct.pack("<I", 8) + one + two


def tagged_tiff(tags: int = 65_535) -> bytes:
    """As many tags as there may be, each of which says that it has 60 MB."""
    entries = b"".join(struct.pack("<HHII", tag, 7, 60_000_000, 8) for tag in range(tags))
    return b"II*\0" + struct.pack("<IH", 8, tags) + entries + bytes(1_000_000)


def heic_of_tiles(tiles: int = 60_000) -> bytes:
    """A picture that is put together of as many tiles as may be named, none of which is there."""

    def box(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", 8 + len(content)) + kind + content

    def full(kind: bytes, version: int, content: bytes) -> bytes:
        return box(kind, struct.pack(">I", version << 24) + content)

    kinds = [b"grid", *[b"hvc1"] * (tiles - 1)]
    infos = [full(b"infe", 2, struct.pack(">HH", n, 0) + kind + b"\0") for n, kind in enumerate(kinds, 1)]
    of_grid = struct.pack(f">HH{tiles - 1}H", 1, tiles - 1, *range(2, tiles + 1))
    places = [struct.pack(">HHHII", n + 1, 0, 1, 0, 100) for n in range(tiles)]
    parts = [
        full(b"hdlr", 0, bytes(4) + b"pict" + bytes(13)),
        full(b"pitm", 0, struct.pack(">H", 1)),
        full(b"iinf", 0, struct.pack(">H", tiles) + b"".join(infos)),
        full(b"iref", 0, box(b"dimg", of_grid)),
        full(b"iloc", 0, struct.pack(">HH", 0x4400, tiles) + b"".join(places)),
    ]
    begin = box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")
    return begin + full(b"meta", 0, b"".join(parts)) + box(b"mdat", bytes(1000))


def long_bmp(side: int = 8000) -> bytes:
    """A packed picture of 64 million pixels."""
    content = b"\xff\x01" * 300_000
    header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(content), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 1078 + len(content), 0, 0, 1078) + header + bytes(1024) + content


def overlapping_entries(count: int = 9000, size: int = 150_000_000) -> bytes:
    """A ZIP archive, each of whose files is the same 150 MB."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    content = bytes(128) + b"DICM" + bytes(size)
    packed, check, name = compressor.compress(content) + compressor.flush(), zlib.crc32(content), b"a.dcm"
    said = (check, len(packed), len(content))
    local = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 0, 8, 0, 0, *said, len(name), 0) + name + packed
    listed = struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", 20, 20, 0, 8, 0, 0, *said, 9, *(0,) * 6)
    directory = b"".join(listed + b"%05d.dcm" % number for number in range(count))
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, count, count, len(directory), len(local), 0)
    return local + directory + end


def archive_in_archive(depth: int = 50) -> bytes:
    data = zipped({"a.png": b"x"})
    for number in range(depth):
        data = zipped({f"{number}.zip": data})
    return data


def packed_again(size: int = 300_000_000) -> bytes:
    return gzip.compress(gzip.compress(_packed(_zeros(size)), 9), 9)


def junk(ending: str, content: bytes, count: int = MANY) -> bytes:
    """A ZIP archive of many files that begin as scans do, and are none."""
    return zipped({f"{number:05}{ending}": content + b"%d" % number for number in range(count)})


def slow_series(series: int = 40, slices: int = 20) -> bytes:
    """Many series, each slice of which takes long and is whole."""
    encoded = [_jpeg(Image.fromarray(synthetic_head(900, 900)), 25)]

    def one(number: int, place: int) -> bytes:
        return frames(
            encoded,
            JPEGBaseline8Bit,
            900,
            SeriesInstanceUID=f"1.2.{number + 1}",
            SOPInstanceUID=f"1.2.9.{number}.{place}",
            InstanceNumber=place,
            ImagePositionPatient=[0, 0, place],
        )

    return zipped({f"{n}/{place}.dcm": one(n, place) for n in range(series) for place in range(slices)})


def slow_damaged_pictures(count: int = 3000) -> bytes:
    """Pictures that take long, each of which turns out to be damaged."""
    data = _jpeg(Image.new("L", (1500, 1500), 90), 12)[:-30] + bytes(30)
    return zipped({f"{number}.jpg": data for number in range(count)})


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

_LARGE = 200_000_000

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

FURTHER: dict[str, Callable[[Path], list[Path]]] = {
    "nested items": _one("nested.dcm", nested_items),
    "deflated zeros": _one(
        "zeros.dcm", lambda: deflated(struct.pack("<HH2sHI", 9, 0x1001, b"OB", 0, _LARGE) + bytes(_LARGE))
    ),
    "deflated items": _one("items.dcm", lambda: deflated(_sequence(0x5200, 0x9230, _ITEM * 2_000_000))),
    "elements of a message": _one("zeros.dcm", lambda: before_the_dataset(0)),
    "elements of the meta information": _one("meta.dcm", lambda: before_the_dataset(2)),
    "private sequences": _one("private.dcm", private_sequences),
    "index": _one("DICOMDIR", endless_index),
    "overlays": _one("overlays.dcm", overlays),
    "frames that are not there": _one("frames.dcm", lambda: slice_of(1, NumberOfFrames=2**31 - 1)),
    "windows": _one(
        "windows.dcm",
        lambda: slice_of(
            1, WindowCenter=[5] * 8000, WindowWidth=[7] * 8000, WindowCenterWidthExplanation=["X"] * 8000
        ),
    ),
    "JPEG 2000 tiles": _one("tiles.dcm", lambda: frames([_jpeg2000(1000, tile_size=(8, 8))], JPEG2000, 1000)),
    "JPEG 2000 layers": _one(
        "layers.dcm", lambda: frames([_jpeg2000(1000, quality_layers=[*range(99, 0, -1)])], JPEG2000, 1000)
    ),
    "JPEG 2000 resolutions": _one(
        "resolutions.dcm", lambda: frames([_jpeg2000(2000, num_resolutions=11)] * 100, JPEG2000, 2000)
    ),
    "pieces of a PNG": _one(
        "pieces.png",
        lambda: png_of(pieces=lambda d: b"".join(_chunk(b"IDAT", d[n : n + 1]) for n in range(len(d)))),
    ),
    "empty pieces of a PNG": _one(
        "empty.png",
        lambda: png_of(
            pieces=lambda d: (
                _chunk(b"IDAT", d[:5]) + _chunk(b"IDAT", b"") * 2_000_000 + _chunk(b"IDAT", d[5:])
            )
        ),
    ),
    "profile of a PNG": _one(
        "profile.png", lambda: png_of(_chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(_LARGE), 9)))
    ),
    "packed texts of a PNG": _one(
        "packed.png", lambda: png_of(_chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(900_000), 9)) * 20_000)
    ),
    "texts of a PNG": _one(
        "texts.png", lambda: png_of(b"".join(_chunk(b"tEXt", b"k%d\0v" % n) for n in range(500_000)))
    ),
    "animated PNG": _one("animated.png", animated_png),
    "animated WebP": _one(
        "animated.webp",
        lambda: _saved(
            Image.new("RGB", (1000, 1000)),
            "WEBP",
            save_all=True,
            append_images=[Image.new("RGB", (1000, 1000), (n, n, n)) for n in range(1, 40)],
        ),
    ),
    "scans in colour": _one("scans.jpg", lambda: _jpeg(Image.new("RGB", (3000, 3000), (9, 90, 90)), 4000)),
    "scans that break off": _one("cut.jpg", lambda: _jpeg(Image.new("L", (5000, 5000), 90), 300)[:-2]),
    "comments": _one("comments.jpg", commented_jpeg),
    "circular TIFF": _one("circle.tif", circular_tiff),
    "tags": _one("tags.tif", tagged_tiff),
    "strips": _one(
        "strips.tif",
        lambda: _saved(Image.new("L", (64, 7000), 9), "TIFF", compression="tiff_deflate", tiffinfo={278: 1}),
    ),
    "blank floats": _one(
        "blank.tif", lambda: _saved(Image.new("F", (8000, 3000), 1.0), "TIFF", compression="tiff_deflate")
    ),
    "HEIC tiles": _one("tiles.heic", heic_of_tiles),
    "long BMP": _one("long.bmp", long_bmp),
    "huge sides": _one("huge.nii.gz", lambda: _packed([volume_header((32_767,) * 3, "f8"), bytes(1000)])),
    "seven dimensions": _one("seven.nii.gz", lambda: volume((60, 60, 60, 5, 5, 2, 3), "f8")),
    "scale that is no number": _one("nan.nii.gz", lambda: volume((256, 256, 300), "f8", float("nan"))),
    "endless scale": _one("endless.nii.gz", lambda: volume((256, 256, 300), "i8", float("inf"))),
    "entries at one place": _one("one_place.zip", overlapping_entries),
    "archive in an archive": _one("nested.zip", archive_in_archive),
    "packed again": _one("packed.gz", packed_again),
    "junk named DICOM": _one("junk.zip", lambda: junk(".dcm", bytes(128) + b"DICM")),
    "junk named PNG": _one("junk_png.zip", lambda: junk(".png", b"\x89PNG\r\n\x1a\n")),
    "pictures that break off": _one("cut.zip", lambda: junk(".png", png_of()[:4000])),
    "blank pictures": _one("blank.zip", lambda: junk(".png", _saved(Image.new("L", (32, 32)), "PNG"))),
    "slow damaged pictures": _one("damaged.zip", slow_damaged_pictures),
    "slow series": _one("series.zip", slow_series),
}
