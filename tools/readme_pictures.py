"""The pictures at the top of the README: the Review page, still and in ten seconds of use.

`python -m tools.readme_pictures --out docs` writes both again, after every new model; it needs Chromium.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.browser import MISSING, chromium, serve
from brat.io.read import read_scan
from brat.io.samples import Sample, load_sample_series, load_samples
from brat.model.reader import Reader

SECONDS = 10
LARGEST = 3_000_000
"""Bytes of the moving picture."""

_SCREEN = {"width": 1280, "height": 720}
_WIDTH = 960
_PATIENCE = 180_000
"""Milliseconds for one step, on a busy computer."""

# The picture of the viewer changes with the next frame that the browser draws.
_DRAWN = "() => new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))"

Frame = tuple[Image.Image, int]
"""A picture, and for how long it is seen, in milliseconds of the whole."""


def surest(samples: Sequence[Sample], reader: Reader) -> Sample:
    """Of the samples with a tumour that are read rightly, the one with the highest probability."""
    shares = {}
    for sample in samples:
        prediction = reader.read(read_scan(sample.file).gray).prediction
        if sample.label == prediction.label != "no_tumor":
            shares[sample.name] = prediction.confidence
    return next(sample for sample in samples if sample.name == max(shares, key=shares.__getitem__))


def _taken(page: Any) -> Image.Image:
    page.evaluate(_DRAWN)
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def _press(page: Any, place: Any, key: str, times: int, milliseconds: int) -> Iterator[Frame]:
    """Press a key again and again, with a picture after each time."""
    place.focus()
    for _ in range(times):
        page.keyboard.press(key)
        yield _taken(page), milliseconds


def _rest(page: Any) -> None:
    """Wait until the viewer stands, and nothing moves any more."""
    page.wait_for_selector(".viewer:not([inert])")
    page.wait_for_selector("[data-test-script-state=notRunning]")
    page.wait_for_timeout(1500)


def scenes(page: Any, sample: Sample, series: Sample) -> Iterator[Frame]:
    """One sample and one series, as a visitor looks through them."""
    page.get_by_role("button", name=series.title, exact=True).wait_for()
    page.wait_for_timeout(1500)
    yield _taken(page), 900
    page.get_by_role("button", name=sample.title, exact=True).click()
    page.locator(".answer h2").wait_for()
    _rest(page)
    yield _taken(page), 1500
    opacity = page.get_by_role("slider", name="Opacity")
    for share in (0.7, 0.8, 0.9, 1.0, 0.8, 0.6, 0.4, 0.2, 0.0, 0.2, 0.4, 0.6):
        opacity.fill(str(share))
        yield _taken(page), 80
    stage = page.locator(".stage")
    stage.focus()
    page.keyboard.press("c")
    yield _taken(page), 400
    divider = page.locator("[data-ui=divider]")
    for key, times in (("ArrowLeft", 10), ("ArrowRight", 20), ("ArrowLeft", 10)):
        yield from _press(page, divider, key, times, 40)
    stage.focus()
    page.keyboard.press("c")
    page.keyboard.press("m")
    page.get_by_role("switch", name="CLAHE").check()
    yield _taken(page), 400
    yield from _press(page, page.get_by_role("slider", name="Clip limit of CLAHE"), "ArrowRight", 8, 80)
    page.get_by_role("switch", name="CLAHE").uncheck()
    page.get_by_test_id("stPopover").filter(has_text="Samples").get_by_role("button").click()
    page.locator(".st-key-samples").get_by_role("button", name=series.title, exact=True).click()
    page.locator("[data-ui=where]").wait_for()
    _rest(page)
    yield _taken(page), 600
    for key in ("ArrowDown", "ArrowUp", "ArrowDown"):
        yield from _press(page, stage, key, 6, 130)


def to_length(frames: Sequence[Frame], seconds: float) -> list[int]:
    """For how long each picture is seen, in milliseconds, so that all of them take so many seconds.

    The last one takes what rounding leaves.
    """
    whole = sum(milliseconds for _, milliseconds in frames)
    lengths = [round(1000 * seconds * milliseconds / whole) for _, milliseconds in frames]
    lengths[-1] += round(1000 * seconds) - sum(lengths)
    return lengths


def as_webp(frames: Sequence[Frame]) -> bytes:
    """An animated WebP file.

    Raises:
        RuntimeError: it is larger than `LARGEST`.
    """
    height = round(_WIDTH * frames[0][0].height / frames[0][0].width)
    first, *others = (image.resize((_WIDTH, height), Image.Resampling.LANCZOS) for image, _ in frames)
    file = io.BytesIO()
    first.save(
        file,
        "WEBP",
        save_all=True,
        append_images=others,
        duration=to_length(frames, SECONDS),
        loop=0,
        quality=70,
    )
    if file.tell() > LARGEST:
        raise RuntimeError(f"The moving picture takes {file.tell():,} bytes, more than {LARGEST:,}.")
    return file.getvalue()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.readme_pictures", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for review.png and review.webp")
    options = parser.parse_args(arguments)
    if MISSING:
        parser.error(MISSING)
    sample, (series, *_) = surest(load_samples(), Reader()), load_sample_series()
    with serve("app.py") as address, chromium() as browser:
        page = browser.new_page(viewport=_SCREEN, color_scheme="dark")
        page.set_default_timeout(_PATIENCE)
        page.goto(address)
        frames = list(scenes(page, sample, series))
    # The answer, as it is first seen.
    frames[1][0].save(options.out / "review.png", optimize=True)
    moving = as_webp(frames)
    (options.out / "review.webp").write_bytes(moving)
    print(f"{sample.title}; {len(frames)} pictures in {SECONDS} seconds, {len(moving):,} bytes.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
