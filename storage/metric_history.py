"""What a run recorded step by step, read back."""

from __future__ import annotations

from storage.home import Home
from storage.mlflow_setup import connect
from storage.tracking import metric_name


def metric_history(home: Home, run_id: str, name: str) -> dict[int, float]:
    """A metric of a run by step, rising; empty where it was never logged. Of a step logged twice, the last."""
    found = connect(home).get_metric_history(run_id, metric_name(name))
    return {one.step: float(one.value) for one in sorted(found, key=lambda one: (one.step, one.timestamp))}
