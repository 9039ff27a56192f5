"""Folders of models, made of the files that ship."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from brat.environment import WEIGHTS
from brat.model.calibration import Calibration
from brat.model.files import CALIBRATION, DETECTOR, MODEL, ModelFolder, write_manifest
from brat.model.site import SITE, SiteCalibration, fitted_to

READ_WITH = (MODEL, CALIBRATION, DETECTOR)
"""The files that a reading of the model that ships needs."""


def model_folder(folder: Path, names: Sequence[str] = (MODEL,)) -> Path:
    """The files and their manifest in a folder, which is made. The model alone is as training leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copy(WEIGHTS / name, folder)
    write_manifest(folder, names)
    return folder


def site_calibration(folder: Path) -> SiteCalibration:
    """A recalibration of the model in a folder, not written."""
    return SiteCalibration(
        site="St. Elsewhere",
        slices=412,
        clusters=120,
        by="patient",
        fitted="2026-11-27T02:00:00+00:00",
        fitted_to=fitted_to(ModelFolder(folder)),
        calibration=replace(Calibration.load(folder / CALIBRATION), temperature=4.0),
        limit=None,
    )


def recalibrated(folder: Path) -> SiteCalibration:
    """A folder with the model that ships and a recalibration beside it, which is returned."""
    model_folder(folder, READ_WITH)
    site = site_calibration(folder)
    (folder / SITE).write_bytes(site.to_bytes())
    return site
