"""Rows -> the table, the page and the JSON file."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

from benchmarks.measure import SLACK, Row, figure

_HEADER = ("what", "ours", "beside", "theirs", "ratio", "aim", "met")


def table(rows: list[Row]) -> str:
    """A Markdown table whose columns also stand one below the other in a terminal."""
    cells = [_HEADER, *map(_cells, rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEADER))]
    lines = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in cells]
    lines.insert(1, "|-" + "-|-".join("-" * width for width in widths) + "-|")
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> tuple[str, ...]:
    unit = row.ours.unit if row.ours else ""
    ratio = row.value("speed" if any(aim.of == "speed" for aim in row.aims) else "ratio")
    return (
        row.what,
        str(row.ours or row.missing),
        row.beside,
        str(row.theirs or (row.missing if row.beside else "")),
        "" if ratio is None else figure(ratio),
        ", ".join(str(aim).format(unit=unit) for aim in row.aims),
        {True: "yes", False: "no", None: ""}[row.met],
    )


def page(rows: list[Row], machine: dict[str, str]) -> str:
    """`docs/performance.md`."""
    known = "\n".join(f"- {name}: {what}" for name, what in machine.items())
    return f"""# Performance

Written by `python -m benchmarks --page docs/performance.md`, the command to repeat it with; no figure is typed in.
Medians, in brackets the quartiles and how many measurements; ours and what stands beside it are measured in
turn, in one run. The ratio is ours to theirs, or where the aim is to be faster, theirs to ours.

{table(rows)}
## The machine, {datetime.now(UTC):%Y-%m-%d}
{known}
"""


def as_json(rows: list[Row], machine: dict[str, str]) -> dict:
    """Everything that was measured, and what came of it."""
    entries = []
    for row in rows:
        values = {f"{of}": row.value(of) for of in ("ratio", "speed", "difference")}
        entries.append(asdict(row) | values | {"met": row.met, "regressed": row.regressed})
    return {"date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine, "rows": entries}


def regressions(rows: list[Row]) -> str:
    """One line for each row that is worse than its aim by half; empty where there is none."""
    lines = [f"worse than its aim by {SLACK - 1:.0%}: {row.what}, beside {row.beside}" for row in rows if row.regressed]
    return "\n".join(lines)
