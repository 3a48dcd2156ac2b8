"""Metrics by their short names, `ap_0.95`, `ar_10`, `auc`: one table, means over runs, and the words for a reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from iamsb_core.metrics.metric_report import StreamMetrics


def metric_table(metrics: StreamMetrics) -> dict[str, float]:
    """AP (the whole area under the curve), AR and AUC by name; what nothing was there to find for is left out."""
    found = {f"ap_{key}": value for key, value in known_values(metrics.ap_full).items()}
    found |= {f"ar_{key}": value for key, value in known_values(metrics.ar).items()}
    return found if metrics.auc is None else found | {"auc": metrics.auc}


def known_values(values: Mapping[str, float | None]) -> dict[str, float]:
    """Those that are there."""
    return {key: value for key, value in values.items() if value is not None}


def mean_table(tables: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of each entry that all have."""
    return {key: fmean(table[key] for table in tables) for key in tables[0] if all(key in table for table in tables)}


def metric_words(name: str) -> str:
    """`ap_0.95` is `AP@0.95`."""
    return name.replace("ap_", "AP@").replace("ar_", "AR@").replace("auc", "AUC")
