import gzip
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import nibabel
import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

import brat
from brat import predict
from brat.classes import CLASSES
from brat.cli import _print_table, main
from brat.environment import CORES, WEIGHTS
from brat.io.files import File
from brat.io.intake import Item
from brat.io.read import read_scan
from brat.io.samples import load_samples
from brat.io.scan import UnreadableScan
from brat.model.reader import Reader
from tests.factories.files import slice_of
from tests.factories.pages import page_of, png
from tests.factories.weights import model_folder, recalibrated

SAMPLES = load_samples()


def lines(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_predict_says_what_was_left_out_and_what_the_header_says(tmp_path, capsys):
    gray = read_scan(SAMPLES[0].file).gray.astype(np.uint16) * 8
    rows, columns = gray.shape
    for number in range(3):
        data = slice_of(
            number,
            Rows=rows,
            Columns=columns,
            PixelData=(gray + number).tobytes(),
            SeriesDescription="AX T1 POST",
            BodyPartExamined="KNEE",
        )
        (tmp_path / f"{number}.dcm").write_bytes(data)
    (tmp_path / "again.dcm").write_bytes(data)
    assert main(["predict", str(tmp_path), "--json"]) == 0
    captured = capsys.readouterr()
    records = [json.loads(line) for line in captured.out.splitlines()]
    assert len(records) == 3
    left_out = [name for record in records for name in record.get("left_out", [])]
    assert len(left_out) == 1
    assert f"brat: left out, as copies of slices that were given: {left_out[0]}" in captured.err
    for record in records:
        assert record["sequence"] == "t1ce"
        assert record["remarks"] == [
            "1 file is a copy of another that is here already, and was left out.",
            "By its header this shows a knee. The model knows the head only.",
        ]
    assert main(["predict", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("shows a knee") == 1


def test_predict_calls_no_probability_certain(capsys):
    shares = dict(zip(CLASSES, (0.9997, 0.0002, 0.0001, 0.0), strict=True))
    record = {"label": CLASSES[0], "probabilities": shares, "in_distribution": True, "remarks": []}
    _print_table([{"path": "a.png", **record}])
    row = capsys.readouterr().out.splitlines()[1]
    assert " ".join(row.split()) == "a.png Glioma > 99.9 % < 0.1 % < 0.1 % 0.0 %"


def test_predict_names_its_model_and_a_recalibration(tmp_path, capsys):
    site = recalibrated(tmp_path)
    assert main(["predict", str(SAMPLES[0].file), "--weights", str(tmp_path), "--json"]) == 0
    captured = capsys.readouterr()
    record = json.loads(captured.out)
    assert record["model"] == Reader(tmp_path).classifier.digest
    assert record["recalibrated"] == str(site)
    assert f"brat: the model is {site}." in captured.err
    assert main(["predict", str(SAMPLES[0].file), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["recalibrated"] is None
    assert "recalibrated" not in captured.err


def test_predict_json(capsys):
    assert main(["predict", "--json", *(str(s.file) for s in SAMPLES)]) == 0
    records = lines(capsys)
    assert [r["path"] for r in records] == [str(s.file) for s in SAMPLES]
    for record in records:
        assert list(record["probabilities"]) == list(CLASSES)
        assert sum(record["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert record["label"] == max(record["probabilities"], key=record["probabilities"].get)
        assert record["seconds"] > 0


def test_predict_gives_a_record_for_each_slice_of_a_page(tmp_path, capsys):
    """The sample of a tumour beside that of none: neither speaks for the page."""
    healthy = next(sample for sample in SAMPLES if sample.label == "no_tumor")
    alone = [cv2.resize(read_scan(sample.file).gray, (300, 300)) for sample in (SAMPLES[0], healthy)]
    file = tmp_path / "page.png"
    file.write_bytes(png(page_of(alone, 2, gutter=4, shade=255)))
    assert main(["predict", "--json", str(file)]) == 0
    records = lines(capsys)
    assert [(r["path"], r["panel"], r["panels"]) for r in records] == [(str(file), 1, 2), (str(file), 2, 2)]
    expected = [Reader().read(gray).prediction.label for gray in alone]
    assert [record["label"] for record in records] == expected
    assert main(["predict", str(file)]) == 0
    assert "page.png, panel 2" in capsys.readouterr().out
    with pytest.raises(UnreadableScan, match="2 slices beside each other"):
        brat.read(file)


def test_predict_goes_on_after_a_bad_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("scans").mkdir()
    Path("scans/a.png").write_text("not an image")
    Path("scans/b.png").write_bytes(SAMPLES[0].file.read_bytes())
    Path("scans/notes.txt").write_text("ignored")
    assert main(["predict", "scans", "./scans/../missing.png", "--json"]) == 1
    bad, good, missing = lines(capsys)
    assert bad == {"path": "scans/a.png", "error": bad["error"]}
    assert "not an image" in bad["error"]
    assert good["path"] == "scans/b.png"
    assert "label" in good
    assert missing["path"] == "./scans/../missing.png"
    assert "no file" in missing["error"]


def test_predict_keeps_the_order_and_names_what_is_bad(tmp_path, capsys):
    """Several scans are read at once, and the large ones, which come first, are the last to be ready."""
    reader = Reader()
    # Copies of a DICOM slice would count once.
    pictures = [sample.file for sample in SAMPLES if sample.file.suffix != ".dcm"]
    folder = tmp_path / "scans"
    folder.mkdir()
    with Image.open(pictures[0]) as picture:
        picture.convert("L").resize((1500, 1500)).save(folder / "00.png")
    bad = [folder / f"{number:02}.png" for number in range(4, 40, 7)]
    for number in range(1, 40):
        file = folder / f"{number:02}.png"
        file.write_bytes(b"nothing" if file in bad else pictures[number % len(pictures)].read_bytes())
    assert main(["predict", str(folder), "--json"]) == 1
    records = lines(capsys)
    assert [record["path"] for record in records] == sorted(map(str, folder.iterdir()))
    assert [record["path"] for record in records if "error" in record] == list(map(str, bad))
    for number, record in enumerate(records[1:], 1):
        if "error" not in record:
            expected = reader.read(read_scan(pictures[number % len(pictures)]).gray)
            assert record["label"] == expected.prediction.label
            assert record["probabilities"] == pytest.approx(expected.prediction.by_class(), abs=1e-4)
            assert record["ood_score"] == pytest.approx(expected.ood.score, abs=2e-3)


def test_predict_reads_only_a_little_ahead(monkeypatch):
    """What was read and waits to be printed would fill the memory otherwise."""
    started = []

    def read(reader, job, overlays):
        started.append(job.place["path"])
        return [{**job.place, "label": "glioma"}]

    monkeypatch.setattr(predict, "_read", read)
    items = [Item(str(number), (File(str(number), Path("nowhere")),)) for number in range(1000)]
    for number, record in enumerate(predict.read_entries(items, WEIGHTS)):
        assert record == (number + 1, {"path": str(number), "label": "glioma"})
        assert len(started) <= number + 1 + 4 * CORES
    assert len(started) == 1000


def test_no_map_is_written_where_it_says_nothing(tmp_path, capsys):
    (tmp_path / "noise.png").write_bytes(png(np.random.default_rng(0).integers(0, 256, (300, 300), np.uint8)))
    healthy = next(sample.file for sample in SAMPLES if sample.name == "head-axial")
    tumour = next(sample.file for sample in SAMPLES if sample.name == "glioma-sagittal")
    paths = [str(tmp_path / "noise.png"), str(healthy), str(tumour)]
    assert main(["predict", *paths, "--json", "--cam", str(tmp_path / "cam")]) == 0
    assert {one["label"] for one in lines(capsys)[1:]} == {"no_tumor", "glioma"}
    has_colour = {}
    for file in (tmp_path / "cam").iterdir():
        with Image.open(file) as picture:
            colours = np.array(picture.convert("RGB")).astype(int)
        has_colour[file.name.partition("-")[0], file.stem.rpartition("-")[2]] = np.ptp(colours, axis=2).any()
    assert has_colour == {
        ("noise", "unmarked"): False,
        (healthy.stem.partition("-")[0], "unmarked"): False,
        (tumour.stem.partition("-")[0], "glioma"): True,
    }


def test_predict_reads_every_slice_of_what_holds_several(tmp_path, capsys):
    sample = read_scan(SAMPLES[0].file)
    volume = np.stack([np.zeros_like(sample.gray), sample.gray, sample.gray[::-1]], axis=-1)
    # As a slice is stored: x to the left, and y to the front.
    volume = np.transpose(volume, (1, 0, 2))[::-1, ::-1]
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "a.nii.gz")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.write(SAMPLES[0].file, "scan.png")
        archive.writestr("bad.png", b"nothing")
    assert main(["predict", str(tmp_path), "--json", "--cam", str(tmp_path / "cam")]) == 1
    empty, first, second, scan, bad = lines(capsys)
    volume, archive = str(tmp_path / "a.nii.gz"), str(tmp_path / "b.zip")
    assert [empty["path"], empty["slice"], first["slice"], second["slice"]] == [volume, 1, 2, 3]
    assert "nothing in this slice" in empty["error"]
    expected = Reader().read(sample.gray).prediction.by_class()
    assert first["probabilities"] != second["probabilities"]
    assert scan["path"] == f"{archive}/scan.png"
    assert scan["probabilities"] == pytest.approx(expected, abs=1e-4)
    # The volume has a window of its own.
    assert first["probabilities"] == pytest.approx(expected, abs=0.02)
    assert "not an image" in bad["error"]
    assert len(list((tmp_path / "cam").iterdir())) == 3
    # A slice of nothing is none that failed.
    assert main(["predict", volume]) == 0
    assert f"{volume}, slice 3" in capsys.readouterr().out


def test_predict_reads_series_in_order_from_files_of_any_name(tmp_path, capsys):
    """DICOM without endings, plain and packed; the path of each slice is that of its file."""
    study = tmp_path / "study"
    study.mkdir()
    series, other = generate_uid(), generate_uid()
    places = {"IM2": 0, "IM10": 1, "A": 2, "B.v3": 3}
    for name, place in places.items():
        (study / name).write_bytes(slice_of(place, series=series))
    (study / "C.gz").write_bytes(gzip.compress(slice_of(4, series=series)))
    for place in range(2):
        (study / f"Z{place}").write_bytes(slice_of(place, series=other))
    (study / "scan.png.gz").write_bytes(gzip.compress(SAMPLES[0].file.read_bytes()))
    (study / "notes.txt").write_text("words")
    assert main(["predict", str(tmp_path), "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == f"brat: skipped {study / 'notes.txt'}: it is no scan by its name or its content\n"
    records = [json.loads(line) for line in captured.out.splitlines()]
    assert all("label" in record for record in records)
    # As the first file of each stands in the folder.
    expected = [
        *((str(study / name), f"{study}, series 1", n) for n, name in enumerate([*places, "C.gz"], 1)),
        *((str(study / f"Z{n - 1}"), f"{study}, series 2", n) for n in (1, 2)),
        (str(study / "scan.png.gz"), None, None),
    ]
    assert [(r["path"], r.get("series"), r.get("slice")) for r in records] == expected
    expected_reading = Reader().read(read_scan(SAMPLES[0].file).gray).prediction.by_class()
    assert records[-1]["probabilities"] == pytest.approx(expected_reading, abs=1e-4)


def test_predict_names_a_damaged_slice_by_its_file(tmp_path, capsys):
    (tmp_path / "1").write_bytes(slice_of(1))
    (tmp_path / "2").write_bytes(slice_of(2)[:-4000])
    (tmp_path / "3").write_bytes(slice_of(3, PixelData=bytes(2 * 80 * 70)))
    assert main(["predict", *(str(tmp_path / name) for name in "321"), "--json"]) == 1
    good, bad, empty = lines(capsys)
    assert "label" in good
    assert (bad["path"], bad["slice"]) == (str(tmp_path / "2"), 2)
    assert "damaged" in bad["error"]
    assert (empty["path"], empty["slice"]) == (str(tmp_path / "3"), 3)
    assert "nothing in this slice" in empty["error"]


def test_predict_says_which_volume_it_reads(tmp_path, capsys):
    head = read_scan(SAMPLES[0].file).gray
    volumes = np.stack([np.stack([head, head[::-1]], axis=-1)] * 3, axis=-1)
    image = nibabel.Nifti1Pair(volumes, np.eye(4))
    nibabel.save(image, tmp_path / "film.img")
    assert main(["predict", str(tmp_path), "--json"]) == 0
    captured = capsys.readouterr()
    path = str(tmp_path / "film.hdr")
    assert captured.err == f"brat: {path} holds 3 volumes; the first is read\n"
    records = [json.loads(line) for line in captured.out.splitlines()]
    assert [(r["path"], r["slice"], r["volume"], r["volumes"]) for r in records] == [
        (path, 1, 1, 3),
        (path, 2, 1, 3),
    ]


def test_predict_follows_a_dicomdir_and_says_what_is_missing(tmp_path, capsys):
    disc = tmp_path / "disc"
    shutil.copytree(Path(get_testdata_file("dicomdirtests/DICOMDIR")).parent / "77654033", disc / "77654033")
    shutil.copy(get_testdata_file("dicomdirtests/DICOMDIR"), disc)
    assert main(["predict", str(disc / "DICOMDIR"), "--json"]) in (0, 1)
    captured = capsys.readouterr()
    records = [json.loads(line) for line in captured.out.splitlines()]
    on_disc = {str(path) for path in (disc / "77654033").rglob("*") if path.is_file()}
    assert {record["path"] for record in records} == on_disc
    assert "98892003" in captured.err
    assert all("is not there" in line for line in captured.err.splitlines())


def test_predict_reads_each_file_once(tmp_path, capsys):
    scan = tmp_path / "scan.png"
    scan.write_bytes(SAMPLES[0].file.read_bytes())
    assert main(["predict", str(scan), str(tmp_path), str(scan), "--json"]) == 0
    assert len(lines(capsys)) == 1


def test_predict_opens_an_archive_when_its_turn_comes(tmp_path, monkeypatch):
    """Archives are unpacked into memory, and must not all be there at once."""
    for number in range(3):
        with zipfile.ZipFile(tmp_path / f"{number}.zip", "w") as archive:
            archive.write(SAMPLES[0].file, "scan.png")
    opened = []
    group = predict.group_into_series

    def counted(files, *arguments, **named):
        files = list(files)
        opened.extend(file.name for file in files)
        return group(files, *arguments, **named)

    monkeypatch.setattr(predict, "group_into_series", counted)
    files, _ = predict.find_files([str(tmp_path)])
    entries = predict.sort_files(files)
    assert opened == []
    slices = predict._slices(entries)
    assert next(slices).place == {"path": f"{tmp_path / '0.zip'}/scan.png"}
    assert opened == [str(tmp_path / "0.zip")]


def test_predict_table(tmp_path, capsys):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"")
    assert main(["predict", str(SAMPLES[0].file), str(bad)]) == 1
    out = capsys.readouterr().out
    assert "Pituitary tumour" in out.splitlines()[0]
    assert "empty" in out


def test_predict_writes_overlays(tmp_path):
    target = tmp_path / "new" / "cams"
    assert main(["predict", *(str(s.file) for s in SAMPLES[:2]), "--json", "--cam", str(target)]) == 0
    written = sorted(target.iterdir())
    assert len(written) == 2
    with Image.open(next(p for p in written if p.name.startswith(SAMPLES[0].file.stem))) as overlay:
        assert overlay.mode == "RGB"
        pixels = np.array(overlay)
    assert pixels.shape[:2] == np.array(Image.open(SAMPLES[0].file)).shape[:2]
    # It has colour somewhere.
    assert (pixels.max(axis=2).astype(int) - pixels.min(axis=2)).max() > 30


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["predict", "{empty}"], "no scans"),
        (["predict", "x.png", "--weights", "{empty}"], "model"),
        (["augment", "{empty}"], "folder"),
        (["evaluate", "--data", "{empty}", "--fold", "0"], "no images"),
    ],
)
def test_misuse_is_a_sentence_on_standard_error(tmp_path, capsys, arguments, sentence):
    if arguments[0] == "evaluate":
        pytest.importorskip("sklearn", reason="needs the full installation")
    assert main([a.format(empty=tmp_path) for a in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("brat: ")
    assert sentence in captured.err
    assert "Traceback" not in captured.err


def test_predict_command_starts_without_tensorflow():
    code = (
        "import sys; from brat.cli import main;"
        f"status = main(['predict', '--json', {str(SAMPLES[0].file)!r}]);"
        "print([m for m in ('tensorflow', 'keras', 'streamlit', 'albumentations') if m in sys.modules]);"
        "sys.exit(status)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0
    record, loaded = result.stdout.splitlines()
    assert json.loads(record)["label"] in CLASSES
    assert loaded == "[]"


def test_augment_writes_a_picture(tmp_path, capsys):
    target = tmp_path / "sheet.png"
    assert main(["augment", str(SAMPLES[1].file), "--out", str(target), "--seed", "3"]) == 0
    with Image.open(target) as sheet:
        pixels = np.array(sheet)
    assert pixels.shape == (4 * 224, 6 * 224)
    first, second = pixels[:224, :224].astype(int), pixels[:224, 224:448].astype(int)
    assert np.abs(first - second).mean() > 1


def test_evaluate_writes_metrics(tmp_path, capsys):
    pytest.importorskip("sklearn", reason="needs the full installation")
    from brat.data.index import fingerprint, read_index

    index = tmp_path / "index.csv"
    rows = ["name,file,source,label,tumor,group,cluster,fold,near_fold,boxes"]
    for number, sample in enumerate(SAMPLES):
        file = f"{sample.name}{sample.file.suffix}"
        (tmp_path / file).write_bytes(sample.file.read_bytes())
        tumor = sample.label != "no_tumor"
        box = "0.5 0.5 0.3 0.3" if tumor else ""
        rows.append(f"{file},{file},made,{sample.label},{tumor:d},g{number},g{number},{number % 2},,{box}")
    index.write_text("\n".join(rows) + "\n")
    weights = tmp_path / "weights"
    model_folder(weights)
    (weights / "history.csv").write_text("epoch,loss,val_loss\n0,1.5,NA\n1,1.0,1.2\n")
    card = {"data_fingerprint": fingerprint(read_index(index)), "test_fold": 0}
    (weights / "model_card.json").write_text(json.dumps(card))

    arguments = ["evaluate", "--data", str(index), "--weights", str(weights), "--fold"]
    assert main([*arguments, "0"]) == 0
    results = json.loads((weights / "metrics.json").read_text())
    assert results["data_fingerprint"] == card["data_fingerprint"]
    assert results["history"] == [{"epoch": 0, "loss": 1.5}, {"epoch": 1, "loss": 1.0, "val_loss": 1.2}]
    four = results["protocols"]["four_classes"]
    held_out = [s for number, s in enumerate(SAMPLES) if number % 2 == 0]
    assert four["slices"] == len(held_out)
    counted = {
        name: sum(four["metrics"][f"confusion/{name}/{read}"]["value"] for read in CLASSES)
        for name in CLASSES
    }
    assert counted == {name: sum(s.label == name for s in held_out) for name in CLASSES}
    low, value, high = (four["metrics"]["accuracy"][k] for k in ("low", "value", "high"))
    assert 0 <= low <= value <= high <= 1

    # The fold that it was trained on, or other data, is no test.
    assert main([*arguments, "1"]) == 2
    assert "was trained on fold 1. It can be measured on fold 0 alone." in capsys.readouterr().err
    for every_fold in ({"test_fold": None}, {"held_out_source": "elsewhere"}):
        prints = {"data_fingerprint": card["data_fingerprint"]}
        (weights / "model_card.json").write_text(json.dumps(prints | every_fold))
        assert main([*arguments, "0"]) == 2
        assert "was trained on fold 0. It can be measured on no fold." in capsys.readouterr().err
    (weights / "model_card.json").write_text(json.dumps({**card, "data_fingerprint": "other"}))
    assert main([*arguments, "0"]) == 2
    assert "other data" in capsys.readouterr().err
