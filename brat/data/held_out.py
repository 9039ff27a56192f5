"""The patients from whom the samples come. No model that ships is trained on them."""

from __future__ import annotations

HELD_OUT = (
    "figshare-gln-03",
    "figshare-glm-32",
    "figshare-men-39",
    "figshare-men-57",
    "figshare-men-46",
    "figshare-pita-13",
    "figshare-pitb-12",
    "figshare-pita-03",
)
"""Groups of the index. `brat train --hold-out samples` leaves them out, and `tools.samples` takes no slice of
anybody else. Once a model has shipped, a patient may be added but not taken away."""
