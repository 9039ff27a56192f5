"""`python -m benchmarks`: exit status 1 where something is worse than its aim by half."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import machine, report

NAMES = ("reading", "explanation", "start", "app", "folder", "sessions")
"""A module each, in the order to run them in: the quiet ones first."""

CHEAP = NAMES[:3]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all by default")
    parser.add_argument("--short", action="store_true", help=f"few repetitions; by default {', '.join(CHEAP)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement there")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the table there, as Markdown")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")

    known = machine.describe()
    rows = []
    for name in options.names or (CHEAP if options.short else NAMES):
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows += importlib.import_module(f"benchmarks.{name}").rows(options.short)
    print(report.table(rows))
    print("\n".join(f"{name}: {what}" for name, what in known.items()))
    if options.json:
        options.json.write_text(json.dumps(report.as_json(rows, known), indent=1) + "\n", encoding="utf-8")
    if options.page:
        options.page.parent.mkdir(parents=True, exist_ok=True)
        options.page.write_text(report.page(rows, known), encoding="utf-8")
    if worse := report.regressions(rows):
        print(worse, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
