"""How the reading of one scan moves when the scan is changed a little: in contrast, light, pose and framing.

The changes are those of `brat.perturb.changes`, at smaller levels than `brat.evaluation.robustness` measures
over many slices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from brat.classes import CLASS_NAMES
from brat.model.reader import Reader
from brat.perturb.changes import CHANGES
from brat.wording import percent

LEVELS: dict[str, tuple[float, ...]] = {
    "CLAHE": (1, 2, 4),
    "brightness": (-0.2, -0.1, -0.05, 0.05, 0.1, 0.2),
    "rotation": (-15, -10, -5, 5, 10, 15),
    "crop": (0.02, 0.05, 0.1),
}
"""What is changed and how far, in the units of `brat.perturb.changes.CHANGES`: three sizes of each,
none of which changes the diagnosis, and all within or near what training varies."""

_WORDS: dict[str, Callable[[float], str]] = {
    "CLAHE": lambda level: f"after CLAHE with clip limit {level:g}",
    "brightness": lambda level: f"when {'brightened' if level > 0 else 'darkened'} by {abs(level):.0%}",
    "rotation": lambda level: f"when turned by {abs(level):g}° to the {'left' if level > 0 else 'right'}",
    "crop": lambda level: f"when {level:.0%} is cut off each edge",
}


@dataclass(frozen=True, eq=False)
class Step:
    """The reading after one change.

    Attributes:
        change: what was changed, a key of `LEVELS`.
        level: how far, in the unit that `brat.perturb.changes.CHANGES` names.
        probabilities: float32 (4,), calibrated, in the order of `brat.CLASSES`.
        label: the likeliest class.
    """

    change: str
    level: float
    probabilities: np.ndarray
    label: str

    @property
    def size(self) -> int:
        """1, 2 or 3: small, middle or large among the levels of its kind."""
        return 1 + sorted({abs(level) for level in LEVELS[self.change]}).index(abs(self.level))

    @property
    def words(self) -> str:
        """What was done to the scan: "when brightened by 10 %"."""
        return _WORDS[self.change](self.level).replace("%", "\u00a0%")


@dataclass(frozen=True, eq=False)
class Stability:
    """The reading of a scan as it is, and after each change.

    Attributes:
        probabilities: float32 (4,), of the scan as it is.
        label: the likeliest class of the scan as it is.
        steps: one for each level of `LEVELS`, in its order.
    """

    probabilities: np.ndarray
    label: str
    steps: tuple[Step, ...]

    @property
    def flips(self) -> tuple[Step, ...]:
        """The changes after which another class is the likeliest, the smallest first.

        Kinds of change have no common unit, so size is the place among the three sizes of a kind; of two of
        one size the one that leaves the first answer less comes first.
        """
        place = int(np.argmax(self.probabilities))
        changed = [step for step in self.steps if step.label != self.label]
        return tuple(sorted(changed, key=lambda step: (step.size, step.probabilities[place])))

    def sentence(self) -> str:
        """What is to be said of it: whether the answer holds, and if not, under what it changes first."""
        if not self.flips:
            place = int(np.argmax(self.probabilities))
            shares = [step.probabilities[place] for step in self.steps]
            return (
                f"Stable: {_named(self.label)} under all {len(self.steps)} changes, "
                f"with {_between(min(shares), max(shares))}."
            )
        first, *others = self.flips
        more = f", and under {len(others)} more of the {len(self.steps)} changes" if others else ""
        return f"Changes to {_named(first.label)} {first.words}{more}."

    def in_words(self) -> str:
        """The whole picture as text: a sentence for each kind of change."""
        place = int(np.argmax(self.probabilities))
        said = [f"As it is: {_named(self.label)}, {percent(float(self.probabilities.max()))}."]
        for change in LEVELS:
            steps = [step for step in self.steps if step.change == change]
            shares = [step.probabilities[place] for step in steps]
            flips = [f"{_named(step.label)} {step.words}" for step in steps if step.label != self.label]
            held = f"{_named(self.label)} has {_between(min(shares), max(shares))}"
            said.append(f"{change[0].upper()}{change[1:]}: {'; '.join([held, *flips])}.")
        return " ".join(said)


def measure(reader: Reader, gray: np.ndarray) -> Stability:
    """Read a scan as it is and after every change, the usual way.

    Args:
        gray: uint8 (height, width), as in `brat.io.scan.Scan`.
    """
    before = reader.read(gray).prediction
    steps = []
    for change, levels in LEVELS.items():
        for level in levels:
            after = reader.read(CHANGES[change].apply(gray, level)).prediction
            steps.append(Step(change, level, after.probabilities, after.label))
    return Stability(before.probabilities, before.label, tuple(steps))


def _named(label: str) -> str:
    return CLASS_NAMES[label].lower()


def _between(low: float, high: float) -> str:
    low, high = percent(float(low)), percent(float(high))
    return low if low == high else f"{low} to {high}"
