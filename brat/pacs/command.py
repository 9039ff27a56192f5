"""`brat pacs`: ask an archive, fetch from it, send to it, and listen for it."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from brat import log, metrics
from brat.environment import WEIGHTS

if TYPE_CHECKING:
    import ssl

    from brat.pacs.archive import Archive
    from brat.pacs.queue import State


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands; each sets `run`, which takes the options and returns the exit status."""
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], help: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help)
        added.set_defaults(run=run)
        return added

    echo = command("echo", _echo, "ask an archive whether it is there and lets us in")
    find = command("find", _find, "list studies; with --study the series of one, and which of them is read")
    pull = command("pull", _pull, "fetch the series of a study that can be read")
    push = command("push", _push, "send DICOM files to an archive")
    listen = command("listen", _listen, "take what is sent to this computer into a queue, read and return it")
    queue = command("queue", _queue, "what a router has not done, and have it tried again")
    for named in (echo, find, pull, push):
        named.add_argument("archive", metavar="NAME", help="of a section [pacs.NAME] of the settings")
    for each in (echo, find, pull, push, listen):
        each.add_argument(
            "--settings",
            type=Path,
            metavar="FILE",
            help="default: the environment variable BRAT_SETTINGS, or .streamlit/secrets.toml",
        )
    find.add_argument("--study", default="", metavar="UID")
    find.add_argument("--date", default="", metavar="YYYYMMDD[-YYYYMMDD]")
    find.add_argument("--description", default="", metavar="TEXT", help="a part of the study's description")
    find.add_argument("--modality", default="MR", help="default: MR; empty for all")
    find.add_argument("--patient-id", default="", metavar="ID")
    find.add_argument("--patient-name", default="", metavar="NAME", help="a part of it")
    find.add_argument("--accession", default="", metavar="NUMBER")
    find.add_argument("--json", action="store_true", help="one JSON object a line")
    pull.add_argument("--study", required=True, metavar="UID")
    pull.add_argument("--series", metavar="UID", help="this one, whatever its header says")
    pull.add_argument("--out", required=True, type=Path, metavar="DIR")
    push.add_argument("files", nargs="+", type=Path, metavar="FILE")
    listen.add_argument("--port", type=int, default=11112, help="default: 11112")
    listen.add_argument("--address", default="", help="default: all of this computer")
    listen.add_argument("--title", default="BRATUM", help="our AE title (default: BRATUM)")
    listen.add_argument(
        "--peer", action="append", default=[], metavar="TITLE", help="may send; default: all may"
    )
    listen.add_argument(
        "--certificate", default="", metavar="FILE", help="of ours: take instances by TLS only"
    )
    listen.add_argument("--key", default="", metavar="FILE", help="of the certificate, if not in its file")
    listen.add_argument("--ca", default="", metavar="FILE", help="only whose certificate it signed may send")
    for each in (listen, queue):
        each.add_argument("--queue", type=Path, default=Path("queue"), metavar="DIR", help="default: queue")
    queue.add_argument("--all", action="store_true", help="list what is done, too")
    queue.add_argument(
        "--retry",
        nargs="*",
        metavar="UID",
        help="try these series again, or all that failed or wait to be sent again",
    )
    listen.add_argument("--read", action="store_true", help="read each series once it is whole")
    listen.add_argument("--send-to", metavar="NAME", help="archive that gets report and maps; needs --read")
    listen.add_argument(
        "--settle", type=float, default=30.0, metavar="SECONDS", help="without a new instance; default: 30"
    )
    listen.add_argument(
        "--keep", type=float, default=24.0, metavar="HOURS", help="that what is done stays; default: 24"
    )
    listen.add_argument(
        "--keep-failed",
        type=float,
        default=168.0,
        metavar="HOURS",
        help="that what failed stays; default: 168",
    )
    listen.add_argument("--weights", default=WEIGHTS, metavar="DIR", help="folder of the model")


def _archive(options: argparse.Namespace, name: str) -> Archive:
    from brat.pacs.archive import load_server
    from brat.pacs.connect import connect

    log.start("pacs")
    return connect(load_server(name, options.settings))


def _echo(options: argparse.Namespace) -> int:
    _archive(options, options.archive).echo()
    print(f"{options.archive} answers.")
    return 0


def _find(options: argparse.Namespace) -> int:
    from brat.pacs.archive import LIMIT, Query

    archive = _archive(options, options.archive)
    if options.study:
        return _find_series(archive, options)
    query = Query(
        date=options.date,
        description=options.description,
        modality=options.modality,
        patient_id=options.patient_id,
        patient_name=options.patient_name,
        accession=options.accession,
    )
    found = archive.studies(query)
    for entry in found:
        if options.json:
            print(json.dumps(asdict(entry)))
        else:
            named = entry.study or entry.problem
            print(f"{entry.date:8}  {entry.modalities:8}  {entry.description:32}  {named}")
    if len(found) == LIMIT:
        print(f"brat: only the first {LIMIT} are shown; narrow the search", file=sys.stderr)
    return int(not found)


def _find_series(archive: Archive, options: argparse.Namespace) -> int:
    from brat.pacs.choice import choices_of

    chosen = choices_of(archive, options.study)
    for entry, choice in chosen:
        if options.json:
            print(json.dumps({**asdict(entry), **choice._asdict()}))
        else:
            print(_line(entry.number, entry.modality, entry.description, choice.read, choice.reason))
    return int(not chosen)


def _line(number: str, modality: str, description: str, read: bool, reason: str) -> str:
    return f"{number:>6}  {modality:4}  {description[:40]:40}  {'read' if read else 'left out':8}  {reason}"


def _pull(options: argparse.Namespace) -> int:
    from brat.pacs.choice import choices_of

    archive = _archive(options, options.archive)
    fetched = 0
    for entry, choice in choices_of(archive, options.study):
        wanted = entry.series == options.series if options.series else choice.read
        print(_line(entry.number, entry.modality, entry.description, wanted, choice.reason), file=sys.stderr)
        if not wanted:
            continue
        folder = options.out / entry.series
        folder.mkdir(parents=True, exist_ok=True)
        for number, content in enumerate(archive.fetch(entry), 1):
            (folder / f"{number:05}.dcm").write_bytes(content)
            fetched += 1
    print(f"Wrote {fetched} files to {options.out}.")
    return int(not fetched)


def _push(options: argparse.Namespace) -> int:
    files = [
        file
        for path in options.files
        for file in (sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path])
    ]
    archive = _archive(options, options.archive)
    for file in files:
        archive.store([file.read_bytes()])
    print(f"{options.archive} has taken {len(files)} objects.")
    return int(not files)


def _listen(options: argparse.Namespace) -> int:
    from brat.pacs.queue import alone

    if options.read != bool(options.send_to):
        raise ValueError("--read and --send-to NAME go together: what is read must go somewhere.")
    if (options.key or options.ca) and not options.certificate:
        raise ValueError("--key and --ca need --certificate: without it nothing is encrypted.")
    tls = None
    if options.certificate:
        from brat.pacs.dimse import listening_context

        tls = listening_context(options.certificate, options.key, options.ca, "the command")
    with alone(options.queue):
        _work(options, tls)
    return 0


def _work(options: argparse.Namespace, tls: ssl.SSLContext | None) -> None:
    from brat.model.pool import Readers
    from brat.pacs.archive import load_server
    from brat.pacs.connect import connect
    from brat.pacs.queue import Queue
    from brat.pacs.router import Listener, Router

    log.start("pacs listen")
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    queue = Queue(options.queue)
    # Before anything is taken it is known whether it can be read and returned.
    router = None
    if options.read:
        readers = Readers(options.weights)
        readers()
        server = load_server(options.send_to, options.settings)
        router = Router(
            queue,
            connect(server),
            readers,
            options.settle,
            options.keep * 3600,
            options.keep_failed * 3600,
            _tell,
            server.parametric_map,
        )
    # Without a model nothing but the queue can be wrong.
    metrics.start(partial(metrics.read_a_sample, options.weights) if router else queue.states)
    with Listener(queue, options.port, options.title, tuple(options.peer), options.address, tls) as listener:
        print(f"{options.title} listens on port {listener.port}.", flush=True)
        if router:
            router.run(stop)
        else:
            stop.wait()


def _queue(options: argparse.Namespace) -> int:
    from brat.pacs.queue import LEFT_OUT, SENT, Queue

    queue = Queue(options.queue, only_look=True)
    listed = sorted(queue.listed(), key=lambda entry: entry[1])
    if options.retry is not None:
        wanted = [state for state, *_ in listed if not options.retry or state.series in options.retry]
        asked = sum(map(queue.ask_again, wanted))
        print(f"{asked} series are tried again.")
        return int(not asked)
    for state, since, held in listed:
        if options.all or state.state not in (SENT, LEFT_OUT):
            time = datetime.fromtimestamp(since).isoformat(" ", "seconds")
            print(f"{time}  {state.state:8}  {held:>5}  {state.series}  {state.why}")
    counts = Counter(state.state for state, *_ in listed)
    print(", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "The queue is empty.")
    return 0


def _tell(state: State) -> None:
    # Of the UIDs a part is enough to tell series apart.
    print(f"…{state.series[-12:]}: {state.state}{f', {state.why}' if state.why else ''}", flush=True)
