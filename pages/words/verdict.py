"""Words of the form under a reading, and of the store in which verdicts are kept."""

from __future__ import annotations

_SAYS = {"agree": "agrees", "disagree": "disagrees", "unsure": "unsure"}

ASK_SEEN = "What do you see?"
NOTE_HINT = "Optional. No names of patients."
PICTURE_HELP = "The pixels only, without the file's header and name. Writing in the pixels stays in them."
KEPT = "Kept."
FIRST_VERDICT = "Give a verdict first."
FIRST_SEEN = "First say what you see."
UNSAVED = "<strong>Unsaved.</strong> What is said here is not kept yet."
KEYS_HELP = "By keyboard: A to agree, D to disagree, U where unsure."

OFF = (
    "No store is set up here: a verdict goes into the report below, and is gone, like the scan, when the "
    "page is closed."
)
"""What Review says where the store is off."""

NO_STORE = (
    "The store of cases is not set up rightly: `[connections.cases]` in `.streamlit/secrets.toml` has no "
    "usable `url`, or the driver of its database is not installed."
)


def stored_verdict(
    by: str, when: str, window: str, verdict: str, sees: str, note: str, pictured: bool
) -> str:
    """What was kept: "Kept by AB on 25 Nov 2026, 03:14 UTC: disagrees, sees meningioma. Note: dural tail".

    Args:
        by: the observer, as Markdown; empty where no name was given.
        window: center and width, "40/80", where another one was shown than now; else empty.
        sees: the class that the clinician sees; empty where it goes without saying.
        note: as Markdown.
    """
    other = f", under the window {window.replace('/', ' / ')}" if window else ""
    return (
        f"Kept{f' by {by}' if by else ''} on {when}{other}{', with the picture' if pictured else ''}: "
        f"{_SAYS[verdict]}{f', sees {sees}' if sees else ''}."
    ) + (f" Note: {note}" if note else "")


def printed(verdict: str | None, sees: str) -> str:
    """The verdict as the report prints it: "disagrees, sees meningioma"."""
    if verdict is None:
        return ""
    return _SAYS[verdict] + (f", sees {sees}" if sees else "")
