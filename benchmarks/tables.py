"""Rows as a table and as a page, and facts about the machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.browser import CHROMIUM
from benchmarks.measure import AIMS, Row, figure
from brat.environment import CORES

_HEADER = ("measurement", "ours", "beside", "theirs", "ratio", "aim", "met")
_PACKAGES = (
    *("ai-edge-litert", "numpy", "opencv-python-headless", "pillow", "pydicom", "streamlit", "playwright"),
    *("tensorflow", "keras", "tf-keras-vis", "torch", "torchcam"),
)

_ABOUT = """# Performance

`python -m benchmarks --page docs/performance.md` writes this page, in less than ten minutes on two cores.
Figures are medians; the quartiles and the number of measurements follow in brackets. Ours and theirs were
measured in turn, in the same run, so a busy moment of the machine met both. The ratio is ours to theirs or,
where the aim is to be faster, theirs to ours. CI runs `python -m benchmarks --short`. It fails if a ratio is
worse than its aim by half, and never because of a time.
"""


def machine() -> dict[str, str]:
    """Facts about the machine, name -> value. Call it before anything is measured: it holds the load."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    facts = {
        "processor": next(
            (x.split(": ")[1] for x in lines if x.startswith("model name")), platform.processor()
        ),
        "cores": str(CORES),
        "system": platform.platform(),
        "load before (0: nothing else runs)": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
    }
    if CHROMIUM:
        answer = subprocess.run([CHROMIUM, "--version"], capture_output=True, text=True, check=True)
        facts["browser"] = answer.stdout.strip()
    versions = {package.name: package.version for package in importlib.metadata.distributions()}
    return facts | {name: versions.get(name, "not installed") for name in _PACKAGES}


def table(rows: list[Row]) -> str:
    """Markdown whose columns also line up in a terminal."""
    cells = [_HEADER, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, tuple("-" * width for width in widths))
    return "".join("| " + " | ".join(map(str.ljust, line, widths)) + " |\n" for line in cells)


def _cells(row: Row) -> tuple[str, ...]:
    unit = row.ours.unit if row.ours else ""
    ratio = row.value("speed" if "speed" in row.aims else "times")
    return (
        row.title,
        str(row.ours or row.missing),
        row.beside,
        str(row.theirs or (row.missing if row.beside else "")),
        "" if ratio is None else figure(ratio),
        ", ".join(AIMS[aim][2].format(figure(limit), unit=unit) for aim, limit in row.aims.items()),
        {True: "yes", False: "no", None: ""}[row.met],
    )


def page(sections: Mapping[str, list[Row]], facts: Mapping[str, str]) -> str:
    """`docs/performance.md`.

    Args:
        sections: the docstring of a benchmark -> its rows.
        facts: about the machine.
    """
    parts = [_ABOUT]
    for about, rows in sections.items():
        title, _, text = about.partition("\n")
        paragraphs = f"{text.strip()}\n\n" if text.strip() else ""
        parts.append(f"\n## {title.rstrip('.')}\n{paragraphs}{table(rows)}")
    parts.append(f"\n## The machine, {datetime.now(UTC):%Y-%m-%d}\n")
    return "".join(parts) + "".join(f"- {name}: {fact}\n" for name, fact in facts.items())


_UNDER_LOAD = "\n## Under load"


def under_load(text: str) -> str:
    """`docs/performance.md` -> the section of it that `benchmarks.soak` writes; empty where there is none."""
    begin = text.find(_UNDER_LOAD)
    if begin < 0:
        return ""
    end = text.find("\n## ", begin + 1)
    return text[begin:] if end < 0 else text[begin:end]


def with_load(text: str, lines: list[str]) -> str:
    """`docs/performance.md` with what a soak found in place of what one found before.

    Args:
        lines: what it found.
    """
    listed = "".join(f"- {line}\n" for line in lines)
    section = (
        f"{_UNDER_LOAD}, {datetime.now(UTC):%Y-%m-%d}\n"
        "`python -m benchmarks.soak --page docs/performance.md` writes this section.\n\n" + listed
    )
    return text.replace(under_load(text), "") + section
