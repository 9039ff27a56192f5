"""Words of the Worklist's source "Archive"."""

from __future__ import annotations

SEARCH_HELP = "All that is filled in must match. Parts of a description or a name are enough."
NO_DATE = "From one day to another; any day where it is empty."
NONE_FOUND = "The archive has no study like this."
TICK = "Tick the studies whose series are to be listed."
CHOICE = "Ticked is what the model was measured on. Untick what you do not want."
SEND_HELP = (
    "A report and the maps of each series go back into its study, as new series. What was sent "
    "is not sent again."
)
NO_STUDY = "The address names no study that can be looked for: `study` must be a Study Instance UID."
NOT_FOUND = "No archive of this installation has the study that the address names."
NOTHING_READABLE = "No series of the study can be read. They are listed below, with the reason."
FROM_ADDRESS = "The study that the address names is in the list below."
SENT = "Sent."
NOT_INSTALLED = 'Archives need one more package. Install it with: pip install "bratum-scans[department]"'


def date(written: str) -> str:
    """A date of DICOM, "20260102", as the page writes dates; what is none stays as it is."""
    is_date = len(written) == 8 and written.isdecimal()
    return f"{written[:4]}-{written[4:6]}-{written[6:]}" if is_date else written


def many(limit: int) -> str:
    return f"Only the first {limit} are shown. Narrow the search."


def cannot_be_opened(count: int) -> str:
    return (
        f"{count} of these studies cannot be opened: the archive names them by what is no UID. Ask whoever "
        "runs the archive."
    )


def opened(name: str, count: int) -> str:
    return f"{count} series of {name}: fetched and read in the background."


def failed(why: str) -> str:
    return f"Failed. {why}"


def failed_unforeseen(error_id: str) -> str:
    return f"Failed for a reason that was not foreseen (error {error_id} in the app's log)."
