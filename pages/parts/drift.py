"""Part of History: whether the cases change from month to month, against what is expected of the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from brat.classes import CLASS_NAMES
from brat.figures.drift import control_chart
from brat.io.evidence import SEQUENCES
from brat.model.files import MODEL, ModelError, ModelFolder
from brat.model.site import SiteCalibration
from brat.store.cases import Case
from brat.store.drift import FIRST, Chart, Month, charts, first_months, of_metrics
from pages.parts.captioned_figures import figure
from pages.parts.weights_files import load
from pages.parts.widget_memory import remembered
from pages.words import drift as words

_MEASURES = {
    "refused": "Refused as unlike known scans",
    "unlikeness": "Unlikeness (limit 1)",
    "confidence": "Mean probability of the answer",
    "agreed": "Clinicians agree",
}

_REFERENCES = ("The model's figures", "The first months")


LEAST = 20
"""Cases of a month that is judged; of fewer, limits are so wide that next to nothing crosses them."""


def show_drift(cases: Sequence[Case], weights: Path, alarm: DeltaGenerator) -> None:
    """The control charts of the cases that one model has read, with the recalibration that it has now.

    Args:
        weights: the folder of the model, with its `metrics.json`.
        alarm: where it is said that a month crosses a limit; whoever opens the page is to see that first.
    """
    try:
        folder = ModelFolder(weights)
        model, site = folder.records[MODEL].sha256, SiteCalibration.beside(folder)
    # Review says what is wrong with it.
    except (ModelError, FileNotFoundError, KeyError):
        return
    # Another temperature or limit would look like drift.
    used = site.digest if site else ""
    own = [case for case in cases if (case.model, case.recalibration) == (model, used)]
    if not own:
        return
    st.header("From month to month", anchor=False)
    st.caption(words.of_cases(len(own), len(cases) - len(own)))
    metrics = load(weights, "metrics.json")
    against, measure = st.columns(2)
    reference = against.segmented_control(
        "Compared with",
        _REFERENCES,
        required=True,
        help=words.HELP,
        **remembered("drift-reference", _REFERENCES[0]),
    )
    after = ""
    if reference == _REFERENCES[0]:
        # Figures of another model say nothing of this one.
        measured = metrics if metrics and metrics.get("model_sha256") == model else None
        expected = of_metrics(measured, site) if measured else {}
        if not expected:
            st.caption(words.NO_FIGURES)
    else:
        expected, after = first_months(own)
        if not expected:
            st.caption(words.too_few_at_first(len({case.scan for case in own}), FIRST))
    by_name = {_name(chart.measure): chart for chart in charts(own, expected, LEAST, after)}
    month = max((m.name for chart in by_name.values() for m in chart.months if m.limits), default="")
    crossed = {name: at for name, chart in by_name.items() if (at := _at(chart, month)) and at.is_alarm}
    if crossed:
        said = [words.crossing(name, by_name[name], at) for name, at in crossed.items()]
        alarm.warning(words.alarm(month, said))
    elif month:
        st.markdown(words.calm(month))
    elif expected:
        st.markdown(words.none_judged(LEAST))
    names = list(by_name)
    shown = by_name[
        measure.selectbox(
            "Measure", names, index=names.index(next(iter(crossed), names[0])), key="drift-measure"
        )
    ]
    figure(
        control_chart(shown),
        "drift",
        words.FIGURE,
        words.how(LEAST) if shown.reference else words.NOTHING_TO_COMPARE,
        _numbers(by_name.values()),
    )


def _name(measure: str) -> str:
    family, _, name = measure.partition("/")
    match family:
        case "read":
            return f"Read as {CLASS_NAMES[name].lower()}"
        case "sequence":
            return f"Sequence: {SEQUENCES.get(name, 'not known')}"
        case "scanner":
            return f"Scanner: {name or 'not known'}"
    return _MEASURES[measure]


def _at(chart: Chart, month: str) -> Month | None:
    return next((one for one in chart.months if one.name == month), None)


def _numbers(every: Iterable[Chart]) -> pd.DataFrame:
    """Every chart, a month a row."""
    return pd.DataFrame(
        {
            "measure": chart.measure,
            "month": month.name,
            "cases": month.cases,
            "value": month.value,
            "expected": chart.reference and chart.reference.value,
            "low": month.limits and month.limits[0],
            "high": month.limits and month.limits[1],
            "alarm": month.is_alarm,
        }
        for chart in every
        for month in chart.months
    )
