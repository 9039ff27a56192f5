"""Words of the worklist, and of the way through it in Review."""

from __future__ import annotations

from collections.abc import Sequence

from brat.model.worklist import Progress
from brat.model.worklist_rows import Row

WELCOME = (
    "Reads many scans and lists them, the most suspicious first; open one in *Review* and go on from there "
    "to the next. Files of one series become one row. **Not a medical device.**"
)
NO_VERDICTS = "The files below hold no verdicts: only an admin exports these here."
CAVEAT = (
    "The order is the model's guess: a scan far down is not a scan without a tumour. Not a medical device, "
    "not for diagnosis."
)
NOT_CALIBRATED = (
    "This model has no calibration yet: do not take 80 % for 80 of 100, and there are no prediction sets."
)
NOT_CHECKED = "Whether the model knows scans like these was not checked: this model cannot."
UPLOAD = "Drop scans here, or a folder as ZIP"
UPLOAD_HELP = (
    "PNG, JPEG, BMP, TIFF, WebP, DICOM, NIfTI. What you drop is added to the list. It is held in memory "
    "only, and never stored."
)

UPLOAD_FOLDER = "Or choose a folder of your computer"
UPLOAD_FOLDER_HELP = "All scans in it and below it, by name or content; a DICOM disc as well."

FOLDERS_OFF = """Off. Where the app runs on your own computer, an entry in `.streamlit/secrets.toml` turns it
on and says what may be read: that folder and all below it. Whoever can open the page can then read the scans
there.

```toml
[worklist]
folders = "/home/me/scans"
```"""


ORDER_HELP = (
    "Most suspicious first: scans like those the model knows, by the probability of any tumour; then scans "
    "unlike those, then what could not be read, as given: of these the model says nothing, so look at them "
    "yourself."
)

READING_HELP = "The likeliest answer and its probability."
TUMOUR_HELP = "Probability of any of the three tumours, by which the list is sorted."
SET_HELP = "The answers that the model cannot rule out."
KNOWN_HELP = "Whether this is a slice like those the model knows. If not, its reading is withheld."
EMPTY_FILTER = "No scan meets these conditions."

CLICK = "The box at the left of a row opens it in *Review*; a heading sorts by its column."

NAMES_HELP = (
    "Off, so that no patient is named by a file's name. The number and the scan's hash say which is which."
)


def progress(now: Progress) -> str:
    """How far it is: "Reading: 12 of 40"."""
    if now.stopped and now.done < now.total:
        return f"Stopped: {now.done} of {now.total} read."
    if now.running and now.total:
        return f"Reading: {now.done} of {now.total} …"
    return "Looking through the files …"


def summary(rows: Sequence[Row]) -> str:
    """What the list holds, as far as it was read."""
    known = [row.label for row in rows if row.state == "known"]
    clear = known.count("no_tumor")
    counts = {
        "read as a tumour": len(known) - clear,
        "as no tumour": clear,
        "unlike known scans, withheld": sum(row.state == "refused" for row in rows),
        "could not be read": sum(row.state == "unread" for row in rows),
    }
    return " · ".join(f"**{count}** {state}" for state, count in counts.items())


def open_from(number: int | None) -> str:
    """On the button that begins to go through the list."""
    return f"Review from No. {number}" if number else "Review from the top"


def shown(count: int, total: int, folder: str) -> str:
    """Args: folder: where all of them are; may be empty."""
    return f"{count} of {total} shown." + (f" All are in {folder}." if folder else "")


def slice_of(slice_: int, slices: int) -> str:
    """Of a series, which slice is spoken of."""
    return f"Slice {slice_} of {slices}, the most suspicious of a series."


def unread(count: int) -> str:
    return f"{count} could not be read" if count > 1 else "1 could not be read"


def row(number: int, name: str, reading: str) -> str:
    """A row in a list to choose from."""
    return f"{number} · {name} · {reading}"


def place(at: int, count: int) -> str:
    return f"{at} of {count}"


def cannot_open(name: str, why: str) -> str:
    return f"{name} was not read. {why}"
