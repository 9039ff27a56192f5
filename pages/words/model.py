"""Words of the Model page: its headings, and what it says in short."""

from __future__ import annotations

from pages.words.numbers import share

TITLE = "How good is the model?"
DOES_80_MEAN_80 = "Does 80\u00a0% mean 80\u00a0%?"
DOES_IT_KNOW = "Does it know what it does not know?"
DOES_THE_MAP_POINT = "Does the map point at the tumour?"
DOES_A_CHANGE_CHANGE = "Does a small change of the scan change the answer?"
HOW_MUCH_IS_DOUBLE = "How much of the data is double?"


def calibration(off: float, held: float, single: float) -> str:
    return (
        f"Off by {share(off)} on average. The 95 % set holds the truth in {share(held)} and names one class "
        f"only in {share(single)}."
    )


def gate(others: float, images: int, real: float) -> str:
    return (
        f"{share(others)} of {images:,} pictures that are no brain MRI slice are refused, and {share(real)} "
        "of real slices."
    )


def maps(pointing: float, chance: float) -> str:
    return (
        f"The brightest place lies in the tumour's box in {share(pointing)} of correctly read slices; by "
        f"chance in {share(chance)}."
    )
