"""The results of `brat.evaluation.site` in words, and as a PDF with the items of CLAIM and TRIPOD+AI.

CLAIM: Mongan, Moy and Kahn 2020, doi 10.1148/ryai.2020200029. TRIPOD+AI: Collins et al. 2024, doi
10.1136/bmj-2023-078378.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from brat.classes import CLASS_NAMES, CLASSES
from brat.model.calibration import DEFAULT_LEVEL
from brat.reports.pdf import WIDTH, Page, new_document, warn
from brat.wording import decimal, estimate, percent

Results = Mapping[str, Any]
"""As `brat.evaluation.site.measure` returns them."""

MEASURES = {
    "accuracy": "Accuracy, four classes",
    "balanced_accuracy": "Balanced accuracy, four classes",
    "sensitivity": "Sensitivity, tumour or none",
    "specificity": "Specificity, tumour or none",
    "auc": "AUC, tumour or none",
    **{f"recall/{name}": f"Sensitivity for {title.lower()}" for name, title in CLASS_NAMES.items()},
}
"""Names of measures -> how they are written."""

_TO_BE_SAID = "To be said by the site."
_LEANING = (
    "Labels are kept verdicts, which were given in sight of the model's answer and lean towards it: these "
    "figures are too good."
)

_WHY_LEFT_OUT = {
    "not_read": "not read, or without label",
    "copies": "given twice",
    "two_labels": "given under two labels",
    "near_training": "near-duplicates of training slices",
    "other_calibration": "read under another calibration",
    "unsure": "the clinician is unsure",
    "contested": "clinicians see different classes",
}


class Comparison(NamedTuple):
    """A row of the table of figures; what is not known is empty."""

    measure: str
    here: str
    shipped: str
    difference: str
    p: str


class ChecklistItem(NamedTuple):
    """An item of the checklists, by its number in each; empty where one does not ask for it."""

    claim: str
    tripod: str
    item: str
    answer: str


def figures(results: Results) -> list[Comparison]:
    """Every figure with its interval, beside the one that ships where there is one."""
    measured = {
        name: entry
        for protocol in results["protocols"].values()
        for name, entry in protocol["metrics"].items()
        if name in MEASURES and entry["value"] is not None
    }
    compared = results.get("comparison", {}).get("measures", {})
    rows = []
    for name, title in MEASURES.items():
        if name not in measured:
            continue
        beside = compared.get(name)
        rows.append(
            Comparison(
                title,
                _written(name, measured[name]),
                _written(name, beside["shipped"]) if beside else "",
                points(beside["difference"]) if beside else "",
                p_value(beside["p"]) if beside else "",
            )
        )
    return rows


def two_models(results: Results) -> list[tuple[str, str, str, str]]:
    """Measure, the first model's figure, the second's, and the difference, of every measure of both."""
    second = results["against"]
    ours, theirs = (
        {
            name: entry
            for protocol in protocols.values()
            for name, entry in protocol["metrics"].items()
            if name in MEASURES and entry["value"] is not None
        }
        for protocols in (results["protocols"], second["protocols"])
    )
    return [
        (
            title,
            _written(name, ours[name]),
            _written(name, theirs[name]),
            points(second["difference"].get(name)),
        )
        for name, title in MEASURES.items()
        if name in ours and name in theirs
    ]


def _written(name: str, entry: Mapping[str, Any]) -> str:
    return decimal(entry) if name == "auc" else estimate(entry)


def points(entry: Mapping[str, float | None] | None) -> str:
    """A difference with its interval, in hundredths, of shares percentage points: "-3.1 (-7.0 to +0.8)"."""
    if entry is None or entry["value"] is None:
        return ""
    if entry["low"] is None or entry["high"] is None:
        return f"{100 * entry['value']:+.1f} (no interval)"
    value, low, high = (f"{100 * number:+.1f}" for number in (entry["value"], entry["low"], entry["high"]))
    return f"{value} ({low} to {high})"


def p_value(p: float | None) -> str:
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def units(results: Results, count: int | None = None) -> str:
    """What was resampled, in words: "41 patients"."""
    count = results["clusters"] if count is None else count
    kind = _kind(results)
    return f"{count:,} {kind.removesuffix('s') if count == 1 and ' ' not in kind else kind}"


def _kind(results: Results) -> str:
    kinds = {"patient": "patients", "file": "files", "scan": "scans"}
    return kinds.get(results["by"], "patients or files")


def enough(results: Results) -> str:
    """Whether there are enough cases, and how many are enough."""
    told = results["enough"]
    counts = f"{units(results, told['tumor'])} with a tumour and {told['no_tumor']:,} without"
    if told["is_enough"]:
        return f"Enough cases: {counts}; a validation needs {told['least']} of each."
    return (
        f"Too few cases to judge by: {counts}, and a validation needs {told['least']} of each. Take the "
        "figures for a first impression."
    )


def remarks(results: Results) -> list[str]:
    """What is to be known beside the figures, a sentence or two each."""
    left_out = results["left_out"]
    by = {
        "patient": "Intervals are by patient, as the table, headers or names of files tell them.",
        "file": "Nothing tells the patients, so that intervals are by file: where a patient "
        "gave several files, they are too narrow. A column `patient` in a table mends it.",
        "scan": "Intervals are by scan, as the store knows no patients: where a patient gave several scans, "
        "they are too narrow.",
    }.get(
        results["by"],
        "Intervals are by patient where something tells it, else by file; where such a patient gave several "
        "files, they are too narrow.",
    )
    said = [enough(results), by]
    if results["by"] == "scan":
        said.append(_LEANING)
    if used := results["site_calibration"]:
        said.append(f"As the app reads here, {used}; the figures that ship are without it.")
    if results["copies_sought"]:
        said.append(
            "Left out as near-duplicates of slices that the model was trained on: "
            f"{left_out['near_training']:,}."
        )
    else:
        said.append("Whether the model was trained on these slices, or nearly the same ones, is not known.")
    listed = _left_out(left_out, {**_WHY_LEFT_OUT, "near_training": ""})
    if listed:
        said.append(f"Left out: {listed}. The CSV file names them.")
    if check := results.get("out_of_distribution"):
        said.append(_refused(check))
    if calibration := results.get("calibration"):
        said.append(f"Expected calibration error {estimate(calibration['ece'])}.")
    if held := results.get("sets", {}).get(str(DEFAULT_LEVEL)):
        said.append(
            f"The {percent(DEFAULT_LEVEL)} set holds the truth in {estimate(held['coverage'])}, with "
            f"{held['size']['value']:.2f} classes on average."
        )
    if "recalibration" in results:
        said += recalibration(results)
    return said


def _left_out(counts: Mapping[str, int], why: Mapping[str, str]) -> str:
    """How many were left out for each reason; one without words is passed over."""
    return ", ".join(f"{words} {counts[kind]:,}" for kind, words in why.items() if words and counts[kind])


def _refused(check: Mapping) -> str:
    counts, metrics = check["counts"], check["metrics"]
    return (
        f"The out-of-distribution check refuses {estimate(metrics['refused'])} of the slices. Of the answers "
        f"that it withholds {counts['right_withheld']:,} are right and {counts['wrong_withheld']:,} wrong. "
        f"Of all answers {estimate(metrics['right'])} are right, of those given "
        f"{estimate(metrics['right_kept'])}."
    )


def is_advised(results: Results) -> bool:
    """Whether a recalibration is better on cases that it was not fitted to, or is a limit alone."""
    found = results["recalibration"]
    if gain := found.get("gain"):
        return gain["low"] is not None and gain["low"] > 0
    return "limit" in found


def recalibration(results: Results) -> list[str]:
    """What a recalibration for the site would do."""
    found = results["recalibration"]
    said = []
    if "gain" in found:
        before, after = results["calibration"]["ece"], found["calibration"]["ece"]
        said.append(
            f"A recalibration, judged on {_kind(results)} that it was not fitted to, has a calibration error "
            f"of {estimate(after)}, where it is {estimate(before)} now, with the temperature "
            f"{found['temperature']:.2f}. "
            + (
                "It fits these slices better than the one that ships (negative log likelihood)."
                if is_advised(results)
                else "Whether it fits better than the one that ships, these slices do not tell: leave it."
            )
        )
        if held := found["sets"].get(str(DEFAULT_LEVEL)):
            said.append(
                f"With it the {percent(DEFAULT_LEVEL)} set holds the truth in {estimate(held['coverage'])}, "
                f"with {held['size']['value']:.2f} classes on average."
            )
    else:
        said.append(
            f"No recalibration: it takes {units(results, found['least'])} of each of the four classes, and "
            f"of one class there are {found['fewest']}."
        )
    if "limit" in found:
        said.append(
            f"A limit of the out-of-distribution check for this site, judged on {_kind(results)} that it was "
            f"not fitted to, refuses {estimate(found['refused'])} of the slices. How many more other "
            "pictures it lets through is not measured."
        )
    return said


def checklist(results: Results) -> list[ChecklistItem]:
    """What CLAIM and TRIPOD+AI ask of a validation, with what is known of it here."""
    left_out = results["left_out"]
    read = ", ".join(
        f"{count:,} {CLASS_NAMES.get(name, 'tumour of unknown class').lower()}"
        for name, count in results["classes"].items()
        if count
    )
    given = results["slices"] + sum(left_out.values())
    flow = (
        f"{given:,} {'scans' if results['by'] == 'scan' else 'files'} given. Left out: "
        f"{_left_out(left_out, _WHY_LEFT_OUT) or 'none'}. {results['slices']:,} measured, of "
        f"{units(results)}."
    )
    headline = "; ".join(f"{row.measure} {row.here}" for row in figures(results)[:4])
    compared = sentence(results.get("comparison", {}).get("test", "no figures ship with this model"))
    updated = " ".join(recalibration(results)) if "recalibration" in results else "None."
    disjoint = (
        "Near-duplicates of training slices are looked for by perceptual hash and left out."
        if results["copies_sought"]
        else "Not known: this model has no list of its training slices."
    )
    asked = [
        (
            "1",
            "1",
            "Title names the model and the study",
            "External validation of BraTum Scans, MobileNetV2.",
        ),
        ("5", "5a", "Prospective or retrospective; source of data", _TO_BE_SAID),
        ("7", "5b, 6a", "Setting, dates, centres", f"Site: {results['site'] or 'not named'}. {_TO_BE_SAID}"),
        ("8", "6b", "Eligibility: which scans were taken, which not", _TO_BE_SAID),
        (
            "9",
            "7",
            "Preprocessing",
            "As in the app: display range or window, framing of the head, 224 x 224.",
        ),
        ("12", "17", "De-identification; ethical approval", _TO_BE_SAID),
        ("13", "11", "Missing data", f"Without a readable slice or a label: {left_out['not_read']:,}."),
        (
            "14-16",
            "8",
            "Reference standard, who set it, blinded to the model?",
            f"{_LEANING} {_TO_BE_SAID}" if results["by"] == "scan" else _TO_BE_SAID,
        ),
        ("19", "10", "Sample size", enough(results)),
        ("20, 21", "16", "Disjoint from the training data, at which level", disjoint),
        (
            "22",
            "22",
            "Model",
            f"SHA-256 {results['model_sha256']}, {results['site_calibration'] or 'unchanged'}.",
        ),
        ("28", "12", "Measures", "Those of the tables above, on all slices, whether refused or not."),
        ("29", "12", "Uncertainty and tests", f"Bootstrap of {units(results)}, 1,000 resamples. {compared}"),
        ("", "12, 24", "Model updating", updated),
        ("", "14", "Fairness: age, sex, other groups", _TO_BE_SAID),
        ("32", "", "Validation on external data", "This report."),
        ("33", "20a", "Flow of scans", flow),
        ("34", "20b", "Characteristics of patients; classes", f"{read}. {_TO_BE_SAID}"),
        ("36", "23a", "Performance with intervals", headline),
        ("37", "", "Failure analysis", "The CSV file lists each slice that was read wrongly."),
        ("38", "26", "Limitations", f"{remarks(results)[1]} {_TO_BE_SAID}"),
        ("39", "25, 27", "Implications for use", _TO_BE_SAID),
    ]
    return [ChecklistItem(*row) for row in asked]


def confusion(results: Results) -> list[list[str]]:
    """The confusion matrix as text, with headings: rows are what a slice is, columns what was read."""
    name = "four_classes" if "four_classes" in results["protocols"] else "tumor_or_none"
    if name not in results["protocols"]:
        return []
    classes = CLASSES if name == "four_classes" else ("tumor", "no_tumor")
    titles = {**CLASS_NAMES, "tumor": "Tumour"}
    metrics = results["protocols"][name]["metrics"]
    return [
        ["is \\ read as", *(titles[read] for read in classes)],
        *(
            [titles[true], *(f"{metrics[f'confusion/{true}/{read}']['value']:.0f}" for read in classes)]
            for true in classes
        ),
    ]


def text(results: Results) -> str:
    """The figures and what is to be known, for a terminal."""
    heading = Comparison("", "here", "shipped", "difference, points", "P")
    lines = [_measured(results), "", *_columns([heading, *figures(results)]), ""]
    if matrix := confusion(results):
        lines += [*_columns(matrix), ""]
    lines += remarks(results)
    if "against" in results:
        rows = [("", "first", "second", "difference, points"), *two_models(results)]
        lines += ["", *_columns(rows), "", side_by_side(results)]
    return "\n".join(line.rstrip() for line in lines)


def side_by_side(results: Results) -> str:
    """Two models on the same slices, in a sentence."""
    second = results["against"]
    counts, unlike = second["counts"], second["unlike"]
    same = ""
    if not unlike["slices"]:
        same = (
            f" No slice is read as another class by the second. By the exact one-sided 95 % bound, the two "
            f"differ in {100 * unlike['most']:.1f} % of such {_kind(results)} at most."
        )
    return (
        f"Second model {second['model_sha256'][:12]}, on the same slices: both right {counts['both']:,}, the "
        f"first alone {counts['first']:,}, the second alone {counts['second']:,}, neither "
        f"{counts['neither']:,}; P {p_value(second['p'])} ({second['test']}).{same}"
    )


def _measured(results: Results) -> str:
    site = f" at {results['site']}" if results["site"] else ""
    return (
        f"Model {results['model_sha256'][:12]}{site}: {results['slices']:,} slices of {units(results)}, "
        f"{results['written'][:10]}. Figures with 95 % intervals."
    )


def sentence(words: str) -> str:
    """Words as a sentence of their own."""
    return f"{words[0].upper()}{words[1:]}."


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]


def as_json(results: Results) -> bytes:
    """The content of `validation.json`."""
    return (json.dumps(results, indent=1, allow_nan=False) + "\n").encode()


def pdf(results: Results) -> bytes:
    """A PDF of A4 pages: figures, what is to be known, and the items of CLAIM and TRIPOD+AI.

    Raises:
        ModuleNotFoundError: fpdf2 is not installed.
    """
    page = new_document("Validation at a site", datetime.fromisoformat(results["written"]))
    page.pdf.set_auto_page_break(True, 15)
    page.write("How the model reads this site's slices", 17, bold=True)
    page.write(_measured(results), 9, shade=70)
    page.pdf.ln(2)
    warn(page, "Not a medical device. No diagnosis or treatment may depend on this page.")
    heading = ["", "Here", "As shipped", "Difference, points", "P"]
    _table(page, [heading, *figures(results)], (26, 24, 24, 22, 8))
    if comparison := results.get("comparison"):
        page.write(
            f"As shipped: on public collections, cross-validated. {sentence(comparison['test'])}", 8, shade=70
        )
    if matrix := confusion(results):
        page.pdf.ln(3)
        page.write("Confusion matrix, slices", 11, bold=True)
        _table(page, matrix, (1,) * len(matrix[0]))
    page.pdf.ln(3)
    page.write("What is to be known", 11, bold=True)
    for remark in remarks(results):
        page.write(f"- {remark}", 9)
    if "against" in results:
        page.pdf.ln(3)
        page.write("Two models on the same slices", 11, bold=True)
        _table(page, [["", "First", "Second", "Difference, points"], *two_models(results)], (26, 24, 24, 22))
        page.write(side_by_side(results), 9)
    page.pdf.ln(3)
    page.write("What CLAIM and TRIPOD+AI ask", 11, bold=True)
    page.write(
        "Items by their numbers in CLAIM (Mongan et al. 2020) and TRIPOD+AI (Collins et al. 2024), with what "
        "this report knows.",
        9,
    )
    _table(page, [["CLAIM", "TRIPOD+AI", "Item", "Here"], *checklist(results)], (10, 12, 32, 80))
    page.pdf.ln(2)
    version = importlib.metadata.version("bratum-scans")
    page.write(f"BraTum Scans {version}, model {results['model_sha256']}", 8, shade=70)
    return bytes(page.pdf.output())


def _table(page: Page, rows: Sequence[Sequence[str]], widths: Sequence[float]) -> None:
    page.style(8.5)
    page.pdf.set_fill_color(255)
    with page.pdf.table(
        col_widths=tuple(widths),
        width=WIDTH,
        text_align="LEFT",
        line_height=4.4,
        padding=(0.8, 1.5, 0.8, 0),
        borders_layout="HORIZONTAL_LINES",
    ) as table:
        for cells in rows:
            row = table.row()
            for cell in cells:
                row.cell(page.printable(cell)[0])
