"""The audit must find what was planted, blame nothing else, and rediscover what is known of real data."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from brat.data.audit import Name, _threshold_examples, audit, describe, write_audit
from brat.data.index import COLUMNS
from brat.data.near_duplicates import (
    NEAR_DUPLICATE,
    has_near_duplicate,
    near_duplicate_groups,
    near_duplicate_share,
    nearest,
    similar_pairs,
    thumbnails,
)
from brat.figures.audit import draw_audit
from brat.io.read import read_scan
from brat.model.preprocess import frame

DATA = Path(os.environ.get("BRAT_DATA", Path(__file__).parents[3] / "shared" / "data" / "index.csv"))


def head(seed: int, size: int = 160) -> np.ndarray:
    """uint8 (size, size): an ellipse on black whose inside differs with the seed."""
    coarse = np.random.default_rng(seed).uniform(40, 255, (7, 7)).astype(np.float32)
    inside = np.clip(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), 40, 255)
    mask = np.zeros((size, size), np.uint8)
    cv2.ellipse(mask, (size // 2, size // 2), (size * 3 // 8, size * 7 // 16), 0, 0, 360, 1, -1)
    return (inside * mask).astype(np.uint8)


def save(path: Path, gray: np.ndarray, quality: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if quality else []
    assert cv2.imwrite(str(path), gray, options)
    return path


def recut(gray: np.ndarray) -> np.ndarray:
    """The same head, larger, darker and in a wider frame."""
    larger = cv2.resize(gray, None, fx=1.3, fy=1.3, interpolation=cv2.INTER_LINEAR)
    return cv2.copyMakeBorder((larger * 0.7).astype(np.uint8), 10, 40, 60, 5, cv2.BORDER_CONSTANT)


def write_rows(path: Path, rows: list[dict]) -> Path:
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows({"near_fold": "", "boxes": "", "group": "g", "cluster": "g"} | row for row in rows)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two collections; `one` has splits: 4 images to train on, and of 4 tested 1 exact, 1 near, 2 new."""
    root = tmp_path_factory.mktemp("collections")
    for seed in range(4):
        save(root / f"one/Training/glioma_tumor/{seed}.png", head(seed))
    save(root / "one/Testing/glioma_tumor/same.bmp", head(0))  # other bytes, the same pixels
    save(root / "one/Testing/meningioma_tumor/recut.jpg", recut(head(1)), quality=70)
    save(root / "one/Testing/glioma_tumor/new.png", head(10))
    save(root / "one/Testing/no_tumor/new.png", head(11))
    save(root / "two/yes/same.png", head(0))
    save(root / "two/no/another.png", head(20))
    (root / "two/no/broken.png").write_bytes(b"\x89PNG broken")
    (root / "two/no/notes.txt").write_text("not an image")
    return root


@pytest.fixture(scope="module")
def audited(folder):
    return audit(folder)


def test_counts_names_files_and_images(audited):
    findings = audited.findings
    assert (findings["names"], findings["files"], findings["images"]) == (10, 10, 8)
    assert [file["name"] for file in findings["unreadable"]] == ["two/no/broken.png"]
    assert "damaged" in findings["unreadable"][0]["why"]


def test_shares_across_splits(audited):
    matrix = audited.findings["splits"]["one"]
    assert list(audited.findings["splits"]) == ["one"]
    assert (matrix["of"], matrix["names"]) == (["train", "test"], [4, 4])
    assert matrix["exact"] == [[0.0, 0.25], [0.25, 0.0]]
    assert matrix["near"] == [[0.0, 0.5], [0.5, 0.0]]


def test_shares_inside_and_between_collections(audited):
    matrix = audited.findings["collections"]
    assert (matrix["of"], matrix["names"]) == (["one", "two"], [8, 2])
    assert matrix["exact"] == [[0.25, 0.25], [0.5, 0.0]]
    assert matrix["near"] == [[0.5, 0.25], [0.5, 0.0]]


def test_labels_disagree_only_where_none_fits_both(audited):
    # `two/yes` says only "a tumour", which glioma is: no conflict.
    (conflict,) = audited.findings["label_conflicts"]
    assert conflict["kind"] == "near"
    assert conflict["left"] == {"place": "one/test", "label": "meningioma", "names": 1}
    assert conflict["right"] == {"place": "one/train", "label": "glioma", "names": 1}
    assert conflict["examples"][0]["left"] == "one/Testing/meningioma_tumor/recut.jpg"


def test_a_tumour_called_no_tumour_is_a_conflict(tmp_path):
    save(tmp_path / "yes/a.png", head(0))
    save(tmp_path / "no/b.png", head(0))
    (conflict,) = audit(tmp_path).findings["label_conflicts"]
    assert conflict["kind"] == "exact"
    assert {conflict[side]["label"] for side in ("left", "right")} == {"", "no_tumor"}


def test_a_folder_of_classes_or_splits_is_one_collection(tmp_path):
    save(tmp_path / "mine/val/glioma/a.png", head(0))
    save(tmp_path / "mine/TRAIN/glioma/b.png", head(0))
    save(tmp_path / "mine/pituitary/c.png", head(1))
    save(tmp_path / "mine/d.png", head(1))
    findings = audit(tmp_path / "mine").findings
    assert findings["collections"]["of"] == ["mine"]
    assert findings["splits"]["mine"]["of"] == ["train", "validation"]
    assert findings["splits"]["mine"]["exact"] == [[0.0, 1.0], [1.0, 0.0]]
    assert findings["label_conflicts"] == []  # nothing is said of d.png
    assert findings["folds"] is None


def test_an_index_is_audited_by_name_and_by_fold(tmp_path):
    for seed in range(4):
        save(tmp_path / f"f/{seed}.png", head(seed))
    save(tmp_path / "f/recut.png", recut(head(1)))
    row = {"source": "mine", "label": "glioma", "tumor": 1}
    index = write_rows(
        tmp_path / "index.csv",
        [
            row | {"name": "f/0.png", "file": "f/0.png", "fold": 0},
            row | {"name": "theirs/Test/0.png", "file": "f/0.png", "fold": 0, "source": "theirs"},
            row | {"name": "f/1.png", "file": "f/1.png", "fold": 0},
            row | {"name": "f/recut.png", "file": "f/recut.png", "fold": 1},
            row | {"name": "f/2.png", "file": "f/2.png", "fold": 1, "near_fold": "0"},
            row | {"name": "theirs/Train/2.png", "file": "f/3.png", "fold": 2, "source": "theirs"},
        ],
    )
    findings = audit(index).findings
    assert (findings["names"], findings["files"], findings["images"]) == (6, 5, 5)
    assert findings["collections"]["exact"] == [[0.0, 0.25], [0.5, 0.0]]
    assert findings["splits"]["theirs"]["of"] == ["train", "test"]
    assert findings["folds"]["names"] == [3, 2, 1]
    assert findings["folds"]["exact"] == [0.0, 0.0, 0.0]
    assert findings["folds"]["near"] == [round(1 / 3, 4), 0.5, 0.0]


def test_slices_near_the_tested_fold_are_not_trained_on(tmp_path):
    save(tmp_path / "a.png", head(0))
    save(tmp_path / "b.png", recut(head(0)))
    row = {"source": "mine", "label": "glioma", "tumor": 1}
    rows = [row | {"name": f"{n}.png", "file": f"{n}.png", "fold": k} for k, n in enumerate("ab")]
    rows[1]["near_fold"] = "0"
    assert audit(write_rows(tmp_path / "index.csv", rows)).findings["folds"]["near"] == [0.0, 1.0]


def test_the_histogram_counts_every_image_once(audited):
    nearest = audited.findings["nearest"]
    assert len(nearest["edges"]) == len(nearest["counts"]) + 1
    assert sum(nearest["counts"]) == audited.findings["images"]
    assert nearest["threshold"] == NEAR_DUPLICATE
    # head(1) and its recut copy are each other's nearest; all else is new.
    assert sum(nearest["counts"][nearest["edges"].index(NEAR_DUPLICATE) :]) == 2


def test_threshold_examples_lie_on_both_sides_in_order(audited):
    examples = audited.findings["examples"]["threshold"]
    similarities = [example["similarity"] for example in examples]
    assert similarities == sorted(similarities, reverse=True)
    assert [example["near_duplicates"] for example in examples] == [s > NEAR_DUPLICATE for s in similarities]
    assert {examples[0]["left"], examples[0]["right"]} == {
        "one/Testing/meningioma_tumor/recut.jpg",
        "one/Training/glioma_tumor/1.png",
    }
    assert not examples[1]["near_duplicates"]


def test_the_text_for_the_terminal_gives_the_findings(audited):
    text = describe(audited.findings)
    assert "10 names, 10 files, 8 different images" in text
    assert f"two/no/broken.png: {audited.findings['unreadable'][0]['why']}" in text
    assert "near: 1 in one/test labelled meningioma, 1 in one/train labelled glioma" in text
    cells = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]
    assert ["test", "4", "50.0 % (25.0 %)", "0.0 % (0.0 %)"] in cells
    assert ["two", "2", "50.0 % (50.0 %)", "0.0 % (0.0 %)"] in cells


def test_the_picture_shows_both_heads_of_every_pair(audited):
    examples = audited.findings["examples"]
    for section, pairs in examples.items():
        alone = {name: pairs if name == section else [] for name in examples}
        picture = np.array(draw_audit(audited.findings | {"examples": alone}, audited.paths).convert("L"))

        def likeness(gray, picture=picture):
            small = cv2.resize(frame(gray)[0], (140, 140), interpolation=cv2.INTER_AREA)
            return cv2.matchTemplate(picture, small, cv2.TM_CCOEFF_NORMED).max()

        assert pairs
        for name in {pair[side] for pair in pairs for side in ("left", "right")}:
            assert likeness(read_scan(audited.paths[name]).gray) > 0.995, name
        assert likeness(head(99)) < 0.95


def test_as_many_examples_above_the_threshold_as_below():
    similarity = np.repeat([0.99, 0.9499], 40)
    names = [Name(str(i), Path(str(i)), "mine", "", None) for i in range(80)]
    examples = _threshold_examples(names, np.arange(80), np.arange(80) ^ 1, similarity)
    assert [example["near_duplicates"] for example in examples] == [True] * 8 + [False] * 8
    assert len({example["left"] for example in examples}) == 16


def test_files_are_written_and_say_the_same(folder, audited, tmp_path):
    text = write_audit(folder, tmp_path / "audit.json", tmp_path / "audit.png")
    assert json.loads((tmp_path / "audit.json").read_text()) == audited.findings
    assert text == describe(audited.findings)
    assert (
        cv2.imread(str(tmp_path / "audit.png")).shape[1] == draw_audit(audited.findings, audited.paths).width
    )


def test_one_image_alone_has_no_neighbour(tmp_path):
    save(tmp_path / "glioma/a.png", head(0))
    audited = audit(tmp_path)
    assert sum(audited.findings["nearest"]["counts"]) == 0
    assert audited.findings["examples"]["threshold"] == []
    assert draw_audit(audited.findings, audited.paths).height > 0
    assert "none" in describe(audited.findings)


def test_nothing_to_audit(tmp_path):
    with pytest.raises(ValueError, match="no image that can be read"):
        audit(tmp_path)
    with pytest.raises(FileNotFoundError):
        audit(tmp_path / "absent.csv")


def test_near_duplicates_groups_and_shares(folder):
    train = [folder / f"one/Training/glioma_tumor/{seed}.png" for seed in range(4)]
    test = sorted((folder / "one/Testing").rglob("*.*"))
    thumbs = thumbnails(train), thumbnails(test)
    duplicates = {
        path.name
        for path, duplicate in zip(test, has_near_duplicate(thumbs[1], thumbs[0]), strict=True)
        if duplicate
    }
    assert duplicates == {"same.bmp", "recut.jpg"}
    assert near_duplicate_share(test, train) == 0.5
    groups = near_duplicate_groups([*train, *test])
    assert len(set(groups)) == 6
    assert groups[1] == groups[4 + [path.name for path in test].index("recut.jpg")]


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_blocks_of_any_size_find_the_same(folder, monkeypatch, rows):
    paths = [path for path in sorted(folder.rglob("*.*")) if path.name not in ("broken.png", "notes.txt")]
    thumbs = thumbnails(paths)
    monkeypatch.setattr("brat.data.near_duplicates._BLOCK_VALUES", rows * len(paths))
    correlation = np.corrcoef(thumbs)
    expected = np.argwhere(np.triu(correlation > NEAR_DUPLICATE, 1))
    left, right, similarity = similar_pairs(thumbs)
    assert np.stack([left, right], axis=1).tolist() == expected.tolist()
    assert similarity == pytest.approx(correlation[left, right], abs=1e-5)
    np.fill_diagonal(correlation, -1)
    assert nearest(thumbs)[1] == pytest.approx(correlation.max(axis=1), abs=1e-5)
    assert has_near_duplicate(thumbs, thumbs).all()


def test_an_unreadable_file_is_named(folder):
    with pytest.raises(ValueError, match=r"broken\.png"):
        thumbnails([folder / "two/no/broken.png"])


@pytest.mark.skipif(not DATA.exists(), reason="needs the data collections (BRAT_DATA)")
def test_rediscovers_what_is_known_of_sartaj(tmp_path):
    with DATA.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    files = {row["file"] for row in rows if row["source"] == "sartaj"}
    rows = [row | {"file": str(DATA.parent / row["file"])} for row in rows if row["file"] in files]
    findings = audit(write_rows(tmp_path / "index.csv", rows)).findings
    splits = findings["splits"]["sartaj"]
    test, train = splits["of"].index("test"), splits["of"].index("train")
    assert 0.6 < splits["near"][test][train] < 0.75
    assert 0.45 < splits["near"][test][test] < 0.6
    relabelled = {
        conflict["right"]["place"]: conflict["right"]["names"]
        for conflict in findings["label_conflicts"]
        if conflict["kind"] == "exact"
        and (conflict["left"]["place"], conflict["left"]["label"]) == ("figshare", "meningioma")
        and conflict["right"]["label"] == "pituitary"
    }
    assert relabelled == {"sartaj/test": 10, "sartaj/train": 4}
