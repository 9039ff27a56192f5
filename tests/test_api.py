"""`import brat`: what it costs, what it takes, and that its documented examples hold."""

from __future__ import annotations

import doctest
import io
import json
import re
import shutil
import subprocess
import sys
from html import escape
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image, ImageColor
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

import brat
from brat.classes import CLASS_COLOURS
from brat.io.samples import load_samples
from brat.model.reader import Reader as ArrayReader
from brat.wording import percent
from tests.factories.paths import ROOT
from tests.factories.weights import model_folder

SAMPLES = {sample.name: sample.file for sample in load_samples()}
HEALTHY = SAMPLES["head-axial"]
TUMOUR = SAMPLES["glioma-sagittal"]


def as_dicom(gray: np.ndarray, position: float, series: str) -> bytes:
    """A slice of an MR series, uint8 (height, width), at a position in millimetres."""
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SOPClassUID, header.SOPInstanceUID = MRImageStorage, generate_uid()
    header.SeriesInstanceUID, header.Modality = series, "MR"
    header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    header.ImagePositionPatient = [0, 0, position]
    header.Rows, header.Columns = gray.shape
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated = header.BitsStored = 8
    header.HighBit, header.PixelRepresentation = 7, 0
    header.PixelData = gray.tobytes() + b"\0" * (gray.size % 2)
    content = io.BytesIO()
    pydicom.dcmwrite(content, header, enforce_file_format=True)
    return content.getvalue()


@pytest.fixture
def files(tmp_path, monkeypatch) -> Path:
    """The folder that the examples run in."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(HEALTHY, "scan.png")
    other = np.random.default_rng(0).integers(0, 256, (300, 300), dtype=np.uint8)
    Image.fromarray(other).save("other.png")
    Path("empty").mkdir()
    model_folder(Path("run"))
    Path("series").mkdir()
    gray, uid = brat.read(HEALTHY).scan.gray, generate_uid()
    for number in range(5):
        slice_ = gray if number < 4 else np.zeros_like(gray)
        # The names run against the order in which the slices lie.
        Path(f"series/{9 - number}.dcm").write_bytes(as_dicom(slice_, 4.0 * number, uid))
    return tmp_path


@pytest.mark.parametrize("page", ["docs/api.md", "README.md"])
def test_documented_examples_hold(files, page):
    examples = re.findall(r"```python\n(>>> .*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert examples
    test = doctest.DocTestParser().get_doctest("\n".join(examples), {}, page, page, 0)
    printed: list[str] = []
    runner = doctest.DocTestRunner()
    runner.run(test, out=printed.append)
    assert runner.tries >= 3
    assert not printed, "".join(printed)


def test_import_loads_nothing_and_a_reading_no_research():
    program = (
        "import json, sys; before = set(sys.modules)\n"
        "import brat; dir(brat); at_import = set(sys.modules) - before\n"
        f"brat.read({str(HEALTHY)!r})\n"
        "print(json.dumps([sorted(at_import), sorted(sys.modules)]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    at_import, at_read = json.loads(result.stdout)
    tops = {module.partition(".")[0] for module in at_import}
    assert not tops & {"numpy", "cv2", "PIL", "pydicom", "ai_edge_litert"}
    assert [module for module in at_import if module.startswith("brat")] == ["brat"]
    for room in ("data", "training", "evaluation", "reports", "store", "figures"):
        assert not [module for module in at_read if module.startswith(f"brat.{room}")], room


def test_every_public_name_is_there():
    for name in brat.__all__:
        assert getattr(brat, name) is not None
    assert set(brat.__all__) < set(dir(brat))
    assert brat.__version__
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = brat.nothing_of_the_kind


def test_path_text_bytes_and_array_read_alike():
    expected = ArrayReader().read(np.array(Image.open(HEALTHY).convert("L"))).prediction
    gray = brat.read(HEALTHY).scan.gray
    for source in (HEALTHY, str(HEALTHY), HEALTHY.read_bytes(), gray):
        reading = brat.read(source)
        assert reading.label == expected.label
        assert reading.probabilities == pytest.approx(expected.by_class(), abs=1e-4)


def test_an_array_of_any_range_is_stretched_and_uint8_is_not():
    gray = brat.read(HEALTHY).scan.gray
    wide = gray.astype(np.uint16) * 257
    for array in (wide, gray / 255, gray.astype(np.float32) * 1e4 - 77, gray.astype(np.int16) - 1000):
        assert np.abs(brat.read(array).scan.gray.astype(int) - brat.read(wide).scan.gray).max() <= 1
    assert brat.read(wide).scan.gray.max() == 255
    dim = gray // 2
    reading = brat.read(dim)
    assert (reading.scan.gray == dim).all()
    dim[:] = 0
    assert reading.scan.gray.max() > 0, "a reading must not change with the caller's array"


def test_numbers_that_are_none_do_not_spoil_an_array():
    array = brat.read(HEALTHY).scan.gray.astype(float)
    array[0, 0], array[0, 1] = np.nan, np.inf
    assert brat.read(array).label == brat.read(HEALTHY).label


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((3, 90, 90)), "shape"),
        (np.zeros(90), "shape"),
        (np.zeros((0, 90)), "shape"),
        (np.zeros((90, 90), bool), "bool"),
        (np.zeros((90, 90), complex), "complex"),
        (np.eye(20), "20 x 20"),
        (np.zeros((90, 90)), "nothing in it to read"),
        (np.eye(90) * 1e39, "32-bit"),
    ],
)
def test_an_array_that_is_no_slice_is_refused(array, sentence):
    with pytest.raises(ValueError, match=sentence):
        brat.read(array)


def test_what_is_no_source_is_refused():
    for source in (
        None,
        3,
        [3],
        [b"x"],
        [[0.0] * 90] * 90,
        bytearray(b"x"),
        memoryview(b""),
        io.BytesIO(b"x"),
    ):
        for read in (brat.read, brat.read_series):
            with pytest.raises(TypeError, match="given as a path"):
                read(source)
    with pytest.raises(TypeError, match="not as list"):
        brat.read([HEALTHY])
    for read in (brat.read, brat.read_series):
        with pytest.raises(brat.UnreadableScan, match="path is empty"):
            read("")


def test_prediction_set_overlay_and_map_check_what_they_are_asked_for():
    reading = brat.read(HEALTHY)
    assert set(reading.levels) == {0.9, 0.95, 0.99}
    assert set(reading.prediction_set(0.9)) <= set(reading.prediction_set(0.99)) <= set(brat.CLASSES)
    with pytest.raises(ValueError, match=r"0\.5"):
        reading.prediction_set(0.5)
    with pytest.raises(ValueError, match="tumour"):
        reading.overlay("tumour")
    with pytest.raises(ValueError, match="opacity"):
        reading.overlay(opacity=60)


def test_overlay_is_of_the_class_and_as_opaque_as_asked_for():
    reading = brat.read(TUMOUR)
    gray = np.stack([reading.scan.gray] * 3, axis=-1).astype(int)
    assert reading.class_map().shape == reading.scan.gray.shape
    assert reading.class_map("glioma").max() == pytest.approx(1, abs=0.05)
    assert (reading.overlay(opacity=0) == gray).all()
    faint, strong = (np.abs(reading.overlay(opacity=opacity) - gray).sum() for opacity in (0.2, 0.8))
    assert 0 < faint < strong
    assert (reading.overlay("glioma") == reading.overlay()).all()
    assert (reading.overlay("glioma") != reading.overlay("no_tumor")).any()


def test_no_map_unasked_where_it_says_nothing(files):
    for source, is_marked in ((TUMOUR, True), (HEALTHY, False), ("other.png", False)):
        reading = brat.read(source)
        gray = np.stack([reading.scan.gray] * 3, axis=-1)
        assert reading.is_marked is is_marked
        assert (reading.overlay() != gray).any() == is_marked
        # Whoever asks for a map gets it.
        asked = reading.class_map(reading.label).max() > 0
        assert (reading.overlay(reading.label) != gray).any() == asked


def test_a_model_without_calibration_says_so(files):
    reading = brat.Reader("run").read("scan.png")
    assert reading.in_distribution is None
    assert reading.reason == ""
    assert reading.levels == ()
    with pytest.raises(ValueError, match="none"):
        reading.prediction_set()
    assert "set:" not in reading._repr_html_()


def test_notebook_shows_slice_map_and_bars():
    reading = brat.read(TUMOUR)
    page = reading._repr_html_()
    assert page.count("data:image/png;base64,") == 2
    assert brat.read(HEALTHY)._repr_html_().count("data:image/png;base64,") == 1
    for label in brat.CLASSES:
        assert brat.CLASS_NAMES[label] in page
        assert escape(percent(reading.probabilities[label], 1)) in page
    assert f"95 % set: {brat.CLASS_NAMES[reading.prediction_set()[0]]}" in page
    with Image.open(io.BytesIO(reading._repr_png_())) as picture:
        pixels = np.array(picture)
    # The map, and the bar of the answer, have colour.
    assert (np.ptp(pixels[:250].astype(int), axis=2) > 60).any()
    colour = ImageColor.getrgb(CLASS_COLOURS[reading.label])
    wide = round(reading.probabilities[reading.label] * 340)
    assert (pixels == colour).all(axis=2).sum() > wide * 10


def test_notebook_withholds_an_answer_about_another_picture(files):
    reading = brat.read("other.png")
    page = reading._repr_html_()
    assert page.index(reading.reason) < page.index("<details>") < page.index("<table")
    assert page.count("data:image/png;base64,") == 1
    with Image.open(io.BytesIO(reading._repr_png_())) as picture:
        pixels = np.array(picture)
    assert not np.ptp(pixels.astype(int), axis=2).any(), "neither map nor bars"
    assert "glioma" not in repr(reading).lower()


def test_names_from_files_are_escaped(tmp_path):
    name = '<img src=x onerror="alert(1)">.png'
    path = tmp_path / name
    shutil.copy(HEALTHY, path)
    assert "<img src=x" not in brat.read(path)._repr_html_()
    assert "&lt;img src=x" in brat.read(path)._repr_html_()
    volume = np.stack([brat.read(HEALTHY).scan.gray] * 3, axis=-1)
    target = tmp_path / "<b>bold.nii"
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), target)
    page = brat.read_series(target)._repr_html_()
    assert "<b>" not in page
    assert "&lt;b&gt;bold.nii" in page


def test_a_notebook_does_not_show_folders(files):
    for reading in (brat.read(files / "scan.png"), brat.read_series(files / "series")):
        assert str(files) not in reading._repr_html_() + repr(reading)
    assert brat.read(files / "scan.png").scan.name == "scan.png"


def test_one_way_in_for_what_holds_one_slice_or_many(files):
    with pytest.raises(brat.UnreadableScan, match="read_series"):
        brat.read("series")
    with pytest.raises(ValueError, match=r"brat\.read\b"):
        brat.read_series("scan.png")
    with pytest.raises(brat.UnreadableScan, match="no scans"):
        brat.read_series("empty")
    with pytest.raises(brat.UnreadableScan, match="opened"):
        brat.read_series("missing")
    gray = brat.read("scan.png").scan.gray
    Path("series/other.dcm").write_bytes(as_dicom(gray[:200], 0, uid := generate_uid()))
    Path("series/other2.dcm").write_bytes(as_dicom(gray[:200], 1, uid))
    with pytest.raises(ValueError, match="2 series"):
        brat.read_series("series")


def test_series_of_files_of_a_folder_and_a_volume(files):
    expected = brat.read_series("series")
    by_name = brat.read_series([*sorted(files.glob("series/*.dcm"))])
    assert [r and r.label for r in by_name.slices] == [r and r.label for r in expected.slices]
    volume = np.stack([brat.read("scan.png").scan.gray[:300, :300]] * 70, axis=-1)
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([1, 1, 2, 1])), "volume.nii.gz")
    axial = brat.read_series("volume.nii.gz", plane="axial")
    assert len(axial) == 70
    assert axial.positions == tuple(2.0 * number for number in range(70))
    assert sum(axial.counts.values()) == len(axial.in_distribution)
    assert len(axial.in_distribution) + len(axial.out_of_distribution) == 70
    with pytest.raises(ValueError, match="oblique"):
        brat.read_series("volume.nii.gz", plane="oblique")


def test_series_shows_itself_with_its_most_suspicious_slice(files):
    series = brat.read_series("series")
    page = series._repr_html_()
    assert all(statement in page for statement in series.statements)
    assert page.count("<img ") == 4
    assert f"Slice {series.most_suspicious + 1}:" in page
    # A slice of a series is as good as one read by itself.
    assert series.slices[1].probabilities == pytest.approx(brat.read("scan.png").probabilities, abs=0.02)
    assert series.slices[1].overlay().shape == (*series.slices[1].scan.gray.shape, 3)


def test_brat_weights_names_the_model(files):
    program = "import brat; print(brat.read('scan.png').in_distribution)"
    for folder, status, words in (("run", 0, "None"), ("empty", 1, "no model.tflite in empty")):
        result = subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONPATH": str(ROOT), "PATH": "", "BRAT_WEIGHTS": folder},
            capture_output=True,
            text=True,
        )
        assert result.returncode == status, result.stderr
        assert words in result.stdout + result.stderr
