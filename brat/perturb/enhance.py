"""CLAHE and brightness, as previews show them and as training varies them, by albumentations.

albumentations takes over a second to import, so nothing imports this module's pipelines before a
preview or a training run asks for them.
"""

from __future__ import annotations

import os

import numpy as np

# Read once, when albumentations is imported: without it every start asks the network for a newer version.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

CLAHE_TILES = 8
"""CLAHE works on this many by this many tiles of the scan."""


def clahe(gray: np.ndarray, clip_limit: float = 2.0) -> np.ndarray:
    """Contrast-limited adaptive histogram equalisation (Zuiderveld, Graphics Gems IV, 1994).

    Args:
        gray: uint8 (height, width).
        clip_limit: 1 or more; how far a tile's contrast may be raised over the flat histogram.

    Returns:
        uint8 (height, width).
    """
    import albumentations

    transform = albumentations.CLAHE(
        clip_limit=(clip_limit, clip_limit), tile_grid_size=(CLAHE_TILES, CLAHE_TILES), p=1
    )
    return transform(image=gray)["image"]


def brightness(gray: np.ndarray, change: float) -> np.ndarray:
    """Add a share of full scale to every pixel.

    Args:
        gray: uint8 (height, width).
        change: -1 (all black) to 1 (all white).

    Returns:
        uint8 (height, width).
    """
    import albumentations

    # albumentations 2 has no RandomBrightness; this is it, with the contrast left alone.
    transform = albumentations.RandomBrightnessContrast(
        brightness_limit=(change, change), contrast_limit=(0, 0), brightness_by_max=True, p=1
    )
    return transform(image=gray)["image"]


def augmentation(seed: int | None = None):
    """The random changes that training makes to a framed head, and to the tumour mask with it.

    They stand for what differs between scanners and exports and does not change the diagnosis: pose,
    gain, gamma, coil shading, resolution, noise, compression and a reader's own CLAHE.

    Returns:
        `albumentations.Compose`; call it with `image` and `mask`, both uint8 (224, 224).
    """
    import albumentations as A

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
    """A picture of what training makes of one slice.

    Args:
        framed: uint8 (224, 224), from `brat.model.preprocess.frame`.

    Returns:
        uint8 (rows * 224, columns * 224); the slice itself stands first.
    """
    transform = augmentation(seed)
    tiles = [framed]
    tiles += [transform(image=framed, mask=framed)["image"] for _ in range(rows * columns - 1)]
    return np.vstack([np.hstack(tiles[row * columns : (row + 1) * columns]) for row in range(rows)])
