"""A batch: what is planned, what is read, and that nothing is lost or read twice whatever is killed."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pydicom.uid import EnhancedMRImageStorage, generate_uid

from brat.batch import manifest, results, shard
from brat.batch.manifest import MANIFEST, plan, planned_files, planned_series, rows_of, studies_between
from brat.batch.results import do_shard, merge, pending, result_file, status
from brat.batch.shard import ReadingProcess, read_shard
from brat.classes import CLASSES
from brat.cli import main
from brat.environment import WEIGHTS
from brat.io import workers
from brat.io.read import read_scan
from brat.model.files import MODEL, ModelFolder, write_manifest
from brat.model.series_reading import NOTHING
from brat.pacs.archive import LIMIT, PacsError
from brat.predict import find_files, read_entries, sort_files
from tests.batch.kills import fill, try_it
from tests.factories.files import slice_of, volume, zipped
from tests.factories.pages import page_of, png
from tests.factories.paths import ROOT
from tests.factories.samples import KNOWN
from tests.factories.weights import model_folder, recalibrated

GRAY = read_scan(KNOWN.file).gray
T1 = {
    "SeriesDescription": "t1_tse_post_KM",
    "ImageType": ["ORIGINAL", "PRIMARY", "M", "SE"],
    "WindowCenter": 1020,
    "WindowWidth": 2040,
    "WindowCenterWidthExplanation": "JANE DOE",
}


def head(number: int, **changes) -> bytes:
    """A slice of a head, a little brighter with its number."""
    rows, columns = GRAY.shape
    pixels = (GRAY.astype(np.uint16) * 8 + number).tobytes()
    return slice_of(number, Rows=rows, Columns=columns, PixelData=pixels, **{**T1, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """One of each kind, and some that are not read."""
    top = tmp_path_factory.mktemp("archive")
    named = {"PatientName": "Planted^Name", "PatientID": "PLANTED7"}
    for part, changes in {
        "t1": {},
        "t2": {"SeriesDescription": "t2_tse"},
        "ct": {"Modality": "CT"},
        "swi": {"SeriesDescription": "SWI"},
    }.items():
        (top / part).mkdir()
        series = generate_uid()
        for number in range(4):
            data = head(number, series=series, **named, **changes)
            (top / part / f"{number}.dcm").write_bytes(data)
    # The same image, which counts once.
    (top / "t1" / "copy.dcm").write_bytes((top / "t1" / "0.dcm").read_bytes())
    (top / "t1" / "damaged.dcm").write_bytes((top / "t1" / "1.dcm").read_bytes()[:700])
    (top / "page.png").write_bytes(png(page_of([GRAY] * 2, columns=2)))
    (top / "volume.nii.gz").write_bytes(gzip.compress(volume(), mtime=0))
    (top / "inner.zip").write_bytes(
        zipped({"a/head.dcm": head(1, **named), "a/ct.dcm": head(2, Modality="CT", series=generate_uid())})
    )
    (top / "notes.txt").write_text("no scan")
    (top / "slice.dcm.gz").write_bytes(gzip.compress(head(7, series=generate_uid(), **named), mtime=0))
    return top


@pytest.fixture(scope="module")
def process():
    with ReadingProcess() as running:
        yield running


def planned(folder: Path, batch: Path, **options) -> Path:
    plan(batch, planned_files([str(folder)], options.get("every", False)), **options)
    return batch


def whole(batch: Path, process: ReadingProcess) -> pa.Table:
    """All shards of a batch, read by one process, one after the other."""
    shards = manifest.shards_of(batch)
    return pa.concat_tables([read_shard(rows_of(batch, number), process) for number in range(shards)])


def test_the_plan_says_of_every_file_whether_it_is_read_and_why(folder, tmp_path):
    batch = planned(folder, tmp_path / "batch", shard_size=5)
    rows = pq.read_table(batch / MANIFEST).to_pylist()
    assert {Path(row["path"]).name for row in rows} >= {"notes.txt", "copy.dcm", "page.png", "inner.zip"}
    said = {Path(row["path"]).relative_to(folder).as_posix(): row for row in rows}
    read = {name for name, row in said.items() if row["shard"] is not None}
    assert read == {
        *(f"t1/{number}.dcm" for number in range(4)),
        *("page.png", "volume.nii.gz", "inner.zip", "slice.dcm.gz", "t1/damaged.dcm"),
    }
    assert said["t1/0.dcm"]["sequence"] == "t1ce"
    assert (said["page.png"]["kind"], said["volume.nii.gz"]["kind"]) == ("slice", "volume")
    assert "T2" in said["t2/0.dcm"]["reason"]
    assert "not MR" in said["ct/0.dcm"]["reason"]
    assert "copy" in said["t1/copy.dcm"]["reason"]
    assert said["slice.dcm.gz"]["packed"]
    # A series is never cut, and its files stay in order.
    assert len({said[f"t1/{number}.dcm"]["shard"] for number in range(4)}) == 1
    assert [said[f"t1/{number}.dcm"]["place"] for number in range(4)] == [0, 1, 2, 3]
    assert manifest.shards_of(batch) > 1


def test_all_reads_what_the_model_was_not_measured_on(folder, tmp_path):
    batch = planned(folder, tmp_path / "batch", every=True)
    rows = pq.read_table(batch / MANIFEST).to_pylist()
    read = {Path(row["path"]).parent.name for row in rows if row["shard"] is not None}
    assert {"t1", "t2", "swi"} <= read


def test_the_readings_are_those_of_brat_predict(folder, tmp_path, process, monkeypatch):
    # However busy the computer is.
    monkeypatch.setattr(workers, "SECONDS", 100.0)
    table = whole(planned(folder, tmp_path / "batch"), process)
    slices = [row for row in table.to_pylist() if row["level"] == "slice" and not row["error"]]
    files, _ = find_files(
        [str(folder / name) for name in ("t1", "page.png", "volume.nii.gz", "slice.dcm.gz")]
    )
    records = [record for _, record in read_entries(sort_files(files), WEIGHTS) if "error" not in record]
    theirs = {(record["path"], record.get("slice"), record.get("panel")): record for record in records}
    ours = {(row["path"], row["slice"], row["panel"]): row for row in slices if ".zip" not in row["path"]}
    assert ours.keys() == theirs.keys()
    assert len(ours) == 4 + 2 + 4 + 1
    for place, row in ours.items():
        record = theirs[place]
        assert row["label"] == record["label"]
        np.testing.assert_array_equal(
            [row[name] for name in CLASSES], np.float32([record["probabilities"][name] for name in CLASSES])
        )
        assert row["prediction_set"] == record["prediction_set"]
        assert row["in_distribution"] == record["in_distribution"]
        assert round(row["ood_score"], 3) == record["ood_score"]
        assert row["model"] == process.model
    (damaged,) = (row for row in table.to_pylist() if "damaged" in row["path"])
    assert "no picture in it" in damaged["error"]
    (zipped_one,) = (row for row in slices if ".zip" in row["path"])
    assert zipped_one["path"].endswith("head.dcm")


def test_a_series_has_a_row_that_counts(folder, tmp_path, process):
    rows = whole(planned(folder, tmp_path / "batch"), process).to_pylist()
    series = {Path(row["path"]).parent.name: row for row in rows if row["level"] == "series"}
    t1 = series["t1"]
    slices = [row for row in rows if row["level"] == "slice" and Path(row["path"]).parent.name == "t1"]
    slices = [row for row in slices if "damaged" not in row["path"]]
    assert t1["slices"] == len(slices) == 4
    assert t1["label"] == slices[0]["label"]
    assert (t1["known"], t1["refused"], t1["unread"]) == (4, 0, 0)
    assert (t1["with_tumour"], t1["runs"], t1["longest_run"]) == (4, 1, 4)
    assert t1["glioma"] is None
    (of_volume,) = (row for row in rows if row["level"] == "series" and "volume" in row["path"])
    # Its first and last slice are empty, and one is noise.
    assert (of_volume["slices"], of_volume["unread"]) == (6, 2)
    assert [row["error"] for row in rows if "volume" in row["path"]].count(NOTHING) == 2


def test_copies_in_an_archive_are_said_in_the_row_of_their_series(tmp_path, process):
    series = generate_uid()
    files = {f"a/{number}.dcm": head(number, series=series) for number in range(3)}
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "study.zip").write_bytes(zipped(files | {"a/copy.dcm": files["a/1.dcm"]}))
    rows = whole(planned(tmp_path / "in", tmp_path / "batch"), process).to_pylist()
    (of_series,) = (row for row in rows if row["level"] == "series")
    assert of_series["slices"] == 3
    assert of_series["remarks"] == ["1 file is a copy of another that is here already, and was left out."]


def test_hashes_are_those_of_the_files(folder, tmp_path, process):
    import hashlib

    for row in whole(planned(folder, tmp_path / "batch"), process).to_pylist():
        path = Path(row["path"])
        if row["level"] == "slice" and path.is_file() and not row["error"]:
            data = path.read_bytes()
            data = gzip.decompress(data) if path.name == "slice.dcm.gz" else data
            assert row["file_sha256"] == hashlib.sha256(data).hexdigest(), path


def test_no_words_of_a_header_come_out(folder, tmp_path, process):
    batch = planned(folder, tmp_path / "batch", every=True)
    for table in (whole(batch, process), pq.read_table(batch / MANIFEST)):
        said = json.dumps(table.drop_columns(["path"]).to_pylist())
        assert not any(word in said for word in ("Planted", "PLANTED7", "JANE DOE", "t1_tse"))


def pictures(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 4, GRAY.shape, np.uint8)
        Image.fromarray(np.minimum(GRAY, 250) + noise).save(folder / f"{number:03}.png")
    return folder


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes as Linux lists them")
def test_killed_workers_and_drivers_lose_nothing_and_nothing_is_read_twice(tmp_path):
    outcome = try_it(tmp_path, 300, shard_size=10)
    assert outcome.is_equal
    # Of 150 slices in series of 20, eight series.
    assert (outcome.rows, outcome.errors) == (308, 0)
    assert outcome.shards // 2 <= outcome.kept < outcome.shards
    assert outcome.kept_as_they_were == outcome.kept
    assert outcome.read_after == outcome.shards - outcome.kept
    assert outcome.half_written == 0


@pytest.mark.skipif(not find_spec("ray"), reason='Ray is not installed: pip install "bratum-scans[ray]"')
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes as Linux lists them")
def test_a_ray_cluster_of_two_nodes_reads_as_one_process_does(tmp_path, process):
    fill(tmp_path / "in", 80)
    batch = planned(tmp_path / "in", tmp_path / "batch", every=True, shard_size=4)
    do_shard(batch, 3, process)
    at = result_file(batch, 3).stat().st_mtime_ns
    shards = manifest.shards_of(batch)
    # Sockets of Ray need a short path.
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as short:
        answer = subprocess.run(
            [sys.executable, "-m", "tests.batch.cluster", batch, "actor"],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "RAY_TMPDIR": short},
            timeout=900,
        )
    assert answer.returncode == 0, answer.stderr[-3000:]
    # Ray prints there, too, what befell an actor.
    (said,) = re.findall("^cluster: (.*)$", answer.stdout, re.MULTILINE)
    assert said.split() == [str(shards - 1), str(shards - 1), "2", "2"]
    assert result_file(batch, 3).stat().st_mtime_ns == at
    merge(batch, tmp_path / "all.parquet")
    table = pq.read_table(tmp_path / "all.parquet")
    assert table.num_rows == 82
    assert table.equals(whole(batch, process))


def test_parts_share_the_shards(tmp_path, process):
    batch = planned(pictures(tmp_path / "in", 10), tmp_path / "batch", shard_size=2)
    parts = [pending(batch, process.reads_with, (number, 3)) for number in (1, 2, 3)]
    assert sorted(number for part in parts for number in part) == [0, 1, 2, 3, 4]
    assert all(parts)
    assert main(["batch", "run", str(batch), "--part", "2/3", "--processes", "1"]) == 0
    assert [number for number in range(5) if result_file(batch, number).exists()] == parts[1]
    assert do_shard(batch, parts[1][0], process) == 0
    said = status(batch)
    assert (said.shards, said.done, said.rows, said.units) == (5, 2, 4, 10)


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more", "another"])
def test_a_damaged_result_is_named_and_read_again_once_it_is_deleted(tmp_path, process, capsys, content):
    batch = planned(pictures(tmp_path / "in", 4), tmp_path / "batch", shard_size=2)
    do_shard(batch, 0, process)
    do_shard(batch, 1, process)
    file = result_file(batch, 1)
    if content == "another":
        pq.write_table(pa.table({"a": [1]}), file)
    else:
        file.write_bytes(content)
    for command in (["run"], ["status"], ["merge", "--out", str(tmp_path / "all.parquet")]):
        assert main(["batch", command[0], str(batch), *command[1:]]) == 2
        assert f"{file} is damaged. Delete it" in capsys.readouterr().err
    assert not list(tmp_path.glob("*all*"))
    file.unlink()
    assert do_shard(batch, 1, process) == 2
    assert main(["batch", "merge", str(batch), "--out", str(tmp_path / "all.parquet")]) == 0


def test_a_batch_does_not_go_on_with_another_plan(tmp_path, process, capsys):
    batch = planned(pictures(tmp_path / "in", 4), tmp_path / "batch", shard_size=2)
    do_shard(batch, 0, process)
    first = (batch / MANIFEST).read_bytes()
    other = planned(pictures(tmp_path / "other", 4), tmp_path / "other batch", shard_size=2)
    (batch / MANIFEST).write_bytes((other / MANIFEST).read_bytes())
    for command in (["run"], ["status"]):
        assert main(["batch", *command, str(batch)]) == 2
        assert "was exchanged after a part of it was read" in capsys.readouterr().err
    # As a driver would that runs while it is exchanged.
    do_shard(batch, 1, process)
    (batch / MANIFEST).write_bytes(first)
    assert main(["batch", "merge", str(batch), "--out", str(tmp_path / "all.parquet")]) == 2
    assert "was exchanged after" in capsys.readouterr().err


def test_of_two_drivers_at_one_shard_the_first_writes_it(tmp_path, process, monkeypatch):
    batch = planned(pictures(tmp_path / "in", 2), tmp_path / "batch")
    read = results.read_shard

    def slow(*arguments):
        table = read(*arguments)
        monkeypatch.setattr(results, "read_shard", read)
        assert do_shard(batch, 0, process) == 2
        return table

    monkeypatch.setattr(results, "read_shard", slow)
    monkeypatch.setattr(results, "write_whole", watched := Mock(side_effect=results.write_whole))
    assert do_shard(batch, 0, process) == 0
    assert watched.call_count == 1


def test_a_file_that_is_given_twice_is_planned_once(tmp_path, monkeypatch):
    pictures(tmp_path / "in", 2)
    monkeypatch.chdir(tmp_path)
    plan(tmp_path / "batch", planned_files(["in", str(tmp_path / "in"), "in/000.png"]))
    paths = pq.read_table(tmp_path / "batch" / MANIFEST)["path"].to_pylist()
    assert paths == [str(tmp_path / "in" / f"{number:03}.png") for number in range(2)]


def test_int8_reads_with_the_model_below_the_folder(tmp_path, capsys):
    batch = planned(pictures(tmp_path / "in", 3), tmp_path / "batch")
    weights = tmp_path / "weights"
    running = ["batch", "run", str(batch), "--weights", str(weights), "--int8", "--processes", "1"]
    assert main(running) == 2
    assert f"There is no {weights / 'int8'}: `brat quantize` writes" in capsys.readouterr().err
    # That of the folder itself is not asked for.
    model_folder(weights / "int8")
    assert main(running) == 0
    assert main(["batch", "merge", str(batch), "--out", str(tmp_path / "all.parquet")]) == 0
    rows = pq.read_table(tmp_path / "all.parquet").to_pylist()
    assert {row["model"] for row in rows} == {ModelFolder(WEIGHTS).records[MODEL].sha256}
    assert len(rows) == 3


def test_another_model_does_not_go_on(tmp_path, process, capsys):
    batch = planned(pictures(tmp_path / "in", 4), tmp_path / "batch", shard_size=2)
    do_shard(batch, 0, process)
    weights = model_folder(tmp_path / "weights")
    with (weights / MODEL).open("ab") as file:
        file.write(b"\0")
    write_manifest(weights, [MODEL])
    assert main(["batch", "run", str(batch), "--weights", str(weights)]) == 2
    assert "Another model" in capsys.readouterr().err
    assert not result_file(batch, 1).exists()


def test_rows_name_the_recalibration_and_another_one_does_not_go_on(tmp_path, process, capsys):
    site = recalibrated(tmp_path / "weights")
    batch = planned(pictures(tmp_path / "in", 4), tmp_path / "batch", shard_size=2)
    with ReadingProcess(tmp_path / "weights") as own:
        do_shard(batch, 0, own)
        assert own.model == process.model
    rows = pq.read_table(result_file(batch, 0)).to_pylist()
    assert {row["recalibration"] for row in rows} == {site.digest}
    plain = read_shard(rows_of(batch, 0), process).to_pylist()
    assert {row["recalibration"] for row in plain} == {""}
    # It is used, too.
    assert plain[0]["glioma"] != rows[0]["glioma"]
    assert main(["batch", "run", str(batch)]) == 2
    assert "another recalibration" in capsys.readouterr().err
    assert not result_file(batch, 1).exists()


FAKE = """
import os, sys
from brat.batch.process import _Process
from brat.io.worker import serve

class Mortal(_Process):
    def answer(self, fields, blobs):
        names = [file["name"] for file in fields.get("files", ())]
        number = fields.get("slice", -1)
        if any("deadly" in name for name in names):
            os.kill(os.getpid(), 9)
        if any("lying" in name for name in names):
            yield {"slices": "many", "panels": 0, "places": [], "remarks": []}, []
            return
        self.is_third = getattr(self, "is_third", False) or any("third" in name for name in names)
        if self.is_third and number == 2:
            os._exit(1)
        yield from super().answer(fields, blobs)

serve(lambda: Mortal(sys.argv[1]))
"""


@pytest.fixture
def mortal(tmp_path):
    script = tmp_path / "mortal.py"
    script.write_text(FAKE)
    process = ReadingProcess()
    process._command = (sys.executable, str(script), str(WEIGHTS))
    yield process
    process.close()


def test_a_file_that_kills_its_process_is_refused_and_the_others_are_read(tmp_path, mortal, process):
    top = pictures(tmp_path / "in", 4)
    (top / "001.png").rename(top / "001-deadly.png")
    (top / "002.png").rename(top / "002-lying.png")
    batch = planned(top, tmp_path / "batch")
    rows = read_shard(rows_of(batch, 0), mortal).to_pylist()
    assert ["stopped" in row["error"] for row in rows] == [False, True, True, False]
    sound = whole(batch, process).to_pylist()
    assert [rows[0], rows[3]] == [sound[0], sound[3]]


def test_a_slice_that_kills_its_process_costs_that_slice(tmp_path, mortal, process):
    top = tmp_path / "in"
    top.mkdir()
    for number in range(5):
        (top / f"third{number}.dcm").write_bytes(head(number))
    batch = planned(top, tmp_path / "batch")
    rows = read_shard(rows_of(batch, 0), mortal).to_pylist()
    assert ["stopped" in row["error"] for row in rows] == [False, False, True, False, False, False]
    assert (rows[-1]["level"], rows[-1]["known"], rows[-1]["unread"]) == ("series", 4, 1)
    sound = whole(batch, process).to_pylist()
    assert [rows[n] for n in (0, 1, 3, 4)] == [sound[n] for n in (0, 1, 3, 4)]


def test_a_file_that_never_ends_is_stopped(tmp_path, monkeypatch):
    from tests.io.test_workers import endless_jpeg

    monkeypatch.setattr(shard, "SECONDS", 1.0)
    top = pictures(tmp_path / "in", 2)
    (top / "001.jpg").write_bytes(endless_jpeg())
    batch = planned(top, tmp_path / "batch")
    with ReadingProcess() as own:
        rows = read_shard(rows_of(batch, 0), own).to_pylist()
    errors = {Path(row["path"]).name: row["error"] for row in rows}
    assert "far more work" in errors["001.jpg"]
    assert not errors["000.png"]


def test_a_file_that_is_gone_is_said(tmp_path, process):
    top = pictures(tmp_path / "in", 2)
    batch = planned(top, tmp_path / "batch")
    (top / "000.png").unlink()
    rows = read_shard(rows_of(batch, 0), process).to_pylist()
    assert "no file at this path" in rows[0]["error"]
    assert not rows[1]["error"]


class Archive:
    """A DICOM archive that can be put out of order."""

    name = "main"

    def __init__(self, files: list[bytes]):
        self.files, self.is_up = files, True

    def echo(self) -> None:
        if not self.is_up:
            raise PacsError("The archive main cannot be reached.")

    def fetch(self, entry):
        self.echo()
        if not self.files:
            raise PacsError("The archive main does not have this.")
        return iter(self.files)

    def series(self, study):
        entries = [("1.2.3", "MR"), ("1.2.4", "CT"), ("", "MR")]
        return [
            SimpleNamespace(
                study=study, series=series, modality=modality, count=4, problem="" if series else "No UID."
            )
            for series, modality in entries
        ]

    def header(self, entry):
        import io

        import pydicom

        return pydicom.dcmread(io.BytesIO(head(0)))


def test_a_dicom_archive_is_planned_by_series_and_read_under_uids(tmp_path, process, monkeypatch):
    series = generate_uid()
    archive = Archive([head(number, series=series, PatientName="Planted^Name") for number in range(4)])
    # Every series of MR, but none that cannot be opened.
    plan(tmp_path / "batch", planned_series(archive, ["1.2", "1.2"], every=True))
    rows = pq.read_table(tmp_path / "batch" / MANIFEST).to_pylist()
    assert [(row["series"], row["shard"], row["reason"]) for row in rows][1:] == [
        ("1.2.4", None, "not MR but CT"),
        ("", None, "No UID."),
    ]
    assert (rows[0]["series"], rows[0]["shard"]) == ("1.2.3", 0)
    table = read_shard(rows_of(tmp_path / "batch", 0), process, lambda name: archive)
    assert table["level"].to_pylist() == ["slice"] * 4 + ["series"]
    assert table["series"].to_pylist() == ["1.2.3"] * 5
    assert len(set(table["instance"].to_pylist())) == 4
    assert set(table["path"].to_pylist()) == {""}
    assert "Planted" not in json.dumps(table.to_pylist())
    # The order in which it sends them does not matter.
    archive.files.reverse()
    assert read_shard(rows_of(tmp_path / "batch", 0), process, lambda name: archive).equals(table)

    monkeypatch.setattr(shard, "_PAUSES", (0, 0))
    archive.is_up = False
    with pytest.raises(PacsError, match="cannot be reached"):
        do_shard(tmp_path / "batch", 0, process, lambda name: archive)
    assert pending(tmp_path / "batch", process.reads_with) == [0]
    archive.is_up, archive.files = True, []
    (row,) = read_shard(rows_of(tmp_path / "batch", 0), process, lambda name: archive).to_pylist()
    assert row["error"] == "The archive does not give this series."


def test_planes_of_a_series_keep_their_places_whatever_the_archive_sends_first(tmp_path, process):
    series = generate_uid()
    across = {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}
    axial, coronal = (
        [
            head(number, series=series, SOPInstanceUID=f"1.2.3.{kind}.{number}", **changes)
            for number in range(2)
        ]
        for kind, changes in enumerate(({}, across), 1)
    )
    archive = Archive([*axial, *coronal])
    plan(tmp_path / "batch", planned_series(archive, ["1.2"]))
    table = read_shard(rows_of(tmp_path / "batch", 0), process, lambda name: archive)
    assert set(table["item"].to_pylist()) == {0, 1}
    archive.files = [*coronal, *axial]
    assert read_shard(rows_of(tmp_path / "batch", 0), process, lambda name: archive).equals(table)


def test_days_with_too_many_studies_are_halved():
    asked = []

    def search(query):
        asked.append(query.date)
        count = LIMIT if "-" in query.date else 3
        odd = SimpleNamespace(study="", problem="No UID.")
        return [
            SimpleNamespace(study=f"{query.date}.{number}", problem="") if number else odd
            for number in range(count)
        ]

    found = list(studies_between(date(2026, 1, 1), date(2026, 1, 4), search))
    # One that cannot be opened keeps no other away.
    assert len(found) == 4 * 2
    assert all(found)
    assert asked[0] == "20260101-20260104"
    with pytest.raises(ValueError, match="2026-01-01"):
        list(studies_between(date(2026, 1, 1), date(2026, 1, 1), lambda query: [None] * LIMIT))


def test_slices_in_one_file_are_planned_where_nothing_goes_back(tmp_path):
    from brat.batch.manifest import chosen

    said = {"Modality": ["MR"], "SOPClassUID": [EnhancedMRImageStorage], "SeriesDescription": ["t1 mprage"]}
    assert chosen(said, False).read


def test_misuse_is_said(tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "a.dcm").write_bytes(head(0, Modality="CT"))
    for arguments, said in {
        ("plan", str(tmp_path / "b")): "Name either paths, or an archive",
        ("plan", str(tmp_path / "b"), str(empty)): "nothing to read",
        ("plan", str(tmp_path / "b"), str(empty), "--date", "20260101"): "--archive",
        ("run", str(tmp_path / "b")): "`brat batch plan` makes one",
        ("status", str(tmp_path / "b")): "`brat batch plan` makes one",
    }.items():
        assert main(["batch", *arguments]) == 2
        assert said in capsys.readouterr().err
    for arguments in (
        ["run", "b", "--part", "4/3"],
        ["plan", "b", "--date", "2026"],
        ["run", "b", "--processes", "0"],
    ):
        with pytest.raises(SystemExit):
            main(["batch", *arguments])
        assert "must be" in capsys.readouterr().err
    batch = planned(pictures(tmp_path / "in", 1), tmp_path / "batch")
    assert main(["batch", "plan", str(batch), str(tmp_path / "in")]) == 2
    assert "has a plan already" in capsys.readouterr().err
    left = tmp_path / "left"
    result_file(left, 0).parent.mkdir(parents=True)
    assert main(["batch", "plan", str(left), str(tmp_path / "in")]) == 2
    assert "results of an earlier plan" in capsys.readouterr().err
    assert main(["batch", "status", str(batch), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["shards"] == 1
    assert main(["batch", "status", str(batch)]) == 0
    assert "0 of 1 shards are done" in capsys.readouterr().out


def test_the_example_for_slurm_is_whole():
    script = ROOT / "deploy" / "batch.slurm"
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    assert 'brat batch run "$BATCH" --processes "$SLURM_CPUS_PER_TASK"' in script.read_text(encoding="utf-8")
