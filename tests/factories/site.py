"""Readings at a site whose figures are known."""

from __future__ import annotations

import json

import numpy as np

from brat.classes import CLASSES
from brat.data.index import deal_folds
from brat.environment import WEIGHTS
from brat.evaluation import site_readings
from brat.evaluation.site_readings import ModelOutputs, SiteReadings

SHIPPED = json.loads((WEIGHTS / "metrics.json").read_text())


def readings_of(logits, labels, decisions=None, clusters=None, by="patient", **changes) -> SiteReadings:
    """Slices of known logits; a label is a class, or "" for any tumour."""
    clusters = clusters or [f"patient-{number:05d}" for number in range(len(labels))]
    folds = deal_folds(clusters, labels)
    slices = [
        site_readings._slice(f"{number}.png", label, cluster, fold)
        for number, (label, cluster, fold) in enumerate(zip(labels, clusters, folds, strict=True))
    ]
    decisions = np.full(len(labels), -1.0) if decisions is None else np.asarray(decisions, float)
    fields = {"left_out": [], "copies_sought": True} | changes
    return SiteReadings(slices, by, [ModelOutputs(np.asarray(logits, float), decisions)], **fields)


def sure(read, of=6.0):
    """Logits of answers of which the model is sure."""
    return of * np.eye(4)[[CLASSES.index(name) for name in read]]
