"""The store's kept cases with their verdicts -> an index to train on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from brat.classes import CLASSES
from brat.data.index import SEQUENCES, IndexedSlice, deal_folds, read_index, write_index
from brat.data.near_duplicates import near_duplicate_groups
from brat.store.cases import Case, find, picture_of
from brat.store.database import open_store

SOURCE = "cases"
"""Of the slices, as an index names it."""

UNSURE, CONTESTED = "unsure", "contested"
"""What `what_is_seen` says where there is no class."""


def what_is_seen(cases: Iterable[Case]) -> str:
    """What clinicians see in one scan.

    Of each observer the latest verdict counts, under whichever model it was given. Who is unsure after others
    have named a class throws doubt on it; who was unsure before them does not.

    Args:
        cases: all that are kept of the scan, of one model or of several, in any order.

    Returns:
        A class; `UNSURE` where the latest verdict names none; `CONTESTED` where observers name several.
    """
    in_order = sorted(cases, key=lambda case: (case.time, case.id))
    if in_order[-1].seen is None:
        return UNSURE
    latest = {case.observer: case.seen for case in in_order}
    named = set(filter(None, latest.values()))
    return named.pop() if len(named) == 1 else CONTESTED


@dataclass(frozen=True)
class IndexedCases:
    """What became of the kept cases.

    Attributes:
        path: of the index.
        slices: that are in it, the most instructive first.
        disagreed: how many of them were read as another class than the clinician sees.
        unsure: scans of which the latest verdict names no class.
        contested: scans in which clinicians see different classes.
        without_picture: scans that were kept without their picture.
    """

    path: Path
    slices: list[IndexedSlice]
    disagreed: int
    unsure: int
    contested: int
    without_picture: int

    def in_words(self) -> str:
        """What was written, and what was left out and why."""
        counts = Counter(s.label for s in self.slices)
        classes = ", ".join(f"{count} {label}" for label, count in sorted(counts.items()))
        left_out = {
            "the latest verdict is unsure": self.unsure,
            "clinicians see different classes": self.contested,
            "the picture was not kept": self.without_picture,
        }
        why = "; ".join(f"{count} because {reason}" for reason, count in left_out.items() if count)
        return (
            f"Wrote {self.path}: {len(self.slices)} scans ({classes}), {self.disagreed} of them read as "
            f"another class.{f' Left out: {why}.' if why else ''} The store does not know patients: slices "
            "that are nearly the same share a fold, other slices of one patient may not. Measure the model "
            "on patients whose cases are not among these."
        )


def index_cases(store: str, out: str | Path) -> IndexedCases:
    """Write an index of the scans whose class a clinician has named, with their pictures beside it.

    The store keeps a picture only where its observer asked for that, and nothing else of the file. A picture
    is named by its scan's hash. First come scans that were read as another class than is seen, then those
    whose prediction sets are large, then the others, the least certain first. What was kept under several
    names or models is one scan.

    Args:
        store: its address, as `[connections.cases]` has it: "sqlite:///cases.db".
        out: a folder for `index.csv` and the pictures; made, and to hold no index yet.

    Raises:
        StoreError: there is no such store, or it does not answer.
        FileExistsError: the folder holds an index.
        ValueError: no case can be learned from; why.
    """
    out = Path(out)
    path = out / "index.csv"
    if path.exists():
        raise FileExistsError(f"{path} is there already. Name another folder.")
    engine = open_store(store)
    try:
        cases = find(engine)
        of_scan: dict[str, list[Case]] = {}
        for case in cases:
            of_scan.setdefault(case.scan, []).append(case)
        seen = {scan: what_is_seen(those) for scan, those in of_scan.items()}
        agreed = {
            scan: [case for case in those if case.seen == seen[scan]]
            for scan, those in of_scan.items()
            if seen[scan] in CLASSES
        }
        pictured = {scan: those for scan, those in agreed.items() if any(c.pictured for c in of_scan[scan])}
        if not pictured:
            raise ValueError(
                f"Of {len(of_scan)} scans in the store {len(agreed)} have one class that clinicians see, and "
                "none of these was kept with its picture. Tick *Keep the picture too* in Review when you "
                "keep a verdict, and index the cases again."
            )
        chosen = sorted((min(those, key=_certainty) for those in pictured.values()), key=_certainty)
        files = []
        for case in chosen:
            file = out / "pictures" / f"{case.scan}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            owner = next(c for c in of_scan[case.scan] if c.pictured)
            file.write_bytes(picture_of(engine, owner.id) or b"")
            files.append(file)
    finally:
        engine.dispose()
    write_index(_slices(chosen, files), path)
    told = Counter(seen.values())
    return IndexedCases(
        path,
        read_index(path),
        disagreed=sum(case.verdict == "disagree" for case in chosen),
        unsure=told[UNSURE],
        contested=told[CONTESTED],
        without_picture=len(agreed) - len(pictured),
    )


def _certainty(case: Case) -> tuple[bool, int, float]:
    """Less where a case is to come first."""
    return case.verdict != "disagree", -len(case.sets.get("0.95", ())), getattr(case, case.label)


def _slices(cases: Sequence[Case], files: Sequence[Path]) -> list[IndexedSlice]:
    groups = near_duplicate_groups(files).tolist()
    labels = [str(case.seen) for case in cases]
    folds = deal_folds(groups, labels)
    return [
        IndexedSlice(
            path=file,
            file=file.name,
            source=SOURCE,
            label=label,
            tumor=label != "no_tumor",
            group=f"{SOURCE}-{group:04d}",
            cluster=f"{SOURCE}-{group:04d}",
            fold=fold,
            sequence=case.sequence if case.sequence in SEQUENCES else "",
        )
        for case, file, label, group, fold in zip(cases, files, labels, groups, folds, strict=True)
    ]
