"""Tables as files: what an independent reader finds in them, and that nothing in them is run."""

import csv
import io
import zipfile

import openpyxl

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
