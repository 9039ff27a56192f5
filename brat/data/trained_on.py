"""The slices that a model was trained on, and their hashes, by which near-duplicates are found elsewhere."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from brat.data.index import (
    IndexedSlice,
    Split,
    fingerprint,
    read_index,
    split,
    split_source,
    without_masses,
    without_near_duplicates,
)
from brat.data.near_duplicates import HASH_BITS, hashes, thumbnails
from brat.model.files import TRAINED_ON, ModelError, ModelFolder, update_manifest


def card_for(weights: Path, data: str | Path, prints: str) -> dict:
    """The card of a model that was trained on this data, or on a part of it.

    Args:
        data: its index, to name it.
        prints: `brat.data.index.fingerprint` of its slices, which reads every file.

    Raises:
        ValueError: the model was trained on other data.
    """
    card = json.loads((weights / "model_card.json").read_text(encoding="utf-8"))
    if card["data_fingerprint"] != prints:
        raise ValueError(f"The model in {weights} was trained on other data than {data}.")
    return card


def trained_on(weights: Path, slices: Sequence[IndexedSlice]) -> list[IndexedSlice]:
    """The slices that a model was trained on, by its card."""
    return _parts(weights, slices).train


def _parts(weights: Path, slices: Sequence[IndexedSlice]) -> Split:
    card = json.loads((weights / "model_card.json").read_text(encoding="utf-8"))
    if source := card.get("held_out_source"):
        parts = split_source(slices, source)
    else:
        parts = split(slices, card["test_fold"], card["validation_fold"], card.get("held_out", ()))
    return without_masses(without_near_duplicates(parts))


def write_hashes(data: str | Path, weights: str | Path) -> int:
    """Write the hashes of a model's training slices beside it, and its manifest again.

    With them are those by which its epoch was chosen.

    Args:
        data: the index that the model was trained with.
        weights: the folder of the model, with its `model_card.json`.

    Returns:
        Of how many slices.

    Raises:
        ValueError: the model was trained on other data, or went on from another model.
        ModelError: the folder's manifest is missing or damaged.
    """
    weights, folder = Path(weights), ModelFolder(weights)
    slices = read_index(data)
    card = card_for(weights, data, fingerprint(slices))
    if start := card.get("start_from"):
        raise ValueError(
            f"The model in {weights} went on from {start['name']} and has learned from its slices, too: a "
            f"list of {data} alone would take those for new ones."
        )
    parts = _parts(weights, slices)
    hashed = hashes(thumbnails([s.path for s in (*parts.train, *parts.validation)]))
    np.save(weights / TRAINED_ON, hashed)
    update_manifest(folder, (TRAINED_ON,))
    return len(hashed)


def read_hashes(folder: ModelFolder) -> np.ndarray | None:
    """The hashes of a model's training slices, uint8 (n, 64); None where the folder has none.

    Raises:
        ModelError: they are damaged, or of another model.
    """
    content = folder.read_optional(TRAINED_ON)
    if content is None:
        return None
    try:
        hashed = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ModelError(_DAMAGED) from error
    if hashed.dtype != np.uint8 or hashed.ndim != 2 or hashed.shape[1] * 8 != HASH_BITS:
        raise ModelError(_DAMAGED)
    return hashed


_DAMAGED = (
    f"{TRAINED_ON} is damaged: it must hold a hash of {HASH_BITS} bits for each slice that the model was "
    "trained on. Copy the model's folder again, or write it again with `brat hashes`."
)
