"""Which formats are read, found by trying: the files that pydicom, nibabel and nilearn ship, or a folder's.

The page that it writes is docs/formats.md: `python -m tools.formats --out docs/formats.md`.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

from brat.io.files import File
from brat.io.intake import Item, group_into_series, load
from brat.io.scan import Scan, UnreadableScan, decoding
from brat.io.series import ACQUIRED, Series
from brat.io.sniff import HEAD, is_dicom, is_nifti, other_volume
from tools import cases

PACKAGES = ("pydicom", "nibabel", "nilearn")
"""Of each, every file in a folder called data is tried, except for its own Python."""

_INTRODUCTION = """\
# Formats

This page is written by `python -m tools.formats --out docs/formats.md`, which gives the files that three
packages carry for their own tests to the same code that reads what is dropped on the app. Nothing is
downloaded for it.

What a file is, its content decides, and not its name.

**Pictures** are read as PNG, JPEG, BMP, TIFF and WebP, of 8 or 16 bits, gray or in colour.

**DICOM** is read with one frame or many, gray or in colour, with or without its preamble, packed by gzip
or not. The files of one series become one, in the order in which they lie. It may be stored in these
transfer syntaxes:

{syntaxes}

All of them are decoded by packages under MIT and Apache licences. pylibjpeg-libjpeg, which is under the
GPL, is not needed: GDCM decodes JPEG of 12 bits (Process 4 of JPEG Extended) as well.

**NIfTI** is read in its versions 1 and 2, as .nii or .nii.gz, with one volume or several, and as a pair
of .hdr and .img that are given together.

**ZIP archives** are unpacked, and what is in them is read as if it had been given by itself. A file
packed by gzip is unpacked as well.

Everything else is refused with a sentence that says what to do: documents without a picture, such as
reports, plans, structure sets and DICOMDIR indices; pictures below 64 pixels a side, or of one shade all
over; videos; damaged files; and volumes in the formats of other programs (Analyze, MGH, MINC, PAR/REC,
AFNI, NRRD, MetaImage, ECAT), which have to be converted to NIfTI.

## Several pictures on one

Where a page is seen to hold several slices, each is a row of the worklist and a record of `brat predict`.
Where no straight cut parts them, the page is refused. Of a file of many pages (TIFF, WebP, animated PNG,
MPO) every page is a slice of a series. A slice that comes twice counts once, and two patients are two
series.

Measured by `python -m tools.pages` on 100 pages of each kind, made of real slices:

| Page | All slices listed | Another number listed | Refused | Taken for one |
| --- | ---: | ---: | ---: | ---: |
| 2 x 2 | 99 | 1 | 0 | 0 |
| side by side | 100 | 0 | 0 | 0 |
| one above the other | 99 | 1 | 0 | 0 |
| film sheet, 3 x 3 | 98 | 2 | 0 | 0 |
| film sheet, 4 x 5 | 87 | 13 | 0 | 0 |
| three planes | 99 | 1 | 0 | 0 |
| mosaic, 6 x 6 of 64 pixels | 54 | 46 | 0 | 0 |
| 2 x 2, cropped to the heads | 82 | 14 | 2 | 2 |
| side by side, cropped to the heads | 91 | 0 | 2 | 7 |
| one above the other, cropped to the heads | 91 | 1 | 1 | 7 |
| 3 x 3, cropped to the heads | 50 | 30 | 17 | 3 |
| a slice with a row of thumbnails | 0 | 24 | 76 | 0 |
| a slice with an inset | 1 | 0 | 95 | 4 |
| a slice with an inset of 12 to 22 % | 0 | 0 | 78 | 22 |
| a slice with an inset amid an edge | 0 | 0 | 83 | 17 |
| a slice with an inset in a box | 1 | 0 | 91 | 8 |

Not noticed, and read as one slice, are up to 7 of 100 pages of slices that are cropped to the head and touch,
22 of 100 with an inset of 12 to 22 % of the width, 17 of 100 with one amid an edge, and insets below
that or away from all edges. Of 9,860 single slices 6 were taken for a page or refused for an inset. A
picture of a series that holds several slices is not read either.

A picture whose values ran over (modulo 256) is refused, also where it was enlarged since. Of 100 slices, some
of which are too dark to run over, these were noticed:

| Values modulo 256 | Refused |
| --- | ---: |
| not enlarged | 96 |
| enlarged 1.5 times, linear | 96 |
| enlarged 1.5 times, cubic | 97 |
| enlarged 2 times, linear | 93 |
| enlarged 2 times, cubic | 89 |
| enlarged 3 times, linear | 95 |
| enlarged 3 times, cubic | 84 |
| enlarged 2.3 times, linear | 1 |

Enlargements by other factors are hardly noticed. Of 9,860 single slices none was refused so.

## What a file says of itself

- **Bits.** Values are taken from the bits that the header names (Bits Stored, High Bit), and refused where
  they ran over these; padding (Pixel Padding Value) and backgrounds far from all other values are shown
  black.
- **Window.** Where the header's window or table leaves hardly a shade, the values are shown from the lowest
  to the highest, and this is said. A series without windows has one, from all its slices.
- **Geometry.** Slices are turned as radiologists look at them, where the file says how they lie, and their
  pixels made square. Where it does not say, left and right are not known.
- **Evidence.** What is no MR by its modality is refused. Another part of the body, phase maps, mosaics,
  projections, derived pictures, burned-in text, T2, of which no slice with a tumour was measured, and
  sequences that the model was not measured on (other than T1, T1 after contrast and FLAIR) are said beside
  the answer, in JSON, in the worklist and in the report.

HEIC photos are read where pi-heif is installed (`pip install "bratum-scans[heic]"`).

## Exports

What becomes of 60 slices that the model reads rightly (it was trained on them), exported in 49 ways,
measured by `python -m tools.exports`: the same answer, another one below 80 %, a refusal (by a sentence, or
as unlike known slices), a list of the slices on it, another answer of 80 % or more beside a remark, and one
without any warning.

| Change | same | unsure | refused | listed | warned | wrong |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
| white border, 5 % | 60 | 0 | 0 | 0 | 0 | 0 |
| white border, 15 % | 60 | 0 | 0 | 0 | 0 | 0 |
| gray border, 5 % | 60 | 0 | 0 | 0 | 0 | 0 |
| black border, 15 % | 60 | 0 | 0 | 0 | 0 | 0 |
| white padding to 16:9 | 58 | 0 | 2 | 0 | 0 | 0 |
| gray padding to 16:9 | 60 | 0 | 0 | 0 | 0 | 0 |
| black padding to 16:9 | 60 | 0 | 0 | 0 | 0 | 0 |
| white frame, 1 pixel | 60 | 0 | 0 | 0 | 0 | 0 |
| white frame, 4 pixels | 60 | 0 | 0 | 0 | 0 | 0 |
| white bar with a title above | 60 | 0 | 0 | 0 | 0 | 0 |
| gray bar with a title below | 60 | 0 | 0 | 0 | 0 | 0 |
| letters in the corners | 60 | 0 | 0 | 0 | 0 | 0 |
| ruler | 60 | 0 | 0 | 0 | 0 | 0 |
| arrow | 60 | 0 | 0 | 0 | 0 | 0 |
| crosshair | 47 | 3 | 5 | 5 | 0 | 0 |
| page, 2 x 2 | 0 | 0 | 0 | 60 | 0 | 0 |
| page, side by side | 0 | 0 | 0 | 60 | 0 | 0 |
| page, one above the other | 0 | 0 | 0 | 60 | 0 | 0 |
| film sheet, 3 x 3 | 0 | 0 | 0 | 60 | 0 | 0 |
| film sheet, 4 x 5 | 0 | 0 | 0 | 60 | 0 | 0 |
| page, three planes | 0 | 0 | 0 | 60 | 0 | 0 |
| mosaic of 36 | 0 | 0 | 0 | 60 | 0 | 0 |
| inset in a corner | 2 | 0 | 56 | 2 | 0 | 0 |
| TIFF of four pages | 0 | 0 | 0 | 60 | 0 | 0 |
| inverted | 3 | 0 | 57 | 0 | 0 | 0 |
| gamma 0.5 | 43 | 0 | 17 | 0 | 0 | 0 |
| gamma 2 | 52 | 1 | 3 | 4 | 0 | 0 |
| a third as bright | 60 | 0 | 0 | 0 | 0 | 0 |
| half the contrast, on gray | 60 | 0 | 0 | 0 | 0 | 0 |
| twice as bright, clipped | 55 | 1 | 4 | 0 | 0 | 0 |
| 8 levels of gray | 57 | 1 | 1 | 1 | 0 | 0 |
| values modulo 256 | 0 | 0 | 60 | 0 | 0 | 0 |
| 16-bit PNG, 12 bits of it used | 60 | 0 | 0 | 0 | 0 | 0 |
| DICOM without a window | 60 | 0 | 0 | 0 | 0 | 0 |
| DICOM, window of one shade | 60 | 0 | 0 | 0 | 0 | 0 |
| DICOM, window of width 0 | 60 | 0 | 0 | 0 | 0 | 0 |
| DICOM, MONOCHROME1 | 60 | 0 | 0 | 0 | 0 | 0 |
| DICOM, padding of -2000 | 58 | 0 | 1 | 1 | 0 | 0 |
| DICOM, overlay in the high bits | 60 | 0 | 0 | 0 | 0 | 0 |
| DICOM, pixels twice as high as wide | 60 | 0 | 0 | 0 | 0 | 0 |
| DICOM, stored upside down | 60 | 0 | 0 | 0 | 0 | 0 |
| DICOM, rows stored as columns | 60 | 0 | 0 | 0 | 0 | 0 |
| stretched to twice the width | 13 | 0 | 46 | 0 | 0 | 1 |
| turned by 90 degrees | 44 | 8 | 7 | 0 | 0 | 1 |
| upside down | 59 | 1 | 0 | 0 | 0 | 0 |
| photo of a screen | 59 | 0 | 1 | 0 | 0 | 0 |
| JPEG of quality 15 | 58 | 2 | 0 | 0 | 0 | 0 |
| JPEG without its last two bytes | 60 | 0 | 0 | 0 | 0 | 0 |
| thumbnail of 72 pixels | 54 | 1 | 4 | 1 | 0 | 0 |
| all 2,940 | 2162 | 18 | 264 | 494 | 0 | 2 |

Of the 1,800 that a clinician would call readable 55 are refused, and 6 taken for pages of several slices.
"""


_CASES = """\
## Cases

Files of which other programs were reported to show the wrong thing without a word; the numbers are those of
the public reports. They are made anew of the sample slices (`tools/cases.py`), and this is what is made of
them.
"""


@dataclass(frozen=True)
class Trial:
    """One file, or the files of one series.

    Attributes:
        folder, name: where it lies below what was searched.
        content: its transfer syntax, or which kind of file it is.
        answer: what it was read as, or the sentence with which it was refused.
        files: how many it is.
    """

    folder: str
    name: str
    content: str
    answer: str
    is_read: bool
    files: int = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page; returns the exit status, 2 where a folder is missing."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.formats", description="Try which files are read, and write it down."
    )
    parser.add_argument(
        "folders",
        nargs="*",
        metavar="DIR",
        help="default: the test files that pydicom, nibabel and nilearn carry",
    )
    parser.add_argument("--out", default="formats.md", metavar="FILE.md", help="default: formats.md")
    options = parser.parse_args(arguments)
    try:
        files, read = write_formats(options.out, options.folders)
    except (ValueError, OSError) as error:
        print(f"formats: {error}", file=sys.stderr)
        return 2
    print(f"Wrote {options.out}: {read} of {files} files are read.")
    return 0


def write_formats(out: str | Path, folders: Sequence[str] = ()) -> tuple[int, int]:
    """Write the page; returns how many files it names, and how many of these are read.

    Args:
        out: a Markdown file; its folder is made.
        folders: to try these instead of what the packages carry.

    Raises:
        ValueError: there is no such folder.
    """
    missing = [folder for folder in folders if not Path(folder).is_dir()]
    if missing:
        raise ValueError(f"There is no folder {missing[0]}.")
    if folders:
        tried = {Path(folder).resolve().name: _tried(Path(folder)) for folder in folders}
    else:
        tried = {f"{name} {version(name)}": _tried(root, "data") for name, root in _installed()}
    page = _page(tried)
    if not folders:
        page += _not_shipped()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    Path(out).write_text(page, encoding="utf-8")
    alone = [trial for trials in tried.values() for trial in trials if trial.files == 1]
    return len(alone), sum(trial.is_read for trial in alone)


def _installed() -> Iterator[tuple[str, Path]]:
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec and spec.origin:
            yield name, Path(spec.origin).parent


def _tried(root: Path, within: str = "") -> list[Trial]:
    """Every file by itself, and the series of each folder.

    Args:
        within: the name of a folder; what lies in none of this name is passed over.
    """
    paths = [
        path
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and (not within or within in path.relative_to(root).parts[:-1])
        and path.suffix not in (".py", ".pyc", ".pyi")
    ]
    trials = []
    for folder, members in groupby(paths, key=lambda path: path.parent):
        files = [File(path.name, path) for path in members]
        place = folder.relative_to(root).as_posix()
        for file in files:
            items = group_into_series([file])
            trials.extend(_trial(place, item.name, _content(item, file), item) for item in items)
        for item in group_into_series(files):
            if len(item.files) > 1:
                name = f"{item.files[0].name} … {item.files[-1].name}"
                trials.append(_trial(place, name, f"{len(item.files)} files, given together", item))
    return trials


def _trial(folder: str, name: str, content: str, item: Item) -> Trial:
    try:
        return Trial(folder, name, content, _facts(load(item)), True, len(item.files))
    except UnreadableScan as error:
        return Trial(folder, name, content, str(error), False, len(item.files))


def _facts(opened: Scan | Series) -> str:
    """Its format, slices, size and window."""
    if isinstance(opened, Scan):
        return f"{opened.format}, {opened.width} x {opened.height}, {_window(opened)}"
    stack = opened.stack()
    first = stack[len(stack) // 2]
    # Of a volume, slices of each plane; how many slices or frames otherwise, its format says.
    slices = f"{first.width} x {first.height}"
    if stack.plane != ACQUIRED:
        slices = ", ".join(f"{len(opened.stack(plane))} {plane}" for plane in opened.planes)
    return f"{opened.format}, {slices}, {_window(first)}"


def _window(scan: Scan) -> str:
    if scan.window is None:
        return "no window"
    return f"window {scan.window.center:.4g} / {scan.window.width:.4g}"


def _content(item: Item, given: File) -> str:
    """Args: given: the file that the item came in, as packed as it was."""
    file = item.files[0]
    head = file.read(HEAD)
    if is_nifti(head):
        return "NIfTI"
    is_packed = file.is_packed or file.source is not given.source
    packed = ", packed" if is_packed else ""
    if is_dicom(head):
        return _syntax(file) + packed
    suffix = Path(file.name.removesuffix(".gz")).suffix
    kind = f"a {suffix} file" if suffix else "a file without a suffix"
    return (other_volume(head, file.name) or kind) + packed


def _syntax(file: File) -> str:
    import pydicom

    try:
        with decoding("DICOM"):
            header = pydicom.dcmread(io.BytesIO(file.read()), force=True, stop_before_pixels=True)
            syntax = header.file_meta.get("TransferSyntaxUID")
            return f"DICOM, {syntax.name}" if syntax else "DICOM, no transfer syntax given"
    except UnreadableScan:
        return "DICOM"


def _page(tried: dict[str, list[Trial]]) -> str:
    parts = [
        _INTRODUCTION.format(syntaxes="\n".join(f"- {name}" for name in _syntaxes())),
        _CASES,
        _table(("What is given", "What is made of it"), cases.rows(_facts)),
        f"## Counts\n\nOf {date.today().isoformat()}. Each file is given by itself; the series of a folder "
        "are in the tables below as well. A window is named by its centre and width.\n",
        _table(("Source", "Files", "Read", "Refused"), map(_counts, tried, tried.values())),
    ]
    refused = Counter(
        # Of one reason, whatever numbers are in it.
        re.sub(r"\b\d[\d,]*( x \d+)*", "…", trial.answer)
        for trials in tried.values()
        for trial in trials
        if not trial.is_read and trial.files == 1
    )
    parts.append(_table(("Refused because", "Files"), refused.most_common()))
    for source, trials in tried.items():
        parts.append(f"## {source}\n")
        parts.append(_table(("File", "What it is", "Read as, or why it is refused"), _rows(trials)))
    return "\n".join(parts)


def _syntaxes() -> list[str]:
    from pydicom.pixels import get_decoder
    from pydicom.uid import AllTransferSyntaxes

    names = []
    for uid in AllTransferSyntaxes:
        try:
            is_decoded = get_decoder(uid).is_available
        except NotImplementedError:
            continue
        if is_decoded:
            names.append(uid.name)
    return names


def _counts(source: str, trials: list[Trial]) -> tuple:
    alone = [trial for trial in trials if trial.files == 1]
    read = sum(trial.is_read for trial in alone)
    return source, len(alone), read, len(alone) - read


def _rows(trials: list[Trial]) -> Iterator[tuple]:
    """A row for each file, but one for many of a folder that are refused alike, one after the other."""
    for _, alike in groupby(
        trials, key=lambda t: (t.folder, t.content, t.answer, t.is_read and t.name, t.files > 1)
    ):
        first, *others = alike
        name = f"`{first.folder}/{first.name}`" if first.folder != "." else f"`{first.name}`"
        if others:
            name += f" to `{others[-1].name}` ({len(others) + 1} files)"
        yield name, first.content, first.answer if first.is_read else f"*{first.answer}*"


def _table(head: tuple, rows: Iterable[tuple]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return (
        "\n".join(
            "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in line) + " |"
            for line in lines
        )
        + "\n"
    )


def _not_shipped() -> str:
    """What pydicom names, and would have to download."""
    data = next((root / "data" for name, root in _installed() if name == "pydicom"), None)
    if data is None or not (data / "urls.json").is_file():
        return ""
    named = json.loads((data / "urls.json").read_text(encoding="utf-8"))
    here = {path.name for path in data.rglob("*")}
    names = ", ".join(f"`{name}`" for name in sorted(set(named) - here))
    return f"\n## Not tried\n\npydicom does not carry these files, but downloads them: {names}.\n"


if __name__ == "__main__":
    sys.exit(main())
