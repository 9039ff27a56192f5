"""The patients from whom the samples come. No model that ships is trained on them."""

from __future__ import annotations

HELD_OUT = (
    "figshare-gln-03",
    "figshare-gln-06",
    "figshare-men-07",
    "figshare-men-47",
    "figshare-men-57",
    "figshare-pita-03",
    "figshare-pita-05",
    "figshare-pita-13",
)
"""Groups of the index. `brat train --hold-out samples` leaves them out, and `tools.samples` takes no slice of
anybody else. Once a model has shipped, a patient may be added but not taken away."""
