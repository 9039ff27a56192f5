"""A Streamlit server and a headless Chromium that times what it paints itself."""

from __future__ import annotations

import base64
import importlib.util
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.machine import ROOT
from benchmarks.slices import as_png, make_slice

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

# In every page. A frame has been painted when a message sent from its callback arrives.
_HELPERS = """
const frame = () => new Promise(requestAnimationFrame);
const message = () => new Promise((arrived) => {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = arrived;
  port2.postMessage(0);
});
const painted = async (isThere) => {
  do await frame(); while (!isThere());
  await message();
};
const find = (selector) => document.querySelector(selector);
const ui = (name) => find("[data-testid=stBidiComponentIsolated]")?.shadowRoot?.querySelector(`[data-ui=${name}]`);
const isPage = () =>
  find("[data-test-script-state=notRunning] input[type=file]") &&
  [...document.images].every((image) => image.complete);
const isEcho = (name) =>
  find("[data-testid=stImageCaption]")?.textContent === name && find("[data-testid=stImage] img")?.complete;
const isAnswer = (name) => find(".answer h2") && ui("canvas")?.ariaLabel?.startsWith(`${name} `);
const upload = async (data, name, start) => {
  const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name));
  const input = find("input[type=file]");
  await new Promise((due) => setTimeout(due, start - Date.now()));
  const begun = performance.now();
  input.files = transfer.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
  await painted(() => isAnswer(name) || isEcho(name));
  return performance.now() - begun;
};
const change = async (name, value) => {
  const control = ui(name);
  const picture = () => ui("canvas").toDataURL() + ui("canvas").ariaLabel;
  const before = picture();
  await frame();
  const begun = performance.now();
  control.value = value;
  for (const type of ["input", "change"]) control.dispatchEvent(new Event(type));
  await painted(() => true);
  const milliseconds = performance.now() - begun;
  if (picture() === before) throw new Error(`${name} ${value}: the picture has stayed as it was`);
  return milliseconds;
};
"""


def missing() -> str:
    """Why there is no browser here; empty where there is one."""
    if not importlib.util.find_spec("playwright"):
        return "playwright is not installed"
    return "" if CHROMIUM else "no Chromium is installed"


@contextmanager
def chromium() -> Iterator:
    """A Playwright browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"],
        )
        yield browser
        browser.close()


@contextmanager
def serve(script: str) -> Iterator[str]:
    """Start a Streamlit script, a path from the project's root; yields its address once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--server.headless=true", "--server.address=127.0.0.1", f"--server.port={port}"]
    server = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", script, *options],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(f"{address}/_stcore/health", server)
        yield address
    finally:
        server.terminate()
        server.wait()


def _wait_for(url: str, server: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except OSError:
            time.sleep(0.01)
    raise RuntimeError("the server does not answer")


def open_page(browser, address: str):
    """A page in a context of its own, which shares nothing with any other; back when it is painted."""
    page = browser.new_context(viewport={"width": 1280, "height": 1200}).new_page()
    page.set_default_timeout(120_000)
    page.add_init_script(_HELPERS)
    page.goto(address)
    page.evaluate("painted(isPage)")
    return page


def scan_file(number: int) -> tuple[str, str]:
    """A scan's bytes in base64, and its name."""
    return base64.b64encode(as_png(make_slice(number))).decode(), f"scan-{number}.png"


def upload(page, number: int) -> float:
    """Upload a scan; milliseconds until its answer (or its echo) is painted."""
    return page.evaluate("([data, name]) => upload(data, name, 0)", scan_file(number))
