"""One reading on one page of PDF, for a record: by fpdf2, text as text, fonts embedded.

The fonts are those of the computer: DejaVu Sans (Debian's fonts-dejavu-core) has Latin, Greek, Cyrillic,
Hebrew and Arabic, WenQuanYi Micro Hei (fonts-wqy-microhei) has Chinese, Japanese and Korean. A character that
no font has becomes a question mark, and the page says so. uharfbuzz joins Arabic letters and orders text that
runs from right to left.
"""

from __future__ import annotations

import bisect
import importlib.metadata
import importlib.util
import os
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image

from brat.classes import CLASS_COLOURS, CLASS_NAMES
from brat.io.scan import Scan
from brat.model.calibration import DEFAULT_LEVEL
from brat.model.explain import colourise, overlay, why_unmarked
from brat.model.reader import REFER_FROM, Reading, is_alone_and_unsure
from brat.wording import ALONE_AND_UNSURE, percent

if TYPE_CHECKING:
    from fpdf import FPDF

_FOLDERS = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.local/share/fonts",
    "/System/Library/Fonts",
    "/Library/Fonts",
    "C:/Windows/Fonts",
)
_TEXT_FONTS = (
    ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"),
    ("NotoSans-Regular.ttf", "NotoSans-Bold.ttf"),
    ("LiberationSans-Regular.ttf", "LiberationSans-Bold.ttf"),
    ("Arial.ttf", "Arial Bold.ttf"),
    ("arial.ttf", "arialbd.ttf"),
)
"""Regular and bold, the best first."""

_OTHER_FONTS = (
    "DejaVuSans.ttf",
    "wqy-microhei.ttc",
    "DroidSansFallbackFull.ttf",
    "NotoSansCJK-Regular.ttc",
    "Lohit-Devanagari.ttf",
    "Arial Unicode.ttf",
    "msyh.ttc",
    "Nirmala.ttf",
)
"""For characters that the text's own font lacks."""

# Millimetres on A4.
LEFT, WIDTH = 15, 180
_PICTURE, _FOOT = 80, 262
_LINE = 5  # of the note
_LONGEST = 1000  # pixels of a picture, which is 80 mm wide
_MOST = 6_000  # characters of a paragraph; no page holds more

_LEFTWARD = ("R", "AL")
"""Unicode's bidirectional classes of Hebrew and of Arabic letters."""


def report(
    scan: Scan,
    reading: Reading,
    digest: str,
    metrics: Mapping[str, Any] | None,
    *,
    name: str = "",
    verdict: str = "",
    note: str = "",
    time: datetime | None = None,
) -> bytes:
    """A PDF of one A4 page.

    Args:
        scan: what was read. Its file's name is not printed: it is often the patient's.
        reading: of `scan.gray`.
        digest: SHA-256 of the model, from `brat.model.classifier.Classifier`.
        metrics: what `weights/metrics.json` holds; None where nothing was measured, which the page says.
        name: what to call the scan on the page, if anything.
        verdict: the clinician's, such as "disagrees, sees meningioma".
        note: in any language; where it is too long for the page, the page says that it goes on.
        time: of the reading; now by default.

    Raises:
        ModuleNotFoundError: fpdf2 is not installed.
    """
    time = time or datetime.now(UTC)
    page = new_document("Reading of a brain MRI slice", time)
    page.pdf.set_auto_page_break(False)
    _head(page, scan, name, time)
    _pictures(page, scan, reading)
    _answer(page, reading)
    _opinion(page, verdict, note)
    _foot(page, digest, metrics)
    return bytes(page.pdf.output())


def new_document(title: str, time: datetime) -> Page:
    """An empty A4 page, on which it is written from the top.

    Raises:
        ModuleNotFoundError: fpdf2 is not installed.
    """
    from fpdf import FPDF

    pdf = FPDF(format="A4")
    pdf.set_margins(LEFT, 12)
    pdf.c_margin = 0
    pdf.set_lang("en-GB")
    pdf.set_title(title)
    pdf.set_creation_date(time)
    pdf.add_page()
    return Page(pdf)


class Page:
    """A document of FPDF that writes any script, in fonts that it looks for as they are needed."""

    def __init__(self, pdf: FPDF):
        self.pdf = pdf
        installed = _installed()
        self.font = "helvetica"
        for regular, bold in _TEXT_FONTS:
            if regular in installed and bold in installed:
                self.font = "text"
                pdf.add_font("text", "", installed[regular])
                pdf.add_font("text", "B", installed[bold])
                break
        self._untried = [installed[file] for file in _OTHER_FONTS if file in installed]
        self._others: list[str] = []

    def printable(self, text: str) -> tuple[str, int]:
        """The text with a question mark for whatever no font has, and how many of these there are."""
        text = "".join(c for c in text.replace("\t", " ") if c == "\n" or unicodedata.category(c) != "Cc")
        lacking = {c for c in text if not self._has(c)}
        while lacking and self.font == "text" and self._untried:
            family = f"other{len(self._others)}"
            self.pdf.add_font(family, "", self._untried.pop(0))
            self._others.append(family)
            self.pdf.set_fallback_fonts(self._others, exact_match=False)
            lacking = {c for c in lacking if not self._has(c)}
        return "".join("?" if c in lacking else c for c in text), sum(c in lacking for c in text)

    def _has(self, character: str) -> bool:
        from fpdf.fonts import TTFFont

        if character.isspace() or unicodedata.category(character) == "Cf":
            return True
        if self.font != "text":
            return ord(character) < 256
        fonts = (self.pdf.fonts[family] for family in ("text", *self._others))
        return any(ord(character) in font.cmap for font in fonts if isinstance(font, TTFFont))

    def style(self, size: float, bold: bool = False, shade: int = 0) -> None:
        """Points; 0 is black, 255 is white."""
        self.pdf.set_font(self.font, "B" if bold else "", size)
        self.pdf.set_text_color(shade)

    def write(
        self, text: str, size: float = 10, bold: bool = False, shade: int = 0, indent: float = 0
    ) -> None:
        """A paragraph in the page's width, below what is there."""
        self.style(size, bold, shade)
        self.pdf.set_x(LEFT + indent)
        text, _ = self.printable(text)
        height = 0.47 * size
        self.pdf.multi_cell(WIDTH - indent, height, text, align="L", new_x="LMARGIN", new_y="NEXT")


@lru_cache(maxsize=1)
def _installed() -> dict[str, Path]:
    """File name -> path of the fonts of this computer."""
    fonts: dict[str, Path] = {}
    for folder in _FOLDERS:
        for place, _, files in os.walk(os.path.expanduser(folder)):
            fonts |= {file: Path(place) / file for file in files if file.lower().endswith((".ttf", ".ttc"))}
    return fonts


def _head(page: Page, scan: Scan, name: str, time: datetime) -> None:
    pdf = page.pdf
    page.write("Reading of a brain MRI slice", 17, bold=True)
    facts = [name] if name else []
    facts += [f"{scan.width} x {scan.height} pixels", scan.format, f"content {scan.digest[:12]}"]
    page.write(" · ".join([*facts, f"read {time:%d %B %Y, %H:%M %Z}".rstrip()]), 9, shade=70)
    if scan.remarks:
        page.write(" ".join(scan.remarks), 9, bold=True)
    pdf.ln(2)
    warn(page, "Not a medical device. No diagnosis or treatment may depend on this page.")


def warn(page: Page, sentence: str) -> None:
    """A sentence on a grey bar across the page."""
    pdf, top = page.pdf, page.pdf.get_y()
    pdf.set_fill_color(235)
    pdf.rect(LEFT, top, WIDTH, 8, style="F")
    pdf.set_y(top + 1.6)
    page.write(sentence, 10, True, indent=3)
    pdf.set_y(top + 12)


def _pictures(page: Page, scan: Scan, reading: Reading) -> None:
    pdf, label = page.pdf, reading.prediction.label
    scale = _PICTURE / max(scan.width, scan.height)
    width, height, top = scan.width * scale, scan.height * scale, pdf.get_y()
    second = LEFT + _PICTURE + 6
    pdf.image(_shrunk(scan.gray), LEFT, top, width, height, alt_text="The scan")
    if unmarked := why_unmarked(reading.prediction, reading.ood):
        page.style(8, shade=70)
        pdf.set_xy(second, top)
        pdf.multi_cell(LEFT + WIDTH - second, 4, unmarked, align="L")
        pdf.set_xy(LEFT, top + height + 1.5)
        pdf.cell(_PICTURE, 4, "The scan", new_x="LMARGIN", new_y="NEXT")
        pdf.ln(3)
        return
    marked = _shrunk(overlay(scan.gray, reading.prediction, reading.ood, reading.geometry))
    named = CLASS_NAMES[label].lower()
    pdf.image(marked, second, top, width, height, alt_text=f"The scan with its map of {named}")
    bar = second + width + 2
    colours = colourise(np.linspace(1, 0, 256)[:, np.newaxis])
    pdf.image(Image.fromarray(colours), bar, top, 3, height, alt_text="Colours of the map")
    page.style(8)
    for text, y in (("1", top), ("0", top + height - 3)):
        pdf.set_xy(bar + 4, y)
        pdf.cell(5, 3, text)
    pdf.set_xy(LEFT, top + height + 1.5)
    page.style(8, shade=70)
    pdf.cell(_PICTURE, 4, "The scan")
    pdf.set_xy(second, top + height + 1.5)
    caption = f"Grad-CAM: what speaks for {named}, from 0 (nothing) to 1 (the most in this scan)"
    pdf.multi_cell(LEFT + WIDTH - second, 4, caption, align="L", new_x="LMARGIN", new_y="NEXT")
    pdf.ln(3)


def _shrunk(picture: np.ndarray) -> Image.Image:
    scale = _LONGEST / max(picture.shape[:2])
    if scale < 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return Image.fromarray(picture)


def _answer(page: Page, reading: Reading) -> None:
    pdf, prediction = page.pdf, reading.prediction
    if reading.ood is not None and not reading.ood.in_distribution:
        page.write(
            f"Not a slice like those that the model knows. {reading.ood.reason}",
            11,
            bold=True,
        )
        page.write("The model can only give one of its four answers, whatever the picture shows.")
        pdf.ln(1)
    top = pdf.get_y()
    pdf.set_fill_color(CLASS_COLOURS[prediction.label])
    pdf.rect(LEFT, top, 2, 9, style="F")
    pdf.set_y(top + 0.5)
    answer = f"{CLASS_NAMES[prediction.label]}, {percent(prediction.confidence)}"
    page.write(answer, 17, bold=True, indent=5)
    pdf.set_y(top + 11)
    for label, probability in prediction.by_class().items():
        top = pdf.get_y()
        page.style(10)
        pdf.cell(35, 6, CLASS_NAMES[label])
        pdf.set_fill_color(CLASS_COLOURS[label])
        pdf.rect(LEFT + 36, top + 1, max(120 * probability, 0.5), 4, style="F")
        pdf.set_xy(LEFT + 160, top)
        pdf.cell(20, 6, percent(probability), align="R", new_x="LMARGIN", new_y="NEXT")
    pdf.ln(1)
    if DEFAULT_LEVEL in reading.sets:
        classes = reading.sets[DEFAULT_LEVEL]
        names = " or ".join(CLASS_NAMES[name].lower() for name in classes) or "no class"
        refer = not classes or len(classes) >= REFER_FROM
        page.write(
            f"{percent(DEFAULT_LEVEL)} set: {names}."
            + (" Too uncertain to name a class: refer this scan to a specialist." if refer else "")
            + (f" {ALONE_AND_UNSURE}" if is_alone_and_unsure(classes, prediction.confidence) else "")
        )
    else:
        page.write("The probabilities of this model are not calibrated, and it has no prediction sets.")
    if reading.ood is None:
        page.write("Whether the model knows scans like this one was not checked: this model cannot.")
    else:
        page.write(f"Unlikeness to the slices that the model knows: {reading.ood.score:.2f}, limit 1.")
    if reading.site:
        page.write(f"Probabilities, sets and limit: {reading.site}.")
    pdf.ln(2)


def _opinion(page: Page, verdict: str, note: str) -> None:
    pdf = page.pdf
    if verdict:
        page.write(f"Verdict of the clinician: {verdict}", 10, bold=True)
    if not note.strip():
        return
    page.write("Note", 10, bold=True)
    text, lacking = page.printable(note.strip())
    shaped = importlib.util.find_spec("uharfbuzz") is not None and page.font == "text"
    page.style(10)
    paragraphs, fits = text.split("\n"), True
    while paragraphs and fits:
        paragraph = paragraphs.pop(0)[:_MOST] or " "
        leftward = _first_direction(paragraph) in _LEFTWARD
        if shaped:
            pdf.set_text_shaping(True, direction="rtl" if leftward else "ltr")
        room = int((_FOOT - 8 - pdf.get_y()) / _LINE)
        fits = _lines(pdf, paragraph) <= room
        if not fits:
            more = bisect.bisect_right(range(len(paragraph)), room, key=lambda n: _lines(pdf, paragraph[:n]))
            paragraph = paragraph[: max(more - 1, 0)]
        if fits or room > 0:
            align = "R" if leftward else "L"
            pdf.multi_cell(WIDTH, _LINE, paragraph, align=align, new_x="LMARGIN", new_y="NEXT")
    pdf.set_text_shaping(False)
    remarks = []
    if not fits:
        remarks.append("The note goes on; the rest does not fit on this page.")
    if lacking:
        remarks.append(f"No font of this computer has {lacking} of its characters: each is printed as '?'.")
    if not shaped and any(unicodedata.bidirectional(c) in _LEFTWARD for c in text):
        remarks.append("Without uharfbuzz, what runs from right to left is not printed rightly.")
    if remarks:
        page.write(" ".join(remarks), 8, shade=70)


def _lines(pdf: FPDF, text: str) -> int:
    lines = pdf.multi_cell(WIDTH, _LINE, text, align="L", dry_run=True, output="LINES")
    assert isinstance(lines, list)
    return len(lines)


def _first_direction(text: str) -> str:
    """The Unicode class of the first letter, which decides how a paragraph runs (UAX 9, rules P2 and P3)."""
    return next((unicodedata.bidirectional(c) for c in text if c.isalpha()), "L")


def _foot(page: Page, digest: str, metrics: Mapping[str, Any] | None) -> None:
    pdf = page.pdf
    pdf.set_draw_color(160)
    pdf.line(LEFT, _FOOT, LEFT + WIDTH, _FOOT)
    pdf.set_y(_FOOT + 2)
    version = importlib.metadata.version("bratum-scans")
    page.write(f"BraTum Scans {version}, MobileNetV2, model {digest[:12]}", 8, shade=70)
    if metrics is None:
        page.write("How often this model is right was not measured.", 8, shade=70)
        return
    measured = metrics["protocols"]["four_classes"]
    accuracy = measured["metrics"]["accuracy"]
    page.write(
        f"Right in {100 * accuracy['value']:.1f} % (95 % interval {100 * accuracy['low']:.1f} to "
        f"{100 * accuracy['high']:.1f}) of {measured['slices']:,} slices of public collections in "
        f"{len(metrics['folds'])}-fold cross-validation, each read by a model that had seen neither its "
        f"patient, where known, nor near-duplicates of it; measured {metrics['written'][:10]}. Other "
        "hospitals may differ.",
        8,
        shade=70,
    )
