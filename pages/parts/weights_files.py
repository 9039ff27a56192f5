"""The files beside the model: what was measured of it, its card, and what it is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import streamlit as st

from pages.words.weights_files import MISSING


@st.cache_data(show_spinner=False)
def _parsed(path: Path, modified: float) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def load(weights: Path, name: str) -> Any:
    """The content of a JSON file of the model's folder; None where there is no such file."""
    path = weights / name
    return _parsed(path, path.stat().st_mtime) if path.exists() else None


def missing(weights: Path) -> list[str]:
    """A sentence for each file that the model's folder lacks, with what cannot be said or done without it."""
    return [sentence for name, sentence in MISSING.items() if not (weights / name).exists()]
