"""Words of the choice of a window."""

from __future__ import annotations

HELP = "Which of the scan's values are shown from black to white. The model reads what is shown."


def other(center: float, width: float) -> str:
    """Of a scan that is not shown as its file says."""
    return f"Shown and read with level {center:.5g} and width {width:.5g}, no longer as it was exported."
