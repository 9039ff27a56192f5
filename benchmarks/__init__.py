"""Speed of BraTum Scans, beside references measured in the same run: `python -m benchmarks`."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
