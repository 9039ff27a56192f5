"""How fast BraTum Scans is, each figure beside another taken in the same run: `python -m benchmarks`."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""That this process may use."""

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
