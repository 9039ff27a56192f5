"""Sixteen sessions that upload at the same moment, beside one alone."""

from __future__ import annotations

import base64
import io
import itertools
import time
from collections.abc import Iterator
from statistics import quantiles

import numpy as np
from PIL import Image

from benchmarks.browser import chromium, missing, open_page, scan_file, serve, upload
from benchmarks.machine import CORES
from benchmarks.measure import Aim, Measured, Row
from benchmarks.slices import make_slice
from brat import CLASS_NAMES
from brat.classifier import Classifier
from brat.figures import percent
from brat.preprocess import prepare

# What a page shows: the answer, the scan under the map, and how many errors.
_SHOWN = """[
  find(".answer h2").textContent,
  ui("plain").src,
  document.querySelectorAll("[data-testid=stException], [data-testid=stAlert]").length,
]"""


def rows(short: bool, sessions: int = 16) -> Iterator[Row]:
    what = f"App: {sessions} sessions upload at once on {CORES} cores, 95th percentile"
    if reason := missing():
        yield Row(what, None, missing=reason)
        return
    classifier = Classifier()
    numbers = itertools.count()
    alone, slowest, wrong, errors = [], [], 0, 0
    with chromium() as browser, serve("app.py") as address:
        pages = [open_page(browser, address) for _ in range(sessions)]
        upload(pages[0], next(numbers))
        for _ in range(1 if short else 5):
            alone += [upload(pages[0], next(numbers)) for _ in range(3)]
            scans = [next(numbers) for _ in pages]
            times = _upload_at_once(pages, scans)
            slowest.append(quantiles(times, n=20, method="inclusive")[-1])
            for page, number in zip(pages, scans, strict=True):
                answer, picture, failures = page.evaluate(_SHOWN)
                wrong += not _is_of(number, answer, picture, classifier)
                errors += failures
    one = Measured(tuple(alone), "ms")
    yield Row(what, Measured(tuple(slowest), "ms"), "one session alone", one, (Aim("ratio", 1.5 * sessions),))
    yield Row("The same: errors shown", Measured((errors,), "errors"), aims=(Aim("value", 0),))
    what = "The same: a reading or a picture in the wrong session"
    yield Row(what, Measured((wrong,), "times"), aims=(Aim("value", 0),))


def _upload_at_once(pages: list, scans: list[int]) -> list[float]:
    """Milliseconds until each page has painted the answer to its own scan."""
    # By the clock that all pages read, once every page has its file.
    start = 1000 * time.time() + 100 * len(pages)
    for page, number in zip(pages, scans, strict=True):
        begin = "([data, name, start]) => { window.uploading = upload(data, name, start); }"
        page.evaluate(begin, [*scan_file(number), start])
    return [page.evaluate("window.uploading") for page in pages]


def _is_of(number: int, answer: str, picture: str, classifier: Classifier) -> bool:
    """Whether answer and picture, a data URL, are those of a scan."""
    gray = make_slice(number)
    prediction = classifier.predict(prepare(gray)[0])
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2]))))
    expected = CLASS_NAMES[prediction.label] + percent(prediction.confidence)
    return answer == expected and np.array_equal(shown, gray)
