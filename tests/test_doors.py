"""Every door through which a file comes leads to the same pool of processes, with the same budget.

`tests/io/test_hostile.py` holds that pool to every kind of hostile file; here each door gets the worst three.
"""

from __future__ import annotations

import contextlib
import io
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from brat.cli import main
from brat.io import door, workers
from brat.io.files import File
from brat.io.intake import Item
from brat.io.samples import load_samples
from brat.io.workers import Account, owner
from tests.factories.hostile import KINDS
from tests.factories.paths import ROOT
from tests.io.test_hostile import BUDGET, linux, memory

SAMPLE = load_samples()[0].file

ALLOWED = 2.0
"""Seconds that the pool gives a file here, instead of 7: a door that does not ask it takes longer."""

PATIENCE = 3 * workers.WAITING * ALLOWED
"""Seconds, where other tests want the processors, too. By itself each of the files takes 30 s and more."""


def page(name: str, path: Path) -> AppTest:
    opened = AppTest.from_file(str(ROOT / "pages" / f"{name}.py"), default_timeout=4 * PATIENCE)
    opened.session_state["entered"] = True
    opened.run()
    opened.file_uploader[0].upload(path.name, path.read_bytes()).run()
    assert not opened.exception
    return opened


def review(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    # What makes several items is listed elsewhere.
    monkeypatch.setattr("streamlit.switch_page", lambda _: None)
    opened = page("review", path)
    said = [error.value for error in opened.error]
    if "handed_over" in opened.session_state:
        said += [item.problem for item in opened.session_state["handed_over"] if item.problem]
    return said


def worklist(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    work = page("worklist", path).session_state["worklist"]
    assert work.wait(4 * PATIENCE)
    rows = work.rows()
    work.close()
    return [row.problem for row in rows if row.problem]


def predict(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(["predict", "--json", str(path)]) == 1
    records = [json.loads(line) for line in printed.getvalue().splitlines()]
    return [record["error"] for record in records if "error" in record]


def api(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    served = pytest.importorskip("tests.serve.test_api")
    with served.Served(served.make_app()) as server:
        status, answer = server.ask("/api/v1/readings", path.read_bytes())
    assert status == 422
    return [answer["detail"]]


DOORS = {"Review": review, "Worklist": worklist, "brat predict": predict, "API": api}


@pytest.fixture
def neighbour():
    """Reads a slice for another session again and again; its times in seconds once it is told to end."""
    over, times = threading.Event(), []

    def read() -> None:
        owner.set("another session")
        while not over.is_set():
            begun = time.monotonic()
            # Whatever the file beside it may take.
            drop = Account(60)
            door.load(Item(SAMPLE.name, (File(SAMPLE.name, SAMPLE.read_bytes()),), drop=drop))
            times.append(time.monotonic() - begun)

    thread = threading.Thread(target=read)

    def end() -> list[float]:
        over.set()
        thread.join()
        return times

    thread.start()
    yield end
    end()


@linux
@pytest.mark.parametrize("name", DOORS)
@pytest.mark.parametrize("kind", ["jpeg", "items", "tiff"])
def test_a_hostile_file_ends_at_every_door_and_keeps_nobody_waiting(
    kind, name, neighbour: Callable[[], list[float]], tmp_path, monkeypatch
):
    (path,) = KINDS[kind](tmp_path)
    workers.pool.warm()
    monkeypatch.setattr(workers, "SECONDS", ALLOWED)
    begun = time.monotonic()
    with memory() as most:
        said = DOORS[name](path, monkeypatch)
    seconds, times = time.monotonic() - begun, sorted(neighbour())
    assert said
    assert all(text.endswith(".") for text in said)
    assert workers.DIED not in " ".join(said)
    assert seconds < PATIENCE
    assert most[0] < BUDGET
    # Who has to wait for the file is answered once, after it.
    assert len(times) > 5
    assert times[len(times) // 2] < ALLOWED / 4
