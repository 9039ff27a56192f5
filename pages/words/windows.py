"""Words of the choice of a window."""

from __future__ import annotations

TITLE = "Window"
HELP = "Which of the scan's values are shown from black to white. The model reads what is shown."
PRESET = "Presets"
FILE = "As the file says"
AS_OPENED = "As it was opened"
OWN = "My own"
CENTER = "Level"
WIDTH = "Width"
UNNAMED = "Window {number}"


def other(center: float, width: float) -> str:
    """Of a scan that is not shown as its file says."""
    return f"Shown and read with level {center:.5g} and width {width:.5g}, no longer as it was exported."
