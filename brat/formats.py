"""Which of the files that pydicom, nibabel and nilearn ship are read, as a table: `brat formats`.

Every one goes through the door that the app has, and every slice in it is decoded. What raises anything but
`UnreadableScan` stops the command.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from brat.intake import File, Item, load, sort_out
from brat.scans import MIN_SIDE, Scan, UnreadableScan, is_dicom, reading
from brat.series import Series

PACKAGES = ("pydicom", "nibabel", "nilearn")
DECODERS = ("pylibjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle", "pyjpegls", "python-gdcm", "pillow")

_NO_DATA = (".py", ".pyc", ".pyi")
_FEW = 3
"""Refused files of one folder, up to which each is named."""


@dataclass(frozen=True)
class Row:
    """What became of a file.

    Attributes:
        file: its path in its package.
        is_of: what it is by its own header.
        read_as: what it was read as; empty where it was refused.
        problem: the sentence with which it was refused, or with which some of its slices were.
    """

    file: str
    is_of: str
    read_as: str
    problem: str = ""


def write_table(out: str | Path) -> str:
    """Try all files and write the table, in Markdown.

    Returns:
        A summary, one line.
    """
    rows = {package: [_row(root, path) for root, path in shipped(package)] for package in PACKAGES}
    everything = [row for of in rows.values() for row in of]
    read = [row for row in everything if row.read_as]
    summary = f"{len(everything)} files: {len(read)} read, {len(everything) - len(read)} refused."
    Path(out).write_text("\n".join(_page(rows, summary)) + "\n")
    return summary


def shipped(package: str) -> Iterator[tuple[Path, Path]]:
    """The package's folder, and each data file that it brings, in order; those of its tests too."""
    root = _root(package)
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        if "data" in inside.parts[:-1] and path.is_file() and path.suffix not in _NO_DATA:
            yield root, path


def not_shipped() -> list[str]:
    """Files that pydicom would have to download."""
    data = _root("pydicom") / "data"
    here = {path.name for path in data.rglob("*")}
    return sorted(set(json.loads((data / "urls.json").read_text())) - here)


def _root(package: str) -> Path:
    from importlib.util import find_spec

    found = find_spec(package)
    if found is None:
        raise ValueError(f'{package} is not installed. Run: pip install "bratum-scans[test]"')
    return Path(found.origin).parent


def _row(root: Path, path: Path) -> Row:
    (item,) = sort_out([File(path.name, path)])
    read_as, problem = _tried(item)
    return Row(path.relative_to(root).as_posix(), _said_by_header(item.files[0]), read_as, problem)


def _tried(item: Item) -> tuple[str, str]:
    """What an item is read as, and the first sentence with which all of it, or a slice, is refused."""
    try:
        opened = load(item)
    except UnreadableScan as error:
        return "", str(error)
    if isinstance(opened, Scan):
        windows = _windows(len(opened.presets), opened.window is not None)
        return f"{opened.kind}: {opened.width} x {opened.height}{windows}", ""
    views, problem = [], ""
    for plane in opened.planes:
        for volume in range(opened.volumes):
            size, refused = _tried_stack(opened, plane, volume)
            problem = problem or refused
        views.append(f"{size} {plane}")
    windows = _windows(len(opened.presets), opened.window is not None)
    return f"{opened.kind}: {', '.join(views)}{windows}", problem


def _tried_stack(series: Series, plane: str, volume: int) -> tuple[str, str]:
    stack, size, problem = series.stack(plane, volume), "", ""
    for number in range(len(stack)):
        try:
            scan = stack[number]
            size = f"{len(stack)} of {scan.width} x {scan.height}"
        except UnreadableScan as error:
            problem = problem or f"Slice {number + 1}: {error}"
    return size, problem


def _windows(presets: int, is_there: bool) -> str:
    if not is_there:
        return "; no window"
    return (
        f"; {presets} window{'s' if presets > 1 else ''} in its header"
        if presets
        else "; window by its values"
    )


def _said_by_header(file: File) -> str:
    """What the file is, as pydicom or nibabel say, whether or not it is read."""
    from brat.nifti import is_nifti

    try:
        if is_dicom(file.read(140)):
            with reading("DICOM"):
                return _dicom(file.read())
        if is_nifti(file.read(1 << 16)):
            with reading("NIfTI"):
                return _nifti(file)
    except UnreadableScan:
        return "with a damaged header"
    return ""


def _dicom(data: bytes) -> str:
    from pydicom import dcmread

    header = dcmread(io.BytesIO(data), force=True, stop_before_pixels=True)
    kind = header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID")
    syntax = header.file_meta.get("TransferSyntaxUID")
    said = [uid.name.removesuffix(" Storage") for uid in (kind, syntax) if uid]
    if photometric := header.get("PhotometricInterpretation"):
        said.append(photometric)
    return ", ".join(said) or "DICOM"


def _nifti(file: File) -> str:
    import nibabel

    if file.name.endswith(".hdr"):
        return "header of a pair"
    image = nibabel.load(file.source)
    return f"{' x '.join(map(str, image.shape))}, {image.get_data_dtype()}"


def _page(rows: dict[str, list[Row]], summary: str) -> Iterator[str]:
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    decoders = ", ".join(f"{name} {version(name)}" for name in DECODERS)
    yield "# Which files are read"
    yield ""
    yield "<!-- made by `brat formats --out docs/formats.md` -->"
    yield (
        f"Every file that {versions} ship was given to the app's reader, and every slice in it was decoded "
        f"(by {decoders})."
    )
    yield ""
    yield (
        f"**{summary}** Those refused are no pictures, or too small for the model (under {MIN_SIDE} pixels a "
        "side), empty or damaged on purpose, or of a format that its sentence names."
    )
    yield ""
    yield "| package | files | read | refused |"
    yield "|---|---|---|---|"
    for package, of in rows.items():
        read = sum(bool(row.read_as) for row in of)
        yield f"| {package} | {len(of)} | {read} | {len(of) - read} |"
    for package, of in rows.items():
        yield from [
            "",
            f"## {package}: read",
            "",
            "| file | what its header says | read as |",
            "|---|---|---|",
        ]
        for row in of:
            if row.read_as:
                yield f"| `{row.file}` | {row.is_of} | {_outcome(row.read_as, row.problem)} |"
        yield from ["", f"## {package}: refused", "", "| sentence | files |", "|---|---|"]
        refused = [row for row in of if not row.read_as]
        for sentence in dict.fromkeys(row.problem for row in refused):
            yield f"| {sentence} | {_names([row for row in refused if row.problem == sentence])} |"
    yield from ["", "## Several files at once", ""]
    yield "Folders in which files of one series lie together, each given as a whole:"
    yield from ["", "| folder | files of one series | read as, or refused with |", "|---|---|---|"]
    for package in PACKAGES:
        yield from _series(package)
    yield from ["", "## Not tried", ""]
    missing = not_shipped()
    yield (
        "What nilearn downloads when it is asked for, all its collections, and what pydicom does, "
        f"{len(missing)} files: " + ", ".join(f"`{name}`" for name in missing) + "."
    )


def _names(rows: Sequence[Row]) -> str:
    """Files by name, or as so many in their folder; with what they are where that is known."""
    folders: dict[str, list[Row]] = {}
    for row in rows:
        folders.setdefault(row.file.rpartition("/")[0], []).append(row)
    said = []
    for folder, of in folders.items():
        if len(of) > _FEW:
            kinds = sorted({Path(row.file).suffix or "no suffix" for row in of})
            said.append(f"{len(of)} in `{folder}` ({', '.join(kinds)})")
        else:
            said += [f"`{row.file}`" + (f" ({row.is_of})" if row.is_of else "") for row in of]
    return "; ".join(said)


def _series(package: str) -> Iterator[str]:
    root = _root(package)
    folders: dict[Path, list[Path]] = {}
    for _, path in shipped(package):
        folders.setdefault(path.parent, []).append(path)
    for folder, paths in folders.items():
        for item in sort_out([File(path.name, path) for path in paths]):
            if len(item.files) > 1:
                outcome = _outcome(*_tried(item))
                names = ", ".join(f"`{file.name}`" for file in item.files)
                yield f"| `{package}/{folder.relative_to(root).as_posix()}` | {names} | {outcome} |"


def _outcome(read_as: str, problem: str) -> str:
    return f"{read_as}. {problem}".strip() if read_as else problem
