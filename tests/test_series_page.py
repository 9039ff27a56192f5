"""A series in Review, through Streamlit's own test harness."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from test_intake import slice_of, zipped
from test_series_reading import GLIOMA, MENINGIOMA, NONE, REFUSED, UNREAD

from brat.classifier import Classifier
from brat.reader import Reader
from brat.samples import load_samples
from brat.scans import read_scan
from brat.series_reading import SeriesReading
from pages.words import series as words

ROOT = Path(__file__).resolve().parent.parent
# One that the gate lets through.
SAMPLE = next(s for s in load_samples() if s.name == "head-axial-ring")


@pytest.fixture(autouse=True)
def _at_root(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT))


def volume() -> bytes:
    """Six axial slices: nothing, noise, the sample three times, nothing."""
    head = read_scan(SAMPLE.file).gray
    noise = np.random.default_rng(0).integers(0, 256, head.shape, np.uint8)
    nothing = np.zeros_like(head)
    slices = [nothing, noise, head, head, head, nothing]
    # From how they are shown to left, back and foot first.
    stored = np.stack([one.T[::-1, ::-1] for one in slices], axis=-1)
    return nibabel.Nifti1Image(stored, np.eye(4)).to_bytes()


def review(name: str, data: bytes) -> AppTest:
    page = AppTest.from_file(str(ROOT / "pages" / "review.py"), default_timeout=120).run()
    page.file_uploader[0].upload(name, data).run()
    assert not page.exception
    return page


def viewer(page: AppTest) -> dict:
    """What the viewer was sent."""
    (component,) = page.get("bidi_component")
    return json.loads(component.proto.json)[0]


def test_a_volume_is_read_slice_by_slice(monkeypatch):
    page = review("head.nii", volume())
    label = read_label()
    sent = viewer(page)
    assert [one["mark"] for one in sent["slices"]] == [
        "unread",
        "refused",
        "known",
        "known",
        "known",
        "unread",
    ]
    assert sent["start"] == sent["aim"] == 2
    assert [one["label"] for one in sent["slices"]] == ["", "", label, label, label, ""]
    assert not sent["slices"][1]["maps"]
    assert set(sent["slices"][2]["maps"]) == {"glioma", "meningioma", "pituitary", "no_tumor"}
    text = " ".join(block.value for block in page.markdown)
    assert "Not a probability for the patient" in text
    assert "refused as unlike those that the model knows: 2." in text
    assert "Not read, damaged or empty: 1, 6." in text

    # Read once.
    def forbidden(*_args):
        raise AssertionError("read again")

    monkeypatch.setattr(Classifier, "predict", forbidden)
    page.toggle(key="series-numbers").set_value(True).run()
    assert not page.exception
    assert len(page.dataframe[0].value) == 6


def read_label() -> str:
    return Reader().read(read_scan(SAMPLE.file).gray).prediction.label


def test_a_series_of_dicom_in_an_archive():
    page = review("study.zip", zipped({f"a/{n}": slice_of(n) for n in range(4)}))
    assert any("study.zip/a" in block.value and "4 slices" in block.value for block in page.markdown)
    sent = viewer(page)
    assert len(sent["slices"]) == 4
    # Another window makes other pictures.
    page.radio[0].set_value(1).run()
    assert not page.exception
    assert viewer(page)["slices"][0]["scan"] != sent["slices"][0]["scan"]
    assert any("no longer as it was exported" in caption.value for caption in page.caption)


def test_a_series_that_cannot_be_read_leaves_the_scan():
    page = AppTest.from_file(str(ROOT / "pages" / "review.py"), default_timeout=120).run()
    page.button(key=f"welcome-{SAMPLE.name}").click().run()
    page.file_uploader[0].upload("head.nii", volume()[:5000]).run()
    assert not page.exception
    assert "head.nii" in page.error[0].value
    assert SAMPLE.file.name in page.error[0].value


@pytest.mark.parametrize(
    ("slices", "heading", "says"),
    [
        (
            (NONE, REFUSED),
            "No tumour: the answer in the 1 slice that the gate lets through",
            "1 slice refused",
        ),
        (
            (NONE, NONE, REFUSED, REFUSED, REFUSED),
            "No tumour: the answer in all 2 slices that the gate lets through",
            "3 slices refused as unlike those that the model knows: 3 to 5. Most slices were refused",
        ),
        (
            (REFUSED, UNREAD),
            "No slice to answer for",
            "1 slice refused as unlike those that the model knows: 1. Not read, damaged or empty: 2.",
        ),
        (
            (NONE, GLIOMA, GLIOMA, MENINGIOMA, GLIOMA, REFUSED),
            "A tumour: the answer in 4 of 5 slices",
            "**Glioma**: 3 slices, the longest run from 2 to 3 (5 mm); the strongest in it is slice 2 with "
            "90 %. **Meningioma**: slice 4 alone, with 80 %.",
        ),
        (
            (NONE, GLIOMA, GLIOMA),
            "Glioma: the answer in 2 of 3 slices",
            "**Glioma**: 2 slices, in one run from 2 to 3 (5 mm);",
        ),
        (
            (GLIOMA, NONE, GLIOMA),
            "Glioma: the answer in 2 of 3 slices",
            "**Glioma**: 2 slices, no two side by side; the strongest is slice 1 with 90 %.",
        ),
        ((GLIOMA,), "Glioma: the answer in 1 of 1 slice", "A single slice: there are no neighbours"),
    ],
)
def test_what_is_said_of_a_series(slices, heading, says):
    read = SeriesReading(slices, tuple(5.0 * number for number in range(len(slices))))
    assert words.heading(read) == heading
    assert says in " ".join(words.findings(read)).replace("\u00a0", " ")
    assert "**" not in words.strip(read)


@pytest.mark.parametrize(
    ("positions", "says"),
    [
        (None, "do not say where the slices lie"),
        ((0, 0, 5, 5), "lie at one place"),
        ((0, 5, 15, 20), "missing after 2:"),
    ],
)
def test_neighbours_that_may_be_none_are_named(positions, says):
    said = " ".join(words.findings(SeriesReading((NONE,) * 4, positions)))
    assert says in said
    assert says not in " ".join(words.findings(SeriesReading((NONE,) * 4, (0, 5, 10, 15))))
