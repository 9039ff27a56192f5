"""Fit the check of the model that ships, and measure it by pictures that a check was not fitted to."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from brat.data.index import FOLDS, IndexedSlice, split, without_near_duplicates
from brat.data.sources import shows_ct
from brat.data.trained_on import trained_on
from brat.evaluation.fit_out_of_distribution import (
    appearances_of,
    changed,
    choose_limit,
    choose_slices,
    fit_detector,
    with_copies,
    with_limit,
)
from brat.evaluation.metrics import means, with_intervals
from brat.evaluation.other_images import OUTSIDE_KINDS, as_seen
from brat.io.read import read_scan
from brat.model.classifier import Classifier
from brat.model.files import DETECTOR
from brat.model.out_of_distribution import OodDetector
from brat.perturb.skull import without_skull

_BARE = "without skull"
"""The group of slices whose skull was removed by code."""

_BARE_COUNTS = 3.0
"""How many whole slices one of these counts as in a fit: there are few, close to other pictures."""

Other = tuple[str, str, np.ndarray]
"""A picture that must be refused: its name, its kind, uint8 (height, width)."""


@dataclass(frozen=True)
class _Appearances:
    """How the model that ships sees all pictures: n slices, of them p to fit to, and m other pictures.

    Attributes:
        slices: float32 (n, k).
        fitted: int (p,), the rows of the slices to fit to.
        copies: float32 (p, k), a changed copy of each of these.
        bare: float32 (p, 2, k), each without its skull, and a changed copy of that; NaN where that could not
            be removed.
        others: float32 (m, c, k), each picture to refuse and its changed copies.
    """

    slices: np.ndarray
    fitted: np.ndarray
    copies: np.ndarray
    bare: np.ndarray
    others: np.ndarray


def fit_and_measure(
    runs: Path,
    slices: Sequence[IndexedSlice],
    weights: Path,
    others: Sequence[Other],
    never_met: Collection[str],
) -> dict:
    """Fit the detector of the model that ships, write it beside the weights, and measure its kind.

    What is measured was judged by a detector that knows the slices of the other folds, and other pictures of
    the other parts only: a kind that is drawn by code, or a run of neighbours of a folder, is wholly in one
    part. All look through the model that ships, which has met the slices; two of its early stages tell a
    patient so little that the folds' own models refused as many (see `docs/experiments.md`).

    Args:
        runs: a folder where appearances are kept for the next time.
        weights: the folder of the model.
        never_met: groups whose slices may not set the limit.
    """
    seen = _described(runs, slices, weights, others)
    folds = np.array([s.fold for s in slices])
    heads = np.array([not shows_ct(s.file) for s in slices])
    is_bare = np.isfinite(seen.bare[:, 0, 0])
    parts = np.array(_parts(others))
    kinds = [as_seen(kind) for _, kind, _ in others]

    of_slices = np.full(len(slices), np.nan)
    of_bare = np.full(len(seen.fitted), np.nan)
    of_others = np.full(len(others), np.nan)
    for fold in range(FOLDS):
        learned = {s.file for s in without_near_duplicates(split(slices, fold, None)).train}
        detector = _fit(seen, slices, learned, kinds, parts != fold)
        of_slices[folds == fold] = detector.decisions(seen.slices[folds == fold])
        unseen = is_bare & (folds[seen.fitted] == fold)
        of_bare[unseen] = detector.decisions(seen.bare[unseen, 0])
        of_others[parts == fold] = detector.decisions(seen.others[parts == fold, 0])

    # Slices and those without a skull, as one list.
    rows = np.concatenate([np.flatnonzero(heads), seen.fitted[is_bare]])
    decisions = np.concatenate([of_slices[heads], of_bare[is_bare]])
    of_heads = [_group(s) for s, is_head in zip(slices, heads, strict=True) if is_head]
    groups = np.array([*of_heads, *[_BARE] * int(is_bare.sum())])
    refused = np.zeros(len(rows))
    for fold in range(FOLDS):
        outside = folds[rows] != fold
        if not outside.all():
            refused[~outside] = decisions[~outside] > choose_limit(decisions[outside], groups[outside])
    is_met = np.array([slices[row].group not in never_met for row in rows])
    limit = choose_limit(decisions[is_met], groups[is_met])
    learned = {s.file for s in trained_on(weights, slices)}
    detector = _fit(seen, slices, learned, kinds, np.full(len(others), True))
    with_limit(detector, limit).save(weights / DETECTOR)

    def share(chosen: np.ndarray) -> dict:
        clusters = [slices[row].cluster for row in rows[chosen]]
        interval = with_intervals(means({"share": refused[chosen]}), clusters)["share"]
        return {"slices": int(chosen.sum()), **interval}

    by_kind: dict[str, list[bool]] = {}
    for (_, kind, _), decision in zip(others, of_others, strict=True):
        by_kind.setdefault(kind, []).append(bool(decision > limit))
    if not heads.all():
        by_kind["CT within the collections"] = (of_slices[~heads] > limit).tolist()
    whole = share(groups != _BARE)
    return {
        "limit": limit,
        "slices": whole.pop("slices"),
        "refused": whole,
        "refused_by_group": {group: share(groups == group) for group in sorted({*groups} - {_BARE})},
        **({"refused_without_skull": share(groups == _BARE)} if is_bare.any() else {}),
        "others": {
            kind: {"images": len(refusals), "refused": sum(refusals)} for kind, refusals in by_kind.items()
        },
    }


def _group(s: IndexedSlice) -> str:
    return f"{s.source}/{s.sequence or 'unknown'}"


def _fit(
    seen: _Appearances,
    slices: Sequence[IndexedSlice],
    learned: Collection[str],
    kinds: Sequence[str],
    is_fitted_to: np.ndarray,
) -> OodDetector:
    """A detector that knows the learned ones of the slices to fit to, and part of the other pictures."""
    known = np.array([slices[row].file in learned for row in seen.fitted])
    bare = seen.bare[known].reshape(-1, seen.bare.shape[-1])
    bare = bare[np.isfinite(bare[:, 0])]
    whole = np.concatenate([seen.slices[seen.fitted[known]], seen.copies[known]])
    outside = seen.others[is_fitted_to]
    return fit_detector(
        np.concatenate([whole, bare]),
        outside.reshape(-1, outside.shape[-1]),
        [kind for kind, fitted in zip(kinds, is_fitted_to, strict=True) if fitted for _ in outside[0]],
        weights=np.repeat([1.0, _BARE_COUNTS], [len(whole), len(bare)]),
    )


def _described(
    runs: Path, slices: Sequence[IndexedSlice], weights: Path, others: Sequence[Other]
) -> _Appearances:
    classifier = Classifier(weights)
    fitted = choose_slices([s for s in slices if not shows_ct(s.file)])
    path = runs / f"appearances-{_digest(classifier, slices, fitted, others)[:16]}.npz"
    if not path.exists():
        row_of = {s.file: row for row, s in enumerate(slices)}
        scans = tqdm(slices, desc="describing slices", unit="slice", disable=None)
        original = appearances_of(classifier, (read_scan(s.path).gray for s in scans))
        copies, bare = [], np.full((len(fitted), 2, original.shape[1]), np.nan, np.float32)
        for number, s in enumerate(tqdm(fitted, desc="changing slices", unit="slice", disable=None)):
            gray = read_scan(s.path).gray
            copies.append(changed(gray, number))
            if (brain := without_skull(gray)) is not None:
                # Another change than the slice's own, so that both are of use.
                bare[number] = appearances_of(classifier, [brain, changed(brain, number + 1)])
        outside = [
            appearances_of(classifier, with_copies(gray, number))
            for number, (_, _, gray) in enumerate(tqdm(others, desc="other pictures", disable=None))
        ]
        np.savez_compressed(
            path,
            slices=original,
            fitted=[row_of[s.file] for s in fitted],
            copies=appearances_of(classifier, copies),
            bare=bare,
            others=np.stack(outside),
        )
    with np.load(path) as stored:
        return _Appearances(**stored)


def _digest(
    classifier: Classifier,
    slices: Sequence[IndexedSlice],
    fitted: Sequence[IndexedSlice],
    others: Sequence[Other],
) -> str:
    """Of all that appearances are kept of, in its order: those of other pictures would be taken for these."""
    total = hashlib.sha256(classifier.digest.encode())
    total.update("\n".join(s.file for s in (*slices, *fitted)).encode())
    for _, _, gray in others:
        total.update(f"\n{gray.shape}".encode() + gray.tobytes())
    return total.hexdigest()


def _parts(others: Sequence[Other]) -> list[int]:
    """Which part each picture belongs to, 0 to 4; neighbours in a folder stay together."""
    of_kind = Counter(kind for _, kind, _ in others)
    large = sorted(kind for kind in of_kind if kind in OUTSIDE_KINDS.values())
    small = sorted(of_kind.keys() - set(large))
    seen: Counter[str] = Counter()
    parts = []
    for _, kind, _ in others:
        parts.append(seen[kind] * FOLDS // of_kind[kind] if kind in large else small.index(kind) % FOLDS)
        seen[kind] += 1
    return parts
