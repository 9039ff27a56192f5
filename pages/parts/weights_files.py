"""The files beside the model: what was measured of it, its card, and what it is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import streamlit as st

from pages.words.weights_files import MISSING, damaged


@st.cache_data(show_spinner=False)
def _parsed(path: Path, modified: float) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def load(weights: Path, name: str) -> Any:
    """The content of a JSON file of the model's folder; None where there is none, or it is damaged."""
    path = weights / name
    try:
        return _parsed(path, path.stat().st_mtime) if path.exists() else None
    except ValueError:
        return None


def missing(weights: Path) -> list[str]:
    """A sentence for each file that the model's folder lacks, with what cannot be said or done without it.

    Of a file that is there, but cannot be read, it is a sentence of its own.
    """
    sentences = [sentence for name, sentence in MISSING.items() if not (weights / name).exists()]
    jsons = [name for name in MISSING if name.endswith(".json") and (weights / name).exists()]
    return sentences + [damaged(name) for name in jsons if load(weights, name) is None]
