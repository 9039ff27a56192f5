"""Many sessions for some minutes on one server: `python -m benchmarks.soak`.

Each upload must be answered on its own page with its own scan. The memory of the server, with the processes
that read files for it, is printed every minute; once all sessions are gone, what is left is printed too.
Fails where a page shows an error or another session's scan, or where memory still grows by a fifth after the
first third.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import sys
import time
from pathlib import Path

from benchmarks.browser import MISSING, chromium, open_page, scan_file, serve, shown_slices, upload
from benchmarks.sessions import SHOWN, is_right
from brat.model.reader import Reader

FREED = 120
"""Seconds after which an ended session must have given its memory back."""


def descendants(of: int) -> set[int]:
    """A process and those that it started, by Linux's list of processes."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # The name stands in brackets, and may hold blanks.
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
    family = {of}
    while new := {child for child, parent in parents.items() if parent in family} - family:
        family |= new
    return family


def megabytes(processes: set[int]) -> float:
    """Memory that they have resident."""
    pages = 0
    for process in processes:
        try:
            pages += int(Path(f"/proc/{process}/statm").read_text().split()[1])
        # It has ended.
        except OSError:
            continue
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def server_of(before: set[int]) -> int:
    """The Streamlit server that was started since."""
    for process in sorted(descendants(os.getpid()) - before):
        if b"streamlit" in Path(f"/proc/{process}/cmdline").read_bytes():
            return process
    raise RuntimeError("There is no server.")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=10)
    options = parser.parse_args(arguments)
    if MISSING:
        print(MISSING, file=sys.stderr)
        return 2
    reader, rng = Reader(), random.Random(50)
    numbers = shown_slices(reader)
    before = descendants(os.getpid())
    memory, wrong, uploads = [], 0, 0
    with serve("app.py") as address:
        server = server_of(before)
        with chromium() as browser:
            pages = [open_page(browser, address) for _ in range(options.sessions)]
            begun, minute = time.monotonic(), itertools.count(1)
            due = next(minute)
            while (seconds := time.monotonic() - begun) < 60 * options.minutes:
                page, number = rng.choice(pages), next(numbers)
                upload(page, number)
                uploads += 1
                wrong += not is_right(page.evaluate(SHOWN), number, reader)
                # Two drops, one 100 ms after the other: the second must be what is shown.
                if uploads % 10 == 0:
                    first, last = next(numbers), next(numbers)
                    start = 1000 * time.time()
                    page.evaluate("([scan, start]) => { upload(scan, start); }", [scan_file(first), start])
                    page.wait_for_timeout(100)
                    upload(page, last)
                    wrong += not is_right(page.evaluate(SHOWN), last, reader)
                if seconds > 60 * due:
                    memory.append(megabytes(descendants(server)))
                    print(f"minute {due}: {uploads} uploads, {memory[-1]:.0f} MB", flush=True)
                    due = next(minute)
            memory.append(megabytes(descendants(server)))
        time.sleep(FREED)
        left = megabytes(descendants(server))
    settled = memory[len(memory) // 3]
    print(
        f"{options.sessions} sessions, {uploads} uploads: {wrong} errors or scans of another session; "
        f"{settled:.0f} MB after the first third, {memory[-1]:.0f} MB at the end, {left:.0f} MB "
        f"{FREED} s after all sessions ended."
    )
    return int(wrong > 0 or memory[-1] > 1.2 * settled)


if __name__ == "__main__":
    sys.exit(main())
