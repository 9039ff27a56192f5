"""Index files of slices that are nobody's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from brat.classes import CLASSES

HEADER = "name,file,source,label,tumor,group,cluster,fold,near_fold,boxes\n"


def index_of_blobs(folder: Path) -> Path:
    """Twenty blobs, one of each class and one tumour of unknown class in each of four folds."""
    draw = np.random.default_rng(0)
    rows = []
    for fold in range(4):
        for label in (*CLASSES, ""):
            name = f"{label or 'unknown'}-{fold}.png"
            pixels = np.zeros((96, 96), np.uint8)
            pixels[10:86, 14:82] = draw.integers(60, 200, (76, 68))
            Image.fromarray(pixels).save(folder / name)
            box = "0.5 0.5 0.2 0.2" if label != "no_tumor" else ""
            rows.append(
                f"{name},{name},made,{label},{int(label != 'no_tumor')},{name},{name},{fold},,{box}\n"
            )
    path = folder / "index.csv"
    path.write_text(HEADER + "".join(rows))
    return path
