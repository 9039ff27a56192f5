"""Parts of the Model page: how often the answer is right, by protocol, class and source.

Each part is made from its entry of `metrics.json`; only other people's numbers are typed in here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import pandas as pd
import streamlit as st

from brat import CLASSES, figures
from brat.figures import NAMES
from pages import tables
from pages.exhibits import decimal, estimate, figure, numbers, share, table

PROTOCOLS = {
    "four_classes": ("Four classes", CLASSES),
    "random_split": ("Random split", CLASSES),
    "same_source": ("Tumour or none", ("tumor", "no_tumor")),
    "three_tumors": ("Three tumours", CLASSES[:3]),
}
"""The protocols in the order of the page: what each is called here, and its classes."""

ELSEWHERE = {
    "random_split": "Accuracy 88 %, macro F1 0.89: the work that this project grew from, by its own report.",
    "three_tumors": "Balanced accuracy 89.4 % ± 4.6 a patient: ResNet50, fine-tuned, five folds by patient. "
    "81.5 %: MobileNetV2, frozen, in the same study.",
}
"""What others report of the same question."""

MEASURES = {
    "balanced_accuracy": ("Balanced accuracy", estimate),
    "accuracy": ("Accuracy", estimate),
    "macro_f1": ("Macro F1", decimal),
    "sensitivity": ("Sensitivity", estimate),
    "specificity": ("Specificity", estimate),
    "auc": ("AUC", decimal),
}

OF_CLASSES = {
    "recall": ("Sensitivity (recall)", estimate),
    "precision": ("Precision", estimate),
    "f1": ("F1", decimal),
    "auc": ("AUC against the rest", decimal),
}

# A table on a desk; on a phone each protocol is a card, or five columns would be a word wide each.
_STYLE = """<style>
.protocols {width: 100%; border-collapse: collapse; font-size: .95rem; line-height: 1.45}
.protocols caption {position: absolute; clip-path: inset(50%)}
.protocols th, .protocols td {text-align: left; vertical-align: top; padding: .55rem .8rem .55rem 0;
    border-bottom: 1px solid rgba(128, 128, 128, .35)}
.protocols thead th {font-weight: 400; opacity: .75}
.protocols tbody th {font-weight: 600; width: 30%}
.protocols tbody th span {display: block; font-weight: 400; opacity: .75}
.protocols td div {white-space: nowrap}
.protocols tbody tr:first-child td div:first-child {font-weight: 600}
@media (max-width: 640px) {
    .protocols thead {position: absolute; clip-path: inset(50%)}
    .protocols tr, .protocols tbody th, .protocols td {display: block; width: auto; border: 0; padding: 0}
    .protocols tr {border-bottom: 1px solid rgba(128, 128, 128, .35); padding: .6rem 0}
    .protocols td:empty {display: none}
    .protocols td[data-label]::before {content: attr(data-label) ": "; opacity: .75}
}
</style>"""


def headline(metrics: Mapping, card: Mapping) -> None:
    """The numbers to judge the model by, on what they were measured, and which model ships."""
    four = metrics["protocols"]["four_classes"]
    shown = [
        ("Balanced accuracy, four classes", four["metrics"]["balanced_accuracy"]),
        ("Accuracy, four classes", four["metrics"]["accuracy"]),
    ]
    same = metrics["protocols"].get("same_source")
    if same:
        shown += [
            ("Sensitivity, tumour or none", same["metrics"]["sensitivity"]),
            ("Specificity, tumour or none", same["metrics"]["specificity"]),
        ]
    for column, (title, entry) in zip(st.columns(len(shown)), shown, strict=True):
        column.metric(
            title,
            f"{100 * entry['value']:.1f} %",
            f"95 % interval {100 * entry['low']:.1f} to {100 * entry['high']:.1f}",
            delta_color="off",
            delta_arrow="off",
            border=True,
        )
    folds = len(metrics["folds"])
    st.markdown(
        f"**Measured on patients that the model had not seen.** Each of {four['slices']:,} slices"
        + (f" ({same['slices']:,} of one source for tumour or none)" if same else "")
        + " was read by a model that was trained on no slice of the same patient, as far as the "
        + "collections tell patients apart"
        + (f" ({folds}-fold cross-validation)" if folds > 1 else "")
        + f". {which_model_ships(card, folds)}"
    )
    st.caption(
        f"Measured {metrics['written'][:10]}. In brackets, here and below: 95 % intervals, bootstrapped over "
        "clusters of slices (about a patient in one plane each; "
        f"{four['clusters']:,} for the four classes)."
    )


def which_model_ships(card: Mapping, folds: int) -> str:
    """What the figures of cross-validation say of the one model in the app."""
    if card["test_fold"] is None:
        return (
            "**The model that ships learned from all folds, with the same recipe: its expected accuracy is "
            "the cross-validated one given here.** It cannot be tested on slices that it learned from."
        )
    if folds == 1:
        return "The model measured is the one that ships."
    return (
        f"The model that ships is one of those measured: fold {card['test_fold']} was kept from it, and it "
        "learned from the others."
    )


def side_by_side(protocols: Mapping) -> None:
    """The protocols in one table, beside what others report."""
    made = {name: protocols[name] for name in PROTOCOLS if name in protocols}
    rows = ""
    for name, entry in made.items():
        measured = "".join(
            f"<div>{title} {write(entry['metrics'][key])}</div>"
            for key, (title, write) in MEASURES.items()
            if key in entry["metrics"]
        )
        twins = share(entry["twins"]) if "twins" in entry else "kept out"
        rows += (
            f'<tr><th scope="row">{PROTOCOLS[name][0]}<span>{escape(entry["what"])}</span></th>'
            f'<td data-label="Slices">{entry["slices"]:,}</td>'
            f'<td data-label="Twin in training">{twins}</td>'
            f"<td>{measured}</td>"
            + (
                f'<td data-label="Elsewhere">{ELSEWHERE[name]}</td></tr>'
                if name in ELSEWHERE
                else "<td></td></tr>"
            )
        )
    titles = ("Protocol", "Slices", "Twin in training", "Measured here", "Elsewhere")
    heads = "".join(f'<th scope="col">{title}</th>' for title in titles)
    st.html(
        f'{_STYLE}<table class="protocols"><caption>The protocols and what was measured by each</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    )
    numbers(
        "protocols",
        "Twin in training: share of the test slices that have a near-duplicate among the slices trained on.",
        tables.protocols(made),
    )


def why_random_is_higher(protocols: Mapping) -> None:
    """What a random split measures, with the share of twins in it."""
    usual, honest = protocols["random_split"], protocols["four_classes"]
    accuracy, macro = (usual["metrics"][name] for name in ("accuracy", "macro_f1"))
    higher = accuracy["value"] > honest["metrics"]["accuracy"]["value"]
    st.subheader(
        "Why the usual number is higher" if higher else "What the usual number measures", anchor=False
    )
    same = usual.get("same_slices_leak_free")
    st.markdown(
        f"Most published figures come from a random split. So split, {usual['epochs']} epochs of the same "
        f"recipe score an accuracy of {estimate(accuracy)} and a macro F1 of {decimal(macro)}. But "
        f"**{share(usual['twins'])} of those test slices have a twin among the slices trained on**: the "
        "score measures memory as well. "
        + (
            f"Read by models that had not seen their patients, {same['slices']:,} of the very same slices "
            f"score {estimate(same['metrics']['accuracy'])}. "
            if same
            else ""
        )
        + "On a scan of tomorrow's patient expect the first row of the table, not the second."
    )


def worst_confusion(entry: Mapping) -> str:
    """The commonest error, as a share of the slices that it can befall."""
    rows = tables.confusion(entry["metrics"])
    totals = rows.groupby("is")["value"].sum()
    wrong = rows[rows["is"] != rows["read_as"]].assign(share=lambda r: r["value"] / r["is"].map(totals))
    worst = wrong.sort_values("share").iloc[-1]
    return (
        f"The commonest error is to read {NAMES[worst['is']].lower()} as {NAMES[worst['read_as']].lower()}: "
        f"{worst['value']:,.0f} of {totals[worst['is']]:,.0f} slices ({share(worst['share'])})."
    )


def by_protocol(metrics: Mapping) -> None:
    """Confusion matrix, classes and curves of the protocol chosen."""
    protocols = metrics["protocols"]
    able = [
        name
        for name in PROTOCOLS
        if any(key.startswith("confusion/") for key in protocols.get(name, {}).get("metrics", {}))
    ]
    name = st.segmented_control(
        "Protocol",
        able,
        default=able[0],
        required=True,
        format_func=lambda name: PROTOCOLS[name][0],
        key="protocol",
        wrap=True,
    )
    entry, classes = protocols[name], PROTOCOLS[name][1]
    left, right = st.columns(2, gap="large")
    with left:
        show_matrix(name, entry, classes)
    with right:
        show_measures(name, entry, classes)
    made, operating = curves_of(metrics, name)
    if made:
        show_curves(name, made, operating, entry["metrics"])


def show_matrix(name: str, entry: Mapping, classes: Sequence[str]) -> None:
    style = st.segmented_control(
        "Show", ["Counts", "Share of each row"], default="Counts", required=True, key="matrix"
    )
    matrix = [[entry["metrics"][f"confusion/{t}/{r}"]["value"] for r in classes] for t in classes]
    figure(
        figures.confusion(matrix, style != "Counts", classes),
        f"confusion-{name}",
        f"Confusion matrix: {PROTOCOLS[name][0].lower()}",
        f"Rows: what the slice is; columns: what was read. {worst_confusion(entry)}",
        tables.confusion(entry["metrics"]),
    )


def show_measures(name: str, entry: Mapping, classes: Sequence[str]) -> None:
    """Class by class where there are several; else the three measures of finding a tumour."""
    found = entry["metrics"]
    says = f"{entry['what']} {entry['slices']:,} slices."
    if "sensitivity" in found:
        shown = pd.DataFrame(
            {title: [write(found[key])] for key, (title, write) in MEASURES.items() if key in found}
        )
        shown.index = ["In\u00a0the\u00a0app"]
        table(shown, f"measures-{name}", says, tables.protocols({name: entry}))
        return
    shown = pd.DataFrame(
        {title: [write(found[f"{key}/{c}"]) for c in classes] for key, (title, write) in OF_CLASSES.items()},
        index=[NAMES[c] for c in classes],
    )
    table(shown, f"classes-{name}", says, tables.of_classes(found, OF_CLASSES))


def curves_of(metrics: Mapping, name: str) -> tuple[Mapping, Mapping | None]:
    """The curves of a protocol by class, empty where none were written, and its operating point."""
    made = metrics.get("curves" if name == "four_classes" else f"curves_{name}", {})
    return ({"tumor": made}, made.get("operating_point")) if "roc" in made else (made, None)


def show_curves(name: str, made: Mapping, operating: Mapping | None, found: Mapping) -> None:
    """ROC and precision-recall, with the point at which the app answers where it is one point."""
    on_roc = on_precision = None
    said = ["", ""]
    if operating:
        hits, false = (found[f"confusion/{truth}/tumor"]["value"] for truth in ("tumor", "no_tumor"))
        on_roc = 1 - operating["specificity"], operating["sensitivity"]
        on_precision = operating["sensitivity"], hits / (hits + false)
        app = f"The app answers at sensitivity {share(operating['sensitivity'])}"
        said = [
            f"{app} and specificity {share(operating['specificity'])}.",
            f"{app} and precision {share(on_precision[1])}.",
        ]
    auc = {c: found["auc" if c == "tumor" else f"auc/{c}"]["value"] for c in made}
    precision = {c: curve["average_precision"] for c, curve in made.items() if "average_precision" in curve}
    left, right = st.columns(2, gap="large")
    with left:
        figure(
            figures.roc(made, on_roc),
            f"roc-{name}",
            "ROC curves",
            f"Area under the curve: {listed(auc)}. {said[0]}",
            tables.curves(made, "roc", "false_positive_rate", "sensitivity"),
        )
    with right:
        figure(
            figures.precision_recall(made, on_precision),
            f"precision-recall-{name}",
            "Precision-recall curves",
            (f"Average precision: {listed(precision)}. " if precision else "") + said[1],
            tables.curves(made, "precision_recall", "recall", "precision"),
        )


def listed(values: Mapping[str, float]) -> str:
    """Glioma 0.992, meningioma 0.970."""
    return ", ".join(f"{NAMES[name].lower()} {value:.3f}" for name, value in values.items())


def by_source(entry: Mapping) -> None:
    """Sensitivity in each source."""
    st.markdown(
        "A class that comes mostly from one scanner can be told by the scanner. Where a class is found less "
        "often in another source, that may be why."
    )
    with st.container(width=900):
        figure(
            figures.sites(entry["by_site"]),
            "sources",
            "Sensitivity by class and source, with 95 % intervals",
            uneven_sources(entry["by_site"]),
            tables.sites(entry["by_site"]),
        )


def uneven_sources(by_site: Mapping) -> str:
    """How much a class's sensitivity depends on the source; first where a source gives its class away."""
    rows = tables.sites(by_site)
    for site, labels in by_site.items():
        name = next(iter(labels))
        elsewhere = rows[(rows["class"] == name) & (rows["source"] != site)]
        # Healthy slices from a source whose tumours are of unknown class do not give anything away.
        if len(labels) == 1 and name != "no_tumor" and len(elsewhere):
            found = rows.loc[rows["source"] == site, "value"].iloc[0]
            others = ", ".join(f"{share(r['value'])} ({r['source']})" for _, r in elsewhere.iterrows())
            return (
                f"Every slice of {site} shows {NAMES[name].lower()}, so the hospital alone would tell: "
                f"{share(found)} are found there, elsewhere {others}."
            )
    gap = rows.groupby("class")["value"].agg(lambda values: values.max() - values.min())
    ordered = rows[rows["class"] == gap.idxmax()].sort_values("value")
    low, high = ordered.iloc[0], ordered.iloc[-1]
    return (
        f"Most uneven is {NAMES[low['class']].lower()}: {share(low['value'])} found ({low['source']}) to "
        f"{share(high['value'])} ({high['source']})."
    )
