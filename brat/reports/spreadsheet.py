"""Tables as files that spreadsheets open rightly, in any script, and in which no cell is run as a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

_BEGINNING = re.compile(r"""((?:^|[;\t\r\n])[\s"]*)([-=+@＝＋－＠])""")
"""A sign that some program takes for a formula's, where some program may see a cell begin. A comma inside of
a cell is none of these places: only programs that part at commas would, and for them the cell is quoted."""
_WIDEST = 60  # characters of a column's width; longer cells are cut on the screen, not in the file


def as_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """A CSV file with the columns of all rows, in the order in which they come up; None is an empty cell.

    A spreadsheet would run text that begins like a formula: it gets an apostrophe before it. Many take the
    semicolon or the tab for the separator, and then see a cell begin inside of ours: there too.
    """
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, _columns(rows))
    writer.writeheader()
    writer.writerows({column: _no_formula(cell) for column, cell in row.items()} for row in rows)
    # The mark by which Excel knows UTF-8.
    return buffer.getvalue().encode("utf-8-sig")


def as_xlsx(rows: Sequence[Mapping[str, Any]], sheet: str) -> bytes:
    """An Excel workbook with one sheet, its first row fixed and ready to be filtered.

    Text stays text, whatever it begins with, and booleans are TRUE and FALSE.
    """
    import xlsxwriter

    buffer = io.BytesIO()
    columns = _columns(rows)
    with xlsxwriter.Workbook(buffer, {"in_memory": True}) as workbook:
        page = workbook.add_worksheet(sheet)
        heading = workbook.add_format({"bold": True})
        for place, column in enumerate(columns):
            page.write_string(0, place, column, heading)
            for number, row in enumerate(rows, 1):
                _write(page, number, place, row.get(column))
            longest = max(len(str(row.get(column, ""))) for row in (dict.fromkeys(columns, column), *rows))
            page.set_column(place, place, min(longest + 2, _WIDEST))
        page.freeze_panes(1, 0)
        if columns:
            page.autofilter(0, 0, len(rows), len(columns) - 1)
    return buffer.getvalue()


def _write(page: Any, row: int, column: int, cell: Any) -> None:
    if isinstance(cell, bool):
        page.write_boolean(row, column, cell)
    elif isinstance(cell, (int, float)):
        page.write_number(row, column, cell)
    elif cell is not None:
        page.write_string(row, column, str(cell))


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(column for row in rows for column in row))


def _no_formula(cell: Any) -> Any:
    """Text gets an apostrophe wherever a program may see a cell begin that looks like a formula."""
    if not isinstance(cell, str):
        return cell
    marked = _BEGINNING.sub(r"\1'\2", cell)
    return f"'{marked}" if marked.startswith(("\t", "\r", "\n")) else marked
