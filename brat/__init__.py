"""BraTum Scans: a four-class reading of brain MRI slices that shows where it comes from.

>>> import brat
>>> reading = brat.read("scan.png")
>>> reading.label, reading.prediction_set(), reading.in_distribution
('no_tumor', ('no_tumor',), True)

A name is loaded when it is first used (PEP 562), so that `import brat` costs nothing. See `docs/api.md`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from brat.api import Reader, Reading, SeriesReading, read, read_series
    from brat.classes import CLASS_NAMES, CLASSES
    from brat.io.scan import UnreadableScan

    __version__: str

__all__ = [
    "CLASSES",
    "CLASS_NAMES",
    "Reader",
    "Reading",
    "SeriesReading",
    "UnreadableScan",
    "read",
    "read_series",
]

_HOMES = {
    "CLASSES": "brat.classes",
    "CLASS_NAMES": "brat.classes",
    "UnreadableScan": "brat.io.scan",
}
"""The modules of the names that are not in `brat.api`."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("bratum-scans")
    if name not in __all__:
        raise AttributeError(f"module 'brat' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "brat.api")), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
