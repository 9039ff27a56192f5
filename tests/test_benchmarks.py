"""The benchmarks measure what they say, and fail when they should. Few repetitions; no figure is judged."""

import base64
import importlib
import json
import os
import time
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest

from benchmarks import app, explanation, folder, formats, reading, series, sessions, start, tables, worklist
from benchmarks.__main__ import NAMES, main
from benchmarks.browser import MISSING, chromium, open_page, serve, shown_slices, upload
from benchmarks.measure import Measured, Row, figure, fresh_process, interleaved
from benchmarks.slices import KINDS, as_file, fill, make_slice
from brat.classes import CLASS_NAMES, CLASSES
from brat.io.files import File
from brat.io.read import read_scan
from brat.model.classifier import Classifier, Prediction
from brat.model.explain import grad_cam
from brat.model.pool import Readers
from brat.model.preprocess import prepare
from brat.model.reader import Reader
from brat.wording import percent
from tests.factories.weights import model_folder

MS = partial(Measured, unit="ms")


def test_measured_shows_median_and_quartiles():
    assert str(MS((5, 1, 2, 3, 4))) == "3 ms (2 to 4, n 5)"
    assert str(MS((7.125,))) == "7.12 ms"
    assert [figure(x) for x in (0.034, 2, 12.34, 123.4, 20_000)] == ["0.03", "2", "12.3", "123", "20,000"]


@pytest.mark.parametrize(
    ("aim", "limit", "ours", "theirs", "met", "regressed"),
    [
        ("times", 2, 4, 2, True, False),
        ("times", 2, 5, 2, False, False),
        ("times", 2, 6.1, 2, False, True),
        ("share", 0.8, 8, 10, True, False),
        ("share", 0.8, 7, 10, False, False),
        ("share", 0.8, 5, 10, False, True),
        ("speed", 25, 1, 25, True, False),
        ("speed", 25, 1, 20, False, False),
        ("speed", 25, 1, 16, False, True),
        ("more", 250, 300, 50, True, False),
        # Times, however far from their aim, tell of the machine.
        ("more", 250, 900, 50, False, False),
        ("value", 50, 40, None, True, False),
        ("value", 50, 900, None, False, False),
    ],
)
def test_aims(aim, limit, ours, theirs, met, regressed):
    row = Row("it", MS((ours,)), "that", theirs and MS((theirs,)), {aim: limit})
    assert (row.met, row.regressed) == (met, regressed)


def test_a_count_or_memory_alone_is_no_time():
    assert Row("errors", Measured((1,), "errors"), aims={"value": 0}).regressed
    assert Row("memory", Measured((226,), "MB"), aims={"value": 150}).regressed
    assert not Row("memory", Measured((224,), "MB"), aims={"value": 150}).regressed


def test_what_was_not_measured_is_neither_met_nor_missed():
    for row in (
        Row("it", MS((1,)), "that", None, {"speed": 25}),
        Row("it", None, "that", None, {"value": 1}),
        Row("it", MS((1,))),
    ):
        assert row.met is None
        assert not row.regressed


def test_interleaved_measures_in_turn_and_forgets_the_warm_up():
    calls = []

    def call(name):
        calls.append(name)
        return len(calls)

    measured = interleaved(40, "ms", {name: lambda name=name: call(name) for name in "ab"}, warm_up=2)
    rounds = list(zip(calls[::2], calls[1::2], strict=True))
    assert len(rounds) == 42
    assert set(rounds) == {("a", "b"), ("b", "a")}
    assert len(measured["a"].values) == len(measured["b"].values) == 40
    assert sorted(measured["a"].values + measured["b"].values) == list(range(5, 85))


def test_fresh_process_has_its_own_memory():
    ballast = np.ones(300 * 2**17)  # 300 MB here must not show there.
    program = "import sys, time\nprint(sys.argv[1], flush=True)\ntime.sleep(0.2)\nprint('late')\n"
    begun = time.perf_counter()
    moments, lines, peak = fresh_process(program, 17)
    assert lines == ["17", "late"]
    assert 0.19 < moments[1] - moments[0] < time.perf_counter() - begun
    assert 5 < peak < 100
    _, _, larger = fresh_process("held = b'x' * 100_000_000\n")
    assert 90 < larger - peak < 110
    assert ballast.nbytes > 300_000_000


def test_fresh_process_passes_on_what_went_wrong():
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        fresh_process("1 / 0")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_shows_the_slice(kind):
    scan = read_scan(as_file(4, kind))
    assert scan.format.startswith(kind)
    assert scan.gray.shape == (512, 512)
    assert np.abs(scan.gray.astype(int) - make_slice(4)).max() <= (16 if kind == "JPEG" else 0)
    # Four is the sample that is a DICOM file, eleven the same sample with other noise.
    assert as_file(4, kind) != as_file(11, kind)


def test_fill(tmp_path):
    fill(tmp_path / "scans", 60)
    files = sorted((tmp_path / "scans").iterdir())
    assert [sum(file.suffix == suffix for file in files) for suffix in KINDS.values()] == [20, 20, 20]
    assert len({file.read_bytes() for file in files}) == 24
    assert len({file.stat().st_ino for file in files}) == 24
    assert all(read_scan(file).format.startswith(kind) for file, kind in zip(files[57:], KINDS, strict=True))


def test_overlay_is_the_same_from_every_lossless_file():
    reader = Reader()
    drawn = reading.overlay(as_file(0, "PNG"), reader)
    assert drawn.shape == (512, 512, 3)
    # The map is on it.
    assert (drawn != make_slice(0)[..., np.newaxis]).any()
    assert np.array_equal(drawn, reading.overlay(as_file(0, "DICOM"), reader))


@pytest.mark.parametrize(("limit", "status"), [(1e6, 0), (1e-6, 1)])
def test_command(limit, status, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(reading, "LIMITS", {"PNG": limit})
    files = tmp_path / "r.json", tmp_path / "r.md"
    command = ["reading", "--short", "--json", str(files[0]), "--page", str(files[1])]
    files[1].write_text(tables.with_load("# Of before\n", ["what a soak found"]))
    assert main(command) == status
    printed = capsys.readouterr()
    written = json.loads(files[0].read_text())
    row, *steps = written["rows"]
    assert (row["met"], row["regressed"]) == (status == 0, status == 1)
    assert len(steps) >= 3
    assert all(step["title"].startswith("Of which ") and step["met"] is None for step in steps)
    assert len(row["ours"]["values"]) == len(row["theirs"]["values"]) == 30
    assert ("worse than its aim by half: 512 x 512 PNG" in printed.err) == bool(status)
    # The page is what was printed, not another run's.
    page = files[1].read_text()
    assert ("Of before" in page, "- what a soak found" in page) == (False, True)
    for shown in (printed.out, page):
        assert str(Measured(tuple(row["ours"]["values"]), "ms")) in shown
        assert all(what in shown for what in written["machine"].values())


def test_unknown_benchmark_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["speed"])
    assert "there is no speed; there are reading, " in capsys.readouterr().err


def test_table_lines_up_and_says_what_is_missing():
    shown = tables.table(
        [
            Row("fast", MS((2,)), "slow", MS((50,)), {"speed": 25}),
            Row("fast", MS((2,)), "absent", None, {"speed": 3}, "not installed"),
        ]
    )
    lines = shown.splitlines()
    assert len({len(line) for line in lines}) == 1
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[2] == ["fast", "2 ms", "slow", "50 ms", "25", "at least 25 times as fast", "yes"]
    assert cells[3] == ["fast", "2 ms", "absent", "not installed", "", "at least 3 times as fast", ""]


def test_page_has_a_section_a_benchmark():
    ours, theirs = MS((2,)), MS((4,))
    sections = {
        "How fast.\n\nWhy it matters.\n": [Row("it", ours, "that", theirs)],
        "How large.": [Row("more", ours)],
    }
    page = tables.page(sections, {"cores": "2"})
    assert "\n## How fast\nWhy it matters.\n\n| measurement | ours |" in page
    assert "\n## How large\n| measurement | ours |" in page
    assert page.endswith("- cores: 2\n")


def test_what_a_soak_found_stands_once_and_at_the_end():
    page = tables.page({"One.": []}, {"cores": "2"})
    once = tables.with_load(page, ["first"])
    twice = tables.with_load(once, ["second"])
    assert tables.under_load(page) == ""
    assert twice.startswith(page)
    assert ("- first" in twice, twice.count("- second"), twice.count("## Under load")) == (False, 1, 1)


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_says_what_it_is(name):
    about = importlib.import_module(f"benchmarks.{name}").__doc__
    assert about.partition("\n")[0].endswith(".")


def test_formats_need_a_collection_and_its_models(monkeypatch, tmp_path):
    monkeypatch.setattr(formats, "INDEX", tmp_path / "index.csv")
    (row,) = formats.rows(short=True)
    assert (row.met, row.regressed) == (None, False)
    assert "BRAT_DATA" in tables.table([row])
    (tmp_path / "index.csv").touch()
    monkeypatch.setattr(formats, "RUNS", tmp_path)
    (row,) = formats.rows(short=True)
    assert "BRAT_RUNS" in row.missing


def prediction(label: str, hot: int) -> Prediction:
    """Sure of a class, for which one cell of the map speaks."""
    maps = np.zeros((14, 14, len(CLASSES)), np.float32)
    maps.reshape(-1, len(CLASSES))[hot] = 1
    probabilities = np.array([name == label for name in CLASSES], np.float32)
    return Prediction(probabilities, maps, np.zeros(1280, np.float32), np.zeros(192, np.float32))


def test_rates_of_a_format():
    truth = np.array([CLASSES.index(name) for name in ("glioma", "glioma", "glioma", "no_tumor")])
    shipped = [prediction(CLASSES[k], hot=0) for k in truth]
    other = [*shipped[:2], prediction("meningioma", hot=0), prediction("no_tumor", hot=5)]
    exact = formats.rates(shipped, truth, shipped)
    assert [measured.median for measured in exact.values()] == [100, 100, 100, 0]
    accuracy, balanced, same, apart = formats.rates(other, truth, shipped).values()
    assert accuracy.median == same.median == 75
    assert balanced.median == pytest.approx(100 * (2 / 3 + 1) / 2)
    # One map of four has its one hot cell elsewhere: they differ by all that is in both.
    both = [grad_cam(prediction(CLASSES[3], hot=cell), CLASSES[3]).mean() for cell in (0, 5)]
    assert apart.median == pytest.approx(100 / 4 * sum(both), rel=0.01)


def test_float16_is_half_as_large_and_kept(tmp_path, monkeypatch):
    pytest.importorskip("tensorflow")
    monkeypatch.setattr(formats, "OTHERS", ("float16",))
    model_folder(tmp_path, ("model.keras", "model.tflite"))
    folders = formats.write_formats(tmp_path, [], fold=0)
    file = folders["float16"] / "model.tflite"
    assert 0.4 < file.stat().st_size / (tmp_path / "model.tflite").stat().st_size < 0.6
    model_input, _ = prepare(make_slice(0))
    half, full = (Classifier(folder).predict(model_input) for folder in (folders["float16"], tmp_path))
    assert np.abs(half.probabilities - full.probabilities).max() < 0.02
    # It is converted again when the model is another one, and not before.
    monkeypatch.setattr(formats, "convert", lambda *_: b"anew")
    formats.write_formats(tmp_path, [], fold=0)
    assert file.stat().st_size > 1e6
    os.utime(tmp_path / "model.keras")
    formats.write_formats(tmp_path, [], fold=0)
    assert file.read_bytes() == b"anew"


def test_keras_ways_make_our_map():
    pytest.importorskip("tf_keras_vis")
    rows = list(explanation.rows(short=True))  # It compares the maps itself.
    assert [row.beside for row in rows] == [*explanation.KERAS, explanation.TORCH]
    for row in rows[:3]:
        assert len(row.theirs.values) == 5


def test_another_map_is_no_comparison(monkeypatch):
    monkeypatch.setattr(explanation, "installed", lambda *packages: "tensorflow" in packages)
    monkeypatch.setattr(explanation, "keras_ways", lambda _: [lambda: np.zeros((14, 14))] * 3)
    with pytest.raises(RuntimeError, match="another map"):
        list(explanation.rows(short=True))


def test_another_answer_is_no_comparison(monkeypatch):
    monkeypatch.setattr(start, "installed", lambda _: True)
    monkeypatch.setattr(start, "_THEIRS", "print('nothing')\n")
    with pytest.raises(RuntimeError, match="nothing"):
        list(start.rows(short=True))


@pytest.mark.parametrize("files", [lambda: series.dicom_files(None), lambda: [series.nifti_file(70)]])
def test_series(monkeypatch, files):
    monkeypatch.setattr(series, "COUNT", 70)
    dropped = files()
    assert series.read(dropped, Readers()) > 0
    monkeypatch.setattr(series, "COUNT", 71)
    with pytest.raises(RuntimeError, match="slices instead of"):
        series.read(dropped, Readers())


def test_folder(tmp_path, monkeypatch):
    rates, peak = folder.predict(tmp_path / "scans", 30)
    assert len(rates) == folder.PARTS
    assert min(rates) > 0
    assert peak > 50

    def fill_badly(place, count):
        fill(place, count)
        next(place.glob("*.png")).write_bytes(b"no scan")

    monkeypatch.setattr(folder, "fill", fill_badly)
    with pytest.raises(RuntimeError, match="a scan was not read"):
        folder.predict(tmp_path / "bad", 30)


def test_worklist(monkeypatch):
    files = worklist.scan_files(30)
    assert len({file.name for file in files}) == 30
    assert len({file.source for file in files}) == 24
    assert worklist.read(files, Readers()) > 0
    with pytest.raises(RuntimeError, match="not an image"):
        worklist.read([*files, File("bad.png", b"no scan")], Readers())


def test_wrong_answer_picture_or_error_is_seen():
    reader = Reader()
    prediction = reader.read(make_slice(3)).prediction
    answer = CLASS_NAMES[prediction.label] + percent(prediction.confidence)
    own, other = ("data:image/png;base64," + base64.b64encode(as_file(n, "PNG")).decode() for n in (3, 10))
    assert sessions.is_right((answer, own, 0), make_slice(3), reader)
    assert not sessions.is_right((answer, other, 0), make_slice(3), reader)
    assert not sessions.is_right((answer, own, 1), make_slice(3), reader)
    assert not sessions.is_right(("Glioma101 %", own, 0), make_slice(3), reader)


@pytest.mark.skipif(bool(MISSING), reason=MISSING)
def test_in_a_browser(monkeypatch):
    with chromium() as browser, serve("app.py") as ours, serve("benchmarks/echo.py") as echo:
        *controls, trips = app._controls(browser, ours, next(shown_slices(Reader())), rounds=2)
        assert [len(row.ours.values) for row in controls] == [2] * len(app.CONTROLS)
        assert trips.met
        (turned,) = app._slices(browser, ours, rounds=2)
        assert len(turned.ours.values) == 2

        page = open_page(browser, echo)
        assert upload(page, 0) > 0
        assert page.get_by_text("scan-0.png").first.is_visible()

        monkeypatch.setattr(sessions, "chromium", lambda: nullcontext(browser))
        monkeypatch.setattr(sessions, "serve", lambda _: nullcontext(ours))
        times, failures = sessions.rows(short=True, sessions=2)
        assert failures.met
        assert times.ours.median > 0
