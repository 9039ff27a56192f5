"""Words of the worklist, and of the way through it in Review."""

from __future__ import annotations

from collections.abc import Sequence

from brat.model.worklist import Progress, Row

TITLE = "Worklist"
WELCOME = (
    "Reads many scans and lists them, the most suspicious first; open one in *Review* and go on from there "
    "to the next. Files of one series become one row. **Not a medical device.**"
)
CAVEAT = (
    "The order is the model's guess: a scan far down is not a scan without a tumour. Not a medical device, "
    "not for diagnosis."
)
MORE = "Add scans"
UPLOAD = "Drop scans here, or a folder as ZIP"
UPLOAD_HELP = (
    "PNG, JPEG, BMP, TIFF, WebP, DICOM, NIfTI. What you drop is added to the list. It is held in memory "
    "only, and never stored."
)

FOLDER = "A folder of this computer"
FOLDER_PATH = "Path of the folder"
FOLDER_ADD = "Add"
FOLDERS_OFF = """Off. Where the app runs on your own computer, an entry in `.streamlit/secrets.toml` turns it
on and says what may be read: that folder and all below it. Whoever can open the page can then read the scans
there.

```toml
[worklist]
folders = "/home/me/scans"
```"""

STOP = "Stop"
GO_ON = "Go on"
EMPTY = "Empty the list"
SORTING = "Looking through the files …"

SEARCH = "Search"
SEARCH_HINT = "Part of a file's name"
FILTER = "Filter"
READING = "Reading"
GATE = "Gate"
VERDICT = "Verdict"
STATES = {"known": "Let through", "refused": "Refused", "unread": "Could not be read"}
NO_VERDICT = "None yet"

ORDER = "Order"
ORDERS = {
    "suspicion": "Most suspicious first",
    "doubt": "Least certain first",
    "reading": "By reading",
    "name": "By file name",
    "number": "As given",
}
ORDER_HELP = (
    "Most suspicious first: what the gate lets through, by the probability of any tumour; then what it "
    "refuses, then what could not be read, as given: of these the model says nothing, so look at them "
    "yourself."
)

NUMBER = "No."
PICTURE = "Scan"
READING_HELP = "The likeliest answer and its probability."
TUMOUR = "Any tumour"
TUMOUR_HELP = "Probability of any of the three tumours, by which the list is sorted."
SET = "95 % set"
SET_HELP = "The answers that the model cannot rule out."
FILE = "File"
OPENED = "Opened"
REMARK = "Remark"
GATE_HELP = "Whether this is a slice like those the model knows. If not, its reading is withheld."
WITHHELD = "Withheld"
NOT_READ = "Not read"
KNOWN = "let through"
REFUSED = "refused"
NO_CLASS = "no class"
NOT_SAID = "–"
TABLE = "Scans that were read"
EMPTY_FILTER = "No scan meets these conditions."

OPEN_BY_NAME = "Open by name"
OPEN_HINT = "Choose a file"
CLICK = "The box at the left of a row opens it in *Review*; a heading sorts by its column."

EXPORT = "Export"
NAMES = "With file names"
NAMES_HELP = (
    "Off, so that no patient is named by a file's name. The number and the scan's hash say which is which."
)
CSV = "CSV"
EXCEL = "Excel"

BACK = "Worklist"
PREVIOUS = "Previous"
NEXT = "Next"


def progress(now: Progress) -> str:
    """How far it is: "Reading: 12 of 40"."""
    if now.stopped and now.done < now.total:
        return f"Stopped: {now.done} of {now.total} read."
    if now.running and now.total:
        return f"Reading: {now.done} of {now.total} …"
    return SORTING


def summary(rows: Sequence[Row]) -> str:
    """What the list holds, as far as it was read."""
    known = [row.label for row in rows if row.state == "known"]
    clear = known.count("no_tumor")
    counts = {
        "read as a tumour": len(known) - clear,
        "as no tumour": clear,
        "refused by the gate": sum(row.state == "refused" for row in rows),
        "could not be read": sum(row.state == "unread" for row in rows),
    }
    return " · ".join(f"**{count}** {what}" for what, count in counts.items())


def open_from(number: int | None) -> str:
    """On the button that begins to go through the list."""
    return f"Review from No. {number}" if number else "Review from the top"


def shown(count: int, total: int) -> str:
    return f"{count} of {total} shown."


def slice_of(slice_: int, slices: int) -> str:
    """Of a series, which slice is spoken of."""
    return f"Series: its most suspicious slice, {slice_} of {slices}."


def unread(count: int) -> str:
    return f"{count} could not be read" if count > 1 else "1 could not be read"


def row(number: int, name: str, reading: str) -> str:
    """A row in a list to choose from."""
    return f"{number} · {name} · {reading}"


def place(at: int, count: int) -> str:
    return f"{at} of {count}"


def cannot_open(name: str, why: str) -> str:
    return f"{name} was not read. {why}"
