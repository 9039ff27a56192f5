"""What the figures were taken on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""That this process may use."""

_PACKAGES = (
    *("ai-edge-litert", "numpy", "opencv-python-headless", "pillow", "pydicom", "streamlit", "playwright"),
    *("tensorflow", "keras", "tf-keras-vis", "torch", "torchcam"),
)


def describe() -> dict[str, str]:
    """Name -> what is known of it, for people; take it before anything is measured."""
    from benchmarks.browser import CHROMIUM

    known = {"processor": f"{_processor()}, {CORES} cores", "system": platform.platform()}
    if hasattr(os, "getloadavg"):
        known["load before"] = f"{os.getloadavg()[0]:.1f} (0 is a machine with nothing else to do)"
    if CHROMIUM:
        version = subprocess.run([CHROMIUM, "--version"], capture_output=True, text=True, check=True).stdout
        known["browser"] = version.strip()
    known["python"] = platform.python_version()
    for package in _PACKAGES:
        try:
            known[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            known[package] = "not installed"
    return known


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (FileNotFoundError, StopIteration):
        return platform.processor() or platform.machine()
