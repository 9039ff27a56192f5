"""Sixteen sessions that upload at the same moment, beside one alone."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterator

import numpy as np
from PIL import Image

from benchmarks.browser import MISSING, chromium, open_page, scan_file, serve, shown_slices, upload
from benchmarks.measure import Measured, Row
from benchmarks.slices import make_slice
from brat.classes import CLASS_NAMES
from brat.environment import CORES
from brat.model.reader import Reader
from brat.wording import percent

# The answer, the scan under the map, and how many errors a page shows: a remark on a scan, which is a warning
# with an icon of its own, is none.
SHOWN = """[one(".answer h2").textContent, ui("plain").toDataURL(), [...document.querySelectorAll(
  "[data-testid=stException], [data-testid=stAlertContentError], [data-testid=stAlertContentWarning]"
)].filter(
  (alert) => alert.querySelector("[data-testid=stAlertDynamicIcon]")?.textContent !== "info"
).length]"""


def rows(short: bool, sessions: int = 16) -> Iterator[Row]:
    title = f"App: {sessions} sessions upload at once, cores: {CORES}, 95th percentile"
    if MISSING:
        yield Row(title, None, missing=MISSING)
        return
    reader = Reader()
    numbers = shown_slices(reader)
    alone, slowest, wrong = [], [], 0
    with chromium() as browser, serve("app.py") as address:
        pages = [open_page(browser, address) for _ in range(sessions)]
        upload(pages[0], next(numbers))
        for _ in range(1 if short else 4):
            alone += [upload(pages[0], next(numbers)) for _ in range(3)]
            scans = {next(numbers): page for page in pages}
            # A time on the clock that all pages share, when every page has its file.
            start = 1000 * time.time() + 100 * sessions
            for number, page in scans.items():
                begin = "([scan, start]) => { window.uploading = upload(scan, start); }"
                page.evaluate(begin, [scan_file(number), start])
            times = [page.evaluate("window.uploading") for page in pages]
            slowest.append(float(np.percentile(times, 95)))
            wrong += sum(
                not is_right(page.evaluate(SHOWN), make_slice(number), reader)
                for number, page in scans.items()
            )
    ours, theirs = Measured(tuple(slowest), "ms"), Measured(tuple(alone), "ms")
    yield Row(title, ours, "one session alone", theirs, {"times": 1.5 * sessions})
    title = "The same: errors, and readings or pictures of another session"
    yield Row(title, Measured((wrong,), "sessions"), aims={"value": 0})


def is_right(shown: tuple[str, str, int], gray: np.ndarray, reader: Reader) -> bool:
    """Whether a page shows a scan, uint8 (height, width), its answer, and no error."""
    answer, picture, errors = shown
    prediction = reader.read(gray).prediction
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2]))).convert("L"))
    expected = CLASS_NAMES[prediction.label] + percent(prediction.confidence)
    return not errors and answer == expected and np.array_equal(pixels, gray)
