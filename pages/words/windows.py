"""Words of the choice of a window."""

from __future__ import annotations

TITLE = "Window"
HELP = "Which of the scan's values are shown from black to white. The model reads what is shown."
PRESET = "Presets"
FILE = "As the file says"
AUTOMATIC = "Darkest to brightest"
OWN = "My own"
CENTER = "Level"
WIDTH = "Width"
UNNAMED = "Window {number}"
RESET = "Another window makes another reading: this is no longer the scan as it was exported."
