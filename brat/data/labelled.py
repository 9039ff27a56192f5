"""A site's own slices with their labels: files in sub-folders named after the classes, or a table of names.

What is given is not trusted: every file goes through `brat.io.door`.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from brat.classes import CLASSES
from brat.data.index import class_named, folder_label
from brat.io import intake
from brat.io.door import examined, load
from brat.io.files import File
from brat.io.folders import Skipped, files_at
from brat.io.intake import Item
from brat.io.names import clean_name
from brat.io.scan import Scan, UnreadableScan, checked
from brat.io.series import Series

_NAME, _LABEL, _PATIENT, _TUMOR = (
    ("file", "name", "path", "filename"),
    ("label", "class"),
    ("patient", "patient_id", "cluster"),
    ("tumor", "tumour"),
)
"""The columns of a table, each by the names that it may have; an index of `brat.data.index` has them too."""

_WORDS = f"{', '.join(CLASSES)}, or tumour where its class is not known"
_NO_FOLDER = f"no folder above it is named after a class ({_WORDS})"
_NO_ARCHIVE = "it is no ZIP archive, whatever its name says, or a damaged one: pack it again"
_SEVERAL = "it holds several slices, and each needs a label: export them one by one"

_OF_PATIENT = re.compile(
    r"(?:^|[/_\-. ])(?:sub|subject|patient|pat|case|pid)(?:[-_ ]([a-z]{0,3}\d+)|(\d+))"
    r"|(tcga[-_]\w{2}[-_]\w{4})",
    re.IGNORECASE,
)
"""A patient in a file's path: `sub-01` (BIDS), `patient_007`, `TCGA-02-0003`."""


@dataclass(frozen=True, eq=False)
class LabelledFile:
    """A file of one slice, before it is decoded.

    Attributes:
        name: from the folder, the archive or the table on.
        item: to be opened by `open_slice`.
        label: one of `brat.CLASSES`, or empty where only that there is a tumour is known.
        patient: what tells the patient from others, never to be shown; empty where nothing does.
        header: likewise, of the header alone, whatever a table says.
    """

    name: str
    item: Item
    label: str
    patient: str
    header: str


@dataclass(frozen=True)
class Row:
    """What a table says of a file: its label, and its patient where it has that column."""

    label: str
    patient: str


def labelled_path(path: str | Path) -> Iterator[LabelledFile | Skipped]:
    """The slices of a folder with a sub-folder a class, of such an archive, or of a table beside its files.

    Raises:
        ValueError: there is nothing at the path, or the table is not valid.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"There is nothing at {path}. Name a folder, a ZIP archive or a CSV file.")
    if path.suffix.lower() == ".csv":
        table = read_table(path.read_bytes(), str(path))
        return labelled((File(name, path.parent / name) for name in table), table)
    if path.is_dir():
        return labelled(
            # Named from the folder on: what is above it says nothing of the slices.
            Skipped(_below(path, entry.path), entry.reason)
            if isinstance(entry, Skipped)
            else entry._replace(name=_below(path, entry.name))
            for entry in files_at(str(path))
        )
    return labelled([File(path.name, path)])


def labelled(
    files: Iterable[File | Skipped], table: Mapping[str, Row] | None = None
) -> Iterator[LabelledFile | Skipped]:
    """Each slice with its label, and each file that is left out with the reason.

    Args:
        files: slices, and archives of them; what is known to be no scan is given on.
        table: name -> what it says, of `read_table`; by default the folders in a file's name say its class. A
            file is looked up by its name, then by ever fewer of the folders in it.

    Raises:
        ValueError: a row of the table fits several files.
    """
    skipped: list[Skipped] = []
    taken: dict[str, str] = {}

    def given() -> Iterator[File]:
        for file in files:
            if isinstance(file, Skipped):
                skipped.append(file)
            else:
                yield file

    for entry in examined(given()):
        name = entry.file.name
        row = _row_by_folder(name) if table is None else _row_of(name, table, taken)
        if entry.problem:
            yield Skipped(name, entry.problem)
        elif row is None:
            yield Skipped(name, _why_no_label(name) if table is None else "no row of the table names it")
        elif entry.is_series:
            yield Skipped(name, _SEVERAL)
        else:
            in_header = entry.header.patient[0] if entry.header else ""
            header = f"header {in_header}" if in_header else ""
            (item,) = intake.group([entry])
            yield LabelledFile(name, item, row.label, row.patient or header or _patient_in(name), header)
    yield from skipped
    for key in sorted((table or {}).keys() - taken.keys()):
        yield Skipped(key, "the table names it, but it is not among the files")


def _why_no_label(name: str) -> str:
    return _NO_ARCHIVE if name.lower().endswith(".zip") else _NO_FOLDER


def _row_by_folder(name: str) -> Row | None:
    label = folder_label(PurePosixPath(name).parts[:-1])
    return None if label is None else Row(label, "")


def _row_of(name: str, table: Mapping[str, Row], taken: dict[str, str]) -> Row | None:
    """What a table says of a file. Args: taken: name in the table -> file, which this adds to."""
    parts = PurePosixPath(name).parts
    shorter = ("/".join(parts[start:]) for start in range(len(parts)))
    key = next((key for key in shorter if key in table), "")
    if not key:
        return None
    if key in taken:
        raise ValueError(
            f"The table's {key!r} fits two files, {taken[key]!r} and {name!r}. Write the folder before the "
            "name in the table."
        )
    taken[key] = name
    return table[key]


def open_slice(item: Item) -> Scan:
    """The one slice of an item.

    Raises:
        SeveralPanels: it is a picture of several.
        UnreadableScan: it cannot be read.
    """
    opened = load(item)
    if isinstance(opened, Series):
        stack = opened.stack()
        if opened.volumes > 1 or len(stack) > 1:
            raise UnreadableScan(f"{_SEVERAL.capitalize()}.")
        opened = checked(stack[0])
    return opened


MAX_TABLE = 10_000_000
"""Bytes of a table: a hundred thousand rows have as many."""


def read_table(content: bytes, name: str) -> dict[str, Row]:
    """Read a CSV file with the columns name and label and, where it is known, patient.

    An index of `brat.data.index` is such a table, too. Commas, semicolons or tabs part the columns. For its
    encoding see `_text_of`.

    Args:
        name: of the file, for sentences.

    Returns:
        Name -> its label and patient.

    Raises:
        ValueError: it is no such table; the message says what to change.
    """
    if len(content) > MAX_TABLE:
        raise ValueError(
            f"{name} has over {MAX_TABLE // 1_000_000} MB. A row needs a name, a label and a patient."
        )
    text = _text_of(content, name)
    heading = text.partition("\n")[0]
    parted_by = max(",;\t", key=heading.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=parted_by)
    try:
        rows = list(reader)
    except csv.Error as error:
        raise ValueError(
            f"Line {reader.line_num} of {name} cannot be read: a quotation mark may be missing. Save it "
            "again as a CSV file."
        ) from error
    columns = {column.strip().lower(): column for column in reader.fieldnames or () if column}

    def column(names: tuple[str, ...]) -> str:
        return next((columns[one] for one in names if one in columns), "")

    file, label, patient, tumor = map(column, (_NAME, _LABEL, _PATIENT, _TUMOR))
    if not file or not (label or tumor):
        raise ValueError(
            f"{name} lacks a column. Its first line must name its columns: name, label and, where it is "
            "known, patient."
        )
    table: dict[str, Row] = {}
    for number, cells in enumerate(rows, 2):
        key = clean_name((cells[file] or "").strip().replace("\\", "/").removeprefix("./"))
        said = (cells.get(label) or cells.get(tumor) or "").strip()
        if not key and not said:
            continue
        known = {"1": "", "0": "no_tumor"}.get(said, class_named(said)) if said else None
        if not key or known is None:
            raise ValueError(
                f"Line {number} of {name} has {f'the label {said!r}' if key else 'no name'}. A line needs "
                f"the name of a file and a label: {_WORDS}."
            )
        told = (cells.get(patient) or "").strip()
        row = Row(known, f"table {told}" if told else "")
        if table.setdefault(key, row) != row:
            raise ValueError(f"Line {number} of {name} gives {key!r} another label or patient than before.")
    if not table:
        raise ValueError(f"{name} has no rows.")
    return table


def _text_of(content: bytes, name: str) -> str:
    """The text of a table, in UTF-8, in UTF-16 with a byte order mark, or as Windows writes it in the west.

    Spreadsheet programs save all three. Where the code page is another one, the names of files with letters
    beyond ASCII are not found, and are listed as such; labels have none.

    Raises:
        ValueError: it is none of them.
    """
    marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    for encoding in ("utf-16",) if content.startswith(marks) else ("utf-8-sig", "cp1252"):
        with suppress(UnicodeDecodeError):
            text = content.decode(encoding)
            # No text has a null: this is UTF-16 without its mark, or no text.
            if "\0" not in text:
                return text
    raise ValueError(f"{name} is not written in UTF-8. Save it as a CSV file in UTF-8.")


def _patient_in(name: str) -> str:
    """What tells the patient in a file's name: a word with a number, or a numbered folder in the class's."""
    if found := _OF_PATIENT.search(name):
        return f"name {(found[1] or found[2] or found[3]).lower()}"
    below: str = ""
    for part in reversed(PurePosixPath(name).parts[:-1]):
        if class_named(part) is not None:
            break
        below = part
    else:
        return ""
    return f"folder {below}" if any(c.isdigit() for c in below) else ""


def _below(folder: Path, name: str) -> str:
    path = Path(name)
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
