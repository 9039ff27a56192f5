"""The random changes that training makes to slices, by albumentations."""

from __future__ import annotations

import os

import numpy as np

from brat.perturb.enhance import CLAHE_TILES

# albumentations reads this once, when it is imported; without it every start asks the network for a newer
# version.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A


def augmentation(seed: int | None = None) -> A.Compose:
    """The random changes that training makes to a framed head, and to the tumour mask with it.

    They stand for differences between scanners and exports that do not change the diagnosis: pose, gain,
    gamma, coil shading, resolution, noise, compression, and CLAHE that somebody applied before.

    Returns:
        A pipeline; call it with `image` and `mask`, both uint8 (224, 224).
    """
    return A.Compose(
        [
            A.HorizontalFlip(p=0.5),
            A.Affine(
                rotate=(-20, 20),
                scale=(0.8, 1.2),
                translate_percent=(-0.08, 0.08),
                shear=(-6, 6),
                mask_interpolation=1,
                p=0.9,
            ),
            A.CLAHE(clip_limit=(1, 4), tile_grid_size=(CLAHE_TILES, CLAHE_TILES), p=0.15),
            A.RandomGamma(gamma_limit=(60, 160), p=0.5),
            A.RandomBrightnessContrast(
                brightness_limit=(-0.15, 0.15), contrast_limit=(0, 0), brightness_by_max=True, p=0.3
            ),
            A.RandomBrightnessContrast(
                brightness_limit=(-0.2, 0.2), contrast_limit=(-0.3, 0.3), brightness_by_max=True, p=0.4
            ),
            A.OneOf(
                [
                    A.Illumination(mode=mode, intensity_range=(0.05, 0.2), p=1)
                    for mode in ("linear", "corner", "gaussian")
                ],
                p=0.4,
            ),
            A.OneOf(
                [
                    A.GaussianBlur(blur_limit=0, sigma_limit=(0.4, 1.5), p=1),
                    A.Downscale(
                        scale_range=(0.4, 0.8), interpolation_pair={"downscale": 3, "upscale": 1}, p=1
                    ),
                ],
                p=0.3,
            ),
            A.GaussNoise(std_range=(0.01, 0.06), p=0.3),
            A.ImageCompression(quality_range=(40, 95), p=0.2),
        ],
        seed=seed,
    )


def augmentation_sheet(framed: np.ndarray, rows: int = 4, columns: int = 6, seed: int = 0) -> np.ndarray:
    """Draw what training makes of one slice.

    Args:
        framed: uint8 (224, 224), from `brat.model.preprocess.frame`.

    Returns:
        uint8 (rows * 224, columns * 224); the slice itself stands first.
    """
    transform = augmentation(seed)
    tiles = [framed]
    tiles += [transform(image=framed, mask=framed)["image"] for _ in range(rows * columns - 1)]
    return np.vstack([np.hstack(tiles[row * columns : (row + 1) * columns]) for row in range(rows)])
