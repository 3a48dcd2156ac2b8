"""Dev metrics of a system in training, and the one number by which the model that is kept is chosen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from iamsb_core.data.source import FeatureSource
from iamsb_core.manifest import Manifest
from iamsb_core.metrics.evaluate import evaluate
from iamsb_core.metrics.metric_report import MetricReport
from iamsb_core.systems.base import System
from iamsb_core.training.loop import SELECTION
from iamsb_core.training.predict import predict


def validate(
    system: System[Any],
    source: FeatureSource,
    manifest: Manifest,
    *,
    window_seconds: float,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """Metrics by name, such as `audio_ap_0.5`, and `selection`.

    Selection is the mean, over the streams with truth and over the protocol's thresholds, of the whole area under
    the precision-recall curve: the official area is not monotone on as few segments as a dev split may hold.
    """
    found = predict(system, source, manifest.videos, window_seconds=window_seconds, device=device)
    report = evaluate(manifest, found)
    values = dict(flat_metrics(report))
    chosen = [ap for stream in report.streams.values() for ap in stream.ap_full.values() if ap is not None]
    values[SELECTION] = float(np.mean(chosen)) if chosen else 0.0
    return values


def flat_metrics(report: MetricReport) -> Iterator[tuple[str, float]]:
    """(name, value) of every number that a report has: `ap_0.5`, `ar_100`, `auc`, and the same of each stream."""
    for prefix, metrics in (("", report), *((f"{name}_", stream) for name, stream in report.streams.items())):
        for kind, values in (("ap", metrics.ap), ("ar", metrics.ar)):
            yield from ((f"{prefix}{kind}_{key}", value) for key, value in values.items() if value is not None)
        if metrics.auc is not None:
            yield f"{prefix}auc", metrics.auc
