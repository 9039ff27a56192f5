"""Many sessions for some minutes on one server: `python -m benchmarks.soak`.

Every session is a page of its own in Chromium. Some of them upload at the same moment, PNG, JPEG and DICOM in
turn, and each must be answered with its own scan. Now and then one uploads a second file 100 ms after the
first: the second must be what is shown, or both are in the worklist. The memory of the server, and of the
processes that read files for it, is printed every minute; once all sessions are gone, what is left is printed
too. Fails where a page shows an error or another scan than its own, where a second file is lost, or where
memory still grows by a fifth after the first third.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.browser import MISSING, chromium, open_page, serve
from benchmarks.sessions import SHOWN, is_right
from benchmarks.slices import KINDS, as_file
from benchmarks.tables import machine, with_load
from brat.environment import CORES
from brat.io.read import read_scan
from brat.model.reader import Reader

AT_ONCE = 4
"""Sessions that upload at the same moment."""

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


def drawn_files(reader: Reader) -> Iterator[tuple[tuple[str, str], np.ndarray]]:
    """Files whose reading the page shows, of each kind in turn, none twice: content, name, and the scan."""
    for number in itertools.count():
        kind = [*KINDS][number % len(KINDS)]
        data, name = as_file(number, kind), f"scan-{number}{KINDS[kind]}"
        gray = read_scan(data, name).gray
        ood = reader.read(gray).ood
        if ood is None or ood.in_distribution:
            yield (base64.b64encode(data).decode(), name), gray


def _load_what_stays(browser, address: str, files: list[tuple[str, str]]) -> None:
    """Open a page with a worklist and close it: what that needs is loaded once."""
    page = open_page(browser, address)
    dropped = [{"name": name, "mimeType": "", "buffer": base64.b64decode(content)} for content, name in files]
    page.locator("input[type=file]").first.set_input_files(dropped)
    page.evaluate("name => painted(() => isListed(name))", files[-1][1])
    page.context.close()


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
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="write what was found into docs/performance.md"
    )
    options = parser.parse_args(arguments)
    if MISSING:
        print(MISSING, file=sys.stderr)
        return 2
    from playwright.sync_api import Error as PlaywrightError

    reader, rng = Reader(), random.Random(50)
    files = drawn_files(reader)
    before = descendants(os.getpid())
    memory, times, wrong, late, uploads, lost, drops = [], [], 0, 0, 0, 0, 0
    with serve("app.py") as address:
        server = server_of(before)
        with chromium() as browser:
            _load_what_stays(browser, address, [next(files)[0], next(files)[0]])
            at_first = megabytes({server})
            pages = [open_page(browser, address) for _ in range(options.sessions)]
            opened: set = set()
            begun, minute, turns = time.monotonic(), itertools.count(1), itertools.count(1)
            print(f"{len(pages)} sessions, {megabytes(descendants(server)):.0f} MB", flush=True)
            due = next(minute)
            while (seconds := time.monotonic() - begun) < 60 * options.minutes:
                turn = {page: next(files) for page in rng.sample(pages, min(AT_ONCE, len(pages)))}
                opened |= {*turn}
                for page, (file, _) in turn.items():
                    page.evaluate("file => { window.uploading = upload(file); }", file)
                for page, (_, gray) in turn.items():
                    uploads += 1
                    try:
                        times.append(page.evaluate("window.uploading"))
                    # It was not painted in a minute.
                    except PlaywrightError:
                        late += 1
                    else:
                        wrong += not is_right(page.evaluate(SHOWN), gray, reader)
                if next(turns) % 5 == 0:
                    page, (first, _), (last, gray) = rng.choice(pages), next(files), next(files)
                    page.evaluate("file => { upload(file).catch(() => {}); }", first)
                    page.wait_for_timeout(100)
                    drops += 1
                    try:
                        page.evaluate("file => upload(file)", last)
                        # Where both came before the first was read, they are two scans for the worklist.
                        if page.url.endswith("/worklist"):
                            page.evaluate("name => painted(() => isListed(name))", first[1])
                        elif not is_right(page.evaluate(SHOWN), gray, reader):
                            raise PlaywrightError("another scan is shown")
                    except PlaywrightError as error:
                        lost += 1
                        what = page.evaluate("document.body.innerText").replace("\n", " | ")
                        print(f"{last[1]} after {first[1]}: {error.message}; {page.url}: {what}", flush=True)
                    if page.url.endswith("/worklist"):
                        page.goto(address)
                        page.evaluate("painted(isPage)")
                if seconds > 60 * due:
                    memory.append(megabytes({server}))
                    family = descendants(server)
                    print(
                        f"minute {due}: {uploads} uploads, {len(opened)} sessions with a scan, "
                        f"{memory[-1]:.0f} MB, and {megabytes(family - {server}):.0f} MB in "
                        f"{len(family) - 1} reading processes",
                        flush=True,
                    )
                    due = next(minute)
            memory.append(megabytes({server}))
        time.sleep(FREED)
        left, processes = megabytes({server}), len(descendants(server)) - 1
    settled = memory[len(memory) // 3]
    found = [
        f"{options.sessions} sessions, {uploads} uploads in {options.minutes:g} minutes on {CORES} cores "
        f"({machine()['processor']}): median {np.median(times):,.0f} ms, 95th percentile "
        f"{np.percentile(times, 95):,.0f} ms",
        f"{wrong} errors or scans of another session, {late} not answered in a minute",
        f"of {drops} files dropped 100 ms after another {lost} lost",
        f"memory of the server: {at_first:.0f} MB before the sessions, {settled:.0f} MB after the first "
        f"third, {memory[-1]:.0f} MB at the end, {left:.0f} MB {FREED} s after all had ended",
        f"reading processes then: {processes}",
    ]
    print("\n".join(found))
    if options.page:
        options.page.write_text(with_load(options.page.read_text(encoding="utf-8"), found), encoding="utf-8")
    return int(wrong > 0 or late > 0 or lost > 0 or memory[-1] > 1.2 * settled)


if __name__ == "__main__":
    sys.exit(main())
