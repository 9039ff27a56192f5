"""Measure, print and write. Exit status 1 where anything but a time is worse than its aim by half."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import report

NAMES = ("reading", "explanation", "start", "formats", "app", "folder", "series", "worklist", "sessions")
CHEAP = NAMES[:3]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(NAMES)}; default: all")
    parser.add_argument("--short", action="store_true", help=f"few repetitions; default: {', '.join(CHEAP)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement there")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the tables there, as Markdown")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")

    known = report.machine()
    sections = {}
    for name in options.names or (CHEAP if options.short else NAMES):
        print(f"{name} ...", file=sys.stderr, flush=True)
        benchmark = importlib.import_module(f"benchmarks.{name}")
        sections[benchmark.__doc__] = list(benchmark.rows(options.short))
    rows = [row for section in sections.values() for row in section]
    print(report.table(rows))
    print("\n".join(f"{name}: {what}" for name, what in known.items()))
    if options.json:
        entries = [asdict(row) | {"met": row.met, "regressed": row.regressed} for row in rows]
        written = {"date": datetime.now(UTC).isoformat(), "machine": known, "rows": entries}
        options.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    if options.page:
        options.page.write_text(report.page(sections, known), encoding="utf-8")
    worse = [row.what for row in rows if row.regressed]
    for what in worse:
        print(f"worse than its aim by half: {what}", file=sys.stderr)
    return int(bool(worse))


if __name__ == "__main__":
    sys.exit(main())
