"""A class map in words."""

from __future__ import annotations

import numpy as np


def place_in_words(cam: np.ndarray) -> str:
    """Where a map is brightest, for those who cannot see it: "brightest at the upper left", or "empty".

    Args:
        cam: float (height, width); left and right are the picture's, not the patient's.
    """
    if cam.max() <= 0:
        return "empty"
    row, column = np.unravel_index(np.argmax(cam), cam.shape)
    up = ("upper", "", "lower")[3 * row // cam.shape[0]]
    across = ("left", "", "right")[3 * column // cam.shape[1]]
    place = " ".join(word for word in (up, across) if word)
    return f"brightest at the {place}" if place else "brightest in the middle"
