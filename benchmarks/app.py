"""The app in a browser, beside a Streamlit page that only shows the uploaded file."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

from benchmarks.browser import MISSING, chromium, open_page, serve, shown_slices, upload
from benchmarks.measure import Measured, Row, interleaved
from benchmarks.series import nifti_file
from brat.model.reader import Reader

SCRIPTS = {"ours": "app.py", "echo": "benchmarks/echo.py"}
SLICES = 12
BESIDE = "a page that only echoes"
# The class comes last: the map of another class may be empty, and then no other change would be visible.
CONTROLS = {"opacity": "opacity", "threshold": "threshold", "colours": "colour map", "label": "class"}


def rows(short: bool) -> Iterator[Row]:
    if MISSING:
        yield Row("App", None, missing=MISSING)
        return
    rounds = 2 if short else 7
    with chromium() as browser:
        functions = {
            name: lambda script=script: first_page(browser, script) for name, script in SCRIPTS.items()
        }
        seconds = interleaved(rounds, "s", functions, warm_up=not short)
        yield Row("App: server start to first page painted", seconds["ours"], BESIDE, seconds["echo"])
        with serve(SCRIPTS["ours"]) as ours, serve(SCRIPTS["echo"]) as echo:
            numbers = shown_slices(Reader())
            yield from _uploads(browser, {"ours": ours, "echo": echo}, numbers, rounds)
            yield from _controls(browser, ours, next(numbers), 3 * rounds)
            yield from _slices(browser, ours, 3 * rounds)


def first_page(browser, script: str) -> float:
    begun = time.perf_counter()
    with serve(script) as address:
        page = open_page(browser, address)
        seconds = time.perf_counter() - begun
        page.context.close()
    return seconds


def _uploads(browser, addresses: dict[str, str], numbers: Iterator[int], rounds: int) -> Iterator[Row]:
    def first(address: str) -> float:
        page = open_page(browser, address)
        milliseconds = upload(page, next(numbers))
        page.context.close()
        return milliseconds

    pages = {name: open_page(browser, address) for name, address in addresses.items()}
    firsts = {name: lambda at=address: first(at) for name, address in addresses.items()}
    nexts = {name: lambda on=page: upload(on, next(numbers)) for name, page in pages.items()}
    for which, times, functions in (("first", rounds, firsts), ("next", 3 * rounds, nexts)):
        measured = interleaved(times, "ms", functions)
        title = f"App: {which} 512 x 512 PNG dropped on a page to answer painted"
        yield Row(title, measured["ours"], BESIDE, measured["echo"], {"more": 250})
    for page in pages.values():
        page.context.close()


def _controls(browser, address: str, number: int, rounds: int) -> Iterator[Row]:
    page = open_page(browser, address)
    sent = Counter()
    page.on("request", lambda _: sent.update(["request"]))
    page.on("websocket", lambda socket: socket.on("framesent", lambda _: sent.update(["message"])))
    # Load it again, so that the listeners see the connection.
    page.reload()
    page.evaluate("painted(isPage)")
    upload(page, number)
    page.wait_for_timeout(1_000)
    if not (sent["request"] and sent["message"]):
        raise RuntimeError("the messages of the page are not seen")
    sent.clear()
    for control, name in CONTROLS.items():
        times = tuple(page.evaluate("name => change(name)", control) for _ in range(rounds))
        yield Row(f"App: {name} changed to overlay repainted", Measured(times, "ms"), aims={"value": 50})
    # Streamlit may hold a message back for a moment.
    page.wait_for_timeout(1_000)
    trips = Measured((sent.total(),), "trips")
    yield Row("App: trips to the server for all these changes", trips, aims={"value": 0})
    page.context.close()


def _slices(browser, address: str, rounds: int) -> Iterator[Row]:
    page = open_page(browser, address)
    file = nifti_file(SLICES)
    dropped = {"name": file.name, "mimeType": "application/octet-stream", "buffer": file.source}
    page.locator("input[type=file]").first.set_input_files(dropped)
    page.get_by_role("slider", name="Slice").wait_for()
    times = tuple(page.evaluate("turn()") for _ in range(rounds))
    yield Row(
        "App: next slice of a series asked for to slice painted", Measured(times, "ms"), aims={"value": 50}
    )
    page.context.close()
