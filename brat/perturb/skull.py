"""Remove the skull from a slice, as programs for research do, with all that lies outside the brain.

Such slices are common in collections. A network, and the check of what it reads, must know them.
"""

from __future__ import annotations

import cv2
import numpy as np

_SIDE = 128
"""Pixels of the longer side at which the brain is looked for."""

_TISSUE = (0.4, 0.55, 0.7)
"""Of the median grey inside the head: what is darker is no brain. Each is tried."""

_APART = (1, 2, 3, 4)
"""Pixels by which the brain is parted from what touches it. Each is tried."""

_HEAD = 0.12
"""Share of the way from the dark to the bright level above which a pixel may belong to the head."""

_SKIN = 0.03
"""Of the head's width."""

_SHARE = (0.35, 0.82)
"""Of the head, that a brain takes."""

_SOLID = 0.93
"""Of its convex hull, that a brain fills at least."""

_DARKER = 0.25
"""Of the head's median grey, by which the ring around a brain is darker than the brain, at least."""


def without_skull(gray: np.ndarray) -> np.ndarray | None:
    """The slice with black outside the brain; None where no brain can be told from the rest.

    A threshold, an erosion, and the largest piece that is left, grown again, as in many such programs (Atkins
    and Mackiewich 1998, doi 10.1109/42.668699). A brain is nearly convex, takes its share of the head, does
    not reach the skin, and has a darker ring, of bone or fluid, around it. Slices of the skull base have no
    such piece, and few in sagittal planes have one.

    Args:
        gray: uint8 (height, width).

    Returns:
        uint8 (height, width), or None.
    """
    height, width = gray.shape
    scale = _SIDE / max(height, width)
    small = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    brain = _find_brain(cv2.GaussianBlur(small, (3, 3), 0))
    if brain is None:
        return None
    return gray * cv2.resize(brain, (width, height), interpolation=cv2.INTER_NEAREST)


def _find_brain(small: np.ndarray) -> np.ndarray | None:
    dark = np.percentile(small, 2)
    bright = small[small > dark + 5]
    if not len(bright):
        return None
    head = _filled(small > dark + _HEAD * (np.percentile(bright, 99) - dark))
    if head is None:
        return None
    inward = cv2.distanceTransform(head, cv2.DIST_L2, 5)
    median = float(np.median(small[inward > 0.25 * inward.max()]))
    skin = (head > 0) & (inward < _SKIN * cv2.boundingRect(head)[2])
    best, best_score = None, -np.inf
    for tissue in _TISSUE:
        for apart in _APART:
            brain = _piece((small > median * tissue) & ~skin, apart)
            if brain is None or np.any(brain[skin]):
                continue
            share, solid = brain.sum() / head.sum(), _solidity(brain)
            ring = cv2.dilate(brain, np.ones((3, 3), np.uint8)) > brain
            darker = (small[brain > 0].mean() - small[ring].mean()) / max(median, 1)
            if not _SHARE[0] <= share <= _SHARE[1] or solid < _SOLID or darker < _DARKER:
                continue
            score = solid + 0.3 * share + 0.5 * darker
            if score > best_score:
                best, best_score = brain, score
    return best


def _piece(tissue: np.ndarray, apart: int) -> np.ndarray | None:
    """The largest piece of tissue once pieces that hang together by less are parted, uint8."""
    core = _largest(cv2.erode(tissue.astype(np.uint8), _disc(apart)))
    if core is None:
        return None
    # Padded, as a closing at the edge of the picture would reach beyond it.
    closed = cv2.morphologyEx(np.pad(cv2.dilate(core, _disc(apart)), 10), cv2.MORPH_CLOSE, _disc(4))
    # Thin pieces of skull that the closing reached fall off again.
    return _filled(np.ascontiguousarray(cv2.morphologyEx(closed, cv2.MORPH_OPEN, _disc(6))[10:-10, 10:-10]))


def _largest(mask: np.ndarray) -> np.ndarray | None:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return None
    return (labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)


def _filled(mask: np.ndarray) -> np.ndarray | None:
    """What the longest way around a piece of the mask encloses, uint8."""
    mask = mask.astype(np.uint8)
    return cv2.drawContours(np.zeros_like(mask), [_outline(mask)], -1, 1, -1) if mask.any() else None


def _solidity(mask: np.ndarray) -> float:
    outline = _outline(mask)
    return cv2.contourArea(outline) / max(cv2.contourArea(cv2.convexHull(outline)), 1.0)


def _outline(mask: np.ndarray) -> np.ndarray:
    """Of the piece that encloses most: where dark bone parts scalp and brain, that is the scalp."""
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return max(outlines, key=cv2.contourArea)


def _disc(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
