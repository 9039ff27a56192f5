"""A Streamlit server, and a headless Chromium that times its own painting (`browser.js`)."""

from __future__ import annotations

import base64
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks import ROOT
from benchmarks.measure import installed
from benchmarks.slices import as_file, make_slice
from brat.model.reader import Reader

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MISSING = "" if installed("playwright") and CHROMIUM else "needs playwright and Chromium"


@contextmanager
def chromium() -> Iterator:
    """A Playwright browser."""
    from playwright.sync_api import sync_playwright

    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@contextmanager
def serve(script: str) -> Iterator[str]:
    """Run a Streamlit script, a path from the project's root; yields its address once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    options = ["--server.headless=true", "--server.address=127.0.0.1", f"--server.port={port}"]
    command = [sys.executable, "-m", "streamlit", "run", script, *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            while server.poll() is None:
                with suppress(OSError), urllib.request.urlopen(f"{address}/_stcore/health", timeout=1):
                    break
                time.sleep(0.01)
            else:
                raise RuntimeError(f"{' '.join(command)} ended")
            yield address
        finally:
            server.terminate()


def open_page(browser, address: str):
    """A painted page in a browser context of its own."""
    page = browser.new_context(viewport={"width": 1280, "height": 1200}).new_page()
    page.set_default_timeout(120_000)
    page.add_init_script(path=Path(__file__).with_name("browser.js"))
    page.goto(address)
    page.evaluate("painted(isPage)")
    return page


def shown_slices(reader: Reader) -> Iterator[int]:
    """Numbers of slices whose reading the page shows, none twice, because the page caches readings."""
    for number in range(10_000):
        result = reader.read(make_slice(number)).ood
        if result is None or result.in_distribution:
            yield number


def scan_file(number: int) -> tuple[str, str]:
    """A scan as PNG in base64, and its name: the arguments of `upload` in the page."""
    return base64.b64encode(as_file(number, "PNG")).decode(), f"scan-{number}.png"


def upload(page, number: int) -> float:
    """Upload a scan; milliseconds until its answer, or its echo, is painted."""
    return page.evaluate("scan => upload(scan)", scan_file(number))
