"""A head that is nobody's."""

from __future__ import annotations

import numpy as np


def synthetic_head(
    height: int = 256,
    width: int = 256,
    center: tuple[float, float] | None = None,
    radii: tuple[float, float] | None = None,
    seed: int = 0,
) -> np.ndarray:
    """An ellipse with a bright rim and a textured inside on black, uint8 (height, width).

    Args:
        center: x, y in pixels; the image's middle by default.
        radii: across, down in pixels; two fifths of the image by default.
        seed: of the texture, which differs from seed to seed as patients do.
    """
    x, y = center or (width / 2, height / 2)
    across, down = radii or (0.4 * width, 0.4 * height)
    rows, columns = np.mgrid[:height, :width]
    u, v = (columns + 0.5 - x) / across, (rows + 0.5 - y) / down
    radius = np.hypot(u, v)
    draw = np.random.default_rng(seed)
    texture = sum(
        np.cos(fu * u + fv * v + phase)
        for fu, fv, phase in zip(*draw.uniform(-9, 9, (2, 6)), draw.uniform(0, 6.3, 6), strict=True)
    )
    gray = np.where(radius < 0.9, 110 + 12 * texture, 230)
    return np.where(radius < 1, gray, 0).clip(0, 255).astype(np.uint8)


def head_with_bone(height: int = 256, width: int = 256, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A head whose brain is parted from a bright scalp by dark bone.

    Returns:
        uint8 (height, width), and bool (height, width), where the brain is.
    """
    brain_radii = (0.31 * width, 0.34 * height)
    head = synthetic_head(height, width, seed=seed)
    rows, columns = np.mgrid[:height, :width]

    def inside(radii: tuple[float, float]) -> np.ndarray:
        return np.hypot((columns + 0.5 - width / 2) / radii[0], (rows + 0.5 - height / 2) / radii[1]) < 1

    bone = inside((0.355 * width, 0.375 * height)) & ~inside(brain_radii)
    return np.where(bone, 12, head).astype(np.uint8), inside(brain_radii)
