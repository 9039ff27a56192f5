"""`brat batch`: plan what is read of an archive, read it in shards, say how far it is, merge the results."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from brat import log
from brat.environment import WEIGHTS

if TYPE_CHECKING:
    from brat.batch.manifest import Planned
    from brat.pacs.archive import Archive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands; each sets `run`, which takes the options and returns the exit status."""
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], help: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help)
        added.set_defaults(run=run)
        added.add_argument("folder", type=Path, metavar="BATCH", help="folder of the batch")
        return added

    plan = command("plan", _plan, "choose by header what is read, and cut it into shards")
    plan.add_argument("paths", nargs="*", metavar="PATH", help="a file, a folder or a DICOMDIR")
    plan.add_argument(
        "--archive", metavar="NAME", help="a section [pacs.NAME] of the settings, in place of paths"
    )
    which = plan.add_mutually_exclusive_group()
    which.add_argument("--studies", type=Path, metavar="FILE", help="Study Instance UIDs, one a line")
    which.add_argument("--date", type=_days, metavar="YYYYMMDD[-YYYYMMDD]", help="MR studies of these days")
    plan.add_argument(
        "--all", action="store_true", dest="every", help="also sequences that the model was not measured on"
    )
    plan.add_argument(
        "--shard-size", type=_at_least_1, default=1000, metavar="N", help="slices, about; default: 1000"
    )

    run = command("run", _run, "read the shards that are not done")
    run.add_argument("--engine", choices=("local", "ray"), default="local", help="default: local")
    run.add_argument(
        "--processes",
        type=_at_least_1,
        metavar="N",
        help="default: one for each core of the computer or the cluster",
    )
    run.add_argument("--ray-address", metavar="ADDRESS", help="of the cluster's head; default: found by Ray")
    run.add_argument(
        "--part", type=_part, default=(1, 1), metavar="K/N", help="every N-th shard, beginning with the K-th"
    )
    run.add_argument("--weights", default=WEIGHTS, metavar="DIR", help="folder of the model")
    run.add_argument(
        "--int8",
        action="store_true",
        help="read with the int8 version of the model, in int8/ below its folder, in about half the time",
    )

    for each in (plan, run):
        each.add_argument(
            "--settings",
            type=Path,
            metavar="FILE",
            help="of the archive; default: BRAT_SETTINGS names it, or .streamlit/secrets.toml",
        )
    status = command("status", _status, "say how far it is, and why the rest is not read")
    status.add_argument("--json", action="store_true")

    merge = command("merge", _merge, "write the results of all shards into one file")
    merge.add_argument("--out", required=True, type=Path, metavar="FILE.parquet")


def _at_least_1(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _part(text: str) -> tuple[int, int]:
    number, _, of = text.partition("/")
    if not (number.isdigit() and of.isdigit() and 1 <= int(number) <= int(of)):
        raise argparse.ArgumentTypeError("must be K/N, such as 3/8, with K from 1 to N")
    return int(number), int(of)


def _days(text: str) -> tuple[date, date]:
    try:
        first, last = ([*(datetime.strptime(day, "%Y%m%d").date() for day in text.split("-"))] * 2)[:2]
    except ValueError:
        raise argparse.ArgumentTypeError("must be a day or two, such as 20260101-20261231") from None
    return first, last


def _connect(settings: Path | None, name: str) -> Archive:
    from brat.pacs.archive import load_server
    from brat.pacs.connect import connect

    return connect(load_server(name, settings))


def _plan(options: argparse.Namespace) -> int:
    from brat.batch.manifest import plan

    if bool(options.paths) == bool(options.archive):
        raise ValueError("Name either paths, or an archive with --archive.")
    log.start("batch plan")
    units = _of_archive(options) if options.archive else _of_paths(options)
    shards = plan(options.folder, units, options.every, options.shard_size)
    print(f"Wrote {options.folder}: {shards:,} shards. `brat batch status` says what is not read, and why.")
    return 0


def _of_paths(options: argparse.Namespace) -> Iterator[Planned]:
    from brat.batch.manifest import planned_files

    if options.studies or options.date:
        raise ValueError("--studies and --date choose from an archive: name it with --archive.")
    return planned_files(options.paths, options.every)


def _of_archive(options: argparse.Namespace) -> Iterator[Planned]:
    from brat.batch.manifest import planned_series, studies_between

    archive = _connect(options.settings, options.archive)
    if options.studies:
        studies: Iterator[str] = iter(options.studies.read_text(encoding="utf-8").split())
    elif options.date:
        first, last = options.date
        studies = studies_between(first, last, archive.studies)
    else:
        raise ValueError("Of an archive, say which studies: --date YYYYMMDD-YYYYMMDD, or --studies FILE.")
    return planned_series(archive, studies, options.every)


def _run(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    log.start("batch run")
    archive = partial(_connect, options.settings and options.settings.absolute())
    weights = Path(options.weights)
    if options.int8 and not (weights := weights / "int8").is_dir():
        raise ValueError(f"There is no {weights}: `brat quantize` writes the int8 version of a model.")
    which = (options.folder, weights, options.processes, options.part, archive)
    if options.engine == "ray":
        from brat.batch import on_ray

        done = on_ray.run(*which, options.ray_address)
    elif options.ray_address:
        raise ValueError("--ray-address is for --engine ray.")
    else:
        from brat.batch import local

        done = local.run(*which)
    shards = rows = 0
    with tqdm(unit="shard", disable=not sys.stderr.isatty()) as bar:
        for total, read in done:
            bar.total = total
            bar.update()
            shards, rows = shards + 1, rows + read
    print(f"Read {shards:,} shards with {rows:,} rows.")
    return 0


def _status(options: argparse.Namespace) -> int:
    from brat.batch.results import status

    said = status(options.folder)
    if options.json:
        print(json.dumps(said._asdict()))
        return 0
    print(f"{said.done:,} of {said.shards:,} shards are done, with {said.rows:,} rows.")
    print(f"{said.units:,} series and files are read, and {said.left_out.total():,} are not:")
    for reason, count in said.left_out.most_common():
        print(f"{count:10,}  {reason}")
    return 0


def _merge(options: argparse.Namespace) -> int:
    from brat.batch.results import merge

    rows, errors = merge(options.folder, options.out)
    print(f"Wrote {options.out}: {rows:,} rows, {errors:,} of them with an error.")
    return 0
