"""The router's queue outlives a kill at any moment, and loses and repeats nothing."""

import io
import signal
import subprocess
import sys
import threading
import time

import pydicom
import pytest

pytest.importorskip("pynetdicom", reason="pynetdicom is not installed")
pytest.importorskip("highdicom", reason="highdicom is not installed")

from brat import cli
from brat.model.pool import Readers
from brat.pacs.archive import PacsError, Server
from brat.pacs.connect import connect
from brat.pacs.queue import FAILED, LEFT_OUT, READ, SENT, WAITING, Queue, alone
from brat.pacs.router import Listener, Router
from tests.factories.orthanc import free_port
from tests.factories.paths import ROOT
from tests.factories.samples import known_enhanced
from tests.reports.test_dicom_frames import counted, weighted

_MAIN = "import sys; from brat.cli import main; sys.exit(main())"


class Shelf:
    """An archive that keeps what it gets; it can fail, or be killed after it has taken something."""

    name = "shelf"

    def __init__(self):
        self.taken: list[bytes] = []
        self.fails = 0
        self.dies_after = None

    def store(self, files):
        if self.fails:
            self.fails -= 1
            raise PacsError("The archive shelf cannot be reached.")
        self.taken += files
        if self.dies_after is not None and len(self.taken) >= self.dies_after:
            self.dies_after = None
            raise KeyboardInterrupt

    def instances(self):
        return {pydicom.dcmread(io.BytesIO(content)).SOPInstanceUID for content in self.taken}


@pytest.fixture(scope="module")
def readers():
    return Readers()


def uids(content: bytes) -> tuple[str, str, str]:
    header = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True)
    return header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPInstanceUID


def fill(queue: Queue, slices: list[bytes]) -> None:
    for content in slices:
        queue.put(*uids(content), content)


def work_through(work: Router) -> None:
    while work.step():
        pass


def router(queue, archive, readers) -> Router:
    # All that has come is whole at once.
    return Router(queue, archive, readers, settle=0)


def test_a_series_that_is_still_coming_waits(tmp_path, slices):
    queue = Queue(tmp_path)
    fill(queue, slices)
    assert queue.due(settle=30) == []
    (state,) = queue.due(settle=30, now=time.time() + 60)
    assert state.state == WAITING
    assert len(queue.slices(state)) == 4


def test_a_series_is_read_once_and_returned(tmp_path, slices, readers):
    queue, shelf = Queue(tmp_path), Shelf()
    fill(queue, slices)
    work = router(queue, shelf, readers)
    work_through(work)
    (state,) = queue.states()
    assert state.state == SENT
    kinds = [pydicom.dcmread(io.BytesIO(content)).Modality for content in shelf.taken]
    assert kinds[-1] == "SR"
    for content in shelf.taken:
        assert pydicom.dcmread(io.BytesIO(content)).StudyInstanceUID == uids(slices[0])[0]
    before = len(shelf.taken)
    # After a restart, too.
    assert router(Queue(tmp_path), shelf, readers).step() == 0
    assert len(shelf.taken) == before


def test_a_series_whose_slices_are_frames_of_one_file_is_read_and_returned(tmp_path, readers):
    data = known_enhanced()
    queue, shelf = Queue(tmp_path), Shelf()
    fill(queue, [data])
    work_through(router(queue, shelf, readers))
    (state,) = queue.states()
    assert (state.state, state.why) == (SENT, "")
    made = [pydicom.dcmread(io.BytesIO(content)) for content in shelf.taken]
    assert [dataset.Modality for dataset in made] == ["OT", "OT", "SR"]
    for dataset in made:
        assert (dataset.StudyInstanceUID, dataset.PatientID) == (uids(data)[0], "P7")
    frames = [element.value for element in made[-1].iterall() if element.keyword == "ReferencedFrameNumber"]
    # Of the series, then of each slice by its place.
    assert frames[1:] == [2, 4, 3, 1]


def test_of_several_files_of_frames_the_largest_is_read(tmp_path, readers):
    data = known_enhanced()
    whole = pydicom.dcmread(io.BytesIO(data))
    study, series = whole.StudyInstanceUID, whole.SeriesInstanceUID
    others = [
        known_enhanced(places, StudyInstanceUID=study, SeriesInstanceUID=series)
        for places in ([0.0], [0.0, 3.0], [50.0])
    ]
    queue, shelf = Queue(tmp_path), Shelf()
    fill(queue, [*others[:2], data, *others[2:]])
    work_through(router(queue, shelf, readers))
    report = pydicom.dcmread(io.BytesIO(shelf.taken[-1]))
    (evidence,) = report.CurrentRequestedProcedureEvidenceSequence
    of_series = next(one for one in evidence.ReferencedSeriesSequence if one.SeriesInstanceUID == series)
    assert [one.ReferencedSOPInstanceUID for one in of_series.ReferencedSOPSequence] == [whole.SOPInstanceUID]
    # A file of two frames, and two of one frame that make a stack.
    assert counted(shelf.taken[-1], "N-OTHERS") == [2]


def test_the_report_of_the_first_of_two_volumes_says_that_there_is_another(tmp_path, readers):
    frames = [(0.0, "M"), (3.0, "M"), (0.0, "late"), (3.0, "late")]
    queue, shelf = Queue(tmp_path), Shelf()
    fill(queue, [weighted(frames)])
    work_through(router(queue, shelf, readers))
    assert counted(shelf.taken[-1], "N-SLICES") == [2]
    assert counted(shelf.taken[-1], "N-OTHERS") == [1]


@pytest.mark.parametrize("after", [1, 2])
def test_a_kill_between_two_sends_loses_nothing_and_makes_nothing_twice(tmp_path, slices, readers, after):
    queue, shelf = Queue(tmp_path), Shelf()
    fill(queue, slices)
    shelf.dies_after = after
    work = router(queue, shelf, readers)
    with pytest.raises(KeyboardInterrupt):
        work_through(work)
    assert queue.states()[0].state == READ
    work = router(Queue(tmp_path), shelf, readers)
    work_through(work)
    assert work.queue.states()[0].state == SENT
    # What was taken just before the kill is sent again under its own UID: the archive has each once.
    assert len(shelf.instances()) == len({*shelf.instances()}) == len(shelf.taken) - 1


def test_a_kill_while_results_are_made_reads_again(tmp_path, slices, readers, monkeypatch):
    queue, shelf = Queue(tmp_path), Shelf()
    fill(queue, slices)

    def dies(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", dies)
        with pytest.raises(KeyboardInterrupt):
            router(queue, shelf, readers).step()
    assert shelf.taken == []
    work = router(Queue(tmp_path), shelf, readers)
    work_through(work)
    assert work.queue.states()[0].state == SENT


def test_what_cannot_be_sent_is_tried_again_later(tmp_path, slices, readers):
    queue, shelf = Queue(tmp_path), Shelf()
    fill(queue, slices)
    shelf.fails = 1
    work = router(queue, shelf, readers)
    work.step()
    work.step()
    (state,) = queue.states()
    assert (state.state, state.attempts) == (READ, 1)
    assert "cannot be reached" in state.why
    assert queue.due(0) == []
    assert queue.due(0, now=time.time() + 61) == [state]
    made = {path.read_bytes() for path in queue.results(state)}
    assert len(made) >= 1


def test_what_nobody_foresaw_while_it_is_sent_ends_no_router(tmp_path, slices, readers):
    class Broken(Shelf):
        def store(self, files):
            raise ZeroDivisionError("of the patient Planted^Name")

    queue = Queue(tmp_path)
    fill(queue, slices)
    work_through(router(queue, Broken(), readers))
    (state,) = queue.states()
    assert (state.state, state.attempts) == (READ, 1)
    assert state.why.startswith("ZeroDivisionError, error ")
    assert "Planted" not in state.why


def test_an_archive_that_takes_no_parametric_map_gets_the_report_without_one(tmp_path, slices, readers):
    queue, shelf = Queue(tmp_path), Shelf()
    fill(queue, slices)
    work = router(queue, shelf, readers)
    work.parametric_map = False
    work_through(work)
    map_, report = (pydicom.dcmread(io.BytesIO(content)) for content in shelf.taken)
    assert (map_.SOPClassUID.name, report.Modality) == ("Secondary Capture Image Storage", "SR")
    referred = {e.value for e in report.iterall() if e.keyword == "ReferencedSOPInstanceUID"}
    assert referred == {map_.SOPInstanceUID, *(uids(content)[2] for content in slices)}


def test_slices_that_come_late_bring_a_report_that_replaces_the_first(tmp_path, slices, readers):
    queue, shelf = Queue(tmp_path), Shelf()
    fill(queue, slices[:3])
    work = router(queue, shelf, readers)
    work_through(work)
    first = pydicom.dcmread(io.BytesIO(shelf.taken[-1]))
    fill(queue, slices[3:])
    work_through(work)
    second = pydicom.dcmread(io.BytesIO(shelf.taken[-1]))
    assert first.SOPInstanceUID in str(second.PredecessorDocumentsSequence)
    assert uids(slices[3])[2] in str(second)


def test_what_is_not_read_says_why_and_what_is_damaged_too(tmp_path, slices, readers):
    queue, shelf = Queue(tmp_path), Shelf()
    scout = pydicom.dcmread(io.BytesIO(slices[0]))
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scout.SeriesInstanceUID = pydicom.uid.generate_uid()
    written = io.BytesIO()
    scout.save_as(written)
    fill(queue, [written.getvalue()])
    study, series, instance = uids(slices[1])
    queue.put(study, series, instance, slices[1][:3000])
    work = router(queue, shelf, readers)
    work_through(work)
    states = {state.state: state.why for state in queue.states()}
    assert set(states) == {LEFT_OUT, FAILED}
    assert "localiser" in states[LEFT_OUT]
    assert "damaged" in states[FAILED]
    assert shelf.taken == []


def test_what_is_done_is_deleted_in_time_and_remembered(tmp_path, slices, readers):
    queue, shelf = Queue(tmp_path), Shelf()
    fill(queue, slices)
    work = router(queue, shelf, readers)
    work_through(work)
    queue.prune(3600)
    assert queue.slices(queue.states()[0])
    queue.prune(3600, now=time.time() + 4000)
    assert not queue.slices(queue.states()[0])
    assert queue.states()[0].state == SENT
    assert queue.due(0) == []


def test_what_could_not_be_read_is_deleted_too_but_later(tmp_path, slices, readers):
    """Anybody can send what cannot be read: it must not fill the disk for good."""
    queue = Queue(tmp_path)
    queue.put(*uids(slices[0]), slices[0][:3000])
    work_through(router(queue, Shelf(), readers))
    (state,) = queue.states()
    assert state.state == FAILED
    queue.prune(3600, now=time.time() + 6 * 3600)
    assert queue.slices(state)
    queue.prune(3600, now=time.time() + 8 * 3600)
    assert not queue.slices(state)
    assert queue.states()[0].why == state.why


def test_what_comes_again_after_it_was_deleted_is_not_deleted_before_it_is_read(tmp_path, slices, readers):
    """A step every second deletes what is old, and a series takes 30 seconds to be whole."""
    queue, shelf = Queue(tmp_path), Shelf()
    fill(queue, slices)
    work_through(router(queue, shelf, readers))
    before, later = len(shelf.taken), time.time() + 4000
    queue.prune(3600, now=later)
    for content in slices:
        fill(queue, [content])
        queue.prune(3600, now=later)
    (state,) = queue.due(settle=30, now=later)
    assert len(queue.slices(state)) == 4
    work_through(router(queue, shelf, readers))
    assert len(shelf.taken) == 2 * before


def test_late_slices_of_what_was_not_deleted_yet_stay(tmp_path, slices, readers):
    queue = Queue(tmp_path)
    fill(queue, slices[:3])
    work_through(router(queue, Shelf(), readers))
    fill(queue, slices[3:])
    later = time.time() + 4000
    queue.prune(3600, now=later)
    (state,) = queue.due(settle=30, now=later)
    assert len(queue.slices(state)) == 4


def test_a_kill_while_what_is_old_is_deleted_leaves_nothing_behind(tmp_path, slices, readers, monkeypatch):
    queue = Queue(tmp_path)
    fill(queue, slices)
    work_through(router(queue, Shelf(), readers))
    later = time.time() + 4000

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Queue, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            queue.prune(3600, now=later)
    again = Queue(tmp_path)
    assert again.due(0) == []
    again.prune(3600, now=later)
    (state,) = again.states()
    assert (state.state, state.instances) == (SENT, 0)
    (place,) = (path for path in tmp_path.iterdir() if path.name != "incoming")
    assert [path.name for path in place.iterdir()] == ["state.json"]


def test_what_is_done_and_deleted_costs_nothing_any_more(tmp_path, slices, readers, monkeypatch):
    """Its state stays for years; it is neither read nor written with every step."""
    queue, shelf = Queue(tmp_path), Shelf()
    fill(queue, slices)
    work_through(router(queue, shelf, readers))
    queue.prune(3600, now=time.time() + 4000)
    touched = []
    monkeypatch.setattr(Queue, "_write", lambda *_, **__: touched.append("written"))
    monkeypatch.setattr(Queue, "_read", lambda *_: touched.append("read"))
    assert Router(queue, shelf, readers, keep=0).step() == 0
    assert touched == []


@pytest.mark.parametrize("uid", ["", "../../etc", "..", "1.2/3", "1" * 65])
def test_a_uid_is_no_path(tmp_path, uid):
    with pytest.raises(ValueError, match="without valid UIDs"):
        Queue(tmp_path).put("1.2", "1.3", uid, b"")


def test_the_listener_acknowledges_what_is_on_the_disk_and_turns_strangers_away(tmp_path, slices):
    queue = Queue(tmp_path)
    with Listener(queue, 0, "BRATUM", peers=("SCANNER",), address="127.0.0.1") as listener:
        server = {"host": "127.0.0.1", "port": listener.port, "title": "BRATUM"}
        connect(Server("us", own_title="SCANNER", **server)).store(slices)
        (state,) = queue.states()
        assert len(queue.slices(state)) == 4
        back = pydicom.dcmread(queue.slices(state)[0])
        originals = [pydicom.dcmread(io.BytesIO(content)) for content in slices]
        assert any((back.pixel_array == original.pixel_array).all() for original in originals)
        with pytest.raises(PacsError, match="refuses our AE title"):
            connect(Server("us", own_title="STRANGER", **server)).store(slices)


def test_a_second_router_at_one_queue_is_refused_before_it_touches_anything(tmp_path, capsys):
    folder = tmp_path / "queue"
    with alone(folder):
        arriving = Queue(folder).folder / "incoming" / "1.2-00"
        arriving.write_bytes(b"half of an instance")
        assert cli.main(["pacs", "listen", "--queue", str(folder), "--port", str(free_port())]) == 2
        assert "Another router works at the queue" in capsys.readouterr().err
        assert arriving.exists()
    with alone(folder):
        pass


def test_a_full_disk_is_said_to_the_sender(tmp_path, slices, monkeypatch):
    monkeypatch.setattr("brat.pacs.router.MIN_FREE", 1 << 62)
    queue = Queue(tmp_path)
    with (
        Listener(queue, 0, "BRATUM", address="127.0.0.1") as listener,
        pytest.raises(PacsError, match="0xa700"),
    ):
        connect(Server("us", host="127.0.0.1", port=listener.port, title="BRATUM")).store(slices)
    assert queue.states() == []


def test_the_command_reads_what_is_sent_and_returns_it_though_it_is_killed(archive, slices, tmp_path):
    """By its processes: killed with SIGKILL once it has taken the slices, it goes on where it was."""
    running, _ = archive
    settings, port = tmp_path / "secrets.toml", free_port()
    settings.write_text(f'[pacs.main]\nurl = "{running.dicomweb}"\n')
    web = connect(Server("main", url=running.dicomweb))
    web.store(slices)
    study = uids(slices[0])[0]
    command = [sys.executable, "-c", _MAIN, "pacs", "listen", "--address", "127.0.0.1", "--port", str(port)]
    command += [
        "--queue",
        str(tmp_path / "queue"),
        "--read",
        "--send-to",
        "main",
        "--settings",
        str(settings),
    ]

    def start(settle: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [*command, "--settle", settle], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert "listens on port" in process.stdout.readline()
        return process

    first = start("60")
    try:
        connect(Server("us", host="127.0.0.1", port=port, title="BRATUM")).store(slices)
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait(10)
    second = start("0")
    timer = threading.Timer(60, second.kill)
    timer.start()
    try:
        for line in second.stdout:
            if ": sent" in line:
                break
    finally:
        timer.cancel()
        second.terminate()
        second.wait(10)
    modalities = sorted(entry.modality for entry in web.series(study))
    assert modalities == ["MR", "OT", "OT", "SR"]
    assert len(running.get("/patients")) == 1
