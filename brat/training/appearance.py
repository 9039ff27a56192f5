"""Random changes of a framed slice's grey levels, as another scanner, sequence or export might show it.

Anatomy stays where it is; which tissue is bright changes. A network that is trained on such slices cannot
tell a class by its scanner, by its sequence or by contrast medium.
"""

from __future__ import annotations

import cv2
import numpy as np

MONOTONE, REMAPPED, MIXED = 0.3, 0.08, 0.1
"""How likely each change is; the first two exclude each other."""

_KNOTS = 5
_AMPLITUDES = (0.008, 0.03)
"""Share of the spectrum's side within which amplitudes are mixed."""


def vary_appearance(framed: np.ndarray, other: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Apply at most one tone curve, and at most one mixture of amplitudes.

    Args:
        framed: uint8 (size, size).
        other: uint8 (size, size), another slice, best of another source.
        draw: the source of chance.

    Returns:
        uint8 (size, size).
    """
    chance = draw.random()
    if chance < MONOTONE:
        framed = cv2.LUT(framed, monotone_curve(draw))
    elif chance < MONOTONE + REMAPPED:
        framed = cv2.LUT(framed, random_contrast(draw))
    if draw.random() < MIXED:
        framed = mix_amplitudes(framed, other, draw.uniform(*_AMPLITUDES), draw.uniform(0, 0.7))
    return framed


def monotone_curve(draw: np.random.Generator) -> np.ndarray:
    """A rising tone curve with 0 at 0 and 255 at 255, uint8 (256,).

    Bezier curves serve the same end in "Models Genesis" (Zhou et al. 2019, arXiv 1908.06912).
    """
    steps = draw.dirichlet(np.full(_KNOTS - 1, 3.0))
    knots = np.concatenate([[0], np.cumsum(steps)])
    return _curve(knots)


def random_contrast(draw: np.random.Generator) -> np.ndarray:
    """A tone curve that may rise and fall, with 0 at 0, uint8 (256,).

    Which tissue is bright becomes a matter of chance, as in SynthSeg (Billot et al. 2023, arXiv 2107.09559).
    Here grey levels stand for tissues; no segmentation is needed.
    """
    knots = draw.uniform(0.05, 1, _KNOTS)
    knots[0] = 0
    return _curve(knots / knots.max())


def _curve(knots: np.ndarray) -> np.ndarray:
    curve = np.interp(np.arange(256), np.linspace(0, 255, len(knots)), knots)
    return np.round(curve * 255).astype(np.uint8)


def mix_amplitudes(framed: np.ndarray, other: np.ndarray, share: float, weight: float) -> np.ndarray:
    """Take the low frequencies' amplitudes partly from another slice; the phases, and so the anatomy, stay.

    Xu et al. 2021, arXiv 2105.11120, after Yang and Soatto 2020, arXiv 2004.05498.

    Args:
        framed, other: uint8 (size, size).
        share: of the spectrum's side, 0 to 1, within which amplitudes are mixed.
        weight: 0 keeps the slice's own amplitudes, 1 takes the other's.

    Returns:
        uint8 (size, size).
    """
    size = len(framed)
    reach = max(1, int(size * share / 2))
    spectrum, theirs = np.fft.rfft2(framed.astype(np.float32)), np.fft.rfft2(other.astype(np.float32))
    rows = np.r_[0 : reach + 1, size - reach : size]
    low = np.ix_(rows, np.arange(reach + 1))
    amplitude = np.abs(spectrum[low])
    mixed = (1 - weight) * amplitude + weight * np.abs(theirs[low])
    spectrum[low] *= mixed / np.maximum(amplitude, 1e-3)
    result = np.fft.irfft2(spectrum, s=framed.shape)
    # What was black around the head stays black.
    return np.where(framed > 0, np.clip(np.round(result), 0, 255), 0).astype(np.uint8)
