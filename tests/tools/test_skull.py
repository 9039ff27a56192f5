"""Slices with their skull and without, and what is counted of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brat.classes import CLASSES
from brat.data.index import IndexedSlice, fingerprint, read_index
from tests.factories.heads import head_with_bone, synthetic_head
from tests.factories.indexes import HEADER
from tools import skull
from tools.skull import measure, pairs


def slice_of(folder: Path, name: str, gray: np.ndarray, tumor: bool, boxes=()) -> IndexedSlice:
    Image.fromarray(gray).save(folder / name)
    label = "glioma" if tumor else "no_tumor"
    return IndexedSlice(folder / name, name, "figshare", label, tumor, name, name, 0, boxes=boxes)


def test_taken_is_what_loses_its_skull_and_keeps_its_tumour(tmp_path):
    pytest.importorskip("keras", reason="needs the full installation")
    gray, _ = head_with_bone(256, 256)
    inside, in_bone = ((0.5, 0.5, 0.1, 0.1),), ((0.5, 0.06, 0.1, 0.06),)
    slices = [
        slice_of(tmp_path, "free.png", gray, False),
        slice_of(tmp_path, "inside.png", gray, True, inside),
        slice_of(tmp_path, "at the bone.png", gray, True, in_bone),
        slice_of(tmp_path, "not outlined.png", gray, True),
        slice_of(tmp_path, "no bone.png", synthetic_head(), False),
    ]
    taken = {s.file: (framed, without) for s, framed, without in pairs(slices)}
    assert [*taken] == ["free.png", "inside.png"]
    for framed, without in taken.values():
        assert np.mean(framed == 0) < np.mean(without == 0)


def test_found_and_free_are_counted_with_the_skull_and_without(monkeypatch):
    # The values are looked at, not their intervals.
    monkeypatch.setattr("brat.evaluation.metrics.RESAMPLES", 10)
    tumours = [True, True, True, True, False, False]
    slices = [
        IndexedSlice(Path(f"{n}"), f"{n}", "lgg", "", tumor, f"{n}", f"{n}", 0)
        for n, tumor in enumerate(tumours)
    ]
    glioma, none = (np.eye(4)[CLASSES.index(name)] for name in ("glioma", "no_tumor"))
    read = [(glioma, none), (glioma, glioma), (glioma, none), (none, none), (none, none), (none, glioma)]
    said = measure(slices, np.array(read))
    assert {name: {k: e["value"] for k, e in entries.items()} for name, entries in said.items()} == {
        "found": {"with skull": 0.75, "without": 0.25},
        "specificity": {"with skull": 1.0, "without": 0.5},
    }
    assert [*measure(slices[4:], np.array(read[4:]))] == ["specificity"]


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"data_fingerprint": "other"}, "was trained on other data"),
        ({"test_fold": 2}, "has learned from fold 1"),
    ],
)
def test_a_model_that_may_have_met_the_slices_is_refused(tmp_path, monkeypatch, capsys, card, said):
    Image.fromarray(head_with_bone(64, 64)[0]).save(tmp_path / "a.png")
    (tmp_path / "index.csv").write_text(HEADER + "a.png,a.png,br35h,no_tumor,0,a,a,1,,\n")
    run = tmp_path / "fold-1"
    run.mkdir()
    known = {"data_fingerprint": fingerprint(read_index(tmp_path / "index.csv")), "test_fold": 1}
    (run / "model_card.json").write_text(json.dumps(known | card))
    arguments = ["--data", f"{tmp_path / 'index.csv'}", "--runs", f"{tmp_path}", "--folds", "1"]
    monkeypatch.setattr("sys.argv", ["skull", *arguments, "--out", f"{tmp_path / 'out.csv'}"])
    with pytest.raises((ValueError, SystemExit)) as raised:
        skull.main()
    assert said in f"{raised.value}{capsys.readouterr().err}"
    assert not (tmp_path / "out.csv").exists()
