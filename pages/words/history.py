"""Words of the History page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from brat.classes import CLASS_NAMES
from brat.wording import percent
from pages.words.markdown import literal
from pages.words.numbers import share

OFF = "No store is set up here: verdicts cannot be kept, and a scan is gone when the page is closed."
TURN_ON = "One entry in `.streamlit/secrets.toml` sets one up, a file beside the app or a PostgreSQL server:"
ENTRY = """[connections.cases]
url = "sqlite:///cases.db"
# url = "postgresql+psycopg://user:password@server/database\""""

SEARCH_HINT = "Note, observer, start of a scan's hash"

TABLE = "The kept cases, the latest first"


NONE_FOUND = "No case meets these conditions."
NONE_KEPT = "No case has been kept yet. Keep one on the *Review* page, under its reading."

NO_AGREEMENT = "None of these cases has a class from the clinician."
MATRIX = "Confusion matrix: the class that the clinician sees against the class that the model read"
KAPPA_HELP = (
    "Agreement beyond chance: 0 is what chance would bring, 1 is all. The interval takes the cases to be "
    "independent; with several slices of one patient it is too narrow."
)
LEANING = "Verdicts lean towards an answer that the clinician has already seen: agreement is not accuracy."

KAPPA_CAPTION = "Kappa with its 95 % interval."
MONTHS_FIGURE = "Cohen's kappa, month by month."


def too_few(agreed: int, cases: int, least: int) -> str:
    return (
        f"{agreed} of {cases} agree. Statistics begin at {least} cases with a class from the "
        "clinician: of fewer they would say next to nothing."
    )


def fewer_than(least: int) -> str:
    return f"fewer than {least} cases"


def scan(format: str, width: int, height: int, window: str, digest: str) -> str:
    """Args: window: center and width, "40/80"; empty where there is none."""
    shown = f", window {window.replace('/', ' / ')}" if window else ""
    return f"{literal(format)}, {width} x {height}{shown}, {digest}"


def likeness(known: bool | None, score: float | None) -> str:
    """Whether a scan is like those that the model knows: "yes (unlikeness 0.86, limit 1)"."""
    if known is None:
        return "not checked"
    return f"{'yes' if known else 'no'} (unlikeness {score or 0:.2f}, limit 1)"


def act(
    when: str, action: str, person: str, verified: bool, read: str, seen: str, changed: Sequence[str]
) -> str:
    """A row of the trail: "2026-11-25 03:14 UTC: kept by AB (not verified). Read: glioma. Seen: unsure"."""
    by = literal(person) if person else "somebody without a name"
    known = "" if verified else " (not verified)"
    fields = f" Changed: {', '.join(changed)}." if changed else ""
    verdict = f" Read: {read.lower()}. Seen: {seen.lower() or 'unsure'}." if read else ""
    return f"{when}: {action} by {by}{known}.{verdict}{fields}"


def wiped(pictured: bool) -> str:
    return (
        f"The reading, the verdict{', the picture' if pictured else ''} and the note are wiped from the "
        "store. They cannot be brought back. The trail keeps who gave which verdict, and who deleted it."
    )


def damaged(rows: Sequence[int]) -> str:
    """Args: rows: ids of the rows that cannot be shown."""
    listed = ", ".join(map(str, rows[:5])) + (" …" if len(rows) > 5 else "")
    return (
        f"{len(rows)} row{'s' * (len(rows) > 1)} of the store cannot be shown, because something in "
        f"{'each' if len(rows) > 1 else 'it'} is damaged. Nothing was deleted. To be mended in the database: "
        f"the table `cases`, with the id {listed}."
    )


def count(cases: int) -> str:
    return f"**{cases} case{'s' * (cases > 1)}.** Select one to see all that is kept of it."


def counted(cases: int) -> str:
    return (
        f"What follows is of all {cases} cases of the chosen models, observers and days: words, verdicts and "
        "classes choose what is listed, not what is counted."
    )


def interval(low: float, high: float) -> str:
    return f"95 % interval {low:.2f} to {high:.2f}"


def matrix(agreed: int, apart: Mapping[tuple[str, str], int]) -> str:
    """Args: apart: what is seen and what was read, where they differ -> in how many cases."""
    cells = [
        f"{CLASS_NAMES[seen].lower()} read as {CLASS_NAMES[read].lower()}: {count}"
        for (seen, read), count in apart.items()
    ]
    return (
        "Cases by the class that the clinician sees and the class that the model read: "
        f"{agreed} agree{'; ' if cells else ''}{', '.join(cells)}."
    )


def agreed(count: int, of: int, with_share: bool = True) -> str:
    return f"{count} of {of}" + (f" ({share(count / of)})" if with_share and of else "")


def kappa(value: float, low: float, high: float) -> str:
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def sees(name: str) -> str:
    return f", sees {name}"


def sets(by_level: Mapping[float, Sequence[str]]) -> str:
    """The prediction set of each level."""
    return ", ".join(
        f"{percent(level)} set: {' or '.join(CLASS_NAMES[name].lower() for name in classes) or 'no class'}"
        for level, classes in by_level.items()
    )


def left_out(unsure: int) -> str:
    return f"Left out because the clinician was unsure: {unsure}. " if unsure else ""
