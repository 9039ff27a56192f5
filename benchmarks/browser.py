"""A Streamlit server, and a headless Chromium that times what it paints itself."""

from __future__ import annotations

import base64
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import ROOT
from benchmarks.explanation import installed
from benchmarks.slices import as_file, make_slice

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MISSING = "" if installed("playwright") and CHROMIUM else "needs playwright and Chromium"

# In every page. A frame is painted when a message that its callback sent arrives.
_HELPERS = """
const frame = () => new Promise(requestAnimationFrame);
const painted = async (isThere) => {
  do await frame(); while (!isThere());
  await new Promise((arrived) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = arrived;
    port2.postMessage(0);
  });
};
const one = (selector) => document.querySelector(selector);
const ui = (name) =>
  one("[data-testid=stBidiComponentIsolated]")?.shadowRoot?.querySelector(`[data-ui=${name}]`);
const isPage = () =>
  one("[data-test-script-state=notRunning] input[type=file]") && [...document.images].every((i) => i.complete);
const isAnswer = (name) => one(".answer h2") && ui("canvas")?.ariaLabel?.startsWith(`${name} `);
const isEcho = (name) =>
  one("[data-testid=stImageCaption]")?.textContent === name && one("[data-testid=stImage] img")?.complete;
const upload = async ([data, name], start = 0) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))], name));
  await new Promise((due) => setTimeout(due, start - Date.now()));
  const begun = performance.now();
  one("input[type=file]").files = transfer.files;
  one("input[type=file]").dispatchEvent(new Event("change", { bubbles: true }));
  await painted(() => isAnswer(name) || isEcho(name));
  return performance.now() - begun;
};
const change = async (name) => {
  const control = ui(name);
  const picture = () => ui("canvas").toDataURL() + ui("canvas").ariaLabel;
  const before = picture();
  await frame();
  const begun = performance.now();
  if (control.options) control.selectedIndex = (control.selectedIndex + 1) % control.options.length;
  else control.value = control.value > 0.4 ? 0.2 : 0.6;
  for (const type of ["input", "change"]) control.dispatchEvent(new Event(type));
  await painted(() => true);
  const milliseconds = performance.now() - begun;
  if (picture() === before) throw new Error(`${name} was changed and the picture was not`);
  return milliseconds;
};
Object.assign(window, { painted, one, ui, isPage, upload, change });
"""


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
    options = ["--server.headless=true", "--server.address=127.0.0.1", f"--server.port={port}"]
    command = [sys.executable, "-m", "streamlit", "run", script, *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            while not _answers(f"http://127.0.0.1:{port}/_stcore/health"):
                if server.poll() is not None:
                    raise RuntimeError(f"{' '.join(command)} ended")
                time.sleep(0.01)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=1).close()
    except OSError:
        return False
    return True


def open_page(browser, address: str):
    """A painted page, in a context that shares nothing with another."""
    page = browser.new_context(viewport={"width": 1280, "height": 1200}).new_page()
    page.set_default_timeout(120_000)
    page.add_init_script(_HELPERS)
    page.goto(address)
    page.evaluate("painted(isPage)")
    return page


def scan_file(number: int) -> tuple[str, str]:
    """A scan's PNG in base64, and its name: what `upload` in the page takes."""
    return base64.b64encode(as_file(make_slice(number), "PNG")).decode(), f"scan-{number}.png"


def upload(page, number: int) -> float:
    """Upload a scan; milliseconds until its answer, or its echo, is painted."""
    return page.evaluate("scan => upload(scan)", scan_file(number))
