"""What becomes of slices that are exported, framed, put on pages or photographed, in 49 ways.

Each goes through the door for files and is read by the model that ships: `python -m tools.exports --data
/data/index.csv` prints the table of docs/formats.md.
"""

from __future__ import annotations

import argparse
import io
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np

from brat.classes import CLASSES
from brat.data.index import IndexedSlice, read_index
from brat.environment import WEIGHTS
from brat.io.files import File
from brat.io.intake import SeveralPanels, group_into_series, load
from brat.io.read import read_scan
from brat.io.scan import Scan, UnreadableScan
from brat.model.reader import Reader
from tools import pages

SURE = 0.8
"""Probability from which an answer counts as confident."""

OUTCOMES = ("same", "unsure", "refused", "listed", "warned", "wrong")
"""What becomes of a picture: the answer of the slice itself; another one below `SURE`; a refusal, by a
sentence or as unlike known slices; a list of its slices; another confident answer beside a remark, or without
one."""

Image = np.ndarray
Others = Callable[[], Image]
"""Gives another slice each time, uint8 (height, width)."""


def _png(image: Image) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def _jpeg(image: Image, quality: int = 85) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def dicom(stored: np.ndarray, **elements: Any) -> bytes:
    """A slice of MR as DICOM.

    Args:
        stored: uint16 or int16 (height, width); 12 bits of them are stored, if nothing else is said.
        elements: keyword -> value.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = MRImageStorage, generate_uid()
    dataset.Modality, dataset.SamplesPerPixel = "MR", 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    signed = stored.dtype.kind == "i"
    dataset.BitsAllocated, dataset.PixelRepresentation = 16, int(signed)
    dataset.BitsStored, dataset.HighBit = (16, 15) if signed else (12, 11)
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
        if keyword == "PixelPaddingValue":
            dataset[keyword].VR = "SS" if signed else "US"
    dataset.PixelData = np.ascontiguousarray(stored).tobytes()
    dataset["PixelData"].VR = "OW"
    written = io.BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return written.getvalue()


def _deep(gray: Image) -> Image:
    """12 bits of a slice of 8."""
    return gray.astype(np.uint16) * 12 + 20


def _bordered(gray: Image, share: float, shade: int) -> Image:
    width = max(1, round(share * min(gray.shape)))
    return cv2.copyMakeBorder(gray, width, width, width, width, cv2.BORDER_CONSTANT, value=shade)


def _wide(gray: Image, shade: int) -> Image:
    """Padded to 16:9."""
    height, width = gray.shape
    more = max(0, round(height * 16 / 9) - width) // 2
    return cv2.copyMakeBorder(gray, 0, 0, more, more, cv2.BORDER_CONSTANT, value=shade)


def _framed(gray: Image, width: int, shade: int = 255) -> Image:
    framed = gray.copy()
    for side in (framed[:width], framed[-width:], framed[:, :width], framed[:, -width:]):
        side[:] = shade
    return framed


def _bar(gray: Image, shade: int, below: bool = False, text: int = 0) -> Image:
    high = max(12, gray.shape[0] // 12)
    bar = np.full((high, gray.shape[1]), shade, np.uint8)
    cv2.putText(bar, "Viewer 4.2 - Series 3", (6, high - 5), cv2.FONT_HERSHEY_SIMPLEX, high / 45, text, 1)
    return np.vstack([gray, bar] if below else [bar, gray])


def _lettered(gray: Image) -> Image:
    lettered = gray.copy()
    height, width = gray.shape
    for x in (4, width - 90):
        for y in (14, 28, 42, height - 30, height - 16, height - 4):
            cv2.putText(lettered, "SE 3 TR 450", (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.38, 255, 1)
    return lettered


def _ruled(gray: Image) -> Image:
    ruled = gray.copy()
    height, width = gray.shape
    ruled[height // 5 : -height // 5, width - 8 : width - 6] = 255
    for y in range(height // 5, height - height // 5, max(4, height // 40)):
        ruled[y : y + 1, width - 16 : width - 6] = 255
    return ruled


def _with_arrow(gray: Image) -> Image:
    height, width = gray.shape
    drawn, tip = gray.copy(), (int(width * 0.55), int(height * 0.45))
    return cv2.arrowedLine(drawn, (int(width * 0.95), int(height * 0.1)), tip, 255, max(1, width // 130))


def _crossed(gray: Image) -> Image:
    crossed = gray.copy()
    crossed[gray.shape[0] // 2, :] = crossed[:, gray.shape[1] // 2] = 255
    return crossed


def _several_pages(gray: Image, others: Others) -> bytes:
    from PIL import Image as Pillow

    written = io.BytesIO()
    following = [Pillow.fromarray(others()) for _ in range(3)]
    Pillow.fromarray(gray).save(written, "TIFF", save_all=True, append_images=following)
    return written.getvalue()


def _photo(gray: Image) -> Image:
    """Of a screen: from the side, with the raster of the screen, and lit unevenly."""
    height, width = gray.shape
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    seen = corners + np.array([[12, 9], [-8, 3], [-3, -10], [6, -4]], np.float32) * (width / 256)
    turned = cv2.warpPerspective(gray, cv2.getPerspectiveTransform(corners, seen), (width, height))
    rows, columns = np.mgrid[:height, :width]
    raster = 1 + 0.05 * np.sin(columns * 2.1) * np.sin(rows * 2.1)
    light = 0.8 + 0.2 * columns / width
    return np.clip(turned * raster * light + 14, 0, 255).astype(np.uint8)


def _wrapped(gray: Image) -> Image:
    smooth = cv2.GaussianBlur(gray.astype(np.float32), (0, 0), 1)
    return ((smooth * 3).astype(np.int64) % 256).astype(np.uint8)


def _padded(gray: Image) -> Image:
    padded = _deep(gray).astype(np.int16)
    padded[:, : gray.shape[1] // 12] = padded[:, -gray.shape[1] // 12 :] = -2000
    return padded


def _overlaid(gray: Image) -> Image:
    overlaid = _deep(gray)
    overlaid[10:60, 10:60] |= 0x8000
    return overlaid


def _page(kind: str) -> Callable[[Image, Others], bytes]:
    """A page of `tools.pages` whose first slice is the one in question."""

    def made(gray: Image, others: Others) -> bytes:
        first = [gray]
        # By the slice, so that the same one is always put on the same page.
        random = np.random.default_rng(int(gray.sum()))
        return _jpeg(pages.KINDS[kind][1](lambda: first.pop() if first else others(), random))

    return made


def _alone(change: Callable[[Image], Image | bytes]) -> Callable[[Image, Others], bytes]:
    def made(gray: Image, others: Others) -> bytes:
        changed = change(gray)
        return changed if isinstance(changed, bytes) else _png(changed)

    return made


KINDS: dict[str, tuple[bool, Callable[[Image, Others], bytes]]] = {
    "white border, 5 %": (True, _alone(lambda g: _bordered(g, 0.05, 255))),
    "white border, 15 %": (True, _alone(lambda g: _bordered(g, 0.15, 255))),
    "gray border, 5 %": (True, _alone(lambda g: _bordered(g, 0.05, 128))),
    "black border, 15 %": (True, _alone(lambda g: _bordered(g, 0.15, 0))),
    "white padding to 16:9": (True, _alone(lambda g: _wide(g, 255))),
    "gray padding to 16:9": (True, _alone(lambda g: _wide(g, 60))),
    "black padding to 16:9": (True, _alone(lambda g: _wide(g, 0))),
    "white frame, 1 pixel": (True, _alone(lambda g: _framed(g, 1))),
    "white frame, 4 pixels": (True, _alone(lambda g: _framed(g, 4))),
    "white bar with a title above": (True, _alone(lambda g: _bar(g, 235))),
    "gray bar with a title below": (True, _alone(lambda g: _bar(g, 90, below=True, text=255))),
    "letters in the corners": (True, _alone(_lettered)),
    "ruler": (True, _alone(_ruled)),
    "arrow": (True, _alone(_with_arrow)),
    "crosshair": (True, _alone(_crossed)),
    "page, 2 x 2": (False, _page("2 x 2")),
    "page, side by side": (False, _page("side by side")),
    "page, one above the other": (False, _page("one above the other")),
    "film sheet, 3 x 3": (False, _page("film sheet, 3 x 3")),
    "film sheet, 4 x 5": (False, _page("film sheet, 4 x 5")),
    "page, three planes": (False, _page("three planes")),
    "mosaic of 36": (False, _page("mosaic, 6 x 6 of 64 pixels")),
    "inset in a corner": (False, _page("a slice with an inset")),
    "TIFF of four pages": (False, _several_pages),
    "inverted": (False, _alone(lambda g: 255 - g)),
    "gamma 0.5": (False, _alone(lambda g: np.round(255 * (g / 255) ** 0.5).astype(np.uint8))),
    "gamma 2": (False, _alone(lambda g: np.round(255 * (g / 255) ** 2).astype(np.uint8))),
    "a third as bright": (True, _alone(lambda g: g // 3)),
    "half the contrast, on gray": (True, _alone(lambda g: g // 2 + 64)),
    "twice as bright, clipped": (False, _alone(lambda g: cv2.convertScaleAbs(g, alpha=2.0))),
    "8 levels of gray": (False, _alone(lambda g: g // 32 * 36)),
    "values modulo 256": (False, _alone(_wrapped)),
    "16-bit PNG, 12 bits of it used": (True, _alone(_deep)),
    "DICOM without a window": (True, _alone(lambda g: dicom(_deep(g)))),
    "DICOM, window of one shade": (
        True,
        _alone(lambda g: dicom(_deep(g), WindowCenter=60000, WindowWidth=10)),
    ),
    "DICOM, window of width 0": (True, _alone(lambda g: dicom(_deep(g), WindowCenter=900, WindowWidth=0))),
    "DICOM, MONOCHROME1": (
        True,
        _alone(lambda g: dicom(4095 - _deep(g), PhotometricInterpretation="MONOCHROME1")),
    ),
    "DICOM, padding of -2000": (True, _alone(lambda g: dicom(_padded(g), PixelPaddingValue=-2000))),
    "DICOM, overlay in the high bits": (True, _alone(lambda g: dicom(_overlaid(g)))),
    "DICOM, pixels twice as high as wide": (
        True,
        _alone(lambda g: dicom(np.ascontiguousarray(_deep(g)[::2]), PixelSpacing=[1.0, 0.5])),
    ),
    "DICOM, stored upside down": (
        True,
        _alone(lambda g: dicom(_deep(g)[::-1], ImageOrientationPatient=[1, 0, 0, 0, -1, 0])),
    ),
    "DICOM, rows stored as columns": (
        True,
        _alone(lambda g: dicom(_deep(g).T, ImageOrientationPatient=[0, 1, 0, 1, 0, 0])),
    ),
    "stretched to twice the width": (
        True,
        _alone(lambda g: cv2.resize(g, (2 * g.shape[1], g.shape[0]))),
    ),
    "turned by 90 degrees": (False, _alone(lambda g: np.ascontiguousarray(g.T[::-1]))),
    "upside down": (False, _alone(lambda g: np.ascontiguousarray(g[::-1]))),
    "photo of a screen": (True, _alone(_photo)),
    "JPEG of quality 15": (False, _alone(lambda g: _jpeg(g, 15))),
    "JPEG without its last two bytes": (True, _alone(lambda g: _jpeg(g)[:-2])),
    "thumbnail of 72 pixels": (False, _alone(lambda g: _shrunk(g, 72))),
}
"""Name of a kind -> whether a clinician would call it readable, and what makes a file of it."""


def _shrunk(gray: Image, side: int) -> Image:
    scale = side / min(gray.shape)
    size = round(gray.shape[1] * scale), round(gray.shape[0] * scale)
    return cv2.resize(gray, size, interpolation=cv2.INTER_AREA)


def outcome(data: bytes, label: str, reader: Reader) -> str:
    """One of `OUTCOMES`. Args: label: the answer that the slice itself gets."""
    try:
        opened = load(group_into_series([File("picture", data)])[0])
    except SeveralPanels:
        return "listed"
    except UnreadableScan:
        return "refused"
    if not isinstance(opened, Scan):
        return "listed"
    reading = reader.read(opened.gray)
    if reading.ood is not None and not reading.ood.in_distribution:
        return "refused"
    if reading.prediction.label == label:
        return "same"
    if reading.prediction.confidence < SURE:
        return "unsure"
    return "warned" if opened.remarks else "wrong"


def choose(slices: Sequence[IndexedSlice], reader: Reader, count: int) -> list[tuple[Image, str]]:
    """Slices that are read rightly, surely and in distribution, as many of each class, and their answers."""
    random = np.random.default_rng(0)
    chosen: list[tuple[Image, str]] = []
    for label in CLASSES:
        of_class = [s for s in slices if s.label == label]
        found = 0
        for number in random.permutation(len(of_class)):
            gray = read_scan(of_class[number].path).gray
            if min(gray.shape) < 200:
                continue
            reading = reader.read(gray)
            is_known = reading.ood is None or reading.ood.in_distribution
            if is_known and reading.prediction.label == label and reading.prediction.confidence >= SURE:
                chosen.append((gray, label))
                found += 1
            if found == count // len(CLASSES):
                break
    return chosen


def measure(chosen: Sequence[tuple[Image, str]], reader: Reader) -> dict[str, Counter[str]]:
    """Of each of `KINDS`, how many slices had which of `OUTCOMES`."""
    results = {}
    for seed, (name, (_, make)) in enumerate(KINDS.items()):
        random = np.random.default_rng(seed)

        def others(random: np.random.Generator = random) -> Image:
            return chosen[int(random.integers(len(chosen)))][0]

        results[name] = Counter(outcome(make(gray, others), label, reader) for gray, label in chosen)
    return results


def table(results: dict[str, Counter[str]]) -> str:
    """In Markdown, with the sums below it."""
    lines = [
        f"| Change | {' | '.join(OUTCOMES)} |",
        f"| --- |{' ---: |' * len(OUTCOMES)}",
        *(
            f"| {name} | {' | '.join(str(counts[column]) for column in OUTCOMES)} |"
            for name, counts in results.items()
        ),
    ]
    total = sum(results.values(), Counter[str]())
    # A slice that is taken for a page of several is not read either.
    readable = [counts for name, counts in results.items() if KINDS[name][0]]
    refused, listed = (sum(counts[column] for counts in readable) for column in ("refused", "listed"))
    lines.append(f"| all {total.total():,} | {' | '.join(str(total[column]) for column in OUTCOMES)} |")
    of = sum(counts.total() for counts in readable)
    return "\n".join(lines) + (
        f"\n\nOf the {of:,} that a clinician would call readable {refused} are refused, and {listed} taken "
        "for pages of several slices.\n"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.exports", description=__doc__)
    parser.add_argument("--data", required=True, help="the index of real slices")
    parser.add_argument("--count", type=int, default=60, help="slices")
    parser.add_argument("--weights", default=WEIGHTS, help="folder of the model")
    options = parser.parse_args(arguments)
    reader = Reader(options.weights)
    chosen = choose(read_index(options.data), reader, options.count)
    print(table(measure(chosen, reader)), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
