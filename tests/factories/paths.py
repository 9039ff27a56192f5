"""Where the project lies."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The project's root, from which the app is started."""
