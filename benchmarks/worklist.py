"""A worklist of 500 files: how fast it is read, and how fast the page responds."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.browser import MISSING, chromium, open_page, serve
from benchmarks.measure import Measured, Row, stopwatch
from benchmarks.reading import bare_invoke
from benchmarks.slices import as_file
from brat.environment import CORES
from brat.io.files import File
from brat.io.intake import group_into_series
from brat.model.pool import Readers
from brat.model.worklist import Worklist

KINDS = {"PNG": ".png", "JPEG": ".jpg"}
SMOOTH = 500
"""Milliseconds."""


def rows(short: bool) -> Iterator[Row]:
    count = 100 if short else 500
    files = scan_files(count)
    invoke = stopwatch(bare_invoke(threads=1))
    readers, rates, floor = Readers(), [], []
    for _ in range(1 if short else 3):
        rates.append(count / read(files, readers))
        floor += [CORES * 1000 / invoke() for _ in range(50)]
    title = f"Worklist: {count} files of 512 x 512 pixels read in the background"
    ours, theirs = Measured(tuple(rates), "scans/s"), Measured(tuple(floor), "scans/s")
    yield Row(title, ours, f"{CORES} cores x bare invoke, threads: 1", theirs)
    if MISSING:
        yield Row(f"Worklist of {count} rows in a browser", None, missing=MISSING)
        return
    with chromium() as browser, serve("app.py") as address:
        page = open_worklist(browser, address, files)
        for name, times in response_times(page, count, 2 if short else 7).items():
            yield Row(f"Worklist of {count} rows: {name}", Measured(times, "ms"), aims={"value": SMOOTH})
        page.context.close()


def scan_files(count: int) -> list[File]:
    """`count` files, with 24 different scans in them."""
    kinds = list(KINDS)
    contents = [as_file(number, kinds[number % 2]) for number in range(min(24, count))]
    return [File(f"{n:05}{KINDS[kinds[n % 2]]}", contents[n % 24]) for n in range(count)]


def read(files: list[File], readers: Readers) -> float:
    """Seconds until every file is read."""
    with ThreadPoolExecutor(CORES) as pool:
        work = Worklist(readers, pool)
        begun = time.perf_counter()
        work.add(lambda: group_into_series(files))
        work.wait()
        seconds = time.perf_counter() - begun
    if problems := [row.problem for row in work.rows() if row.problem]:
        raise RuntimeError(problems[0])
    return seconds


def open_worklist(browser, address: str, files: list[File]):
    """A page with a list of these files, all of them read."""
    page = open_page(browser, address)
    page.get_by_role("link", name="Worklist").click()
    page.get_by_role("heading", name="Worklist").wait_for()
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / file.name for file in files]
        for path, file in zip(paths, files, strict=True):
            path.write_bytes(file.source)
        page.locator("input[type=file]").first.set_input_files(paths)
        _wait_for_count(page, len(files), len(files))
    return page


def response_times(page, count: int, rounds: int) -> dict[str, tuple[float, ...]]:
    """Milliseconds from an action on the page until its result is visible, by action."""
    times = {
        "search to table": [],
        "a row's box to its answer": [],
        "next by key": [],
        "back to the list": [],
    }
    search = page.get_by_label("Search", exact=True).first

    def look_for(words: str, matches: int) -> None:
        search.fill(words)
        search.press("Enter")
        _wait_for_count(page, matches, count)

    def open_row() -> None:
        page.get_by_test_id("stDataFrame").first.click(position={"x": 15, "y": 70})
        page.get_by_text(f"1 of {count}", exact=True).wait_for()
        page.locator(".answer h2, [data-testid=stAlert]").first.wait_for()

    def go_on() -> None:
        page.keyboard.press("n")
        page.get_by_text(f"2 of {count}", exact=True).wait_for()

    def back() -> None:
        page.get_by_role("button", name="Worklist").click()
        _wait_for_count(page, count, count)

    for _ in range(rounds):
        times["search to table"].append(stopwatch(look_for, "00007", 1)())
        look_for("", count)
        for name, action in (("a row's box to its answer", open_row), ("next by key", go_on)):
            # Until the page is at rest.
            page.wait_for_timeout(1_000)
            times[name].append(stopwatch(action)())
        times["back to the list"].append(stopwatch(back)())
    return {name: tuple(values) for name, values in times.items()}


def _wait_for_count(page, matches: int, count: int) -> None:
    page.get_by_text(re.compile(f"^{matches} of {count} shown")).wait_for()
