"""Words of the History page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from brat.classes import CLASS_NAMES
from brat.figures.charts import percent
from pages.words.exhibits import share

TITLE = "History"
OFF = "No store is set up here: verdicts cannot be kept, and a scan is gone when the page is closed."
TURN_ON = "One entry in `.streamlit/secrets.toml` sets one up, a file beside the app or a PostgreSQL server:"
ENTRY = """[connections.cases]
url = "sqlite:///cases.db"
# url = "postgresql+psycopg://user:password@server/database\""""

SEARCH = "Search"
SEARCH_HINT = "Note, reader, start of a scan's hash"
FILTER = "Filter"
VERDICT = "Verdict"
CLASS = "Class, read or seen"
MODEL = "Model"
READER = "Reader"
NO_NAME = "no name given"
FROM = "From"
TO = "To"

TIME = "Time (UTC)"
READ = "Read"
PROBABILITY = "Probability"
SEEN = "Seen"
NOTE = "Note"
SCAN = "Scan"
SETS = "Sets"
PICTURE = "The scan"
TABLE = "The kept cases, the latest first"
GATE = "Gate"

NO_CLASS = "no class"
NO_SETS = "none"
GATE_NOT_ASKED = "not asked"
DELETE = "Delete …"
DELETE_FOR_GOOD = "Delete for good"

EXPORT = "Export as CSV"
NONE_FOUND = "No case meets these conditions."
NONE_KEPT = "No case has been kept yet. Keep one on the *Review* page, under its reading."

AGREEMENT = "Agreement with the model"
NO_AGREEMENT = "None of these cases has a class from the clinician."
CLINICIAN_SEES = "clinician sees"
HOVER = "seen: %{y}, read: %{x}: %{text}"
MATRIX = "Confusion matrix: the class that the clinician sees against the class that the model read"
AGREED = "Agreed"
KAPPA = "Cohen's kappa"
KAPPA_HELP = (
    "Agreement beyond chance: 0 is what chance would bring, 1 is all. The interval takes the cases to be "
    "independent; with several slices of one patient it is too narrow."
)
UNDEFINED = "undefined"
LEANING = "Verdicts lean towards an answer that the clinician has already seen: agreement is not accuracy."

OVER_TIME = "Over time"
MONTH = "Month"
BY_MODEL = "By model version"
UNSURE = "Unsure"
KAPPA_SHORT = "Kappa"
KAPPA_CAPTION = "Kappa with its 95 % interval."
MONTHS_FIGURE = "Cohen's kappa, month by month."


def gate(known: bool | None, score: float | None) -> str:
    if known is None:
        return GATE_NOT_ASKED
    return (
        f"{'' if known else 'not '}like the slices that the model knows (distance {score or 0:.2f}, limit 1)"
    )


def wiped(pictured: bool) -> str:
    return (
        f"The reading, the verdict{', the picture' if pictured else ''} and the note are wiped from the "
        "store. They cannot be brought back."
    )


def found(cases: int) -> str:
    return f"**{cases} case{'s' * (cases > 1)}.** Select one to see all that is kept of it."


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
        f"{percent(level)} set: {' or '.join(CLASS_NAMES[one].lower() for one in classes) or NO_CLASS}"
        for level, classes in by_level.items()
    )


def left_out(unsure: int) -> str:
    return f"Left out because the clinician was unsure: {unsure}. " if unsure else ""
