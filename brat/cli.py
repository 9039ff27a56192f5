"""The `brat` command.

Each command imports what it needs when it runs, so that `brat predict` starts without TensorFlow.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import runpy
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from brat import log
from brat.classes import CLASS_NAMES, CLASSES
from brat.environment import ROOT, WEIGHTS, missing_package
from brat.wording import percent

if TYPE_CHECKING:
    from brat.evaluation.site import Validation
    from brat.training.recipe import Recipe


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status: 0, 1 where something could not be read, 2 for misuse."""
    parser = _parser()
    options, further = parser.parse_known_args(arguments)
    if further and options.run is not _app:
        parser.error(f"unrecognized arguments: {' '.join(further)}")
    options.further = further
    try:
        return options.run(options)
    except ModuleNotFoundError as error:
        if not (advice := missing_package(error.name or "")):
            raise
        print(f"brat: {advice}", file=sys.stderr)
        return 2
    except (ValueError, OSError, RuntimeError) as error:
        log.event("stopped", causes=log.causes(error))
        print(f"brat: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("brat: stopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="brat", description="Read brain MRI slices, and train and measure the model that does."
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    predict = commands.add_parser("predict", help="read slices")
    predict.set_defaults(run=_predict)
    predict.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="a file, each slice of which is read; a folder, searched for scans by name and content, hidden "
        "files left out; or a DICOMDIR. DICOM files of one series are read in their order",
    )
    predict.add_argument("--json", action="store_true", help="one JSON object a line on standard output")
    predict.add_argument("--cam", metavar="DIR", help="write the overlay of each scan there as PNG")
    predict.add_argument("--weights", default=WEIGHTS, metavar="DIR", help="folder of the model")

    app = commands.add_parser(
        "app",
        help="start the app; further options are Streamlit's",
        description="Start the app on this computer. Further options are passed on to `streamlit run`: "
        "brat app --server.port 8600.",
    )
    app.set_defaults(run=_app)

    pacs = commands.add_parser("pacs", help="ask an archive, fetch from it, send to it, listen for it")
    _add_pacs_arguments(pacs)

    batch = commands.add_parser("batch", help="read an archive in shards, on one computer or many")
    _add_batch_arguments(batch)

    serve = commands.add_parser("serve", help="start the HTTP API, without the app")
    serve.set_defaults(run=_serve)
    serve.add_argument("--address", default="127.0.0.1", help="default: 127.0.0.1")
    serve.add_argument("--port", type=int, default=8600, help="default: 8600")
    serve.add_argument(
        "--keys", type=Path, metavar="FILE", help="one key a line; default: BRAT_API_KEYS names the file"
    )
    serve.add_argument("--root-path", default="", metavar="/PATH", help="under which a proxy shows it")
    serve.add_argument("--weights", default=WEIGHTS, metavar="DIR", help="folder of the model")

    train = commands.add_parser("train", help="train a model")
    train.set_defaults(run=_train)
    _add_training_arguments(train, one_index=False)
    train.add_argument(
        "--test-fold",
        type=_fold,
        default=0,
        metavar="K|none",
        help="never trained on (default 0); none trains on all, for a recipe that crossval has measured",
    )
    train.add_argument(
        "--validation-fold",
        type=_validation_fold,
        default="next",
        metavar="K|next|none",
        help="the best epoch's weights are chosen on it; none trains on it too and keeps the last epoch's "
        "(default: next, the fold after the test fold)",
    )
    train.add_argument("--resume", action="store_true", help="go on with the run in DIR")
    train.add_argument(
        "--start-from",
        metavar="WEIGHTS",
        help="go on from the model.keras of this folder, at a tenth of the learning rate; an epoch draws as "
        "many slices as there are, 3,600 at most",
    )
    train.add_argument("--tensorboard", metavar="DIR", help="write events there that TensorBoard shows")
    train.add_argument(
        "--hold-out",
        type=lambda text: text.split(","),
        default=[],
        metavar="samples|GROUP,GROUP",
        help="groups of the index, such as patients, that are not trained on; samples: those of the samples",
    )

    export = commands.add_parser("export", help="write the LiteRT file of a trained model again")
    export.set_defaults(run=_export)
    export.add_argument("weights", metavar="DIR", help="folder of model.keras")

    quantize = commands.add_parser(
        "quantize",
        help="write a model in int8, for `brat batch run --int8`",
        description="Write a model in int8 to a folder of its own. It reads in about half the time, and "
        "needs a calibration of its own: docs/model-files.md.",
    )
    quantize.set_defaults(run=_quantize)
    quantize.add_argument("weights", metavar="DIR", help="folder of model.keras")
    quantize.add_argument("--data", required=True, metavar="INDEX.csv", help="that it was trained with")
    quantize.add_argument("--out", required=True, metavar="DIR")

    manifest = commands.add_parser("manifest", help="write the manifest of a model's folder that has none")
    manifest.set_defaults(run=_manifest)
    manifest.add_argument("weights", metavar="DIR", help="folder of the model")

    hashed = commands.add_parser(
        "hashes", help="write the hashes of a model's training slices, by which `brat validate` finds copies"
    )
    hashed.set_defaults(run=_hashes)
    hashed.add_argument("--data", required=True, metavar="INDEX.csv", help="that the model was trained with")
    hashed.add_argument("--weights", default=WEIGHTS, metavar="DIR", help="folder of the model")

    _add_validate(commands)

    augment = commands.add_parser("augment", help="show what training makes of a slice")
    augment.set_defaults(run=_augment)
    augment.add_argument("image", metavar="IMAGE")
    augment.add_argument("--out", default="augment.png", metavar="FILE", help="default: augment.png")
    augment.add_argument("--seed", type=int, default=0)

    evaluate = commands.add_parser("evaluate", help="measure a model on a fold it has not seen")
    evaluate.set_defaults(run=_evaluate)
    evaluate.add_argument("--data", required=True, metavar="INDEX.csv|FOLDER")
    evaluate.add_argument("--weights", default=WEIGHTS, metavar="DIR", help="folder of the model")
    unseen = evaluate.add_mutually_exclusive_group()
    unseen.add_argument("--fold", type=int, default=0, metavar="K")
    unseen.add_argument("--source", metavar="SOURCE", help="a source that the model was not trained on")

    crossval = commands.add_parser("crossval", help="train and measure a model for each fold")
    crossval.set_defaults(run=_crossval)
    _add_training_arguments(crossval, one_index=True)
    crossval.add_argument(
        "--folds",
        type=_folds,
        default=None,
        metavar="0,1,2|none",
        help="which to do now; what is done stays done",
    )
    crossval.add_argument(
        "--without",
        type=lambda text: text.split(","),
        default=[],
        metavar="SOURCE,SOURCE",
        help="models trained without a source, too, which then stands for another hospital",
    )
    crossval.add_argument("--random", action="store_true", help="the random split of the original work, too")

    results = commands.add_parser("results", help="measure the runs of crossval, for the weights that ship")
    results.set_defaults(run=_results)
    results.add_argument("--data", required=True, metavar="INDEX.csv")
    results.add_argument("--runs", required=True, metavar="DIR", help="the folder that crossval wrote")
    results.add_argument("--weights", default=WEIGHTS, metavar="DIR", help="folder of the model")
    results.add_argument(
        "--outside", metavar="DIR", help="folder of head-ct/ and lumbar-spine-mri/: pictures to be refused"
    )

    audit = commands.add_parser(
        "audit", help="find duplicates, leaks between splits and labels that disagree"
    )
    audit.set_defaults(run=_audit)
    audit.add_argument("source", metavar="INDEX.csv|FOLDER")
    audit.add_argument("--json", metavar="FILE", help="write the findings there too")
    audit.add_argument(
        "--picture", metavar="FILE.png", help="draw what the threshold parts, and example pairs"
    )

    datasets = commands.add_parser("datasets", help="make an index of a collection")
    datasets.set_defaults(run=_datasets)
    datasets.add_argument(
        "kind",
        choices=("figshare", "folder"),
        help="figshare: the original .mat files, grouped by patient; folder: one sub-folder a class, grouped "
        "by near-duplicates",
    )
    datasets.add_argument("folder", metavar="DIR")
    datasets.add_argument("--out", required=True, metavar="INDEX.csv")

    cases = commands.add_parser("cases", help="what the store of kept cases holds")
    of_cases = cases.add_subparsers(title="commands", required=True, metavar="COMMAND")
    cases_index = of_cases.add_parser(
        "index", help="write the cases that were kept with their pictures as an index to train on"
    )
    cases_index.set_defaults(run=_cases_index)
    cases_index.add_argument(
        "store", metavar="URL", help="of the store, as in secrets.toml: sqlite:///cases.db"
    )
    cases_index.add_argument(
        "--out", required=True, metavar="DIR", help="a new folder for the index and the pictures"
    )
    return parser


def _add_training_arguments(parser: argparse.ArgumentParser, *, one_index: bool) -> None:
    parser.add_argument(
        "--data",
        required=True,
        nargs=None if one_index else "+",
        metavar="INDEX.csv|FOLDER",
    )
    parser.add_argument(
        "--backbone",
        default="imagenet",
        metavar="imagenet|PATH",
        help="imagenet, which Keras downloads, or a weights file of MobileNetV2 without its top",
    )
    parser.add_argument("--out", required=True, metavar="DIR")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--seed", type=int, default=0)


def _add_validate(commands: argparse._SubParsersAction) -> None:
    validate = commands.add_parser(
        "validate",
        help="measure a model on a site's own slices",
        description="Measure a model on slices of your own, without touching its metrics.json: "
        "docs/validate.md.",
    )
    validate.set_defaults(run=_validate)
    validate.add_argument(
        "data",
        nargs="?",
        metavar="FOLDER|ZIP|INDEX.csv",
        help="with a sub-folder a class, or a table with the columns name, label and, where known, patient",
    )
    validate.add_argument(
        "--verdicts",
        metavar="URL",
        help="in place of scans: the verdicts of a store, as in secrets.toml: sqlite:///cases.db",
    )
    validate.add_argument("--out", default="validation", metavar="DIR", help="default: validation")
    validate.add_argument("--weights", default=WEIGHTS, metavar="DIR", help="folder of the model")
    validate.add_argument("--against", metavar="DIR", help="folder of a second model, for the same slices")
    validate.add_argument("--site", default="", metavar="NAME", help="what the report calls your site")
    validate.add_argument(
        "--apply",
        action="store_true",
        help="put the recalibration for your site beside the weights, so that all readings use it",
    )


def _add_pacs_arguments(parser: argparse.ArgumentParser) -> None:
    from brat.pacs.command import add_arguments

    add_arguments(parser)


def _add_batch_arguments(parser: argparse.ArgumentParser) -> None:
    from brat.batch.command import add_arguments

    add_arguments(parser)


def _serve(options: argparse.Namespace) -> int:
    from brat.serve.command import serve

    return serve(options)


def _folds(text: str) -> list[int]:
    return [] if text == "none" else [int(fold) for fold in text.split(",")]


def _fold(text: str) -> int | None:
    return None if text == "none" else int(text)


def _validation_fold(text: str) -> int | str | None:
    return text if text == "next" else _fold(text)


def _predict(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from brat.io.names import clean_name
    from brat.model.series_reading import NOTHING
    from brat.predict import find_files, read_entries, sort_files

    log.start("predict")
    overlays = Path(options.cam) if options.cam else None
    if overlays:
        overlays.mkdir(parents=True, exist_ok=True)
    files, skipped = find_files(options.paths)
    for entry in skipped:
        print(f"brat: skipped {clean_name(entry.path)}: {entry.reason}", file=sys.stderr)
    entries = sort_files(files)
    failed = uncalibrated = False
    recalibrated = None
    rows = []
    # A bar on a terminal only, and on standard error, so that standard output holds nothing but answers.
    with tqdm(total=len(entries), unit="item", disable=not sys.stderr.isatty()) as bar:
        for number, record in read_entries(entries, options.weights, overlays):
            bar.update(number - bar.n)
            # An empty slice at the end of a volume is no failure.
            uncalibrated |= record.get("calibrated") is False
            recalibrated = record.get("recalibrated") or recalibrated
            failed |= record.get("error", NOTHING) != NOTHING
            if record.get("volumes", 1) > 1 and record.get("slice", 1) == 1:
                volumes = f"holds {record['volumes']} volumes; the first is read"
                bar.write(f"brat: {record.get('series', record['path'])} {volumes}", file=sys.stderr)
            if "left_out" in record:
                names = ", ".join(record["left_out"])
                bar.write(f"brat: left out, as copies of slices that were given: {names}", file=sys.stderr)
            if options.json:
                print(json.dumps(record), flush=True)
            else:
                rows.append(record)
    if recalibrated:
        print(f"brat: the model is {recalibrated}.", file=sys.stderr)
    if uncalibrated:
        print(
            "brat: this model has no calibration yet: 80 % does not mean 80 of 100, and there are no "
            "prediction sets. `brat results` fits one.",
            file=sys.stderr,
        )
    if not options.json:
        _print_table(rows)
    return int(failed)


def _print_table(rows: list[dict]) -> None:
    scans = [row["path"] + _part(row) for row in rows]
    width = max(map(len, scans))
    names = [CLASS_NAMES[name] for name in CLASSES]
    print(f"{'scan':{width}}  {'reading':16}  " + "  ".join(f"{name:>15}" for name in names))
    said = None
    for scan, row in zip(scans, rows, strict=True):
        if "error" in row:
            print(f"{scan:{width}}  {row['error']}")
            continue
        cells = "  ".join(f"{percent(probability, 1):>15}" for probability in row["probabilities"].values())
        note = "" if row["in_distribution"] in (True, None) else "  not like the slices that the model knows"
        print(f"{scan:{width}}  {CLASS_NAMES[row['label']]:16}  {cells}{note}")
        # Those of a series are those of nearly all its slices.
        if row["remarks"] != said:
            print("".join(f"{'':{width}}  {remark}\n" for remark in row["remarks"]), end="")
        said = row["remarks"]


def _part(record: dict) -> str:
    """Which slice of its file a record is of; empty where it is the only one."""
    if "panel" in record:
        return f", panel {record['panel']}"
    of_volume = f", volume {record['volume']} of {record['volumes']}" if "volume" in record else ""
    return f"{of_volume}, slice {record['slice']}" if "slice" in record else of_volume


def _app(options: argparse.Namespace) -> int:
    """Becomes `streamlit run`, which ends the process itself."""
    if not importlib.util.find_spec("streamlit"):
        raise ModuleNotFoundError(name="streamlit")
    # Streamlit takes the last of several values, so that another address may be given.
    address = ["--server.address", "127.0.0.1"]
    sys.argv = ["streamlit", "run", str(ROOT / "app.py"), *address, *options.further]
    runpy.run_module("streamlit", run_name="__main__")
    return 0


def _train(options: argparse.Namespace) -> int:
    from brat.data.held_out import HELD_OUT
    from brat.data.index import FOLDS
    from brat.training.fit import train
    from brat.training.recipe import FINE_TUNING_RATE

    recipe = _recipe(options)
    if options.start_from:
        recipe = replace(recipe, learning_rate=recipe.learning_rate * FINE_TUNING_RATE)
    validation = options.validation_fold
    if validation == "next":
        validation = 0 if options.test_fold is None else (options.test_fold + 1) % FOLDS
    out = train(
        options.data,
        options.backbone,
        options.out,
        test_fold=options.test_fold,
        validation_fold=validation,
        recipe=recipe,
        resume=options.resume,
        held_out=HELD_OUT if options.hold_out == ["samples"] else options.hold_out,
        start_from=options.start_from,
        tensorboard=options.tensorboard,
    )
    print(f"Wrote {out / 'model.keras'}, {out / 'model.tflite'} and {out / 'model_card.json'}.")
    return 0


def _recipe(options: argparse.Namespace) -> Recipe:
    from brat.training.recipe import Recipe

    recipe = Recipe(seed=options.seed)
    if not options.epochs:
        return recipe
    small = recipe.small_epochs * options.epochs // recipe.epochs
    return replace(recipe, epochs=options.epochs, small_epochs=small)


def _export(options: argparse.Namespace) -> int:
    from brat.training.fit import export_again

    export_again(options.weights)
    print(f"Wrote {Path(options.weights) / 'model.tflite'}.")
    return 0


def _quantize(options: argparse.Namespace) -> int:
    from brat.training.quantize import quantize

    out = quantize(options.data, options.weights, options.out)
    print(f"Wrote {out / 'model.tflite'}. Calibrate it before use: docs/model-files.md.")
    return 0


def _manifest(options: argparse.Namespace) -> int:
    from brat.model.files import MANIFEST, adopt

    names = adopt(options.weights)
    print(f"Wrote {Path(options.weights) / MANIFEST}: {', '.join(names)}.")
    return 0


def _hashes(options: argparse.Namespace) -> int:
    from brat.data.trained_on import write_hashes
    from brat.model.files import TRAINED_ON

    count = write_hashes(options.data, options.weights)
    print(f"Wrote {Path(options.weights) / TRAINED_ON}: hashes of {count:,} slices.")
    return 0


def _augment(options: argparse.Namespace) -> int:
    from PIL import Image

    from brat.io.door import load_scan
    from brat.model.preprocess import frame
    from brat.training.augmentation import augmentation_sheet

    framed, _ = frame(load_scan(options.image).gray)
    Image.fromarray(augmentation_sheet(framed, seed=options.seed)).save(options.out)
    print(f"Wrote {options.out}: the slice as the model gets it, then what training makes of it.")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from brat.evaluation.protocols import evaluate, evaluate_elsewhere

    if options.source:
        measured = evaluate_elsewhere(options.data, options.weights, options.source)
        _print_protocols(measured["without"])
        if measured["left_out"]:
            print(f"\nLeft out as nearly the same as slices trained on: {measured['left_out']:,}.")
        print(f"\nWrote {Path(options.weights) / 'metrics.json'}.")
        return 0
    _print_results(evaluate(options.data, options.weights, options.fold), options.weights)
    return 0


def _of_scans(options: argparse.Namespace, shipped: dict | None) -> Validation:
    from tqdm import tqdm

    from brat.data.labelled import labelled_path
    from brat.evaluation.site import validate

    files = labelled_path(options.data)
    with tqdm(desc="reading", unit="slice", disable=not sys.stderr.isatty()) as bar:
        return validate(
            files,
            options.weights,
            shipped,
            options.against,
            options.site,
            lambda number: bar.update(number - bar.n),
        )


def _of_verdicts(options: argparse.Namespace, shipped: dict | None) -> Validation:
    from brat.evaluation.site import measure
    from brat.evaluation.site_readings import verdicts
    from brat.model.reader import Reader
    from brat.store.cases import find
    from brat.store.database import open_store

    if options.against or options.apply:
        raise ValueError(
            "Verdicts are on one model's readings, and lean towards them: --against and --apply need scans."
        )
    reader, engine = Reader(options.weights), open_store(options.verdicts)
    try:
        cases = find(engine, models=[reader.classifier.digest])
    finally:
        engine.dispose()
    return measure(verdicts(cases, reader), reader, shipped, options.site)


def _validate(options: argparse.Namespace) -> int:
    from brat.model.site import SITE
    from brat.reports import validation as report
    from brat.reports.spreadsheet import as_csv

    log.start("validate")
    weights, out = Path(options.weights), Path(options.out)
    card = weights / "metrics.json"
    shipped = json.loads(card.read_text()) if card.exists() else None
    if bool(options.data) == bool(options.verdicts):
        raise ValueError("Name either scans, or a store with --verdicts.")
    measured = (_of_verdicts if options.verdicts else _of_scans)(options, shipped)
    out.mkdir(parents=True, exist_ok=True)
    (out / "validation.json").write_bytes(report.as_json(measured.results))
    (out / "validation.csv").write_bytes(as_csv(measured.rows))
    (out / "validation.pdf").write_bytes(report.pdf(measured.results))
    written = [out / f"validation.{kind}" for kind in ("json", "csv", "pdf")]
    if measured.recalibration:
        is_applied = options.apply and report.is_advised(measured.results)
        for folder in (out, weights) if is_applied else (out,):
            (folder / SITE).write_bytes(measured.recalibration.to_bytes())
            written.append(folder / SITE)
    print(report.text(measured.results))
    print(f"\nWrote {', '.join(map(str, written))}.")
    if options.apply and not measured.recalibration:
        print("brat: there is no recalibration to put beside the weights.", file=sys.stderr)
        return 1
    if options.apply and not is_applied:
        print(
            "brat: not put beside the weights, as these slices do not tell whether it fits better. To use it "
            f"all the same, copy {out / SITE} there.",
            file=sys.stderr,
        )
        return 1
    return 0


def _audit(options: argparse.Namespace) -> int:
    from brat.data.audit import write_audit

    print(write_audit(options.source, options.json, options.picture))
    return 0


def _datasets(options: argparse.Namespace) -> int:
    from brat.data.builders import index_figshare, index_folder

    build = {"figshare": index_figshare, "folder": index_folder}[options.kind]
    slices = build(options.folder, options.out)
    groups = len({s.group for s in slices})
    print(f"Wrote {options.out}: {len(slices):,} slices in {groups:,} groups.")
    return 0


def _cases_index(options: argparse.Namespace) -> int:
    from brat.data.kept_cases import index_cases

    print(index_cases(options.store, options.out).in_words())
    return 0


def _print_results(results: dict, weights: str | Path) -> None:
    from brat.evaluation.protocols import summary

    _print_protocols(results["protocols"])
    print(f"\n{summary(results)}")
    print(f"\nWrote {Path(weights) / 'metrics.json'}.")


def _print_protocols(protocols: dict) -> None:
    for protocol in protocols.values():
        print(f"\n{protocol['title']}: {protocol['slices']} slices in {protocol['clusters']} clusters")
        print(protocol["what"])
        for name, estimate in protocol["metrics"].items():
            if not name.startswith("confusion/") and estimate["value"] is not None:
                print(
                    f"  {name:28} {estimate['value']:.3f}  ({estimate['low']:.3f} to {estimate['high']:.3f})"
                )


def _crossval(options: argparse.Namespace) -> int:
    from brat.data.index import FOLDS
    from brat.evaluation.crossval import another_hospital, crossval, random_split

    folds = range(FOLDS) if options.folds is None else options.folds
    crossval(options.data, options.backbone, options.out, folds, _recipe(options))
    another_hospital(options.data, options.backbone, options.out, options.without, _recipe(options))
    if options.random:
        random_split(options.data, options.backbone, options.out, _recipe(options))
    print(f"Wrote {options.out}. Run `brat results` once all folds are done.")
    return 0


def _results(options: argparse.Namespace) -> int:
    from brat.evaluation.results import write_results

    _print_results(
        write_results(options.data, options.runs, options.weights, options.outside), options.weights
    )
    return 0
