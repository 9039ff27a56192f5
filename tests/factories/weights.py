"""Folders of models, made of the files that ship."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from brat.environment import WEIGHTS
from brat.model.files import CALIBRATION, DETECTOR, MODEL, write_manifest

READ_WITH = (MODEL, CALIBRATION, DETECTOR)
"""The files that a reading of the model that ships needs."""


def model_folder(folder: Path, names: Sequence[str] = (MODEL,)) -> Path:
    """The files and their manifest in a folder, which is made. The model alone is as training leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copy(WEIGHTS / name, folder)
    write_manifest(folder, names)
    return folder
