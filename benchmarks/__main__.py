"""Measure, print and write. The exit status is 1 if a ratio, a count or memory misses its aim by half."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import tables

NAMES = (
    "reading",
    "explanation",
    "start",
    "door",
    "formats",
    "app",
    "folder",
    "batch",
    "series",
    "worklist",
    "sessions",
)
CHEAP = NAMES[:4]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(NAMES)}; default: all")
    parser.add_argument("--short", action="store_true", help=f"few repetitions; default: {', '.join(CHEAP)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement there")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the tables there, as Markdown")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")

    facts = tables.machine()
    sections = {}
    for name in options.names or (CHEAP if options.short else NAMES):
        print(f"{name} ...", file=sys.stderr, flush=True)
        benchmark = importlib.import_module(f"benchmarks.{name}")
        sections[benchmark.__doc__] = list(benchmark.rows(options.short))
    rows = [row for section in sections.values() for row in section]
    print(tables.table(rows))
    print("\n".join(f"{name}: {fact}" for name, fact in facts.items()))
    if options.json:
        entries = [asdict(row) | {"met": row.met, "regressed": row.regressed} for row in rows]
        written = {"date": datetime.now(UTC).isoformat(), "machine": facts, "rows": entries}
        options.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    if options.page:
        # What a soak found, which takes its time, stays.
        kept = tables.under_load(options.page.read_text(encoding="utf-8")) if options.page.exists() else ""
        options.page.write_text(tables.page(sections, facts) + kept, encoding="utf-8")
    regressions = [row.title for row in rows if row.regressed]
    for title in regressions:
        print(f"worse than its aim by half: {title}", file=sys.stderr)
    return int(bool(regressions))


if __name__ == "__main__":
    sys.exit(main())
