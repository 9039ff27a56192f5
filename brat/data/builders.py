"""Indexes of collections as they are published: figshare's MATLAB files, or a folder of classes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from brat.data.index import IndexedSlice, deal_folds, read_index, write_index
from brat.data.sources import FIGSHARE
from brat.io.scan import read_scan

_FIGSHARE_LABELS = {1: "meningioma", 2: "glioma", 3: "pituitary"}


def index_folder(folder: str | Path, out: str | Path) -> list[IndexedSlice]:
    """Write an index of a folder with one sub-folder a class, near-duplicates grouped and dealt to folds.

    Returns:
        The slices, as `brat.data.index.read_index` reads them from `out`.

    Raises:
        ValueError: it is no folder, holds no class, or an image cannot be read.
    """
    folder, out = Path(folder), Path(out)
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder.")
    write_index(read_index(folder), out)
    return read_index(out)


def index_figshare(folder: str | Path, out: str | Path) -> list[IndexedSlice]:
    """Write an index of the original figshare collection (Cheng, doi 10.6084/m9.figshare.1512427).

    Its slices (`1.mat`, `2.mat`, ..., in any sub-folders) become 8-bit PNG files beside the index,
    `figshare/<class>/<number>.png`: the lowest value black, the 99.9th percentile and above white, as
    `brat.io.scan.read_scan` shows any 16-bit image. A patient is a group, and is dealt to one fold whole.
    Boxes enclose the pieces of the radiologist's tumour mask.

    Returns:
        The slices, as `brat.data.index.read_index` reads them from `out`.

    Raises:
        ValueError: there are no such files, two have the same number, or one is not as it should be.
    """
    folder, out = Path(folder), Path(out)
    # The archive also holds cvind.mat, the authors' folds.
    found = [path for path in folder.rglob("*.mat") if path.stem.isdecimal()]
    files = {int(path.stem): path for path in found}
    if not files:
        raise ValueError(
            f"{folder} has no slices of the figshare collection (1.mat, 2.mat, ...). "
            "Unpack the archives of doi 10.6084/m9.figshare.1512427 in it first."
        )
    if len(found) > len(files):
        raise ValueError(f"{folder} has {len(found)} slices under {len(files)} numbers. Unpack it only once.")
    read = []
    for number in tqdm(sorted(files), desc="reading slices", unit="slice", disable=None):
        gray, mask, label, patient = _read_mat(files[number])
        path = out.parent / FIGSHARE.name / label / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_png(gray))
        read.append((path, label, f"{FIGSHARE.name}-patient-{patient}", _boxes(mask)))
    folds = deal_folds([group for _, _, group, _ in read], [label for _, label, _, _ in read])
    slices = [
        IndexedSlice(
            path=path,
            file=path.relative_to(out.parent).as_posix(),
            source=FIGSHARE.name,
            label=label,
            tumor=True,
            group=group,
            cluster=group,
            fold=fold,
            boxes=boxes,
        )
        for (path, label, group, boxes), fold in zip(read, folds, strict=True)
    ]
    write_index(slices, out)
    return read_index(out)


def _read_mat(path: Path) -> tuple[np.ndarray, np.ndarray, str, str]:
    """Read a slice of MATLAB version 7.3, which is HDF5: uint8 image and mask, label and patient number."""
    import h5py

    try:
        with h5py.File(path) as file:
            data = file["cjdata"]
            # MATLAB writes columns first, HDF5 reads rows first.
            image, mask = data["image"][()].T, data["tumorMask"][()].T
            label = _FIGSHARE_LABELS[int(data["label"][()].item())]
            patient = "".join(chr(code) for code in data["PID"][()].ravel()).strip()
        if (
            image.ndim != 2
            or mask.shape != image.shape
            or image.dtype not in (np.int16, np.uint16)
            or not patient
        ):
            raise ValueError(f"image {image.dtype} {image.shape}, mask {mask.shape}, patient {patient!r}")
        gray = read_scan(_png((image.astype(np.int32) - min(int(image.min()), 0)).astype(np.uint16))).gray
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is not a slice of the figshare collection, a MATLAB 7.3 file with the 16-bit "
            f"cjdata/image, tumorMask, label (1 to 3) and PID. ({error})"
        ) from error
    return gray, (mask > 0).astype(np.uint8), label, patient


def _png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def _boxes(mask: np.ndarray) -> tuple[tuple[float, float, float, float], ...]:
    """uint8 mask -> boxes of its pieces, (x_center, y_center, width, height) in fractions of the image."""
    height, width = mask.shape
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    boxes = []
    for left, top, across, down in stats[1:count, : cv2.CC_STAT_AREA].tolist():
        box = ((left + across / 2) / width, (top + down / 2) / height, across / width, down / height)
        boxes.append(tuple(round(value, 6) for value in box))
    return tuple(boxes)
