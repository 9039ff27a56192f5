"""The app in a browser, beside a Streamlit page that only shows what was uploaded."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

from benchmarks.browser import chromium, missing, open_page, serve, upload
from benchmarks.measure import Aim, Measured, Row, interleaved

SCRIPTS = {"ours": "app.py", "echo": "benchmarks/echo.py"}
START = "App: server start to first page painted"
FIRST = "App: first 512 x 512 PNG dropped on a page to answer painted"
NEXT = "App: next 512 x 512 PNG dropped on a page to answer painted"
BESIDE = "a page that only echoes"
CONTROLS = {
    "opacity": (0.3, 0.6),
    "label": ("glioma", "meningioma", "pituitary", "no_tumor"),
    "threshold": (0.5, 0),
    "colours": ("Viridis", "Cividis", "Jet", "Inferno"),
}
"""Of the viewer, each with values to set it to in turn."""


def rows(short: bool) -> Iterator[Row]:
    if reason := missing():
        for what in (START, FIRST, NEXT):
            yield Row(what, None, missing=reason)
        return
    rounds = 2 if short else 7
    with chromium() as browser:
        functions = {name: lambda of=script: _first_page(browser, of) for name, script in SCRIPTS.items()}
        seconds = interleaved(rounds, "s", functions, warm_up=0 if short else 1)
        yield Row(START, seconds["ours"], BESIDE, seconds["echo"])
        with serve(SCRIPTS["ours"]) as ours, serve(SCRIPTS["echo"]) as echo:
            yield from _uploads(browser, {"ours": ours, "echo": echo}, rounds)
            yield from _controls(browser, ours, 3 * rounds)


def _first_page(browser, script: str) -> float:
    begun = time.perf_counter()
    with serve(script) as address:
        page = open_page(browser, address)
        seconds = time.perf_counter() - begun
        page.context.close()
    return seconds


def _uploads(browser, addresses: dict[str, str], rounds: int) -> Iterator[Row]:
    # No scan twice: the app keeps its readings.
    numbers = itertools.count()
    aims = (Aim("difference", 250),)

    def first(address: str) -> float:
        page = open_page(browser, address)
        milliseconds = upload(page, next(numbers))
        page.context.close()
        return milliseconds

    functions = {name: lambda address=address: first(address) for name, address in addresses.items()}
    measured = interleaved(rounds, "ms", functions)
    yield Row(FIRST, measured["ours"], BESIDE, measured["echo"], aims)

    pages = {name: open_page(browser, address) for name, address in addresses.items()}
    functions = {name: lambda page=page: upload(page, next(numbers)) for name, page in pages.items()}
    measured = interleaved(3 * rounds, "ms", functions)
    yield Row(NEXT, measured["ours"], BESIDE, measured["echo"], aims)
    for page in pages.values():
        page.context.close()


def _controls(browser, address: str, rounds: int) -> Iterator[Row]:
    page = open_page(browser, address)
    sent = []
    page.on("websocket", lambda socket: socket.on("framesent", sent.append))
    page.on("request", sent.append)
    # Reloaded, so that the connection is one that is listened to.
    page.reload()
    page.evaluate("painted(isPage)")
    upload(page, 10_000)
    page.wait_for_timeout(1_000)
    before = len(sent)
    for control, values in CONTROLS.items():
        turns = itertools.cycle(values)
        if page.evaluate("name => ui(name).value", control) == values[0]:
            next(turns)
        milliseconds = [
            page.evaluate("([name, value]) => change(name, value)", [control, next(turns)]) for _ in range(rounds)
        ]
        what = f"App: {'class' if control == 'label' else control} changed to overlay repainted"
        yield Row(what, Measured(tuple(milliseconds), "ms"), aims=(Aim("value", 50),))
    # Streamlit may hold a message back for a moment.
    page.wait_for_timeout(1_000)
    trips = Measured((len(sent) - before,), "trips")
    yield Row("App: trips to the server for all of these changes", trips, aims=(Aim("value", 0),))
    page.context.close()
