"""What can be chosen about a training run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """What can be chosen about a training run; it goes into the model card.

    Attributes:
        epochs: of `slices_per_epoch` draws each.
        learning_rate: the peak, reached after `warm_up` of the steps; a cosine takes it to zero.
        weight_decay: of AdamW (Loshchilov and Hutter, arXiv 1711.05101).
        small_epochs: the first epochs, on slices of `brat.training.network.SMALL` pixels a side, which take
            half the time ("progressive resizing": Howard 2018, fast.ai's entry to DAWNBench).
        locate, confine: weights of the two map losses, see `brat.training.network.MapLoss`.
        bare_tumors, bare_others: how likely a slice with a tumour, and one without, has its skull removed
            where it can be. Many slices of `ms` have none, and no tumour either: the skull would tell.
        seed: of the weights, the draws and the augmentation.
    """

    epochs: int = 28
    slices_per_epoch: int = 3600
    batch_size: int = 32
    learning_rate: float = 7e-4
    warm_up: float = 0.1
    weight_decay: float = 1e-3
    small_epochs: int = 18
    locate: float = 0.3
    confine: float = 0.2
    bare_tumors: float = 0.3
    bare_others: float = 0.15
    seed: int = 0


FINE_TUNING_RATE = 0.1
"""Of the recipe's learning rate, where training goes on from a model, lest it unlearn what it knows. A usual
choice, which was not measured here."""
