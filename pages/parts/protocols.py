"""Parts of the Model page: how often the answer is right, by protocol, class and source.

Each part is made from its entry of `metrics.json`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from brat.classes import CLASSES
from brat.figures import classification
from brat.figures.charts import NAMES
from pages.parts import metrics_tables
from pages.parts.captioned_figures import figure, table
from pages.parts.widget_memory import remembered
from pages.words import protocols as words
from pages.words.numbers import decimal, estimate

PROTOCOLS = {
    "four_classes": CLASSES,
    "random_split": CLASSES,
    "same_source": ("tumor", "no_tumor"),
    "three_tumors": CLASSES[:3],
}
"""The protocols in the order of the page, and the classes of each."""

TITLES = {
    "four_classes": "Four classes",
    "random_split": "Random split",
    "same_source": "Tumour or none",
    "three_tumors": "Three tumours",
}

MEASURES = {
    "balanced_accuracy": "Balanced accuracy",
    "accuracy": "Accuracy",
    "macro_f1": "Macro F1",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "auc": "AUC",
}
"""The measures of a protocol as a whole."""

PUBLISHED = {"VGG19, fine-tuned": "94.8 %", "GoogLeNet features": "97.1 to 98.0 %"}
"""Accuracy by slice on the same three tumours and the author's patient folds, as it was published."""

CLASS_MEASURES = {
    "recall": "Sensitivity (recall)",
    "precision": "Precision",
    "f1": "F1",
    "auc": "AUC",
}
"""The measures of each class."""

DECIMALS = ("macro_f1", "auc", "f1")
"""The measures that are no shares."""

_STYLE = """<style>
.st-key-headline .stMetric > div {padding: .5rem .75rem}
.st-key-headline .stColumn {min-width: min(100%, 10rem)}
.st-key-headline [data-testid=stMetricLabel] {min-height: 2.7rem; align-items: start}
.st-key-headline [data-testid=stMetricValue] {font-size: 1.6rem}
.st-key-headline .stMetric :is(label, div, p) {white-space: normal; overflow: visible; text-overflow: clip}
</style>"""


def write(measure: str, entry: Mapping[str, float | None]) -> str:
    """A measure with its interval."""
    return decimal(entry) if measure in DECIMALS else estimate(entry)


def headline(metrics: Mapping, elsewhere: Sequence[tuple[str, Mapping]]) -> None:
    """The numbers to judge the model by.

    Args:
        elsewhere: title and estimate of what was measured in another hospital; they come first.
    """
    four = metrics["protocols"]["four_classes"]
    shown = [
        *elsewhere,
        ("Four classes: balanced accuracy", four["metrics"]["balanced_accuracy"]),
        ("Four classes: accuracy", four["metrics"]["accuracy"]),
    ]
    same = metrics["protocols"].get("same_source")
    if same:
        shown += [
            ("Tumour or none: sensitivity", same["metrics"]["sensitivity"]),
            ("Tumour or none: specificity", same["metrics"]["specificity"]),
        ]
    st.html(_STYLE)
    columns = st.container(key="headline").columns(len(shown))
    for column, (title, entry) in zip(columns, shown, strict=True):
        column.metric(
            title,
            f"{100 * entry['value']:.1f} %",
            words.interval(entry["low"], entry["high"]),
            delta_color="off",
            delta_arrow="off",
            border=True,
            height="stretch",
        )


def measured_on(metrics: Mapping, card: Mapping | None) -> None:
    """On what the headline was measured, and which model ships."""
    four = metrics["protocols"]["four_classes"]
    folds = len(metrics["folds"])
    measured = words.measured(metrics["written"][:10], four["slices"], four["clusters"], folds)
    st.markdown(f"{measured} {which_model_ships(card, folds) if card else ''}".strip())


def which_model_ships(card: Mapping, folds: int) -> str:
    """What the figures of cross-validation say of the one model in the app."""
    if card["test_fold"] is None:
        return words.SHIPS_ALL_FOLDS
    if folds == 1:
        return words.SHIPS_AS_MEASURED
    return words.ships_one_of(card["test_fold"])


def side_by_side(protocols: Mapping) -> None:
    """The protocols in one table."""
    measured = {name: protocols[name] for name in PROTOCOLS if name in protocols}
    shown = pd.DataFrame(
        [
            {
                "Slices": f"{entry['slices']:,}",
                **{
                    title: write(key, entry["metrics"][key]) if key in entry["metrics"] else ""
                    for key, title in MEASURES.items()
                },
            }
            for entry in measured.values()
        ],
        index=[TITLES[name] for name in measured],
    )
    table(
        shown, "protocols", words.duplicates(_near_duplicates(measured)), metrics_tables.protocols(measured)
    )


def _near_duplicates(measured: Mapping[str, Mapping]) -> dict[str, float]:
    """Title of a protocol that left near-duplicates in training -> share of the test slices with one."""
    return {
        TITLES[name]: entry["near_duplicates"]
        for name, entry in measured.items()
        if "near_duplicates" in entry
    }


def why_random_is_higher(protocols: Mapping) -> None:
    """What a random split measures, with the share of near-duplicates in it."""
    usual, honest = protocols["random_split"], protocols["four_classes"]
    accuracy, macro = (usual["metrics"][name] for name in ("accuracy", "macro_f1"))
    higher = accuracy["value"] > honest["metrics"]["accuracy"]["value"]
    st.subheader("Random splits flatter" if higher else "What the usual number measures", anchor=False)
    same = usual.get("same_slices_leak_free")
    leak_free = words.leak_free(same["slices"], same["metrics"]["accuracy"]) if same else ""
    st.markdown(words.random_split(usual["epochs"], accuracy, macro, usual["near_duplicates"], leak_free))


def worst_confusion(entry: Mapping) -> str:
    """The commonest error, as a share of the slices that it can befall."""
    rows = metrics_tables.confusion(entry["metrics"])
    totals = rows.groupby("is")["value"].sum()
    wrong = rows[rows["is"] != rows["read_as"]].assign(share=lambda r: r["value"] / r["is"].map(totals))
    worst = wrong.sort_values("share").iloc[-1]
    return words.worst_confusion(
        worst["is"], worst["read_as"], worst["value"], totals[worst["is"]], worst["share"]
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
        required=True,
        format_func=TITLES.__getitem__,
        wrap=True,
        **remembered("protocol", able[0]),
    )
    assert name is not None  # required
    entry, classes = protocols[name], PROTOCOLS[name]
    if name == "four_classes":
        # Its matrix stands in the overview.
        show_measures(name, entry, classes)
    else:
        left, right = st.columns(2, gap="large")
        with left:
            show_matrix(name, entry, classes)
        with right:
            show_measures(name, entry, classes)
    if "by_patient" in entry:
        beside_published(entry)
    by_class, operating = curves_of(metrics, name)
    if by_class:
        show_curves(name, by_class, operating, entry["metrics"])


def show_matrix(name: str, entry: Mapping, classes: Sequence[str], *, fills: bool = False) -> None:
    style = st.segmented_control(
        "Confusion matrix",
        ["Counts", "Shares"],
        required=True,
        label_visibility="collapsed",
        **remembered(f"matrix-{name}", "Counts"),
    )
    matrix = [[entry["metrics"][f"confusion/{t}/{r}"]["value"] for r in classes] for t in classes]
    figure(
        classification.confusion(matrix, style != "Counts", classes),
        f"confusion-{name}",
        words.matrix(TITLES[name]),
        worst_confusion(entry),
        metrics_tables.confusion(entry["metrics"]),
        fills=fills,
    )


def show_measures(name: str, entry: Mapping, classes: Sequence[str]) -> None:
    """Class by class where there are several; else the three measures of finding a tumour."""
    measures = entry["metrics"]
    caption = words.of_slices(entry["slices"])
    if "sensitivity" in measures:
        rows = {"In\u00a0the\u00a0app": entry}
        measured = {name: entry}
        if cleaned := entry.get("without_masses"):
            rows["Masses\u00a0left\u00a0out"] = measured[f"{name}_without_masses"] = cleaned
            caption = words.without_masses(
                entry["slices"],
                entry["slices"] - cleaned["slices"],
                *_false_alarms(measures, cleaned["metrics"]),
            )
        shown = pd.DataFrame(
            [
                {title: write(key, of["metrics"][key]) for key, title in MEASURES.items() if key in measures}
                for of in rows.values()
            ],
            index=list(rows),
        )
        table(shown, f"measures-{name}", caption, metrics_tables.protocols(measured))
        return
    shown = pd.DataFrame(
        {
            title: [write(key, measures[f"{key}/{c}"]) for c in classes]
            for key, title in CLASS_MEASURES.items()
        },
        index=[NAMES[c] for c in classes],
    )
    table(shown, f"classes-{name}", caption, metrics_tables.of_classes(measures, tuple(CLASS_MEASURES)))


def _false_alarms(measures: Mapping, without_masses: Mapping) -> tuple[int, int]:
    """How many there are, and how many of them show a mass."""
    all_, others = (round(of["confusion/no_tumor/tumor"]["value"]) for of in (measures, without_masses))
    return all_, all_ - others


def beside_published(entry: Mapping) -> None:
    """The three tumours by slice and by patient, beside what others published on the same folds."""
    measured = {"This model, by slice": entry, "This model, by patient": entry["by_patient"]}
    names = ("accuracy", "balanced_accuracy")
    shown = pd.DataFrame(
        [
            *({MEASURES[name]: estimate(of["metrics"][name]) for name in names} for of in measured.values()),
            *({MEASURES["accuracy"]: said, MEASURES["balanced_accuracy"]: ""} for said in PUBLISHED.values()),
        ],
        index=[*measured, *PUBLISHED],
    )
    rows = pd.DataFrame(
        [
            {"of": title, "measure": name, "number": of["slices"], **of["metrics"][name]}
            for title, of in measured.items()
            for name in of["metrics"]
        ]
    )
    found = {
        site: {label: of["metrics"]["sensitivity"] for label, of in of_class.items()}
        for site, of_class in entry["by_site"].items()
    }
    table(shown, "by-patient", words.by_patient(found), rows)


def curves_of(metrics: Mapping, name: str) -> tuple[Mapping, Mapping | None]:
    """The curves of a protocol by class, empty where none were written, and its operating point."""
    curves = metrics.get("curves" if name == "four_classes" else f"curves_{name}", {})
    return ({"tumor": curves}, curves.get("operating_point")) if "roc" in curves else (curves, None)


def show_curves(name: str, by_class: Mapping, operating: Mapping | None, measures: Mapping) -> None:
    """ROC and precision-recall, with the point at which the app answers where it is one point."""
    on_roc = on_precision = None
    in_app = ["", ""]
    if operating:
        hits, false = (measures[f"confusion/{truth}/tumor"]["value"] for truth in ("tumor", "no_tumor"))
        on_roc = 1 - operating["specificity"], operating["sensitivity"]
        on_precision = operating["sensitivity"], hits / (hits + false)
        in_app = words.operating(operating["sensitivity"], operating["specificity"], on_precision[1])
    precision = {
        c: curve["average_precision"] for c, curve in by_class.items() if "average_precision" in curve
    }
    left, right = st.columns(2, gap="large")
    with left:
        figure(
            classification.roc(by_class, on_roc),
            f"roc-{name}",
            "ROC curves",
            in_app[0],
            metrics_tables.curves(by_class, "roc", "false_positive_rate", "sensitivity"),
        )
    with right:
        figure(
            classification.precision_recall(by_class, on_precision),
            f"precision-recall-{name}",
            "Precision-recall curves",
            words.average_precision(precision, in_app[1]),
            metrics_tables.curves(by_class, "precision_recall", "recall", "precision"),
        )


def by_source(entry: Mapping) -> None:
    """Sensitivity in each source."""
    with st.container(width=900):
        figure(
            classification.sites(entry["by_site"]),
            "sources",
            words.SOURCES,
            uneven_sources(entry["by_site"]),
            metrics_tables.sites(entry["by_site"]),
        )


def uneven_sources(by_site: Mapping) -> str:
    """How much a class's sensitivity depends on the source; first where a source gives its class away."""
    rows = metrics_tables.sites(by_site)
    for site, labels in by_site.items():
        name = next(iter(labels))
        elsewhere = rows[(rows["class"] == name) & (rows["source"] != site)]
        # Healthy slices from a source whose tumours are of unknown class do not give anything away.
        if len(labels) == 1 and name != "no_tumor" and len(elsewhere):
            here = rows.loc[rows["source"] == site, "value"].iloc[0]
            return words.given_away(
                site, name, here, dict(zip(elsewhere["source"], elsewhere["value"], strict=True))
            )
    gap = rows.groupby("class")["value"].agg(lambda values: values.max() - values.min())
    ordered = rows[rows["class"] == gap.idxmax()].sort_values("value")
    low, high = ordered.iloc[0], ordered.iloc[-1]
    return words.most_uneven(low["class"], low["value"], low["source"], high["value"], high["source"])
