"""Where the model lies, and how many cores there are to use."""

import os
from pathlib import Path

WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
"""The model that ships with the project."""

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""That this process may use; in a container they may be fewer than the machine has."""
