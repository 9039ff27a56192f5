"""Tables as files: what an independent reader finds in them, and that nothing in them is run."""

import csv
import io
import zipfile

import openpyxl
import pytest

from brat.reports.spreadsheet import as_csv, as_xlsx

ROWS = [
    {"number": 1, "share": 0.25, "known": True, "file": "größe 脳.png"},
    {
        "number": 2,
        "share": None,
        "known": False,
        "file": '=HYPERLINK("http://example.org")',
        "problem": "Bad.",
    },
    {"number": 3, "share": 0.0, "known": None, "file": "-1+1.png"},
]


def test_csv_holds_every_cell_and_no_formula():
    data = as_csv(ROWS)
    assert data.startswith(b"\xef\xbb\xbf")
    table = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))
    assert list(table[0]) == ["number", "share", "known", "file", "problem"]
    assert [row["share"] for row in table] == ["0.25", "", "0.0"]
    assert [row["file"][0] for row in table] == ["g", "'", "'"]
    assert table[0]["file"] == ROWS[0]["file"]
    assert table[1]["problem"] == "Bad."


def test_excel_holds_every_cell_as_what_it_is():
    data = as_xlsx(ROWS, "Worklist")
    sheet = openpyxl.load_workbook(io.BytesIO(data))["Worklist"]
    heading, *table = sheet.iter_rows(values_only=True)
    assert heading == ("number", "share", "known", "file", "problem")
    assert table == [
        (1, 0.25, True, ROWS[0]["file"], None),
        (2, None, False, ROWS[1]["file"], "Bad."),
        (3, 0, None, "-1+1.png", None),
    ]
    # Text that begins like a formula, or a link, is text.
    assert {cell.data_type for cell in sheet["D"]} == {"s"}
    assert sheet.freeze_panes == "A2"
    with zipfile.ZipFile(io.BytesIO(data)) as parts:
        page = parts.read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in page
    assert "hyperlink" not in page.lower()


def test_no_rows():
    assert as_csv([]).decode("utf-8-sig").strip() == ""
    assert openpyxl.load_workbook(io.BytesIO(as_xlsx([], "Worklist"))).sheetnames == ["Worklist"]


NOTES = [
    *(f"{sign}1+1" for sign in ("=", "+", "-", "@", "\t=", "\r=", "\n=", " =", "＝", "＋", "－", "＠")),
    ";=1+1",
    "a;=1+1",
    "a; =1+1",
    "a\t=1+1",
    "a\n=1+1",
    "a\r\n+1",
    'a;"=1+1"',
    '";=1+1',
    '"\n"@SUM(1)',
    'x",=1+1,"',
    "oedema, -5 HU; see above",
]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("note", NOTES)
def test_no_cell_begins_like_a_formula_in_any_dialect(separator, note):
    data = as_csv([{"note": note, "after": note, "observer": "AB"}]).decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(data, newline=""), delimiter=separator))
    assert len(rows) >= 2
    for cell in (cell for row in rows for cell in row):
        # Some programs pass over spaces and stray quotes.
        assert not cell.strip(' \t\r\n"').startswith(tuple("=+-@＝＋－＠")), (cell, rows)
        assert not cell.startswith(("\t", "\r", "\n"))


def test_json_of_the_same_cells_is_as_it_was():
    row = {"note": ";=1+1"}
    as_csv([row])
    assert row == {"note": ";=1+1"}


@pytest.mark.parametrize("note", NOTES)
def test_excel_keeps_such_notes_as_text(note):
    sheet = openpyxl.load_workbook(io.BytesIO(as_xlsx([{"note": note}], "Worklist")))["Worklist"]
    assert sheet["A2"].data_type == "s"
    assert (
        sheet["A2"].value.replace("\r", "\n") == note.replace("\r\n", "\n").replace("\r", "\n")
        or "\r" in note
    )
